"""How well scores order the candidates of a group (a query, a session): NDCG@k, MRR and MAP@k, group by group."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
METRICS = ("ndcg", "mrr", "map")
WEIGHT = "weight"


def per_row(relevance: Floats, scores: Floats, groups: Sequence[Hashable], *, at: int) -> Mapping[str, Floats]:
    """Return for each row the metrics of its group, by name, and the row's `weight`: 1 / rows of its group.

    So the weighted mean over rows is the mean over groups, also when whole groups are drawn twice. A group without any
    relevant candidate says nothing about an order: its weight is 0.
    """
    relevance, scores = np.asarray(relevance, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    out = {name: np.zeros(len(relevance)) for name in (*METRICS, WEIGHT)}
    places: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    for found in places.values():
        rows = np.array(found, dtype=np.intp)
        truth = relevance[rows]
        if not (truth > 0).any():
            continue
        out[WEIGHT][rows] = 1.0 / len(rows)
        out["ndcg"][rows] = ndcg(truth, scores[rows], at=at)
        out["mrr"][rows] = reciprocal_rank(truth, scores[rows])
        out["map"][rows] = average_precision(truth, scores[rows], at=at)
    return out


def mean(name: str, held: Mapping[str, Floats], rows: NDArray[np.integer] | None = None) -> float:
    """Return the mean of a metric over the groups of all rows, or of `rows` (repeats count); NaN where none counts."""
    values, weights = (held[key] if rows is None else held[key][rows] for key in (name, WEIGHT))
    total = float(weights.sum())
    return min(float(values @ weights) / total, 1.0) if total > 0 else float("nan")


def take(held: Mapping[str, Floats], rows: NDArray[np.integer]) -> Mapping[str, Floats]:
    """Return what is held of the rows at those positions."""
    return {name: values[rows] for name, values in held.items()}


def ndcg(relevance: Floats, scores: Floats, *, at: int) -> float:
    """Return the normalised discounted cumulative gain of the first `at`, 0 to 1; NaN without a relevant candidate.

    DCG@k = Σ_{i ≤ k} (2^rel_i − 1) / log2(i + 1) (Burges et al. 2005), divided by that of the best order. Candidates of
    one score share the mean of their gains (McSherry, Najork 2008), as scikit-learn's `ndcg_score` has it.
    """
    gains = np.exp2(relevance) - 1.0
    discounts = np.where(np.arange(len(gains)) < at, 1.0 / np.log2(np.arange(len(gains)) + 2.0), 0.0)
    best = float(np.sort(gains)[::-1] @ discounts)
    if best <= 0:
        return float("nan")
    _, tied, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    means = np.bincount(tied, weights=gains) / counts
    ends = np.cumsum(counts)
    reached = np.concatenate([[0.0], np.cumsum(discounts)])
    return float(means @ (reached[ends] - reached[ends - counts])) / best


def reciprocal_rank(relevance: Floats, scores: Floats) -> float:
    """Return 1 / rank of the first relevant candidate (grade above 0), 0 without one; ties count against the model."""
    order = _pessimistic(relevance, scores)
    first = np.flatnonzero(relevance[order] > 0)
    return 1.0 / (int(first[0]) + 1) if len(first) else 0.0


def average_precision(relevance: Floats, scores: Floats, *, at: int) -> float:
    """Return AP@k = Σ_{i ≤ k} precision(i) · [i relevant] / min(relevant, k), 0 without a relevant candidate.

    Relevant is a grade above 0. Ties count against the model: a constant score earns nothing by the order of its rows.
    """
    hits = relevance[_pessimistic(relevance, scores)] > 0
    total = int(hits.sum())
    if not total:
        return 0.0
    top = hits[:at]
    precision = np.cumsum(top) / np.arange(1, len(top) + 1)
    return float(precision @ top) / min(total, at)


def ranks(scores: Sequence[float]) -> list[int]:
    """Return the rank of each candidate, 1 for the highest score; of equal scores the earlier one comes first."""
    out = [0] * len(scores)
    for rank, place in enumerate(sorted(range(len(scores)), key=lambda place: (-scores[place], place)), start=1):
        out[place] = rank
    return out


def _pessimistic(relevance: Floats, scores: Floats) -> NDArray[np.intp]:
    """Return the order by falling score, of one score the least relevant first."""
    return np.lexsort((relevance, -scores))
