"""Time one row's answer on the real artefact, opened from disk as the server opens it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstay.core.ports import Clock
from mainstay.models import answers, bundle, load

ROWS = 150
ROUNDS = 3
WARM_UP = 20


def latencies_ms(path: Path, digest: str, rows: Sequence[Mapping[str, Any]], clock: Clock) -> list[float]:
    """Return the milliseconds of `ROWS` single-row answers after a warm-up; rows repeat when there are fewer.

    Of `ROUNDS` rounds the one with the quickest 99th percentile counts: what else runs on the machine can only slow the
    artefact down, and the question is about the artefact. No row gives no latency. Raises Damaged when the artefact is
    not what its digest says.
    """
    if not rows:
        return []
    model = load.load(bundle.open_bundle(path, digest))
    _round(model, rows, WARM_UP, clock)
    return min((_round(model, rows, ROWS, clock) for _ in range(ROUNDS)), key=_p99)


def _round(model: load.LoadedModel, rows: Sequence[Mapping[str, Any]], count: int, clock: Clock) -> list[float]:
    out = []
    for number in range(count):
        start = clock.monotonic()
        answers.answer(model, [rows[number % len(rows)]])
        out.append((clock.monotonic() - start) * 1000.0)
    return out


def _p99(latencies: Sequence[float]) -> float:
    return sorted(latencies)[math.ceil(0.99 * len(latencies)) - 1]
