"""From which size on a difference matters: the defaults of `[watch] material`, known without the settings table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Material(Protocol):
    """Sizes below which a difference pages nobody and is called slight."""

    @property
    def number_sigma(self) -> float:
        """Of a number's mean (standard deviations)."""

    @property
    def category_share(self) -> float:
        """Of a category's share (0 to 1)."""

    @property
    def accuracy(self) -> float:
        """Of the estimated or measured accuracy (0 to 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultMaterial:
    """Where nobody said otherwise."""

    number_sigma: float = 0.05
    category_share: float = 0.02
    accuracy: float = 0.03


DEFAULT = DefaultMaterial()
