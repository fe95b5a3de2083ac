"""Asking a model on a page: one at a time in this process, behind everything else that the machine has to do."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TypeVar

from mainstay.core import errors

T = TypeVar("T")
NICE = 10
"""By how much the thread steps back behind those of the servers (Linux knows a priority for each thread)."""
WAIT_S = 20.0
"""How long somebody waits for his turn."""
_turn = threading.Lock()


def ask(act: Callable[[], T], *, wait_s: float = WAIT_S) -> T:
    """Return what `act` returns, computed when no other is; raises what it raises, Overloaded when others take long."""
    if not _turn.acquire(timeout=wait_s):
        raise errors.Overloaded(
            f"another request is being asked again since more than {wait_s:g} s",
            remedy="Try again in a minute, or ask on the command line: mainstay explain, mainstay replay.",
        )
    try:
        return _thread().submit(act).result()
    finally:
        _turn.release()


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="ask", initializer=_step_back)


def _step_back() -> None:
    if sys.platform == "linux":
        with suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, min(os.getpriority(os.PRIO_PROCESS, me) + NICE, 19))
