"""What a load test found, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CLIENT_CPU = 0.95
"""From this share of one processor on, the client is taken to be the limit."""
CLIENT_LATE_MS = 10.0
"""So late at the 99th percentile, the client did not keep its own schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stretch of steady load."""

    connections: int
    """How many were asked over; at a constant rate, the most that were needed at once."""
    rate: float | None
    """Requests that were to begin each second; None: each connection asks as soon as it was answered."""
    seconds: float
    sent: int
    codes: Mapping[str, int]
    """How many came to what: `200`, another status, `connection` or `timeout`."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    within: float
    """Share of the answers that came within the objective's latency (0 to 1)."""
    client_late_p99_ms: float
    """How late the client itself was to begin requests that were due."""
    client_cpu: float
    """Part of one processor that the client took (0 to 1)."""

    @property
    def answered(self) -> int:
        """Return how many were answered with 200."""
        return self.codes.get("200", 0)

    @property
    def requests_per_s(self) -> float:
        """Return answers with 200 per second."""
        return self.answered / self.seconds

    @property
    def client_limits(self) -> bool:
        """Return whether the figures say more of this client than of the server."""
        return self.client_cpu >= CLIENT_CPU or self.client_late_p99_ms >= CLIENT_LATE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a stage must keep to pass."""

    availability: float = 0.999
    """Share of requests answered with 200 (0 to 1)."""
    latency_ms: float = 100.0
    latency_share: float = 0.99
    """Share of the answers within it (0 to 1)."""

    def kept(self, stage: Stage) -> bool:
        """Return whether a stage kept it; a rate that was not reached is not kept either."""
        if stage.sent == 0 or stage.answered < self.availability * stage.sent:
            return False
        return stage.within >= self.latency_share and not (stage.rate is not None and stage.client_limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load test found."""

    url: str
    model: str
    rows: int
    """Different requests that were sent in turn."""
    objective: Objective
    stages: tuple[Stage, ...] = field(default=())
    highest_rate: float | None = None
    """Highest constant rate that kept the objective (requests/s); None: none of those tried."""
