"""How many rows may wait to be begun: as many as take `max_wait_s`, by what a row cost lately."""

from __future__ import annotations

from collections import deque

AT_LEAST_ROWS = 32
"""May wait whatever they cost: so many clients with one row each are never turned away."""
CALLERS = 256
"""So many rows may wait longer, up to `CALLERS_LONGER` times `max_wait_s`: as many clients that each wait for their
answer are a crowd and no overload."""
CALLERS_LONGER = 4
LATELY = 5
"""Batches whose median cost of a row counts: one that a busy machine or disk held up turns nobody away."""


class Pace:
    """Learns what a row costs from whole batches. For one thread.

    A batch of n rows that took t costs at most t / n a row: fixed costs (the call, the fsync) weigh in it, the more the
    smaller it is. So a small batch can only lower the estimate, unless it took longer than all that may wait.
    """

    def __init__(self, *, max_wait_s: float, max_rows: int) -> None:
        self._max_wait_s = max_wait_s
        self._max_rows = max_rows
        self._row_s: float | None = None
        self._costs: deque[float] = deque(maxlen=LATELY)
        self.room = max_rows
        """Rows that may wait."""

    def note(self, rows: int, seconds: float) -> None:
        """Note one batch."""
        if not rows:
            return
        cost = max(seconds / rows, 1e-9)
        if rows >= AT_LEAST_ROWS or seconds > self._max_wait_s:
            self._costs.append(cost)
            self._row_s = sorted(self._costs)[len(self._costs) // 2]
        elif self._row_s is not None and cost < self._row_s:
            self._costs.clear()
            self._costs.append(cost)
            self._row_s = cost
        if self._row_s is not None:
            in_time = int(self._max_wait_s / self._row_s)
            self.room = min(self._max_rows, max(AT_LEAST_ROWS, in_time, min(CALLERS, CALLERS_LONGER * in_time)))
