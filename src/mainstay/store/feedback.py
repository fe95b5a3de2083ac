"""Labels and rewards as they came, and the one valid answer for each prediction and name.

For one (model, id, name) the valid item is the maximum of (at, feedback_id), compared by code points, so that any order
of arrival ends the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from mainstay.core.events import Feedback, FeedbackStatus
from mainstay.store.columns import to_json
from mainstay.store.tables import feedback as table
from mainstay.store.tables import labels as labels_table
from mainstay.store.writes import insert_new, upsert

AT_ONCE = 500
"""Ids asked for in one query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One prediction joined with what is known to be true."""

    model: str
    id: str
    name: str
    """The target's name, or the reward's."""
    value: Any
    """The truth, or the reward."""
    at: datetime
    """When the truth was stated."""
    feedback_id: str
    bundle: str
    served_arm: str
    key_hash: str
    unit: str
    occurred_at: datetime
    """When the prediction happened."""
    label: Any
    """What was answered."""
    confidence: float | None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    correct: bool | None
    """None where the question makes no sense (a reward)."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """What the model gave each class; empty where it is not known."""
    explored: Mapping[str, Any] = field(default_factory=dict)
    """Of an answer that could have been drawn at random: its `propensity`, whether it was `drawn`, the answer `given`,
    where it is not the model's own (`label`), and of a ranking the place on which it was shown and the model's."""

    @property
    def given(self) -> Any:
        """Return the answer that went out."""
        return self.explored.get("given", self.label)


def put(tx: Connection, model: str, feedback: Feedback, *, received_at: datetime) -> FeedbackStatus:
    """Keep one item: STORED, or DUPLICATE when it came before, or REFUSED when its feedback_id stands for another item.

    Text that no database can hold (NUL, lone surrogates) is REFUSED. Whether the prediction is known is not asked here.
    """
    if not all(_storable(text) for text in (feedback.id, feedback.feedback_id, feedback.name, feedback.kind)):
        return FeedbackStatus.REFUSED
    row = {
        "model": model,
        "feedback_id": feedback.feedback_id,
        "id": feedback.id,
        "kind": feedback.kind,
        "name": feedback.name,
        "value": feedback.value,
        "at": feedback.at,
        "given_by": feedback.by.replace("\0", ""),
        "supersedes": feedback.supersedes,
        "received_at": received_at,
        "matched": False,
        "misses": 0,
    }
    if insert_new(tx, table, row, on=["model", "feedback_id"]):
        return FeedbackStatus.STORED
    # The item that has this feedback_id already.
    query = select(table).where(table.c.model == model, table.c.feedback_id == feedback.feedback_id)
    known = tx.execute(query).one()
    same = (known.id, known.name, known.at, to_json(known.value)) == (
        feedback.id,
        feedback.name,
        feedback.at,
        to_json(feedback.value),
    )
    return FeedbackStatus.DUPLICATE if same else FeedbackStatus.REFUSED


def unmatched(tx: Connection, model: str, limit: int, *, only_new: bool = False) -> list[Feedback]:
    """Return items whose prediction was not joined yet, those that missed least often first, then the oldest.

    `only_new`: only those that were never looked for.
    """
    # Items without a prediction; what missed often goes to the back so that it never blocks the rest.
    query = (
        select(table)
        .where(table.c.model == model, table.c.matched.is_(False))
        .order_by(table.c.misses, table.c.received_at, table.c.feedback_id)
        .limit(limit)
    )
    if only_new:
        query = query.where(table.c.misses == 0)
    return [_feedback(row) for row in tx.execute(query)]


def told_about(tx: Connection, model: str, id_: str) -> list[Feedback]:
    """Return every item about one prediction, in the order in which they came."""
    # All items about one prediction.
    query = (
        select(table)
        .where(table.c.model == model, table.c.id == id_)
        .order_by(table.c.received_at, table.c.feedback_id)
    )
    return [_feedback(row) for row in tx.execute(query)]


def about(tx: Connection, model: str, name: str, ids: Sequence[str]) -> dict[str, list[Feedback]]:
    """Return every item of a name about some predictions, of each the valid one last; without those that have none."""
    found: dict[str, list[Feedback]] = {}
    for start in range(0, len(ids), AT_ONCE):
        # Items of that name about some predictions.
        query = (
            select(table)
            .where(table.c.model == model, table.c.name == name, table.c.id.in_(list(ids[start : start + AT_ONCE])))
            .order_by(table.c.at, table.c.feedback_id)
        )
        for row in tx.execute(query):
            found.setdefault(row.id, []).append(_feedback(row))
    return found


def withdraw(tx: Connection, model: str, item: Feedback) -> None:
    """Delete one item; what else was told under its name is joined anew by the loop, as if it never was."""
    # The item itself.
    tx.execute(delete(table).where(table.c.model == model, table.c.feedback_id == item.feedback_id))
    # What was valid so far of that prediction and name.
    tx.execute(
        delete(labels_table).where(
            labels_table.c.model == model, labels_table.c.id == item.id, labels_table.c.name == item.name
        )
    )
    # All other items of that prediction and name wait to be joined.
    again = update(table).where(table.c.model == model, table.c.id == item.id, table.c.name == item.name)
    tx.execute(again.values(matched=False, misses=0))


def labelled_twice(tx: Connection, model: str, name: str, ids: Sequence[str]) -> list[tuple[Any, Any]]:
    """Return of each of these predictions that two people (`by`) labelled their first values, oldest first."""
    given: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), AT_ONCE):
        # Every label of some predictions, in the order in which they came.
        query = (
            select(table.c.id, table.c.given_by, table.c.value)
            .where(table.c.model == model, table.c.name == name, table.c.id.in_(list(ids[start : start + AT_ONCE])))
            .order_by(table.c.received_at, table.c.feedback_id)
        )
        for row in tx.execute(query):
            given.setdefault(row.id, {}).setdefault(row.given_by, row.value)
    pairs = [list(values.values()) for values in given.values() if len(values) > 1]
    return [(values[0], values[1]) for values in pairs]


def agreements(
    tx: Connection, model: str, name: str, *, trusted: Sequence[str], relevance: bool = False, limit: int = 5_000
) -> list[bool]:
    """Return of the newest requests that a trusted person and somebody else labelled whether both said the same.

    Of several labels by the same side the newest counts. `relevance`: of grades only whether they are above 0.
    """

    def said(value: Any) -> str:
        if relevance and isinstance(value, int | float):
            return str(value > 0)
        return to_json(value)

    # What the trusted said, newest first.
    query = (
        select(table.c.id, table.c.value)
        .where(table.c.model == model, table.c.name == name, table.c.given_by.in_(list(trusted)))
        .order_by(table.c.at.desc(), table.c.feedback_id.desc())
        .limit(limit)
    )
    believed: dict[str, Any] = {}
    for row in tx.execute(query):
        believed.setdefault(row.id, row.value)
    found: dict[str, bool] = {}
    ids = list(believed)
    for start in range(0, len(ids), AT_ONCE):
        # What others said of the same requests, newest first.
        others = (
            select(table.c.id, table.c.value)
            .where(
                table.c.model == model,
                table.c.name == name,
                table.c.id.in_(ids[start : start + AT_ONCE]),
                table.c.given_by.not_in(list(trusted)),
            )
            .order_by(table.c.at.desc(), table.c.feedback_id.desc())
        )
        for row in tx.execute(others):
            found.setdefault(row.id, said(row.value) == said(believed[row.id]))
    return list(found.values())


def missed(tx: Connection, model: str, feedback_ids: Collection[str]) -> None:
    """Note that the predictions of these items were looked for and not found."""
    # Count one more miss for each item.
    query = update(table).where(table.c.model == model, table.c.feedback_id.in_(list(feedback_ids)))
    tx.execute(query.values(misses=table.c.misses + 1))


def grade(tx: Connection, graded: Graded) -> bool:
    """Join one item with its prediction; return whether it is the valid one now."""
    # The item is joined, whichever is the valid one.
    joined = update(table).where(table.c.model == graded.model, table.c.feedback_id == graded.feedback_id)
    tx.execute(joined.values(matched=True))
    # The item that was valid so far, locked where the database can.
    query = (
        select(labels_table.c.at, labels_table.c.feedback_id)
        .where(
            labels_table.c.model == graded.model,
            labels_table.c.id == graded.id,
            labels_table.c.name == graded.name,
        )
        .with_for_update()
    )
    known = tx.execute(query).one_or_none()
    if known is not None and (known.at, known.feedback_id) > (graded.at, graded.feedback_id):
        return False
    upsert(tx, labels_table, _graded_row(graded), on=["model", "id", "name"])
    return True


def keep_graded(tx: Connection, graded: Sequence[Graded]) -> None:
    """Write valid items of which none is there yet, many at once: for a history that is replayed."""
    if graded:
        # All of them in one statement.
        tx.execute(labels_table.insert(), [_graded_row(one) for one in graded])


def valid_value(tx: Connection, model: str, id_: str, name: str) -> Any:
    """Return the value that is valid so far for one prediction and name, or None."""
    # The valid item's value.
    query = select(labels_table.c.value).where(
        labels_table.c.model == model, labels_table.c.id == id_, labels_table.c.name == name
    )
    return tx.execute(query).scalar_one_or_none()


def values_of(tx: Connection, model: str, name: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return the valid values of a name for some predictions; without those that have none."""
    found: dict[str, Any] = {}
    for start in range(0, len(ids), AT_ONCE):
        # The valid items' values.
        query = select(labels_table.c.id, labels_table.c.value).where(
            labels_table.c.model == model,
            labels_table.c.name == name,
            labels_table.c.id.in_(list(ids[start : start + AT_ONCE])),
        )
        found.update({row.id: row.value for row in tx.execute(query)})
    return found


