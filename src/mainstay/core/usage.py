"""What a server's processes used for a model, and how they fared: what cost and conditions of operation rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SLOT = timedelta(minutes=15)
"""Length of a pulse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one version used of one server in one hour; the same hour told again replaces what it told before."""

    model: str
    source: str
    """Which server, in which of its lives."""
    bundle: str
    at: datetime
    """The hour's beginning, aware UTC."""
    rows: int = 0
    """Rows that it computed: answered, and scored in shadow."""
    cpu_s: float = 0.0
    """Processor time (seconds)."""
    memory_gb_s: float = 0.0
    """Memory in RAM over time (GB · seconds)."""
    gpu_s: float = 0.0
    """Time that a GPU was busy with it (seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How one server fared with one model in one quarter of an hour; told again it replaces what it told before."""

    model: str
    source: str
    at: datetime
    calls: int = 0
    """Predict calls that were answered, without load tests."""
    bounds: Sequence[float] = ()
    """Of the latencies' histogram (seconds)."""
    counts: Sequence[int] = ()
    """Calls per bound, one more than bounds."""
    memory: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Least and most memory of each process (MB), by `name:pid`; of a GPU by `gpu name:pid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What is paid, in whatever currency."""

    cpu_hour: float = 0.0
    memory_gb_hour: float = 0.0
    gpu_hour: float = 0.0
    sources: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By name: price of a call, and calls that a computed row makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What usage costs, by what it is paid for."""

    cpu: float
    memory: float
    gpu: float
    sources: float

    @property
    def total(self) -> float:
        """Return all of it."""
        return self.cpu + self.memory + self.gpu + self.sources


def cost_of(used: Usage, prices: Prices) -> Cost:
    """Return what usage costs: price times amount, nothing else."""
    return Cost(
        cpu=used.cpu_s / 3600.0 * prices.cpu_hour,
        memory=used.memory_gb_s / 3600.0 * prices.memory_gb_hour,
        gpu=used.gpu_s / 3600.0 * prices.gpu_hour,
        sources=used.rows * sum(price * calls for price, calls in prices.sources.values()),
    )
