"""What the pieces can do at most: frameworks that answer a constant, and bare ASGI with the model."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
from fastapi import FastAPI

CONSTANT = {"label": "billing", "probabilities": {"billing": 0.7, "refund": 0.3}}
fastapi_nothing = FastAPI()
_encode = msgspec.json.Encoder().encode


@fastapi_nothing.post("/predict")
async def nothing(request: dict[str, Any]) -> dict[str, Any]:
    """Answer a constant."""
    del request
    return CONSTANT


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def asgi_nothing(scope: Any, receive: Any, send: Any) -> None:
    """Decode, answer a constant, encode: bare ASGI."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    msgspec.json.decode(await _body(receive))
    await _answer(send, _encode(CONSTANT))


class Batching:
    """Bare ASGI with the model: what queued while the last batch ran forms the next; nothing is checked or kept."""

    def __init__(self) -> None:
        from peers import fitted

        self.model, self.given = fitted.pipeline(), fitted.given
        self.names = [str(name) for name in self.model.classes_]
        self.waiting: list[tuple[dict[str, Any], asyncio.Future[bytes]]] = []
        self.is_due = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        inputs = msgspec.json.decode(await _body(receive))["inputs"]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self.waiting.append((inputs, future))
        if not self.is_due:
            self.is_due = True
            loop.call_soon(self._work)
        await _answer(send, await future)

    def _work(self) -> None:
        batch, self.waiting, self.is_due = self.waiting, [], False
        rows = self.model.predict_proba(self.given([inputs for inputs, _ in batch]))
        for (_, future), row, best in zip(batch, rows.tolist(), rows.argmax(axis=1).tolist(), strict=True):
            shares = dict(zip(self.names, row, strict=True))
            future.set_result(_encode({"label": self.names[best], "probabilities": shares}))


asgi_batching = Batching() if os.environ.get("BENCH_MODEL") else None
