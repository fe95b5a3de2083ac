"""What the watch could see now: the smallest change it would find at today's traffic, and how long that would take.

A change of squared size D² over n units gives about ½ D²/v of log evidence, v = c (1/n + 1/M). It is found when that
passes the bar: log(A / (w Δ)) for a stream of weight w whose blocks come Δ days apart, plus what the mixtures over
sizes cost. In the mean over chance that is half of the times; the figures are medians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MIXTURE = 2.0
"""Log evidence that is lost to looking for changes of every size (simulated: 1.5 to 2.5 at the sizes that matter)."""
MOST_DAYS = 3_650.0
STEPS = 60
"""Bisections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a stream is compared with, and how often one looks."""

    reference: float
    """Units in the reference and the quiet traffic, over their design effect."""
    weight: float
    """The stream's part of the budget (0 to 1)."""
    log_bar: float
    """log A, A in days."""
    units_per_day: float
    block_days: float
    """Between two blocks (days)."""
    effect: float = 1.0
    """Design effect of the traffic's units."""
    window_variance: float = 0.0
    """τ² of one block's mean by itself, in variances of one unit; over n blocks τ² / n."""


def bar(sight: Sight) -> float:
    """Return the log likelihood ratio at which a change in one stream is an alarm."""
    return max(sight.log_bar - math.log(sight.weight) - math.log(max(sight.block_days, 1e-12)), 1.0) + MIXTURE


def variance(sight: Sight, units: float) -> float:
    """Return the variance of (mean of `units` − mean before) in variances of one unit; inf for none."""
    if units <= 0 or sight.reference <= 0:
        return math.inf
    blocks = max(units / max(sight.units_per_day * sight.block_days, 1e-12), 1.0)
    return sight.effect / units + sight.window_variance / blocks + 1.0 / sight.reference


def smallest(sight: Sight, units: float) -> float:
    """Return the smallest shift, in standard deviations of one unit, that `units` would show: √(2 · bar · v)."""
    return math.sqrt(2.0 * bar(sight) * variance(sight, units))


def smallest_share(sight: Sight, units: float, *, share: float) -> float:
    """Return the smallest change of a share (0 to 1) that `units` would show: √(p (1−p)) times that of a mean."""
    return min(smallest(sight, units) * math.sqrt(max(share * (1.0 - share), 0.0)), 1.0)


def units_to_see(sight: Sight, shift: float) -> float:
    """Return after how many units a shift of that size (in standard deviations) is seen; inf when never."""
    if shift <= 0 or smallest(sight, 1e15) > shift:
        return math.inf
    low, high = 0.0, 1.0
    while smallest(sight, high) > shift:
        low, high = high, 2.0 * high
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if smallest(sight, middle) > shift else (low, middle)
    return high


def days_to_see(sight: Sight, shift: float) -> float:
    """Return after how many days at today's traffic a shift is seen; inf when never, or not within ten years."""
    if sight.units_per_day <= 0:
        return math.inf
    days = units_to_see(sight, shift) / sight.units_per_day
    return days if days <= MOST_DAYS else math.inf
