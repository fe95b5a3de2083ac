"""Probabilities of all classes that mean what they say: maps learned from rows that the model was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.models.probabilities import SMALLEST, ProbabilityMap, Steps
from mainstay.stats import calibration as agreement
from mainstay.stats import intervals
from mainstay.train.decide import HeldOut
from mainstay.train.evaluate import finite, limits, redrawn

Floats = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], float]
"""Of rows by their places, repeats allowed."""
AS_THEY_ARE, TEMPERATURE, SIGMOID, ISOTONIC = "as_they_are", "temperature", "sigmoid", "isotonic"
METHODS = (AS_THEY_ARE, TEMPERATURE, SIGMOID, ISOTONIC)
"""From simple to complex."""
ROWS_MIN = 50
"""Fewer held-out rows leave probabilities as they are."""
ISOTONIC_ROWS_MIN = 1000
"""Isotonic regression overfits with fewer rows (Niculescu-Mizil, Caruana 2005); `auto` does not try it."""
RIDGE = 1e-3
"""Holds offsets of classes that hardly occur."""
DIGITS = 9
DRAWS = 300


def fit_map(method: str, output: Floats, codes: NDArray[np.int64]) -> ProbabilityMap:
    """Return the map of a method, fitted to output of shape (n, classes) and the places of the true classes.

    `temperature`: p_c ∝ q_c^(1/T), of least log loss (Guo et al. 2017); `sigmoid`: p_c ∝ exp(a ln q_c + b_c), for two
    classes Platt's map on the logit (Platt 1999), for more bias-corrected temperature scaling (Alexandari et al. 2020);
    `isotonic`: each class against the rest, then scaled to a sum of 1 (Zadrozny, Elkan 2002).
    """
    if method == TEMPERATURE:
        slope, _ = _affine(output, codes, offsets=False)
        return ProbabilityMap(slope=slope)
    if method == SIGMOID:
        slope, offsets = _affine(output, codes, offsets=True)
        return ProbabilityMap(slope=slope, offsets=offsets)
    if method == ISOTONIC:
        return ProbabilityMap(steps=tuple(_steps(output[:, c], codes == c) for c in range(output.shape[1])))
    return ProbabilityMap()


def choose_map(wish: str, held: HeldOut, *, seed: int) -> tuple[ProbabilityMap, dict[str, Any]]:
    """Return the map of the probabilities, and what it does on rows that it was not fitted to, JSON-ready.

    Each method is cross-fitted: a row is mapped by what the other folds' rows make. `auto` takes the more complex
    method only where its log loss is shown to be less (95 %, whole keys drawn anew). `before`, `after`: log loss, Brier
    score (Σ_c over all classes) and the calibration error of the most probable class, with intervals of the change.
    """
    rows = len(held.codes)
    report: dict[str, Any] = {"method": AS_THEY_ARE, "rows": rows}
    if wish == AS_THEY_ARE:
        return ProbabilityMap(), report | {"why": "[train] probabilities = as_they_are"}
    if rows < ROWS_MIN or len(np.unique(held.codes)) < 2 or len(np.unique(held.fold)) < 2:
        return ProbabilityMap(), report | {"why": f"{rows} held-out rows; {ROWS_MIN} and two classes are needed"}
    asked: tuple[str, ...] = METHODS if wish == "auto" else (AS_THEY_ARE, wish)
    if wish == "auto" and rows < ISOTONIC_ROWS_MIN:
        asked = asked[:-1]
    mapped = {method: _cross_fitted(method, held) for method in asked}
    losses = {method: _log_losses(made, held.codes) for method, made in mapped.items()}
    taken, why = (wish, "[train] probabilities asks for it") if wish != "auto" else _simplest(losses, held.keys, seed)
    report |= {
        "method": taken,
        "why": why,
        "log_losses": {method: float(one.mean()) for method, one in losses.items()},
        "measures": _measures(held.output, mapped[taken], held, seed),
    }
    return fit_map(taken, held.output, held.codes), report


def _simplest(losses: dict[str, Floats], keys: NDArray[np.int64], seed: int) -> tuple[str, str]:
    taken, why = AS_THEY_ARE, "no map is shown to make the log loss smaller"
    for method in losses:
        if method == AS_THEY_ARE:
            continue
        gain = losses[taken] - losses[method]
        mean, low, high = intervals.bootstrap_by_key(gain, keys.tolist(), rng=np.random.default_rng(seed), draws=DRAWS)
        if low > 0:
            why = f"its log loss is smaller than {taken}'s by {mean:.4f} ({low:.4f} to {high:.4f})"
            taken = method
    return taken, why


def _cross_fitted(method: str, held: HeldOut) -> Floats:
    if method == AS_THEY_ARE:
        return held.output
    out = np.empty_like(held.output)
    for number in np.unique(held.fold).tolist():
        inside, outside = np.flatnonzero(held.fold != number), np.flatnonzero(held.fold == number)
        out[outside] = fit_map(method, held.output[inside], held.codes[inside]).apply(held.output[outside])
    return out


def _log_losses(output: Floats, codes: NDArray[np.int64]) -> Floats:
    return np.asarray(-np.log(np.maximum(output[np.arange(len(codes)), codes], 1e-15)), dtype=np.float64)


def _briers(output: Floats, codes: NDArray[np.int64]) -> Floats:
    truth = np.zeros_like(output)
    truth[np.arange(len(codes)), codes] = 1.0
    return np.asarray(((output - truth) ** 2).sum(axis=1), dtype=np.float64)


def _measures(before: Floats, after: Floats, held: HeldOut, seed: int) -> dict[str, dict[str, float | None]]:
    """Return for each measure `before`, `after`, `change` and its 95 % limits (less is better)."""
    found: dict[str, dict[str, float | None]] = {}
    for name, of_rows in (("log_loss", _log_losses), ("brier", _briers)):
        was, now = of_rows(before, held.codes), of_rows(after, held.codes)
        change, low, high = intervals.bootstrap_by_key(
            now - was, held.keys.tolist(), rng=np.random.default_rng(seed), draws=DRAWS
        )
        found[name] = {
            "before": float(was.mean()),
            "after": float(now.mean()),
            "change": change,
            "low": finite(low),
            "high": finite(high),
        }
    found["ece"] = _error_of_calibration(before, after, held, seed)
    return found


def _error_of_calibration(before: Floats, after: Floats, held: HeldOut, seed: int) -> dict[str, float | None]:
    def error(output: Floats) -> Statistic:
        sure, right = output.max(axis=1), output.argmax(axis=1) == held.codes
        return lambda index: agreement.expected_calibration_error(sure[index], right[index])

    was = error(before)
    if after is before:
        first = was(np.arange(len(held.codes)))
        return {"before": first, "after": first, "change": 0.0, "low": 0.0, "high": 0.0}
    return changed(was, error(after), held.keys, seed)


def changed(was: Statistic, now: Statistic, keys: NDArray[np.int64], seed: int) -> dict[str, float | None]:
    """Return a statistic of rows `before` and `after`, its `change` and the 95 % limits by drawing whole keys anew."""
    whole = np.arange(len(keys))
    first, last = was(whole), now(whole)
    drawn = redrawn(lambda index: now(index) - was(index), keys, random=np.random.default_rng(seed), draws=DRAWS)
    low, high = limits(drawn, (0.025, 0.975))
    return {"before": first, "after": last, "change": last - first, "low": low, "high": high}


def _affine(output: Floats, codes: NDArray[np.int64], *, offsets: bool) -> tuple[float, tuple[float, ...]]:
    """Return a and b of softmax(a ln q + b) of least log loss, b with a small ridge and a mean of 0; a above 0."""
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    logs = np.log(np.maximum(output, SMALLEST))
    count, width = logs.shape
    truth = np.zeros_like(logs)
    truth[np.arange(count), codes] = 1.0

    def loss(given: Floats) -> tuple[float, Floats]:
        slope, shift = float(np.exp(given[0])), given[1:] if offsets else np.zeros(width)
        scores = slope * logs + shift
        scores -= scores.max(axis=1, keepdims=True)
        made = np.exp(scores)
        made /= made.sum(axis=1, keepdims=True)
        rest = made - truth
        value = -np.log(np.maximum(made[np.arange(count), codes], 1e-300)).sum() + 0.5 * RIDGE * float(shift @ shift)
        gradient = [slope * float((rest * logs).sum())]
        if offsets:
            gradient += (rest.sum(axis=0) + RIDGE * shift).tolist()
        return float(value), np.array(gradient)

    start = np.zeros(1 + (width if offsets else 0))
    bounds = [(-5.0, 5.0), *[(-20.0, 20.0)] * (len(start) - 1)]
    with threadpool_limits(limits=1):  # waking other threads for so few numbers takes a hundred times as long
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    shift = found[1:] - found[1:].mean() if offsets else np.zeros(0)
    return round(float(np.exp(found[0])), DIGITS), tuple(round(float(b), DIGITS) for b in shift)


def _steps(chance: Floats, is_class: NDArray[np.bool_]) -> Steps:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(chance, is_class.astype(np.float64))
    return Steps(
        x=tuple(float(v) for v in fitted.X_thresholds_),
        y=tuple(float(v) for v in fitted.y_thresholds_),
    )
