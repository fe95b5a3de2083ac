"""Trying again: exponential back-off with full jitter, and what the server says in Retry-After."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mainstay.core.errors import EnvironmentFault
from mainstay.core.ports import Clock

BASE_S, CAP_S = 0.5, 60.0
LONGEST_S = 300.0
"""A server that asks for a longer rest is given up on for now."""
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be answered."""


class Busy(Exception):
    """The other side did not answer and may later."""

    def __init__(self, why: str, *, wait_s: float | None = None) -> None:
        self.wait_s = wait_s
        super().__init__(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long."""

    attempts: int
    clock: Clock
    luck: random.Random

    def of(self, act: Callable[[], bytes], what: str) -> bytes:
        """Return what `act` returns, trying again while it is Busy; EnvironmentFault when it stays so."""
        for number in range(1, self.attempts + 1):
            try:
                return act()
            except Busy as busy:
                if number == self.attempts or (busy.wait_s is not None and busy.wait_s > LONGEST_S):
                    asks = f"; it asks to wait {busy.wait_s:g} s" if busy.wait_s else ""
                    tries = f"{number} tries" if number > 1 else "one try"
                    raise EnvironmentFault(f"{what} did not answer in {tries}: {busy}{asks}") from busy
                self.clock.sleep(self.pause_s(number, busy.wait_s))
        raise AssertionError("unreachable")  # pragma: no cover

    def pause_s(self, number: int, asked_s: float | None) -> float:
        """Return how long to rest before try `number` + 1: what the server asks, else evenly from 0 to base · 2ⁿ⁻¹."""
        if asked_s is not None:
            return asked_s + self.luck.random()  # jitter, so that many clients do not come back together
        return self.luck.uniform(0.0, min(CAP_S, BASE_S * 2.0 ** (number - 1)))


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or an HTTP date; None where it says nothing."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
