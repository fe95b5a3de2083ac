"""The worker process: `python -m mainstay.api.worker PLAN…`. Started by the supervisor, never by hand."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvicorn

from mainstay.api.app import make_app
from mainstay.api.connections import MOST_HEAD_BYTES, most_connections, swept
from mainstay.api.keys import Keys
from mainstay.api.lane import lane_for
from mainstay.api.shell import Shell
from mainstay.config import logs
from mainstay.config.clocks import clock_from
from mainstay.core.errors import MainstayError
from mainstay.core.ports import Clock
from mainstay.serve.hall import Hall
from mainstay.serve.keys import FILE, Key, from_environment
from mainstay.serve.plan import WorkerPlan, read_plan
from mainstay.serve.tracing import Tracing, provider_of, wanted
from mainstay.serve.worker import Worker

_log = logging.getLogger("mainstay.api")
SWITCH_S = 0.001
"""How long one thread may keep the others from running: the batch thread must not wait long for the shadow thread."""


def make_shell(
    plans: Sequence[WorkerPlan], clock: Clock, environ: Mapping[str, str], tracing: Tracing | None = None
) -> Shell:
    """Return everything that one worker process serves; the first plan says what holds for all of it."""
    hall = Hall.of_plans(plans, lambda plan: Worker(plan, clock=clock, tracing=tracing))
    given = from_environment(environ)
    first, *others = [_keys(plan, clock, given, host=plans[0].host) for plan in plans]
    keys_of = {model: keys for plan, keys in zip(plans[1:], others, strict=True) for model in plan.models}
    return Shell(make_app(hall), hall, first, keys_of=keys_of, trace_of=tracing.trace_of if tracing else None)


def _keys(plan: WorkerPlan, clock: Clock, given: Sequence[Key], *, host: str) -> Keys:
    """Return who is let in to a project's models."""
    return Keys(
        Path(plan.run) / FILE,
        clock,
        host=host,
        workers=plan.workers,
        admin_token=plan.admin_token,
        given=given,
        rate_per_client=plan.rate_per_client,
    )


def server_of(
    plans: Sequence[WorkerPlan], clock: Clock, environ: Mapping[str, str], tracing: Tracing | None = None
) -> uvicorn.Server:
    """Return the server of one worker process, not started."""
    plan, shell = plans[0], make_shell(plans, clock, environ, tracing)
    config = uvicorn.Config(
        shell,
        loop="uvloop",
        http=lane_for(
            shell,
            most_connections=most_connections(plan.max_connections),
            most_bytes=max(int(max(one.max_bulk_mb * 1024, one.max_body_kb) * 2048) for one in plans) + MOST_HEAD_BYTES,
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(plan.drain_s)),
    )
    return uvicorn.Server(config)


async def serve(plans: Sequence[WorkerPlan], clock: Clock, environ: Mapping[str, str]) -> None:
    """Serve on the inherited socket until told to stop, or until the supervisor is gone."""
    plan = plans[0]
    tracing = _tracing(plan, clock, environ)
    server = server_of(plans, clock, environ, tracing)
    if plan.parent_fd >= 0:
        loop = asyncio.get_running_loop()

        def orphaned() -> None:
            loop.remove_reader(plan.parent_fd)
            server.should_exit = True

        loop.add_reader(plan.parent_fd, orphaned)
    listening = socket.socket(fileno=os.dup(plan.socket_fd))
    listening.setblocking(False)
    if tracing is not None:
        tracing.start()
    try:
        async with swept(server.server_state.connections):
            await server.serve(sockets=[listening])
    finally:
        if tracing is not None:
            tracing.stop()


def _tracing(plan: WorkerPlan, clock: Clock, environ: Mapping[str, str]) -> Tracing | None:
    """Return what makes spans, where the project or OpenTelemetry's variables ask for it and the packages are there."""
    if not wanted(plan.telemetry, environ):
        return None
    try:
        return Tracing(provider_of(plan.telemetry, plan.telemetry_service, environ), clock)
    except MainstayError as error:  # a variable of the machine's must not keep a server down
        _log.warning("no spans are made: %s %s", error.message, error.remedy)
        return None


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Run one worker process; return the exit code."""
    logs.set_up(logs.LogFormat.TEXT)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # each request that is none would be a line in the log
    sys.setswitchinterval(SWITCH_S)
    # The server raises the signal that ended it once more when everything is drained: then this is a clean end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        plans = [read_plan(Path(argument)) for argument in arguments]
        logs.set_up(plans[0].log_format, model=plans[0].models[0] if len(plans) == 1 else "")
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(plans, clock_from(environ), environ))
    except MainstayError as error:
        logging.getLogger("mainstay").error("%s: %s %s", error.code, error.message, error.remedy)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 0
    return 0


def _loop_factory() -> type[asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
