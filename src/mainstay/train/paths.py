"""Parameters by path: `C`, `words.min_df` in a pipeline's params, `logisticregression__C` of its estimator."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

OF_ESTIMATOR = "__"
"""In the names that scikit-learn's `set_params` takes."""


def laid_over(params: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `build` is handed, `found` laid over `params`, and what is set on the estimator afterwards.

    A path with `__` is the estimator's; any other one leads through the tables of `params`, dot by dot.
    """
    made: dict[str, Any] = deepcopy(dict(params))
    after = {}
    for path, value in found.items():
        if OF_ESTIMATOR in path:
            after[path] = value
            continue
        *above, last = path.split(".")
        table = made
        for name in above:
            inner = table.get(name)
            table[name] = dict(inner) if isinstance(inner, Mapping) else {}
            table = table[name]
        table[last] = value
    return made, after


def declared_value(params: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path of `params`, None where nothing does."""
    table: Any = params
    for name in path.split("."):
        if not isinstance(table, Mapping) or name not in table:
            return None
        table = table[name]
    return table
