"""`mainstay.Watch`: an ASGI service under watch in one line. What passes is copied, never held, changed or failed."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from mainstay.attach.recorder import Recorder, recorder
from mainstay.attach.seen import Given, Seen, compile_mapping, is_json
from mainstay.core.contracts import Pii

if TYPE_CHECKING:
    from mainstay.attach.wsgi import WatchedApp, WsgiApp

log = logging.getLogger("mainstay.attach")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Plan:
    """What is watched of a service, and where it goes; the same for ASGI and WSGI."""

    __slots__ = ("exact", "mapping", "max_bytes", "methods", "prefixes", "recorder")

    def __init__(
        self,
        project: str | os.PathLike[str],
        *,
        path: str | Collection[str] | None,
        methods: Collection[str],
        inputs: Given,
        output: Given,
        confidence: Given,
        id: Given,  # noqa: A002 - its name
        key: Given,
        max_body_kb: int,
        learn: int,
        pii: Mapping[str, str] | None,
    ) -> None:
        paths = () if path is None else (path,) if isinstance(path, str) else tuple(path)
        self.exact = frozenset(one for one in paths if not one.endswith("*"))
        self.prefixes = tuple(one[:-1] for one in paths if one.endswith("*")) or (("",) if not paths else ())
        self.methods = frozenset(one.upper() for one in methods)
        self.max_bytes = int(max_body_kb) * 1024
        self.mapping = compile_mapping(
            inputs=inputs, output=output, confidence=confidence, id_=id, key=key, max_bytes=self.max_bytes
        )
        early = {name: Pii(how) for name, how in (pii or {}).items()}
        self.recorder: Recorder = recorder(project, learn=learn, early=early)

    def wants(self, method: str, path: str) -> bool:
        """Return whether a request is one to be recorded."""
        return method in self.methods and (path in self.exact or path.startswith(self.prefixes))

    def put(self, seen: Seen) -> None:
        """Hand over what was seen."""
        try:
            self.recorder.put(seen)
        except Exception:  # edge: the service must not notice
            log.debug("not recorded", exc_info=True)


class Watch:
    """ASGI middleware that puts a service which answers by itself under watch.

        app.add_middleware(mainstay.Watch, project="fraud")

    `project` is a folder, made at the first request. Recorded are requests of `methods` to `path` (exact, or ending in
    `*`; any if left out) with a JSON body and a JSON answer of 2xx; 400 and 422 as refusals; 5xx and exceptions as
    errors. `inputs`, `key` are paths into the request (`"$.features"`), `output`, `confidence`, `id` into the answer;
    `request.`, `response.` or `header.` at the beginning says otherwise; a function gets what was seen. Bodies above
    `max_body_kb` are not recorded. `learn` requests become the reference of a project that begins empty; `pii` names
    fields that are never written as they are, `{"email": "drop"}`.

    The answer has gone out before anything is done with it, and what is done is an append to a bounded queue. Raises
    TypeError and UsageError when it is made with arguments that mean nothing, and nothing afterwards.
    """

    def __init__(
        self,
        app: App,
        project: str | os.PathLike[str],
        *,
        path: str | Collection[str] | None = None,
        methods: Collection[str] = ("POST",),
        inputs: Given = None,
        output: Given = None,
        confidence: Given = None,
        id: Given = None,  # noqa: A002 - its name
        key: Given = None,
        max_body_kb: int = 256,
        learn: int = 500,
        pii: Mapping[str, str] | None = None,
    ) -> None:
        self.app = app
        self._plan = Plan(
            project,
            path=path,
            methods=methods,
            inputs=inputs,
            output=output,
            confidence=confidence,
            id=id,
            key=key,
            max_body_kb=max_body_kb,
            learn=learn,
            pii=pii,
        )

    @staticmethod
    def wsgi(
        app: WsgiApp,
        project: str | os.PathLike[str],
        *,
        path: str | Collection[str] | None = None,
        methods: Collection[str] = ("POST",),
        inputs: Given = None,
        output: Given = None,
        confidence: Given = None,
        id: Given = None,  # noqa: A002 - its name
        key: Given = None,
        max_body_kb: int = 256,
        learn: int = 500,
        pii: Mapping[str, str] | None = None,
    ) -> WatchedApp:
        """Return a WSGI service under watch: `app.wsgi_app = mainstay.Watch.wsgi(app.wsgi_app, project="fraud")`."""
        from mainstay.attach.wsgi import WatchedApp

        plan = Plan(
            project,
            path=path,
            methods=methods,
            inputs=inputs,
            output=output,
            confidence=confidence,
            id=id,
            key=key,
            max_body_kb=max_body_kb,
            learn=learn,
            pii=pii,
        )
        return WatchedApp(app, plan)

    @property
    def counts(self) -> dict[str, int]:
        """Return what this process recorded, dropped and skipped so far."""
        return dict(self._plan.recorder.counts)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let the service answer, and keep a copy of what passes."""
        plan = self._plan
        if scope["type"] != "http" or not plan.wants(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            if scope["type"] == "lifespan":
                plan.recorder.stop()
            return
        content_type = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
        if not is_json(content_type):
            await self.app(scope, receive, send)
            return
        await self._watched(scope, receive, send)

    async def _watched(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        plan = self._plan
        seen = Seen(plan.mapping, plan.recorder.now(), scope["path"], scope["headers"])
        began = perf_counter_ns()
        kept = done = False

        async def receive_and_keep() -> Message:
            message = await receive()
            if body := message.get("body"):
                seen.keep_request(body)
            return message

        async def send_and_keep(message: Message) -> None:
            nonlocal kept, done
            await send(message)
            try:
                kind = message["type"]
                if kind == "http.response.start":
                    kept = seen.start(message["status"], message.get("headers") or ())
                elif kind == "http.response.body" and not done:
                    if kept and (body := message.get("body")):
                        seen.keep_response(body)
                    if not message.get("more_body"):
                        done = True
                        seen.latency_us = (perf_counter_ns() - began) // 1000
                        if seen.is_told(kept=kept):
                            plan.put(seen)
            except Exception:  # edge: a message of a strange shape, which the server took; the service must not notice
                log.debug("not recorded", exc_info=True)

        try:
            await self.app(scope, receive_and_keep, send_and_keep)
        except Exception as error:
            if not done and type(error).__name__ != "ClientDisconnect":
                seen.failure = type(error).__name__
                seen.latency_us = (perf_counter_ns() - began) // 1000
                plan.put(seen)
            raise
