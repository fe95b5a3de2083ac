"""One journal event as the watch sees it, and the cutting of events into blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

import msgspec

from mainstay.core.contracts import Contract, FieldType, Pii
from mainstay.core.events import Arm, Event, Kind, Trust
from mainstay.core.fallbacks import ABSTAINED
from mainstay.journal.vault import is_sealed
from mainstay.models.outputs import ABSTAINED as DID_ABSTAIN
from mainstay.models.outputs import CONFIDENCE as CONFIDENCE
from mainstay.models.outputs import LABEL as LABEL
from mainstay.models.outputs import LOW_TRUST as LOW_TRUST
from mainstay.models.outputs import VALUE as VALUE
from mainstay.models.outputs import abstained, spread
from mainstay.models.segments import segment_names
from mainstay.models.signals import RowSignals, Signals, words

CHANCE_DIGITS, MOST_CLASSES = 5, 20
"""Of more classes only the confidence is kept for label-free estimates: all probabilities of all rows are too much."""
PIECES = 8
"""A backlog is cut into about this many blocks, so that a change inside it is placed well."""


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    """An error, or the fallback had to answer because the model could not; a model that abstained did not fail."""


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, reduced to what the watch compares."""

    id: str
    key: str
    """Unit of evidence, hashed."""
    unit: str = ""
    """Digest of key and inputs."""
    occurred_at: datetime
    received_at: datetime
    outcome: Outcome = Outcome.ANSWERED
    arm: str = ""
    signals: dict[str, float | str] = {}
    """What is missing or not finite is left out."""
    segments: list[str] = []
    words: dict[str, list[str]] = {}
    """Distinct words per text field that may be kept."""
    chances: list[float] = []
    """What the model gave each declared class; of two classes the last one's alone. Empty where none is told."""


COUNTED = (Kind.PREDICTION, Kind.EXTERNAL, Kind.REFUSAL, Kind.ERROR)
"""Kinds of events that are requests."""


def observe(event: Event, row_signals: RowSignals | None, contract: Contract | None) -> Observation:
    """Reduce an event to an observation.

    Fields whose values the journal does not keep (hashed, dropped) or that cannot be opened any more (erased) give no
    signals, segments or words. Of an encrypted field, which comes here opened, only what tells no value is kept: of a
    text its measures (length, unseen words, …), of any other whether it is missing. A refused request gives none at
    all. `row_signals` and `contract` may be None for refusals and errors.
    """
    outcome = outcome_of(event)
    signals: dict[str, float | str] = {}
    segments: list[str] = []
    found: dict[str, list[str]] = {}
    chances: list[float] = []
    if event.kind in (Kind.PREDICTION, Kind.EXTERNAL) and row_signals is not None and contract is not None:
        private = {field.name for field in contract.fields if field.pii is not Pii.KEEP}
        hidden = {field.name for field in contract.fields if field.pii in (Pii.HASH, Pii.DROP)}
        hidden |= {name for name, value in event.inputs.items() if is_sealed(value)}
        values = {name: value for name, value in event.inputs.items() if name not in hidden}
        measured = _present(_measured(row_signals, values, event), hidden)
        signals = {name: value for name, value in measured.items() if name not in private}
        segments = [name for name in _segments(contract, values) if field_of(name) not in private]
        found = {
            field.name: sorted(set(words(text)))
            for field in contract.fields
            if field.type is FieldType.TEXT
            and field.pii is Pii.KEEP
            and isinstance(text := values.get(field.name), str)
        }
        if outcome is Outcome.ANSWERED:
            signals |= _present(_answer(event, contract), set())
            chances = _chances(event, contract)
    return Observation(
        id=event.id,
        key=event.key_hash,
        unit=event.unit,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        outcome=outcome,
        arm=str(event.served_arm or ""),
        signals=signals,
        segments=segments,
        words=found,
        chances=chances,
    )


