"""The outermost callable: limits, Host, keys and the error shape for every route, and the hot routes themselves.

The hot routes never enter FastAPI. Whatever must hold everywhere is therefore here, and a test walks all routes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Match

from mainstay.api import bulk, errors, table
from mainstay.api.guard import Guard
from mainstay.api.keys import LOOK_S, Keys, Scope
from mainstay.api.routes import JSON, NO_TYPE, Ask, Found, Headers, HotRoute, Reply, Table, media_of
from mainstay.core.errors import JournalFull, MainstayError, Overloaded, TooLarge
from mainstay.serve.hall import Hall

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[ASGIScope, Receive, Send], Awaitable[None]]

BODY_TIMEOUT_S = 15.0
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""On every answer: a text in it that looks like a page must not become one."""
TRACE_ID = b"x-trace-id"
"""On the answer to a request that came with a trace context."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)")
_log = logging.getLogger("mainstay.api")


class Shell:
    """The app that the server runs."""

    def __init__(
        self,
        inner: App,
        hall: Hall,
        keys: Keys,
        table_: Table | None = None,
        *,
        keys_of: Mapping[str, Keys] | None = None,
        trace_of: Callable[[bytes | None], str | None] | None = None,
    ) -> None:
        """Stand before `inner`. `keys_of`: of models whose project has keys of its own; `keys` hold for all else.

        `trace_of` returns the trace id of a `traceparent` header, where spans are made of those.
        """
        self._inner = inner
        self._hall = hall
        self._keys = keys
        self._keys_of = keys_of or {}
        self._trace_of = trace_of or _trace
        self._table = table_ or table.table()
        self._guard = Guard(hall.plan.host)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan goes inside, websockets are turned away."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        route: HotRoute | None = None
        try:
            _check_transfer(scope, headers)
            found = self.find(scope["path"])
            if found is None:
                self.admit_cold(scope, headers)
                await self._cold(scope, receive, send)
                return
            route = found.route(scope["method"], headers)
            self.admit(scope, headers, found, route)
            if route.stream is not None:
                ask = self.ask(route, found, scope, headers, b"")
                await self._stream(route, ask, receive, send, still=lambda: self.admit_again(headers, found, route))
                return
            body = b""
            if route.takes:
                began = asyncio.get_running_loop().time()
                body = await self._body(receive, self.limit_kb(found))
                if asyncio.get_running_loop().time() - began > LOOK_S:
                    self.admit_again(headers, found, route)
            reply = await self._hot(route, self.ask(route, found, scope, headers, body))
        except MainstayError as error:
            self.note_miss(route, scope, error)
            reply = self.failed(error, route)
        except Exception:  # noqa: BLE001 - edge: one request; whatever fails in it is answered in the error's shape
            _log.exception("request to %s failed", route.name if route else "no route", extra=about(scope))
            self.note_miss(route, scope, errors.Defect())
            reply = self.failed(errors.Defect(), route)
        if route is not None:
            self.count(route, reply.status)
        await _send(send, reply, about(scope).get("trace_id"))

    def find(self, path: str) -> Found | None:
        """Return the hot routes of a path, None where it is FastAPI's or nobody's."""
        return self._table.find(path)

    def admit(self, scope: ASGIScope, headers: Headers, found: Found, route: HotRoute) -> None:
        """Return if a request to a hot route may go on, before its body is read; raise what is wrong with it.

        What holds for every hot route holds here: who calls whom, the key and its scope, method, media type, size.
        """
        self._guard.check(scope["headers"], scope.get("http_version", "1.1"))
        model = found.params.get("model", "")
        self._keys_of.get(model, self._keys).check(headers, route.scope, _address(scope))
        method = scope["method"]
        if method != route.method and (method, route.method) != ("HEAD", "GET"):  # the server leaves the body out
            raise errors.WrongMethod(method, ", ".join(sorted({*found.methods, *_with_head(found.methods)})))
        if route.takes:
            _check_type(headers, route.takes)
            declared = headers.get(b"content-length", b"")
            if declared.isdigit() and route.stream is None and int(declared) > self.limit_kb(found) * 1024:
                raise _too_large(int(declared), self.limit_kb(found))
            if route.stream is None and self._hall.crowded(model):
                raise Overloaded("More requests came than this worker can answer in time")

    def admit_again(self, headers: Headers, found: Found, route: HotRoute) -> None:
        """Return if the key of a request that takes long is still good."""
        self._keys_of.get(found.params.get("model", ""), self._keys).check(headers, route.scope, again=True)

    def limit_kb(self, found: Found) -> int:
        """Return how large the body of a request may be (kB): as its model's project says."""
        return self._hall.max_body_kb(found.params.get("model", ""))

    def admit_cold(self, scope: ASGIScope, headers: Headers) -> None:
        """Return if a request may go on to FastAPI; raise what is wrong with it."""
        self._guard.check(scope["headers"], scope.get("http_version", "1.1"))
        needed = self._table.scope_of(scope["path"])
        if needed is Scope.ADMIN and not self._leads_somewhere(scope):
            needed = Scope.READ  # all that it tells is that there is nothing
        keys = self._keys_of.get(self._table.cold_model_of(scope["path"]), self._keys)
        keys.check(headers, needed, _address(scope))

    def _leads_somewhere(self, scope: ASGIScope) -> bool:
        """Return whether FastAPI has a route for a path, whatever its method."""
        routes: Iterable[BaseRoute] = getattr(self._inner, "routes", ())
        return any(route.matches(scope)[0] is not Match.NONE for route in routes)

    def ask(self, route: HotRoute, found: Found, scope: ASGIScope, headers: Headers, body: bytes) -> Ask:
        """Return what a hot route is asked, once its body is there."""
        model = found.params.get("model", "")
        if route.about_a_model and not model:
            model = self._hall.only_model()
        return Ask(
            hall=self._hall,
            model=model,
            params=found.params,
            body=body,
            headers=headers,
            query=scope.get("query_string", b""),
            client=_address(scope),
            trace_id=self._trace_of(headers.get(b"traceparent")),
        )

    def note_refusal(self, route: HotRoute, ask: Ask, error: MainstayError) -> None:
        """Write a refused call down where it would have been a prediction."""
        status = errors.status_of(error)
        if route.refusals_are_kept and status in (400, 409, 413, 422):
            self._hall.of(ask.model).refuse(ask.model, ask.body, error, status)

    def note_miss(self, route: HotRoute | None, scope: ASGIScope, error: MainstayError) -> None:
        """Log what failed by no fault of the caller, whichever check or step it failed in; count a predict call."""
        if route is None or errors.status_of(error) < 500:
            return
        if not isinstance(error, Overloaded | JournalFull | errors.Defect):  # which come in crowds; or was told already
            _log.error("%s: %s", route.name, error.message, extra=about(scope))
        if not route.refusals_are_kept:
            return
        found = self.find(scope["path"])
        named = found.params.get("model", "") if found is not None else ""
        with suppress(MainstayError):  # a model that is not here, or not taken in yet, has no counts of its own
            model = named or self._hall.only_model()
            trace_id = _trace(dict(scope["headers"]).get(b"traceparent"))
            self._hall.of(model).metrics.missed(model, error.code, trace_id=trace_id)

    def failed(self, error: MainstayError, route: HotRoute | None) -> Reply:
        """Return the answer to a request that failed, in the shape of its protocol."""
        status = errors.status_of(error)
        if route is not None and route.fail is not None:
            plain = route.fail(error, status)
            return msgspec.structs.replace(plain, headers=(*plain.headers, *errors.headers_of(error)))
        return Reply(body=errors.body_of(error), status=status, headers=tuple(errors.headers_of(error)))

    def count(self, route: HotRoute, status: int) -> None:
        """Count one response of a hot route."""
        self._hall.metrics.response(route.name, status)

    async def _hot(self, route: HotRoute, ask: Ask) -> Reply:
        try:
            return await route.answer(ask)
        except MainstayError as error:
            self.note_refusal(route, ask, error)
            raise

    async def _stream(
        self, route: HotRoute, ask: Ask, receive: Receive, send: Send, *, still: Callable[[], None]
    ) -> None:
        begun = partial(self.count, route, 200)
        try:
            await bulk.answer(route, ask, receive, send, head=_head_of(ask), begun=begun, still=still)
        except MainstayError as error:
            self.note_refusal(route, ask, error)
            raise

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
            _log.exception("request %s to a page failed", scope["method"], extra=about(scope))
            await _send(send, self.failed(errors.Defect(), None))

    async def _body(self, receive: Receive, limit_kb: int) -> bytes:
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise errors.Incomplete("The connection closed before the body was there")
                    part = message.get("body", b"")
                    size += len(part)
                    if size > limit_kb * 1024:
                        raise _too_large(size, limit_kb)
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            raise errors.TooSlow(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s") from error


def _check_transfer(scope: ASGIScope, headers: Headers) -> None:
    """Raise NoRequest for a body that is coded otherwise than in chunks: it would be taken for what it is not."""
    if b"transfer-encoding" in headers:
        codings = [value.strip().lower() for name, value in scope["headers"] if name == b"transfer-encoding"]
        if codings != [b"chunked"]:
            shown = b", ".join(codings).decode("latin-1")[:80]
            raise errors.NoRequest(f"The body is sent with Transfer-Encoding {shown!r}; chunked is expected")


def _too_large(size: int, limit_kb: int) -> TooLarge:
    return TooLarge(f"The body has {size} bytes or more; at most {limit_kb} kB are allowed ([serve] max_body_kb)")


def _with_head(methods: Iterable[str]) -> set[str]:
    return {"HEAD"} if "GET" in methods else set()


def _check_type(headers: Headers, takes: frozenset[bytes]) -> None:
    # Without the header a browser asks nobody's leave before it sends a foreign page's body: so it must be there.
    kind = media_of(headers.get(b"content-type", NO_TYPE))
    if kind not in takes and not (JSON in takes and kind.endswith(b"+json")):
        wanted = ", ".join(sorted(one.decode() for one in takes if one))
        raise errors.WrongType(
            f"The body is {kind.decode('latin-1')[:80]!r}; {wanted} is expected",
            remedy="POST /invocations takes CSV; here send JSON." if kind == b"text/csv" else "",
        )
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding != b"identity":
        raise errors.WrongType(f"The body is encoded as {coding.decode('latin-1')[:80]!r}; it is expected as it is")


def _address(scope: ASGIScope) -> str:
    """Return the caller's address."""
    client = scope.get("client")
    return client[0] if client else ""


def _trace(header: bytes | None) -> str | None:
    """Return the trace id of a W3C traceparent header, None where it is none."""
    found = None if header is None else _TRACEPARENT.match(header)
    return None if found is None else found.group(1).decode()


def about(scope: ASGIScope) -> dict[str, str]:
    """Return what a log line says of a request beside its text."""
    trace_id = _trace(dict(scope["headers"]).get(b"traceparent"))
    return {} if trace_id is None else {"trace_id": trace_id}


def _head_of(ask: Ask) -> list[tuple[bytes, bytes]]:
    """Return what a streamed answer has beside its media type."""
    return [_NO_SNIFFING, *([] if ask.trace_id is None else [(TRACE_ID, ask.trace_id.encode())])]


def headers_of(reply: Reply) -> list[tuple[bytes, bytes]]:
    """Return what goes before the body."""
    length = b"%d" % len(reply.body)
    return [(b"content-type", reply.media), _NO_SNIFFING, (b"content-length", length), *reply.headers]


async def _send(send: Send, reply: Reply, trace_id: str | None = None) -> None:
    headers = headers_of(reply)
    if trace_id is not None:
        headers.append((TRACE_ID, trace_id.encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
