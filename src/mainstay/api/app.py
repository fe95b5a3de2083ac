"""The FastAPI app: the cold routes, the documentation, and the start and end of the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from mainstay import __version__
from mainstay.api import errors, metrics
from mainstay.core.errors import ContractViolation, MainstayError, NotReady, Problem
from mainstay.serve import plan as plans
from mainstay.serve import wire
from mainstay.serve.live import Live, Side
from mainstay.serve.worker import Worker

_HOT_ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)
_VERBS: dict[str, tuple[type[Any], type[Any], str]] = {
    "predict": (wire.PredictRequest, wire.PredictResponse, "Answer rows, and say how far each answer can be trusted."),
    "feedback": (wire.FeedbackRequest, wire.FeedbackResponse, "Tell what was right, or what an answer was worth."),
}


def make_app(worker: Worker) -> FastAPI:
    """Return the app of one worker."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        del app
        await worker.start()
        yield
        await worker.stop()

    app = FastAPI(
        title="Mainstay",
        version=__version__,
        description="Answers of the project's model, and feedback about them.",
        lifespan=life,
        redoc_url=None,
    )
    _add_routes(app, worker)
    _add_errors(app)
    plain = app.openapi

    def documented() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = add_hot_routes(plain())
        return app.openapi_schema

    app.openapi = documented  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, worker: Worker) -> None:
    @app.get("/", summary="What this is")
    async def root() -> dict[str, Any]:
        return {"mainstay": __version__, "models": sorted(worker.slots), "ready": worker.ready, "docs": "/docs"}

    @app.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="Whether every model has a version that answers", responses={503: {}})
    async def readyz() -> dict[str, Any]:
        if not worker.ready:
            missing = sorted(name for name, slot in worker.slots.items() if slot.live is None)
            raise NotReady("This worker is draining" if worker.draining else f"Not loaded yet: {', '.join(missing)}")
        return {"status": "ready", "models": {name: slot.state()["champion"] for name, slot in worker.slots.items()}}

    @app.get("/metrics", summary="Counts and times for Prometheus", response_class=Response)
    async def metrics_() -> Response:
        others = [path for path in sorted(worker.run.glob("worker-*.json")) if not path.name.endswith(".plan.json")]
        states = [state for path in others if (state := plans.read_json(path)) is not None]
        states = [state for state in states if state.get("worker") != worker.plan.worker and "metrics" in state]
        return Response(metrics.render([*states, worker.state()]), media_type=metrics.CONTENT_TYPE)

    @app.get("/v1/models", summary="The models of this server")
    async def models() -> dict[str, Any]:
        return {"models": [_short(name, slot.live) for name, slot in sorted(worker.slots.items())]}

    @app.get("/v1/models/{model}", summary="One model: who answers, and what it takes")
    async def model_(model: str) -> dict[str, Any]:
        live = worker.handler.live(model)
        return _short(model, live) | {"contract": msgspec.to_builtins(live.champion.loaded.contract)}


def _short(name: str, live: Live | None) -> dict[str, Any]:
    if live is None:
        return {"model": name, "ready": False}
    route = live.route
    return {
        "model": name,
        "ready": True,
        "epoch": route.epoch,
        "champion": _side(live.champion),
        "challenger": _side(live.challenger),
        "share": route.share,
        "shadow": _side(live.shadow),
        "previous": _side(live.previous),
        "lease_until": route.lease_until.isoformat() if route.lease_until else None,
    }


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {"bundle": side.name, "digest": side.ref.digest, "runtime": side.loaded.runtime}


def _add_errors(app: FastAPI) -> None:
    def respond(error: MainstayError) -> Response:
        status = errors.status_of(error)
        headers = {name.decode(): value.decode() for name, value in errors.headers_of(error)}
        return Response(errors.body_of(error), status_code=status, headers=headers, media_type="application/json")

    @app.exception_handler(MainstayError)
    async def ours(request: Request, error: MainstayError) -> Response:
        del request
        return respond(error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return respond(errors.WrongMethod(request.method, (error.headers or {}).get("Allow", "GET")))
        if error.status_code == 404:
            return respond(errors.NoRoute(f"There is no route {request.scope['path'][:200]!r}"))
        return respond(errors.HttpError(str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        del request
        problems = [Problem(where=".".join(map(str, one["loc"])), what=one["msg"]) for one in error.errors()]
        return respond(ContractViolation("The request has another shape than documented", problems=problems))


def add_hot_routes(document: dict[str, Any]) -> dict[str, Any]:
    """Add the hot routes to an OpenAPI document, from the types that decode and encode them."""
    types = [wire.ErrorResponse, *(kind for request, response, _ in _VERBS.values() for kind in (request, response))]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    for verb, (request, response, summary) in _VERBS.items():
        operation = {
            "summary": summary,
            "requestBody": {"required": True, "content": _content(request)},
            "responses": {
                "200": {"description": "Done", "content": _content(response)},
                **{str(s): {"description": "Error", "content": _content(wire.ErrorResponse)} for s in _HOT_ERRORS},
            },
        }
        named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        document["paths"][f"/v1/{verb}"] = {"post": operation | {"operationId": verb}}
        document["paths"][f"/v1/models/{{model}}/{verb}"] = {
            "post": operation | {"operationId": f"{verb}_of_model", "parameters": [named]}
        }
    return document


def _content(kind: type[Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
