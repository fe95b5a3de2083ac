"""Lines in, lines out: each for itself, in order, written down before it is answered, whatever their number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_kit import error_of, server
from mainstay.api.ndjson import MOST_KEPT, PIECE_READS, PIECE_ROWS
from mainstay.core.events import Kind
from mainstay.journal.read import Journal

LINES = {"content-type": "application/x-ndjson"}


def asked(folder: Path, do: Callable[[httpx.AsyncClient], Awaitable[Any]], **changes: Any) -> Any:
    async def main() -> Any:
        async with server(folder, **changes) as client:
            return await do(client)

    return asyncio.run(main())


def post(folder: Path, body: bytes, **changes: Any) -> httpx.Response:
    found: httpx.Response = asked(
        folder, lambda client: client.post("/v1/predict", content=body, headers=LINES), **changes
    )
    return found


def line(text: str = "snow", **more: Any) -> bytes:
    return json.dumps({"inputs": {"text": text}} | more).encode()


def test_each_line_is_answered_in_its_place_and_a_bad_one_costs_itself_alone(tmp_path: Path) -> None:
    body = b"\n".join(
        [line("snow", id="a"), b"{", b"", line("sun", id="b"), b'{"inputs":{"txt":"x"}}', b"[]", line("snow", id="b")]
    )
    response = post(tmp_path, body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    answers = [json.loads(one) for one in response.text.splitlines()]
    assert [one.get("label") or one["error"]["code"] for one in answers] == [
        "cold",
        "malformed",
        "warm",
        "contract_violation",
        "contract_violation",
        "id_reused",
    ]
    assert [problem["instance"] for problem in answers[3]["error"]["problems"]] == [3, 3]
    events, _ = Journal(tmp_path / "journal").read({}, 100)
    assert sorted(event.id for event in events if event.kind is Kind.PREDICTION) == ["a", "b"]
    assert sorted(event.reason or "" for event in events if event.kind is Kind.REFUSAL) == [
        "contract_violation",
        "contract_violation",
        "id_reused",
        "malformed",
    ]


def test_of_very_many_bad_lines_each_is_answered_and_so_many_are_written_down_as_will_not_fill_the_disk(
    tmp_path: Path,
) -> None:
    answers = post(tmp_path, b"{}\n" * (MOST_KEPT + 200)).text.splitlines()
    assert {json.loads(one)["error"]["code"] for one in answers} == {"contract_violation"}
    assert len(answers) == MOST_KEPT + 200
    events, _ = Journal(tmp_path / "journal").read({}, 2 * MOST_KEPT)
    assert MOST_KEPT <= len(events) < MOST_KEPT + PIECE_ROWS


def test_more_lines_than_a_call_may_have_rows_and_a_body_larger_than_a_body_may_be(tmp_path: Path) -> None:
    body = b"\r\n".join(line(f"snow {number} " + "x" * 100, id=f"n-{number}") for number in range(700))
    assert len(body) > 4 * 1024
    answers = [json.loads(one) for one in post(tmp_path, body).text.splitlines()]
    assert [one["id"] for one in answers] == [f"n-{number}" for number in range(700)]
    events, _ = Journal(tmp_path / "journal").read({}, 1000)
    assert len(events) == 700


def test_a_line_is_as_long_as_a_body_may_be_and_the_next_one_is_read_all_the_same(tmp_path: Path) -> None:
    body = line("a" * 5000) + b"\n" + line("snow") + b"\n" + line("b" * 100_000)
    answers = [json.loads(one) for one in post(tmp_path, body).text.splitlines()]
    assert [one.get("label") or one["error"]["code"] for one in answers] == ["too_large", "cold", "too_large"]


def test_others_have_their_turn_while_blank_lines_are_read(tmp_path: Path) -> None:
    pieces = 100

    async def do(client: httpx.AsyncClient) -> tuple[httpx.Response, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        response = await client.post("/v1/predict", content=b"\n" * pieces * PIECE_READS + line(), headers=LINES)
        task.cancel()
        return response, turns

    response, turns = asked(tmp_path, do)
    assert json.loads(response.text)["label"] == "cold"
    assert turns >= pieces


def test_what_is_wrong_with_the_whole_call_is_no_200(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> list[tuple[int, str]]:
        calls = [
            await client.post("/v1/predict", content=b" \r\n\n", headers=LINES),
            await client.post("/v1/models/other/predict", content=line(), headers=LINES),
            await client.post("/v1/predict", content=(line() + b"\n") * 2000, headers=LINES),
            await client.put("/v1/predict", content=line(), headers=LINES),
        ]
        return [(one.status_code, error_of(one)["code"]) for one in calls]

    assert asked(tmp_path, ask, max_bulk_mb=0.01) == [
        (422, "contract_violation"),
        (404, "not_found"),
        (413, "too_large"),
        (405, "method_not_allowed"),
    ]


def test_before_the_first_version_lines_are_told_so(tmp_path: Path) -> None:
    response = post(tmp_path, line(), route=False)
    assert (response.status_code, error_of(response)["code"]) == (503, "not_ready")


def test_one_key_twice_on_a_line_is_refused_by_name(tmp_path: Path) -> None:
    [answer] = map(json.loads, post(tmp_path, b'{"inputs":{"text":"a","text":"b"}}').text.splitlines())
    assert answer["error"]["code"] == "malformed"
    assert answer["error"]["problems"][0]["field"] == "text"


def test_an_answer_is_one_line_to_every_client_whatever_characters_it_holds(tmp_path: Path) -> None:
    ids = ["a\x85b", "a\u2028b", "a\u2029b"]
    response = post(tmp_path, b"\n".join(line("snow", id=id_) for id_ in ids))
    assert [json.loads(one)["id"] for one in response.text.splitlines()] == ids


NDJSON_HEAD = [(b"host", b"localhost"), (b"content-type", b"application/x-ndjson")]


def raw(folder: Path, receive: Callable[[], Awaitable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Post lines whose body comes as `receive` says; return what was sent back."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def do(client: httpx.AsyncClient) -> None:
        shell = client._transport.app  # type: ignore[attr-defined]
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": NDJSON_HEAD}
        await shell(scope, receive, send)

    asked(folder, do, max_bulk_mb=0.001)
    return sent


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.api.bulk.PIECE_TIMEOUT_S", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError("waited for too long")

    assert raw(tmp_path, receive)[0]["status"] == 408


def test_a_client_that_leaves_within_its_body_or_sends_too_much_without_saying_so_is_refused(tmp_path: Path) -> None:
    for number, (last, status) in enumerate(
        [({"type": "http.disconnect"}, 400), ({"type": "http.request", "body": b"x" * 5000, "more_body": True}, 413)]
    ):
        messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, last])

        async def receive(messages: Any = messages) -> dict[str, Any]:
            return dict(next(messages))

        folder = tmp_path / str(number)
        folder.mkdir()
        assert raw(folder, receive)[0]["status"] == status


def test_who_is_gone_is_not_answered_to_the_end(tmp_path: Path) -> None:
    body = b"\n".join(line(f"snow {number}") for number in range(25))
    messages = iter([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return dict(next(messages))

    assert [message["type"] for message in raw(tmp_path, receive)] == ["http.response.start"]


def test_while_too_much_waits_lines_are_turned_away_as_a_whole(tmp_path: Path) -> None:
    async def do(client: httpx.AsyncClient) -> tuple[int, str]:
        worker = client._transport.app._hall.of("weather")  # type: ignore[attr-defined]
        worker.pending.waiting_rows = 8000
        response = await client.post("/v1/predict", content=line(), headers=LINES)
        worker.pending.waiting_rows = 0
        return response.status_code, response.headers["retry-after"]

    assert asked(tmp_path, do) == (503, "1")
