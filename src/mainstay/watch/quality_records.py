"""Quality over time, as it is told: each metric of each window three ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number with its 95 % interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One metric of one window, three ways; None where it cannot be said."""

    metric: str
    estimated: Value | None
    """From calibrated probabilities (regression: from the learned error), without labels."""
    few_labels: Value | None
    """Prediction-powered: all traffic, corrected by the labelled part, which must be a random one."""
    measured: Value | None
    """On the labels that came; of all traffic only if they are a random part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch of time, or one segment over all of it."""

    name: str
    begin: datetime | None
    rows: int
    """Answers seen by the watch."""
    labels: int
    lines: tuple[Line, ...]
    overlap: float | None
    """Upper bound on the share of reference rows that look like these."""
    warnings: tuple[str, ...]
    """Why the label-free estimate is not to be trusted."""

    @property
    def trusted(self) -> bool:
        """Return whether nothing speaks against the estimate."""
        return not self.warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """Quality of one version over time."""

    model: str
    version: str
    """`model@version`."""
    every: str
    since: datetime | None
    complete: bool
    """Whether all blocks and labels since then were read; of very many the newest are."""
    metrics: tuple[str, ...]
    held_out: Mapping[str, float]
    """The same metrics on the reference rows, as far as they are known."""
    windows: tuple[Window, ...]
    """Oldest first."""
    segments: tuple[Window, ...]
    whole: Window
    assumption: str
    unknown: str
    """What cannot be known now, and how many labels of random requests would tell."""
    labels_needed: int
