"""How much each training row counts: by its age, by its class; and what that does to probabilities.

A weight is an array entry, never a copied or dropped row: resampling would repeat rows across folds and lie about how
much is known. Class weights teach another prior than the data have; the probabilities are brought back by the known
ratio, so that they still mean what they say. What a mistake costs belongs into [decide], not here.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract
from mainstay.core.errors import ProjectFileError
from mainstay.models.probabilities import ProbabilityMap

if TYPE_CHECKING:
    from mainstay.config.settings import TrainSettings
    from mainstay.train.fit import Rows

DAY_S = 86_400.0
BALANCED = "balanced"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """What is declared of weights; the default weighs nothing."""

    half_life_days: float | None = None
    """A row that is so much older than the newest one counts half."""
    class_weight: str | Mapping[str, float] | None = None
    """`balanced`, or class -> factor (others 1)."""

    @property
    def is_declared(self) -> bool:
        """Return whether rows count unlike."""
        return self.half_life_days is not None or bool(self.class_weight)


NONE = Weighing()


def declared(settings: TrainSettings) -> Weighing:
    """Return what a project declares."""
    return Weighing(half_life_days=settings.half_life_days, class_weight=settings.class_weight or None)


def row_weights(weighing: Weighing, contract: Contract, rows: Rows) -> Floats | None:
    """Return the weight of each row, of mean 1; None where nothing is declared.

    The product of the weight by age, the factor of the row's class, and its weight by how its answer was given.
    """
    if not weighing.is_declared and not len(rows.weights):
        return None
    weights = ages(weighing, contract, rows) * (rows.weights if len(rows.weights) else 1.0)
    factors = class_factors(weighing, rows.truth, weights)
    if factors:
        weights = weights * np.array([factors[str(name)] for name in rows.truth.tolist()])
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def ages(weighing: Weighing, contract: Contract, rows: Rows) -> Floats:
    """Return 2^(−age / half-life) per row, age counted from the newest row.

    A row without a time weighs as the others do on average; one of labelled traffic as the newest: it came after the
    project's own rows.
    """
    half_life = weighing.half_life_days
    if half_life is None or contract.time is None or not len(rows):
        return np.ones(len(rows))
    moments = rows.moments(contract)
    seconds = np.array([np.nan if at is None else at.timestamp() for at in moments])
    if not np.isfinite(seconds).any():
        return np.ones(len(rows))
    weights = np.exp2((seconds - np.nanmax(seconds)) / DAY_S / half_life)
    unknown = np.isnan(weights)
    weights[unknown] = np.nanmean(weights)
    if len(rows.is_traffic):
        weights[unknown & rows.is_traffic] = 1.0
    return np.asarray(np.maximum(weights, np.finfo(np.float64).tiny), dtype=np.float64)


def class_factors(weighing: Weighing, truth: NDArray[Any], weights: Floats) -> dict[str, float]:
    """Return the factor of each class among the rows; none where no class weight is declared.

    `balanced`: W / (k W_c), W_c the weight of the class's rows, so that all k classes count alike in sum (King, Zeng
    2001, as scikit-learn has it).
    """
    given = weighing.class_weight
    if not given:
        return {}
    names = [str(name) for name in truth.tolist()]
    known = sorted(set(names))
    if given != BALANCED and not isinstance(given, str):
        return {name: float(given.get(name, 1.0)) for name in known}
    held = dict.fromkeys(known, 0.0)
    for name, weight in zip(names, weights.tolist(), strict=True):
        held[name] += weight
    total = sum(held.values())
    return {name: total / (len(known) * held[name]) for name in known}


def prior_map(weighing: Weighing, contract: Contract, rows: Rows, classes: tuple[str, ...]) -> ProbabilityMap | None:
    """Return the map that takes class weights out of the probabilities again; None where there are none.

    Fitted with class c counted f_c times, a model estimates q_c ∝ f_c p_c; so p_c ∝ q_c / f_c (Elkan 2001, theorem 2;
    Saerens, Latinne, Decaestecker 2002, eq. 4). Weights by age are kept: newer rows are the better guess of the prior.
    """
    if not contract.task.is_classification or not weighing.class_weight:
        return None
    factors = class_factors(weighing, rows.truth, ages(weighing, contract, rows))
    return ProbabilityMap(offsets=tuple(round(-float(np.log(factors.get(name, 1.0))), 12) for name in classes))


def argument(estimator: Any, weights: Floats, *, name: str) -> dict[str, Floats]:
    """Return what `fit` is handed so that rows count by `weights`: `sample_weight`, of a Pipeline's last step.

    Raises ProjectFileError where the estimator takes none: it would be fitted as if nothing was declared.
    """
    head, prefix = estimator, ""
    while getattr(head, "steps", None):
        step, head = head.steps[-1]
        prefix += f"{step}__"
    if not _takes_weights(head):
        raise ProjectFileError(
            f"Pipeline {name!r} takes no weights: fit() of its {type(head).__name__} has no sample_weight, and [train] "
            "declares half_life_days or class_weight, or [retrain] explored weighs",
            remedy="Take an estimator whose fit() has sample_weight (k-nearest neighbours, say, have none), give your "
            "own one that argument, or leave the two settings out.",
        )
    return {f"{prefix}sample_weight": weights}


def report(weighing: Weighing, contract: Contract, rows: Rows) -> dict[str, Any] | None:
    """Return what the weights come to, JSON-ready; None where nothing is declared.

    `effective_rows`: (Σw)² / Σw², how many rows of equal weight would tell as much (Kish 1965).
    """
    weights = row_weights(weighing, contract, rows)
    if weights is None:
        return None
    by_age = ages(weighing, contract, rows)
    counts = Counter(str(name) for name in rows.truth.tolist())
    found = class_factors(weighing, rows.truth, by_age)
    return {
        "half_life_days": weighing.half_life_days,
        "rows": len(rows),
        "effective_rows": float(weights.sum() ** 2 / (weights**2).sum()),
        "least": float(weights.min()),
        "most": float(weights.max()),
        "classes": {name: {"rows": counts[name], "factor": factor} for name, factor in found.items()},
    }


def _takes_weights(estimator: Any) -> bool:
    """Return whether `fit` names the argument: `**kwargs` may drop it unsaid."""
    inner = getattr(estimator, "regressor", None)  # TransformedTargetRegressor hands on what it gets
    if inner is not None and type(estimator).__name__ == "TransformedTargetRegressor":
        return _takes_weights(inner)
    try:
        return "sample_weight" in inspect.signature(estimator.fit).parameters
    except (TypeError, ValueError, AttributeError):
        return False
