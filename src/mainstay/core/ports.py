"""What the parts need from outside, as protocols; `wiring.py` alone chooses the concrete classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable


class Clock(Protocol):
    """The only source of time, in every process; a simulated clock can drive them all."""

    def now(self) -> datetime:
        """Return the time as an aware datetime in UTC."""

    def time_ns(self) -> int:
        """Return the same time as nanoseconds since 1970 (for hot paths)."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""

    def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""


@runtime_checkable
class Predictor(Protocol):
    """A loaded model: rows in, answers out. Deterministic and row-wise; thread-safe for one caller at a time."""

    classes: Sequence[Any]
    """Class labels in the order of the probability columns; empty for regression."""

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return probabilities, float64 of shape (n, classes); for regression values of shape (n,)."""


class Notifier(Protocol):
    """Delivers one alert to one address; raises on failure (the outbox retries)."""

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        """Deliver; the same `alert_id` may come again."""


class Progress(Protocol):
    """Tells a person how far long work is."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps are done, and the name of the one that runs."""


def silent(step: str, done: int, total: int) -> None:
    """Report nothing."""


IdMaker = Callable[[], str]
"""Returns a new unique id."""
