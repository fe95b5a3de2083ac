"""Lines in, lines out: each for itself, in order, written down before it is answered, whatever their number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from api_kit import error_of, server
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
