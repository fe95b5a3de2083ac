"""The difference of two arms' means when the split changes, keys are alike, and one looks again and again.

Keys are dealt to the arms at random, a share p to the first; p is known and changes from stratum to stratum. For values
in a known range nothing else is assumed (`bets`); without a range the estimate is taken to be nearly normal (`normal`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats
from mainstay.stats.sequential import BETS
from mainstay.stats.stretches import Places

TIGHT_AT = 1_000.0
"""Effective values at which the asymptotic confidence sequence is tightest."""
LEAST_KEYS = 30
"""As long as fewer keys than this carry an arm's variance, its mean is not taken for nearly normal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Values with the arm and the key of each, in the order in which they came; shape (n,) each."""

    values: Floats
    first: Floats
    """1 for the first arm, 0 for the second."""
    shares: Floats
    """The share of keys that was dealt to the first arm at that time, 0 to 1."""
    keys: Places

    def once(self) -> Dealt:
        """Return each key's first value alone."""
        _, places = np.unique(self.keys, return_index=True)
        held = np.sort(places)
        return Dealt(values=self.values[held], first=self.first[held], shares=self.shares[held], keys=self.keys[held])


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """By how much the first arm's mean is above the second's."""

    difference: float
    low: float
    high: float
    """Each holds at every look with the level asked for."""
    keys: int


def bets(dealt: Dealt, alpha: float) -> Apart:
    """Return the difference of means of values in [0, 1], each key by its first value; nothing else is assumed.

    With A = 1 for the first arm and c the mean of the values before, D = (R − c)(A/p − (1 − A)/(1 − p)) has the
    difference as its mean whatever was seen before (inverse propensity weights; c, known beforehand, only lessens the
    spread) and lies within known limits. Bets against "the mean of D is at most δ": the mean over f of
    Π (1 + f (D − δ)/(δ − low)) (Waudby-Smith, Ramdas 2023, §4; Waudby-Smith et al. 2024, on contextual bandits, §3).
    Later values of a key say nothing new of chance: its arm is the same again.
    """
    once = dealt.once()
    if not len(once.values):
        return Apart(difference=0.0, low=-1.0, high=1.0, keys=0)
    if not bool(np.all((once.values >= 0.0) & (once.values <= 1.0))):
        raise UsageError("a value lies outside 0 to 1")
    scores, low, high = _scores(once)
    bar = math.log(1.0 / alpha)

    def above(delta: float) -> float:
        return _capital((scores - delta) / (delta - low)) - bar

    def below(delta: float) -> float:
        return _capital((delta - scores) / (high - delta)) - bar

    edge = 1.0 - 1e-9
    middle = min(max(float(scores.mean()), -edge), edge)
    lowest = -1.0 if above(-edge) < 0.0 else _crossing(above, -edge, middle)
    highest = 1.0 if below(edge) < 0.0 else _crossing(below, edge, middle)
    return Apart(difference=_plain_difference(once), low=lowest, high=highest, keys=len(once.values))


def normal(dealt: Dealt, alpha: float) -> Apart:
    """Return the difference of means over all values, for any reward whose variance is finite.

    Within each stratum of one share the difference of the arms' means, strata weighted by n₁n₀/(n₁ + n₀); its variance
    from the sums of its influence over keys (Cochran 1977, §6.3), whatever the values of a key have in common. The
    interval is the asymptotic confidence sequence of Waudby-Smith et al. (2024), theorem 2.2, each side at `alpha`:
    ± √(v · 2 (tρ² + 1)/(tρ²) · log(√(tρ² + 1)/(2α))), t = σ²/v. With few keys of an arm there are no limits.
    """
    influence = np.zeros(len(dealt.values))
    total, weight, spread = 0.0, 0.0, 0.0
    for share in np.unique(dealt.shares):
        here = dealt.shares == share
        mine, theirs = here & (dealt.first == 1.0), here & (dealt.first == 0.0)
        n1, n0 = int(mine.sum()), int(theirs.sum())
        if not n1 or not n0:
            continue
        size = n1 * n0 / (n1 + n0)
        m1, m0 = float(dealt.values[mine].mean()), float(dealt.values[theirs].mean())
        total, weight = total + size * (m1 - m0), weight + size
        influence[mine] = size * (dealt.values[mine] - m1) / n1
        influence[theirs] = -size * (dealt.values[theirs] - m0) / n0
        spread += size * (n1 * dealt.values[mine].var() + n0 * dealt.values[theirs].var()) / (n1 + n0)
    keys = len(np.unique(dealt.keys))
    if not weight:
        return Apart(difference=0.0, low=-math.inf, high=math.inf, keys=keys)
    found = total / weight
    least = min(_carrying(influence, dealt, arm) for arm in (0.0, 1.0))
    v = float((np.bincount(dealt.keys, influence / weight) ** 2).sum()) * keys / max(keys - 1, 1)
    if least < LEAST_KEYS or v <= 0.0:
        return Apart(difference=found, low=-math.inf, high=math.inf, keys=keys)
    t = spread / weight / v
    rho2 = (-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha) + 1.0)) / TIGHT_AT
    half = math.sqrt(
        v * 2.0 * (t * rho2 + 1.0) / (t * rho2) * max(math.log(math.sqrt(t * rho2 + 1.0) / (2 * alpha)), 0)
    )
    return Apart(difference=found, low=found - half, high=found + half, keys=keys)


def _carrying(influence: Floats, dealt: Dealt, arm: float) -> float:
    """Return by how many keys an arm's variance is carried: (Σ u²)²/Σ u⁴ of their influences u, at most their number.

    Of a rare reward those that brought it; where a few brought most of it, those few.
    """
    here = dealt.first == arm
    squares = np.bincount(dealt.keys[here], influence[here]) ** 2
    fourth = float((squares * squares).sum())
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else 0.0


def _scores(once: Dealt) -> tuple[Floats, Floats, Floats]:
    """Return D and its limits for each value."""
    n = np.arange(1, len(once.values) + 1)
    before = (0.5 + np.cumsum(once.values) - once.values) / n
    weights = np.where(once.first == 1.0, 1.0 / once.shares, -1.0 / (1.0 - once.shares))
    low = -np.maximum(before / once.shares, (1.0 - before) / (1.0 - once.shares))
    high = np.maximum((1.0 - before) / once.shares, before / (1.0 - once.shares))
    # The difference itself lies within −1 and 1, and the limits must lie beyond whatever is asked about.
    return (once.values - before) * weights, np.minimum(low, -1.0), np.maximum(high, 1.0)


def _capital(gains: Floats) -> float:
    logs = np.log1p(BETS[:, None] * np.maximum(gains, -1.0)[None, :]).sum(axis=1)
    return float(scipy.special.logsumexp(logs) - math.log(len(BETS)))


def _crossing(function: Callable[[float], float], outside: float, inside: float) -> float:
    """Return where the bets stop to exclude, between a point that they exclude and the mean."""
    if function(inside) >= 0.0:
        return inside
    return float(scipy.optimize.brentq(function, outside, inside, xtol=1e-7))


def _plain_difference(dealt: Dealt) -> float:
    """Return the difference of means within strata, weighted as in `normal`."""
    total = weight = 0.0
    for share in np.unique(dealt.shares):
        here = dealt.shares == share
        mine, theirs = dealt.values[here & (dealt.first == 1.0)], dealt.values[here & (dealt.first == 0.0)]
        if len(mine) and len(theirs):
            size = len(mine) * len(theirs) / (len(mine) + len(theirs))
            total, weight = total + size * float(mine.mean() - theirs.mean()), weight + size
    return total / weight if weight else 0.0
