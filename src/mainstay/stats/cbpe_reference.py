"""What label-free estimates need of the reference rows, learned from them and their truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.core.quality import MetricReference, ReferenceQuality
from mainstay.stats import additive, cbpe, ranking
from mainstay.stats.additive import Codes, Values
from mainstay.stats.cbpe import Sums
from mainstay.stats.intervals import Floats

BINS = 50
"""Bins of equal reference rows in which scores are counted."""
CALIBRATE_ROWS = 200
"""Reference rows from which the scores are calibrated once more; fewer are taken as they are."""
CALIBRATE_OF_EACH = 20
"""Rows of either outcome for that."""
PERIOD_ROWS = 100
MOST_PERIODS, LEAST_PERIODS = 12, 4
PERIOD_LEVEL = 0.9
"""Periods count as different when their spread passes this quantile of what chance gives."""
LEAST_ROWS = 50
SEGMENT_ROWS = 30
MOST_SEGMENTS = 50
REPEATED = 1.2
"""Rows per key from which the reference tells how alike outcomes of a key are."""

Moves = Mapping[str, Floats]
"""For each metric the part of each row in (metric with the truth − metric by the estimate), to first order."""


def learn_binary(
    score: Floats,
    said: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    keys: Codes,
    *,
    classes: Sequence[str],
    rows: Sequence[Values] = (),
    segments: Mapping[str, Codes] | None = None,
    moments: Floats | None = None,
) -> ReferenceQuality | None:
    """Return what two-class reference rows say; None for fewer than LEAST_ROWS rows, or truth of one class only.

    `score` of the last class in `classes`, `said` whether it was the answer, `truth` whether it is. `rows` are the
    measured signals (for overlap and attribution), `segments` name -> row numbers, `moments` the rows' times.
    """
    y = truth.astype(np.float64)
    if len(y) < LEAST_ROWS or not 0 < y.sum() < len(y):
        return None
    edges = _edges(score)
    few = min(y.sum(), len(y) - y.sum()) < CALIBRATE_OF_EACH or len(y) < CALIBRATE_ROWS
    knots, chances = (np.zeros(0), np.zeros(0)) if few else cbpe.isotonic(score, y)
    made = _bare("binary", keys, knots, chances, edges, score, classes)
    p = cbpe.calibrated(made, score)

    def sums(index: Codes, chance: Floats) -> Sums:
        return cbpe.binary_sums(edges, chance[index], score[index], said[index], keys[index])

    def metrics(index: Codes) -> dict[str, MetricReference]:
        expected = cbpe.points(made, sums(index, p))
        real = cbpe.points(made, sums(index, y)) | {"log_loss": (_log_loss(p[index], y[index]), 0.0)}
        if "roc_auc" in expected:
            exact = ranking.area(score[index][~truth[index]], score[index][truth[index]])
            real["roc_auc"] = (exact.value, 0.0)
        moves = _binary_moves(edges, p[index], score[index], said[index], expected)
        return _metrics(real, expected, {name: m * (y - p)[index] for name, m in moves.items()}, keys[index])

    def gaps(index: Codes) -> dict[str, tuple[float, float]]:
        expected = cbpe.points(made, sums(index, p))
        real = cbpe.points(made, sums(index, y)) | {"log_loss": (_log_loss(p[index], y[index]), 0.0)}
        return {name: (real[name][0] - value, variance) for name, (value, variance) in expected.items() if name in real}

    return _finished(made, y - p, (said != truth).astype(np.float64), keys, rows, segments, moments, metrics, gaps)


def learn_classes(
    confidence: Floats,
    said: Codes,
    truth: Codes,
    keys: Codes,
    *,
    classes: Sequence[str],
    probabilities: Floats | None = None,
    rows: Sequence[Values] = (),
    segments: Mapping[str, Codes] | None = None,
    moments: Floats | None = None,
) -> ReferenceQuality | None:
    """Return what reference rows of several classes say; `said` and `truth` are places in `classes` (−1: another).

    None for fewer than LEAST_ROWS rows.
    """
    n = len(confidence)
    if n < LEAST_ROWS:
        return None
    right = (said == truth).astype(np.float64)
    few = min(right.sum(), n - right.sum()) < CALIBRATE_OF_EACH or n < CALIBRATE_ROWS
    knots, chances = (np.zeros(0), np.zeros(0)) if few else cbpe.isotonic(confidence, right)
    edges = _edges(confidence)
    made = _bare("multiclass", keys, knots, chances, edges, confidence, classes)
    c = cbpe.calibrated(made, confidence)
    p = None if probabilities is None else cbpe.spread_out(probabilities, said, c)
    y = np.zeros((n, len(classes)))
    y[np.flatnonzero(truth >= 0), truth[truth >= 0]] = 1.0
    if p is not None:
        mix = np.column_stack(
            [
                np.bincount(said, minlength=len(classes)) / n,
                p.mean(axis=0),
                np.bincount(said, weights=c, minlength=len(classes)) / n,
            ]
        )
        made = msgspec.structs.replace(made, mix=[[float(f"{x:.6g}") for x in row] for row in mix.tolist()])

    def sums(index: Codes, chance: Floats, each: Floats | None) -> Sums:
        return cbpe.class_sums(
            edges, made.mix, confidence[index], said[index], keys[index], right=chance[index],
            p=None if each is None else each[index],
        )  # fmt: skip

    def both(index: Codes) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
        expected = cbpe.points(made, sums(index, c, p))
        real = cbpe.points(made, sums(index, right, None if p is None else y))
        if p is not None:
            chosen = np.clip((p * y).sum(axis=1)[index], cbpe.TINY, 1.0)
            real["log_loss"] = (float(-np.log(chosen).mean()), 0.0)
        return real, expected

    def metrics(index: Codes) -> dict[str, MetricReference]:
        real, expected = both(index)
        count = len(index)
        parts = {"accuracy": (right - c)[index] / count}
        if p is not None:
            rest = (y - p)[index]
            parts["log_loss"] = (rest * -np.log(np.clip(p[index], cbpe.TINY, 1.0))).sum(axis=1) / count
            moves = cbpe.class_moves(np.asarray(made.mix), said[index], count)
            for name, move in zip(("macro_f1", "macro_precision", "macro_recall"), moves, strict=True):
                parts[name] = (rest * move).sum(axis=1) / count
        return _metrics(real, expected, parts, keys[index])

    def gaps(index: Codes) -> dict[str, tuple[float, float]]:
        real, expected = both(index)
        return {name: (real[name][0] - value, variance) for name, (value, variance) in expected.items() if name in real}

    return _finished(made, right - c, 1.0 - right, keys, rows, segments, moments, metrics, gaps)


def learn_numbers(
    answers: Floats,
    truth: Floats,
    keys: Codes,
    *,
    rows: Sequence[Values],
    segments: Mapping[str, Codes] | None = None,
    moments: Floats | None = None,
) -> ReferenceQuality | None:
    """Return what reference rows of a regression say: an additive model of the absolute and the squared error.

    (NannyML's DLE learns the loss with boosted trees; an additive one needs sums of traffic alone and knows how far it
    was from its rows.) None for fewer than LEAST_ROWS rows.
    """
    if len(truth) < LEAST_ROWS:
        return None
    error = np.abs(answers - truth)
    made = _bare("regression", keys, np.zeros(0), np.zeros(0), [], np.zeros(0), ())
    steps = additive.steps_of(rows, error)
    design = additive.code(steps, rows)
    model, square = additive.fit(design, error, keys), additive.fit(design, error**2, keys)
    made = msgspec.structs.replace(
        made,
        error=additive.stored(steps, model),
        square=[float(f"{value:.7g}") for value in square.beta.tolist()],
        square_residual=float(f"{square.residual:.7g}"),
    )

    def both(index: Codes) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
        expected = cbpe.points(made, cbpe.count_numbers(made, design[index], keys[index]))
        root = math.sqrt(float((error[index] ** 2).mean()))
        return {"mae": (float(error[index].mean()), 0.0), "rmse": (root, 0.0)}, expected

    def metrics(index: Codes) -> dict[str, MetricReference]:
        real, expected = both(index)
        _, se = model.expect(design[index].mean(axis=0))
        return {
            name: MetricReference(real=_short(real[name][0]), estimated=_short(value), se=_short(se))
            for name, (value, _) in expected.items()
        }

    def gaps(index: Codes) -> dict[str, tuple[float, float]]:
        real, expected = both(index)
        return {name: (real[name][0] - value, variance) for name, (value, variance) in expected.items()}

    rest = error - design @ model.beta
    done = _finished(made, rest, error, keys, (), segments, moments, metrics, gaps)
    return msgspec.structs.replace(done, error=made.error)


def _bare(
    task: str,
    keys: Codes,
    knots: Floats,
    chances: Floats,
    edges: Sequence[float],
    score: Floats,
    classes: Sequence[str],
) -> ReferenceQuality:
    place = np.searchsorted(np.asarray(edges, dtype=np.float64), score, side="right")
    return ReferenceQuality(
        task=task,
        rows=len(keys),
        keys=len(np.unique(keys)),
        classes=list(classes),
        positive=classes[-1] if task == "binary" else "",
        knots=knots.tolist(),
        chances=chances.tolist(),
        score_edges=list(edges),
        score_rows=np.bincount(place, minlength=len(edges) + 1).tolist() if len(score) else [],
    )


def _edges(score: Floats) -> list[float]:
    inner = np.unique(np.quantile(score, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    return [float(edge) for edge in inner.tolist() if edge > score.min()]


def _log_loss(p: Floats, y: Floats) -> float:
    q = np.clip(p, cbpe.TINY, 1.0 - cbpe.TINY)
    return float(-(y * np.log(q) + (1.0 - y) * np.log1p(-q)).mean())


def _binary_moves(
    edges: Sequence[float],
    p: Floats,
    score: Floats,
    said: NDArray[np.bool_],
    expected: Mapping[str, tuple[float, float]],
) -> dict[str, Floats]:
    """Return by how much a metric moves when a row's outcome does, from the probability to 1."""
    n, answered, true = len(p), float(said.sum()), float(p.sum())
    is_said = said.astype(np.float64)
    q = np.clip(p, cbpe.TINY, 1.0 - cbpe.TINY)
    out = {"accuracy": (2.0 * is_said - 1.0) / n, "log_loss": -np.log(q / (1.0 - q)) / n}
    if answered > 0:
        out["precision"] = is_said / answered
    if true > 0:
        out["recall"] = (is_said - expected["recall"][0]) / true
        out["f1"] = (2.0 * is_said - expected["f1"][0]) / (answered + true)
    if "roc_auc" in expected:
        place = np.searchsorted(np.asarray(edges, dtype=np.float64), score, side="right")
        trues = np.bincount(place, weights=p, minlength=len(edges) + 1)
        falses = np.bincount(place, weights=1.0 - p, minlength=len(edges) + 1)
        below, above = np.cumsum(falses) - falses / 2.0, true - np.cumsum(trues) + trues / 2.0
        out["roc_auc"] = ((below - above - expected["roc_auc"][0] * (n - 2.0 * true)) / (true * (n - true)))[place]
    return out


