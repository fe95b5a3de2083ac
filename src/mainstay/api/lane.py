"""The shortest way of a request that arrived whole: no task, no event, one write.

uvicorn parses, keeps connections and their time-outs. Of a request to a route that has a `job` (routes.py), whose head
and body came in one piece, the rest happens right here, in the parser's callback: the shell's checks, the job into the
queue, and, when its batch is on disk, one write of head and body. Whatever is not so simple (a body in pieces, one
request behind another, a client that does not read) goes uvicorn's way through the same shell, with the same answer.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from mainstay.api import errors
from mainstay.api.connections import BoundedProtocol
from mainstay.api.routes import Ask, HotRoute, Reply
from mainstay.api.shell import TRACE_ID, Shell, about, headers_of
from mainstay.core.errors import MainstayError

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

CLOSE = (b"connection", b"close")
_log = logging.getLogger("mainstay.api")


class LaneProtocol(BoundedProtocol):
    """One connection."""

    shell: Shell
    """Set by `lane_for`: uvicorn makes protocols itself."""
    _whole: RequestResponseCycle | None = None
    """A request whose head is there, until the bytes that brought it are read to their end."""

    def data_received(self, data: bytes) -> None:
        """Read; a request that did not come whole with these bytes goes uvicorn's way."""
        super().data_received(data)
        if self._whole is not None:
            cycle, self._whole = self._whole, None
            super()._start_asgi_task(cycle, self.app)

    def on_message_complete(self) -> None:
        """Take a request that is whole."""
        super().on_message_complete()
        if self._whole is not None and self._whole is self.cycle:
            cycle, self._whole = self._whole, None
            self._take(cycle)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if app is not self.app or cycle.waiting_for_100_continue or self.flow.write_paused:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._whole = cycle
        else:
            self._take(cycle)  # it waited behind another one, and is whole by now

    def _take(self, cycle: RequestResponseCycle) -> None:
        """Answer a whole request, here if its route has a job."""
        found = self.shell.find(cycle.scope["path"])
        scope = scope_of(cycle)
        headers = dict(cycle.scope["headers"])
        route = found.route(cycle.scope["method"], headers) if found is not None else None
        if found is None or route is None or route.job is None or b"content-length" not in headers:
            super()._start_asgi_task(cycle, self.app)
            return
        waiter = Waiter(self, cycle, route)
        try:
            self.shell.admit(scope, headers, found, route)
            waiter.ask = ask = self.shell.ask(route, found, scope, headers, bytes(cycle.body))
            worker, job = route.job(ask)
            job.future = waiter
            worker.pending.put(job)
        except Exception as error:  # noqa: BLE001 - edge: one request; whatever fails in it is answered
            waiter.set_exception(error)


class Waiter:
    """Waits for one job's outcome, as a future would, and writes the answer."""

    __slots__ = ("_cycle", "_protocol", "_route", "ask")

    def __init__(self, protocol: LaneProtocol, cycle: RequestResponseCycle, route: HotRoute) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._route = route
        self.ask: Ask | None = None

    def done(self) -> bool:
        """Return whether nobody waits any more."""
        return self._cycle.disconnected

    def set_result(self, body: bytes) -> None:
        """Answer with 200."""
        self._write(Reply(body=body))

    def set_exception(self, error: BaseException) -> None:
        """Answer with the error."""
        shell, route = self._protocol.shell, self._route
        if not isinstance(error, MainstayError):
            _log.error("request to %s failed", route.name, exc_info=error, extra=about(scope_of(self._cycle)))
            error = errors.Defect()
        elif self.ask is not None:
            shell.note_refusal(route, self.ask, error)
        shell.note_miss(route, scope_of(self._cycle), error)
        self._write(shell.failed(error, route))

    def _write(self, reply: Reply) -> None:
        cycle, protocol = self._cycle, self._protocol
        protocol.shell.count(self._route, reply.status)
        if cycle.disconnected or protocol.transport.is_closing():
            return
        headers = headers_of(reply)
        trace_id = self.ask.trace_id if self.ask is not None else about(scope_of(cycle)).get("trace_id")
        if trace_id is not None:
            headers.append((TRACE_ID, trace_id.encode()))
        if CLOSE in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers.append(CLOSE)
        head = [STATUS_LINE[reply.status]]
        for name, value in headers:
            head += (name, b": ", value, b"\r\n")
        protocol.transport.write(b"".join([*head, b"\r\n", reply.body]))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            protocol.transport.close()
        cycle.on_response()


def scope_of(cycle: RequestResponseCycle) -> MutableMapping[str, Any]:
    """Return the request's scope under the type that the shell has for it."""
    return cast("MutableMapping[str, Any]", cycle.scope)


def lane_for(shell: Shell, **limits: int) -> type[LaneProtocol]:
    """Return the protocol class of a server that runs this shell, with the limits that `BoundedProtocol` names."""
    return type("LaneProtocol", (LaneProtocol,), {"shell": shell, **limits})
