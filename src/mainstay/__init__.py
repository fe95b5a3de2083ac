"""Mainstay keeps a machine-learning model alive in production."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Project", "Watch", "__version__", "adopt", "compare", "feature", "log"]

if TYPE_CHECKING:
    from mainstay.adoption.adopt import adopt
    from mainstay.attach.middleware import Watch
    from mainstay.attach.record import log
    from mainstay.comparison.compare import compare
    from mainstay.core.features import feature
    from mainstay.project import Project

_HOMES = {
    "Project": "mainstay.project",
    "Watch": "mainstay.attach.middleware",
    "adopt": "mainstay.adoption.adopt",
    "compare": "mainstay.comparison.compare",
    "feature": "mainstay.core.features",
    "log": "mainstay.attach.record",
}
"""Loaded when first asked for, so that `import mainstay` costs nothing."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mainstay' has no attribute {name!r}")
    return getattr(import_module(home), name)
