"""The streams of evidence of one bundle: what its profile says to compare, and how a block is counted for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import WatchSettings
from mainstay.core.incidents import Harm
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.models import harm, seasons
from mainstay.models.derived import RECONSTRUCTION
from mainstay.stats import bank as banks
from mainstay.stats import concept, evidence, season
from mainstay.stats.intervals import Floats
from mainstay.stats.numbering import numbered
from mainstay.stats.scores import DEGREES, binned, score_table, score_variances
from mainstay.watch import learners, weights
from mainstay.watch.window import CONFIDENCE, Observation, Outcome

REFUSED, FAILED, GAP, ERROR = "requests.refused", "requests.failed", "labels.gap", "labels.error"
EXPECTED_BAD = 0.01
"""Share of requests that may be refused or fail without a word: no reference tells."""
MISSING = ".missing"
"""What the name of a missing share ends with."""
KEY_CORRELATION = 0.3
"""Assumed correlation between two values of one key where the reference has each key about once."""
YEARS = timedelta(days=2 * 365 - 14)
"""A reference of so long tells months from years."""
REPEATED = 1.2
"""Rows per key from which the reference tells that correlation."""
SEASON_SIGMA, SEASON_SHARE = 0.1, 0.05
"""A signal whose hours of the week depart so far from its mean follows the season (standard deviations; of a share)."""
ALL = ""
"""Segment name of all traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One stream with its name and counting rule."""

    name: str
    segment: str
    harm: Harm
    stream: evidence.Stream
    profile: SignalProfile | None = None
    edges: Floats | None = None
    table: Floats | None = None
    """Per bin: four scores, below the tie, above the tie; shape (bins, 6)."""
    places: dict[str, int] | None = None
    """Category -> column."""
    pattern: season.Pattern | None = None
    """NUMERIC: what the season explains of the first two scores; it is taken off when rows are counted."""
    subject: str = ""
    """Of a rule that tells traffic from the reference: what it looks at (`learners`)."""
    rule: str = ""
    """Which of the subject's rules."""
    tells: tuple[str, ...] = ()
    """What it goes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All streams of a bundle, in the order of their columns."""

    watched: tuple[Watched, ...]
    offsets: tuple[int, ...]
    bank: evidence.Bank
    """The streams for the evidence engine."""

    @property
    def width(self) -> int:
        """Return the number of columns: the streams', those that count requests by season if any, all requests."""
        return self.offsets[-1] + (0 if self.bank.season is None else season.CELLS) + 1

    @property
    def signature(self) -> str:
        """Return what the columns mean, so that a state made for other columns is recognised."""
        names = "|".join(
            f"{w.segment}/{w.name}{w.rule}:{w.stream.width}{'~' * (w.pattern is not None)}" for w in self.watched
        )
        return names if self.bank.season is None else f"{names}|season"

    @property
    def subjects(self) -> list[str]:
        """Return what rules look at, each once."""
        return list(dict.fromkeys(item.subject for item in self.watched if item.subject))

    def columns(self, name: str, segment: str = ALL) -> slice | None:
        """Return where a stream's columns are, or None when there is no such stream."""
        for i, item in enumerate(self.watched):
            if item.name == name and item.segment == segment:
                return slice(self.offsets[i], self.offsets[i + 1])
        return None


