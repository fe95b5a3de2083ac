"""What another policy would have earned, from answers that were given with known chances; and from labels drawn so.

Rows were answered (or picked for labelling) with a logged probability. Weighing each by one over it undoes the choice:

    IPS    Σ w r / N,   w = π(a | x) / p(a | x)            Horvitz, Thompson (1952)
    SNIPS  Σ w r / Σ w                                     Hájek (1971); Swaminathan, Joachims (2015)

with w clipped at `most`: a little bias for much less variance (Ionides 2008). Limits are over keys, rows of one key
being alike: the linearised variance K/(K−1) Σ_k S_k² of the residuals w (r − value), t with K − 1 degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats

LEAST_KEYS = 5
LEAST_PER_ANSWER = 20
"""Rows with one answer from which on it is told that none of them has a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A weighted mean with its interval."""

    value: float
    low: float
    high: float
    rows: int
    keys: int
    effective: float
    """Rows of equal weight that would be as certain: (Σ w)² / Σ w² (Kish 1965)."""
    clipped: int
    """Rows whose weight was cut."""


def weights(target: Floats, logged: Floats) -> Floats:
    """Return π/p for each row. Raises UsageError where a row was chosen with probability 0, or none was logged."""
    if not bool(np.all((logged > 0) & (logged <= 1))):
        bad = logged[~((logged > 0) & (logged <= 1))][0]
        raise UsageError(
            f"a row was chosen with probability {bad!r}; allowed: above 0, at most 1",
            remedy="Leave out rows without a logged probability; what never could be chosen says nothing.",
        )
    return np.asarray(target / logged, dtype=np.float64)


def weighted_mean(
    r: Floats,
    w: Floats,
    keys: NDArray[np.int64],
    *,
    normalised: bool = True,
    of: int | None = None,
    most: float | None = None,
    confidence: float = 0.95,
) -> Weighted | None:
    """Return the mean of `r` under weights `w`, by key; None for fewer than LEAST_KEYS keys.

    `normalised`: divided by the sum of weights (SNIPS, Hájek), which is what to take unless the number of rows that
    could have been chosen, `of`, is known (IPS, Horvitz–Thompson; default: these rows). `most`: the largest weight.
    """
    n = len(r)
    _, codes = np.unique(keys, return_inverse=True)
    k = int(codes.max()) + 1 if n else 0
    if k < LEAST_KEYS:
        return None
    cut = w if most is None else np.minimum(w, most)
    total = float(cut.sum()) if normalised else float(of if of is not None else n)
    if total <= 0:
        return None
    value = float(cut @ r) / total
    rest = cut * (r - value) if normalised else cut * r
    sums = np.bincount(codes, weights=rest) / total
    if not normalised:  # what is summed has a mean of its own
        sums = sums - sums.mean()
    reach = float(stats.t.ppf(0.5 + confidence / 2.0, k - 1)) * math.sqrt(k / (k - 1.0) * float(sums @ sums))
    return Weighted(
        value=value,
        low=value - reach,
        high=value + reach,
        rows=n,
        keys=k,
        effective=float(cut.sum() ** 2 / (cut @ cut)) if bool(cut.any()) else 0.0,
        clipped=0 if most is None else int((w > most).sum()),
    )


def epsilon_greedy(is_best: NDArray[np.bool_], *, share: float, choices: int) -> Floats:
    """Return with what probability each answer was given, if `share` of them were drawn evenly from `choices`."""
    return np.asarray(np.where(is_best, 1.0 - share, 0.0) + share / choices, dtype=np.float64)


def unlabelled_answers(answered: dict[str, int], labelled: dict[str, int]) -> list[str]:
    """Return the answers of which no row has a label though others have: labels exist only for what was chosen so.

    An answer counts from LEAST_PER_ANSWER rows on, and where at the rate of the others at least five labels would be
    expected: none then has a chance below 1 % (Poisson, e⁻⁵).
    """
    rows, labels = sum(answered.values()), sum(labelled.values())
    rate = labels / rows if rows else 0.0
    return sorted(
        name
        for name, count in answered.items()
        if count >= LEAST_PER_ANSWER and not labelled.get(name) and rate * count >= 5.0
    )
