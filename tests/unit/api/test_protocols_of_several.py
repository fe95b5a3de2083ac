"""Several models in one server: each protocol has a path that names the model, and says so where no name is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from api_kit import make_plan
from mainstay.api.app import make_app
from mainstay.api.keys import Keys
from mainstay.api.shell import Shell
from mainstay.config.clocks import SystemClock
from mainstay.journal.read import Journal
from mainstay.serve.hall import Hall
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.worker import Worker
from serve_kit import make_route, make_side

MODELS = ("east", "west")


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    clock = SystemClock()
    workers = []
    for model in MODELS:
        (folder / model).mkdir()
        RouteFile(route_path(folder / model, model)).write(make_route(model=model))
        plan = make_plan(folder / model, models=[model])
        workers.append(Worker(plan, clock=clock, load_side=lambda model, ref: make_side(ref)))
    hall = Hall(workers)
    shell = Shell(make_app(hall), hall, Keys(folder / "keys.json", clock))
    await hall.start()
    try:
        while not hall.ready:
            await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(shell)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client
    finally:
        await hall.stop()


TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["snow"]}
EVENT = {"events": [{"id": "e", "inputs": {"text": "snow"}, "label": "cold"}]}


def test_each_protocol_reaches_the_model_that_its_path_names(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as client:
            asked: list[tuple[str, Any]] = [
                ("/v1/models/west/invocations", {"instances": ["snow"]}),
                ("/v2/models/west/infer", {"inputs": [TENSOR]}),
                ("/v1/models/west/events", EVENT),
            ]
            for path, body in asked:
                assert (path, (await client.post(path, json=body)).status_code) == (path, 200)
            lines = {"content-type": "application/x-ndjson"}
            answer = await client.post("/v1/models/west/predict", content=b'{"inputs":{"text":"snow"}}', headers=lines)
            assert answer.json()["label"] == "cold"

    asyncio.run(main())
    counts = {model: len(Journal(tmp_path / model / "journal").read({}, 100)[0]) for model in MODELS}
    assert counts == {"east": 0, "west": 4}


def test_without_a_name_the_caller_is_told_the_names_in_the_shape_that_it_reads(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as client:
            answer = await client.post("/invocations", json={"instances": ["snow"]})
            assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
            assert "east, west" in answer.json()["message"]
            assert (await client.post("/v1/events", json=EVENT)).status_code == 404
            strange = await client.post("/v2/models/north/infer", json={"inputs": [TENSOR]})
            assert (strange.status_code, "east, west" in strange.json()["error"]) == (404, True)
            for probe in ("/ping", "/health", "/v2/health/ready", "/v2/models/east/ready"):
                assert (await client.get(probe)).status_code == 200

    asyncio.run(main())
