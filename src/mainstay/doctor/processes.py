"""What runs: the server, its workers, and the ports that serving and the pages need."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from mainstay.core import errors
from mainstay.doctor.records import Finding, Place, fail, warn, well
from mainstay.serve import control
from mainstay.serve import plan as plans

ANSWER_S = 3.0
MANY_RESTARTS = 3


def server(place: Place) -> Iterator[Finding]:
    """Look whether the server that says it runs does run, answers, and has its models."""
    told = plans.read_json(place.run / "serve.json")
    living = control.running(place.run)
    if told is None:
        yield well("server", "not running; it never ran here")
    elif living is None and told.get("state") != "stopped":
        yield warn(
            "server",
            f"process {told.get('pid')} served this project and was killed",
            "Start it again: mainstay serve, or mainstay up. What it acknowledged is in the journal.",
        )
    elif living is None or told.get("state") == "stopped":
        yield well("server", "not running; it was stopped in order")
    else:
        yield from _asked(place, living)


def _asked(place: Place, living: dict[str, Any]) -> Iterator[Finding]:
    pid = living.get("pid")
    try:
        status = control.ask(place.run, {"do": "status"}, timeout_s=ANSWER_S)
    except errors.EnvironmentFault as error:
        yield fail(
            "server",
            f"process {pid} lives and does not answer on its control socket: {error.message}",
            f"If no request is answered either: kill {pid}, then mainstay serve.",
        )
        return
    troubles = []
    for worker in status.get("workers", []):
        why = "; ".join((worker.get("failed") or {}).values())
        if why:
            troubles.append(f"worker {worker['worker']} could not load a version: {why}")
        if int(worker.get("restarts", 0)) >= MANY_RESTARTS:
            troubles.append(f"worker {worker['worker']} was started again {worker['restarts']} times")
    if troubles:
        log = status.get("log") or place.run / "workers.log"  # of several projects, the first one's
        yield fail("server", "; ".join(troubles), f"Read {log}; `mainstay rollback` goes back.")
    elif status.get("store") != "ok":
        yield warn(
            "server", f"it cannot read the store: {status.get('store')}", "It answers all the same; mend the store."
        )
    else:
        yield well("server", f"process {pid} answers; {len(status.get('workers', []))} workers")


def ports(place: Place) -> Iterator[Finding]:
    """Look whether the ports of serving and of the pages are free, or held by this project's own processes."""
    settings = place.loaded.settings
    living = control.running(place.run) or {}
    ours = {int(living["port"])} if living.get("state") != "stopped" and "port" in living else set()
    for name, at, remedy in (
        ("serve", settings.serve, "Stop what listens there, or set [serve] port (or --port)."),
        ("web", settings.web, "Stop what listens there, or set [web] port."),
    ):
        check = f"port {name}"
        if at.port == 0:
            yield well(check, "any free one is taken")
        elif at.port in ours and name == "serve":
            yield well(check, f"{at.port} is held by this project's server")
        elif (why := _taken(at.host, at.port)) is None:
            yield well(check, f"{at.port} is free")
        elif name == "web" and _is_our_page(at.host, at.port, place.model):
            yield well(check, f"{at.port} is held by this project's pages")
        else:
            yield fail(check, f"port {at.port} on {at.host} cannot be taken: {why}", remedy)


def _taken(host: str, port: int) -> str | None:
    """Return why a port cannot be taken, or None; nothing listens there afterwards."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None


def _is_our_page(host: str, port: int, model: str) -> bool:
    import httpx

    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    try:
        page = httpx.get(f"http://{named}:{port}/", timeout=ANSWER_S).text
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return "mainstay" in page.casefold() and model in page