def plan(profile: Profile, settings: WatchSettings) -> Plan:
    """Return the streams of a profile: half of the weight on all traffic, half shared among the segments.

    Where reference rows carry their time, signals are matched by season as far as `watch.season` says.
    """
    parts_of, general = parts_matched(profile, settings), settings.material.number_sigma
    usable = [s for s in profile.signals if s.rows > 0 and sum(s.counts) > 0]
    whole = [s for s in usable if s.segment == ALL]
    parts: dict[str, list[SignalProfile]] = {}
    for signal in usable:
        if signal.segment != ALL:
            parts.setdefault(signal.segment, []).append(signal)
    half = 0.5 if parts else 1.0
    patterns = {signal.name: _pattern(signal, parts_of) for signal in whole}
    moving = {signal.name for signal in whole if _follows_season(signal, patterns[signal.name])}
    subjects = _steady(learners.subjects(profile), moving)
    if moving:
        # The plane through all of the reference is not that of each of its hours.
        whole = [signal for signal in whole if signal.name != RECONSTRUCTION]
    share = weights.shares([*(s.name for s in whole), *map(learners.stream_name, subjects), REFUSED, FAILED, GAP])
    each = {name: half * own for name, own in share.items()}
    per_key = profile.rows / profile.keys if profile.keys else 1.0
    watched = [_watched(s, each[s.name], per_key, parts_of, general, pattern=patterns[s.name]) for s in whole]
    watched += [rule for subject in subjects for rule in _rules(subject, each[learners.stream_name(subject)])]
    watched += [
        Watched(name=name, segment=ALL, harm=harm, stream=evidence.RateStream(weight=each[name], limit=EXPECTED_BAD))
        for name, harm in ((REFUSED, Harm.DATA_FAULT), (FAILED, Harm.OPERATIONS))
    ]
    gap = evidence.GapStream(
        weight=each[GAP],
        margin=settings.material.accuracy,
        known=known_labels(profile),
        correlation=KEY_CORRELATION,
    )
    watched.append(Watched(name=GAP, segment=ALL, harm=Harm.QUALITY, stream=gap))
    for segment in sorted(parts):
        own = weights.shares([signal.name for signal in parts[segment]])
        each_part = 0.5 / len(parts)
        watched += [
            _watched(s, each_part * own[s.name], per_key, parts_of, general, pattern=_pattern(s, parts_of))
            for s in parts[segment]
        ]
    streams = [item.stream for item in watched]
    places = evidence.offsets(streams)
    bank = banks.make(streams, season_at=places[-1] if parts_of is not None else None)
    return Plan(watched=tuple(watched), offsets=tuple(places), bank=bank)


def known_labels(profile: Profile) -> Floats:
    """Return the reference rows as labelled answers, from counts of their confidences and their accuracy."""
    signal = next((s for s in profile.signals if s.name == CONFIDENCE and s.segment == ALL), None)
    if signal is None or profile.accuracy is None or signal.low is None or signal.high is None:
        return np.zeros(concept.WIDTH)
    counts = np.asarray(signal.counts, dtype=np.float64)
    ends = np.array([signal.low, *signal.edges, signal.high], dtype=np.float64)
    middles = (ends[:-1] + ends[1:]) / 2.0
    middles += signal.mean - float(counts @ middles) / float(counts.sum())
    wrong = (1.0 - profile.accuracy) * float(counts.sum())
    return concept.reference(wrong, 1.0 - middles, counts, effect=signal.design_effect)


def parts_matched(profile: Profile, settings: WatchSettings) -> season.Parts | None:
    """Return what of a season is matched, or None: `watch.season`, as far as the reference can tell it.

    Months take a reference of a whole year; of less than two, what that year did by itself is allowed for.
    """
    if settings.season == "off" or not any(signal.week for signal in profile.signals):
        return None
    years = profile.first_at is not None and profile.last_at is not None and profile.last_at - profile.first_at >= YEARS
    one_year = not years and any(signal.month_effects for signal in profile.signals)
    if settings.season == "hour":
        return season.Parts(weekday=False)
    if settings.season == "hour_weekday":
        return season.Parts()
    return season.Parts(month=years or one_year, one_year=one_year)


def _steady(subjects: Sequence[str], moving: Collection[str]) -> list[str]:
    """Return the subjects whose rules stay: nothing that they look at follows the season.

    A rule learned in the morning tells mornings from the whole reference, which is no change. The sample that it is
    judged against is not matched by season, as the streams are.
    """
    answers = any(name.startswith("answer.") for name in moving)
    steady = []
    for subject in subjects:
        own = any(name.startswith(f"{subject}.") for name in moving)
        if not (moving if subject == learners.TOGETHER else own or answers):
            steady.append(subject)
    return steady


