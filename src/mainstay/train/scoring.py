"""By what candidates and parameters are told apart: the primary metric, or what answers cost where that is declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Task
from mainstay.models.calibration import Calibration, fit_calibration
from mainstay.train import decide
from mainstay.train.evaluate import HIGHER_IS_BETTER, METRICS, Outcome, metrics_of, outcome_of_output
from mainstay.train.fit import Rows

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

COST = "cost"
"""Mean cost of an answer by [decide] costs; less is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What is measured of rows that were held out."""

    metric: str
    contract: Contract
    settings: Settings
    classes: tuple[str, ...]

    @property
    def sign(self) -> float:
        """Return 1 where more is better, −1 where less is."""
        return 1.0 if self.metric != COST and HIGHER_IS_BETTER[self.metric] else -1.0

    def of(self, output: NDArray[np.float64], rows: Rows, calibration: Calibration | None = None) -> float:
        """Return the metric of a model's output for rows."""
        if self.metric == COST:
            return float(decide.costs_of(self.settings, self.classes, output, rows.truth).mean())
        found = calibration if calibration is not None else Calibration(rows=0)
        return METRICS[self.metric](self.outcome(output, rows, found), np.arange(len(rows)))

    def outcome(self, output: NDArray[np.float64], rows: Rows, calibration: Calibration) -> Outcome:
        """Return output beside the truth."""
        return outcome_of_output(
            output,
            calibration,
            rows.truth,
            self.classes,
            groups=rows.groups,
            at=self.settings.evaluate.at,
            decision=decide.declared(self.settings, self.classes),
        )

    def calibrated(self, output: NDArray[np.float64], rows: Rows) -> Calibration:
        """Return the map of confidences that these rows make."""
        if not self.contract.task.is_classification:
            return Calibration(rows=0)
        outcome = self.outcome(output, rows, Calibration(rows=0))
        return fit_calibration(outcome.confidence, outcome.is_right)


def scoring(contract: Contract, settings: Settings, classes: tuple[str, ...]) -> Scoring:
    """Return what decides in a project."""
    metric = COST if settings.decide.costs else primary_metric(contract, settings.evaluate.primary)
    return Scoring(metric=metric, contract=contract, settings=settings, classes=classes)


def primary_metric(contract: Contract, wish: str) -> str:
    """Return the declared metric where it fits the task, else accuracy, rmse or ndcg."""
    if wish in metrics_of(contract.task):
        return wish
    if contract.task is Task.RANKING:
        return "ndcg"
    return "accuracy" if contract.task.is_classification else "rmse"
