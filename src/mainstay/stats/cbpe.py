"""Quality without labels, from calibrated probabilities: what would be measured if every answer had its label.

Confidence-based performance estimation (NannyML's CBPE): with p the probability that a row is of a class, each cell of
the confusion matrix is expected to hold the sum of p, and metrics follow. All is kept as sums over rows, so that blocks
add up to windows. A window's interval is for the metric on its very rows, whose labels alone are not known: outcomes
are drawn with their p (a Poisson-binomial law, linearised), more alike within a key than chance; beside this stands
what the calibration on finite reference rows leaves open, and how far truth strayed from the estimate between periods
of the reference. It rests on one assumption: that a score means the same as on the reference rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.core.quality import ReferenceQuality
from mainstay.stats import additive
from mainstay.stats.intervals import Floats, normal_quantile

Codes = NDArray[np.intp]
Sums = dict[str, Floats]
"""Named sums over rows; the same names add up."""
TINY = 1e-6
"""Probabilities are kept this far from 0 and 1 in the log loss."""
KEY_CORRELATION = 0.3
"""Assumed between two outcomes of one key where the reference has each key about once."""
LEAST_OVERLAP = 0.25
"""Below this share of reference rows that look like a window's, its estimate is not to be trusted."""
LEAST_ROWS = 30
BETTER_LOW = frozenset({"log_loss", "mae", "rmse"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """One metric of a window, without labels."""

    metric: str
    value: float
    low: float
    high: float
    """95 %: what would be measured with every label, while the assumption holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """A window's metrics without labels, and whether they can be trusted."""

    rows: int
    metrics: tuple[Estimated, ...]
    overlap: float | None
    """Upper bound on the share of the reference rows that look like the window's; None: not known."""
    warnings: tuple[str, ...] = ()
    """Why it is not to be trusted; empty where nothing speaks against it."""

    def get(self, metric: str) -> Estimated | None:
        """Return one metric, or None."""
        return next((found for found in self.metrics if found.metric == metric), None)


def isotonic(score: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """Return knots and values of the non-decreasing map from score to the share of outcomes (least squares).

    Pool-adjacent-violators (Ayer et al. 1955), equal scores pooled first; linear between the ends of two pools.
    """
    x, place = np.unique(score, return_inverse=True)
    weight = np.bincount(place).astype(np.float64)
    mean = np.bincount(place, weights=outcome) / weight
    fitted = np.asarray(scipy.optimize.isotonic_regression(mean, weights=weight).x, dtype=np.float64)
    before, after = np.r_[True, np.diff(fitted) != 0], np.r_[np.diff(fitted) != 0, True]
    ends = before | after
    return x[ends], fitted[ends]


def calibrated(reference: ReferenceQuality, score: Floats) -> Floats:
    """Return the calibrated probability of each score."""
    if not reference.knots:
        return np.asarray(score, dtype=np.float64)
    return np.asarray(np.interp(score, reference.knots, reference.chances), dtype=np.float64)


def spread_out(probabilities: Floats, said: Codes, confidence: Floats) -> Floats:
    """Return calibrated class probabilities: `confidence` for the answer, the rest shared as the model shares it."""
    every = np.arange(len(said))
    rest = probabilities.copy()
    rest[every, said] = 0.0
    total = rest.sum(axis=1, keepdims=True)
    even = np.full_like(rest, 1.0 / max(rest.shape[1] - 1, 1))
    even[every, said] = 0.0
    shares = np.where(total > TINY, rest / np.maximum(total, TINY), even)
    out = shares * (1.0 - confidence)[:, None]
    out[every, said] = confidence
    return np.asarray(out, dtype=np.float64)


def rows_of(keys: Codes) -> Floats:
    """Return the number of rows and Σ m², m the rows of a key."""
    counts = np.bincount(np.unique(keys, return_inverse=True)[1]) if len(keys) else np.zeros(0)
    return np.array([len(keys), float((counts.astype(np.float64) ** 2).sum())])


def count_binary(
    reference: ReferenceQuality, score: Floats, said: NDArray[np.bool_], keys: Codes, columns: Floats | None = None
) -> Sums:
    """Return the sums of two-class rows: `score` of the positive class, and whether that was the answer."""
    out = binary_sums(reference.score_edges, calibrated(reference, score), score, said, keys)
    return out if columns is None else out | {"columns": columns.sum(axis=0)}


def binary_sums(edges: Sequence[float], p: Floats, score: Floats, said: NDArray[np.bool_], keys: Codes) -> Sums:
    """Return the sums with probabilities `p` of the positive class; known outcomes are probabilities of 0 and 1."""
    v = p * (1.0 - p)
    q = np.clip(p, TINY, 1.0 - TINY)
    losses = -p * np.log(q) - (1.0 - p) * np.log1p(-q)
    place = np.searchsorted(np.asarray(edges, dtype=np.float64), score, side="right")
    bins = len(edges) + 1
    return {
        "rows": rows_of(keys),
        "chance": np.array([said.sum(), p[said].sum(), p.sum(), v[said].sum(), v.sum()], dtype=np.float64),
        "loss": np.array([losses.sum(), (losses**2).sum(), (v * np.log(q / (1.0 - q)) ** 2).sum()]),
        "bin_rows": np.bincount(place, minlength=bins).astype(np.float64),
        "bin_true": np.bincount(place, weights=p, minlength=bins),
        "bin_var": np.bincount(place, weights=v, minlength=bins),
    }


def count_classes(
    reference: ReferenceQuality,
    confidence: Floats,
    said: Codes,
    keys: Codes,
    probabilities: Floats | None = None,
    columns: Floats | None = None,
) -> Sums:
    """Return the sums of rows of several classes.

    `confidence` is the answer's, `probabilities` the model's (n, classes); without them only accuracy is counted.
    """
    c = calibrated(reference, confidence)
    p = None if probabilities is None else spread_out(probabilities, said, c)
    out = class_sums(reference.score_edges, reference.mix, confidence, said, keys, right=c, p=p)
    return out if columns is None else out | {"columns": columns.sum(axis=0)}


def class_sums(
    edges: Sequence[float],
    mix: Sequence[Sequence[float]],
    confidence: Floats,
    said: Codes,
    keys: Codes,
    *,
    right: Floats,
    p: Floats | None,
) -> Sums:
    """Return the sums with a chance `right` that the answer is, and class probabilities `p` (n, classes)."""
    place = np.searchsorted(np.asarray(edges, dtype=np.float64), confidence, side="right")
    out = {
        "rows": rows_of(keys),
        "right": np.array([right.sum(), (right**2).sum(), (right * (1.0 - right)).sum()]),
        "bin_rows": np.bincount(place, minlength=len(edges) + 1).astype(np.float64),
    }
    if p is None:
        return out
    terms = -np.log(np.clip(p, TINY, 1.0))
    losses = (p * terms).sum(axis=1)
    count = p.shape[1]
    out["loss"] = np.array([losses.sum(), (losses**2).sum(), ((p * terms**2).sum(axis=1) - losses**2).sum()])
    out["said"] = np.bincount(said, minlength=count).astype(np.float64)
    out["hit"] = np.bincount(said, weights=right, minlength=count)
    out["true"] = p.sum(axis=0)
    if len(mix):
        moves = class_moves(np.asarray(mix, dtype=np.float64), said, len(said))
        out["class_var"] = np.array([float(((p * a**2).sum(axis=1) - (p * a).sum(axis=1) ** 2).sum()) for a in moves])
    return out


def class_moves(mix: Floats, said: Codes, rows: int) -> tuple[Floats, Floats, Floats]:
    """Return by how much a row that is truly j moves macro F1, precision and recall, times the rows; (rows, classes).

    With s, t, h the shares answered, true and both: F = 2h/(s+t), P = h/s, R = h/t, each a mean over the classes that
    occur, linearised at the reference's `mix` (classes, 3) of s, t and h.
    """
    s, t, h = mix[:, 0], mix[:, 1], mix[:, 2]
    both, some_s, some_t = np.maximum(s + t, 1e-9), np.maximum(s, 1e-9), np.maximum(t, 1e-9)
    count = max(int((s + t > 0).sum()), 1)
    parts = (
        (2.0 / both, -2.0 * h / both**2),
        (1.0 / some_s, np.zeros_like(s)),
        (1.0 / some_t, -h / some_t**2),
    )
    every = np.arange(rows)
    out = []
    for if_said, always in parts:
        moves = np.broadcast_to(always, (rows, len(mix))).copy()
        moves[every, said] += if_said[said]
        out.append(moves / count)
    return out[0], out[1], out[2]


def count_numbers(reference: ReferenceQuality, columns: Floats, keys: Codes) -> Sums:
    """Return the sums of rows of a regression, coded as the reference's model of the error wants them."""
    loss = np.zeros(len(columns)) if reference.error is None else columns @ np.asarray(reference.error.beta)
    return {
        "rows": rows_of(keys),
        "columns": columns.sum(axis=0),
        "loss": np.array([loss.sum(), (loss**2).sum(), 0.0]),
    }


def add(parts: Sequence[Mapping[str, Floats]]) -> Sums:
    """Return the sums of several blocks; of names whose lengths differ (another reference) the first counts."""
    out: Sums = {}
    for part in parts:
        for name, values in part.items():
            if name not in out:
                out[name] = np.asarray(values, dtype=np.float64).copy()
            elif len(out[name]) == len(values):
                out[name] += values
    return out


def points(reference: ReferenceQuality, sums: Sums) -> dict[str, tuple[float, float]]:
    """Return for each metric its value by the sums and the variance of the metric on these rows, outcomes as p says."""
    n = float(sums["rows"][0]) if "rows" in sums else 0.0
    if n <= 0:
        return {}
    if "chance" in sums:
        out = _binary_points(n, sums)
    elif "right" in sums:
        out = _class_points(n, sums)
    else:
        return _number_points(reference, n, sums)
    if "loss" in sums:
        out["log_loss"] = (float(sums["loss"][0]) / n, float(sums["loss"][2]) / n**2)
    return out


def _binary_points(n: float, sums: Sums) -> dict[str, tuple[float, float]]:
    said, hit, true, v_said, v_all = sums["chance"].tolist()
    v_rest = max(v_all - v_said, 0.0)
    out = {"accuracy": ((n - said - true + 2.0 * hit) / n, v_all / n**2)}
    if said > 0:
        out["precision"] = (hit / said, v_said / said**2)
    if true > 0:
        recall, f1 = hit / true, 2.0 * hit / (said + true)
        out["recall"] = (recall, (v_said * (1.0 - recall) ** 2 + v_rest * recall**2) / true**2)
        out["f1"] = (f1, (v_said * (2.0 - f1) ** 2 + v_rest * f1**2) / (said + true) ** 2)
    found = area(sums["bin_rows"], sums["bin_true"], sums["bin_var"]) if "bin_rows" in sums else None
    return out if found is None else out | {"roc_auc": found}


def area(rows: Floats, true: Floats, variance: Floats) -> tuple[float, float] | None:
    """Return the expected ROC AUC of bins of ascending scores, and its variance with outcomes drawn; None: one class.

    Σ_{i≠j} p_i (1−p_j) ψ(s_i, s_j) / Σ_{i≠j} p_i (1−p_j), ψ = 1, ½, 0; ties within a bin count half. The outcome of a
    row in bin b moves it by (N_<b + N_b/2 − P_>b − P_b/2 − AUC (N − P)) / (P N), with P and N
    the rows expected of each class.
    """
    false = rows - true
    total_true, total_false, itself = float(true.sum()), float(false.sum()), float(variance.sum())
    pairs = total_true * total_false - itself
    if pairs <= TINY:
        return None
    below = np.cumsum(false) - false / 2.0
    above = total_true - np.cumsum(true) + true / 2.0
    value = (float(true @ below) - itself / 2.0) / pairs
    moves = (below - above - value * (total_false - total_true)) / pairs
    return min(max(value, 0.0), 1.0), float(variance @ moves**2)


def _class_points(n: float, sums: Sums) -> dict[str, tuple[float, float]]:
    right = sums["right"]
    out = {"accuracy": (float(right[0]) / n, float(right[2]) / n**2)}
    if "said" not in sums:
        return out
    said, hit, true = sums["said"], sums["hit"], sums["true"]
    occurs = said + true > 0.5
    if not occurs.any():
        return out
    s, h, t = said[occurs], hit[occurs], true[occurs]
    variances = (sums["class_var"] / n**2).tolist() if "class_var" in sums else [math.nan] * 3
    out["macro_f1"] = (float((2.0 * h / (s + t)).mean()), variances[0])
    out["macro_precision"] = (float((h / np.maximum(s, 1.0)).mean()), variances[1])
    out["macro_recall"] = (float((h / np.maximum(t, TINY)).mean()), variances[2])
    return {name: pair for name, pair in out.items() if math.isfinite(pair[1])}


def _number_points(reference: ReferenceQuality, n: float, sums: Sums) -> dict[str, tuple[float, float]]:
    if reference.error is None or "loss" not in sums:
        return {}
    out = {"mae": (max(float(sums["loss"][0]) / n, 0.0), reference.error.residual / n)}
    if reference.square and "columns" in sums:
        square = max(float(sums["columns"] @ np.asarray(reference.square)) / n, 0.0)
        out["rmse"] = (math.sqrt(square), reference.square_residual / n / max(4.0 * square, 1e-300))
    return out


def estimate(
    reference: ReferenceQuality, sums: Sums, *, segment: str = "", repeats: float = 1.0, confidence: float = 0.95
) -> Estimates:
    """Return what the sums say of a window: each metric the reference knows, moved by what it was off there.

    Variance: that of outcomes, times the design effect 1 + (Σm²/n · `repeats` − 1) ρ of keys (`repeats`: how many times
    a key comes in different blocks); the calibration's on the reference, times E[w²] as far as the scores moved;
    and that between periods of the reference where it is known. Fewer than LEAST_ROWS rows: none.
    """
    rows = int(sums["rows"][0]) if "rows" in sums else 0
    known = reference.segments.get(segment, {}) if segment else reference.metrics
    if rows < LEAST_ROWS:
        return Estimates(rows=rows, metrics=(), overlap=None, warnings=(f"{rows} rows are too few",))
    effect = design_effect(reference, sums, repeats=repeats)
    moved = _score_weight(reference, sums)
    z = normal_quantile(confidence)
    out = []
    for name, (value, variance) in points(reference, sums).items():
        held = known.get(name)
        if held is None:
            continue
        calibration = held.se**2 * moved
        if name in ("mae", "rmse") and "columns" in sums:
            calibration = _model_variance(reference, sums, name, value)
        between = max(held.period_sd or 0.0, (reference.metrics[name].period_sd or 0.0) if segment else 0.0) ** 2
        reach = z * math.sqrt(max(variance * effect + calibration + between, 0.0))
        middle = value + held.real - held.estimated
        most = math.inf if name in BETTER_LOW else 1.0
        out.append(
            Estimated(
                metric=name,
                value=min(max(middle, 0.0), most),
                low=min(max(middle - reach, 0.0), most),
                high=min(max(middle + reach, 0.0), most),
            )
        )
    shared = None if segment else _overlap(reference, sums)
    return Estimates(rows=rows, metrics=tuple(out), overlap=shared, warnings=_warnings(reference, sums, shared, out))


def design_effect(reference: ReferenceQuality, sums: Sums, *, repeats: float) -> float:
    """Return by how much rows of one key make a mean's variance larger: 1 + (Σm²/n · repeats − 1) ρ."""
    rho = KEY_CORRELATION if reference.correlation is None else reference.correlation
    rows, squares = sums["rows"].tolist()
    return float(1.0 + max(squares / max(rows, 1.0) * max(repeats, 1.0) - 1.0, 0.0) * rho)


def _score_weight(reference: ReferenceQuality, sums: Sums) -> float:
    """Return E[w²] of the scores, at least 1: how much more the window leans on few reference rows."""
    base, now = np.asarray(reference.score_rows, dtype=np.float64), sums.get("bin_rows")
    if now is None or len(base) != len(now) or base.sum() <= 0 or now.sum() <= 0:
        return 1.0
    p, q = (base + 0.5) / (base + 0.5).sum(), now / now.sum()
    return max(float((q**2 / p).sum()) - (len(p) - 1) / float(now.sum()), 1.0)


def _model_variance(reference: ReferenceQuality, sums: Sums, name: str, value: float) -> float:
    """Return the variance that the error model brings at the window's mean columns."""
    if reference.error is None:
        return 0.0
    model = additive.restored(reference.error)
    mean = sums["columns"] / float(sums["rows"][0])
    variance = float(mean @ model.covariance @ mean)
    if name == "rmse":
        # Coefficients of the squared error have the same design, and a variance as much larger as their residuals'.
        ratio = reference.square_residual / max(model.residual, 1e-300)
        return variance * ratio / max(4.0 * value**2, 1e-300)
    return variance


def _overlap(reference: ReferenceQuality, sums: Sums) -> float | None:
    if reference.error is None or "columns" not in sums or len(sums["columns"]) != len(reference.error.beta):
        return None
    rows = float(sums["rows"][0])
    return additive.overlap(additive.restored(reference.error), sums["columns"] / rows, rows)


def _least_overlap(reference: ReferenceQuality) -> float:
    """Return the overlap below which an estimate is not to be trusted.

    How far truth strayed between the reference's own periods is in the interval, so that what is no stranger than those
    mostly are is no reason for a warning.
    """
    known = reference.period_overlap
    return LEAST_OVERLAP if known is None else min(LEAST_OVERLAP, known)


def _warnings(
    reference: ReferenceQuality, sums: Sums, shared: float | None, found: Sequence[Estimated]
) -> tuple[str, ...]:
    out = []
    least = _least_overlap(reference)
    if shared is not None and shared < least:
        out.append(
            f"not to be trusted: at most {shared:.0%} of the reference rows look like these, so what a score means "
            "here was hardly seen"
        )
    accuracy = next((one for one in found if one.metric == "accuracy"), None)
    if accuracy is not None and reference.error is not None and shared is not None and shared >= least:
        model = additive.restored(reference.error)
        rows = float(sums["rows"][0])
        loss, se = model.expect(sums["columns"] / rows)
        reach = 3.0 * math.hypot(se, (accuracy.high - accuracy.low) / 2.0 / normal_quantile(0.95))
        if abs(1.0 - loss - accuracy.value) > reach:
            out.append(
                f"not to be trusted: rows with such inputs were right in {1.0 - loss:.0%} of cases on the reference, "
                f"and the scores say {accuracy.value:.0%}"
            )
    return tuple(out)


def packed(sums: Mapping[str, Floats], *, digits: int = 6) -> dict[str, list[float]]:
    """Return sums as plain lists of `digits` significant digits."""
    return {name: [float(f"{value:.{digits}g}") for value in values.tolist()] for name, values in sums.items()}


def unpacked(found: Mapping[str, Sequence[float]]) -> Sums:
    """Return sums that `packed` gave."""
    return {str(name): np.asarray(values, dtype=np.float64) for name, values in found.items()}
