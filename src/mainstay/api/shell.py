"""The outermost callable: limits, Host, keys and the error shape for every route, and the hot routes themselves.

The hot routes never enter FastAPI. Whatever must hold everywhere is therefore here, and a test walks all routes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from mainstay.api import errors
from mainstay.api.guard import Guard
from mainstay.api.keys import Keys, Scope
from mainstay.core.errors import JournalFull, MainstayError, NotFound, Overloaded, TooLarge
from mainstay.serve.worker import Worker

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[ASGIScope, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]

HOT = {"predict": Scope.PREDICT, "feedback": Scope.FEEDBACK}
OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that need no key: probes have none."""
BODY_TIMEOUT_S = 15.0
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""On every answer: a text in it that looks like a page must not become one."""
_PLAIN = [(b"content-type", b"application/json"), _NO_SNIFFING]
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)")
_log = logging.getLogger("mainstay.api")


class Shell:
    """The app that the server runs."""

    def __init__(self, inner: App, worker: Worker, keys: Keys) -> None:
        self._inner = inner
        self._worker = worker
        self._keys = keys
        self._max_body = worker.plan.max_body_kb * 1024
        self._guard = Guard(worker.plan.host)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan goes inside, websockets are turned away."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._http(scope, receive, send)

    async def _http(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        hot = _hot(scope["path"])
        try:
            self._guard.check(scope["headers"], scope.get("http_version", "1.1"))
            if hot is None:
                if scope["path"] not in OPEN:
                    self._keys.check(headers, Scope.READ)
                await self._cold(scope, receive, send)
                return
            self._keys.check(headers, HOT[hot[1]])
            body = await self._hot(hot, scope, headers, receive)
        except MainstayError as error:
            await self._fail(send, error, hot)
        except Exception:  # noqa: BLE001 - edge: one request; whatever fails in it is answered in the error's shape
            _log.exception("request %s %r failed", scope["method"], scope["path"])
            await self._fail(send, errors.Defect(), hot)
        else:
            self._count(hot, 200)
            await _reply(send, 200, body, ())

    async def _cold(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Hand on to FastAPI, HEAD as GET; an error before its answer began still gets the one shape."""
        began = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal began
            if not began:
                message["headers"] = [*message.get("headers", ()), _NO_SNIFFING]
            began = True
            await send(message)

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        try:
            await self._inner(scope, receive, watched)
        except Exception:  # edge: one request
            if began:
                raise
            _log.exception("request %s %r failed", scope["method"], scope["path"])
            await self._fail(send, errors.Defect(), None)

    async def _hot(self, hot: tuple[str | None, str], scope: ASGIScope, headers: Headers, receive: Receive) -> bytes:
        if scope["method"] != "POST":
            raise errors.WrongMethod(scope["method"], "POST")
        _check_type(headers)
        body = await self._body(headers, receive)
        model, verb = hot[0] or self._only_model(), hot[1]
        trace_id = _trace(headers.get(b"traceparent"))
        try:
            if verb == "feedback":
                return await self._worker.feedback(model, body, trace_id=trace_id)
            client = scope.get("client")
            return await self._worker.predict(model, body, client=client[0] if client else "", trace_id=trace_id)
        except MainstayError as error:
            status = errors.status_of(error)
            if verb == "predict" and status in (400, 409, 413, 422):
                self._worker.refuse(model, body, error, status)
            raise

    async def _fail(self, send: Send, error: MainstayError, hot: tuple[str | None, str] | None) -> None:
        status = errors.status_of(error)
        if status >= 500 and not isinstance(error, Overloaded | JournalFull):
            _log.error("%s: %s", hot[1] if hot else "request", error.message)
        self._count(hot, status)
        await _reply(send, status, errors.body_of(error), errors.headers_of(error))

    def _count(self, hot: tuple[str | None, str] | None, status: int) -> None:
        if hot is not None:
            self._worker.metrics.count("responses_total", route=hot[1], status=str(status))

    def _only_model(self) -> str:
        models = self._worker.plan.models
        if len(models) != 1:
            raise NotFound(
                f"This server has {len(models)} models; the short route is for one",
                remedy="Call /v1/models/{model}/… with the name.",
            )
        return models[0]

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._max_body:
            raise self._too_large(int(declared))
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise errors.Incomplete("The connection closed before the body was there")
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._max_body:
                        raise self._too_large(size)
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            raise errors.TooSlow(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s") from error

    def _too_large(self, size: int) -> TooLarge:
        limit = self._worker.plan.max_body_kb
        return TooLarge(f"The body has {size} bytes or more; at most {limit} kB are allowed ([serve] max_body_kb)")


def _hot(path: str) -> tuple[str | None, str] | None:
    """Return (model, verb) of a hot route; the model is None for the short ones. The path is decoded already."""
    if path == "/v1/predict":
        return None, "predict"
    if path == "/v1/feedback":
        return None, "feedback"
    if path.startswith("/v1/models/"):
        model, _, verb = path[len("/v1/models/") :].partition("/")
        if model and verb in HOT:
            return model, verb
    return None


def _check_type(headers: Headers) -> None:
    # Without the header a browser asks nobody's leave before it sends a foreign page's body: so it must be there.
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise errors.WrongType(f"The body is {kind.decode('latin-1')[:80]!r}; application/json is expected")
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding != b"identity":
        raise errors.WrongType(f"The body is encoded as {coding.decode('latin-1')[:80]!r}; it is expected as it is")


def _trace(header: bytes | None) -> str | None:
    """Return the trace id of a W3C traceparent header, None where it is none."""
    found = None if header is None else _TRACEPARENT.match(header)
    return None if found is None else found.group(1).decode()


async def _reply(send: Send, status: int, body: bytes, more: Iterable[tuple[bytes, bytes]]) -> None:
    headers = [*_PLAIN, (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