def labels(tx: Connection, model: str, *, since: datetime | None = None, limit: int) -> list[Graded]:
    """Return the newest `limit` valid items stated at or after `since`, oldest first."""
    # The newest valid items of the model.
    query = select(labels_table).where(labels_table.c.model == model)
    if since is not None:
        query = query.where(labels_table.c.at >= since)
    query = query.order_by(labels_table.c.at.desc(), labels_table.c.feedback_id.desc()).limit(limit)
    return [_graded(row) for row in reversed(tx.execute(query).all())]


def labels_as_of(tx: Connection, model: str, name: str, *, as_of: datetime, limit: int) -> list[Graded]:
    """Return the newest `limit` items of that name that were valid at `as_of`, oldest first: later ones are not known.

    What counts is when an item arrived, not what time it claims. `correct` is None where another label was valid then
    than now.
    """
    # Every item that had arrived by then, with the prediction that it was joined with.
    query = (
        select(
            labels_table, table.c.feedback_id.label("then_id"), table.c.value.label("then"), table.c.at.label("then_at")
        )
        .join(
            labels_table,
            (labels_table.c.model == table.c.model)
            & (labels_table.c.id == table.c.id)
            & (labels_table.c.name == table.c.name),
        )
        .where(
            table.c.model == model,
            table.c.name == name,
            table.c.received_at <= as_of,
            labels_table.c.occurred_at <= as_of,
        )
        .order_by(table.c.at.desc(), table.c.feedback_id.desc())
    )
    found: dict[str, Graded] = {}
    for row in tx.execute(query):
        if row.id not in found:
            if len(found) >= limit:
                break
            now = _graded(row)
            known = now.feedback_id == row.then_id
            found[row.id] = (
                now if known else replace(now, value=row.then, at=row.then_at, feedback_id=row.then_id, correct=None)
            )
    return list(found.values())[::-1]


