"""Work beside the thread that reads: sorting and sums over long arrays let other threads go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

Made = TypeVar("Made")
MOST_THREADS = 2
KEPT_BYTES = 31 << 20
"""A freed block of this size, just below glibc's limit of 32 MiB, makes it keep what is freed for what comes next."""


def at_once(make: Callable[[], Made]) -> Callable[[], Made]:
    """Do something now; what is returned gives it."""
    made = make()
    return lambda: made


class Beside:
    """Two threads where there are processors for them; with one processor everything is done at once, in turn."""

    def __init__(self, processors: int | None = None) -> None:
        found = processors or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
        threads = min(MOST_THREADS, found or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compare") if threads > 1 else None
        # Without, each column's arrays of a megabyte are given back and asked for again, page after page: a sixth of a
        # first report's time. Nothing is written into the block, so that it takes no memory.
        np.empty(KEPT_BYTES, dtype=np.uint8)

    def start(self, make: Callable[[], Made]) -> Callable[[], Made]:
        """Begin something; what is returned waits for it, and raises what it raised."""
        return at_once(make) if self._pool is None else self._pool.submit(make).result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for what runs; what waits is dropped where something failed."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)
