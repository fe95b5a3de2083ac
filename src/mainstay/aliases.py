"""MLflow's aliases: a projection of the route, moved at each change of it, never in the way of anything.

MLflow has no compare-and-set, so a loop that was stopped on its way there may point an alias at an older version after
another loop pointed it at a newer one. The write that follows finds that out, and has all of it told again. Where it is
killed before that write, nobody knows; so now and then it is looked where the aliases stand, and what is wrong is put
right.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.config import failpoints
from mainstay.core import errors
from mainstay.store import routes, states

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.core.routes import BundleRef, Route
    from mainstay.parts import Parts

RETRY_AFTER = timedelta(minutes=5)
LOOK_AGAIN = timedelta(minutes=5)
"""How often it is looked whether the aliases still stand where the route says."""


def turn(parts: Parts) -> list[str]:
    """Move the aliases where the route changed, and put right what somebody else moved; return what went wrong."""
    now = parts.clock.now()
    with parts.store.read() as tx:
        route = routes.current(tx, parts.model)
        kept = states.get(tx, f"aliases:{parts.model}")
    if route is None or (kept is not None and not _is_due(kept[0], route, now)):
        return []
    changed = kept is None or kept[0].get("epoch") != route.epoch
    failpoints.reach("aliases.begin")
    why, moved = "", False
    try:
        wanted = {alias: _number(parts, bundle) for alias, bundle in _bundles(route)}
        there = {} if changed else parts.registry.aliases(parts.model)
        for alias, number in wanted.items():
            if changed or there.get(alias) != number:
                moved = kept is not None and not changed and not kept[0].get("failed")
                _point(parts, alias, number)
    except errors.EnvironmentFault as fault:
        why = fault.message
    failpoints.reach("aliases.told")
    value = {
        "epoch": route.epoch,
        "failed": why,
        "at": now.isoformat() if why else "",
        "looked": now.isoformat(),
    }
    try:
        with parts.store.begin() as tx:
            states.put(tx, f"aliases:{parts.model}", value, expected_version=kept[1] if kept else None)
    except errors.StaleTransition:
        _tell_again(parts)
        raise
    failpoints.reach("aliases.noted")
    if why:
        return [f"MLflow's aliases were not moved: {why}"]
    return ["MLflow's aliases stood elsewhere than the route says: they were put right"] if moved else []


def _tell_again(parts: Parts) -> None:
    """Have the aliases told anew by whoever leads now: this process told them too late. Asks no fence."""
    with parts.store.fenced(_anybody), parts.store.begin() as tx:
        kept = states.get(tx, f"aliases:{parts.model}")
        if kept is not None:
            states.put(tx, f"aliases:{parts.model}", {**kept[0], "epoch": 0}, expected_version=kept[1])


def _anybody(_tx: Connection) -> None:
    """Fence nobody off."""


def _is_due(kept: Mapping[str, Any], route: Route, now: datetime) -> bool:
    if kept.get("epoch") != route.epoch:
        return True
    if kept.get("failed"):
        return abs(now - datetime.fromisoformat(kept["at"])) >= RETRY_AFTER
    looked = kept.get("looked")
    return looked is None or abs(now - datetime.fromisoformat(looked)) >= LOOK_AGAIN


def _bundles(route: Route) -> tuple[tuple[str, BundleRef | None], ...]:
    return ("champion", route.champion), ("challenger", route.challenger)


def _number(parts: Parts, bundle: BundleRef | None) -> str | None:
    """Return the version that MLflow holds of a bundle, None where it holds none."""
    if bundle is None:
        return None
    return parts.registry.number_of(parts.model, version=bundle.version, digest=bundle.digest)


def _point(parts: Parts, alias: str, number: str | None) -> None:
    if number is not None:
        parts.registry.set_alias(parts.model, alias, number)
    elif alias in parts.registry.aliases(parts.model):
        parts.registry.drop_alias(parts.model, alias)