def _metrics(
    real: Mapping[str, tuple[float, float]], expected: Mapping[str, tuple[float, float]], parts: Moves, keys: Codes
) -> dict[str, MetricReference]:
    out = {}
    for name, (value, _) in expected.items():
        if name not in real:
            continue
        se = _key_error(parts[name], keys) if name in parts else 0.0
        out[name] = MetricReference(real=_short(real[name][0]), estimated=_short(value), se=_short(se))
    return out


def _key_error(parts: Floats, keys: Codes) -> float:
    """Return the standard error of Σ parts, robust to keys."""
    _, codes = np.unique(keys, return_inverse=True)
    sums = np.bincount(codes, weights=parts)
    return math.sqrt(len(sums) / max(len(sums) - 1.0, 1.0) * float((sums**2).sum()))


def _finished(
    made: ReferenceQuality,
    rest: Floats,
    loss: Floats,
    keys: Codes,
    rows: Sequence[Values],
    segments: Mapping[str, Codes] | None,
    moments: Floats | None,
    metrics: Callable[[Codes], dict[str, MetricReference]],
    gaps: Callable[[Codes], dict[str, tuple[float, float]]],
) -> ReferenceQuality:
    """Add the metrics of all rows and of each segment, the keys' correlation and the model of the loss."""
    every = np.arange(len(keys), dtype=np.intp)
    whole = metrics(every)
    effect = 1.0
    correlation = None
    if len(keys) >= REPEATED * made.keys:
        _, codes = np.unique(keys, return_inverse=True)
        correlation = _short(additive.correlation(rest - rest.mean(), codes.astype(np.intp)))
        effect += (float((np.bincount(codes) ** 2).sum()) / len(keys) - 1.0) * correlation
    spreads = _period_spreads(moments, gaps, effect)
    whole = {name: msgspec.structs.replace(held, period_sd=spreads.get(name)) for name, held in whole.items()}
    error, overlap = None, None
    if len(rows):
        steps = additive.steps_of(rows, loss)
        design = additive.code(steps, rows)
        model = additive.fit(design, loss, keys)
        error = additive.stored(steps, model)
        overlap = _period_overlap(_periods(moments), design, model)
    large = sorted((segments or {}).items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_SEGMENTS]
    parts = {name: metrics(index) for name, index in sorted(large) if len(index) >= SEGMENT_ROWS}
    return msgspec.structs.replace(
        made, metrics=whole, segments=parts, correlation=correlation, error=error, period_overlap=overlap
    )


