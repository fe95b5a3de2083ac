"""route and predict: each row to its arm, each arm's rows through its bundle, and who answers when a bundle cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from mainstay.core.errors import MainstayError, RunnerFailed
from mainstay.core.events import Arm, Trust
from mainstay.core.fallbacks import ABSTAINED, FallbackTo, OnAbstain
from mainstay.core.ports import Clock
from mainstay.core.routes import is_held_back, pick_arm
from mainstay.journal import personal
from mainstay.models.answers import Answer, answer
from mainstay.serve.cache import Cache
from mainstay.serve.live import Live, Side
from mainstay.serve.metrics import Metrics
from mainstay.serve.pending import Abandoned, Turn
from mainstay.serve.rows import Row
from mainstay.serve.trips import Trips

POISON_TRIES = 8
"""So many rows one after the other may fail alone before the bundle is taken to fail for all of a batch."""
RUNNER = "runner: "
"""Begins why a bundle outside the worker could not answer because of its runner."""
HANGS = "deadline: a call of this bundle passed its deadline and has not come back"


class BreaksContract(MainstayError):
    """The row breaks the contract of this bundle."""

    code = "contract_violation"


class Arms:
    """Answers rows. For one batch at a time."""

    def __init__(self, clock: Clock, metrics: Metrics, cache: Cache | None = None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._cache = cache
        self.trips = Trips()

    def answer(self, live: Live, rows: Sequence[Row], turn: Turn, now: datetime) -> None:
        """Give each row its arm and its answer; a row that nothing could answer is left without one.

        The arm follows from the hash of the key, so that the journal alone shows whether it was right.
        """
        for row in rows:
            row.restart(pick_arm(live.route, row.key_hash, now))
        for_challenger = [row for row in rows if row.assigned is Arm.CHALLENGER]
        if for_challenger and live.route.held_back:
            for_challenger = _without_held_back(live, for_challenger)
        if for_challenger and live.challenger is not None:
            self._challenge(live, live.challenger, for_challenger, turn)
        if live.route.holdout > 0.0 and live.previous is not None:
            held_out = [row for row in rows if row.assigned is Arm.HOLDOUT]
            if held_out:
                self._score(live, live.previous, Arm.HOLDOUT, held_out, turn)
        for_champion = [row for row in rows if row.answer is None]
        if for_champion:
            self._score(live, live.champion, Arm.CHAMPION, for_champion, turn)
        unanswered = [row for row in rows if row.answer is None]
        if unanswered:
            self._fall_back(live, unanswered, turn)
        if live.champion.loaded.thresholds.on_abstain is OnAbstain.FALLBACK:
            self._stand_in(live, [row for row in rows if row.answer and row.answer.trust is Trust.ABSTAIN], turn)

    def _challenge(self, live: Live, side: Side, rows: Sequence[Row], turn: Turn) -> None:
        """Let the challenger answer its rows, unless it failed on most of those before: then the champion does."""
        trip = self.trips.of(live)
        if trip.why:
            for row in rows:
                row.failures[Arm.CHALLENGER] = trip.why
            return
        self._score(live, side, Arm.CHALLENGER, rows, turn)
        if trip.note([row.answer is None for row in rows]):
            self._metrics.count("challenger_trips_total", bundle=side.name)

    def _fall_back(self, live: Live, rows: Sequence[Row], turn: Turn) -> None:
        """Answer rows that have no answer as the champion's bundle declares; what it says nothing of has none."""
        fallback, previous = live.champion.loaded.fallback, live.previous
        if fallback.to is FallbackTo.PREVIOUS and previous is not None:
            self._score(live, previous, Arm.PREVIOUS, rows, turn)
        for row in rows:
            if row.answer is None and (given := fallback.answer(row.values)) is not None:
                row.answer, row.side, row.served = given, live.champion, Arm.FALLBACK

    def _stand_in(self, live: Live, rows: Sequence[Row], turn: Turn) -> None:
        """Let the fallback answer where a model abstained; where it cannot, the model's answer stands."""
        asked = [row for row in rows if row.served in (Arm.CHAMPION, Arm.CHALLENGER)]
        others = [_unanswered(row) for row in asked]
        if others:
            self._fall_back(live, others, turn)
        for row, other in zip(asked, others, strict=True):
            if other.answer is None or (other.served is Arm.PREVIOUS and other.answer.trust is Trust.ABSTAIN):
                continue
            if other.served is Arm.FALLBACK and row.answer is not None:
                other.caveats = (*row.caveats, *row.answer.caveats)  # why the model abstained
            row.instead = other

    def _score(self, live: Live, side: Side, arm: Arm, rows: Sequence[Row], turn: Turn) -> None:
        """Answer `rows` with one bundle; note why where it cannot."""
        if turn.hangs(side.ref.digest):
            for row in rows:
                row.failures[arm] = HANGS
        else:
            self._try(live, side, arm, rows, turn)
        failed = sum(row.answer is None for row in rows)
        if failed:
            self._metrics.count("failed_rows_total", failed, bundle=side.name)

    def _try(self, live: Live, side: Side, arm: Arm, rows: Sequence[Row], turn: Turn) -> None:
        began = self._clock.monotonic()
        try:
            values = [values_for(live, side, row) for row in rows]
            answers = self._answers(side, values, turn)
        except Abandoned:
            raise
        except RunnerFailed as error:
            for row in rows:  # all of them were under way when it ended: none is tried alone, which would end it again
                row.failures[arm] = f"{RUNNER}{error.message}"[:300]
            return
        except Exception as error:  # noqa: BLE001 - edge: a model may raise anything; its rows have other ways to an answer
            if len(rows) == 1:
                rows[0].failures[arm] = personal.why(error, live.champion.loaded.contract)
            else:
                self._one_by_one(live, side, arm, rows, turn)
            return
        call_us = int((self._clock.monotonic() - began) * 1e6)
        for row, given in zip(rows, answers, strict=True):
            row.answer, row.side, row.served, row.call_us, row.batch = given, side, arm, call_us, len(rows)

    def _answers(self, side: Side, values: Sequence[Mapping[str, Any]], turn: Turn) -> list[Answer]:
        def ask(rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
            # A runner keeps the deadline itself: nobody has to be abandoned for it.
            with turn.call(side.ref.digest) if side.loaded.outside is None else nullcontext():
                return answer(side.loaded, rows)

        if self._cache is None:
            return ask(values)
        answers, hits = self._cache.answers(side.loaded, values, ask)
        if hits:
            self._metrics.count("cache_hits_total", hits, bundle=side.name)
        return answers

    def _one_by_one(self, live: Live, side: Side, arm: Arm, rows: Sequence[Row], turn: Turn) -> None:
        """Find the rows that make a batch fail, so that the others have their answers."""
        in_a_row = 0
        for number, row in enumerate(rows):
            self._try(live, side, arm, [row], turn)
            in_a_row = 0 if row.answer is not None else in_a_row + 1
            if in_a_row == POISON_TRIES:
                for other in rows[number + 1 :]:
                    other.failures[arm] = row.failures[arm]
                return


def _without_held_back(live: Live, rows: Sequence[Row]) -> list[Row]:
    """Assign rows of segments that the ramp leaves out to the champion, as held out; return the others."""
    held = [row for row in rows if is_held_back(live.route, row.values)]
    for row in held:
        row.restart(Arm.HOLDOUT)
    return [row for row in rows if row.assigned is Arm.CHALLENGER]


def values_for(live: Live, side: Side, row: Row) -> dict[str, Any]:
    """Return the row as this bundle's contract has it; raises BreaksContract when that refuses it."""
    if side.ref.digest in live.alike:
        return row.values
    checked = side.check.check(row.inputs)
    if checked.problems:
        raise BreaksContract("; ".join(f"{p.where}: {p.what}" for p in checked.problems))
    return dict(checked.values)


def _unanswered(row: Row) -> Row:
    """Return the row as one that nobody answered, with what is to be said of the model that abstained."""
    given = row.answer
    confidence = "" if given is None or given.confidence is None else f" at confidence {given.confidence:.2f}"
    why = f"{ABSTAINED}{row.served.value}{confidence}"
    return replace(row, answer=None, side=None, failures={}, why=why, batch=0)
