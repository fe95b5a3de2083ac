"""Data sets as of a time against a plain replay of a random history: what came later is never read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from mainstay.config.settings import Settings
from mainstay.core.events import Feedback
from mainstay.retrain import dataset
from mainstay.store import feedback, pulled
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
MODEL, SOURCE = "m", "crm"
SETTINGS = Settings.model_validate(
    {
        "project": {"name": MODEL},
        "fields": {"text": {"type": "text"}},
        "target": {"field": "kind", "classes": ["a", "b", "c"]},
        "retrain": {"max_labels_per_key": 10_000, "sources": {SOURCE: {"address": "x.ndjson"}}},
    }
)


@pytest.fixture
def tx() -> Iterator[Connection]:
    with Store.open("sqlite://", clock=FakeClock(BEGIN)).begin() as opened:
        yield opened


def minutes(number: float) -> datetime:
    return BEGIN + timedelta(minutes=number)


class History:
    """Writes a random history, and knows by plain lists what was known when."""

    def __init__(self, tx: Connection, seed: int) -> None:
        self.tx, self.luck = tx, random.Random(seed)
        self.asked: dict[str, datetime] = {}
        self.told: list[tuple[datetime, Feedback]] = []
        self.forms: list[tuple[datetime, str, str | None]] = []
        """(when it came, record, value); None: deleted."""
        self.withdrawn: set[str] = set()
        self.gone: dict[str, datetime] = {}

    def step(self, now: datetime) -> None:
        {0: self.ask, 1: self.tell, 2: self.tell, 3: self.pull, 4: self.pull}.get(
            self.luck.randrange(20), self.ask_and_tell
        )(now)
        if self.luck.random() < 0.03:
            self.withdraw()

    def ask(self, now: datetime) -> None:
        self.asked[f"p{len(self.asked)}"] = now

    def ask_and_tell(self, now: datetime) -> None:
        self.ask(now)
        self.tell(now)

    def tell(self, now: datetime) -> None:
        """Say what is true of a request, sometimes anew, sometimes with a time that is long past or to come."""
        if not self.asked:
            return
        id_ = self.luck.choice(list(self.asked)[-30:])
        at = now + timedelta(minutes=self.luck.choice([0, 0, 0, -90, 45]))
        item = Feedback(
            id=id_,
            feedback_id=f"f{len(self.told):04d}",
            kind="label",
            name="kind",
            value=self.luck.choice("abc"),
            at=at,
            by="x",
        )
        self.told.append((now, item))
        feedback.put(self.tx, MODEL, item, received_at=now)
        self.grade(item)

    def grade(self, item: Feedback) -> None:
        graded: dict[str, Any] = {
            "bundle": "m@1",
            "served_arm": "champion",
            "label": "a",
            "confidence": None,
            "correct": None,
        }
        feedback.grade(
            self.tx,
            feedback.Graded(
                model=MODEL,
                id=item.id,
                name="kind",
                value=item.value,
                at=item.at,
                feedback_id=item.feedback_id,
                key_hash=item.id,
                unit=item.id,
                occurred_at=self.asked[item.id],
                inputs={"text": item.id},
                **graded,
            ),
        )

    def withdraw(self) -> None:
        left = [item for _, item in self.told if item.feedback_id not in self.withdrawn]
        if not left:
            return
        item = self.luck.choice(left)
        self.withdrawn.add(item.feedback_id)
        feedback.withdraw(self.tx, MODEL, item)
        for other in feedback.unmatched(self.tx, MODEL, 10_000):  # as the loop joins them anew
            self.grade(other)

    def pull(self, now: datetime) -> None:
        id_ = f"r{self.luck.randrange(25)}"
        value = None if self.luck.random() < 0.1 else self.luck.choice("abc")
        record = pulled.Kept(
            id=id_,
            mark=now.isoformat(),
            key_hash=id_,
            inputs={"text": id_} if value else {},
            value=value,
            deleted=value is None,
        )
        if pulled.put(self.tx, MODEL, SOURCE, record, now=now):
            self.forms.append((now, id_, value))

    def known(self, as_of: datetime) -> dict[str, str]:
        """Return what was true of each request and record as far as was known at a moment."""
        found: dict[str, str] = {}
        best: dict[str, tuple[datetime, str]] = {}
        for came, item in self.told:
            usable = came <= as_of and self.asked[item.id] <= as_of and item.feedback_id not in self.withdrawn
            if usable and (item.at, item.feedback_id) >= best.get(item.id, (datetime.min.replace(tzinfo=UTC), "")):
                best[item.id], found[item.id] = (item.at, item.feedback_id), str(item.value)
        for number, (came, id_, value) in enumerate(self.forms):
            deleted_later = any(v is None and i == id_ for _, i, v in self.forms[number:])
            if came <= as_of:
                found.pop(id_, None)
                if value is not None and not deleted_later:
                    found[id_] = value
        return found


@pytest.mark.parametrize("seed", range(4))
def test_a_data_set_as_of_a_time_is_what_a_plain_replay_up_to_it_knows(tx: Connection, seed: int) -> None:
    history = History(tx, seed)
    for number in range(150):
        history.step(minutes(number))
    moments = [minutes(history.luck.uniform(0, 150)) for _ in range(12)] + [minutes(n) for n in (0, 100, 149, 400)]
    for as_of in moments:
        rows = dataset.labelled(tx, MODEL, SETTINGS, as_of=as_of)
        assert {row.id: row.value for row in rows} == history.known(as_of)
        assert all(row.happened is None or row.happened <= as_of for row in rows)


def test_what_comes_later_changes_no_data_set_of_before_but_for_what_was_taken_back(tx: Connection) -> None:
    history = History(tx, 99)
    history.withdraw = lambda: None  # type: ignore[method-assign]
    snapshots = {}
    for number in range(150):
        history.step(minutes(number))
        if number % 50 == 49:
            frame = dataset.labelled_rows(tx, MODEL, SETTINGS, as_of=minutes(number))
            snapshots[number] = {row["_id"]: row["kind"] for row in frame.to_dicts()}
    gone = {id_ for _, id_, value in history.forms if value is None}
    for number, before in snapshots.items():
        now = dataset.labelled_rows(tx, MODEL, SETTINGS, as_of=minutes(number))
        assert {row["_id"]: row["kind"] for row in now.to_dicts() if row["_id"] not in gone} == {
            id_: value for id_, value in before.items() if id_ not in gone
        }
