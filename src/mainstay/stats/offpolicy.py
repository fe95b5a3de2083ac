"""What another policy would have earned, from answers that were given with known chances; and from labels drawn so.

What a policy would have earned is told three ways by `value_of`, and refused where logs can't tell.

Rows were answered (or picked for labelling) with a logged probability. Weighing each by one over it undoes the choice:

    IPS    Σ w r / N,   w = π(a | x) / p(a | x)            Horvitz, Thompson (1952)
    SNIPS  Σ w r / Σ w                                     Hájek (1971); Swaminathan, Joachims (2015)
    DR     Σ (q̂(x, π) + w (r − q̂(x, a))) / N              Dudík, Langford, Li (2011)

with q̂ any guess of the reward that did not see the row's key, and w clipped at `most`: a little bias for much less
variance (Ionides 2008). Limits are over keys, rows of one key being alike: the linearised variance K/(K−1) Σ_k S_k² of
the residuals w (r − value), t with K − 1 degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats

LEAST_KEYS = 5


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
    of: float | None = None,
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
    reach = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, k - 1)) * math.sqrt(k / (k - 1.0) * float(sums @ sums))
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


LEAST_EFFECTIVE = 50.0
"""Fewer rows of equal weight than this say too little: intervals are no longer what they say (docs/exploration.md)."""
MOST_UNSUPPORTED = 0.05
"""A policy that would do more of what was never done than this (share of the rows) can't be told of."""
FOLDS = 5
RIDGE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Decisions as they were logged, one a row; shape (n,) each."""

    reward: Floats
    propensity: Floats
    """Chance of what was done, above 0 to 1."""
    keys: NDArray[np.int64]
    together: NDArray[np.int64] | None = None
    """Which rows one draw moved at once (candidates of a list): they are as certain as one. None: each by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a policy would have done on the same rows; shape (n,) each."""

    chance: Floats
    """π(a | x) of what was done: 1 or 0 where the policy draws nothing."""
    unsupported: Floats
    """How much of the policy's chance lies on what was never done (logged chance 0)."""
    guess_done: Floats | None = None
    """q̂(x, a), the guessed reward of what was done; with `guess_policy` for the doubly robust form."""
    guess_policy: Floats | None = None
    """Σ_a π(a | x) q̂(x, a)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What a policy would have earned a row, three ways; None where logs say nothing of it."""

    snips: Weighted | None
    ips: Weighted | None
    doubly_robust: Weighted | None
    effective: float
    """Rows of equal weight that would be as certain; lists, where one draw moved several rows."""
    matched: int
    """Rows on which the policy might have done what was done."""
    unsupported: float
    """Share of the rows on which it would have done what was never done there."""
    why_not: str
    """Why nothing can be told, or empty."""


def value_of(logged: Logged, target: Target, *, confidence: float = 0.95) -> Value:
    """Return what a policy would have earned, or why that can't be told: no support, too few rows or keys.

    Rows without support are taken to bring what the others bring (SNIPS and IPS) or what is guessed (DR), which is why
    no more than MOST_UNSUPPORTED of them are borne.
    """
    n = len(logged.reward)
    w = weights(target.chance, logged.propensity) if n else np.zeros(0)
    missing = float(target.unsupported.mean()) if n else 0.0
    each_draw = w if logged.together is None else np.bincount(logged.together, weights=w)
    square = float(each_draw @ each_draw)
    effective = float(w.sum() ** 2 / square) if square > 0 else 0.0
    keys = len(np.unique(logged.keys))
    why = ""
    if keys < LEAST_KEYS:
        why = f"{keys} keys were answered with a known chance; at least {LEAST_KEYS} are needed"
    elif missing > MOST_UNSUPPORTED:
        why = f"on {missing:.0%} of the rows it would do what was never done there; at most {MOST_UNSUPPORTED:.0%}"
    elif effective < LEAST_EFFECTIVE:
        why = (
            f"the {'rows' if logged.together is None else 'lists'} on which it would have done what was done count as "
            f"{effective:.0f} of equal weight; at least "
            f"{LEAST_EFFECTIVE:.0f} are needed"
        )
    blank = Value(
        snips=None,
        ips=None,
        doubly_robust=None,
        effective=effective,
        matched=int((target.chance > 0).sum()),
        unsupported=missing,
        why_not=why,
    )
    if why:
        return blank
    robust = None
    if target.guess_done is not None and target.guess_policy is not None:
        each = target.guess_policy + w * (logged.reward - target.guess_done)
        robust = weighted_mean(each, np.ones(n), logged.keys, confidence=confidence)
    return replace(
        blank,
        snips=weighted_mean(logged.reward, w, logged.keys, confidence=confidence),
        ips=weighted_mean(
            logged.reward, w, logged.keys, normalised=False, of=n * (1.0 - missing), confidence=confidence
        ),
        doubly_robust=robust,
    )


def difference(
    logged: Logged, first: Floats, second: Floats, *, confidence: float = 0.95
) -> tuple[float, float, float] | None:
    """Return how much more a first policy would have earned than a second on the same rows: value, low, high.

    `first` and `second` are their weights. The difference of two SNIPS values, with the linearised variance of both
    together by key: rows on which both do the same cancel.
    """
    _, codes = np.unique(logged.keys, return_inverse=True)
    k = int(codes.max()) + 1 if len(codes) else 0
    totals = float(first.sum()), float(second.sum())
    if k < LEAST_KEYS or min(totals) <= 0:
        return None
    one, two = (float(w @ logged.reward) / total for w, total in zip((first, second), totals, strict=True))
    rest = first * (logged.reward - one) / totals[0] - second * (logged.reward - two) / totals[1]
    sums = np.bincount(codes, weights=rest)
    reach = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, k - 1)) * math.sqrt(k / (k - 1.0) * float(sums @ sums))
    return one - two, one - two - reach, one - two + reach


def cross_guessed(done: Floats, other: Floats, reward: Floats, keys: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return guessed rewards of what was done and of what else might have been, each by a model of other keys' rows.

    `done`, `other`: features of both, shape (n, d). Ridge regression of the reward on the features and a constant,
    over FOLDS parts of the keys. However poor the guess, the doubly robust value stays unbiased: the chances are known.
    """
    n = len(reward)
    _, codes = np.unique(keys, return_inverse=True)
    fold = codes % FOLDS
    ones = np.ones((n, 1))
    x, z = np.hstack([done, ones]), np.hstack([other, ones])
    first, second = np.full(n, float(reward.mean()) if n else 0.0), np.full(n, float(reward.mean()) if n else 0.0)
    damp = RIDGE * np.eye(x.shape[1])
    damp[-1, -1] = 1e-9
    for part in range(FOLDS):
        mine = fold == part
        if mine.any() and not mine.all():
            rest = x[~mine]
            slope = np.linalg.solve(rest.T @ rest + damp, rest.T @ reward[~mine])
            first[mine], second[mine] = x[mine] @ slope, z[mine] @ slope
    return first, second
