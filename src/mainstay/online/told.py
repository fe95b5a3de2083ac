"""How the online learner stands: what it knows, how it did before it learned, what waits, where it would go on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.online import place
from mainstay.stats.prequential import Score, as_metric

if TYPE_CHECKING:
    from mainstay.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the learner stands."""

    declared: bool
    """[retrain] online."""
    version: str
    """The version that answers."""
    state: int | None
    """The state that it goes on from; None: that version's bundle."""
    newest: int
    """The newest state of all, also of those that were left."""
    why: str
    root: str
    """The version that the chain began with."""
    learned: int
    """Labels learned in the chain."""
    since: int
    """Of them, those that the version that answers does not know."""
    mark: datetime | None
    """The newest event that was learned."""
    waiting: int
    """Labels that were not looked at."""
    aside: int
    """Labels set aside with versions that were taken back."""
    metric: str
    """accuracy, or mae of a regression."""
    learner: Mapping[str, float | None]
    """Progressive score of the learner, each row before it learned it: `all`, and `newest` (fading)."""
    answered: Mapping[str, float | None]
    """The same of what was answered to these requests."""
    rows: int
    """Rows that the scores are of."""


def standing(parts: Parts) -> Standing:
    """Return where the learner stands; raises NotEnoughEvidence before a version answers. Opens no model."""
    where = place.read(parts)
    line = [where.states[number] for number in where.start.line]
    since = [where.states[number] for number in where.start.since]
    score = where.parent.score if where.parent is not None else {}
    metric = "accuracy" if parts.loaded.contract.task.is_classification else "mae"
    return Standing(
        declared=parts.settings.retrain.online,
        version=where.live.name,
        state=where.start.parent,
        newest=where.newest,
        why=where.start.why,
        root=where.root.name,
        learned=sum(state.learned for state in line),
        since=sum(state.learned for state in since),
        mark=where.parent.mark if where.parent is not None else None,
        waiting=place.count_waiting(parts, where, parts.clock.now()),
        aside=sum(where.states[number].learned for number in where.start.aside),
        metric=metric,
        learner=_scored(score.get("learner"), metric),
        answered=_scored(score.get("answered"), metric),
        rows=Score(**score.get("learner", {})).n,
    )


def _scored(kept: Mapping[str, Any] | None, metric: str) -> dict[str, float | None]:
    """Return a kept progressive score as the metric that people know: accuracy, or the mean absolute error."""
    score = Score(**(kept or {}))
    found = {"all": score.mean, "newest": score.newest}
    return {name: None if math.isnan(loss) else as_metric(loss, metric) for name, loss in found.items()}
