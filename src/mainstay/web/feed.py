"""Tells open pages that something changed: server-sent events, one connection for each tab that is looked at.

One look at all models' pulses every `EVERY_S`, however many pages are open, and none while no page is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from starlette.concurrency import run_in_threadpool

from mainstay.core import errors

EVERY_S = 2.0
HEARTBEAT_S = 15.0
"""A comment so often keeps what lies between from closing the connection, and finds out who went away."""
MOST = 100
"""Connections at a time."""
log = logging.getLogger(__name__)


class Feed:
    """Who listens, and what changed. Of one event loop."""

    def __init__(
        self,
        pulses: Mapping[str, Callable[[], str]],
        *,
        every_s: float = EVERY_S,
        heartbeat_s: float = HEARTBEAT_S,
        most: int = MOST,
    ) -> None:
        """Take the pulse of each model: a text that changes with what its pages tell."""
        self._pulses = pulses
        self._every_s, self._heartbeat_s, self._most = every_s, heartbeat_s, most
        self._last: dict[str, str] = {}
        self._counts = dict.fromkeys(pulses, 0)
        self._news = asyncio.Event()
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        """Return how many listen."""
        return self._listeners

    @property
    def is_full(self) -> bool:
        """Return whether nobody more is taken, or none at all any more."""
        return self._closed or self._listeners >= self._most

    def close(self) -> None:
        """End every connection; the server stops."""
        self._closed = True
        self._news.set()

    async def listen(self, models: Sequence[str]) -> AsyncIterator[bytes]:
        """Yield what a browser's EventSource reads: `changed` with the names of the models."""
        self._listeners += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="feed")
        known = dict(self._counts)
        try:
            yield b"retry: 2000\n\n: here\n\n"
            while not self._closed:
                news = self._news
                try:
                    await asyncio.wait_for(news.wait(), self._heartbeat_s)
                except TimeoutError:
                    yield b": here\n\n"
                    continue
                changed = [model for model in models if self._counts[model] != known[model]]
                known = dict(self._counts)
                if changed and not self._closed:
                    yield b"event: changed\ndata: " + json.dumps(changed).encode() + b"\n\n"
        finally:
            self._listeners -= 1

    async def _look(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while self._listeners and not self._closed:
                changed = await run_in_threadpool(self._compare)
                if changed and not self._closed:
                    for model in changed:
                        self._counts[model] += 1
                    news, self._news = self._news, asyncio.Event()
                    news.set()
                await asyncio.sleep(self._every_s)

    def _compare(self) -> list[str]:
        changed = []
        for model, pulse in self._pulses.items():
            try:
                now = pulse()
            except errors.MainstayError as error:
                now = f"away: {error.message}"  # pages that are open learn that nothing is known now
            if self._last.get(model, now) != now:
                changed.append(model)
            self._last[model] = now
        return changed
