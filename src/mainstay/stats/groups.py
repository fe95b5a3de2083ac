"""Means of rows that are not independent, from sums over random groups of keys; and whether one is below a floor for
sure.

Keys (customers) are dealt to G groups by a hash. Whatever the rows of one key have in common, groups are independent of
one another, so the spread between groups tells how uncertain the mean is (random groups: Wolter 2007, chapter 2). With
sums S_g over n_g rows, N = Σ n_g and m = Σ S_g / N, the linearised variance of the ratio is

    v = G/(G−1) · Σ_g (S_g − m n_g)² / N²        (Cochran 1977, §6.3)

over the groups that have rows. Sums add up: over hours, servers, and restarts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from mainstay.core.errors import UsageError
from mainstay.stats.evidence import NEVER
from mainstay.stats.intervals import Floats, Interval
from mainstay.stats.ratios import log_normal_ratio

LEAST_GROUPS = 20
"""Fewer groups with rows than this say nothing of the spread."""
LEAST_ROWS = 50
LEAST_SIGNAL = 30.0
"""A floor is judged from N · floor² / σ² of this on: for a rare event, about so many expected ones."""
TIGHT_AT = 1_000.0
"""Independent rows at which the confidence sequence is tightest."""
VARIANCE_SURE = 0.05
"""The variance between groups is taken at its upper limit of this level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Rows, sums and sums of squares of a value, by group of keys; shape (G,) each."""

    rows: Floats
    total: Floats
    square: Floats

    @property
    def n(self) -> float:
        """Return the number of rows."""
        return float(self.rows.sum())

    @property
    def mean(self) -> float:
        """Return the mean over rows; NaN without any."""
        return float(self.total.sum()) / self.n if self.n > 0 else math.nan

    @property
    def spread(self) -> float:
        """Return the variance of one row, σ²."""
        return max(0.0, float(self.square.sum()) / self.n - self.mean**2) if self.n > 0 else math.nan

    @property
    def groups(self) -> int:
        """Return how many groups have rows."""
        return int((self.rows > 0).sum())


def variance(sums: Sums) -> float:
    """Return the variance of the mean over rows; inf with fewer than two groups, never below that of one row per key.

    No smaller than σ²/N: groups that agree too well by chance do not make it certain.
    """
    groups = sums.groups
    if groups < 2:
        return math.inf
    held = sums.rows > 0
    squares = float(((sums.total[held] - sums.mean * sums.rows[held]) ** 2).sum())
    return max(groups / (groups - 1.0) * squares / sums.n**2, sums.spread / sums.n)


def confidence_sequence(sums: Sums, alpha: float) -> Interval:
    """Return an interval for the mean that holds at every look at once, with probability about 1 − `alpha`.

    Asymptotic confidence sequence (Waudby-Smith et al. 2024, theorem 2.2): m ± √(σ² · 2 (tρ²+1)/(t²ρ²) ·
    log(√(tρ²+1)/α)) with σ² = v t, t the rows that independent ones would need for v, and ρ tightest at `TIGHT_AT`
    (their equation 8, to first order). Fewer than `LEAST_GROUPS` groups: (−inf, inf).
    """
    if not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha {alpha!r} is not between 0 and 1", remedy="Pass for example 0.05.")
    if sums.groups < LEAST_GROUPS or sums.n < LEAST_ROWS:
        return -math.inf, math.inf
    v, spread = variance(sums), sums.spread
    if v <= 0.0:
        return sums.mean, sums.mean
    t = spread / v
    rho2 = (-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha) + 1.0)) / TIGHT_AT
    half = math.sqrt(v * 2.0 * (t * rho2 + 1.0) / (t * rho2) * math.log(math.sqrt(t * rho2 + 1.0) / alpha))
    return sums.mean - half, sums.mean + half


def log_below(sums: Sums, floor: float, *, spread: float) -> float:
    """Return the log evidence that the mean is below `floor`: a likelihood ratio against "it is the floor".

    `ratios.log_normal_ratio` of the distance, D = floor − m where that is above 0, in units of σ; else nothing,
    log 0. `spread`: σ² as known from elsewhere, at least; of yes-or-no values that of the floor itself counts too. The
    variance between groups is taken at its upper limit (χ²), for G is small. Where the mean is above the floor the
    evidence only gets smaller. Too few rows or groups give log 0 (`LEAST_…`).
    """
    return float(_log_below(sums.rows[None, :], sums.total[None, :], sums.square[None, :], floor, spread)[0])


def _log_below(rows: Floats, total: Floats, square: Floats, floor: float, spread: float) -> Floats:
    """Return `log_below` for many sums at once, shape (k, G) each."""
    n, held = rows.sum(axis=1), rows > 0
    groups = held.sum(axis=1)
    enough = (groups >= LEAST_GROUPS) & (n >= LEAST_ROWS)
    safe = np.where(enough, n, 1.0)
    mean = total.sum(axis=1) / safe
    sigma2 = np.maximum(square.sum(axis=1) / safe - mean**2, spread)
    if 0.0 < floor < 1.0:
        # Every value was 0 or 1: then x² = x, and the spread at the floor itself is known.
        yes_or_no = np.isclose(square.sum(axis=1), total.sum(axis=1), rtol=1e-9, atol=1e-9)
        sigma2 = np.where(yes_or_no, np.maximum(sigma2, floor * (1.0 - floor)), sigma2)
    usable = enough & (mean < floor) & (sigma2 > 0.0)
    sigma2 = np.where(usable, sigma2, 1.0)
    usable &= n * floor**2 / sigma2 >= LEAST_SIGNAL
    degrees = np.maximum(groups - 1.0, 1.0)
    limit = degrees / scipy.special.chdtri(degrees, 1.0 - VARIANCE_SURE)
    squares = np.where(held, (total - mean[:, None] * rows) ** 2, 0.0).sum(axis=1)
    v = np.maximum((degrees + 1.0) / degrees * squares / safe**2 * limit, sigma2 / safe)
    logs = log_normal_ratio((floor - mean) ** 2 / sigma2, v / sigma2, 1)
    return np.where(usable, logs, NEVER)


def log_below_since(blocks: Sequence[Sums], days: Sequence[float], floor: float, *, spread: float) -> tuple[float, int]:
    """Return the log evidence that the mean fell below `floor` at some time, and since which block most likely.

    `blocks` oldest first, `days` the length of each. The evidence of every start ν, from ν to the end, is summed with
    the days that ν stands for, as in `stats.evidence`: less the elapsed days it is a martingale at the floor. −1: no
    start.
    """
    if not blocks:
        return NEVER, -1
    rows = np.cumsum([b.rows for b in blocks[::-1]], axis=0)[::-1]
    total = np.cumsum([b.total for b in blocks[::-1]], axis=0)[::-1]
    square = np.cumsum([b.square for b in blocks[::-1]], axis=0)[::-1]
    logs = _log_below(rows, total, square, floor, spread)
    if not np.isfinite(logs).any():
        return NEVER, -1
    return float(scipy.special.logsumexp(logs + np.log(np.asarray(days)))), int(np.argmax(logs))
