"""All routes of a server, protocol by protocol."""

from __future__ import annotations

from mainstay.api import events, explain, invocations, ndjson, open_inference, rollouts, routes

HOT: tuple[routes.HotRoute, ...] = (
    *routes.OWN,
    *ndjson.ROUTES,
    *open_inference.ROUTES,
    *invocations.ROUTES,
    *events.ROUTES,
    *explain.ROUTES,
    *rollouts.ROUTES,
)


def table() -> routes.Table:
    """Return what finds a route by its path."""
    return routes.Table(HOT)
