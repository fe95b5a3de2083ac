"""Who answers for each model, and every answer to that question there ever was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select, update

from mainstay.core import errors
from mainstay.core.routes import Route
from mainstay.store.columns import from_plain
from mainstay.store.tables import route_history as history_table
from mainstay.store.tables import routes as table
from mainstay.store.writes import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChange:
    """One route that was put, by whom and why."""

    route: Route
    at: datetime
    by: str
    reason: str


def current(tx: Connection, model: str) -> Route | None:
    """Return the route of a model, or None before its first version went live."""
    # The one route row of the model.
    found = tx.execute(select(table.c.document).where(table.c.model == model)).scalar_one_or_none()
    return None if found is None else from_plain(found, Route)


def put(tx: Connection, route: Route, *, expected_epoch: int | None, by: str, reason: str, now: datetime) -> None:
    """Replace the route that has `expected_epoch` (None: there is none yet), and write it into the history.

    The new epoch must be higher; a route that has moved on meanwhile raises `StaleTransition`.
    """
    if expected_epoch is not None and route.epoch <= expected_epoch:
        raise errors.StaleTransition(
            f"the new route of {route.model} has epoch {route.epoch}; allowed: above {expected_epoch}"
        )
    row = {"model": route.model, "epoch": route.epoch, "document": route, "updated_at": now}
    if expected_epoch is None:
        moved = insert_new(tx, table, row, on=["model"])
    else:
        # Replace the route only if nobody replaced it since it was read.
        guarded = update(table).where(table.c.model == route.model, table.c.epoch == expected_epoch).values(row)
        moved = tx.execute(guarded).rowcount == 1
    if not moved:
        raise _stale(tx, route.model, expected_epoch)
    # The history row of the same change.
    tx.execute(
        history_table.insert().values(
            model=route.model, epoch=route.epoch, at=now, actor=by, reason=reason, document=route
        )
    )


def renew(tx: Connection, model: str, *, epoch: int, lease_until: datetime, shorten: bool = False) -> None:
    """Prolong the challenger's lease of the route that has `epoch`; a lease never gets shorter, unless `shorten`."""
    route = current(tx, model)
    if route is None or route.epoch != epoch:
        raise _stale(tx, model, epoch)
    if route.lease_until is not None and lease_until <= route.lease_until and not shorten:
        return
    # Write the longer lease only into the route that was judged.
    guarded = update(table).where(table.c.model == model, table.c.epoch == epoch)
    if tx.execute(guarded.values(document=replace(route, lease_until=lease_until))).rowcount != 1:
        raise _stale(tx, model, epoch)


def models(tx: Connection) -> list[str]:
    """Return the models that have a route, by name."""
    # Every model with a route.
    return list(tx.execute(select(table.c.model).order_by(table.c.model)).scalars())


def history(tx: Connection, model: str, *, limit: int = 100) -> list[RouteChange]:
    """Return the model's routes, newest first."""
    # The newest routes of the model, as they were put.
    query = select(history_table).where(history_table.c.model == model).order_by(history_table.c.epoch.desc())
    return [
        RouteChange(route=from_plain(row.document, Route), at=row.at, by=row.actor, reason=row.reason)
        for row in tx.execute(query.limit(limit))
    ]


def _stale(tx: Connection, model: str, expected: int | None) -> errors.StaleTransition:
    found = current(tx, model)
    seen = "none" if found is None else f"epoch {found.epoch}"
    wanted = "none" if expected is None else f"epoch {expected}"
    return errors.StaleTransition(f"the route of {model} moved meanwhile: found {seen}, expected {wanted}")
