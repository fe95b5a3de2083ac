"""What the reference rows did over the hours of the week, kept as sums beside each signal's counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.models.signals import Signals
from mainstay.stats import season, window_effects
from mainstay.stats.intervals import Floats
from mainstay.stats.scores import score_table
from mainstay.stats.steps import largest_step, longest_run

LEAST_ROWS = 200
"""Fewer reference rows tell no season."""
WHOLE_YEAR_DAYS = 350.0
"""A reference of so many days has each month once."""
LEAST_DAYS = 2.0
"""A reference of fewer days tells no hour of the day from the day itself."""
MOST_CATEGORIES = 24
"""A field of more values is not matched by season: 168 hours of so many would outweigh the rest of the profile."""
DIGITS = 4


def times_of(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> list[datetime] | None:
    """Return the declared time of each row, or None unless every row carries one."""
    if contract.time is None:
        return None
    found = [_moment(row.get(contract.time)) for row in rows]
    times = [moment for moment in found if moment is not None]
    return times if times and len(times) == len(found) else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def with_season(
    profile: Profile, table: Sequence[Signals], segments: Sequence[Sequence[str]], times: Sequence[datetime]
) -> Profile:
    """Return the profile with what each signal does over the week, where rows and days are enough to tell.

    `table` holds the signals of each row, `segments` the names of those that it is in, `times` when it was.
    """
    seconds = np.array([moment.timestamp() for moment in times], dtype=np.float64)
    signals = _with_ways(profile.signals, table, np.argsort(seconds, kind="stable"))
    known = msgspec.structs.replace(profile, first_at=min(times), last_at=max(times), signals=signals)
    if len(seconds) < LEAST_ROWS or np.ptp(seconds) < LEAST_DAYS * season.SECONDS_PER_DAY:
        return known
    week, month = season.cells(seconds)
    members = {
        name: np.array([name in own for own in segments]) for name in {s.segment for s in profile.signals if s.segment}
    }
    out = []
    for signal in known.signals:
        values = [row.get(signal.name) for row in table]
        held = np.array([value is not None for value in values], dtype=np.bool_)
        if signal.segment:
            held &= members[signal.segment]
        if held.sum() < LEAST_ROWS or (len(signal.counts) > MOST_CATEGORIES and signal.kind is SignalKind.CATEGORY):
            out.append(signal)
            continue
        measures = measures_of(signal, [value for value, keep in zip(values, held, strict=True) if keep])
        out.append(summed(signal, measures, week[held], month[held], seconds[held]))
    return msgspec.structs.replace(known, signals=out)


def _with_ways(
    signals: Sequence[SignalProfile], table: Sequence[Signals], order: NDArray[np.intp]
) -> list[SignalProfile]:
    """Return the signals with how numbers of all traffic go in that order: the longest stay and the largest step."""
    rows = [table[i] for i in order.tolist()]
    out = []
    for signal in signals:
        if signal.kind is SignalKind.NUMERIC and not signal.segment:
            x = np.array([value for row in rows if (value := row.get(signal.name)) is not None], dtype=np.float64)
            signal = msgspec.structs.replace(signal, longest_run=longest_run(x), largest_step=largest_step(x))  # noqa: PLW2901
        out.append(signal)
    return out


def measures_of(signal: SignalProfile, values: Sequence[Any]) -> Floats:
    """Return per row what is added up (the columns of `SignalProfile.week`)."""
    if signal.kind is SignalKind.CATEGORY:
        places = {value: i for i, value in enumerate(signal.values)}
        codes = np.array([places.get(str(value), len(places)) for value in values], dtype=np.intp)
        return np.eye(len(places) + 1)[codes]
    bins = np.searchsorted(np.asarray(signal.edges), np.array(values, dtype=np.float64), side="right")
    top = int(np.argmax(signal.counts))
    scores = score_table(signal.counts)[bins, :2]
    return np.column_stack([np.ones(len(bins)), scores, scores**2, bins < top, bins > top])


def summed(
    signal: SignalProfile, measures: Floats, week: NDArray[np.intp], month: NDArray[np.intp], seconds: Floats
) -> SignalProfile:
    """Return the signal with the sums of `measures` (n, m) by hour of the week and month, and how its hours vary."""
    by_week, by_month = (
        season.sums_by(week, measures, season.WEEK),
        season.sums_by(month, measures, season.MONTHS),
    )
    whole_year = np.ptp(seconds) >= WHOLE_YEAR_DAYS * season.SECONDS_PER_DAY
    effects = []
    for months in (None, by_month) if whole_year else (None,):
        parts = season.Parts(month=months is not None)
        pattern = pattern_of(signal.kind, by_week, parts=parts, months=months)
        effects.append(np.round(_effects(signal, pattern, measures, (week, month), seconds), DIGITS).tolist())
    return msgspec.structs.replace(
        signal,
        week=np.round(by_week, DIGITS).tolist(),
        months=np.round(by_month, DIGITS).tolist(),
        effects=effects[0],
        month_effects=effects[1] if whole_year else [],
    )


def _effects(
    signal: SignalProfile,
    pattern: season.Pattern,
    measures: Floats,
    cells: tuple[NDArray[np.intp], NDArray[np.intp]],
    seconds: Floats,
) -> Floats:
    """Return how the hours of the reference vary beside the pattern."""
    values = measures if signal.kind is SignalKind.CATEGORY else measures[:, 1:3]
    rest = values - pattern.grand - season.residuals(pattern, *cells)
    inside = pattern.inside[cells[0]]
    if signal.kind is SignalKind.CATEGORY:
        # One measure for the mix: its most usual value's, which the others mirror.
        top = [int(np.argmax(signal.counts))]
        rest, inside = rest[:, top], inside[:, top]
    hours = np.floor(seconds / season.SECONDS_PER_HOUR).astype(np.int64)
    return window_effects.of_reference(hours, rest, inside)


def pattern_of(
    kind: SignalKind,
    week: Floats,
    *,
    parts: season.Parts = season.Parts(),  # noqa: B008 - frozen
    months: Floats | None = None,
    effect: float = 1.0,
) -> season.Pattern:
    """Return the pattern of a signal's sums by hour of the week: of two scores, or of the share of each category."""
    if kind is SignalKind.CATEGORY:
        rows = week.sum(axis=1)
        by_month = None if months is None else (months.sum(axis=1), months)
        return season.fit(rows, week, week, parts=parts, effect=effect, months=by_month)
    by_month = None if months is None else (months[:, 0], months[:, 1:3])
    return season.fit(week[:, 0], week[:, 1:3], week[:, 3:5], parts=parts, effect=effect, months=by_month)


def tie_pattern_of(
    week: Floats,
    *,
    parts: season.Parts = season.Parts(),  # noqa: B008 - frozen
    months: Floats | None = None,
    effect: float = 1.0,
) -> season.Pattern:
    """Return the pattern of a numeric signal's being below, at and above the bin that most rows have."""
    three = _three(week)
    by_month = None if months is None else (months[:, 0], _three(months))
    return season.fit(week[:, 0], three, three, parts=parts, effect=effect, months=by_month)


def _three(sums: Floats) -> Floats:
    return np.column_stack([sums[:, 5], sums[:, 0] - sums[:, 5] - sums[:, 6], sums[:, 6]])
