"""Connections that hold a worker up: too many, a head that never ends, a body that drips, answers that nobody reads.

uvicorn knows none of these limits. The cost on a request that arrives whole is one comparison; who is late is looked
for once a second, over all connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mainstay.api import errors
from mainstay.core.errors import MainstayError, Overloaded, TooLarge

MOST_HEAD_BYTES = 64 * 1024
PATIENCE_S = 15.0
"""Longest time for the head of a request, for what is left of a body after its answer, and for a client to read."""
SWEEP_S = 1.0
SPARE_FILES = 64
"""Open files that a worker needs beside its connections."""
_log = logging.getLogger("mainstay.api")


class BoundedProtocol(HttpToolsProtocol):
    """One connection, within limits."""

    most_connections = 1000
    most_bytes = 256 * 1024 * 1024
    """Of one request that comes in pieces, whatever its head says."""
    stuck: object = None
    """What it was waiting for when it was last looked at."""
    stuck_since = 0.0
    _measured: object = None
    _body_at: int | None = None
    """Where the body begins of a request whose head asks for another protocol, in the bytes that came last."""
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            most = self.most_connections
            self.turn_away(Overloaded(f"{most} connections are open already ([serve] max_connections)"))

    def data_received(self, data: bytes) -> None:
        """Read, and count what belongs to a request that did not come in one piece."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._body_at is not None:
            self._read_as_http(data)
        scope = self.scope
        if scope is not self._measured:
            self._measured, self._bytes = scope, len(data)
        else:
            self._bytes += len(data)
            in_head = self.in_head()
            if self._bytes > (MOST_HEAD_BYTES if in_head else self.most_bytes):
                self.turn_away(
                    errors.HeadTooLarge(f"The head of the request has more than {MOST_HEAD_BYTES} bytes")
                    if in_head
                    else TooLarge("The request has more bytes than any may have")
                )

    # A server that does not speak the protocol of an Upgrade header ignores the header (RFC 9110, 7.8). httptools
    # takes such a request for one without a body and the body for the next request: Java's HttpClient, which asks for
    # h2c, would be refused, and a body that looks like a request would be answered as one.

    def _should_upgrade(self) -> bool:
        """Return True, asked by uvicorn of such requests alone: none is answered before it was read anew."""
        return True

    def handle_websocket_upgrade(self) -> None:
        """Note where the body begins; uvicorn calls this where the parser raised, and only its error knows."""
        error = sys.exception()
        self._body_at = error.args[0] if isinstance(error, httptools.HttpParserUpgrade) else 0

    def _read_as_http(self, data: bytes) -> None:
        """Read the request again without what asks for another protocol, then whatever follows its head."""
        while self._body_at is not None:
            rest, self._body_at = data[self._body_at :], None
            if self.scope["method"] == "CONNECT":
                self.send_400_response("CONNECT is for proxies, and this is none")
                return
            data = self._head_without_upgrade() + rest
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
            super().data_received(data)

    def _head_without_upgrade(self) -> bytes:
        scope = self.scope
        lines = [b"%b %b HTTP/%b" % (scope["method"].encode(), self.url, scope["http_version"].encode())]
        for name, value in self.headers:
            if name == b"connection":
                kept = [one.strip() for one in value.split(b",") if one.strip().lower() != b"upgrade"]
                lines.append(b"connection: " + b", ".join(kept))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def in_head(self) -> bool:
        """Return whether the head of a request is not whole yet, or nothing came at all."""
        return self.cycle is None or self.cycle.scope is not self.scope

    def waits_for(self) -> object:
        """Return what the client owes: a head, the rest of a body that was answered, reading; None where nothing."""
        if self.flow.write_paused:
            return self.flow
        if self.in_head():
            return self.scope or self
        # Line ends after an answer begin no request, but uvicorn takes its time-out for idle connections away for them.
        if self.cycle.response_complete and (self.cycle.more_body or self.timeout_keep_alive_task is None):
            return self.cycle
        return None

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no request, in the one error shape, and close."""
        self.turn_away(errors.NoRequest(msg))

    def turn_away(self, error: MainstayError) -> None:
        """Answer with an error if no answer was begun, and close."""
        if self.transport is None or self.transport.is_closing():
            return
        # What comes while an earlier request is under way may not be answered in that one's place.
        idle = self.cycle is None or (
            self.cycle.response_complete if self.in_head() else not self.cycle.response_started
        )
        if idle:
            body = errors.body_of(error)
            head = {**dict(errors.headers_of(error)), b"connection": b"close"}
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in head.items())
            self.transport.write(
                STATUS_LINE[errors.status_of(error)]
                + b"content-type: application/json\r\ncontent-length: "
                + str(len(body)).encode()
                + b"\r\n"
                + lines
                + b"\r\n"
                + body
            )
        self.transport.close()


def sweep(connections: Iterable[Any], now: float) -> int:
    """Close every connection whose client owes the same for too long; return how many."""
    closed = 0
    for connection in list(connections):
        owed = connection.waits_for()
        if owed is None or owed is not connection.stuck:
            connection.stuck, connection.stuck_since = owed, now
        elif now - connection.stuck_since >= PATIENCE_S:
            closed += 1
            if owed is connection.flow:
                connection.transport.abort()  # what is written waits for the same reader
            elif owed is connection:
                connection.transport.close()
            else:
                connection.turn_away(errors.TooSlow(f"The request did not arrive within {PATIENCE_S:.0f} s"))
    return closed


@contextlib.asynccontextmanager
async def swept(connections: Iterable[Any]) -> AsyncIterator[None]:
    """Sweep the connections as long as the block lasts."""

    async def again_and_again() -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            if closed := sweep(connections, asyncio.get_running_loop().time()):
                _log.warning("%d connections were closed: their clients did not go on", closed)

    task = asyncio.get_running_loop().create_task(again_and_again(), name="sweep")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def most_connections(wanted: int) -> int:
    """Return how many connections a worker takes: as wanted, but no more than it may open files for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - SPARE_FILES))
