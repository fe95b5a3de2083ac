"""What the watch could see now: said beside "no alarm", which means little where nothing could have been seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from mainstay.core.profiles import Profile
from mainstay.stats import detectable
from mainstay.stats.evidence import CategoryStream, NumericStream
from mainstay.watch import streams
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.window import CONFIDENCE

DROP = 0.10
"""The drop in accuracy whose discovery is told (0 to 1)."""
LEAST_HOURS = 1.0
"""Traffic of less time tells no pace."""
NEAR = timedelta(days=15)
"""A day of the year counts as seen when the reference holds one so near."""
YEAR = timedelta(days=365)
TWO_YEARS = timedelta(days=2 * 365 - 14)


def of(state: WatchState, comparison: Comparison, profile: Profile) -> dict[str, Any] | None:
    """Return what is detectable now as plain values, or None before the reference or the traffic tells anything.

    `sigma_ever` is the smallest shift of a numeric field that any amount of traffic could show against the reference
    and the quiet traffic so far, `sigma_day` what a day's traffic would show, `share_day` the same for a category of
    half the rows. `drop_days` is after how many days a drop of DROP in accuracy would be seen that lowers the
    calibrated confidence by as much; None: never, at this traffic, or no confidence is told.
    """
    sight = sight_of(state, comparison)
    if sight is None:
        return None
    sd = next((s.sd for s in profile.signals if s.name == CONFIDENCE and not s.segment), 0.0)
    days = detectable.days_to_see(sight, DROP / sd) if sd > 0 else math.inf
    found = {
        "units_per_day": sight.units_per_day,
        "compared_with": round(sight.reference),
        "design_effect": round(sight.effect, 2),
        "sigma_ever": detectable.smallest(sight, 1e15),
        "sigma_day": detectable.smallest(sight, sight.units_per_day),
        "share_day": detectable.smallest_share(sight, sight.units_per_day, share=0.5),
        "drop": DROP,
        "drop_days": days if math.isfinite(days) else None,
        "has_confidence": sd > 0,
    }
    return {**found, "text": sentence(found)}


def sight_of(state: WatchState, comparison: Comparison) -> detectable.Sight | None:
    """Return what the confidence (else the numeric field with most rows) is compared with, and how often one looks."""
    effects, plan = state.history.effects, comparison.plan
    whole = [
        (i, item)
        for i, item in enumerate(plan.watched)
        if not item.segment and isinstance(item.stream, NumericStream | CategoryStream)
    ]
    if effects is None or not whole or effects.days * 24.0 < LEAST_HOURS:
        return None
    chosen = next((pair for pair in whole if pair[1].name == CONFIDENCE), whole[0])
    stream = chosen[1].stream
    if not isinstance(stream, NumericStream | CategoryStream):
        return None
    base = stream.rows if isinstance(stream, NumericStream) else float(stream.base.sum())
    start, prefix = comparison.assessment.start, state.history.prefix
    before = prefix[start] if comparison.alarm and start < len(prefix) else state.history.totals
    where = plan.columns(streams.FAILED)
    quiet = 0.0 if where is None or len(before) == 0 else float(before[where][1])
    repeats = 1.0 + (state.history.repeats - 1.0) * stream.correlation
    window = effects.variance(plan.bank, np.ones(1))[plan.bank.contrast_of[chosen[0]], 0]
    return detectable.Sight(
        reference=base + quiet / repeats,
        weight=stream.weight,
        log_bar=comparison.log_bar,
        units_per_day=effects.rows / effects.days,
        block_days=effects.days / effects.windows,
        effect=repeats,
        window_variance=float(window),
    )


def sentence(found: Mapping[str, Any]) -> str:
    """Return what is detectable now in words."""
    per_day = f"{found['units_per_day']:,.0f} {'unit' if round(found['units_per_day']) == 1 else 'units'} a day"
    ever = found["sigma_ever"]
    told = (
        f"At today's traffic ({per_day}), compared with {found['compared_with']:,} units of reference and quiet "
        f"traffic, a day shows a shift of {found['sigma_day']:.2g} standard deviations in one number, or of "
        f"{found['share_day'] * 100:.2g} points in a share of one half; no traffic could show less than {ever:.2g} yet"
    )
    if not found["has_confidence"]:
        return told + "."
    points = f"{found['drop'] * 100:.0f}-point drop in accuracy"
    if found["drop_days"] is None:
        return f"{told}. A {points} would not be seen at this traffic, even where the confidence falls with it."
    return f"{told}. A {points} that lowers the confidence as much would be seen in {_days(found['drop_days'])}."


def _days(days: float) -> str:
    if days >= 2.0:
        return f"{math.ceil(days)} days"
    hours = max(math.ceil(days * 24.0), 1)
    return f"{hours} {'hour' if hours == 1 else 'hours'}"


def season_note(profile: Profile, since: datetime, now: datetime) -> str:
    """Return what the reference cannot know of this season, or an empty string.

    Traffic from `since` to `now` is outside the season seen when the reference holds no rows within 15 days of the same
    days of the year; a reference of less than two years never tells one year's own variation from a change.
    """
    first, last = profile.first_at, profile.last_at
    if first is None or last is None or not any(signal.week for signal in profile.signals):
        return ""
    held = f"The reference holds rows from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    if not (_seen(first, last, since) and _seen(first, last, now)):
        return (
            f"{held}: these requests are outside the season seen, and a change of the season and a change of the world "
            "are not distinguishable here."
        )
    if last - first < TWO_YEARS:
        return f"{held}: less than two years cannot tell the year's own variation from a change that stays."
    return ""


def _seen(first: datetime, last: datetime, moment: datetime) -> bool:
    """Return whether the reference holds a day within NEAR of the same day of some year."""
    if last - first >= YEAR - NEAR:
        return True
    for years in range(first.year - moment.year, last.year - moment.year + 1):
        try:
            same = moment.replace(year=moment.year + years)
        except ValueError:  # 29 February
            same = moment.replace(year=moment.year + years, day=28)
        if first - NEAR <= same <= last + NEAR:
            return True
    return first - NEAR <= moment <= last + NEAR
