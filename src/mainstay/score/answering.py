"""validate → predict for the rows of a batch, with the lines that serve a request: the same check, the same answers.

A row is what a request's instance is: what the contract refuses has no answer, and what the model cannot answer gets
the declared fallback, or none. No row's failure is another row's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.errors import ModelOutputInvalid, Problem
from mainstay.core.events import Trust
from mainstay.core.fallbacks import ABSTAINED, OnAbstain
from mainstay.data.request_check import compile_request_check
from mainstay.journal import personal
from mainstay.models.answers import from_output
from mainstay.models.signals import RowSignals, text_fields
from mainstay.score.records import Answerer, Row, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_ROWS = 1_000
"""Rows of one model call; it never depends on where a run was interrupted."""
POISON_TRIES = 8
"""So many rows one after the other may fail alone before the model is taken to fail for all of a batch."""
LONGEST_ID = 128


class Answering:
    """Answers rows of one run with one version. For one thread."""

    def __init__(self, answerer: Answerer, *, run: str) -> None:
        self._loaded = answerer.loaded
        self._check = compile_request_check(answerer.contract).check
        # Warnings come from texts alone; the watch measures the other fields when it reads the journal.
        texts = text_fields(answerer.contract)
        self._signals = RowSignals(replace(answerer.contract, fields=texts), answerer.loaded.vocabulary)
        self._run = run
        self._stands_in = answerer.loaded.thresholds.on_abstain is OnAbstain.FALLBACK

    def answer(self, rows: Sequence[Row]) -> None:
        """Fill in what becomes of each row."""
        for row in rows:
            self._name(row)
            self._validate(row)
        accepted = [row for row in rows if row.status is Status.OK]
        for start in range(0, len(accepted), BATCH_ROWS):
            self._predict(accepted[start : start + BATCH_ROWS])

    def _name(self, row: Row) -> None:
        given = row.given_id
        row.id = f"{self._run}-{row.number}"
        if given is None:
            return
        text = given if isinstance(given, str) else str(given)
        if isinstance(given, str | int) and not isinstance(given, bool) and _is_name(text):
            row.id = text
            return
        allowed = f"a text of 1 to {LONGEST_ID} characters, or a whole number"
        row.problems += (Problem(where="id", what="cannot be an id", value=text[:80], allowed=allowed),)

    def _validate(self, row: Row) -> None:
        if row.raw is not None:
            checked = self._check(row.raw)
            row.values, row.caveats = checked.values, checked.caveats
            row.problems += checked.problems
        if row.problems:
            row.status = Status.REFUSED
            row.problems = tuple(replace(problem, row=row.number) for problem in row.problems)

    def _predict(self, rows: Sequence[Row]) -> None:
        try:
            output = self._loaded.predict([row.values for row in rows])
        except Exception as error:  # noqa: BLE001 - edge: a model may raise anything; its other rows have answers
            self._divide(rows, personal.why(error, self._loaded.contract))
            return
        finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(output.reshape(len(rows), -1)), axis=1)
        if not finite.all():
            for place in np.flatnonzero(~finite).tolist():
                self._fail(rows[place], f"the model gave {output[place].tolist()!r}"[:300])
            rows = [row for row, good in zip(rows, finite.tolist(), strict=True) if good]
            output = output[finite]
        self._take(rows, output)

    def _take(self, rows: Sequence[Row], output: Any) -> None:
        measure = self._signals.measure
        given = from_output(self._loaded, output, [measure(row.values) for row in rows], [row.values for row in rows])
        for row, one in zip(rows, given, strict=True):
            row.answer = one
            if row.caveats or one.caveats:
                row.caveats = (*row.caveats, *one.caveats)
            if self._stands_in and one.trust is Trust.ABSTAIN:
                self._fall_back(row, f"{ABSTAINED}at confidence {one.confidence:.2f}")

    def _divide(self, rows: Sequence[Row], why: str) -> None:
        """Find the rows that make a batch fail, by halves, so that the others have their answers."""
        if len(rows) == 1:
            self._fail(rows[0], why)
            return
        if len(rows) > POISON_TRIES and not self._answers_any(rows):
            for row in rows:
                self._fail(row, why)
            return
        middle = len(rows) // 2
        self._predict(rows[:middle])
        self._predict(rows[middle:])

    def _answers_any(self, rows: Sequence[Row]) -> bool:
        """Ask some rows alone; a model that can answer none of them fails for all."""
        step = max(1, len(rows) // POISON_TRIES)
        return any(self._answers_alone(row) for row in rows[::step])

    def _answers_alone(self, row: Row) -> bool:
        try:
            self._loaded.predict([row.values])
        except Exception:  # noqa: BLE001 - edge: only whether it answers is asked
            return False
        return True

    def _fail(self, row: Row, why: str) -> None:
        row.reason, row.status = why, Status.FAILED
        self._fall_back(row, why)

    def _fall_back(self, row: Row, why: str) -> None:
        """Let the declared fallback answer, if it has an answer for this row. A batch knows no version before."""
        given = self._loaded.fallback.answer(row.values)
        if given is not None:
            row.status, row.reason, row.answer = Status.FALLBACK, why, given
            row.caveats = (*row.caveats, *given.caveats)


def refuse_dead_model(name: str, rows: Sequence[Row]) -> None:
    """Raise ModelOutputInvalid when the model answered no row of a first piece: that is no matter of single rows."""
    asked = [row for row in rows if row.status is not Status.REFUSED]
    if len(asked) >= POISON_TRIES and not any(row.status is Status.OK for row in asked):
        raise ModelOutputInvalid(f"{name} answered none of the first {len(asked)} rows: {asked[0].reason}")


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_ID and "\0" not in text and (text.isascii() or _is_unicode(text))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
