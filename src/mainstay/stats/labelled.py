"""Any scikit-learn metric on labelled answers, with its 95 % interval, robust to keys."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.stats import intervals, ranking, summed
from mainstay.stats.intervals import Floats

Codes = NDArray[np.intp]
ELSEWHERE = -1
"""Place of a truth that is none of the declared classes."""
DRAWS = 300
LEAST_KEYS = 5
ACCURACY = "accuracy"
ALIASES: Mapping[str, str] = {
    "macro_f1": "f1_macro",
    "macro_precision": "precision_macro",
    "macro_recall": "recall_macro",
    "log_loss": "neg_log_loss",
    "mae": "neg_mean_absolute_error",
    "rmse": "neg_root_mean_squared_error",
    "brier": "neg_brier_score",
}
"""Names used elsewhere in Mainstay -> scikit-learn's scorers; a loss is shown as it is, not negated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """Labelled answers as arrays of one length."""

    truth: NDArray[Any]
    """Places among the declared classes (of two, 1 is the positive one; ELSEWHERE: none of them), or true values."""
    said: NDArray[Any]
    keys: Codes
    classes: int = 0
    """Number of classes; 0 for a regression."""
    probabilities: Floats | None = None
    """Calibrated, shape (n, classes); None where they are not known."""
    score: Floats | None = None
    """Of the positive class, as the model gave it: what ROC AUC orders by."""

    def take(self, index: Codes) -> Answered:
        """Return some rows; one may come several times."""
        return Answered(
            truth=self.truth[index],
            said=self.said[index],
            keys=self.keys[index],
            classes=self.classes,
            probabilities=None if self.probabilities is None else self.probabilities[index],
            score=None if self.score is None else self.score[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One metric on labelled answers."""

    metric: str
    value: float
    low: float | None
    high: float | None
    """95 %; None for fewer than LEAST_KEYS keys."""
    labels: int
    keys: int
    method: str
    """How the interval was made: wilson, t, delong, or bootstrap_by_key."""


def known_metrics() -> list[str]:
    """Return every name that `measure` takes: scikit-learn's scorers and the short names."""
    from sklearn.metrics import get_scorer_names

    return sorted({*get_scorer_names(), *ALIASES})


def check(name: str) -> None:
    """Raise UsageError for a name that scikit-learn does not know."""
    _scorer(name)


def measure(name: str, given: Answered, *, rng: np.random.Generator, draws: int = DRAWS) -> Measured | None:
    """Return the metric on the labelled answers; None where it makes no sense on them (one class only, no scores).

    Analytic where that is known: shares by Wilson with the design effect of keys, means by t over keys, the area under
    the ROC curve by DeLong over keys on the logit scale; else the percentiles of a bootstrap of whole keys (Davison,
    Hinkley 1997, §3.8). A truth that is none of the declared classes makes the answer wrong for the accuracy; other
    metrics leave such rows out. Raises UsageError for a name that scikit-learn does not know.
    """
    score = _scorer(name)
    shown = name.removeprefix("neg_")
    if given.classes and name != ACCURACY:
        given = given.take(np.flatnonzero(given.truth != ELSEWHERE))
    n, keys = len(given.truth), len(np.unique(given.keys))
    if n == 0:
        return None
    value = _value(score, given)
    if value is None:
        return None
    low: float | None = None
    high: float | None = None
    method = ""
    if keys >= LEAST_KEYS:
        full = ALIASES.get(name, name)
        told = _known_interval(full, given) or _drawn(full, given, rng, draws)
        low, high, method = told or _bootstrap(score, given, rng, draws)
    return Measured(metric=shown, value=value, low=low, high=high, labels=n, keys=keys, method=method)


class _Stored:
    """What scikit-learn's scorers ask of an estimator: `X` are row numbers, and the answers are known."""

    _estimator_type = "classifier"

    def __init__(self, given: Answered) -> None:
        self._given = given
        self.classes_ = np.arange(given.classes)

    def fit(self, _x: Codes, _y: Any) -> _Stored:
        """Do nothing: what it answers is known."""
        return self

    def predict(self, x: Codes) -> NDArray[Any]:
        """Return the answers."""
        return np.asarray(self._given.said[x])

    def predict_proba(self, x: Codes) -> Floats:
        """Return the calibrated probabilities."""
        if self._given.probabilities is None:
            raise ValueError("no probabilities are known")
        return self._given.probabilities[x]

    def decision_function(self, x: Codes) -> Floats:
        """Return the score of the positive class, or the probabilities."""
        if self._given.score is None:
            return self.predict_proba(x)
        return self._given.score[x]

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's description of a classifier or a regressor."""
        from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

        kind = ClassifierMixin if self._given.classes else RegressorMixin
        return type("Described", (kind, BaseEstimator), {})().__sklearn_tags__()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scorer:
    call: Any
    sign: float


def _scorer(name: str) -> _Scorer:
    from sklearn.metrics import get_scorer, get_scorer_names

    full = ALIASES.get(name, name)
    known = set(get_scorer_names())
    if full not in known and f"neg_{full}" in known:
        full = f"neg_{full}"
    if full not in known:
        near = next(iter(difflib.get_close_matches(name, known_metrics(), n=1)), None)
        hint = f"; did you mean {near!r}?" if near else ""
        raise UsageError(
            f"{name!r} is no metric of scikit-learn{hint}",
            remedy="Name a scorer: accuracy, f1_macro, balanced_accuracy, roc_auc, log_loss, r2, max_error, …",
        )
    return _Scorer(call=get_scorer(full), sign=-1.0 if full.startswith("neg_") else 1.0)


def _value(score: _Scorer, given: Answered) -> float | None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that nobody was, or nobody was said to be
        try:
            found = score.sign * float(score.call(_Stored(given), np.arange(len(given.truth)), given.truth))
        except (ValueError, TypeError, IndexError):
            return None
    return found if math.isfinite(found) else None


def _known_interval(full: str, given: Answered) -> tuple[float, float, str] | None:
    truth, said = given.truth, given.said
    if full == "accuracy":
        return _share(truth == said, given.keys)
    if given.classes == 2 and full in ("precision", "recall"):
        rows = (said if full == "precision" else truth) == 1
        return _share((truth == said)[rows], given.keys[rows])
    if full == "roc_auc" and given.classes == 2 and given.score is not None:
        return _area(given)
    if full == "neg_log_loss" and given.probabilities is not None:
        chosen = given.probabilities[np.arange(len(truth)), truth.astype(np.intp)]
        return _mean(-np.log(np.clip(chosen, 1e-15, 1.0)), given.keys)
    if full == "neg_mean_absolute_error":
        return _mean(np.abs(truth - said), given.keys)
    if full in ("neg_mean_squared_error", "neg_root_mean_squared_error"):
        found = _mean((truth - said) ** 2, given.keys)
        if found is None or full == "neg_mean_squared_error":
            return found
        return math.sqrt(max(found[0], 0.0)), math.sqrt(found[1]), found[2]
    return None


def _share(hits: NDArray[np.bool_], keys: Codes) -> tuple[float, float, str] | None:
    if len(hits) == 0:
        return None
    effect = intervals.design_effect(hits.astype(np.float64), keys.tolist())
    low, high = intervals.wilson(float(hits.sum()) / effect, len(hits) / effect)
    return low, high, "wilson"


def _mean(values: Floats, keys: Codes) -> tuple[float, float, str] | None:
    mean, se, count = intervals.cluster_mean(values, keys.tolist())
    if count < 2:
        return None
    reach = float(scipy.stats.t.ppf(0.975, count - 1)) * se
    return mean - reach, mean + reach, "t"


def _area(given: Answered) -> tuple[float, float, str] | None:
    assert given.score is not None  # noqa: S101 - for the type checker: the caller saw to it
    positive = given.truth == 1
    keys = (given.keys[~positive], given.keys[positive])
    found = ranking.area(given.score[~positive], given.score[positive], keys=keys)
    if not (math.isfinite(found.se) and 0.0 < found.value < 1.0):
        return None
    logit = float(scipy.special.logit(found.value))
    reach = 1.959964 * found.se / (found.value * (1.0 - found.value))
    return float(scipy.special.expit(logit - reach)), float(scipy.special.expit(logit + reach)), "delong"


def _drawn(full: str, given: Answered, rng: np.random.Generator, draws: int) -> tuple[float, float, str] | None:
    found = summed.columns_of(full, given.truth, given.said, classes=given.classes)
    if found is None:
        return None
    limits = summed.interval(*found, given.keys, rng=rng, draws=draws)
    return None if limits is None else (*limits, "bootstrap_by_key")


def _bootstrap(
    score: _Scorer, given: Answered, rng: np.random.Generator, draws: int
) -> tuple[float | None, float | None, str]:
    _, codes = np.unique(given.keys, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    values = []
    for _ in range(draws):
        pick = rng.integers(0, len(parts), len(parts))
        found = _value(score, given.take(np.concatenate([parts[i] for i in pick]).astype(np.intp)))
        if found is not None:
            values.append(found)
    if len(values) < draws / 2:
        return None, None, ""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high), "bootstrap_by_key"
