"""Counts of a worker, and those that somebody else keeps."""

from __future__ import annotations

from mainstay.api.metrics import render
from mainstay.serve.metrics import Metrics


def told(metrics: Metrics) -> list[str]:
    state = {"worker": "w0", "rss_mb": 1.0, "models": {"shop": {"epoch": 1}}, "metrics": metrics.as_dict()}
    return [line for line in render([state]).decode().splitlines() if line.startswith("mainstay_records_lost_total")]


def test_records_that_the_writer_let_go_are_told_as_it_counts_them() -> None:
    metrics = Metrics()
    metrics.bring("records_lost_total", 0)
    assert told(metrics) == []
    for lost in (3, 3, 5):
        metrics.bring("records_lost_total", lost)
    assert told(metrics) == ['mainstay_records_lost_total{model="shop",worker="w0"} 5.0']
