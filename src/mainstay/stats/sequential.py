"""Anytime-valid tools: intervals and e-values that hold at every look at once, so that peeking costs nothing.

A confidence sequence (low, high) at level `alpha` contains the truth at all n simultaneously with probability at least
1 − alpha. An e-value of a true hypothesis exceeds 1/alpha at any time with probability at most alpha (Ville 1939).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats, Interval, check_counts

BETS = np.array([0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 0.95])
"""Fractions of the capital put at risk, mixed with equal weights."""
SHARE_CONCENTRATIONS = np.array([10.0, 100.0, 1000.0])
"""How far from the declared share a wrong split is looked for."""
_UNDERFLOW = 1e-290
_STEPS = 45
"""Bisections: the limits are exact to 2⁻⁴⁵ of the range."""


def _check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha {alpha!r} is not between 0 and 1", remedy="Pass for example 0.01.")


def _log_likelihood(p: float, successes: float, failures: float) -> float:
    return float(scipy.special.xlogy(successes, p) + scipy.special.xlog1py(failures, -p))


def _boundary(excluded: Callable[[float], bool], outside: float, inside: float) -> float:
    """Return the last excluded point between `outside` (excluded) and `inside` (not), by bisection."""
    for _ in range(_STEPS):
        middle = 0.5 * (outside + inside)
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside


def bernoulli_sequence(successes: float, n: float, alpha: float) -> Interval:
    """Return the confidence sequence for a Bernoulli rate after `n` trials.

    Beta-binomial mixture (Robbins 1970; Howard et al. 2021, §3.2) with the Beta(½, ½) prior of Krichevsky and Trofimov:
    {p : B(s+½, n−s+½) / B(½, ½) / (p^s (1−p)^(n−s)) < 1/alpha}. The likelihood is log-concave in p, so that the set is
    an interval. n = 0 gives (0, 1).
    """
    check_counts(successes, n)
    _check_alpha(alpha)
    if n <= 0:
        return 0.0, 1.0
    failures = n - successes
    mixture = float(scipy.special.betaln(successes + 0.5, failures + 0.5) - scipy.special.betaln(0.5, 0.5))
    level = mixture + math.log(alpha)

    def excluded(p: float) -> bool:
        return _log_likelihood(p, successes, failures) <= level

    peak = successes / n
    low = _boundary(excluded, 0.0, peak) if excluded(0.0) else 0.0
    high = _boundary(excluded, 1.0, peak) if excluded(1.0) else 1.0
    return low, high


def bernoulli_limits(successes: float, n: float, alpha: float) -> Interval:
    """Return a lower and an upper limit of a Bernoulli rate, each of which holds at all n with probability 1 − `alpha`.

    The rates that `log_bernoulli_above` excludes on either side: tighter than `bernoulli_sequence` where only one side
    matters, for the mixture is over that side alone. n = 0 gives (0, 1).
    """
    check_counts(successes, n)
    _check_alpha(alpha)
    if n <= 0:
        return 0.0, 1.0
    bar, edge = math.log(1.0 / alpha), 1e-12
    failures, peak = n - successes, min(max(successes / n, edge), 1.0 - edge)

    def too_low(p: float) -> bool:
        return log_bernoulli_above(successes, n, p) >= bar

    def too_high(p: float) -> bool:
        return log_bernoulli_above(failures, n, 1.0 - p) >= bar

    low = _boundary(too_low, edge, peak) if too_low(edge) else 0.0
    high = _boundary(too_high, 1.0 - edge, peak) if too_high(1.0 - edge) else 1.0
    return low, high


def bernoulli_difference_sequence(first: tuple[float, float], second: tuple[float, float], alpha: float) -> Interval:
    """Return the confidence sequence for p₁ − p₂ of two independent streams, each given as (successes, n).

    The difference of two sequences at alpha/2 each (Bonferroni), valid whatever the order of arrivals.
    """
    low1, high1 = bernoulli_sequence(*first, alpha / 2.0)
    low2, high2 = bernoulli_sequence(*second, alpha / 2.0)
    return low1 - high2, high1 - low2


def log_bernoulli_above(successes: float, n: float, rate: float) -> float:
    """Return the log e-value against "the true rate is at most `rate`".

    Mixture of likelihood ratios p^s(1−p)^(n−s) / rate^s(1−rate)^(n−s) over Beta(½, ½) restricted to p > rate. For every
    true rate below `rate` each of them is a supermartingale (monotone likelihood ratio), and so is the mixture.
    n = 0 gives 0; `rate` must lie between 0 and 1.
    """
    check_counts(successes, n)
    if not 0.0 < rate < 1.0:
        raise UsageError(f"rate {rate!r} is not between 0 and 1")
    failures = n - successes
    a, b = successes + 0.5, failures + 0.5
    tail = float(scipy.special.betainc(b, a, 1.0 - rate))
    log_prior_mass = math.log(float(scipy.special.betainc(0.5, 0.5, 1.0 - rate)))
    if tail < _UNDERFLOW:
        # The rate seen is far below `rate`: the integrand falls from its edge like exp(-slope (p - rate)).
        slope = failures / (1.0 - rate) - successes / rate
        density = -0.5 * math.log(rate * (1.0 - rate)) - float(scipy.special.betaln(0.5, 0.5))
        return min(0.0, density - math.log(slope) - log_prior_mass)
    evidence = float(scipy.special.betaln(a, b) - scipy.special.betaln(0.5, 0.5)) + math.log(tail) - log_prior_mass
    return evidence - _log_likelihood(rate, successes, failures)


def _log_capital(x: Floats, weight: Floats, m: float) -> float:
    """Return the log of the mean over bets of Π (1 + f (x/m − 1)), x and m in [0, 1]."""
    growth = np.log1p(BETS[:, None] * (x[None, :] / m - 1.0)) @ weight
    peak = float(growth.max())
    return peak + math.log(float(np.exp(growth - peak).mean()))


def bounded_mean_sequence(values: ArrayLike, alpha: float) -> Interval:
    """Return the confidence sequence for the mean of values in [−1, 1] (a paired difference).

    Betting with diversified Kelly bets (Waudby-Smith, Ramdas 2023, §4 and B): values are mapped to [0, 1]; for each
    candidate mean m the capital of bets on "larger", mean over f of Π (1 + f (x/m − 1)), falls in m, and that of bets
    on "smaller" (the same on 1 − x) grows in m; each excludes m once it reaches 2/alpha. The order of the values does
    not matter. Any dependence is allowed while the conditional mean stays the same: pass one value per unit.
    Empty gives (−1, 1); NaN and values outside [−1, 1] are refused.
    """
    _check_alpha(alpha)
    y = np.asarray(values, dtype=np.float64).ravel()
    if y.size == 0:
        return -1.0, 1.0
    if not bool(np.all(np.abs(y) <= 1.0)):
        bad = y[~(np.abs(y) <= 1.0)][0]
        raise UsageError(f"a value is {bad!r}; allowed: -1 to 1", remedy="Leave out pairs without a value, or rescale.")
    distinct, counts = np.unique((y + 1.0) / 2.0, return_counts=True)
    weight = counts.astype(np.float64)
    bar = math.log(2.0 / alpha)
    low = _lower_limit(distinct, weight, bar)
    high = 1.0 - _lower_limit(1.0 - distinct, weight, bar)
    return 2.0 * low - 1.0, 2.0 * high - 1.0


def _lower_limit(x: Floats, weight: Floats, bar: float) -> float:
    """Return the largest mean in [0, 1] that bets on "larger" exclude, or 0."""
    mean = float(x @ weight / weight.sum())
    tiny = 1e-12
    if mean <= tiny or _log_capital(x, weight, tiny) < bar:
        return 0.0
    return _boundary(lambda m: _log_capital(x, weight, m) >= bar, tiny, mean)


def bounded_mean_above(values: ArrayLike, m: float) -> float:
    """Return the log e-value against "the mean of values in [−1, 1] is at most `m`": bets on "larger"."""
    y = np.asarray(values, dtype=np.float64).ravel()
    if y.size == 0:
        return 0.0
    if not -1.0 < m < 1.0 or not bool(np.all(np.abs(y) <= 1.0)):
        raise UsageError(f"mean {m!r} or a value lies outside -1 to 1")
    distinct, counts = np.unique((y + 1.0) / 2.0, return_counts=True)
    return _log_capital(distinct, counts.astype(np.float64), (m + 1.0) / 2.0)


def sample_ratio_e_value(n_challenger: int, n: int, share: float) -> float:
    """Return the e-value against "each unit went to the challenger with probability `share`".

    Mixture as in Lindon and Malek (2022), Beta(κ share, κ (1−share)) against share, averaged over κ in {10, 100, 1000}:
    B(κ share + c, κ (1−share) + n − c) / B(κ share, κ (1−share)) / (share^c (1−share)^(n−c)). n = 0 gives 1. A share of
    0 or 1 gives 1 as long as every unit went where it must, then inf. Capped at 1e300.
    """
    check_counts(n_challenger, n)
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"share {share!r} is not between 0 and 1")
    if n == 0:
        return 1.0
    if share in (0.0, 1.0):
        return 1.0 if n_challenger == share * n else math.inf
    a, b = SHARE_CONCENTRATIONS * share, SHARE_CONCENTRATIONS * (1.0 - share)
    log_mixture = scipy.special.betaln(a + n_challenger, b + n - n_challenger) - scipy.special.betaln(a, b)
    log_likelihood = _log_likelihood(share, n_challenger, n - n_challenger)
    log_e = float(scipy.special.logsumexp(log_mixture) - math.log(len(a))) - log_likelihood
    return math.exp(min(log_e, 690.0))
