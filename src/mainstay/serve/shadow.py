"""Shadow: after a batch was answered, the other side of each pair is scored too, in a thread of its own.

So a rollout is judged on pairs, whichever arm a row was served by. Both sides are timed here, one right after the other
and in turns first, on copies of their own: under the same load on the same rows their call times can be compared, which
a served call and a later one cannot. Nothing here delays an answer; when too many rows wait, groups are let go and
counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from mainstay.core.contracts import Pii, Role
from mainstay.core.errors import RunnerFailed
from mainstay.core.events import Arm, Event, Kind, PairedAnswer
from mainstay.core.ports import Clock
from mainstay.journal import personal
from mainstay.models.answers import Answer, answer
from mainstay.serve.arms import values_for
from mainstay.serve.live import Live, Side
from mainstay.serve.metrics import Metrics
from mainstay.serve.rows import Call, MakeEvent, Row

WAITING_ROWS = 4096


@dataclass(slots=True, eq=False, kw_only=True)
class Group:
    """Rows that one bundle served in one call, and the bundle that is to be scored beside it."""

    live: Live
    other: Side
    rows: list[tuple[Call, Row]]


def _segments(live: Live, row: Row) -> dict[str, Any]:
    """Return what the row's record holds of the fields that make segments: a rollout is judged for each of them."""
    held = row.event.inputs if row.event is not None else {}
    fields = live.champion.loaded.contract.with_role(Role.SEGMENT) if held else ()
    return {field.name: held[field.name] for field in fields if field.name in held and field.pii is Pii.KEEP}


@dataclass(slots=True, kw_only=True)
class _Scored:
    answers: Sequence[Answer | None]
    failures: Sequence[str | None]
    call_us: int


def groups_of(calls: Sequence[Call], rows: Callable[[Call], Sequence[Row]]) -> list[Group]:
    """Return what is to be scored for a batch: for each row, every side of its route but the one that served it."""
    found: dict[tuple[int, str, str], Group] = {}
    for call in calls:
        live = call.live
        if live is None or (live.challenger is None and live.shadow is None):
            continue
        for row in rows(call):
            for other in _others(live, row):
                served = row.side.ref.digest if row.side is not None else ""
                group = found.setdefault((id(live), served, other.ref.digest), Group(live=live, other=other, rows=[]))
                group.rows.append((call, row))
    return list(found.values())


def _others(live: Live, row: Row) -> list[Side]:
    served = row.side.ref.digest if row.side is not None and row.served is not Arm.FALLBACK else ""
    sides: dict[str, Side] = {}
    for side in (live.challenger, live.shadow, live.champion):
        if side is not None and side.ref.digest != served:
            sides.setdefault(side.ref.digest, side)
    if not served:
        sides.pop(live.champion.ref.digest, None)  # the champion failed already: it has no pair with itself
    return list(sides.values())


