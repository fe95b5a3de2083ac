"""From the pipelines that are asked for to the one that is trained: search their parameters, then compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mainstay.core.ports import Progress, silent
from mainstay.train.choose import Choice, choose_pipeline, declared

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.data.snapshot import Snapshot
    from mainstay.train.tune import Search

UNATTENDED_SHARE = 0.5
"""Of train.timeout_s, for searches where no person waits: the fit that follows needs time too."""


def select(
    loaded: Loaded, train: Snapshot, names: Sequence[str], *, attended: bool = True, progress: Progress = silent
) -> Choice:
    """Return the choice among pipelines, each with the best parameters that were found where it declares a search.

    Not `attended` (the loop trains): searches end after half of train.timeout_s together.
    """
    for name in names:
        declared(loaded, name)
    searches = _searches(loaded, train, names, attended=attended, progress=progress)
    tuned = {name: found.best for name, found in searches.items() if found.best}
    chosen = choose_pipeline(loaded, train, names, tuned=tuned, progress=progress)
    return replace(chosen, searches=searches)


def _searches(
    loaded: Loaded, train: Snapshot, names: Sequence[str], *, attended: bool, progress: Progress
) -> dict[str, Search]:
    pipelines = loaded.settings.train.pipelines
    asked = [name for name in names if pipelines[name].tune or pipelines[name].tune_by]
    if not asked:
        return {}
    from mainstay.train.tune import search

    limit = None if attended else UNATTENDED_SHARE * loaded.settings.train.timeout_s / len(asked)
    return {name: search(loaded, train, name, most_seconds=limit, progress=progress) for name in asked}
