"""Answers that could have been drawn, over HTTP: each protocol says what was given and with what chance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from api_kit import server
from mainstay.core.exploration import How, Rule
from mainstay.journal.read import Journal

RULE = Rule(share=1.0, how=How.UNIFORM, labels=("warm",))
"""Every answer is drawn, and is `warm`."""
INPUTS = {"text": "snow day"}


def talking(folder: Path, to: Callable[[httpx.AsyncClient], Awaitable[None]], **changes: Any) -> None:
    async def talk() -> None:
        async with server(folder, **changes) as client:
            await to(client)

    asyncio.run(talk())


def test_each_protocol_tells_the_answer_given_and_its_propensity(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        own = await client.post("/v1/predict", json={"instances": [{"id": "a", "inputs": INPUTS}]})
        [answer] = own.json()["predictions"]
        assert (answer["label"], answer["confidence"]) == ("warm", None)
        assert answer["exploration"] == {"drawn": True, "propensity": 1.0, "model_label": "cold"}
        body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["snow day"]}]}
        told = (await client.post("/v2/models/weather/infer", json=body)).json()
        outputs = {one["name"]: one["data"] for one in told["outputs"]}
        assert (outputs["label"], outputs["propensity"]) == (["warm"], [1.0])
        described = (await client.get("/v2/models/weather")).json()["outputs"]
        assert [one["name"] for one in described] == list(outputs)
        rows = {"dataframe_records": [INPUTS]}
        [record] = (await client.post("/invocations?returns=records", json=rows)).json()["predictions"]
        assert (record["label"], record["propensity"], record["drawn"]) == ("warm", 1.0, True)
        line = await client.post(
            "/v1/predict",
            content=b'{"inputs": {"text": "snow day"}}\n',
            headers={"content-type": "application/x-ndjson"},
        )
        assert '"model_label":"cold"' in line.text

    talking(tmp_path, ask, explore=RULE)
    event = Journal(tmp_path / "journal").find("a")
    assert event is not None
    assert event.explored is not None
    assert (event.label, event.given, event.explored.propensity) == ("cold", "warm", 1.0)


def test_without_exploration_no_protocol_speaks_of_it(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        own = await client.post("/v1/predict", json={"instances": [{"inputs": INPUTS}]})
        assert "exploration" not in own.json()["predictions"][0]
        names = [one["name"] for one in (await client.get("/v2/models/weather")).json()["outputs"]]
        assert "propensity" not in names

    talking(tmp_path, ask)