def right_of_newest(tx: Connection, model: str, *, limit: int) -> dict[str, tuple[int, int]]:
    """Return of each version among the model's newest `limit` valid items the right answers and the labels.

    All items of the moment at which the limit is reached are among them: one delivery may bring thousands of one
    moment, and the index would put the right ones first.
    """
    since = select(labels_table.c.at).where(labels_table.c.model == model).order_by(labels_table.c.at.desc())
    # The moment of the last of the newest labels.
    last = tx.execute(since.offset(limit - 1).limit(1)).scalar()
    # The newest labels, counted by version and verdict from the index alone.
    query = (
        select(labels_table.c.bundle, labels_table.c.correct, func.count())
        .where(labels_table.c.model == model, labels_table.c.correct.is_not(None))
        .group_by(labels_table.c.bundle, labels_table.c.correct)
    )
    found: dict[str, tuple[int, int]] = {}
    for bundle, correct, n in tx.execute(query if last is None else query.where(labels_table.c.at >= last)):
        right, all_ = found.get(bundle, (0, 0))
        found[bundle] = (right + int(n) * bool(correct), all_ + int(n))
    return found


def labelled_answers(
    tx: Connection, model: str, bundle: str, name: str, *, since: datetime
) -> tuple[list[tuple[Any, int]], list[Any]]:
    """Return how many labels each answer of a version has, of its predictions from `since` on; and what labels name."""
    # What the model said and what was true, counted over its labelled predictions.
    query = (
        select(labels_table.c.label, labels_table.c.value, func.count())
        .where(
            labels_table.c.model == model,
            labels_table.c.bundle == bundle,
            labels_table.c.occurred_at >= since,
            labels_table.c.name == name,
        )
        .group_by(labels_table.c.label, labels_table.c.value)
    )
    found = [(label, value, int(n)) for label, value, n in tx.execute(query)]
    return [(label, n) for label, _, n in found], [value for _, value, _ in found]


