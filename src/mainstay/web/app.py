"""The control room's HTTP application: every answer goes through `Room_.answer`, which asks who it is for."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from mainstay.api import errors as errors_of
from mainstay.api.keys import Keys, Scope
from mainstay.core import errors
from mainstay.web import acts, links, metrics, render, routes, tables
from mainstay.web.access import Access, Visitor
from mainstay.web.feed import Feed
from mainstay.web.looks import Act, Feedpoint, Form, Look, Page
from mainstay.web.pages import confirm, login
from mainstay.web.rooms import Room
from mainstay.web.sessions import cookie_of
from mainstay.web.shown.trouble import Trouble

ASGIScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
METHODS = ("GET", "HEAD", "POST")
MOST_FORM_BYTES = 64 * 1024
FORM = "application/x-www-form-urlencoded"
log = logging.getLogger(__name__)


def create_app(rooms: Mapping[str, Room], *, host: str, keys: Mapping[str, Keys] | None = None) -> Shell:
    """Return the application bound to `host` for some models, in their order.

    `keys`: by model, whose `read` lets callers from elsewhere see its pages; without them nobody from elsewhere may.
    """
    return Shell(Application(rooms, host=host, keys=keys or {}))


class Application:
    """Everything that is answered."""

    def __init__(self, rooms: Mapping[str, Room], *, host: str, keys: Mapping[str, Keys]) -> None:
        self.rooms = dict(rooms)
        first = next(iter(self.rooms.values()))
        self.now = first.now
        self.access = Access(
            {model: keys.get(model) for model in rooms}, host=host, now=first.now, monotonic=time.monotonic
        )
        self.feed = Feed({model: room.pulse for model, room in self.rooms.items()})
        self.environment = render.templates()
        self.static = _static()
        self.app = FastAPI(title="Mainstay", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        self._mount()

    def _mount(self) -> None:
        add = self.app.router.add_route
        add("/", self.guarded(self.first), ["GET"])
        for page in routes.PAGES:
            add(page.path, self.guarded(self._page(page)), ["GET"])
        for point in routes.DOCUMENTS:
            add(point.path, self.guarded(self._document(point)), ["GET"])
        add("/models/{model}/do/{act}", self.guarded(self.ask), ["GET"])
        add("/models/{model}/do/{act}", self.guarded(self.act), ["POST"])
        add("/events", self.guarded(self.events), ["GET"])
        add("/metrics", self.guarded(self.numbers), ["GET"])
        add("/healthz", self.guarded(self.healthz), ["GET"])
        add("/login", self.guarded(self.login_form), ["GET"])
        add("/login", self.guarded(self.log_in), ["POST"])
        add("/logout", self.guarded(self.log_out), ["POST"])
        add("/static/{name:path}", self.asset, ["GET"])

    def guarded(self, answer: Callable[[Request, Visitor], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        """Return an endpoint that knows its visitor, and tells what went wrong as a page."""

        async def endpoint(request: Request) -> Response:
            visitor = None
            try:
                headers = dict(request.headers.raw)
                peer = (request.client.host, request.client.port) if request.client else ("", 0)
                visitor = self.access.visitor(headers, peer, request.url.scheme)
                return await answer(request, visitor)
            except errors.MainstayError as error:
                return self._told(request, visitor, error)
            except Exception:
                log.exception("a defect while showing %s", request.url.path)
                return self._defect(visitor)

        return endpoint

    # Pages.

    async def first(self, request: Request, visitor: Visitor) -> Response:
        """Answer `/`: the one model's first page, or the list of several."""
        seen = self.access.seen(visitor)
        page = routes.PAGES[0] if len(seen) > 1 else routes.PAGES[1]
        return await run_in_threadpool(
            self._show, page, self._look(request, visitor, "" if len(seen) > 1 else seen[0]), visitor
        )

    def _page(self, page: Page) -> Callable[[Request, Visitor], Awaitable[Response]]:
        async def answer(request: Request, visitor: Visitor) -> Response:
            look = self._look(request, visitor, request.path_params.get("model", ""))
            return await run_in_threadpool(self._show, page, look, visitor)

        return answer

    def _document(self, point: Feedpoint) -> Callable[[Request, Visitor], Awaitable[Response]]:
        async def answer(request: Request, visitor: Visitor) -> Response:
            look = self._look(request, visitor, request.path_params["model"])
            document = await run_in_threadpool(point.build, look)
            return Response(msgspec.json.encode(document), media_type="application/json")

        return answer

    def _look(self, request: Request, visitor: Visitor, model: str) -> Look:
        if model and model not in self.rooms:
            raise errors.NotFound(f"there is no model {model[:80]!r} in this room", remedy="See the list of models: /")
        who = self.access.named(visitor, model, Scope.READ) if model else ""
        seen = {name: self.rooms[name] for name in self.access.seen(visitor)}
        return Look(
            rooms=seen,
            model=model,
            params={key: str(value) for key, value in request.path_params.items()},
            query=dict(request.query_params),
            who=who,
        )

    def _show(self, page: Page, look: Look, visitor: Visitor) -> Response:
        context = page.build(look)
        wanted = look.query.get("csv")
        if wanted is not None:
            return _csv(context, wanted)
        who = self._who(visitor, look)
        title = page.title.format(**look.params)
        frame = render.frame_of(page, look, visitor, who=who, tabs=routes.TABS, now=look.now(), here=title)
        return HTMLResponse(render.render(self.environment, page.template, frame, context))

    def _who(self, visitor: Visitor, look: Look) -> str:
        return self.access.named(visitor, look.model or next(iter(look.rooms)), Scope.READ)

    # Acts.

    async def ask(self, request: Request, visitor: Visitor) -> Response:
        """Answer with the page that asks for confirmation."""
        look, act = self._asked(request, visitor, request.query_params.get("subject", ""))

        def show() -> Response:
            frame = render.frame_of(
                confirm.PAGE,
                look,
                visitor,
                who=self._who(visitor, look),
                tabs=routes.TABS,
                now=look.now(),
                here=act.title,
            )
            return HTMLResponse(render.render(self.environment, confirm.PAGE.template, frame, confirm.build(look, act)))

        return await run_in_threadpool(show)

    async def act(self, request: Request, visitor: Visitor) -> Response:
        """Do what a form asks for, then lead to where it shows."""
        fields = await _form(request)
        self.access.check_form(visitor, dict(request.headers.raw), fields.get("csrf", ""))
        look, act = self._asked(request, visitor, fields.get("subject", ""))
        by = self.access.named(visitor, look.model, act.scope)
        reason = fields.get("reason", "").strip()
        if act.needs_reason and not reason:
            raise errors.UsageError(
                "no reason was given, so nothing was done",
                remedy="Go back and write a sentence that a colleague understands in a year.",
            )
        where = await run_in_threadpool(act.do, look, Form(by=by, reason=reason, fields=fields))
        return RedirectResponse(where, status_code=303)

    def _asked(self, request: Request, visitor: Visitor, subject: str) -> tuple[Look, Act]:
        look = self._look(request, visitor, request.path_params["model"])
        act = acts.find(request.path_params["act"])
        return replace(look, params={**look.params, "subject": subject}), act

    # Coming and going.

    async def login_form(self, request: Request, visitor: Visitor) -> Response:
        """Answer with the page that takes a key, or lead on who needs none."""
        where = _local(request.query_params.get("next", "/"))
        try:
            self.access.seen(visitor)
        except errors.MainstayError as error:
            return self._login_page(visitor, where, "" if not visitor.key else error.message)
        return RedirectResponse(where, status_code=303)

    async def log_in(self, request: Request, visitor: Visitor) -> Response:
        """Begin a session."""
        fields = await _form(request)
        where = _local(fields.get("next", "/"))
        self.access.check_form(visitor, dict(request.headers.raw), fields.get("csrf", ""))
        try:
            session = self.access.log_in(visitor, fields.get("key", ""))
        except (errors.Refused, errors_of.HttpError) as error:
            return self._login_page(visitor, where, error.message, status=errors_of.status_of(error))
        answer = RedirectResponse(where, status_code=303)
        answer.headers["Set-Cookie"] = cookie_of(session, secure=visitor.secure)
        return answer

    async def log_out(self, request: Request, visitor: Visitor) -> Response:
        """End a session."""
        fields = await _form(request)
        self.access.check_form(visitor, dict(request.headers.raw), fields.get("csrf", ""))
        if visitor.session is not None:
            self.access.sessions.end(visitor.session)
        answer = RedirectResponse("/login", status_code=303)
        answer.headers["Set-Cookie"] = cookie_of(None, secure=visitor.secure)
        return answer

    def _login_page(self, visitor: Visitor, where: str, why: str, *, status: int = 200) -> Response:
        frame = render.bare_frame(visitor, title="Mainstay: log in", now=self.now())
        context = login.build(where, why)
        return HTMLResponse(render.render(self.environment, "login.html", frame, context), status_code=status)

    # What is no page.

    async def events(self, request: Request, visitor: Visitor) -> Response:
        """Answer with a stream that tells when something changed."""
        model = request.query_params.get("model", "")
        seen = self._look(request, visitor, model).rooms
        if self.feed.is_full:
            raise errors.Overloaded("too many pages are open", remedy="Close some; this one looks again by itself.")
        stream = self.feed.listen([model] if model else list(seen))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def numbers(self, _request: Request, visitor: Visitor) -> Response:
        """Answer Prometheus."""

        def read() -> bytes:
            return metrics.render([one for name in self.access.seen(visitor) for one in self.rooms[name].gauges()])

        return Response(await run_in_threadpool(read), media_type=metrics.CONTENT_TYPE)

    async def healthz(self, _request: Request, visitor: Visitor) -> Response:
        """Answer a probe."""
        self.access.seen(visitor)
        return JSONResponse({"status": "ok"})

    async def asset(self, request: Request) -> Response:
        """Answer with a file of the pages'."""
        name = request.path_params["name"]
        if name not in self.static or Path(name).suffix not in TYPES:
            return Response(status_code=404)
        content, tag = self.static[name]
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=TYPES[Path(name).suffix], headers=headers)

    # What went wrong.

    def _told(self, request: Request, visitor: Visitor | None, error: errors.MainstayError) -> Response:
        status = errors_of.status_of(error)
        extra = {name.decode().title(): value.decode() for name, value in errors_of.headers_of(error)}
        extra.pop("Connection", None)
        accepted = request.headers.get("accept", "*/*")
        wants_page = visitor is not None and ("text/html" in accepted or accepted == "*/*")
        if status == 401:
            extra["Www-Authenticate"] = 'Basic realm="Mainstay: an API key with the scope read, as the password"'
            where = links.with_query("/login", next=_place(request))
            if "hx-request" in request.headers:
                return Response(status_code=401, headers={"HX-Redirect": where})
            if "text/html" in accepted and request.method in ("GET", "HEAD"):
                return RedirectResponse(where, status_code=303)
        if status == 401 or request.url.path in ("/metrics", "/healthz", "/events") or not wants_page:
            text = f"{error.message}\n{error.remedy}\n"
            return PlainTextResponse(text, status_code=status, headers=extra)
        return self._trouble(visitor, Trouble(message=error.message, remedy=error.remedy), status, extra)

    def _defect(self, visitor: Visitor | None) -> Response:
        context = Trouble(
            message="A defect in Mainstay kept this page from being shown.", remedy="Read the log of the web process."
        )
        return self._trouble(visitor, context, 500, {})

    def _trouble(self, visitor: Visitor | None, context: Trouble, status: int, headers: Mapping[str, str]) -> Response:
        frame = render.bare_frame(visitor, title="Mainstay: no answer", now=self.now())
        text = render.render(self.environment, "trouble.html", frame, context)
        return HTMLResponse(text, status_code=status, headers=dict(headers))