def _follows_season(signal: SignalProfile, pattern: season.Pattern | None) -> bool:
    """Return whether a signal follows the hours, weekdays or months of the reference."""
    if pattern is None:
        return False
    least = SEASON_SHARE if signal.kind is SignalKind.CATEGORY else SEASON_SIGMA
    return bool(max(np.abs(part).max(initial=0.0) for part in (pattern.week, pattern.months)) >= least)


def _rules(subject: str, weight: float) -> list[Watched]:
    """Return the places of a subject's rules; what stands there is put in by `with_rules`."""
    return [
        Watched(
            name=learners.stream_name(subject),
            segment=ALL,
            harm=Harm.INPUT,
            stream=evidence.RankStream(
                weight=weight / len(learners.places()), rows=0.0, bins=learners.BINS, correlation=KEY_CORRELATION
            ),
            subject=subject,
            rule=place,
        )
        for place in learners.places()
    ]


def with_rules(plan: Plan, known: Mapping[str, learners.Learner]) -> Plan:
    """Return the plan with the rules that the learners have now."""
    watched = tuple(_with_rule(item, known) for item in plan.watched)
    return replace(plan, watched=watched, bank=replace(plan.bank, streams=tuple(item.stream for item in watched)))


def _with_rule(item: Watched, known: Mapping[str, learners.Learner]) -> Watched:
    rule = known[item.subject].rules.get(item.rule) if item.subject in known else None
    if rule is None or not isinstance(item.stream, evidence.RankStream):
        return item
    stream = replace(item.stream, rows=sum(rule.base))
    return replace(item, stream=stream, tells=tuple(rule.tells))


def _effect(signal: SignalProfile) -> float:
    return max(signal.design_effect, 1.0)


def _sums(signal: SignalProfile, parts: season.Parts | None) -> tuple[Floats, Floats | None] | None:
    """Return a signal's sums by hour of the week, and by month, where a season is matched."""
    if parts is None or not signal.week:
        return None
    months = np.asarray(signal.months, dtype=np.float64) if signal.months else None
    return np.asarray(signal.week, dtype=np.float64), months


def _pattern(signal: SignalProfile, parts: season.Parts | None) -> season.Pattern | None:
    sums = _sums(signal, parts)
    if sums is None or parts is None:
        return None
    return seasons.pattern_of(signal.kind, sums[0], parts=parts, months=sums[1], effect=_effect(signal))


def _watched(
    signal: SignalProfile,
    weight: float,
    per_key: float,
    parts: season.Parts | None,
    general: float,
    *,
    pattern: season.Pattern | None,
) -> Watched:
    effect = _effect(signal)
    correlation = min(max((effect - 1.0) / (per_key - 1.0), 0.0), 1.0) if per_key >= REPEATED else KEY_CORRELATION
    counts = np.asarray(signal.counts, dtype=np.float64)
    common: dict[str, Any] = {
        "name": signal.name,
        "segment": signal.segment,
        "harm": Harm(signal.harm),
        "profile": signal,
    }
    known = signal.month_effects if parts is not None and parts.month and signal.month_effects else signal.effects
    effects = np.asarray(known, dtype=np.float64) if known else None
    if signal.kind is SignalKind.CATEGORY:
        stream = evidence.CategoryStream(
            weight=weight, base=counts / effect, correlation=correlation, pattern=pattern, effects=effects
        )
        return Watched(**common, stream=stream, places={value: i for i, value in enumerate(signal.values)})
    top = int(np.argmax(counts))
    table = np.zeros((len(counts), DEGREES + 2))
    table[:, :DEGREES] = score_table(signal.counts)
    table[:top, DEGREES], table[top + 1 :, DEGREES + 1] = 1.0, 1.0
    tied = counts[top] > evidence.TIE_SHARE * counts.sum()
    below, above = float(counts[:top].sum()), float(counts[top + 1 :].sum())
    tie_pattern = None
    if tied and parts is not None and (sums := _sums(signal, parts)) is not None:
        tie_pattern = seasons.tie_pattern_of(sums[0], parts=parts, months=sums[1], effect=effect)
    numeric = evidence.NumericStream(
        weight=weight,
        rows=float(counts.sum()) / effect,
        variances=score_variances(signal.counts),
        tie=(below / effect, float(counts[top]) / effect, above / effect) if tied else None,
        two_valued=len(counts) == 2,
        correlation=correlation,
        pattern=pattern,
        tie_pattern=tie_pattern,
        effects=effects,
        material=harm.material_sigma(signal, general),
    )
    edges = np.asarray(signal.edges, dtype=np.float64)
    return Watched(**common, stream=numeric, edges=edges, table=table, pattern=pattern)


