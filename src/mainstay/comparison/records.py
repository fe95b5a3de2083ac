"""What a comparison found, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Whether the two data sets are of one population."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_ENOUGH = "not_enough"


class Kind(StrEnum):
    """What a column holds, in both data sets together."""

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    IDENTIFIER = "identifier"
    EMPTY = "empty"


class Status(StrEnum):
    """What was found about one field; the order is that of the report."""

    BROKEN = "broken"
    """Gone, or of another type: certain, not a matter of chance."""
    MOVED = "moved"
    """More than chance does, and by more than the material size."""
    SLIGHT = "slight"
    """More than chance does, but not shown to reach the material size."""
    SAME = "same"
    """No more than chance does."""
    TOO_FEW = "too_few"
    """Too few values to tell."""
    NOT_COMPARED = "not_compared"
    """An identifier, a time, or a column that is ignored or in the current data only."""


class Unit(StrEnum):
    """What an effect is counted in."""

    SIGMA = "sigma"
    """Standard deviations of the reference."""
    SHARE = "share"
    """Of the rows, 0 to 1."""
    AREA = "area"
    """Area under the ROC curve, ½ is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A size with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    unit: Unit
    material: float
    """A size below this is of no practical importance."""
    none: float = 0.0
    """The value that means no difference."""

    @property
    def is_material(self) -> bool:
        """Return whether the whole interval lies beyond the material size."""
        return self.low > self.none + self.material or self.high < self.none - self.material

    @property
    def is_negligible(self) -> bool:
        """Return whether the whole interval lies within the material size."""
        return self.low > self.none - self.material and self.high < self.none + self.material


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One question about a field, with its test and its sizes."""

    name: str
    """values, mix, missing, range, length, words, ..."""
    test: str
    """Which test gave `p`."""
    p: float
    """NaN: not tested."""
    effects: tuple[Effect, ...]
    says: str
    """What is seen, in one clause."""
    rows: tuple[float, float] = (0.0, 0.0)
    """Values on each side, divided by the design effect."""
    adjusted: float = float("nan")
    """`p` adjusted for all tests of the comparison (Holm)."""
    moved: bool = False
    slight: bool = False
    """Significant, but not shown to be material."""

    @property
    def size(self) -> float:
        """Return the largest effect as a share of rows (1 σ and .4 of area count about as much), for the order."""
        scale = {Unit.SHARE: 1.0, Unit.SIGMA: 0.4, Unit.AREA: 1.4}
        return max((min(1.0, abs(e.value - e.none) * scale[e.unit]) for e in self.effects), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A small plot: shares of rows on both sides over the same bins."""

    labels: tuple[str, ...]
    """One for each category; for numbers the edges, one more than bins."""
    reference: tuple[float, ...]
    current: tuple[float, ...]
    numeric: bool
    ends_open: bool = False
    """Whether the first and last bin hold what lies beyond them too."""
    last_is_rest: bool = False
    """Whether the last category stands for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReport:
    """What was found about one field."""

    name: str
    kind: Kind
    role: str = "field"
    """field, target, prediction, key, time or ignored."""
    status: Status
    says: str
    """What is seen, in one sentence."""
    aspects: tuple[Aspect, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Descriptive figures: distances, ranges, missing shares, new values."""
    notes: tuple[str, ...] = ()
    """What a reader must know: why it was not compared, new values, values beyond the range."""
    bars: Bars | None = None

    @property
    def size(self) -> float:
        """Return the size of the largest aspect that moved, else of the largest."""
        moved = [aspect.size for aspect in self.aspects if aspect.moved]
        return max(moved or [aspect.size for aspect in self.aspects], default=0.0)

    @property
    def lead(self) -> Aspect | None:
        """Return the aspect that tells most."""
        order = {True: 2, False: 1}
        return max(self.aspects, key=lambda a: (order[a.moved], order[a.slight], a.size), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Whether all fields together tell the two data sets apart (a domain classifier)."""

    area: Effect
    p: float
    moved: bool
    slight: bool
    rows: int
    """Rows that it learned from and was tried on."""
    leans_on: tuple[tuple[str, float], ...]
    """Fields and the area that is lost when their values are shuffled, largest first."""
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure of quality then and now."""

    name: str
    reference: tuple[float, float, float]
    """Value and its interval's limits."""
    current: tuple[float, float, float] | None
    """None where the current data hold no truth."""
    difference: Effect | None
    higher_is_better: bool
    p: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How right the predictions were then and are now."""

    task: str
    """classes, probabilities or numbers."""
    measures: tuple[Measure, ...]
    calibration: tuple[tuple[tuple[float, float, float], ...], tuple[tuple[float, float, float], ...]] = ((), ())
    """For both sides: mean prediction, mean truth, rows of each bin."""
    moved: bool = False
    says: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two data sets."""

    name: str
    rows: int
    columns: int
    tested: int
    """Rows that the tests used: all, or a random sample."""
    keys: int | None = None
    """Distinct keys among the tested rows."""
