"""Services made of one function, asked in this process; and a recorder that keeps what it is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mainstay.attach.middleware import Watch
from mainstay.attach.recorder import recorder
from mainstay.core.events import Event
from mainstay.journal.read import Journal

JSON = ((b"content-type", b"application/json"),)
Message = dict[str, Any]


def asgi(
    answer: bytes | Sequence[bytes] = b'{"label": "ok"}',
    *,
    status: int = 200,
    headers: Sequence[tuple[bytes, bytes]] = JSON,
    error: Exception | None = None,
    reads: bool = True,
) -> Callable[..., Any]:
    """Return an ASGI service that reads its request and gives one answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while reads:
            message = await receive()
            if not message.get("more_body"):
                break
        if error is not None:
            raise error
        parts = [answer] if isinstance(answer, bytes) else list(answer)
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number + 1 < len(parts)})

    return app


def ask(
    app: Callable[..., Any],
    body: bytes | Sequence[bytes] | Any = b'{"x": 1}',
    *,
    method: str = "POST",
    path: str = "/predict",
    headers: Sequence[tuple[bytes, bytes]] = JSON,
) -> list[Message]:
    """Ask once; return the messages that the server got."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    parts = [body] if isinstance(body, bytes) else list(body)
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
        for number, part in enumerate(parts)
    ]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "query_string": b""}
    asyncio.run(app(scope, receive, send))
    return sent


def recorded(project: Path) -> list[Event]:
    """Return what was recorded, after all that waits was written."""
    assert recorder(project).flush(120)
    return Journal(project / ".mainstay" / "journal").read({}, 100_000)[0]


def counts(project: Path) -> dict[str, int]:
    recorder(project).flush(120)
    return dict(recorder(project).counts)


def watched(project: Path, app: Callable[..., Any], **options: Any) -> Watch:
    return Watch(app, project=project, **options)
