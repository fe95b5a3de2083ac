"""What happened last to a model, each kind by one look at an index: enough to tell whether anything is new."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from mainstay.store.tables import (
    audit,
    blocks,
    incident_events,
    incident_marks,
    incidents,
    jobs,
    labels,
    pairs,
    release_events,
    routes,
    silences,
)

MODEL: Any = bindparam("model", type_=blocks.c.model.type)
_KINDS = tuple(
    kind.scalar_subquery()
    for kind in (
        # The newest block.
        select(func.max(blocks.c.last_at)).where(blocks.c.model == MODEL),
        # The newest incident, and the newest change of any.
        select(func.max(incidents.c.id)).where(incidents.c.model == MODEL),
        select(func.max(incident_events.c.n)),
        select(func.max(incident_marks.c.n)),
        # What the open ones tell: the watch goes on adding to it.
        select(func.sum(func.length(incidents.c.facts))).where(
            incidents.c.model == MODEL, incidents.c.state.in_(("open", "acknowledged"))
        ),
        # The newest move of a version, and the route.
        select(func.max(release_events.c.seq)).where(release_events.c.model == MODEL),
        select(func.max(routes.c.epoch)).where(routes.c.model == MODEL),
        # The newest pair of a rollout, the newest label.
        select(func.max(pairs.c.n)),
        select(func.max(labels.c.at)).where(labels.c.model == MODEL),
        # The newest acts and silences.
        select(func.max(audit.c.n)),
        select(func.max(silences.c.id)),
        # The jobs.
        select(func.max(jobs.c.updated_at)).where(jobs.c.model == MODEL),
    )
)
# All of them in one statement, made once: it is asked every few seconds for every model.
_ALL = select(*_KINDS)


def of(tx: Connection, model: str) -> tuple[Any, ...]:
    """Return the newest of everything that pages tell; two equal answers mean that nothing is new."""
    return tuple(tx.execute(_ALL, {"model": model}).one())
