"""The FastAPI app: the cold routes, the documentation, and the start and end of the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from mainstay import __version__
from mainstay.api import docs, errors, metrics, openapi, table
from mainstay.core.contracts import Contract
from mainstay.core.errors import ContractViolation, MainstayError, NotReady, Problem
from mainstay.serve import plan as plans
from mainstay.serve.hall import Hall
from mainstay.serve.live import Live, Side
from mainstay.serve.worker import Worker

ELSEWHERE = {"answers": "elsewhere"}


def make_app(hall: Hall) -> FastAPI:
    """Return the app of one worker process."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        del app
        await hall.start()
        yield
        await hall.stop()

    app = FastAPI(
        title="Mainstay",
        version=__version__,
        description="Answers of the project's model, and feedback about them.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name.strip("_"),
    )
    _add_routes(app, hall)
    _add_documentation(app, hall)
    _add_errors(app)
    return app


def _add_routes(app: FastAPI, hall: Hall) -> None:
    @app.get("/", summary="What this is")
    async def root() -> dict[str, Any]:
        return {"mainstay": __version__, "models": hall.models, "ready": hall.ready, "docs": "/docs"}

    @app.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="Whether any model has a version that answers, and which have none")
    async def readyz() -> dict[str, Any]:
        if not hall.serves:
            raise _not_ready(hall)
        slots = hall.slots
        answering = {name: slots[name].state()["champion"] if name in slots else None for name in hall.models}
        if hall.ready:
            return {"status": "ready", "models": answering}
        return {"status": "partly", "models": answering, "problem": _not_ready(hall).message}

    @app.get("/metrics", summary="Counts and times for Prometheus", response_class=PlainTextResponse)
    async def metrics_() -> Response:
        states = [state for worker in hall.workers for state in _states_beside(worker)]
        told = [(worker.plan.models[0], plans.read_json(worker.run / plans.USAGE_FILE)) for worker in hall.workers]
        watch = [(worker.plan.models[0], plans.read_json(worker.run / plans.WATCH_FILE)) for worker in hall.workers]
        return Response(metrics.render(states, used=told, watch=watch), media_type=metrics.CONTENT_TYPE)

    @app.get("/v1/models", summary="The models of this server")
    async def models() -> dict[str, Any]:
        slots = hall.slots
        told = [_short(name, slots[name].live if name in slots else None) for name in hall.models]
        return {
            "models": [one | ({"ready": True} | ELSEWHERE if one["model"] in hall.elsewhere else {}) for one in told]
        }

    @app.get("/v1/models/{model}", summary="One model: who answers, and what it takes")
    async def model_(model: str) -> dict[str, Any]:
        if model in hall.elsewhere:
            return {"model": model, "ready": True} | ELSEWHERE
        live = hall.of(model).handler.live(model)
        return _short(model, live) | {"contract": msgspec.to_builtins(live.champion.loaded.contract)}


def _states_beside(worker: Worker) -> list[dict[str, Any]]:
    """Return what this worker and the others of its host tell of themselves."""
    names = [f"w{number}" for number in range(worker.plan.workers)]
    others = [plans.state_path(worker.run, name) for name in names if name != worker.plan.worker]
    told = [state for path in others if "metrics" in (state := plans.read_json(path) or {})]
    return [*told, worker.state()]


def _not_ready(hall: Hall) -> NotReady:
    if hall.draining:
        return NotReady("This worker is draining", remedy="Ask another one; this one ends.")
    waiting = [name for name, slot in hall.slots.items() if slot.live is None and not slot.failed]
    why = hall.late | {
        name: "; ".join(dict.fromkeys(slot.failed.values()))
        for name, slot in hall.slots.items()
        if slot.live is None and slot.failed
    }
    if not why:
        return NotReady(f"Not loaded yet: {', '.join(waiting)}")
    return NotReady(
        "; ".join(f"{name} cannot be loaded: {text}" for name, text in why.items()),
        remedy="Restore the bundle, run `mainstay train` (the same data and code write it anew), promote another "
        "version, or, for one that this project did not sign and you know, run `mainstay trust`.",
    )


def _add_documentation(app: FastAPI, hall: Hall) -> None:
    def document() -> dict[str, Any]:
        contracts: dict[str, Contract | None] = dict.fromkeys(hall.models)
        contracts |= {name: slot.live.champion.loaded.contract for name, slot in hall.slots.items() if slot.live}
        plain = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        return openapi.complete(plain, contracts)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_() -> JSONResponse:
        return JSONResponse(document())

    @app.get("/docs", include_in_schema=False)
    async def docs_() -> HTMLResponse:
        return HTMLResponse(docs.page(document()), headers=dict(docs.headers()))


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
    known = table.table()

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
            return respond(errors.WrongMethod(request.method, "GET, HEAD"))
        if error.status_code == 404:
            path = request.scope["path"]
            like = known.like(path)
            remedy = f"Did you mean {like}? See /docs for the routes." if like else ""
            return respond(errors.NoRoute(f"There is no route {path[:200]!r}", remedy=remedy))
        return respond(errors.HttpError(str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        del request
        problems = [Problem(where=".".join(map(str, one["loc"])), what=one["msg"]) for one in error.errors()]
        return respond(ContractViolation("The request has another shape than documented", problems=problems))
