"""What the reference rows said about a model's quality, as sums and small models; no row stands in it."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one signal is coded: a 0/1 column for each bin or value, and a last one for everything else.

    Everything else is a missing value, a category that was not usual, and a number outside the reference rows' range.
    """

    name: str
    edges: list[float] = []
    """Ascending: bin i holds edges[i] <= x < edges[i+1], the last one closed."""
    values: list[str] = []

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return (len(self.values) or max(len(self.edges) - 1, 0)) + 1


class LossModel(msgspec.Struct, frozen=True, kw_only=True):
    """An additive model of the loss of one answer, fitted on reference rows (stats.additive)."""

    steps: list[Step]
    beta: list[float]
    """The constant, then one coefficient for each column."""
    mean: list[float]
    """Mean of the columns over the reference rows."""
    covariance: list[float]
    """Of `beta`, robust to keys: the lower triangle, row by row."""
    gram: list[float]
    """Mean of φφᵀ over the reference rows: the lower triangle, row by row."""
    rows: int
    keys: int
    residual: float
    """Variance of the loss around the model."""
    correlation: float = 0.0
    """Between two residuals of one key (0 to 1)."""


class MetricReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric on the reference rows."""

    real: float
    """With their truth."""
    estimated: float
    """By the label-free estimate on the same rows."""
    se: float = 0.0
    """Standard error of what the estimate was calibrated with, robust to keys."""
    period_sd: float | None = None
    """Standard deviation between periods of the reference of truth less estimate, beyond chance; None: not known."""


class ReferenceQuality(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What label-free estimates and attribution need of the reference rows."""

    v: int = 1
    task: str
    rows: int
    keys: int
    classes: list[str] = []
    positive: str = ""
    """BINARY: the class that precision, recall, F1 and ROC AUC speak of: the last declared one."""
    knots: list[float] = []
    """Scores at which the calibration map has a knot: of the positive class, or of the answer's confidence."""
    chances: list[float] = []
    """Calibrated probability at each knot; linear between them, constant outside."""
    score_edges: list[float] = []
    """Ascending inner edges of the bins in which scores are counted: for ROC AUC, and to see how far they moved."""
    score_rows: list[int] = []
    """Reference rows in each of these bins."""
    mix: list[list[float]] = []
    """MULTICLASS: for each class the share of rows that is answered so, expected to be so, and both."""
    correlation: float | None = None
    """Between two residuals (outcome less calibrated probability) of one key; None: each key came about once."""
    metrics: dict[str, MetricReference] = {}
    segments: dict[str, dict[str, MetricReference]] = {}
    """`field=value` -> metrics on its rows."""
    period_overlap: float | None = None
    """Share of the reference rows that look like those of one of its own periods (median); None: times not known."""
    error: LossModel | None = None
    """Of the loss of one answer: 0 or 1 for a wrong class, the absolute error of a number."""
    square: list[float] = []
    """REGRESSION: coefficients of the squared error on the columns of `error`."""
    square_residual: float = 0.0