class Shadow:
    """Scores groups in its own thread and hands the records on."""

    def __init__(self, *, worker: str, clock: Clock, metrics: Metrics, hand_on: Callable[[MakeEvent], None]) -> None:
        self._worker = worker
        self._clock = clock
        self._metrics = metrics
        self._hand_on = hand_on
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._waiting = 0
        self._count = threading.Lock()
        self._turns = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Score what waits, then end the thread; give up on it after `timeout_s`."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)

    def offer(self, groups: Sequence[Group]) -> None:
        """Queue groups; those that do not fit are let go."""
        for group in groups:
            with self._count:
                fits = self._waiting + len(group.rows) <= WAITING_ROWS
                self._waiting += len(group.rows) if fits else 0
            if fits:
                self._queue.put(group)
            else:
                self._metrics.count("shadow_dropped_total", len(group.rows), model=group.live.route.model)

    def _run(self) -> None:
        while (group := self._queue.get()) is not None:
            try:
                self.score(group)
            except Exception:  # noqa: BLE001 - edge: shadow scoring may fail, serving may not
                self._metrics.count("shadow_dropped_total", len(group.rows), model=group.live.route.model)
            with self._count:
                self._waiting -= len(group.rows)

    def score(self, group: Group) -> None:
        """Score one group and hand its records on."""
        rows = [row for _, row in group.rows]
        served = rows[0].side if rows[0].served is not Arm.FALLBACK else None
        self._turns += 1
        if served is None:
            other, beside_us = self._call(group.live, group.other, rows), 0
        elif self._turns % 2:
            other = self._call(group.live, group.other, rows)
            beside_us = self._call(group.live, served, rows).call_us
        else:
            beside_us = self._call(group.live, served, rows).call_us
            other = self._call(group.live, group.other, rows)
        self._metrics.count("shadow_rows_total", len(rows), bundle=group.other.name)
        for (call, row), given, why in zip(group.rows, other.answers, other.failures, strict=True):
            self._hand_on(self._record(group, call, row, given, why, (other.call_us, beside_us)))

    def _call(self, live: Live, side: Side, rows: Sequence[Row]) -> _Scored:
        """Score rows with a bundle's own copy; rows that fail in a batch are tried alone."""
        known = [_failed_already(live, side, row) for row in rows]
        fresh = [row for row, why in zip(rows, known, strict=True) if why is None]
        if side.twin.outside is not None:
            side.twin.outside.get_ready()  # what is timed below is the call, not the start of a process
        began = self._clock.monotonic()
        try:
            given: list[Answer | None] = list(answer(side.twin, [values_for(live, side, row) for row in fresh]))
            failures: list[str | None] = [None] * len(fresh)
        except Exception as error:  # noqa: BLE001 - edge: a model may raise anything; that is what shadow is to find out
            if len(rows) > 1 and not isinstance(error, RunnerFailed):
                singles = [self._call(live, side, [row]) for row in rows]
                return _Scored(
                    answers=[one.answers[0] for one in singles],
                    failures=[one.failures[0] for one in singles],
                    call_us=max(one.call_us for one in singles),
                )
            given = [None] * len(fresh)
            failures = [personal.why(error, live.champion.loaded.contract)] * len(fresh)
        call_us = int((self._clock.monotonic() - began) * 1e6)
        answers, whys = iter(given), iter(failures)
        return _Scored(
            answers=[next(answers) if why is None else None for why in known],
            failures=[next(whys) if why is None else why for why in known],
            call_us=call_us,
        )

    def _record(
        self, group: Group, call: Call, row: Row, given: Answer | None, why: str | None, times: tuple[int, int]
    ) -> MakeEvent:
        side, served = row.done()
        paired = PairedAnswer(
            bundle=side.name,
            served_arm=row.served,
            label=served.label,
            confidence=served.confidence,
            trust=served.trust,
            latency_us=times[1],
            failed=row.served is Arm.FALLBACK,
            drawn=row.event is not None and row.event.explored is not None and row.event.explored.drawn,
        )
        segments = _segments(group.live, row)
        id_, name, epoch = row.event.id if row.event else "", group.other.name, group.live.route.epoch

        def make(seq: int) -> Event:
            return Event(
                model=call.model,
                worker=self._worker,
                seq=seq,
                id=id_,
                kind=Kind.SHADOW,
                occurred_at=row.occurred_at,
                received_at=call.received_at,
                bundle=name,
                assigned_arm=row.assigned,
                key_hash=row.key_hash,
                unit=row.unit,
                inputs=segments,
                label=given.label if given else None,
                probabilities=given.probabilities if given else {},
                confidence=given.confidence if given else None,
                trust=given.trust if given else None,
                warnings=list(given.caveats) if given else [],
                latency_us=times[0],
                status=200 if given else 500,
                reason=why,
                trace_id=call.trace_id,
                route_epoch=epoch,
                paired=paired,
            )

        return make


def _failed_already(live: Live, side: Side, row: Row) -> str | None:
    """Return why this bundle could not answer the row when it was served: it is not asked a second time."""
    if side is live.challenger:
        return row.failures.get(Arm.CHALLENGER)
    if side is live.champion:
        return row.failures.get(Arm.CHAMPION)
    return None
