"""Time one row's answer on the real artefact, opened from disk as the server opens it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstay.core.ports import Clock
from mainstay.models import answers, bundle, load

ROWS = 300
WARM_UP = 20


def latencies_ms(path: Path, digest: str, rows: Sequence[Mapping[str, Any]], clock: Clock) -> list[float]:
    """Return the milliseconds of `ROWS` single-row answers after a warm-up; rows repeat when there are fewer.

    No row gives no latency. Raises Damaged when the artefact is not what its digest says.
    """
    if not rows:
        return []
    model = load.load(bundle.open_bundle(path, digest))
    out = []
    for number in range(WARM_UP + ROWS):
        start = clock.monotonic()
        answers.answer(model, [rows[number % len(rows)]])
        out.append((clock.monotonic() - start) * 1000.0)
    return out[WARM_UP:]
