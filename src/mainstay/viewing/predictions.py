"""Predictions: a search that is bounded by time and count, and one in full."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.events import Event, Feedback, Kind
from mainstay.store import feedback

if TYPE_CHECKING:
    from mainstay.parts import Parts

LONGEST = timedelta(days=1)
"""Stretch of time that is searched at once: what a day of records costs is known, a year is not."""
MOST = 200
USUAL = timedelta(hours=1)
KINDS = {
    "answered": (Kind.PREDICTION, Kind.EXTERNAL),
    "refused": (Kind.REFUSAL,),
    "failed": (Kind.ERROR,),
}
COLUMNS = (
    "id",
    "kind",
    "occurred_at",
    "bundle",
    "served_arm",
    "label",
    "confidence",
    "trust",
    "status",
    "reason",
    "inputs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked for."""

    begin: datetime
    end: datetime
    text: str = ""
    """Stands in the inputs as they are kept, letter by letter."""
    label: str = ""
    """The answer."""
    kind: str = ""
    """answered, refused, failed; empty: any."""
    trust: str = ""
    """ok, low, abstain; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record in a list."""

    id: str
    kind: str
    at: datetime
    bundle: str
    arm: str
    label: str
    """As JSON, or empty."""
    confidence: float | None
    trust: str
    status: int
    reason: str
    inputs: str
    """As JSON, as they are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found."""

    asked: Asked
    """As it was searched: a longer stretch is cut at its beginning."""
    cut: bool
    """Whether it was."""
    rows: tuple[Row, ...]
    """Newest first, at most `MOST`."""
    more: bool
    """Whether there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """One prediction in full."""

    event: Event
    shadow: Event | None
    """What the other side of a rollout would have said."""
    feedback: tuple[Feedback, ...]
    """In the order in which it came."""


def search(parts: Parts, asked: Asked) -> Found:
    """Return the newest records of a stretch of time, at most `LONGEST` of it and `MOST` of them."""
    import polars as pl

    cut = asked.end - asked.begin > LONGEST
    begin = asked.end - LONGEST if cut else asked.begin
    frame = parts.journal.scan(parts.model, begin, asked.end).select(COLUMNS)
    wanted = KINDS.get(asked.kind) or tuple(kind for kinds in KINDS.values() for kind in kinds)
    frame = frame.filter(pl.col("kind").is_in([kind.value for kind in wanted]))
    if asked.text:
        frame = frame.filter(pl.col("inputs").str.contains(asked.text, literal=True))
    if asked.label:
        # A label is kept as JSON text: a class is in quotes, a number is not.
        frame = frame.filter(pl.col("label").is_in([asked.label, json.dumps(asked.label, ensure_ascii=False)]))
    if asked.trust:
        frame = frame.filter(pl.col("trust") == asked.trust)
    found = frame.sort("occurred_at", descending=True).head(MOST + 1).collect()
    rows = [_row(one) for one in found.iter_rows(named=True)]
    return Found(
        asked=Asked(begin=begin, end=asked.end, text=asked.text, label=asked.label, kind=asked.kind, trust=asked.trust),
        cut=cut,
        rows=tuple(rows[:MOST]),
        more=len(rows) > MOST,
    )


def _row(found: dict[str, Any]) -> Row:
    return Row(
        id=found["id"],
        kind=found["kind"],
        at=found["occurred_at"],
        bundle=found["bundle"] or "",
        arm=found["served_arm"] or "",
        label="" if found["label"] in (None, "null") else str(found["label"]),
        confidence=found["confidence"],
        trust=found["trust"] or "",
        status=int(found["status"] or 0),
        reason=found["reason"] or "",
        inputs=found["inputs"] or "",
    )


def one(parts: Parts, id_: str) -> One:
    """Return a prediction by its id, through the journal's index; NotFound where the journal holds none."""
    event = parts.journal.find(id_)
    if event is None or event.model != parts.model:
        raise errors.NotFound(
            f"the journal of {parts.model} holds no prediction {id_[:80]!r}",
            remedy="The id stands in the answer. `[log] keep_days` and `max_gb` say how long the journal keeps it.",
        )
    with parts.store.read() as tx:
        told = feedback.told_about(tx, parts.model, id_)
    return One(event=event, shadow=parts.journal.find_shadow(id_), feedback=tuple(told))
