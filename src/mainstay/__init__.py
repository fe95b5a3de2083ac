"""Mainstay keeps a machine-learning model alive in production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Project", "__version__"]

if TYPE_CHECKING:
    from mainstay.project import Project


def __getattr__(name: str) -> Any:
    if name == "Project":
        from mainstay.project import Project

        return Project
    raise AttributeError(f"module 'mainstay' has no attribute {name!r}")