def labels_of(tx: Connection, model: str, bundle: str, *, since: datetime | None = None, limit: int) -> list[Graded]:
    """Return the valid items of one version's newest `limit` predictions from `since` on, by when these happened."""
    # The newest labelled predictions of one version.
    query = select(labels_table).where(labels_table.c.model == model, labels_table.c.bundle == bundle)
    if since is not None:
        query = query.where(labels_table.c.occurred_at >= since)
    query = query.order_by(labels_table.c.occurred_at.desc(), labels_table.c.id.desc()).limit(limit)
    return [_graded(row) for row in reversed(tx.execute(query).all())]


def count(
    tx: Connection, model: str, *, since: datetime | None = None, name: str | None = None, most: int | None = None
) -> int:
    """Return how many valid items were stated at or after `since`; `name`: of that name; no more than `most`."""
    wanted = [labels_table.c.model == model]
    if since is not None:
        wanted.append(labels_table.c.at >= since)
    if name is not None:
        wanted.append(labels_table.c.name == name)
    # How many valid items the model has.
    query = select(func.count()).select_from(labels_table).where(*wanted)
    if most is not None:
        # The same, up to so many.
        query = select(func.count()).select_from(select(labels_table.c.id).where(*wanted).limit(most).subquery())
    return int(tx.execute(query).scalar_one())


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(
        id=row.id,
        feedback_id=row.feedback_id,
        kind=row.kind,
        name=row.name,
        value=row.value,
        at=row.at,
        by=row.given_by,
        supersedes=row.supersedes,
    )


def _graded_row(graded: Graded) -> dict[str, Any]:
    row = {name: getattr(graded, name) for name in Graded.__dataclass_fields__}
    plain = {name: dict(getattr(graded, name)) for name in ("inputs", "probabilities", "explored")}
    return row | {"served_arm": str(graded.served_arm), **plain}


def _graded(row: Row[Any]) -> Graded:
    return Graded(**{name: getattr(row, name) for name in Graded.__dataclass_fields__})
