"""How a version fared in a server of its own, before anybody was answered by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.core.verdicts import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of single-row requests, one after the other on one connection."""

    answered_ms: Sequence[float]
    """Milliseconds of each request, sent to answered."""
    empty_ms: Sequence[float] = ()
    """The same of requests in between that ask nothing of the model: what the machine and HTTP alone took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a version in a worker process, over HTTP on loopback."""

    answers: Check
    """Whether it answered there as it did here."""
    rounds: Sequence[Round] = ()
    per_second: float | None = None
    """Single-row requests answered in a second, several connections at once, the client on the same machine."""
    memory_mb: float | None = None
    """In RAM, worker and runners, beyond what the worker took before it loaded the version."""
    empty_mb: float | None = None
    """What the worker took before."""
    cold_s: float | None = None
    """From the start of the process until it was ready to answer (seconds)."""
