"""A WSGI service answers the same under watch, and what it answers is recorded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attach_kit import recorded
from mainstay.attach.middleware import Watch
from mainstay.core.events import Kind

JSON = [("Content-Type", "application/json")]


def ask(app: Any, body: bytes = b'{"amount": 3}', *, method: str = "POST", kind: str = "application/json") -> Any:
    """Ask as a server does: start, parts one by one, close."""
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started.append((status, list(headers), exc_info))
        return written.append

    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/predict",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_REQUEST_ID": "h-1",
        "wsgi.input": io.BytesIO(body),
    }
    answer = app(environ, start_response)
    try:
        parts = list(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    return started, written, parts


def into(body: Any, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: body.readinto(buffer)])


READS = {
    "read": lambda body, size: body.read(size),
    "iterate": lambda body, size: b"".join(body),
    "lines": lambda body, size: b"".join(body.readlines()),
    "into": into,
    "read1": lambda body, size: body.read1(size),
}
"""Ways in which servers and frameworks read a body."""


def service(read: str = "read", parts: tuple[bytes, ...] = (b'{"label": ', b'"ok"}'), status: str = "200 OK") -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"]
        got = READS[read](body, int(environ["CONTENT_LENGTH"]))
        start_response(status, [*JSON, ("X-Got", str(len(got)))])
        return list(parts)

    return app


@pytest.mark.parametrize("read", READS)
def test_what_is_read_is_kept_however_it_is_read(project: Path, read: str) -> None:
    ask(Watch.wsgi(service(read), project=project))
    assert [e.inputs for e in recorded(project)] == [{"amount": 3}]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("body", [b'{"amount": 3}', b"", b"{not", b"y" * 600_000])
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_the_answer_is_the_same(project: Path, read: str, body: bytes, method: str) -> None:
    app = service(read)
    assert ask(Watch.wsgi(app, project=project), body, method=method) == ask(app, body, method=method)


def test_an_answer_is_recorded(project: Path) -> None:
    ask(Watch.wsgi(service(), project=project, id="header.x-request-id"))
    assert [(e.kind, e.id, e.inputs, e.label) for e in recorded(project)] == [
        (Kind.EXTERNAL, "h-1", {"amount": 3}, "ok")
    ]


def test_what_is_streamed_goes_out_part_by_part(project: Path) -> None:
    went: list[str] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", JSON)
        for part in (b'{"label": ', b'"ok"}'):
            went.append("made")
            yield part

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(),
    }
    for _ in Watch.wsgi(app, project=project)(environ, lambda *_: None):  # type: ignore[arg-type]
        went.append("sent")
    assert went == ["made", "sent", "made", "sent"]


def test_what_is_written_by_the_old_way_is_recorded_too(project: Path) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].readline()
        start_response("200 OK", JSON)(b'{"label": "ok"}')
        return []

    assert ask(Watch.wsgi(app, project=project))[1] == [b'{"label": "ok"}']
    assert [e.label for e in recorded(project)] == ["ok"]


@pytest.mark.parametrize("late", [False, True])
def test_an_exception_is_recorded_and_raised_as_it_was(project: Path, late: bool) -> None:
    fault = ZeroDivisionError("of the service")

    def app(environ: Any, start_response: Any) -> Any:
        if not late:
            raise fault
        return parts()

    def parts() -> Iterator[bytes]:
        raise fault
        yield b""

    with pytest.raises(ZeroDivisionError) as caught:
        ask(Watch.wsgi(app, project=project))
    assert caught.value is fault
    assert [(e.kind, e.reason) for e in recorded(project)] == [(Kind.ERROR, "ZeroDivisionError")]


def test_the_services_answer_is_closed_once(project: Path) -> None:
    closed: list[bool] = []

    class Answer(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", JSON)
        return Answer([b'{"label": "ok"}'])

    ask(Watch.wsgi(app, project=project))
    assert closed == [True]


def test_other_requests_pass_untouched(project: Path) -> None:
    answer = [b"x"]

    def app(environ: Any, start_response: Any) -> Any:
        return answer

    watched = Watch.wsgi(app, project=project)
    for method, kind in (("GET", "application/json"), ("POST", "text/plain")):
        assert watched({"REQUEST_METHOD": method, "PATH_INFO": "/", "CONTENT_TYPE": kind}, print) is answer
