"""The report as HTML: one self-contained page, or a part of a notebook. Without scripts, without network."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

import mainstay
from mainstay.comparison import svg, words
from mainstay.comparison.plain import MEANS, figure
from mainstay.comparison.records import Aspect, FieldReport, Measure, Quality, Side, Status, Verdict
from mainstay.comparison.result import Comparison
from mainstay.core.errors import EnvironmentFault

HERE = Path(__file__).parent
TONES = {Verdict.SAME: "good", Verdict.DIFFERENT: "bad", Verdict.NOT_ENOUGH: "open"}
STATUS_TONES = {
    Status.BROKEN: "bad",
    Status.MOVED: "bad",
    Status.SLIGHT: "open",
    Status.SAME: "good",
    Status.TOO_FEW: "open",
    Status.NOT_COMPARED: "quiet",
}
LEADING = (Status.BROKEN, Status.MOVED, Status.SLIGHT)
FIGURES = (
    ("mean", "mean", words.number),
    ("sd", "standard deviation", words.number),
    ("median", "median", words.number),
    ("min", "smallest", words.number),
    ("max", "largest", words.number),
    ("values", "different values", words.counted),
    ("missing", "missing", words.share),
    ("unreadable", "of another type", words.share),
    ("unseen_words", "words never seen", words.share),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AspectLine:
    """One question in a field's table."""

    name: str
    seen: str
    size: str
    plot: Markup
    p: str
    tone: str
    test: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCard:
    """One field as the page shows it."""

    name: str
    kind: str
    role: str
    status: str
    tone: str
    says: str
    plot: Markup
    notes: tuple[str, ...]
    lines: tuple[AspectLine, ...]
    figures: tuple[tuple[str, str, str], ...]
    distances: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideLine:
    """One side under the headline."""

    name: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureLine:
    """One measure of quality."""

    name: str
    then: str
    now: str
    change: str


def document(result: Comparison) -> str:
    """Return the whole page."""
    return template(HERE, "page.html").render(title=result.headline, css=css(), body=Markup(fragment(result)))  # noqa: S704


def write(text: str, path: str | Path) -> Path:
    """Write a text and return its path; an existing file is replaced as a whole, and several processes may write it."""
    target = Path(path)
    half = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        half.write_text(text, encoding="utf-8", errors="replace")
        half.replace(target)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise EnvironmentFault(
            f"{target} cannot be written: {error.strerror or error}", remedy="Name a file in a folder that exists."
        ) from error
    return target


def fragment(result: Comparison) -> str:
    """Return the report for a page that exists: its own styles, nothing outside of them touched."""
    cards = [_card(field, (result.reference.name, result.current.name)) for field in result.fields]
    leading = sum(field.status in LEADING for field in result.fields)
    told = result.together
    return template(HERE, "report.html").render(
        css=css(),
        result=result,
        tone=TONES[result.verdict],
        sides=(_side(result.reference), _side(result.current)),
        leading=cards[:leading],
        others=cards[leading:],
        together=told,
        rows="" if told is None else words.counted(told.rows),
        lean_plot=svg.lean_bars(told.leans_on) if told is not None and told.leans_on else "",
        area_plot=svg.forest(told.area) if told is not None else "",
        measures=_measures(result.quality),
        reliability=_reliability(result.quality),
        version=mainstay.__version__,
    )


@cache
def template(folder: Path, name: str) -> Template:
    """Return a report's template: everything in it is escaped."""
    loader = FileSystemLoader(folder)
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(name)


@cache
def css(folder: Path = HERE) -> Markup:
    """Return the style that all reports have, and what the report of `folder` adds to it."""
    files = dict.fromkeys((HERE / "report.css", folder / "report.css"))
    return Markup("".join(file.read_text(encoding="utf-8") for file in files))  # noqa: S704 - our own files


def _side(side: Side) -> SideLine:
    parts = [f"{words.counted(side.rows)} rows", f"{side.columns} columns"]
    if side.keys is not None:
        parts.append(f"{words.counted(side.keys)} keys")
    if side.tested < side.rows:
        parts.append(f"{words.counted(side.tested)} tested")
    return SideLine(name=side.name, says=", ".join(parts))


