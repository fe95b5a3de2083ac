"""What a route is that never enters FastAPI: its paths, its method, who may call it, and who answers; and our own JSON.

The shell holds Host, key, type and size for all of them before `answer` is called. The routes of other protocols stand
in modules of their own, and `table.py` puts all of them together. A route is reachable only by standing there or in
`COLD` (FastAPI's): what stands in neither needs the scope `admin`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import IO

import msgspec

from mainstay.api import elsewhere, fields
from mainstay.api.keys import Scope
from mainstay.api.operations import WITH_BODY, Content, Operation
from mainstay.core.contracts import Contract
from mainstay.core.errors import MainstayError
from mainstay.serve import wire
from mainstay.serve.hall import Hall
from mainstay.serve.pending import Job
from mainstay.serve.worker import Worker

Headers = Mapping[bytes, bytes]
MoreHeaders = tuple[tuple[bytes, bytes], ...]
JSON = b"application/json"
ALIKE = 0.75
"""How much of a mistyped path must be that of a route (0 to 1) for the route to be named; routes are short."""
LONGEST_PATH = 80
NO_TYPE = b""
"""In `takes`: a body without a Content-Type is taken too."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a hot route, after everything that holds for all routes was checked."""

    hall: Hall
    model: str
    """The model that it is about; empty for a route that is about none."""
    params: Mapping[str, str]
    """What stood in the path at `{name}`."""
    body: bytes
    headers: Headers
    query: bytes
    client: str
    """Address of the caller."""
    trace_id: str | None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back."""

    body: bytes
    status: int = 200
    media: bytes = JSON
    headers: MoreHeaders = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HotRoute:
    """One route of the table."""

    name: str
    """In metrics and the OpenAPI document."""
    paths: tuple[str, ...]
    """`{name}` stands for one segment; a path without `{model}` means the only model."""
    answer: Callable[[Ask], Awaitable[Reply]]
    scope: Scope | None
    """Who may call it; None: anybody (probes)."""
    method: str = "POST"
    takes: frozenset[bytes] = frozenset({JSON})
    """Media types of the body, in lower case; `application/*+json` counts as JSON. Empty: it has no body."""
    about_a_model: bool = True
    refusals_are_kept: bool = False
    """Whether a call that is refused is written down: it would have been a prediction."""
    fail: Callable[[MainstayError, int], Reply] | None = None
    """How an error looks in this protocol; None: the one error shape."""
    job: Callable[[Ask], tuple[Worker, Job]] | None = None
    """Where all that happens before the queue needs no waiting: the job whose outcome is the body of the 200. A request
    that arrived whole is then answered without a task of its own (lane.py)."""
    stream: Callable[[Ask, IO[bytes]], AsyncIterator[bytes]] | None = None
    """Answers a body of up to `[serve] max_bulk_mb`, which lies in a file, in pieces. What is wrong with the call as a
    whole is raised before the first piece; `answer` is not called then."""
    gives: bytes = JSON
    """Media type of the pieces of `stream`."""
    operation: Operation | None = None
    """What the OpenAPI document says of it; every route of the table has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a path leads to."""

    methods: Mapping[str, HotRoute]
    params: Mapping[str, str]
    medias: Mapping[tuple[str, bytes], HotRoute] = field(default_factory=dict)
    """Where several routes share path and method: who takes a body of which type, but for those of the first one."""

    def route(self, method: str, headers: Headers) -> HotRoute:
        """Return the route of a method and a body's type; for a wrong method any of the path's, whose key is asked for
        all the same.
        """
        if self.medias and (kind := headers.get(b"content-type", b"")) != JSON:
            other = self.medias.get((method, media_of(kind)))
            if other is not None:
                return other
        return self.methods.get("GET" if method == "HEAD" else method) or next(iter(self.methods.values()))


def predict(ask: Ask) -> tuple[Worker, Job]:
    """Answer rows."""
    worker = ask.hall.of(ask.model)
    return worker, worker.handler.validate(ask.model, ask.body, client=ask.client, trace_id=ask.trace_id)


def feedback(ask: Ask) -> tuple[Worker, Job]:
    """Take what was right, or what an answer was worth."""
    worker = ask.hall.of(ask.model)
    contract = elsewhere.contract_of(worker) if worker.plan.elsewhere else None
    return worker, worker.handler.validate_feedback(ask.model, ask.body, trace_id=ask.trace_id, contract=contract)


def waiting_for(job_of: Callable[[Ask], tuple[Worker, Job]]) -> Callable[[Ask], Awaitable[Reply]]:
    """Return the answer of a route whose job says it all."""

    async def answer(ask: Ask) -> Reply:
        worker, job = job_of(ask)
        return Reply(body=await worker.pending.ask(job))

    return answer


def _predict_example(contract: Contract | None) -> object:
    return {"instances": [{"inputs": fields.example_inputs(contract)}]}


def _feedback_example(contract: Contract | None) -> object:
    return {"items": [{"id": "ord-1", "value": next(iter(contract.classes if contract else ()), 1.0)}]}


OWN: tuple[HotRoute, ...] = (
    HotRoute(
        name="predict",
        paths=("/v1/predict", "/v1/models/{model}/predict"),
        job=predict,
        answer=waiting_for(predict),
        scope=Scope.PREDICT,
        refusals_are_kept=True,
        operation=Operation(
            summary="Answer rows, and say how far each answer can be trusted.",
            takes={"application/json": Content(schema=wire.PredictRequest, example=_predict_example)},
            gives={"application/json": Content(schema=wire.PredictResponse)},
            errors=(*WITH_BODY, 409),
        ),
    ),
    HotRoute(
        name="feedback",
        paths=("/v1/feedback", "/v1/models/{model}/feedback"),
        job=feedback,
        answer=waiting_for(feedback),
        scope=Scope.FEEDBACK,
        operation=Operation(
            summary="Tell what was right, or what an answer was worth.",
            takes={"application/json": Content(schema=wire.FeedbackRequest, example=_feedback_example)},
            gives={"application/json": Content(schema=wire.FeedbackResponse)},
            errors=WITH_BODY,
        ),
    ),
)

COLD: Mapping[str, Scope | None] = {
    "/": Scope.READ,
    "/healthz": None,
    "/readyz": None,
    "/metrics": Scope.READ,
    "/docs": Scope.READ,
    "/openapi.json": Scope.READ,
    "/v1/models": Scope.READ,
    "/v1/models/{model}": Scope.READ,
}
"""FastAPI's routes and who may call them; probes have no keys."""


