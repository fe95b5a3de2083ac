"""A large body: taken whole into a file, then answered in pieces.

Whole first, as a client that writes before it reads would else wait for us, and we for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from mainstay.api import errors
from mainstay.api.errors import Unauthenticated
from mainstay.api.routes import Ask, HotRoute
from mainstay.core.errors import EnvironmentFault, Refused, TooLarge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PIECE_TIMEOUT_S = 15.0
"""Longest wait for the next piece of the body (seconds)."""
SLOW_S = 60.0
SLOWEST_BYTES_PER_S = 16_000
"""A body that arrives more slowly than this, after a minute, is given up."""
IN_MEMORY = 1 << 20
"""Bytes of a body that are kept in memory; what is more lies in a file without a name."""
_log = logging.getLogger("mainstay.api")


async def answer(
    route: HotRoute,
    ask: Ask,
    receive: Receive,
    send: Send,
    *,
    head: Sequence[tuple[bytes, bytes]],
    begun: Callable[[], None],
    still: Callable[[], None],
) -> None:
    """Answer one request by `route.stream`, until it ends or the caller is gone; `begun` is called before the 200.

    `still` raises when the caller is no longer let in, and is asked before each piece: a body may take an hour to
    arrive. Raises what is wrong with the call as a whole, before anything was sent.
    """
    if route.stream is None:
        raise errors.Defect(f"the route {route.name} does not stream")
    plan = ask.hall.of(ask.model).plan
    most = int(max(plan.max_bulk_mb * 1024, plan.max_body_kb) * 1024)
    declared = ask.headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(int(declared), most)
    with SpooledTemporaryFile(IN_MEMORY, dir=plan.run) as file:
        await _spool(receive, file, most)
        still()
        gone = asyncio.ensure_future(receive())
        sent = False
        try:
            async for piece in route.stream(ask, file):
                if not sent:
                    sent = True
                    begun()
                    headers = [(b"content-type", route.gives), *head]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                still()
        except (Unauthenticated, Refused) as error:
            if not sent:
                raise
            _log.warning("%s, so the rest of its answer is cut off", error.message)
            return
        except Exception:
            if not sent:
                raise
            _log.exception("request to %s failed within its answer, which is cut off", route.name)
            return  # the server then closes the connection: a client sees that the answer is not whole
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _spool(receive: Receive, file: IO[bytes], most: int) -> None:
    size, began = 0, asyncio.get_running_loop().time()
    while True:
        took = asyncio.get_running_loop().time() - began
        if took > SLOW_S and size < took * SLOWEST_BYTES_PER_S:
            raise errors.TooSlow(f"Of the body {size} bytes arrived in {took:.0f} s, which would hold others up")
        try:
            async with asyncio.timeout(PIECE_TIMEOUT_S):
                message = await receive()
        except TimeoutError as error:
            raise errors.TooSlow(f"Nothing of the body arrived for {PIECE_TIMEOUT_S:.0f} s") from error
        if message["type"] != "http.request":
            raise errors.Incomplete("The connection closed before the body was there")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(size, most)
        try:
            file.write(part)
        except OSError as error:
            raise EnvironmentFault(f"The body cannot be put aside: {error.strerror}") from error
        if not message.get("more_body"):
            file.seek(0)
            return


def _too_large(size: int, most: int) -> TooLarge:
    return TooLarge(
        f"The body has {size} bytes or more; at most {most / (1 << 20):g} MB are allowed ([serve] max_bulk_mb)"
    )
