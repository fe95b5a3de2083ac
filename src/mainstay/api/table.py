"""All routes of a server, protocol by protocol."""

from __future__ import annotations

from mainstay.api import ndjson, routes

HOT: tuple[routes.HotRoute, ...] = (*routes.OWN, *ndjson.ROUTES)


def table() -> routes.Table:
    """Return what finds a route by its path."""
    return routes.Table(HOT)