class Table:
    """Finds routes by path. The path is decoded already."""

    def __init__(self, hot: Sequence[HotRoute], cold: Mapping[str, Scope | None] = COLD) -> None:
        methods: dict[str, dict[str, HotRoute]] = {}
        medias: dict[str, dict[tuple[str, bytes], HotRoute]] = {}
        for route in hot:
            for path in route.paths:
                first = methods.setdefault(path, {}).setdefault(route.method, route)
                others = medias.setdefault(path, {})
                if first is not route:
                    others.update(((route.method, kind), route) for kind in route.takes)
        self._hot = [(_segments(path), found, medias[path]) for path, found in methods.items()]
        self._cold = [(_segments(path), scope) for path, scope in cold.items()]
        self.find = lru_cache(maxsize=1024)(self._find)
        """Return the hot routes of a path, None where there is none."""
        self.scope_of = lru_cache(maxsize=1024)(self._scope_of)
        """Return who may call a path of FastAPI's: what is not in the table is for admins."""
        self.cold_model_of = lru_cache(maxsize=1024)(self._cold_model_of)
        """Return which model a path of FastAPI's is about; empty: none."""

    def like(self, path: str) -> str | None:
        """Return the route that a path that leads nowhere looks like, None where it looks like none."""
        known = ["/".join(route[0]) for route in self._hot] + ["/".join(route[0]) for route in self._cold]
        close = get_close_matches(path, known, n=1, cutoff=ALIKE) if len(path) <= LONGEST_PATH else []
        return close[0] if close else None

    def _find(self, path: str) -> Found | None:
        parts = path.split("/")
        for segments, methods, medias in self._hot:
            params = _match(segments, parts)
            if params is not None:
                return Found(methods=methods, params=params, medias=medias)
        return None

    def _scope_of(self, path: str) -> Scope | None:
        parts = path.split("/")
        scopes = [scope for segments, scope in self._cold if _match(segments, parts) is not None]
        return scopes[0] if scopes else Scope.ADMIN

    def _cold_model_of(self, path: str) -> str:
        parts = path.split("/")
        found = (_match(segments, parts) for segments, _ in self._cold)
        return next((params["model"] for params in found if params and "model" in params), "")


def media_of(content_type: bytes) -> bytes:
    """Return the media type of a Content-Type header, in lower case and without parameters."""
    return content_type.split(b";")[0].strip().lower()


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.split("/"))


def _match(segments: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """Return what stands at the names, None where the path is another."""
    if len(segments) != len(parts):
        return None
    params: dict[str, str] = {}
    for segment, part in zip(segments, parts, strict=True):
        if segment.startswith("{"):
            if not part:
                return None
            params[segment[1:-1]] = part
        elif segment != part:
            return None
    return params