def _card(field: FieldReport, sides: tuple[str, str]) -> FieldCard:
    plot = Markup("") if field.bars is None else svg.field_plot(field.bars, name=field.name, sides=sides)
    return FieldCard(
        name=words.short(field.name, 60),
        kind=field.kind.value,
        role="" if field.role == "field" else field.role,
        status=MEANS[field.status],
        tone=STATUS_TONES[field.status],
        says=field.says,
        plot=plot,
        notes=tuple(note for note in field.notes if note != field.says),
        lines=tuple(_line(aspect) for aspect in field.aspects),
        figures=_figures(field),
        distances=_distances(field),
    )


def _line(aspect: Aspect) -> AspectLine:
    effect = words.leading(aspect.effects)
    tone = "bad" if aspect.moved else "open" if aspect.slight else "quiet"
    return AspectLine(
        name=aspect.name,
        seen=aspect.says,
        size="" if effect is None else words.interval(effect),
        plot=Markup("") if effect is None else svg.forest(effect),
        p=words.p_value(aspect.adjusted),
        tone=tone,
        test=aspect.test,
    )


def _figures(field: FieldReport) -> tuple[tuple[str, str, str], ...]:
    """Return the figures that both sides have: name, then, now."""
    out = []
    for key, called, show in FIGURES:
        then, now = field.numbers.get(f"{key}_reference"), field.numbers.get(f"{key}_current")
        if (
            isinstance(then, (int, float))
            and isinstance(now, (int, float))
            and (then or now or key not in ("missing",))
        ):
            out.append((called, show(then), show(now)))
    return tuple(out)


def _distances(field: FieldReport) -> str:
    """Return the well-known distances in one line, each with what it is counted in."""
    n, parts = field.numbers, []
    if "ks_distance" in n:
        parts.append(f"Kolmogorov-Smirnov D {n['ks_distance']:.3f} at {words.number(n['ks_at'])}")
    if "wasserstein_sigma" in n:
        low, high = n["wasserstein_sigma_low"], n["wasserstein_sigma_high"]
        if math.isfinite(high):
            parts.append(f"Wasserstein {n['wasserstein_sigma']:.3f} σ ({low:.3f} to {high:.3f})")
    if "jensen_shannon" in n:
        parts.append(f"Jensen-Shannon distance {n['jensen_shannon']:.3f}, total variation {n['total_variation']:.3f}")
    if "psi" in n:
        chance = f"; about {n['psi_by_chance']:.3f} by chance" if "psi_by_chance" in n else ""
        parts.append(f"PSI {n['psi']:.3f} ({n['psi_rule']}{chance})")
    return " · ".join(parts)


def _measures(quality: Quality | None) -> tuple[MeasureLine, ...]:
    return () if quality is None else tuple(_measure(measure) for measure in quality.measures)


def _measure(measure: Measure) -> MeasureLine:
    change = measure.difference
    return MeasureLine(
        name=measure.name,
        then=_triple(measure.reference, measure.name),
        now="unknown: no truth" if measure.current is None else _triple(measure.current, measure.name),
        change="" if change is None else _change(measure),
    )


def _change(measure: Measure) -> str:
    effect = measure.difference
    if effect is None:
        return ""
    if measure.name.startswith("accuracy") or effect.unit.value == "sigma":
        return words.interval(effect)
    return f"{words.signed(effect.value, 3)} ({words.signed(effect.low, 3)} to {words.signed(effect.high, 3)})"


def _triple(value: Sequence[float], name: str) -> str:
    show = words.share if name.startswith("accuracy") else figure
    return f"{show(value[0])} ({show(value[1])} to {show(value[2])})"


def _reliability(quality: Quality | None) -> Markup:
    if quality is None or not quality.calibration[0]:
        return Markup("")
    return svg.reliability(quality.calibration, unit=quality.task == "probabilities")
