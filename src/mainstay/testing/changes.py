"""A change at a known row, run through the watch's evidence until it is found: for simulations of what is then told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from mainstay.core.profiles import BINS
from mainstay.stats import bank as banks
from mainstay.stats import evidence
from mainstay.stats.scores import score_table, score_variances
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.onset import Onset, onset

START = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOG_BAR = float(np.log(30.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A change that was found."""

    onset: Onset
    began: datetime
    """When it really began."""
    blocks: int
    """Blocks from the one in which it began to the alarm."""

    @property
    def covered(self) -> bool:
        """Return whether it really began within the interval."""
        return self.onset.low <= self.began <= self.onset.high


def found_change(
    rng: np.random.Generator,
    *,
    shift: float,
    reference: int = 2_000,
    rows: int = 100,
    columns: int = 10,
    most_blocks: int = 60,
) -> Found | None:
    """Shift one of some independent normal columns from a row drawn at random on; tell its onset at the alarm.

    A row comes each minute. `shift` in standard deviations. None: an alarm before the change, or none at all.
    """
    laws = [_Column(rng, reference, 1.0 / columns) for _ in range(columns)]
    bank = banks.make([law.stream for law in laws])
    width = sum(law.stream.width for law in laws) + 1
    state = WatchState(model="m", bundle="m@1", history=evidence.History(totals=np.zeros(width)))
    change = int(rng.integers(5 * rows, 20 * rows))
    for block in range(change // rows + most_blocks):
        first = block * rows
        is_changed = np.arange(first, first + rows) >= change
        counted = [law.count(rng, shift * is_changed if i == 0 else np.zeros(rows)) for i, law in enumerate(laws)]
        days = rows * MINUTE / timedelta(days=1)
        kept = state.history.add(np.concatenate([*counted, [rows]]), days)
        times = [*state.since, START + first * MINUTE]
        state.since = [moment for moment, keep in zip(times, kept, strict=True) if keep]
        state.last_at = START + (first + rows - 1) * MINUTE
        assessment = evidence.assess(bank, state.history, evidence.Material())
        plan: Any = SimpleNamespace(bank=bank)
        comparison = Comparison(plan=plan, assessment=assessment, log_bar=LOG_BAR, units=rows)
        if comparison.alarm:
            if first + rows <= change:
                return None
            told = onset(state, comparison, now=state.last_at)
            return Found(onset=told, began=START + change * MINUTE, blocks=block - change // rows + 1)
    return None


class _Column:
    """A normal column against a reference drawn anew."""

    def __init__(self, rng: np.random.Generator, reference: int, weight: float) -> None:
        sample = np.sort(rng.standard_normal(reference))
        self.cuts = np.unique(np.quantile(sample, np.arange(1, BINS) / BINS, method="inverted_cdf"))
        counts = np.bincount(np.searchsorted(self.cuts, sample, side="right"), minlength=len(self.cuts) + 1)
        self.table = score_table(counts.tolist())
        self.stream = evidence.NumericStream(
            weight=weight, rows=float(reference), variances=score_variances(counts.tolist())
        )

    def count(self, rng: np.random.Generator, shifts: Any) -> Any:
        """Return the columns of one block."""
        out = np.zeros(self.stream.width)
        values = rng.standard_normal(len(shifts)) + shifts
        out[0] = len(values)
        out[1:5] = self.table[np.searchsorted(self.cuts, values, side="right")].sum(axis=0)
        return out
