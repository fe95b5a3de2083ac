"""The process that shows the control room: `python -m mainstay.web.server --project DIR --port N`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import uvicorn

from mainstay.api.connections import BoundedProtocol, most_connections, swept
from mainstay.api.keys import Keys
from mainstay.config import logs
from mainstay.config.folders import make_private
from mainstay.core import errors
from mainstay.project import WEB_FILE, Project
from mainstay.serve import plan
from mainstay.serve.keys import FILE, from_environment, why_closed
from mainstay.web import app as pages
from mainstay.web import project_rooms
from mainstay.web.feed import Feed
from mainstay.web.rooms import Room

MOST_CONNECTIONS = 200
"""A browser keeps up to six; more than some people and a Prometheus hold this page up."""
MOST_BYTES = 1024 * 1024
"""Of one request; forms are small."""
log = logging.getLogger("mainstay.web")


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the page until stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mainstay.web.server", description="Show the control room.")
    parser.add_argument(
        "--project",
        type=Path,
        action="append",
        help="a project folder, or its mainstay.toml; may be given several times",
    )
    parser.add_argument("--port", type=int, help="instead of [web] port of the first project")
    given = parser.parse_args(arguments)
    # The server raises the signal that ended it once more: then this is a clean end, in which a drill is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        flags = {} if given.port is None else {"web.port": given.port}
        show(*Project.open_several(given.project or [Path()], flags=flags))
    except errors.MainstayError as error:
        problems = "".join(f"  - {problem}\n" for problem in error.problems)
        sys.stderr.write(f"Error: {error.message}\n{problems}Remedy: {error.remedy}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(errors.ExitCode.INTERRUPTED)
    return int(errors.ExitCode.DONE)


def show(*projects: Project) -> None:
    """Bind the first project's port and show the pages of all until stopped."""
    first, web = projects[0], projects[0].settings.web
    logs.set_up(first.settings.log.format, model=first.name)
    bound = bind(web.host, web.port)
    for project in projects:
        if why := why_closed(project.run_folder, web.host, project.environ):
            log.warning("%s: %s", project.name, why)
    shown = project_rooms.of(projects)
    threading.Thread(target=_open, args=(shown.values(),), daemon=True).start()
    application = pages.create_app(
        shown, host=web.host, keys={project.name: _keys(project, web.host) for project in projects}
    )
    files = [project.run_folder / WEB_FILE for project in projects]
    for file in files:
        with contextlib.suppress(OSError):  # a full disk keeps no page back; the port is only told
            make_private(file.parent)
            plan.write_json(file, {"v": 1, "pid": os.getpid(), "port": bound.getsockname()[1]})
    try:
        asyncio.run(serve(server_of(application), bound))
    finally:
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def _open(shown: Iterable[Room]) -> None:
    """Open every store before the first person looks; one that is away is tried again by whoever looks."""
    for room in shown:
        with contextlib.suppress(errors.MainstayError):
            room.status()


def _keys(project: Project, host: str) -> Keys:
    given = from_environment(project.environ)
    return Keys(project.run_folder / FILE, project.clock, host=host, given=given)


class Server(uvicorn.Server):
    """Ends the streams of events first: they would hold its end up."""

    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed = feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what goes on."""
        self._feed.close()
        await super().shutdown(sockets)


def server_of(application: pages.Shell) -> uvicorn.Server:
    """Return the server of the pages, not started."""
    limits = {"most_connections": most_connections(MOST_CONNECTIONS), "most_bytes": MOST_BYTES}
    config = uvicorn.Config(
        application,
        http=type("PageProtocol", (BoundedProtocol,), limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        lifespan="off",
    )
    return Server(config, application.feed)


async def serve(server: uvicorn.Server, bound: socket.socket) -> None:
    """Serve on a bound socket until stopped; who holds a connection up is closed."""
    async with swept(server.server_state.connections):
        await server.serve(sockets=[bound])


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket; a port that is taken is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        bound.close()
        raise errors.EnvironmentFault(
            f"the pages cannot use {host}:{port}: {os.strerror(error.errno or 0)}",
            remedy="Stop what uses the port, or set another one: [web] port, or --port.",
        ) from error
    return bound


if __name__ == "__main__":
    sys.exit(main())
