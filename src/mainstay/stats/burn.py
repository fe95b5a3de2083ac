"""When an error budget burns so fast that somebody must know: several windows, several burn rates.

Beyer et al. (2018), The Site Reliability Workbook, chapter 5, "6: Multiwindow, Multi-Burn-Rate Alerts": with an
objective s the budget is b = 1 − s, and the burn of a window with n calls of which k are bad is (k/n) / b. A rule holds
when the burn of its long window and that of its short one are both at least its threshold: the long one says that it
matters, the short one that it still goes on. Over 30 days the thresholds spend 2 % of the budget in an hour, 5 % in six
hours, 10 % in three days.

Two additions, as a ratio of few calls says little. A threshold is at most half of what is possible (0.5 / b), so that
an objective such as 0.9 can page at all. And the long window must hold at least `LEAST_BAD` bad calls, and so many that
calls which just keep the objective would show them with probability `SURE` at most: P(X ≥ k), X ~ Binomial(n, b).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import scipy

from mainstay.stats.intervals import check_counts

LEAST_BAD = 5
SURE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pair of windows and the burn that both must have."""

    long: timedelta
    short: timedelta
    burn: float
    pages: bool
    """Whether it is urgent; else somebody looks at it within the day."""


RULES = (
    Rule(long=timedelta(hours=1), short=timedelta(minutes=5), burn=14.4, pages=True),
    Rule(long=timedelta(hours=6), short=timedelta(minutes=30), burn=6.0, pages=True),
    Rule(long=timedelta(days=3), short=timedelta(hours=6), burn=1.0, pages=False),
)
WINDOWS = tuple(sorted({window for rule in RULES for window in (rule.long, rule.short)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Calls of one window."""

    calls: int = 0
    bad: int = 0


def burn(counts: Counts, objective: float) -> float:
    """Return how many times as fast as it may the budget of `objective` (0 to 1) burns; 0 where no calls came."""
    check_counts(counts.bad, counts.calls)
    return counts.bad / counts.calls / (1.0 - objective) if counts.calls else 0.0


def threshold(rule: Rule, objective: float) -> float:
    """Return the burn that a rule asks for: its own, or half of what the objective makes possible."""
    return min(rule.burn, 0.5 / (1.0 - objective))


def chance(counts: Counts, objective: float) -> float:
    """Return P(X ≥ bad) for X ~ Binomial(calls, 1 − objective): how easily calls that keep it show so many bad ones.

    For k ≥ 1 it is the regularised incomplete beta function I_b(k, n − k + 1).
    """
    check_counts(counts.bad, counts.calls)
    if counts.bad == 0:
        return 1.0
    return float(scipy.special.betainc(counts.bad, counts.calls - counts.bad + 1, 1.0 - objective))


def holds(rule: Rule, windows: Mapping[timedelta, Counts], objective: float) -> bool:
    """Return whether a rule holds for the calls of each window."""
    long, short, least = windows[rule.long], windows[rule.short], threshold(rule, objective)
    return (
        long.bad >= LEAST_BAD
        and burn(long, objective) >= least
        and burn(short, objective) >= least
        and chance(long, objective) <= SURE
    )


def first_that_holds(
    windows: Mapping[timedelta, Counts], objective: float, rules: Sequence[Rule] = RULES
) -> Rule | None:
    """Return the most urgent rule that holds, or None."""
    return next((rule for rule in rules if holds(rule, windows, objective)), None)


def left(counts: Counts, objective: float) -> float:
    """Return how much of a whole period's budget is left: 1 − burn; below 0 where more was spent than there was."""
    return 1.0 - burn(counts, objective)
