"""The overview page's HTTP application."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mainstay.api import errors as errors_of
from mainstay.api import keys as keys_of
from mainstay.api.guard import Guard
from mainstay.api.keys import FORWARDING, Keys
from mainstay.core import errors
from mainstay.core.showable import showable
from mainstay.oncall.gauges import Gauge
from mainstay.status.records import Status
from mainstay.web import metrics, overview

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HERE = Path(__file__).parent
STATIC = {"page.css": "text/css", "refresh.js": "text/javascript", "icon.svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
log = logging.getLogger(__name__)


def templates() -> Environment:
    """Return the templates: everything escaped, what cannot be shown replaced, an unknown name an error."""
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_showable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _showable(value: Any) -> Any:
    """Return a text without signs that would spoil the page around it, or keep it from being sent at all."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return showable(value)


def create_app(
    read_status: Callable[[], Status],
    *,
    host: str,
    keys: Keys | None = None,
    read_gauges: Callable[[], Sequence[Gauge]] = list,
) -> Shell:
    """Return the application bound to `host`; `read_status` is called anew for each look, in a thread.

    `read_gauges` is called the same way, for Prometheus. `keys`: whose `read` lets callers from elsewhere in; without
    them nobody from elsewhere is.
    """
    app = FastAPI(title="Mainstay overview", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    environment = templates()
    static = {name: (HERE / "static" / name).read_bytes() for name in STATIC}

    @app.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        try:
            context = overview.build(read_status())
        except errors.MainstayError as error:
            return HTMLResponse(
                environment.get_template("trouble.html").render(
                    message=error.message, remedy=error.remedy, refresh_s=overview.REFRESH_S
                ),
                status_code=503,
            )
        fields = {name: getattr(context, name) for name in context.__dataclass_fields__}
        return HTMLResponse(environment.get_template("overview.html").render(fields))

    @app.get("/metrics")
    def numbers() -> Response:
        try:
            return Response(metrics.render(read_gauges()), media_type=metrics.CONTENT_TYPE)
        except errors.MainstayError as error:
            return Response(f"{error.message}\n", 503, media_type="text/plain")

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/static/{name}")
    def asset(name: str) -> Response:
        if name not in static:
            return Response(status_code=404)
        return Response(static[name], media_type=STATIC[name])

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> HTMLResponse:
        del request
        log.exception("a defect while showing the page", exc_info=error)
        text = environment.get_template("trouble.html").render(
            message="A defect in Mainstay kept this page from being shown.",
            remedy="Read the log of the web process.",
            refresh_s=overview.REFRESH_S,
        )
        return HTMLResponse(text, status_code=500)

    return Shell(app, host=host, keys=keys)


class Shell:
    """Stands before the app: asks who is meant, and puts the same headers on every answer."""

    def __init__(self, app: FastAPI, *, host: str, keys: Keys | None = None) -> None:
        self.app = app
        self.guard = Guard(host)
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                extra = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items() if k.lower().encode() not in own]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        refused = self._refusal(scope)
        handler = self.app if refused is None else refused
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        await handler(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["method"] not in ("GET", "HEAD"):
            return Response("Only GET is answered here.\n", 405, {"Allow": "GET, HEAD"}, "text/plain")
        headers = dict(scope["headers"])
        try:
            self.guard.check(scope["headers"], scope["http_version"])
        except errors.MainstayError as error:
            # A page elsewhere may point a name of its own at 127.0.0.1 and read this one through the visitor's browser.
            return Response(f"{error.message}\n", 421, media_type="text/plain")
        if self.guard.loopback and FORWARDING.isdisjoint(headers):
            return None
        return self._without_key(headers)

    def _without_key(self, headers: dict[bytes, bytes]) -> Response | None:
        """Return what a caller from elsewhere is told who has no key with the scope `read`: a browser then asks for it.

        The key is the password of HTTP Basic, under any name.
        """
        if self.keys is None:
            return Response("This page is for the machine that it runs on.\n", 403, media_type="text/plain")
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"basic":
            with contextlib.suppress(ValueError):
                key = base64.b64decode(given, validate=True).partition(b":")[2]
                headers = headers | {b"authorization": b"Bearer " + key}
        try:
            self.keys.check(headers, keys_of.Scope.READ)
        except errors.MainstayError as error:
            status, extra = errors_of.status_of(error), {}
            if status == 401:
                extra = {"WWW-Authenticate": 'Basic realm="Mainstay: an API key with the scope read, as the password"'}
            return Response(f"{error.message}\n{error.remedy}\n", status, extra, "text/plain")
        return None