def _chances(event: Event, contract: Contract) -> list[float]:
    many = len(contract.classes) > MOST_CLASSES
    if event.served_arm is Arm.FALLBACK or not event.probabilities or not contract.classes or many:
        return []
    found = [round(event.probabilities.get(name, 0.0), CHANCE_DIGITS) for name in contract.classes]
    return found[-1:] if len(found) == 2 else found


def outcome_of(event: Event) -> Outcome:
    """Return what became of the request."""
    if event.kind is Kind.REFUSAL or (event.kind is Kind.EXTERNAL and event.reason is not None):
        return Outcome.REFUSED  # a service elsewhere answers what breaks the contract; its journal record says so
    if event.kind is Kind.ERROR or event.status >= 500:
        return Outcome.FAILED
    stood_in = event.served_arm is Arm.FALLBACK or (event.served_arm is Arm.PREVIOUS and event.reason is not None)
    if stood_in and not (event.reason or "").startswith(ABSTAINED):
        return Outcome.FAILED
    return Outcome.ANSWERED


def _measured(row_signals: RowSignals, values: dict[str, object], event: Event) -> Signals:
    try:
        traits = row_signals.traits.measure(values, happened=event.occurred_at, received=event.received_at)
        return row_signals.measure(values) | traits
    except (TypeError, ValueError, AttributeError):
        # An external event was never checked against the contract; what cannot be measured is missing.
        return {}


def _segments(contract: Contract, values: dict[str, object]) -> list[str]:
    try:
        return segment_names(contract, values)
    except (TypeError, ValueError):
        return []


def _answer(event: Event, contract: Contract) -> Signals:
    low = None if event.trust is None else float(event.trust is not Trust.OK)
    trust: Signals = {LOW_TRUST: low, DID_ABSTAIN: abstained(event.trust)}
    if event.served_arm is Arm.FALLBACK:
        return trust  # what it says is no model's answer
    if isinstance(event.label, int | float) and not isinstance(event.label, bool) and event.confidence is None:
        return {VALUE: float(event.label), **trust}
    label = None if event.label is None else str(event.label)
    return {LABEL: label, CONFIDENCE: event.confidence, **trust, **spread(event.probabilities, contract)}


def _present(signals: Signals, hidden: set[str]) -> dict[str, float | str]:
    return {
        name: value
        for name, value in signals.items()
        if value is not None and (isinstance(value, str) or math.isfinite(value)) and field_of(name) not in hidden
    }


@lru_cache(maxsize=4_096)
def field_of(name: str) -> str:
    """Return the field that a signal or segment name begins with."""
    for index, char in enumerate(name):
        if char in ".=<>":
            return name[:index]
    return name


def once(rows: Sequence[Observation]) -> tuple[list[Observation], int]:
    """Return the first observation of each id, and how many came again.

    A host answers an id once; another host that does not know of it answers it too, and that is no second request. Ids
    of what a service elsewhere answered are the service's own: nothing is taken for a repeat there.
    """
    first: dict[str | int, Observation] = {}
    for number, row in enumerate(rows):
        first.setdefault(row.id if row.arm else number, row)
    return list(first.values()), len(rows) - len(first)


def cut(
    waiting: Sequence[Observation], *, least: int, most: int, patience: timedelta, now: datetime
) -> tuple[list[list[Observation]], list[Observation]]:
    """Cut observations into blocks by arrival; return the blocks and what must wait for more.

    A block has at least `least` and at most `most` requests, unless the oldest has waited for `patience`. A backlog is
    cut into about PIECES blocks.
    """
    rows = sorted(waiting, key=lambda o: (o.received_at, o.id))
    if not rows:
        return [], []
    if len(rows) < least:
        return ([rows], []) if now - rows[0].received_at >= patience else ([], rows)
    size = min(max(least, math.ceil(len(rows) / PIECES)), most)
    whole = len(rows) // size
    blocks = [rows[i * size : (i + 1) * size] for i in range(whole)]
    rest = rows[whole * size :]
    if rest and now - rest[0].received_at >= patience:
        return [*blocks, rest], []
    return blocks, rest
