"""An additive model of a loss: a constant and a step function of each signal. Linear, so that mean columns give means.

With φ the coded columns of a row, E[loss | row] = φᵀβ, and the mean loss of any traffic is φ̄ᵀβ of its mean columns: the
estimate needs no row again. Its variance φ̄ᵀVφ̄ grows by itself where traffic lies in columns of few reference rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.core.quality import LossModel, Step
from mainstay.stats.intervals import Floats

Codes = NDArray[np.intp]
Values = Mapping[str, float | str | None]
RIDGE = 1.0
"""Each column counts as so many more rows whose loss is what the constant says."""
BINS = 6
MOST_STEPS = 8
MOST_VALUES = 8
LEAST_ROWS = 5
"""A value of a category needs so many reference rows for a column of its own."""
REACH = 0.1
"""Numbers up to this share of the reference's range beyond its ends belong to the outermost bin."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A fitted model; `LossModel` is its stored form."""

    beta: Floats
    covariance: Floats
    mean: Floats
    gram: Floats
    rows: int
    keys: int
    residual: float
    correlation: float = 0.0

    def expect(self, mean: Floats) -> tuple[float, float]:
        """Return the mean loss of traffic with these mean columns, and the standard error that the model brings."""
        return float(mean @ self.beta), math.sqrt(max(float(mean @ self.covariance @ mean), 0.0))


def steps_of(rows: Sequence[Values], loss: Floats, *, most: int = MOST_STEPS, bins: int = BINS) -> list[Step]:
    """Return how the signals that explain most of the loss are coded; those of one value only are left out.

    Ranked by the share of the loss's variance between the levels, less what chance gives (levels / rows).
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    ranked: list[tuple[float, Step]] = []
    for name in names:
        step = _step(name, [row.get(name) for row in rows], bins)
        if step is None:
            continue
        level = _levels(step, [row.get(name) for row in rows])
        count = np.bincount(level, minlength=step.width).astype(np.float64)
        held = count > 0
        means = np.bincount(level, weights=loss, minlength=step.width)[held] / count[held]
        between = float(count[held] @ (means - loss.mean()) ** 2) / len(loss)
        spread = float(loss.var())
        ranked.append((between / spread - step.width / len(loss) if spread > 0 else 0.0, step))
    return [step for _, step in sorted(ranked, key=lambda pair: (-pair[0], pair[1].name))[:most]]


def _step(name: str, values: Sequence[float | str | None], bins: int) -> Step | None:
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        counted = Counter(texts)
        often = sorted((v for v in counted if counted[v] >= LEAST_ROWS), key=lambda v: (-counted[v], v))[:MOST_VALUES]
        if len(often) < 2 and len(often) == len(counted):
            return None
        return Step(name=name, values=sorted(often)) if often else None
    x = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(x) < LEAST_ROWS or float(x.min()) == float(x.max()):
        return None
    inner = np.unique(np.quantile(x, np.arange(1, bins) / bins, method="inverted_cdf"))
    low, high = float(x.min()), float(x.max())
    reach = REACH * (high - low)
    inner = inner[(inner > low) & (inner <= high)]
    if len(inner) == 0:
        inner = np.array([np.nextafter(low, np.inf)])
    return Step(name=name, edges=[low - reach, *inner.tolist(), high + reach])


def _levels(step: Step, values: Sequence[float | str | None]) -> Codes:
    """Return each value's column within the step; the last one for what belongs to none."""
    other = step.width - 1
    if step.values:
        places = {value: i for i, value in enumerate(step.values)}
        return np.array([places.get(str(v), other) if v is not None else other for v in values], dtype=np.intp)
    x = np.array([np.nan if v is None or isinstance(v, str) else float(v) for v in values], dtype=np.float64)
    edges = np.asarray(step.edges, dtype=np.float64)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, other - 1)
    inside = (x >= edges[0]) & (x <= edges[-1])
    return np.where(inside, place, other).astype(np.intp)


def code(steps: Sequence[Step], rows: Sequence[Values]) -> Floats:
    """Return the coded rows, shape (n, 1 + Σ widths): the constant, then one 0/1 column for each level."""
    out = np.zeros((len(rows), 1 + sum(step.width for step in steps)))
    out[:, 0] = 1.0
    place = 1
    every = np.arange(len(rows))
    for step in steps:
        out[every, place + _levels(step, [row.get(step.name) for row in rows])] = 1.0
        place += step.width
    return out


