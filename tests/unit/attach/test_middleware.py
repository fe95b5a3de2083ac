"""What passes through the middleware is the same with and without it, and what is wanted of it is recorded."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

import mainstay
from attach_kit import asgi, ask, counts, recorded, watched
from mainstay.attach import recorder as recorders
from mainstay.core.errors import UsageError
from mainstay.core.events import Kind


def test_the_public_name_is_the_middleware(project: Path) -> None:
    assert mainstay.Watch(asgi(), project=project).counts == {}


@pytest.mark.parametrize(
    "service",
    [
        asgi(),
        asgi(b'{"label": "ok"}', status=201),
        asgi(b"oops", status=500, headers=((b"content-type", b"text/plain"),)),
        asgi(b'{"detail": "no"}', status=422),
        asgi([b'{"lab', b'el": "o', b'k"}']),
        asgi([b"data: 1\n\n", b"data: 2\n\n"], headers=((b"content-type", b"text/event-stream"),)),
        asgi(b"", status=204, headers=()),
        asgi(b"\xff\xfe not json"),
        asgi(reads=False),
    ],
)
@pytest.mark.parametrize("body", [b'{"x": 1}', b"", b"{not json", b"[" * 5_000, b'{"x": "' + b"y" * 600_000 + b'"}'])
@pytest.mark.parametrize("method", ["POST", "HEAD", "GET"])
def test_the_server_gets_the_same_messages(project: Path, service: Any, body: bytes, method: str) -> None:
    assert ask(watched(project, service), body, method=method) == ask(service, body, method=method)


def test_the_service_reads_the_same_request_in_the_same_parts(project: Path) -> None:
    got: list[Any] = []

    async def service(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            got.append(message)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    ask(watched(project, service), [b'{"x"', b": 1}"])
    assert [message["body"] for message in got] == [b'{"x"', b": 1}"]


def test_an_answer_is_recorded(project: Path) -> None:
    ask(watched(project, asgi(b'{"label": "ok", "confidence": 0.75, "id": "r-1"}')), {"amount": 3})
    (event,) = recorded(project)
    assert (event.model, event.kind, event.id, event.inputs, event.label, event.confidence) == (
        "fraud",
        Kind.EXTERNAL,
        "r-1",
        {"amount": 3},
        "ok",
        0.75,
    )


def test_an_answer_in_parts_is_recorded_whole(project: Path) -> None:
    ask(watched(project, asgi([b'{"lab', b'el": "o', b'k"}'])), [b'{"amo', b'unt": 3}'])
    assert [(e.inputs, e.label) for e in recorded(project)] == [({"amount": 3}, "ok")]


def test_an_exception_is_recorded_and_raised_as_it_was(project: Path) -> None:
    fault = ZeroDivisionError("of the service")
    with pytest.raises(ZeroDivisionError) as caught:
        ask(watched(project, asgi(error=fault)), {"amount": 3})
    assert caught.value is fault
    assert [(e.kind, e.status, e.reason) for e in recorded(project)] == [(Kind.ERROR, 500, "ZeroDivisionError")]


def test_an_exception_after_the_answer_went_out_is_no_second_record(project: Path) -> None:
    async def service(scope: Any, receive: Any, send: Any) -> None:
        await asgi()(scope, receive, send)
        raise RuntimeError("a background task")

    with pytest.raises(RuntimeError):
        ask(watched(project, service))
    assert [e.kind for e in recorded(project)] == [Kind.EXTERNAL]


def test_a_client_that_leaves_is_no_error_of_the_service(project: Path) -> None:
    async def service(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        ask(watched(project, service))
    assert recorded(project) == []


@pytest.mark.parametrize(
    ("status", "kinds"), [(422, [Kind.REFUSAL]), (503, [Kind.ERROR]), (404, []), (302, []), (401, [])]
)
def test_other_answers_are_recorded_by_their_status(project: Path, status: int, kinds: list[Kind]) -> None:
    ask(watched(project, asgi(b"{}", status=status)))
    assert [e.kind for e in recorded(project)] == kinds


@pytest.mark.parametrize(
    ("path", "asked", "count"),
    [
        (None, "/anything", 1),
        ("/predict", "/predict", 1),
        ("/predict", "/predict/x", 0),
        ("/v1/*", "/v1/predict", 1),
        ("/v1/*", "/v2/predict", 0),
        (["/a", "/b"], "/b", 1),
    ],
)
def test_only_wanted_paths_are_recorded(project: Path, path: Any, asked: str, count: int) -> None:
    ask(watched(project, asgi(), path=path), path=asked)
    assert len(recorded(project)) == count


def test_other_methods_are_recorded_where_they_are_wanted(project: Path) -> None:
    ask(watched(project, asgi(), methods=("put",)), method="PUT")
    assert len(recorded(project)) == 1


def test_websockets_and_lifespan_pass_untouched(project: Path) -> None:
    passed: list[Any] = []

    async def service(scope: Any, receive: Any, send: Any) -> None:
        passed.append((scope["type"], receive, send))

    watch = watched(project, service)
    for kind in ("websocket", "lifespan"):
        asyncio.run(watch({"type": kind}, len, max))  # type: ignore[arg-type]
    assert passed == [("websocket", len, max), ("lifespan", len, max)]


def test_what_cannot_be_recorded_is_counted_and_told_once(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = watched(project, asgi(), inputs="$.features")
    with caplog.at_level(logging.WARNING, "mainstay.attach"):
        for _ in range(5):
            ask(watch, {"amount": 3})
        assert counts(project)["skipped: no_inputs"] == 5
    assert [r.getMessage().count("amount") for r in caplog.records] == [1]


@pytest.mark.parametrize("wrong", [{"inputs": 5}, {"nothing": 1}])
def test_arguments_that_mean_nothing_are_refused_when_the_service_starts(project: Path, wrong: Any) -> None:
    with pytest.raises(TypeError):
        watched(project, asgi(), **wrong)


def test_a_path_that_is_none_is_refused_when_the_service_starts(project: Path) -> None:
    with pytest.raises(UsageError, match="no path"):
        watched(project, asgi(), inputs="$..x")


@pytest.mark.parametrize("wrong", ["", None, 5])
def test_a_project_that_names_no_folder_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="project"):
        mainstay.Watch(asgi(), project=wrong)


def test_personal_fields_named_by_the_service_are_never_written(project: Path) -> None:
    watch = watched(project, asgi(), pii={"email": "drop", "ip": "hash"})
    ask(watch, {"email": "a@example.org", "ip": "10.1.2.3", "amount": 3})
    (event,) = recorded(project)
    assert set(event.inputs) == {"ip", "amount"}
    raw = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert b"example.org" not in raw
    assert b"10.1.2.3" not in raw
    assert 'pii = { email = "drop", ip = "hash" }' in (project / "mainstay.toml").read_text()


def test_a_full_queue_drops_and_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MOST_QUEUED", 3)
    monkeypatch.setattr(recorders.Recorder, "_start", lambda self: None)
    watch = watched(project, asgi())
    for _ in range(5):
        ask(watch)
    monkeypatch.undo()
    ask(watch)
    recorders.recorder(project).flush(120)
    assert recorders.recorder(project).counts["dropped: queue_full"] == 2


def test_the_queue_is_bounded_in_bytes_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MOST_BYTES", 10_000)
    monkeypatch.setattr(recorders.Recorder, "_start", lambda self: None)
    watch = watched(project, asgi())
    for _ in range(5):
        ask(watch, json.dumps({"x": "y" * 4_000}).encode())
    assert len(recorders.recorder(project)._queue) == 1
