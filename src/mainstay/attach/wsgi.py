"""The WSGI twin of `Watch`, for Flask and others: what passes is copied, never held, changed or failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mainstay.attach.seen import Seen, is_json

if TYPE_CHECKING:
    from mainstay.attach.middleware import Plan

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None
StartResponse = Callable[..., Callable[[bytes], object]]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class WatchedApp:
    """A WSGI application under watch."""

    def __init__(self, app: WsgiApp, plan: Plan) -> None:
        self.app = app
        self._plan = plan

    @property
    def counts(self) -> dict[str, int]:
        """Return what this process recorded, dropped and skipped so far."""
        return dict(self._plan.recorder.counts)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Let the service answer, and keep a copy of what passes."""
        plan = self._plan
        path = environ.get("PATH_INFO", "")
        if not plan.wants(environ["REQUEST_METHOD"], path) or not is_json(_bytes(environ.get("CONTENT_TYPE", ""))):
            return self.app(environ, start_response)
        passing = _Passing(plan, Seen(plan.mapping, plan.recorder.now(), path, _headers(environ)))
        body = environ.get("wsgi.input")
        if body is not None:
            environ["wsgi.input"] = _Read(body, passing.seen)
        try:
            answer = self.app(environ, passing.starting(start_response))
        except Exception as error:
            passing.failed(error)
            raise
        return _Answer(answer, passing)


class _Passing:
    """One request on its way through."""

    __slots__ = ("_began", "_done", "_kept", "_plan", "seen")

    def __init__(self, plan: Plan, seen: Seen) -> None:
        self.seen = seen
        self._plan = plan
        self._began = perf_counter_ns()
        self._kept = self._done = False

    def starting(self, start_response: StartResponse) -> StartResponse:
        def start(status: str, headers: Headers, *more: ExcInfo) -> Callable[[bytes], object]:
            write = start_response(status, headers, *more)
            try:
                pairs = [(_bytes(name), _bytes(value)) for name, value in headers]
                self._kept = self.seen.start(int(status[:3]), pairs)
            except (ValueError, TypeError, AttributeError):
                self._kept = False
            if not self._kept:
                return write

            def write_and_keep(data: bytes) -> object:
                self.keep(data)
                return write(data)

            return write_and_keep

        return start

    def keep(self, data: bytes) -> None:
        if self._kept and data:
            self.seen.keep_response(data)

    def failed(self, error: Exception) -> None:
        if not self._done:
            self.seen.failure = type(error).__name__
            self._put()

    def ended(self) -> None:
        if not self._done and self.seen.is_told(kept=self._kept):
            self._put()
        self._done = True

    def _put(self) -> None:
        self._done = True
        self.seen.latency_us = (perf_counter_ns() - self._began) // 1000
        self._plan.put(self.seen)


class _Answer:
    """The answer's parts as the service gives them, one by one."""

    __slots__ = ("_answer", "_parts", "_passing")

    def __init__(self, answer: Iterable[bytes], passing: _Passing) -> None:
        self._answer = answer
        self._parts: Iterator[bytes] | None = None
        self._passing = passing

    def __len__(self) -> int:
        """Return the number of parts where the service knows it: servers fill in Content-Length for one."""
        return len(self._answer)  # type: ignore[arg-type] # TypeError is the right answer where it has none

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._parts is None:
                self._parts = iter(self._answer)
            data = next(self._parts)
        except StopIteration:
            self._passing.ended()
            raise
        except Exception as error:
            self._passing.failed(error)
            raise
        self._passing.keep(data)
        return data

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()


class _Read:
    """The request's body: the service reads it as before, and what it read is kept."""

    __slots__ = ("_body", "_seen")

    def __init__(self, body: Any, seen: Seen) -> None:
        self._body = body
        self._seen = seen

    def read(self, *size: int) -> bytes:
        return self._kept(self._body.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._kept(self._body.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._kept(line) for line in self._body.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return (self._kept(line) for line in self._body)

    def __getattr__(self, name: str) -> Any:
        """Give what else the server's body can do, so that the service finds neither more nor less than before."""
        found = getattr(self._body, name)
        if name in ("read1", "readall"):
            return lambda *size: self._kept(found(*size))
        if name in ("readinto", "readinto1"):

            def read_into(buffer: Any) -> Any:
                count = found(buffer)
                self._kept(bytes(memoryview(buffer)[:count]) if count else b"")
                return count

            return read_into
        return found

    def _kept(self, data: bytes) -> bytes:
        if data:
            self._seen.keep_request(data)
        return data


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    return [
        (_bytes(name[5:].replace("_", "-").lower()), _bytes(value))
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
