"""Every route of a server is closed unless the table says otherwise; a new one cannot be left open."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api_kit import server
from mainstay.api import table
from mainstay.api.keys import Scope
from mainstay.api.routes import COLD
from mainstay.serve import keys as kept
from mainstay.testing.clock import FakeClock

PROBES = {"/healthz", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"}
"""All that may be open to everybody."""
OPEN_ON_LOOPBACK = {Scope.PREDICT, Scope.FEEDBACK, Scope.READ}


def every_route(client: httpx.AsyncClient) -> Iterator[tuple[str, str, Scope | None]]:
    """Yield method, path and scope of all that leads somewhere: the hot table, and what FastAPI really has."""
    shell = client._transport.app  # type: ignore[attr-defined]
    for route in table.HOT:
        for path in route.paths:
            yield route.method, path, route.scope
    for cold in shell._inner.routes:
        for method in cold.methods:
            yield method, cold.path, shell._table.scope_of(cold.path)


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "weather", path)


async def statuses(client: httpx.AsyncClient, **more: str) -> dict[tuple[str, str], int]:
    found = {}
    for method, path, _ in every_route(client):
        kind = {"content-type": "application/json"} if method == "POST" else {}
        answer = await client.request(method, filled(path), content=b"{}", headers=kind | more)
        found[method, path] = answer.status_code
    return found


def test_beyond_loopback_every_route_but_the_probes_asks_for_a_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path, listens="0.0.0.0") as client:
            routes = list(every_route(client))
            found = await statuses(client)
            assert {path for (_, path), status in found.items() if status not in (401,)} <= PROBES
            key = kept.add(tmp_path, "none", scopes=["feedback"], rate=0, lifetime=None, now=FakeClock().now())
            await asyncio.sleep(0.6)
            found = await statuses(client, authorization=f"Bearer {key}")
            for method, path, scope in routes:
                allowed = scope in (None, Scope.FEEDBACK)
                assert (path, (found[method, path] == 403)) == (path, not allowed)

    asyncio.run(main())


def test_on_loopback_only_predict_feedback_and_read_are_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            found = await statuses(client)
            for method, path, scope in every_route(client):
                closed = scope is not None and scope not in OPEN_ON_LOOPBACK
                assert (path, found[method, path] == 401) == (path, closed)

    asyncio.run(main())


def test_through_a_proxy_without_a_key_no_route_of_loopback_answers(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            for header in ("X-Forwarded-For", "x-real-ip", "Via", "Forwarded"):
                found = await statuses(client, **{header: "203.0.113.9"})
                assert set(found.values()) == {403}

    asyncio.run(main())


def test_the_open_probes_tell_no_more_than_that_it_lives() -> None:
    none = {path for path, scope in COLD.items() if scope is None}
    none |= {path for route in table.HOT if route.scope is None for path in route.paths}
    assert none == PROBES


@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0"])
def test_a_route_that_nobody_declared_is_closed(tmp_path: Path, listens: str) -> None:
    async def main() -> None:
        async with server(tmp_path, listens=listens) as client:
            shell = client._transport.app  # type: ignore[attr-defined]
            app: FastAPI = shell._inner

            @app.post("/v1/forgotten/{name}")
            async def forgotten(name: str) -> str:
                return name

            assert (await client.post("/v1/forgotten/x")).status_code == 401
            assert (await client.get("/v1/forgotten/x")).status_code == 401
            assert (await client.post("/v1/forgotten/x?key=abc&api_key=abc")).status_code == 401

    asyncio.run(main())


def test_no_route_for_admins_changes_anything_without_an_audit_yet() -> None:
    """An admin route over HTTP needs an actor in the audit; the first one must bring it, and is then named here."""
    assert [route.name for route in table.HOT if route.scope is Scope.ADMIN] == []
    assert [path for path, scope in COLD.items() if scope is Scope.ADMIN] == []
