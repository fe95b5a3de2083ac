"""The stages of a load test: what the server takes at most, then the highest constant rate that keeps the objective."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.core.ports import Progress, silent
from mainstay.loadtest.client import Heads, Load
from mainstay.loadtest.records import LoadReport, Objective, Stage

Found = tuple[list[Stage], float | None]
"""The stages, and the highest rate that kept the objective."""
CONNECTIONS = (1, 8, 32, 128)
SHARES = (0.5, 0.65, 0.8, 0.9)
"""Of the most that was reached, the rates that are tried, ascending."""
WARM_UP_S = 0.5
MOST_CONNECTIONS = 256


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of an address; raises UsageError for one that is none, or that is encrypted."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"{url!r} is no address to load; allowed: http://HOST:PORT")
    return parts.hostname, parts.port or 80


def run(
    url: str,
    *,
    model: str,
    bodies: Sequence[bytes],
    objective: Objective,
    seconds: float = 4.0,
    connections: Sequence[int] = CONNECTIONS,
    rate: float | None = None,
    headers: Sequence[tuple[str, str]] = (),
    elsewhere_too: bool = False,
    progress: Progress = silent,
) -> LoadReport:
    """Load the server at `url`; with `rate`, at that alone.

    Raises UsageError for another machine unless `elsewhere_too`, EnvironmentFault where nothing listens.
    """
    host, port = address_of(url)
    if not is_loopback(host) and not elsewhere_too:
        raise UsageError(
            f"{host} is not this machine, and a load test can take a server away from its users",
            remedy="Pass --yes-really if it is yours and that is what you want.",
        )
    heads = Heads(f"/v1/models/{model}/predict", f"{host}:{port}", bodies, headers)

    async def all_stages() -> Found:
        def load() -> Load:
            return Load(host, port, heads, latency_ms=objective.latency_ms)

        await load().closed(4, WARM_UP_S)
        if rate is not None:
            stage = await load().constant(rate, seconds, MOST_CONNECTIONS)
            return [stage], rate if objective.kept(stage) else None
        return await _ramp(load, objective, seconds, connections, progress)

    try:
        stages, highest = _run(all_stages)
    except OSError as error:
        raise EnvironmentFault(
            f"Nothing answers at {url}: {error.strerror or error}",
            remedy="Start it: `mainstay up` or `mainstay serve`.",
        ) from error
    return LoadReport(
        url=url, model=model, rows=len(bodies), objective=objective, stages=tuple(stages), highest_rate=highest
    )


async def _ramp(
    load: Callable[[], Load], objective: Objective, seconds: float, connections: Sequence[int], progress: Progress
) -> Found:
    total = len(connections) + len(SHARES)
    stages: list[Stage] = []
    for number in connections:
        progress(f"{number} connections", len(stages), total)
        stages.append(await load().closed(number, seconds))
    most = max(stage.requests_per_s for stage in stages)
    highest: float | None = None
    for share in SHARES if most > 0 else ():
        wanted = float(f"{share * most:.2g}")
        progress(f"{wanted:g} requests/s", len(stages), total)
        stage = await load().constant(wanted, seconds, MOST_CONNECTIONS)
        stages.append(stage)
        if not objective.kept(stage):
            break
        highest = wanted
    return stages, highest


def _run(main: Callable[[], Coroutine[Any, Any, Found]]) -> Found:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.Loop) as runner:
        return runner.run(main())