def _periods(moments: Floats | None) -> list[Codes]:
    """Return the rows of each period of the reference; none where their times tell nothing or are too few."""
    if moments is None or len(np.unique(moments)) < len(moments) / 10:
        return []
    count = min(MOST_PERIODS, len(moments) // PERIOD_ROWS)
    if count < LEAST_PERIODS:
        return []
    return [part.astype(np.intp) for part in np.array_split(np.argsort(moments, kind="stable"), count)]


def _period_overlap(periods: Sequence[Codes], design: Floats, model: additive.Fit) -> float | None:
    shares = [additive.overlap(model, design[part].mean(axis=0), len(part)) for part in periods]
    return _short(float(np.median(shares))) if shares else None


def _period_spreads(
    moments: Floats | None, gaps: Callable[[Codes], dict[str, tuple[float, float]]], effect: float
) -> dict[str, float]:
    """Return for each metric the standard deviation between periods of (truth − estimate), beyond chance.

    Moments (DerSimonian, Laird 1986, §2, equal weights): τ² = s² − mean v over the periods' gaps, 0 unless
    (G−1) s² / mean v passes the PERIOD_LEVEL quantile of χ². Rows without different times give nothing.
    """
    parts = _periods(moments)
    count = len(parts)
    if not parts:
        return {}
    found = [gaps(part) for part in parts]
    out = {}
    for name in set.intersection(*(set(one) for one in found)):
        values, variances = np.array([one[name] for one in found]).T
        square, chance = float(values.var(ddof=1)), float(variances.mean()) * effect
        passes = (count - 1) * square > chance * float(scipy.stats.chi2.ppf(PERIOD_LEVEL, count - 1))
        out[name] = _short(math.sqrt(square - chance)) if passes and square > chance else 0.0
    return out


def _short(value: float) -> float:
    return float(f"{value:.7g}")
