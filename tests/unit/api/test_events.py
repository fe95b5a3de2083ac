"""Events that others tell: each kept once, judged by itself, as JSON or as CloudEvents of any mode."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from api_kit import error_of, server
from mainstay.core.events import Event, Kind
from mainstay.journal.read import Journal

CLOUD = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
ENVELOPE = {"specversion": "1.0", "id": "ce-1", "source": "/desk", "type": "prediction"}


def one(text: str = "snow", **more: Any) -> dict[str, Any]:
    return {"inputs": {"text": text}, "label": "cold"} | more


def asked(folder: Path, do: Callable[[httpx.AsyncClient], Awaitable[Any]], **changes: Any) -> Any:
    async def main() -> Any:
        async with server(folder, **changes) as client:
            return await do(client)

    return asyncio.run(main())


def told(folder: Path, *events: Any) -> list[dict[str, Any]]:
    async def ask(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        response = await client.post("/v1/events", json={"events": list(events)})
        assert response.status_code == 200
        return list(response.json()["results"])

    found: list[dict[str, Any]] = asked(folder, ask, max_rows=100)
    return found


def kept(folder: Path) -> list[Event]:
    events, _ = Journal(folder / "journal").read({}, 1000)
    return [event for event in events if event.kind is Kind.EXTERNAL]


def test_an_event_is_kept_with_all_that_was_told(tmp_path: Path) -> None:
    event = one(
        id="e-1",
        key="c-7",
        time="2020-01-31T16:00:00+01:00",
        probabilities={"cold": 0.7, "warm": 0.3},
        version="9",
    )
    assert told(tmp_path, event)[0]["status"] == "stored"
    [found] = kept(tmp_path)
    assert (found.id, found.label, found.inputs) == ("e-1", "cold", {"text": "snow"})
    assert (found.confidence, found.probabilities) == (0.7, {"cold": 0.7, "warm": 0.3})
    assert found.occurred_at.isoformat() == "2020-01-31T15:00:00+00:00"
    assert found.received_at > found.occurred_at
    assert len(found.key_hash) == 32
    assert (found.bundle, found.reason) == ("", None)
    assert [(caveat.code, caveat.value) for caveat in found.warnings] == [("version", "9")]


def test_the_same_event_twice_counts_once_also_after_a_restart(tmp_path: Path) -> None:
    assert [result["status"] for result in told(tmp_path, one(id="a"), one(id="a"), one(id="b"))] == [
        "stored",
        "duplicate",
        "stored",
    ]
    again = told(tmp_path, one(id="a"), one("sun", id="b"), one(id="c"))
    assert [result["status"] for result in again] == ["duplicate", "refused", "stored"]
    assert "stands for another event" in again[1]["error"]
    assert [event.id for event in kept(tmp_path)] == ["a", "b", "c"]


def test_an_id_of_a_prediction_is_taken(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> dict[str, Any]:
        await client.post("/v1/predict", json={"instances": [{"id": "p", "inputs": {"text": "snow"}}]})
        response = await client.post("/v1/events", json={"events": [one(id="p")]})
        return dict(response.json()["results"][0])

    assert asked(tmp_path, ask)["status"] == "refused"


def test_an_event_without_an_id_gets_one_by_which_feedback_finds_it(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[str]:
        response = await client.post("/v1/events", json={"events": [one(), one()]})
        first, second = (result["id"] for result in response.json()["results"])
        assert first != second
        items = {"items": [{"id": first, "value": "warm"}, {"id": "nobody", "value": "warm"}]}
        return [result["status"] for result in (await client.post("/v1/feedback", json=items)).json()["results"]]

    assert asked(tmp_path, ask) == ["stored", "waiting_for_prediction"]


def test_what_cannot_be_kept_is_refused_one_by_one_with_its_reason(tmp_path: Path) -> None:
    events = [
        {"label": "cold"},
        {"inputs": {"text": "a"}},
        one(label=None),
        one(label={"cold": 1}),
        one(confidence=1.5),
        one(probabilities={"cold": 2}),
        one(time="2020-01-31T16:00:00"),
        one(time="2999-01-31T16:00:00Z"),
        one(id=""),
        one(id="x" * 129),
        one(id="a\0"),
        one(key=7),
        one(colour="red"),
        {"inputs": {}, "label": "cold"},
        "cold",
        None,
        one(),
    ]
    results = told(tmp_path, *events)
    assert [result["status"] for result in results] == ["refused"] * 16 + ["stored"]
    assert all(result["error"] for result in results[:-1])
    assert len(kept(tmp_path)) == 1


def test_what_breaks_the_contract_is_kept_and_counted_as_such_as_the_service_did_answer(tmp_path: Path) -> None:
    [result] = told(tmp_path, {"inputs": {"text": "snow", "place": "moon", "degrees": 99}, "label": "cold"})
    assert result["status"] == "stored"
    assert {(warning["code"], warning["field"]) for warning in result["warnings"]} == {
        ("contract", "place"),
        ("out_of_range", "degrees"),
    }
    [event] = kept(tmp_path)
    assert event.reason is not None
    assert "place" in event.reason
    assert event.inputs == {"text": "snow", "degrees": 99.0}


def test_personal_fields_are_hashed_before_they_are_written(tmp_path: Path) -> None:
    told(tmp_path, {"inputs": {"text": "snow", "station": "secret-17"}, "label": "cold"})
    [event] = kept(tmp_path)
    assert "secret" not in str(event)
    assert len(event.key_hash) == len(event.inputs["station"]) == 32


def test_a_bundle_of_ours_that_answered_in_another_place_is_named_as_such(tmp_path: Path) -> None:
    told(tmp_path, one(version="weather@1"), one(version="other@1"))
    assert [event.bundle for event in kept(tmp_path)] == ["weather@1", ""]


async def cloud(client: httpx.AsyncClient, content: Any, kind: str = CLOUD, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/events", content=json.dumps(content), headers={"content-type": kind} | names)


def test_cloudevents_come_in_structured_batched_and_binary_mode(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[Any]:
        encoded = base64.b64encode(json.dumps(one()).encode()).decode()
        answers = [
            await cloud(client, ENVELOPE | {"data": one(), "time": "2020-01-01T00:00:00Z"}),
            await cloud(client, ENVELOPE | {"data": one()}),
            await cloud(client, ENVELOPE | {"id": "ce-2", "data_base64": encoded}),
            await cloud(client, ENVELOPE | {"id": "ce-3", "data": one(id="own")}),
            await cloud(
                client,
                one(),
                "application/json",
                ce_specversion="1.0",
                ce_id="ce%204",
                ce_source="/desk",
                ce_type="prediction",
                ce_time="2020-01-02T00:00:00Z",
            ),
            await cloud(client, [ENVELOPE | {"id": "ce-5", "data": one()}, ENVELOPE | {"id": "ce-6"}, {}], BATCH),
        ]
        return [(one.status_code, [(r["id"], r["status"]) for r in one.json()["results"]]) for one in answers]

    assert asked(tmp_path, ask) == [
        (200, [("ce-1", "stored")]),
        (200, [("ce-1", "duplicate")]),
        (200, [("ce-2", "stored")]),
        (200, [("own", "stored")]),
        (200, [("ce 4", "stored")]),
        (200, [("ce-5", "stored"), ("ce-6", "refused"), ("", "refused")]),
    ]
    assert [event.occurred_at.year for event in kept(tmp_path)[:1]] == [2020]


def test_a_single_cloudevent_that_is_refused_is_no_200(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[tuple[int, str]]:
        answers = [
            await cloud(client, ENVELOPE),
            await cloud(client, ENVELOPE | {"specversion": "0.3", "data": one()}),
            await cloud(client, {"data": one()}),
            await cloud(client, ENVELOPE | {"data_base64": "%%"}),
            await cloud(client, one(), "application/json", ce_specversion="1.0", ce_id="x"),
            await cloud(client, [], BATCH),
            await cloud(client, {}, BATCH),
            await cloud(client, {"events": []}, "application/json"),
            await cloud(client, {"events": [one()], "more": 1}, "application/json"),
            await cloud(client, {"events": [one()] * 6}, "application/json"),
            await cloud(client, {"events": [one()]}, "text/plain"),
        ]
        return [(answer.status_code, error_of(answer)["code"]) for answer in answers]

    assert asked(tmp_path, ask) == [(422, "contract_violation")] * 9 + [
        (413, "too_large"),
        (415, "unsupported_media_type"),
    ]


def test_before_the_first_version_events_are_told_so(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> int:
        return (await client.post("/v1/events", json={"events": [one()]})).status_code

    assert asked(tmp_path, ask, route=False) == 503
