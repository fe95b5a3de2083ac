"""A rule that tells later rows from the reference: learned on one lot of rows, judged on others.

A domain classifier as a sequential two-sample test (Podkopaev and Ramdas 2023; Pandeva et al. 2022): each rule is
learned from traffic before a moment and from one part of the reference, and then ranks the traffic after that moment
against the other part. It never meets a row twice, so that under "nothing changed" its ranks are those of chance,
however it was learned, and a likelihood ratio of where they fall is evidence like any other (`evidence.RankStream`).
Rules may follow each other: each block is ranked by the rule of that time, and by the same rule the reference.
"""

from __future__ import annotations

import numpy as np
import scipy

from mainstay.stats.intervals import Floats
from mainstay.stats.ratios import log_dirichlet_multinomial, log_mean

TAILS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the reference that score highest: the bins of a score."""
PARTS = (0.03, 0.1, 0.3)
"""Shares of the traffic that a change may concern."""
APART = (0.7, 1.2, 2.0, 3.0)
"""How far apart (σ of a binormal score) a rule may put what is new and what was there; areas of .69, .80, .92, .98."""
NOISE = 2.0
"""A difference of so many standard errors and less is taken for noise and not learned."""
NOISE_WORDS = 1.5
"""The same of words: of a new topic many words come up a little."""
MOST_WORDS = 1_000
"""Words of one rule, the most telling ones."""
PRIOR = 0.5
"""Rows that are added to each count of a word."""


def learn_words(now: Floats, rows_now: float, before: Floats, rows_before: float) -> Floats:
    """Return the weight of each word, 0 for those that do not tell; `now`, `before` count the rows that hold it, (V,).

    The naive Bayes weight, the log ratio of the two shares δ = ln[(y+½)/(n+1)] − ln[(y'+½)/(n'+1)], shrunk by
    max(0, 1 − NOISE_WORDS²/G) (a positive-part rule for each word, James and Stein 1961): thousands of words that
    differ by chance would otherwise drown the few that tell. G is the likelihood ratio statistic of the two shares
    (`log_likelihood`), of which a word that one side never held gives its full due; its standard error would not.
    At most MOST_WORDS, by G.
    """
    if rows_now <= 0 or rows_before <= 0:
        return np.zeros_like(now)
    y, y_before = now + PRIOR, before + PRIOR
    delta = np.log(y / (rows_now + 2.0 * PRIOR)) - np.log(y_before / (rows_before + 2.0 * PRIOR))
    found = log_likelihood(now, rows_now, before, rows_before)
    weight = np.asarray(delta * shrinkage(np.sqrt(found), NOISE_WORDS), dtype=np.float64)
    if np.count_nonzero(weight) > MOST_WORDS:
        weight[np.argsort(-found, kind="stable")[MOST_WORDS:]] = 0.0
    return weight


def log_likelihood(now: Floats, rows_now: float, before: Floats, rows_before: float) -> Floats:
    """Return G = 2 Σ O ln(O/E) of each word's table of two by two: rows with it and without, now and before.

    For rare words nearer to its law, χ² with one degree of freedom, than the Wald statistic (Dunning 1993).
    """
    y, b = np.minimum(now, rows_now), np.minimum(before, rows_before)
    share = (y + b) / (rows_now + rows_before)
    total = np.zeros_like(share)
    for count, rows in ((y, rows_now), (b, rows_before)):
        for observed, expected in ((count, rows * share), (rows - count, rows * (1.0 - share))):
            total += scipy.special.xlogy(observed, observed / np.maximum(expected, 1e-12))
    return np.asarray(np.maximum(2.0 * total, 0.0), dtype=np.float64)


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


def shrinkage(z: Floats, noise: float = NOISE) -> Floats:
    """Return max(0, 1 − (noise/z)²): 0 for what may be chance, near 1 for what is certain."""
    safe = np.maximum(np.abs(z), 1e-12)
    return np.asarray(np.maximum(0.0, 1.0 - (noise / safe) ** 2), dtype=np.float64)


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
    """Return the weight of rows in each bin, shape (width,): one bin holds edges[i−1] < score ≤ edges[i].

    The last bin is that above the last edge; where there are fewer edges than width − 1, the first ones are empty.
    """
    bins = np.searchsorted(edges, scores, side="left") + (width - 1 - len(edges))
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

    L = mean over ε in PARTS and d in APART of DM(after; M q) / DM(after; base + ½), DM the Dirichlet-multinomial
    (`ratios.log_dirichlet_multinomial`), M the sum of base + ½ and q = (1−ε) p + ε f_d: a share ε of the traffic is new
    and scores as if d higher on a scale where scores are normal, f_d(tail) = Φ(Φ⁻¹(p(tail)) + d). Given the base the
    denominator is the exact law of the counts under no change, so L is an e-value whatever is put above it; above it
    stands the same knowledge of the base, tilted, so that its error is not taken for a change. −inf where no tail is
    fuller by `share`.
    """
    n, m = after.sum(axis=-1, keepdims=True), base.sum(axis=-1, keepdims=True)
    rise = _tails(after) / np.maximum(n, 1e-12) - _tails(base) / np.maximum(m, 1e-12)
    prior = base + 0.5
    total = prior.sum(axis=-1, keepdims=True)
    changed = [log_dirichlet_multinomial(after, total * q, total[..., 0]) for q in _tilted(prior / total)]
    logs = log_mean(np.stack(changed)) - log_dirichlet_multinomial(after, prior, total[..., 0])
    material = (n[..., 0] > 0) & (rise.max(axis=-1, initial=-np.inf) >= share)
    return np.where(material, logs, -np.inf)


def _tilted(p: Floats) -> list[Floats]:
    """Return the shares of bins for each change that is looked for; each keeps every bin's share above 0."""
    upper = np.cumsum(p[..., ::-1], axis=-1)[..., ::-1]
    place = scipy.special.ndtri(np.clip(upper, 1e-12, 1.0 - 1e-12))
    out = []
    for apart in APART:
        above = scipy.special.ndtr(place + apart)
        above[..., 0] = 1.0
        new = above - np.concatenate((above[..., 1:], np.zeros_like(above[..., :1])), axis=-1)
        out += [(1.0 - part) * p + part * new for part in PARTS]
    return out


def _tails(counts: Floats) -> Floats:
    return np.asarray(np.cumsum(counts[..., ::-1], axis=-1)[..., :-1], dtype=np.float64)
