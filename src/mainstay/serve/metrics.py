"""What a worker counts, in plain numbers, added to once per batch; `api` renders them for Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from mainstay.core.calls import is_load_test

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

HELP = {
    "predictions_total": "Answered instances, by model, bundle, arm and trust.",
    "failed_rows_total": "Rows that a bundle could not answer, by model and bundle.",
    "challenger_trips_total": "Times that a worker asked a challenger no more, as it failed on most of its latest "
    "requests, by model and bundle.",
    "cache_hits_total": "Rows answered as a row with the same inputs was before, by bundle.",
    "failed_calls_total": "Predict calls that failed by no fault of the caller, or that the fallback answered in the "
    "model's place, by model and code: what an error budget counts. Load tests are left out.",
    "refusals_total": "Refused calls, by model and code.",
    "responses_total": "Responses of the hot routes, by route and status.",
    "shadow_rows_total": "Rows scored in shadow, by model and bundle.",
    "shadow_dropped_total": "Rows not scored in shadow because too many waited, by model.",
    "records_dropped_total": "Refusal records not written because too much waited.",
    "records_lost_total": 'Records that the disk did not take and that `durability = "none"` let go.',
    "hangs_total": "Model calls that passed their deadline, by bundle.",
    "runner_ends_total": "Runner processes that ended, by bundle, seat and why: crash, hang, memory, garbage, load.",
    "commit_failures_total": "Group commits that the disk did not take.",
    "ids_answered_elsewhere_total": "Rows whose id another host had answered, by model.",
    "ids_waited_total": "Times that a row waited for another host that was answering its id, by model.",
    "ids_unshared_total": "New ids answered while Redis was away: held apart within this host alone, by model.",
    "ids_store_failures_total": "Times that Redis did not answer, by model.",
    "feedback_total": "Feedback items, by model and status.",
}

OF_THE_PROCESS = frozenset({"responses_total"})
"""Counted once for all models of a process; the others are counted for each model apart."""


class Histogram:
    """Counts below bounds, and a sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Count values."""
        counts, bounds = self.counts, self.bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            self.total += value

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "sum": self.total}


class Metrics:
    """Counters and histograms of one worker. Thread-safe; meant for one call per batch, not per row."""

    def __init__(self, bound_s: float | None = None) -> None:
        """Begin at nothing. `bound_s`: a latency that the histogram of requests must tell exactly (seconds)."""
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._responses: dict[tuple[str, int], int] = {}
        bounds = LATENCY_BOUNDS_S if bound_s is None else tuple(sorted({*LATENCY_BOUNDS_S, bound_s}))
        self.latency = Histogram(bounds)
        self.load_tests = Histogram(bounds)
        self.batch_rows = Histogram(BATCH_BOUNDS)
        self.commit = Histogram(LATENCY_BOUNDS_S)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter named in HELP."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + amount

    def bring(self, name: str, total: float) -> None:
        """Bring a counter to what somebody else counts."""
        if total:
            with self._lock:
                self._counters[name, ()] = total

    def response(self, route: str, status: int) -> None:
        """Count a response of a hot route; from one thread alone, as it takes no lock."""
        self._responses[route, status] = self._responses.get((route, status), 0) + 1

    def batch(self, latencies_s: Iterable[float], rows: int, commit_s: float) -> None:
        """Note one batch: how long its calls took, how many rows they had, and how long its commit took."""
        with self._lock:
            self.latency.add(latencies_s)
            if rows:  # else it held records and feedback only
                self.batch_rows.add((rows,))
            self.commit.add((commit_s,))

    def missed(self, model: str, code: str, *, trace_id: str | None) -> None:
        """Count a predict call that failed by no fault of the caller, unless a load test made it."""
        if not is_load_test(trace_id):
            self.count("failed_calls_total", model=model, code=code)

    def load_test(self, latencies_s: Iterable[float]) -> None:
        """Note which of the calls of a batch a load test made."""
        with self._lock:
            self.load_tests.add(latencies_s)

    def as_dict(self) -> dict[str, Any]:
        """Return everything JSON-ready."""
        responses = [
            {"name": "responses_total", "labels": {"route": route, "status": str(status)}, "value": count}
            for (route, status), count in sorted(dict(self._responses).items())
        ]
        with self._lock:
            counters = [
                {"name": name, "labels": dict(labels), "value": value}
                for (name, labels), value in sorted(self._counters.items())
            ]
            return {
                "counters": [*counters, *responses],
                "histograms": {
                    "request_seconds": self.latency.as_dict(),
                    "load_test_request_seconds": self.load_tests.as_dict(),
                    "batch_rows": self.batch_rows.as_dict(),
                    "commit_seconds": self.commit.as_dict(),
                },
            }
