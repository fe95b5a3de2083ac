"""Whether labels of traffic come for every answer of the version that answers now, or only for what it chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstay.config.load import contract_of
from mainstay.config.settings import Settings
from mainstay.core.routes import Route
from mainstay.models.signals import as_category
from mainstay.stats import selective
from mainstay.stats.selective import Selective
from mainstay.store import blocks, feedback, routes

if TYPE_CHECKING:
    from sqlalchemy import Connection

BLOCKS = 48
"""Newest blocks of traffic whose answers are counted."""


def look(
    tx: Connection,
    model: str,
    settings: Settings,
    seen: Sequence[blocks.Block] | None = None,
    route: Route | None = None,
) -> Selective | None:
    """Return which answers of the champion have labels; None for numbers and rankings, and before it answered.

    `seen`: the newest blocks, and `route`: who answers, where the caller has them.
    """
    contract = contract_of(settings)
    route = route or routes.current(tx, model)
    if not contract.task.is_classification or route is None:
        return None
    bundle = f"{model}@{route.champion.version}"
    newest = blocks.blocks(tx, model, bundle=bundle, limit=BLOCKS) if seen is None else seen
    mine = [block for block in newest if block.bundle == bundle]
    answered = selective.answered(map(blocks.quality_of, mine), contract.classes)
    if not answered:
        return None
    since = min(block.first_at for block in mine)
    labelled, named = feedback.labelled_answers(tx, model, bundle, contract.target, since=since)
    return selective.look(
        answered,
        _summed(labelled),
        classes=contract.classes,
        named=[as_category(name) for name in named],
        explored=settings.serve.explore.share > 0.0,
    )


def _summed(labelled: Sequence[tuple[Any, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name, count in labelled:
        out[as_category(name)] = out.get(as_category(name), 0) + count
    return out