def count_block(plan: Plan, rows: Sequence[Observation], *, by_key: bool, each: bool = False) -> Floats:
    """Return the block's columns: each unit of evidence gives a stream one value (mean of scores) or one vote (shares).

    The unit is the key, or with `by_key` False the distinct request, or with `each` every request.
    """
    out = np.zeros(plan.width)
    cells = None
    if plan.bank.season is not None and rows:
        cells = season.cells(np.array([row.occurred_at.timestamp() for row in rows]))
        np.add.at(out, plan.bank.season + cells[0], 1.0)
        np.add.at(out, plan.bank.season + season.WEEK + cells[1], 1.0)
    units = np.arange(len(rows)) if each and not by_key else unit_numbers(rows, by_key=by_key)
    everywhere = np.arange(len(rows))
    members: dict[str, NDArray[np.intp]] = {ALL: everywhere}
    for segment in {w.segment for w in plan.watched} - {ALL}:
        members[segment] = np.array([i for i, row in enumerate(rows) if segment in row.segments], dtype=np.intp)
    for i, item in enumerate(plan.watched):
        part = out[plan.offsets[i] : plan.offsets[i + 1]]
        if isinstance(item.stream, evidence.GapStream | evidence.RankStream):
            continue
        if isinstance(item.stream, evidence.RateStream):
            outcome = Outcome.REFUSED if item.name == REFUSED else Outcome.FAILED
            bad = np.array([row.outcome is outcome for row in rows], dtype=np.float64)
            each_unit = _weights(units)
            part += [float(bad @ each_unit), float(each_unit.sum())]
            continue
        place = members[item.segment]
        held = [j for j in place.tolist() if item.name in rows[j].signals]
        if held:
            values = [rows[j].signals[item.name] for j in held]
            _count(item, part, values, units[np.array(held)])
            if item.pattern is not None and cells is not None:
                numeric = [j for j in held if not isinstance(rows[j].signals[item.name], str)]
                explained = season.residuals(item.pattern, cells[0][numeric], cells[1][numeric])
                part[1:3] -= _weights(units[np.array(held)])[np.isin(held, numeric)] @ explained
    out[-1] = len(rows)
    return out


