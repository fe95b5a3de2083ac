"""A rule that tells later rows from the reference: learned on one lot of rows, judged on others.

A domain classifier as a sequential two-sample test (Podkopaev and Ramdas 2023; Pandeva et al. 2022): each rule is
learned from traffic before a moment and from one part of the reference, and then ranks the traffic after that moment
against the other part. It never meets a row twice, so that under "nothing changed" its ranks are those of chance,
however it was learned, and a likelihood ratio of where they fall is evidence like any other (`evidence.RankStream`).
"""

from __future__ import annotations

import numpy as np

from mainstay.stats.intervals import Floats
from mainstay.stats.ratios import log_category_ratio, log_mean

TAILS = (0.5, 0.2, 0.1, 0.05, 0.02)
"""Shares of the reference that score highest, and are looked for more often: a new topic fills a small one."""
NOISE = 2.0
"""A difference of so many standard errors and less is taken for noise and not learned."""
MOST_WORDS = 400
"""Words of one rule, the most telling ones."""
PRIOR = 0.5
"""Rows that are added to each count of a word."""


def learn_words(now: Floats, rows_now: float, before: Floats, rows_before: float) -> Floats:
    """Return the weight of each word, 0 for those that do not tell; `now`, `before` count the rows that hold it, (V,).

    The naive Bayes weight, the log ratio of the two shares δ = ln[(y+½)/(n+1)] − ln[(y'+½)/(n'+1)], shrunk by
    max(0, 1 − (NOISE/z)²), z = δ/σ, σ² = 1/(y+½) + 1/(y'+½) (a positive-part rule for each word, James and Stein 1961):
    thousands of words that differ by chance would otherwise drown the few that tell. At most MOST_WORDS, by |z|.
    """
    if rows_now <= 0 or rows_before <= 0:
        return np.zeros_like(now)
    y, y_before = now + PRIOR, before + PRIOR
    delta = np.log(y / (rows_now + 2.0 * PRIOR)) - np.log(y_before / (rows_before + 2.0 * PRIOR))
    z = delta / np.sqrt(1.0 / y + 1.0 / y_before)
    weight = np.asarray(delta * shrinkage(z), dtype=np.float64)
    if np.count_nonzero(weight) > MOST_WORDS:
        weight[np.argsort(-np.abs(z), kind="stable")[MOST_WORDS:]] = 0.0
    return weight


def learn_columns(now: Floats, rows_now: float, before: Floats, rows_before: float, variances: Floats) -> Floats:
    """Return the weight of each column, from its means now and before; `variances` are those of the reference.

    w_j = d_j / s_j² · max(0, 1 − (NOISE/z_j)²), d_j the difference of means, z_j = d_j / √(s_j² (1/n + 1/n')): Fisher's
    rule with a diagonal covariance (Dudoit, Fridlyand, Speed 2002) and shrunken differences (Tibshirani et al. 2002).
    """
    if rows_now <= 0 or rows_before <= 0:
        return np.zeros_like(now)
    s2 = np.maximum(variances, 1e-9)
    d = now - before
    z = d / np.sqrt(s2 * (1.0 / rows_now + 1.0 / rows_before))
    return np.asarray(np.where(variances > 1e-9, d / s2 * shrinkage(z), 0.0), dtype=np.float64)


def shrinkage(z: Floats) -> Floats:
    """Return max(0, 1 − (NOISE/z)²): 0 for what may be chance, near 1 for what is certain."""
    safe = np.maximum(np.abs(z), 1e-12)
    return np.asarray(np.maximum(0.0, 1.0 - (NOISE / safe) ** 2), dtype=np.float64)


def edges_of(scores: Floats, weights: Floats) -> Floats:
    """Return the scores above which the shares TAILS of the reference lie, ascending, equal ones merged.

    A tail is all rows with a score above its edge, so of many equal scores none is parted.
    """
    if len(scores) == 0 or weights.sum() <= 0:
        return np.zeros(0)
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    places = np.searchsorted(below, 1.0 - np.array(TAILS) - 1e-12)
    edges = np.unique(scores[order][np.minimum(places, len(scores) - 1)])
    return np.asarray(edges[edges < scores.max()], dtype=np.float64)


def spread(scores: Floats, weights: Floats, edges: Floats, width: int) -> Floats:
    """Return the weight of rows in each bin, shape (width,): bin i holds edges[i−1] < score ≤ edges[i]."""
    bins = np.searchsorted(edges, scores, side="left")
    return np.asarray(np.bincount(bins, weights=weights, minlength=width)[:width], dtype=np.float64)


def area(before: Floats, now: Floats) -> float:
    """Return the area under the ROC curve that binned scores give, ties counted half; an empty side gives ½."""
    if before.sum() <= 0 or now.sum() <= 0:
        return 0.5
    p, q = before / before.sum(), now / now.sum()
    lower = np.concatenate(([0.0], np.cumsum(p)[:-1]))
    return float((q * (lower + 0.5 * p)).sum())


def log_rank_ratio(after: Floats, base: Floats, share: float) -> Floats:
    """Return the log likelihood ratio that high scores became more common; counts per bin, shape (…, bins).

    L = mean over the upper tails of `log_category_ratio` of (in the tail, not in it) where the tail is fuller than in
    the base, else 0: dropping the other direction keeps it an e-value. −inf where no tail is fuller by `share`.
    """
    n, m = after.sum(axis=-1, keepdims=True), base.sum(axis=-1, keepdims=True)
    top, top_base = _tails(after), _tails(base)
    rise = top / np.maximum(n, 1e-12) - top_base / np.maximum(m, 1e-12)
    pairs = np.stack((top, n - top), axis=-1), np.stack((top_base, m - top_base), axis=-1)
    logs = np.where(rise > 0, log_category_ratio(*pairs), -np.inf)
    material = (n[..., 0] > 0) & (rise.max(axis=-1, initial=-np.inf) >= share)
    return np.where(material, log_mean(logs, axis=-1), -np.inf)


def _tails(counts: Floats) -> Floats:
    return np.asarray(np.cumsum(counts[..., ::-1], axis=-1)[..., :-1], dtype=np.float64)
