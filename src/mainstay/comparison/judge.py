"""From what was measured to the verdict: one level for all tests, material size beside significance, enough rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, median

from mainstay.comparison import words
from mainstay.comparison.fields import Measured
from mainstay.comparison.kinds import Column
from mainstay.comparison.records import (
    Aspect,
    FieldReport,
    Quality,
    Status,
    Together,
    Verdict,
)
from mainstay.comparison.together import Found
from mainstay.stats.multiple import holm

FIELDS_PART = 0.8
"""Part of alpha for the fields (and quality); the rest is for the classifier over all of them."""
POWER = 0.8
MOST_SEEN = 3
WEIGHTS = {"missing": 0.2, "range": 0.2}
"""Weight of a test in the correction for many (1 where none is given): where these two are real, p is tiny."""
ENOUGH_SIGMA = 0.5
"""Rows are enough where a shift of this size in one number would be found with probability POWER."""
ORDER = (Status.BROKEN, Status.MOVED, Status.SLIGHT, Status.SAME, Status.TOO_FEW, Status.NOT_COMPARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field on its way to the judge."""

    column: Column
    role: str
    measured: Measured | None
    """None: not measured (ignored, key, in one side only)."""
    broken: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict and what it stands on."""

    verdict: Verdict
    fields: tuple[FieldReport, ...]
    together: Together | None
    quality: Quality | None
    tests: int
    """Tests among which the level of the fields is shared, those of weight 1 counted as one."""
    detectable: float
    """Shift of one number, in σ, that would be found with probability POWER; inf where nothing was tested."""
    all_negligible: bool
    """Whether every interval lies within the material size."""


def judge(entries: Sequence[Entry], found: Found | None, quality: Quality | None, *, alpha: float) -> Judged:
    """Return the verdict over all fields.

    The p-values of all aspects and quality measures are adjusted together (weighted Holm) and held to FIELDS_PART ·
    alpha, the classifier over all fields to the rest (all to the fields where there is none): two samples of one
    population are called different with probability at most alpha. What is significant counts as moved only where the
    95 % interval of a size lies wholly beyond the material size.
    """
    level = alpha * FIELDS_PART if found is not None else alpha
    quality_p = [m.p for m in quality.measures] if quality is not None else []
    raw = [a.p for e in entries if e.measured is not None for a in e.measured.aspects] + quality_p
    weights = [WEIGHTS.get(a.name, 1.0) for e in entries if e.measured is not None for a in e.measured.aspects]
    weights += [1.0] * len(quality_p)
    adjusted = list(holm(raw, weights=weights))
    tests = math.ceil(sum(w for p, w in zip(raw, weights, strict=True) if not math.isnan(p)))
    given = iter(adjusted)
    reports = [_report(entry, [next(given) for _ in _aspects(entry)], level, alpha, tests) for entry in entries]
    quality = None if quality is None else _judge_quality(quality, list(given), level)
    together = None if found is None else _judge_together(found, alpha * (1.0 - FIELDS_PART), reports)
    reports.sort(key=lambda r: (ORDER.index(r.status), -r.size, r.name))
    sizes = [_detectable(r.aspects[0].rows, tests, alpha) for r in reports if r.aspects]
    detectable = median(sizes) if sizes else math.inf
    moved = any(r.status in (Status.BROKEN, Status.MOVED) for r in reports)
    moved = moved or (together is not None and together.moved) or (quality is not None and quality.moved)
    found_none = Verdict.SAME if detectable <= ENOUGH_SIGMA else Verdict.NOT_ENOUGH
    verdict = Verdict.DIFFERENT if moved else found_none
    negligible = bool(sizes) and all(e.is_negligible for r in reports for a in r.aspects for e in a.effects)
    return Judged(
        verdict=verdict,
        fields=tuple(reports),
        together=together,
        quality=quality,
        tests=tests,
        detectable=detectable,
        all_negligible=negligible and (together is None or together.area.is_negligible),
    )


def _aspects(entry: Entry) -> tuple[Aspect, ...]:
    return entry.measured.aspects if entry.measured is not None else ()


def _report(entry: Entry, adjusted: Sequence[float], level: float, alpha: float, tests: int) -> FieldReport:
    column, measured = entry.column, entry.measured
    if measured is None or entry.broken or entry.why_not:
        status = Status.BROKEN if entry.broken else Status.NOT_COMPARED
        return FieldReport(
            name=column.name, kind=column.kind, role=entry.role, status=status, says=entry.broken or entry.why_not
        )
    aspects = tuple(_judged(a, p, level) for a, p in zip(measured.aspects, adjusted, strict=True))
    status = _status(aspects, alpha, tests)
    report = FieldReport(
        name=column.name,
        kind=column.kind,
        role=entry.role,
        status=status,
        says="",
        aspects=aspects,
        numbers=measured.numbers,
        notes=measured.notes,
        bars=measured.bars,
    )
    return replace(report, says=_sentence(report))


def _judged(aspect: Aspect, adjusted: float, level: float) -> Aspect:
    significant = adjusted <= level  # NaN is not
    material = any(effect.is_material for effect in aspect.effects)
    return replace(
        aspect,
        adjusted=float(adjusted),
        moved=bool(significant and material),
        slight=bool(significant and not material),
    )


def _status(aspects: Sequence[Aspect], alpha: float, tests: int) -> Status:
    if not aspects:
        return Status.NOT_COMPARED
    if any(a.moved for a in aspects):
        return Status.MOVED
    if any(a.slight for a in aspects):
        return Status.SLIGHT
    return Status.SAME if _detectable(aspects[0].rows, tests, alpha) <= ENOUGH_SIGMA else Status.TOO_FEW


def _sentence(report: FieldReport) -> str:
    if not report.aspects:
        return report.notes[0] if report.notes else "not compared"
    told = [a for a in report.aspects if a.moved] or [a for a in report.aspects if a.slight]
    told.sort(key=lambda a: -a.size)
    return "; ".join(words.seen(a) for a in told[:2] or report.aspects[:1])


def _detectable(rows: tuple[float, float], tests: int, alpha: float) -> float:
    """Return the shift of a normal mean, in σ, that is found with probability POWER at the level of one of all tests.

    (z_{1−α'/2} + z_POWER) √(1/n_a + 1/n_b), α' = FIELDS_PART · alpha / tests (Bonferroni, which Holm betters).
    """
    if min(rows) < 2:
        return math.inf
    normal = NormalDist()
    z = normal.inv_cdf(1.0 - alpha * FIELDS_PART / max(1, tests) / 2.0) + normal.inv_cdf(POWER)
    return z * math.sqrt(1.0 / rows[0] + 1.0 / rows[1])


def rows_needed(tests: int, alpha: float) -> int:
    """Return how many (independent) rows each side needs for a verdict."""
    normal = NormalDist()
    z = normal.inv_cdf(1.0 - alpha * FIELDS_PART / max(1, tests) / 2.0) + normal.inv_cdf(POWER)
    return math.ceil(2.0 * (z / ENOUGH_SIGMA) ** 2)


def _judge_quality(quality: Quality, adjusted: Sequence[float], level: float) -> Quality:
    worse = any(
        p <= level and m.difference is not None and m.difference.is_material
        for m, p in zip(quality.measures, adjusted, strict=True)
    )
    return replace(quality, moved=worse)


def _judge_together(found: Found, level: float, reports: Sequence[FieldReport]) -> Together:
    significant = found.p <= level
    moved = significant and found.area.is_material
    alone = not any(r.status in (Status.MOVED, Status.BROKEN) for r in reports)
    text = f"AUC {found.area.value:.2f} ({found.area.low:.2f} to {found.area.high:.2f}; 0.50 is none)"
    if not significant:
        says = f"A classifier over all fields cannot tell the two apart: {text}."
    elif not moved:
        says = f"A classifier over all fields tells the two apart a little, less than matters: {text}."
    else:
        says = f"A classifier over all fields tells the two apart: {text}."
        if alone:
            says += " No single field shows it: how the fields go together changed."
        if found.pair:
            says += f" {found.pair[0].upper()}{found.pair[1:]}."
    return Together(
        area=found.area,
        p=found.p,
        moved=moved,
        slight=significant and not moved,
        rows=found.rows,
        leans_on=found.leans_on if significant else (),
        says=says,
    )


def headline(judged: Judged) -> str:
    """Return the verdict in one sentence."""
    tested = [r for r in judged.fields if r.status is not Status.NOT_COMPARED]
    moved = [r for r in tested if r.status in (Status.BROKEN, Status.MOVED)]
    if judged.verdict is Verdict.NOT_ENOUGH:
        return "Not enough rows to tell."
    if judged.verdict is Verdict.SAME:
        return "Same population for practical purposes." if judged.all_negligible else "Same population."
    if moved:
        lead = f"led by {words.short(moved[0].name)}" if len(moved) > 1 else words.short(moved[0].name)
        joint = ", " if len(moved) > 1 else ": "
        return f"Different: {len(moved)} of {len(tested)} fields moved{joint}{lead}."
    if judged.together is not None and judged.together.moved:
        names = words.listed([words.short(name) for name, _ in judged.together.leans_on], 2)
        how = f" ({names})" if names else ""
        return f"Different: no single field moved, but how they go together did{how}."
    return "Different: the fields agree, but the predictions are not as right as they were."


def reasons(judged: Judged, *, names: tuple[str, str], surprised: float, alpha: float, material: str) -> list[str]:
    """Return the sentences under the headline."""
    if judged.verdict is Verdict.NOT_ENOUGH:
        return _too_few(judged, alpha)
    said = _would_see(judged, names[0], surprised) if judged.verdict is Verdict.DIFFERENT else _bounds(judged, material)
    if judged.quality is not None:
        said.append(f"{judged.quality.says[0].upper()}{judged.quality.says[1:]}.")
    return said


def _too_few(judged: Judged, alpha: float) -> list[str]:
    if not judged.tests:
        return ["No field is left that could be compared: see why with each of them."]
    needed = words.counted(rows_needed(judged.tests, alpha))
    known = ""
    if math.isfinite(judged.detectable):
        known = f" Here only a shift of {judged.detectable:.1f} σ would be found in {words.share(POWER)} of cases."
    return [
        f"A verdict needs about {needed} independent rows on each side, for {judged.tests} tests together.{known}",
        "No difference was found, which says little with so few rows.",
    ]


def _bounds(judged: Judged, material: str) -> list[str]:
    said = []
    slight = [r.name for r in judged.fields if r.status is Status.SLIGHT]
    if slight:
        said.append(
            f"{words.listed(slight)} moved by more than chance, but not shown to move by what matters ({material})."
        )
    elif judged.all_negligible:
        said.append(f"Every interval lies within what matters ({material}).")
    else:
        said.append("No field moved beyond chance.")
    if not judged.all_negligible:
        found = f"A shift of {max(judged.detectable, 0.01):.2f} σ in one field would have been found in"
        said.append(f"{found} {words.share(POWER)} of cases; smaller ones may be there.")
    few = [r.name for r in judged.fields if r.status is Status.TOO_FEW]
    if few:
        said.append(f"Too few values to tell in {words.listed(few)}.")
    return said


def _brief(report: FieldReport) -> str:
    """Return the one thing to know about a field that moved, without intervals."""
    return report.says if report.lead is None else words.seen(report.lead, brief=True)


def _would_see(judged: Judged, name: str, surprised: float) -> list[str]:
    inputs = [r for r in judged.fields if r.role == "field"]
    moved = [r for r in inputs if r.status in (Status.BROKEN, Status.MOVED)]
    said = []
    if moved:
        parts = [f"{words.short(r.name)} {_brief(r)}" for r in moved[:MOST_SEEN]]
        others = len(moved) - MOST_SEEN
        more = f", and {others} more field{'s' * (others > 1)} that moved" if others > 0 else ""
        said.append(f"A model trained on {name} would see {', '.join(parts)}{more}.")
    if surprised > 0:
        said.append(
            f"{words.share(surprised)} of the current rows hold something that the reference never held in its field "
            "(a new value, a number beyond its range, a gap)."
        )
    if judged.together is not None and judged.together.moved:
        said.append(judged.together.says)
    return said
