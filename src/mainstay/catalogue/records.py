"""What `mainstay features` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What computing takes, measured as processor time of this process."""

    alone_us: float
    """A row by itself, as serving asks (microseconds)."""
    together_us: float
    """A row among all that were measured, as training asks (microseconds)."""
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One declared feature."""

    name: str
    owner: str
    description: str
    dtype: str
    inputs: tuple[str, ...]
    over: str
    place: str
    """File and line."""
    shared: bool
    """It stands outside the project's folder."""
    cost_us: float | None
    """As declared (microseconds a row)."""
    measured: Cost | None
    why_unmeasured: str
    """Empty where it was measured."""
    dearer: bool
    """It takes more than twice what was declared, among other rows."""
    pipelines: tuple[str, ...]
    """That name it now."""
    versions: tuple[str, ...]
    """That answer, or are on their way, and were trained with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCode:
    """A function over the whole frame (`features = "module:function"`)."""

    pipeline: str
    function: str
    columns: tuple[str, ...]
    """That it makes, or makes otherwise than they came."""
    measured: Cost | None
    why_unmeasured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All features of a project."""

    features: tuple[Listed, ...]
    code: tuple[FeatureCode, ...]
    changed: tuple[str, ...]
    """Files of features that are not what a version was trained with, as sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One value that differs."""

    id: str
    """Of the served row."""
    served: Any
    trained: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """One field or feature whose values differ."""

    name: str
    what: str
    """`field`, read otherwise from a request than from a frame; `company`, made otherwise among other rows than of the
    row alone; `code`, made otherwise by the code of now than by the version's."""
    rows: int
    share: float
    """Of the rows that were compared (0 to 1)."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Served values beside training's."""

    version: str
    rows: int
    left_out: int
    """Rows of which the record does not hold what the features take."""
    compared: tuple[str, ...]
    """Names of the fields and features."""
    differing: tuple[Differing, ...]
    notes: tuple[str, ...]
    """What could not be compared, as sentences."""
