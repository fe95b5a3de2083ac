"""Make a move real: the stages of a version and of those it displaces, and the route, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.config import failpoints
from mainstay.core.errors import StaleTransition
from mainstay.core.releases import LIVE, Move, Release, Stage
from mainstay.core.routes import BundleRef, Route
from mainstay.release import promises, routing
from mainstay.store import half_pairs, releases, routes

if TYPE_CHECKING:
    from sqlalchemy import Connection

LEAVES = frozenset({Stage.ROLLED_BACK, Stage.QUARANTINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who moves, when, and on what grounds."""

    by: str
    now: datetime
    evidence: Mapping[str, Any]
    share: float = 0.0
    """Part of the keys, when the move leads to CANARY."""
    lease_until: datetime | None = None
    back_to: int | None = None
    """Version to return to when a live one leaves; None: the one before it."""
    kept: routing.Kept = routing.NOBODY_KEPT
    """Whom the version does not reach, when the move leads to CANARY or PROBATION."""
    at_least_epoch: int = 0
    """The new route's epoch must not be lower (a route that took effect on the server already)."""


def apply(tx: Connection, release: Release, move: Move, act: Act) -> Release:
    """Move the version and put the route that belongs to its new stage; return where it stands.

    Exactly one version stays live: a new champion retires the old one, a champion that leaves gives way to the one
    before it. Anything that moved meanwhile raises `StaleTransition` and nothing of this happened.
    """
    route = routes.current(tx, release.model)
    expected = None if route is None else route.epoch
    if route is not None and act.back_to is not None:
        route = replace(route, previous=routing.ref(releases.get(tx, release.model, act.back_to)))
    old = releases.live(tx, release.model)
    becomes_live = move.to in LIVE and release.stage not in LIVE
    if becomes_live and old is not None and old.version != release.version:
        _retire(tx, old, release, act)
        failpoints.reach("move.retired")
    moved = releases.move(
        tx, release, move.to, step=move.step, reason=move.reason, by=act.by, evidence=act.evidence, now=act.now
    )
    failpoints.reach("move.staged")
    if release.stage in LIVE and move.to in LEAVES:
        _return_to(tx, route, moved, act)
    _put(tx, moved, route, act, expected)
    if moved.stage is Stage.PROBATION:
        before = 0 if old is None else old.version
        promises.open_(tx, moved, champion=before, evidence=act.evidence, by=act.by, now=act.now)
    elif release.stage is Stage.PROBATION:
        promises.close(tx, moved, outcome=moved.stage.value, evidence=act.evidence, now=act.now)
    if moved.stage in LEAVES or moved.stage is Stage.CERTIFIED:
        half_pairs.forget(tx, moved.model, moved.version)
    failpoints.reach("move.routed")
    return moved


def _retire(tx: Connection, old: Release, new: Release, act: Act) -> None:
    if old.stage is Stage.PROBATION:
        # Whoever is promoted over it has been compared with it, so its own trial ends here.
        old = releases.move(tx, old, Stage.CERTIFIED, reason=f"{new.name} follows", by=act.by, evidence={}, now=act.now)
        promises.close(tx, old, outcome=old.stage.value, evidence={}, now=act.now)
    releases.move(
        tx, old, Stage.RETIRED, reason=f"{new.name} took over", by=act.by, evidence={"by": new.name}, now=act.now
    )


def _return_to(tx: Connection, route: Route | None, gone: Release, act: Act) -> None:
    if route is None or route.previous is None:
        raise StaleTransition(
            f"there is no version to go back to from {gone.name}",
            remedy="Promote another version by hand: `mainstay promote VERSION`.",
        )
    back = releases.get(tx, gone.model, route.previous.version)
    reason = f"returned: {gone.name} left ({gone.reason})"
    releases.move(tx, back, Stage.CERTIFIED, reason=reason, by=act.by, evidence={"gone": gone.name}, now=act.now)


def _put(tx: Connection, moved: Release, route: Route | None, act: Act, expected: int | None) -> None:
    if route is None:
        if moved.stage not in LIVE:
            return
        new = routing.first(moved)
    elif moved.stage in (Stage.CHECKED, Stage.GATED) or _concerns_nobody(moved, route):
        return
    else:
        new = routing.after(
            moved,
            route,
            share=act.share,
            lease_until=act.lease_until or act.now,
            way_back=_way_back(tx, moved, route),
            kept=act.kept,
        )
    if new.epoch < act.at_least_epoch:
        new = _at_epoch(new, act.at_least_epoch)
    routes.put(tx, new, expected_epoch=expected, by=act.by, reason=moved.reason, now=act.now)


def _concerns_nobody(moved: Release, route: Route) -> bool:
    return moved.stage in LEAVES and routing.ref(moved) not in route.bundles()


def _at_epoch(route: Route, epoch: int) -> Route:
    return replace(route, epoch=epoch)


def _way_back(tx: Connection, moved: Release, route: Route) -> BundleRef | None:
    """Return the newest retired version beside the two that change places."""
    taken = {moved.version, route.champion.version, route.previous.version if route.previous else 0}
    older = [r for r in releases.all_of(tx, moved.model) if r.stage is Stage.RETIRED and r.version not in taken]
    older.sort(key=lambda r: r.since, reverse=True)
    return routing.ref(older[0]) if older else None
