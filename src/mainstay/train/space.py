"""What a search for parameters looks through: as the project file declares it, or by a function of the project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import SearchSettings
from mainstay.core.errors import ProjectFileError
from mainstay.train.code import ProjectCode, guarded

if TYPE_CHECKING:
    from optuna.trial import Trial

    from mainstay.config.settings import PipelineSettings

Space = Callable[["Trial"], dict[str, Any]]
"""Asks a trial for a value of each parameter, by path."""
PLAIN = (str, int, float, bool)


def space_of(code: ProjectCode, name: str, settings: PipelineSettings) -> Space | None:
    """Return what a pipeline is searched over; None where it declares nothing."""
    if settings.tune_by is not None:
        where = f"train.pipelines.{name}.tune_by"
        _, function = code.function(settings.tune_by, setting=where)
        return lambda trial: _by_function(function, settings.tune_by or "", trial)
    if not settings.tune:
        return None
    return lambda trial: {path: suggested(trial, path, one) for path, one in settings.tune.items()}


def suggested(trial: Trial, path: str, one: SearchSettings) -> Any:
    """Return a trial's value of one parameter."""
    if one.choices:
        return trial.suggest_categorical(path, list(one.choices))
    low, high = one.low, one.high
    if low is None or high is None:
        raise ValueError(f"{path} has no range")
    if isinstance(low, int) and isinstance(high, int) and (one.step is None or isinstance(one.step, int)):
        return trial.suggest_int(path, low, high, step=one.step or 1, log=one.log)
    return trial.suggest_float(path, low, high, step=one.step, log=one.log)


def _by_function(function: Callable[[Any], Any], reference: str, trial: Trial) -> dict[str, Any]:
    with guarded(f"{reference} cannot say what to try"):
        found = function(trial)
    if not isinstance(found, Mapping):
        raise ProjectFileError(f"{reference} returned {type(found).__name__}; parameters by name are expected")
    strange = {path: value for path, value in found.items() if not isinstance(value, PLAIN) and value is not None}
    if strange:
        raise ProjectFileError(
            f"{reference} gave {strange!r}; a text, a number, true, false or None is expected for each parameter",
            remedy="Return what the lineage can hold, and make objects of it in build().",
        )
    return {str(path): value for path, value in found.items()}
