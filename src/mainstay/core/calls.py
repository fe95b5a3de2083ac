"""How many predict calls came, failed and were slow, minute by minute: what an error budget is counted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

FALLBACK = "fallback"
"""Why an answered call counts as failed: no model could answer in time, and the declared fallback did."""
LOAD_TEST = "10ad7e5710ad7e57"
"""Trace ids that begin so belong to `mainstay load-test`: their requests are answered and recorded as any other, and
count as nobody's traffic. By chance a trace id begins so once in 2⁶⁴."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What one server counted of one model in one minute; the same minute told again replaces what it told before."""

    model: str
    source: str
    """Which server, in which of its lives."""
    at: datetime
    """Its beginning, aware UTC."""
    calls: int
    """Calls that were answered or failed; those that were refused as the caller's own mistake are not among them."""
    failed: int
    """Of them, those that failed or that the fallback answered in a model's place."""
    slow: int
    """Of them, those answered later than the objective's latency."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many failed why, by error code or `FALLBACK`."""


def is_load_test(trace_id: str | None) -> bool:
    """Return whether a request belongs to a load test."""
    return trace_id is not None and trace_id.startswith(LOAD_TEST)