class Shell:
    """Stands before the app: asks who is meant, and puts the same headers on every answer."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner
        self.feed = inner.feed

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.inner.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                extra = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items() if k.lower().encode() not in own]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        refused = self._refusal(scope)
        handler = self.inner.app if refused is None else refused
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        await handler(scope, receive, with_headers)

    def _refusal(self, scope: ASGIScope) -> Response | None:
        if scope["method"] not in METHODS:
            return Response("Only GET and POST are answered here.\n", 405, {"Allow": ", ".join(METHODS)}, "text/plain")
        if _is_foreign(scope["headers"]):
            return Response(
                "A page of another site asked for this; nothing was answered.\n", 403, media_type="text/plain"
            )
        try:
            self.inner.access.guard.check(scope["headers"], scope["http_version"])
        except errors.MainstayError as error:
            # A page elsewhere may point a name of its own at 127.0.0.1 and read this one through the visitor's browser.
            return Response(f"{error.message}\n", 421, media_type="text/plain")
        return None


def _is_foreign(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Return whether a page of another site asks for anything but to be left for one of these pages (Fetch Metadata).

    A page costs work, and one that asks a model again costs much: no picture or script elsewhere may cause that.
    """
    told = dict(headers)
    if told.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin"):
        return False
    return (told.get(b"sec-fetch-mode"), told.get(b"sec-fetch-dest")) != (b"navigate", b"document")


def _static() -> dict[str, tuple[bytes, str]]:
    """Return the pages' files by name, each with its digest as a tag."""
    files = {str(path.relative_to(STATIC)): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}
    return {name: (content, f'"{sha256(content).hexdigest()[:20]}"') for name, content in files.items()}


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form; of a field that comes twice the first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise errors_of.WrongType("The body is no form")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_FORM_BYTES:
            raise errors.TooLarge(f"The form has more than {MOST_FORM_BYTES // 1024} kB")
    found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    return {name: values[0] for name, values in found.items()}


def _csv(context: Any, wanted: str) -> Response:
    found: Sequence[Any] = [table for table in tables.found_in(context) if table.id == wanted]
    if not found:
        raise errors.NotFound(f"this page has no table {wanted[:40]!r}", remedy="Use the link below the table.")
    name = "".join(sign if sign.isalnum() else "-" for sign in found[0].caption.lower())[:80]
    headers = {"Content-Disposition": f'attachment; filename="{name.encode("ascii", "replace").decode()}.csv"'}
    return Response(tables.to_csv(found[0]), media_type="text/csv; charset=utf-8", headers=headers)


def _local(where: str) -> str:
    return where if links.is_local(where) else "/"


def _place(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query