def fit(design: Floats, loss: Floats, keys: Codes, *, ridge: float = RIDGE) -> Fit:
    """Fit β = (ΦᵀΦ + Λ)⁻¹ Φᵀy, Λ = ridge on every column but the constant; `keys` number the units of evidence.

    V = A⁻¹ (K/(K−1) Σ_k s_k s_kᵀ + σ² Λ) A⁻¹ with A = ΦᵀΦ + Λ and s_k the sum of φ·residual over key k: the variance
    robust to keys (Liang, Zeger 1986) and what the prior N(0, σ²/ridge) leaves open where no row was.
    """
    n, d = design.shape
    prior = _prior(d, ridge)
    inverse = np.linalg.inv(design.T @ design + prior)
    beta = inverse @ (design.T @ loss)
    rest = loss - design @ beta
    _, codes = np.unique(keys, return_inverse=True)
    count = int(codes.max()) + 1 if n else 0
    sums = np.zeros((count, d))
    np.add.at(sums, codes, design * rest[:, None])
    residual = float(rest @ rest) / max(n - min(d, n // 2), 1)
    meat = sums.T @ sums * (count / max(count - 1.0, 1.0)) + residual * prior
    return Fit(
        beta=beta,
        covariance=inverse @ meat @ inverse,
        mean=design.mean(axis=0),
        gram=design.T @ design / n,
        rows=n,
        keys=count,
        residual=residual,
        correlation=correlation(rest, codes),
    )


def _prior(d: int, ridge: float) -> Floats:
    prior = np.full(d, ridge)
    prior[0] = 0.0
    return np.diag(prior)


def correlation(rest: Floats, codes: Codes) -> float:
    """Return the intra-class correlation of residuals of one key, within [0, 1]: mean product of two over mean square.

    Without a key of two rows it is 0.
    """
    counts = np.bincount(codes).astype(np.float64)
    pairs = float((counts * (counts - 1.0)).sum())
    square = float(rest @ rest) / len(rest) if len(rest) else 0.0
    if pairs <= 0 or square <= 0:
        return 0.0
    sums = np.bincount(codes, weights=rest)
    product = float((sums**2).sum() - rest @ rest) / pairs
    return min(max(product / square, 0.0), 1.0)


def overlap(before: Fit, mean: Floats, rows: float) -> float:
    """Return an upper bound on the share of the reference that looks like traffic with these mean columns, 0 to 1.

    With w the density ratio, E[w²] ≥ φ̄ᵀ G⁻¹ φ̄ (the best w that is linear in φ), and 1/E[w²] is the share of effective
    rows that weighting leaves (Kish 1965). What chance adds, (d − 1)/rows, is taken off; G has the prior's rows in it.
    """
    d = len(mean)
    ratio = float(mean @ np.linalg.solve(before.gram + _prior(d, RIDGE) / max(before.rows, 1), mean))
    return 1.0 / max(ratio - (d - 1) / max(rows, 1.0), 1.0)


def restrict(model: Fit, columns: NDArray[np.bool_]) -> Fit:
    """Return the model of the same rows without some columns (the constant must stay), from its sums alone.

    Φᵀy = (ΦᵀΦ + Λ)β is known, so β is exact; the covariance takes the sums of the whole model's residuals, plus what
    the columns that went explained, as if it were independent between keys.
    """
    n, d = model.rows, len(model.beta)
    full = model.gram * n + _prior(d, RIDGE)
    product = full @ model.beta
    gram = model.gram[np.ix_(columns, columns)]
    prior = _prior(int(columns.sum()), RIDGE)
    inverse = np.linalg.inv(gram * n + prior)
    beta = inverse @ product[columns]
    explained = float(model.beta @ model.gram @ model.beta - beta @ gram @ beta)
    residual = model.residual + max(explained, 0.0)
    meat = (full @ model.covariance @ full)[np.ix_(columns, columns)] + max(explained, 0.0) * n * gram
    return Fit(
        beta=beta,
        covariance=inverse @ meat @ inverse,
        mean=model.mean[columns],
        gram=gram,
        rows=n,
        keys=model.keys,
        residual=residual,
        correlation=model.correlation,
    )


def stored(steps: Sequence[Step], model: Fit, *, digits: int = 7) -> LossModel:
    """Return a model as it stands in a bundle, numbers rounded to `digits` significant ones."""
    return LossModel(
        steps=list(steps),
        beta=_rounded(model.beta, digits),
        mean=_rounded(model.mean, digits),
        covariance=_rounded(_packed(model.covariance), digits),
        gram=_rounded(_packed(model.gram), digits),
        rows=model.rows,
        keys=model.keys,
        residual=float(f"{model.residual:.{digits}g}"),
        correlation=float(f"{model.correlation:.{digits}g}"),
    )


def restored(model: LossModel) -> Fit:
    """Return a stored model."""
    return Fit(
        beta=np.array(model.beta),
        covariance=_unpacked(model.covariance, len(model.beta)),
        mean=np.array(model.mean),
        gram=_unpacked(model.gram, len(model.beta)),
        rows=model.rows,
        keys=model.keys,
        residual=model.residual,
        correlation=model.correlation,
    )


def _packed(square: Floats) -> Floats:
    return np.asarray(square[np.tril_indices(len(square))], dtype=np.float64)


def _unpacked(triangle: Sequence[float], d: int) -> Floats:
    out = np.zeros((d, d))
    out[np.tril_indices(d)] = triangle
    return np.asarray(out + np.tril(out, -1).T, dtype=np.float64)


def _rounded(values: Floats, digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values.tolist()]
