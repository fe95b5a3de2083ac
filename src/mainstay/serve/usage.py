"""What the worker processes use of the machine for each version, and how they fare, until the store has it.

Workers tell sums since their start, in their state files; the supervisor looks every few seconds, off any request's
way. What a process used between two looks (processor time, memory over time, GPU time) is shared out by the rows that
it computed meanwhile, of each version and of each model that the process serves; while it computed none, the champion
of each of its models has an equal part, for it is what the process waits with. A runner process is its bundle's alone.
What a worker used in its last second before it was killed is lost.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.core.ports import Clock
from mainstay.core.usage import SLOT, Pulse, Usage
from mainstay.serve.gpu import Gpus, GpuUse, NoGpus

COMPUTED = ("predictions_total", "shadow_rows_total")
"""Counters of rows, by bundle, that cost a model call."""
SHIP_EVERY = timedelta(seconds=30)
MOST_WAITING = 48
"""So many hours, and four times as many pulses, wait for a store that is away: the oldest go."""
LONGEST_GAP_S = 60.0
"""Between two looks further apart than this (a machine that slept) memory counts for so long only."""
KeepUsage = Callable[[Sequence[Usage], Sequence[Pulse]], None]
"""Brings both into the store, or raises."""
State = Mapping[str, Any]


def processor_s(pid: int) -> float | None:
    """Return the processor time that a process has used, in seconds; None where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        parts = text[text.rindex(")") + 2 :].split()  # its name may hold anything
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process at one look."""

    name: str
    pid: int
    cpu_s: float
    memory_mb: float
    rows: Mapping[str, float]
    """Computed since its start, by bundle."""
    idle: str = ""
    """Whose its time is while it computes nothing."""


@dataclass(slots=True, kw_only=True)
class _Pulse:
    """One quarter of an hour as it fills."""

    counts: list[int] = field(default_factory=list)
    bounds: tuple[float, ...] = ()
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)


class UsageMeter:
    """Measures one model. For one thread at a time."""

    def __init__(
        self,
        model: str,
        source: str,
        *,
        clock: Clock,
        keep: KeepUsage,
        gpus: Gpus | None = None,
        cpu_of: Callable[[int], float | None] = processor_s,
    ) -> None:
        self._model, self._source = model, source
        self._clock, self._keep = clock, keep
        self._gpus = gpus or NoGpus()
        self._cpu_of = cpu_of
        self._lock = threading.Lock()
        self._seen: dict[str, Process] = {}
        self._beside: dict[int, float] = {}
        self._calls: dict[tuple[str, int], list[int]] = {}
        self._hours: dict[tuple[datetime, str], Usage] = {}
        self._pulses: dict[datetime, _Pulse] = {}
        self._changed: set[Any] = set()
        self._totals: dict[str, Usage] = {}
        self._looked: float | None = None
        self._shipped_at: datetime | None = None

    def look(self, states: Iterable[State | None], beside: Iterable[State | None] = ()) -> None:
        """Add what was used since the last look, and ship when it is time.

        `beside`: the states of the same processes for the other models that they serve.
        """
        with self._lock:
            now, at = self._clock.now(), self._clock.monotonic()
            past_s = 0.0 if self._looked is None else min(max(at - self._looked, 0.0), LONGEST_GAP_S)
            self._looked = at
            told = [state for state in states if state is not None and "metrics" in state]
            others = [state for state in beside if state is not None and "metrics" in state]
            gpu = self._gpus.look()
            for state in told:
                self._add(state, others, gpu, past_s, now)
            self._beside = {pid: sum(_all_rows(others, pid)) for pid in {int(s["pid"]) for s in others}}
            if self._shipped_at is None or abs(now - self._shipped_at) >= SHIP_EVERY:
                self._ship(now)

    def close(self) -> None:
        """Ship what is left; what the store does not take now is lost."""
        if self._lock.acquire(timeout=1.0):  # else a store that hangs holds it
            try:
                self._ship(self._clock.now())
            finally:
                self._lock.release()

    def totals(self) -> list[Usage]:
        """Return what each version used since this began."""
        return [self._totals[name] for name in sorted(self._totals)]

    def _add(
        self, state: State, others: Sequence[State], gpu: Mapping[int, GpuUse], past_s: float, now: datetime
    ) -> None:
        worker, pid = str(state["worker"]), int(state["pid"])
        mine = Process(
            name=worker,
            pid=pid,
            cpu_s=self._cpu(pid, state.get("cpu_s")),
            memory_mb=float(state["rss_mb"]),
            rows=_rows(state),
            idle=self._champion(state),
        )
        same = _all_rows(others, pid)
        beside = max(0.0, sum(same) - self._beside.get(pid, 0.0))
        self._share(mine, gpu.get(pid), past_s, now, beside=beside, models=1 + len(same))
        for seat in _runners(state):
            self._share(replace(seat, cpu_s=self._cpu(seat.pid, 0.0)), gpu.get(seat.pid), past_s, now)
        self._pulse(state, gpu, now)

    def _cpu(self, pid: int, told: Any) -> float:
        seen = self._cpu_of(pid)
        return float(told or 0.0) if seen is None else seen

    def _champion(self, state: State) -> str:
        return str(next((held["champion"] for held in state["models"].values() if held.get("champion")), ""))

    def _share(
        self,
        process: Process,
        gpu: GpuUse | None,
        past_s: float,
        now: datetime,
        *,
        beside: float = 0.0,
        models: int = 1,
    ) -> None:
        """Share out what a process used since the last look."""
        known = self._seen.get(process.name)
        before = known if known is not None and known.pid == process.pid else None
        self._seen[process.name] = process
        rows = {
            bundle: count - (before.rows.get(bundle, 0.0) if before else 0.0) for bundle, count in process.rows.items()
        }
        rows = {bundle: count for bundle, count in rows.items() if count > 0}
        cpu_s = max(0.0, process.cpu_s - (before.cpu_s if before else 0.0))
        every = sum(rows.values()) + beside
        shares = {bundle: count / every for bundle, count in rows.items()}
        if not every and process.idle:
            shares = {process.idle: 1.0 / models}
        gb_s = process.memory_mb / 1e3 * past_s
        for bundle, share in shares.items():
            more = Usage(
                model=self._model,
                source=self._source,
                bundle=bundle,
                at=now.replace(minute=0, second=0, microsecond=0),
                rows=int(rows.get(bundle, 0)),
                cpu_s=cpu_s * share,
                memory_gb_s=gb_s * share,
                gpu_s=(gpu.busy if gpu is not None else 0.0) * past_s * share,
            )
            self._note(more)

    def _note(self, more: Usage) -> None:
        place = (more.at, more.bundle)
        self._hours[place] = _sum(self._hours.get(place), more)
        self._totals[more.bundle] = _sum(self._totals.get(more.bundle), more)
        self._changed.add(place)

    def _pulse(self, state: State, gpu: Mapping[int, GpuUse], now: datetime) -> None:
        """Count answered calls by how long they took, and note how much memory each process holds."""
        slot = now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
        pulse = self._pulses.setdefault(slot, _Pulse())
        every, tests = (state["metrics"]["histograms"][n] for n in ("request_seconds", "load_test_request_seconds"))
        counts = [all_ - load for all_, load in zip(every["counts"], tests["counts"], strict=True)]
        who = (str(state["worker"]), int(state["pid"]))
        before = self._calls.get(who, [0] * len(counts))
        self._calls = {known: held for known, held in self._calls.items() if known[0] != who[0]} | {who: counts}
        fresh = [max(0, one - was) for one, was in zip(counts, before, strict=True)]
        pulse.bounds = tuple(every["bounds"])
        pulse.counts = [a + b for a, b in zip(pulse.counts or [0] * len(fresh), fresh, strict=True)]
        processes = [Process(name=who[0], pid=who[1], cpu_s=0.0, memory_mb=float(state["rss_mb"]), rows={})]
        for process in (*processes, *_runners(state)):
            _widen(pulse.memory, f"{process.name}:{process.pid}", process.memory_mb)
            if process.pid in gpu:
                _widen(pulse.memory, f"gpu {process.name}:{process.pid}", gpu[process.pid].memory_mb)
        self._changed.add(slot)

    def _ship(self, now: datetime) -> None:
        self._shipped_at = now
        if not self._changed:
            return
        hours = sorted(place for place in self._changed if isinstance(place, tuple))
        slots = sorted(place for place in self._changed if not isinstance(place, tuple))
        try:
            self._keep([self._hours[place] for place in hours], [self._told(slot) for slot in slots])
        except MainstayError:  # told elsewhere: the state says that the store is away
            self._changed -= {place for place in hours if place[0] < now - timedelta(hours=MOST_WAITING)}
            self._changed -= set(slots[: -4 * MOST_WAITING])
        else:
            self._changed.clear()
        hour = now.replace(minute=0, second=0, microsecond=0)
        self._hours = {p: held for p, held in self._hours.items() if p in self._changed or p[0] == hour}
        self._pulses = {at: held for at, held in self._pulses.items() if at in self._changed or now - at < SLOT}

    def _told(self, slot: datetime) -> Pulse:
        held = self._pulses[slot]
        return Pulse(
            model=self._model,
            source=self._source,
            at=slot,
            calls=sum(held.counts),
            bounds=held.bounds,
            counts=tuple(held.counts),
            memory=dict(held.memory),
        )


def _rows(state: State) -> dict[str, float]:
    """Return the rows that a worker computed of each bundle since its start."""
    found: Counter[str] = Counter()
    for counter in state["metrics"]["counters"]:
        if counter["name"] in COMPUTED:
            found[str(counter["labels"]["bundle"])] += counter["value"]
    return dict(found)


def _all_rows(states: Sequence[State], pid: int) -> list[float]:
    """Return how many rows a process computed since its start, for each of some models."""
    return [sum(_rows(state).values()) for state in states if int(state["pid"]) == pid]


def _runners(state: State) -> list[Process]:
    """Return the runner processes of a worker's bundles."""
    found = []
    for held in state["models"].values():
        for runner in held.get("runners", ()):
            for name, seat in runner["seats"].items():
                pid = seat.get("pid")
                if pid:
                    who = f"{state['worker']} {runner['bundle']} {name}"
                    memory = float(seat.get("rss_mb") or 0.0)
                    found.append(
                        Process(name=who, pid=int(pid), cpu_s=0.0, memory_mb=memory, rows={}, idle=runner["bundle"])
                    )
    return found


def _widen(spans: dict[str, tuple[float, float]], name: str, value: float) -> None:
    least, most = spans.get(name, (value, value))
    spans[name] = (min(least, value), max(most, value))


def _sum(held: Usage | None, more: Usage) -> Usage:
    if held is None:
        return more
    return replace(
        held,
        rows=held.rows + more.rows,
        cpu_s=held.cpu_s + more.cpu_s,
        memory_gb_s=held.memory_gb_s + more.memory_gb_s,
        gpu_s=held.gpu_s + more.gpu_s,
    )
