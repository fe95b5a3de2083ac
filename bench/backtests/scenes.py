"""A stream with a change at a known row, replayed many times: found or not, after how many requests, and what else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mainstay.backtest.entry import of_file
from mainstay.backtest.records import Known, Report, Told
from mainstay.core.incidents import SEVERITY_ORDER, Severity

START = datetime(2026, 3, 2, tzinfo=UTC)
TIME = "at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one replay told."""

    before: tuple[Told, ...]
    """Incidents from before the change: false ones."""
    found: Told | None
    """The first incident that belongs to the change."""
    delay_rows: int | None
    loud_rows: int | None
    """Requests until it was a warning or a page; None: it stayed a note."""
    more: int
    """Incidents beside the first one after the change."""
    report: Report


@dataclass(slots=True, kw_only=True)
class Line:
    """Many replays of one case."""

    case: str
    replays: int = 0
    rows: int = 0
    """Requests replayed without a change, in all."""
    false: int = 0
    false_loud: int = 0
    delays: list[int] = field(default_factory=list)
    loud: list[int] = field(default_factory=list)
    more: int = 0
    titles: dict[str, int] = field(default_factory=dict)

    def add(self, seen: Seen, *, quiet: int) -> None:
        """Count one replay, of which the first `quiet` requests are without a change."""
        self.replays += 1
        self.rows += quiet
        self.false += len(seen.before)
        self.false_loud += sum(is_loud(one) for one in seen.before)
        self.more += seen.more
        if seen.found is not None and seen.delay_rows is not None:
            self.delays.append(seen.delay_rows)
            title = seen.found.last_title
            self.titles[title] = self.titles.get(title, 0) + 1
        if seen.loud_rows is not None:
            self.loud.append(seen.loud_rows)

    def as_dict(self, *, change: bool) -> dict[str, Any]:
        """Return the figures."""
        out: dict[str, Any] = {
            "case": self.case,
            "replays": self.replays,
            "quiet_rows": self.rows,
            "false_incidents": self.false,
            "false_loud": self.false_loud,
        }
        if change:
            out |= {
                "missed": self.replays - len(self.delays),
                "delay_rows_median": quantile(self.delays, self.replays, 0.5),
                "delay_rows_90": quantile(self.delays, self.replays, 0.9),
                "only_a_note": self.replays - len(self.loud),
                "loud_rows_median": quantile(self.loud, self.replays, 0.5),
                "loud_rows_90": quantile(self.loud, self.replays, 0.9),
                "further_incidents": self.more,
                "told_as": dict(sorted(self.titles.items(), key=lambda pair: -pair[1])[:3]),
            }
        return out


def quantile(values: Sequence[int], runs: int, q: float) -> int | None:
    """Return the quantile over all runs, misses as infinitely late; None where it is a miss."""
    place = int(np.ceil(q * runs)) - 1
    ordered = sorted(values)
    return ordered[place] if 0 <= place < len(ordered) else None


def is_loud(one: Told) -> bool:
    """Return whether an incident became more than a note."""
    return one.severity is not Severity.NOTE


def stamped(frame: pl.DataFrame, *, per_hour: float) -> pl.DataFrame:
    """Give rows a time, one after the other at an even pace."""
    step = timedelta(hours=1.0 / per_hour)
    return frame.with_columns(pl.Series(TIME, [START + number * step for number in range(frame.height)]))


def labelled_at_first(frame: pl.DataFrame, label: str, rows: int) -> pl.DataFrame:
    """Return rows of which only the first have a label: the reference has them, traffic has none."""
    place = pl.int_range(frame.height)
    return frame.with_columns(pl.when(place < rows).then(pl.col(label)).otherwise(None).alias(label))


def replay(frame: pl.DataFrame, *, reference: int, change: int | None, per_hour: float = 200.0, **options: Any) -> Seen:
    """Replay rows of which the first `reference` are the reference and those from `change` on are changed."""
    timed = stamped(frame, per_hour=per_hour)
    at = timed[TIME]
    known = [] if change is None else [Known(name="change", start=at[change], end=None)]
    options.setdefault("every", "live")
    report = of_file(timed, time=TIME, reference=at[reference].isoformat(), known=known, **options)
    if change is None:
        return Seen(before=report.told, found=None, delay_rows=None, loud_rows=None, more=0, report=report)
    start = at[change]
    before = tuple(one for one in report.told if one.opened_at < start)
    after = [one for one in report.told if one.opened_at >= start]
    found = report.known[0] if report.known else None
    told = None if found is None or found.by is None else next(o for o in report.told if o.number == found.by)
    louds = [
        m.at
        for one in report.told
        for m in one.alerts
        if m.at >= start and SEVERITY_ORDER.index(m.severity) > SEVERITY_ORDER.index(Severity.NOTE)
    ]
    loud = None if not louds else int(((at >= start) & (at <= min(louds))).sum())
    delay = None if found is None else found.delay_rows
    return Seen(before=before, found=told, delay_rows=delay, loud_rows=loud, more=max(len(after) - 1, 0), report=report)


def many(
    case: str,
    draw: Callable[[np.random.Generator], pl.DataFrame],
    *,
    seeds: int,
    reference: int,
    change: int | None,
    **options: Any,
) -> tuple[dict[str, Any], Seen | None]:
    """Replay `seeds` draws of a case; return the figures and the last replay."""
    line, seen = Line(case=case), None
    for seed in range(seeds):
        frame = draw(np.random.default_rng([seed, len(case)]))
        seen = replay(frame, reference=reference, change=change, **options)
        line.add(seen, quiet=(frame.height if change is None else change) - reference)
    return line.as_dict(change=change is not None), seen


def show(lines: Sequence[dict[str, Any]]) -> None:
    """Print figures, one line a case."""
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))


def keep(name: str, value: Any, folder: Path | None) -> None:
    """Write a result where it is wanted."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False, default=str)
        (folder / name).write_text(text + "\n", encoding="utf-8")
