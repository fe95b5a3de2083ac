"""What an online learner was: its states, each with the one it came from, and which labels each looked at.

A state and what it looked at are written in one transaction, under the number after the newest: of two learners that go
on at the same time the second finds its number taken. The chain of a state are its ancestors and itself; a label
is looked at once in a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from mainstay.core import errors
from mainstay.store.feedback import Graded
from mainstay.store.tables import feedback as feedback_table
from mainstay.store.tables import labels as labels_table
from mainstay.store.tables import online_seen as seen_table
from mainstay.store.tables import online_states as table
from mainstay.store.writes import insert_new

LEARNED = "learned"
"""Fate of a label that was learned; any other says why it was passed over."""
AT_ONCE = 1_000
"""Rows written in one statement."""
Runs = Sequence[tuple[int, int]]
"""Numbers of states, as ranges with both ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of the learner, between two batches."""

    model: str
    n: int
    """Counted from 1."""
    parent: int | None
    """The state that it went on from; None: from a version that was not learned online."""
    base: int
    """The version whose bundle began the chain, or that answered when the chain was taken up anew."""
    base_digest: str
    digest: str
    """sha256 of the pickled estimator, hex."""
    rows: str
    """Snapshot of what was learned in this batch, in order; empty when nothing was."""
    learned: int
    """Labels learned in this batch."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """Labels looked at and not learned, by why."""
    mark: datetime | None = None
    """The newest event that was learned so far."""
    score: Mapping[str, Any] = field(default_factory=dict)
    """Progressive score so far: `learner` and `answered`, each as `stats.prequential.Score`."""
    why: str = ""
    """From where it went on, as a sentence."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the chain of states needs of one: where it came from, and how much it learned."""

    n: int
    parent: int | None
    base: int
    base_digest: str
    digest: str
    learned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One label that a state looked at."""

    id: str
    fate: str
    value: Any
    """The label, as it was then."""
    key_hash: str
    unit: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A label that was learned, and what is valid of that request now."""

    state: int
    seen: Seen
    value: Any
    """None: there is no label of it any more, or it did not come from traffic."""
    known: bool
    """There is a label of it."""
    inputs: Mapping[str, Any]


def states(tx: Connection, model: str, runs: Runs | None = None) -> list[State]:
    """Return states of a model, oldest first: all, or those of these numbers."""
    # Every state, or some.
    query = select(table).where(table.c.model == model).order_by(table.c.n)
    if runs is not None:
        if not runs:
            return []
        query = query.where(or_(*(table.c.n.between(first, last) for first, last in runs)))
    return [State(**{name: getattr(row, name) for name in State.__dataclass_fields__}) for row in tx.execute(query)]


def links(tx: Connection, model: str) -> dict[int, Link]:
    """Return of all states of a model, by number in ascending order, what their chain needs."""
    columns = [table.c[name] for name in Link.__dataclass_fields__]
    # Of every state where it came from.
    query = select(*columns).where(table.c.model == model).order_by(table.c.n)
    names = tuple(Link.__dataclass_fields__)
    return {row[0]: Link(**dict(zip(names, row, strict=True))) for row in tx.execute(query)}


def add(tx: Connection, state: State, seen: Sequence[Seen]) -> None:
    """Keep a state with what it looked at; StaleTransition where its number is taken or not the next."""
    # The newest number so far.
    newest = tx.execute(select(func.max(table.c.n)).where(table.c.model == state.model)).scalar_one() or 0
    row = {name: getattr(state, name) for name in State.__dataclass_fields__}
    row |= {"passed_over": dict(state.passed_over), "score": dict(state.score)}
    if state.n != newest + 1 or not insert_new(tx, table, row, on=["model", "n"]):
        raise errors.StaleTransition(
            f"the online learner of {state.model} moved meanwhile: state {newest} is there, expected {state.n - 1}"
        )
    rows = [
        {"model": state.model, "state": state.n} | {name: getattr(one, name) for name in Seen.__dataclass_fields__}
        for one in seen
    ]
    for start in range(0, len(rows), AT_ONCE):
        # What this state looked at.
        tx.execute(seen_table.insert(), rows[start : start + AT_ONCE])


def unseen(
    tx: Connection, model: str, name: str, *, runs: Runs, since: datetime, until: datetime | None, limit: int
) -> list[tuple[Graded, datetime]]:
    """Return valid labels that no state of a chain looked at, in the order of their events, and when each arrived.

    `since`: only those that arrived later; `until`: only of events up to then.
    """
    # Labels of the target that the chain does not know.
    query = (
        select(labels_table, feedback_table.c.received_at)
        .join(feedback_table, _same(feedback_table))
        .where(*_unseen(model, name, runs, since, until))
        .order_by(labels_table.c.occurred_at, labels_table.c.id)
        .limit(limit)
    )
    return [
        (Graded(**{key: getattr(row, key) for key in Graded.__dataclass_fields__}), row.received_at)
        for row in tx.execute(query)
    ]


def count_unseen(tx: Connection, model: str, name: str, *, runs: Runs, since: datetime, until: datetime | None) -> int:
    """Return how many labels `unseen` would return without a limit."""
    # How many labels of the target the chain does not know.
    query = (
        select(func.count())
        .select_from(labels_table.join(feedback_table, _same(feedback_table)))
        .where(*_unseen(model, name, runs, since, until))
    )
    return int(tx.execute(query).scalar_one())


def seen(tx: Connection, model: str, runs: Runs) -> list[tuple[int, Seen]]:
    """Return what these states looked at, each with its state."""
    if not runs:
        return []
    # Everything that they looked at.
    query = select(seen_table).where(seen_table.c.model == model, _within(runs))
    return [
        (row.state, Seen(**{name: getattr(row, name) for name in Seen.__dataclass_fields__}))
        for row in tx.execute(query)
    ]


def held(tx: Connection, model: str, name: str, runs: Runs) -> list[Held]:
    """Return what these states learned, and what is valid of each request now."""
    if not runs:
        return []
    # What was learned, beside the label of now.
    joined = seen_table.outerjoin(
        labels_table,
        and_(
            labels_table.c.model == seen_table.c.model,
            labels_table.c.id == seen_table.c.id,
            labels_table.c.name == name,
        ),
    )
    query = (
        select(seen_table, labels_table.c.id.label("known"), labels_table.c.value.label("now"), labels_table.c.inputs)
        .select_from(joined)
        .where(seen_table.c.model == model, seen_table.c.fate == LEARNED, _within(runs))
    )
    return [
        Held(
            state=row.state,
            seen=Seen(**{key: getattr(row, key) for key in Seen.__dataclass_fields__}),
            value=row.now,
            known=row.known is not None,
            inputs=row.inputs or {},
        )
        for row in tx.execute(query)
    ]


def _same(table_: Any) -> ColumnElement[bool]:
    return and_(table_.c.model == labels_table.c.model, table_.c.feedback_id == labels_table.c.feedback_id)


def _within(runs: Runs) -> ColumnElement[bool]:
    return or_(*(seen_table.c.state.between(first, last) for first, last in runs))


def _unseen(model: str, name: str, runs: Runs, since: datetime, until: datetime | None) -> list[ColumnElement[bool]]:
    wanted = [labels_table.c.model == model, labels_table.c.name == name, feedback_table.c.received_at > since]
    if until is not None:
        wanted.append(labels_table.c.occurred_at <= until)
    if runs:
        looked = and_(seen_table.c.model == model, seen_table.c.id == labels_table.c.id, _within(runs))
        wanted.append(~exists().where(looked))
    return wanted