@dataclass(slots=True, kw_only=True)
class Counted:
    """Requests that are counted and not measured, one entry of each list for each."""

    units: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Event time, Unix."""
    missing: list[bytes] = field(default_factory=list)
    """For each of `gap_fields`: 0 there, 1 missing, 2 not known."""


def gap_fields(plan: Plan) -> list[str]:
    """Return the fields whose missing values are counted over all traffic."""
    return [item.name.removesuffix(MISSING) for item in plan.watched if _counts_gaps(item)]


def _counts_gaps(item: Watched) -> bool:
    return item.segment == ALL and item.table is not None and item.name.endswith(MISSING)


def count_rest(plan: Plan, seen: Counted) -> Floats:
    """Return the columns of requests that are counted and not measured: refusals, failures, missing values, requests.

    All other streams stay empty: what a stream counts in full and what it counts of a sample never share a column. A
    unit weighs 1 among what is counted at once.
    """
    out = np.zeros(plan.width)
    out[-1] = len(seen.units)
    if not seen.units:
        return out
    cells = None
    if plan.bank.season is not None:
        cells = season.cells(np.array(seen.seconds))
        np.add.at(out, plan.bank.season + cells[0], 1.0)
        np.add.at(out, plan.bank.season + season.WEEK + cells[1], 1.0)
    units = numbered(seen.units)
    gaps = np.frombuffer(b"".join(seen.missing), dtype=np.uint8).reshape(len(units), len(gap_fields(plan)))
    column = 0
    for i, item in enumerate(plan.watched):
        part = out[plan.offsets[i] : plan.offsets[i + 1]]
        if isinstance(item.stream, evidence.RateStream):
            outcome = Outcome.REFUSED if item.name == REFUSED else Outcome.FAILED
            bad = np.array([one is outcome for one in seen.outcomes], dtype=np.float64)
            each_unit = _weights(units)
            part += [float(bad @ each_unit), float(each_unit.sum())]
        elif _counts_gaps(item):
            held = np.flatnonzero(gaps[:, column] < 2)
            each_unit = _weights(units[held])
            _count_numbers(item, part, gaps[held, column].astype(np.float64), each_unit, units[held])
            if item.pattern is not None and cells is not None and len(held):
                part[1:3] -= each_unit @ season.residuals(item.pattern, cells[0][held], cells[1][held])
            column += 1
    return out


def unit_numbers(rows: Sequence[Observation], *, by_key: bool) -> NDArray[np.intp]:
    """Return for each row the number of its unit of evidence."""
    return numbered(row.key if by_key else (row.unit or row.id) for row in rows)


def _weights(units: NDArray[np.intp]) -> Floats:
    """Return 1 / rows of the unit, so that each unit weighs 1."""
    if len(units) == 0:
        return np.zeros(0)
    return np.asarray(1.0 / np.bincount(units)[units], dtype=np.float64)


def _count(item: Watched, part: Floats, values: Sequence[float | str], units: NDArray[np.intp]) -> None:
    each_unit = _weights(units)
    if item.places is not None:
        other = len(item.places)
        codes = np.array([item.places.get(str(value), other) for value in values], dtype=np.intp)
        part += np.bincount(codes, weights=each_unit, minlength=other + 1)[: other + 1]
        return
    held = np.array([not isinstance(value, str) for value in values], dtype=np.bool_)
    x = np.array([value for value in values if not isinstance(value, str)], dtype=np.float64)
    _count_numbers(item, part, x, each_unit[held], units[held])


def _count_numbers(item: Watched, part: Floats, x: Floats, w: Floats, units: NDArray[np.intp]) -> None:
    """Count numbers with their weights: score sums over bins, rows beside the tie, sum and sum of squares per unit."""
    if not len(x) or item.edges is None or item.table is None:
        return
    once_each = bool((w == 1.0).all())
    counts = binned(x, item.edges, weights=None if once_each else w)
    part[0] += w.sum()
    part[1:7] += counts @ item.table
    safe = np.clip(x, -1e150, 1e150)
    sums = safe if once_each else np.bincount(units, weights=w * safe)
    part[7] += sums.sum()
    part[8] += float(np.square(sums).sum())  # not by BLAS, whose threads wait for one another


def count_gaps(plan: Plan, gaps: Sequence[tuple[str, float]]) -> Floats:
    """Return the columns of labelled answers, each (key, confidence − right), as one mean per key.

    For a regression each is (key, distance from the label).
    """
    out = np.zeros(plan.width)
    if not gaps:
        return out
    units = numbered(key for key, _ in gaps)
    values = [gap for _, gap in gaps]
    for i, item in enumerate(plan.watched):
        if item.name == ERROR:
            _count(item, out[plan.offsets[i] : plan.offsets[i + 1]], values, units)
            return out
    where = plan.columns(GAP)
    if where is not None:
        x = np.array(values, dtype=np.float64)
        wrong = x > 0.0  # confidence less 1 when right, less 0 when wrong: the sign tells which
        chances = np.where(wrong, 1.0 - x, -x)
        out[where] = _weights(units) @ concept.columns(wrong.astype(np.float64), chances)
    return out
