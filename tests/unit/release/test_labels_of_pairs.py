"""A pair holds the label that is valid now, whichever of both came first, was corrected, or died on its way."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from mainstay import ingest as feeding
from mainstay.config.load import contract_of
from mainstay.core.events import Event, Feedback, Kind
from mainstay.core.routes import BundleRef, Route
from mainstay.journal.read import Journal
from mainstay.release import ingest
from mainstay.store import feedback, pairs
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

RELEASE = make.release(2)
ROUTE = Route(
    model=make.MODEL,
    epoch=0,
    champion=BundleRef(version=1, digest="1" * 64),
    shadow=BundleRef(version=2, digest=RELEASE.digest),
)
CONTRACT = contract_of(make.settings())


class Record:
    """A journal in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def read(self, cursor: Mapping[str, int], limit: int) -> tuple[list[Event], dict[str, int]]:
        after = self.events[cursor.get("w0", 0) :][:limit]
        return after, {"w0": cursor.get("w0", 0) + len(after)}

    def find(self, id_: str) -> Event | None:
        return make.prediction(int(id_[1:]))


class Killed(BaseException):
    """The process is dead."""


class Dying:
    """A store whose next write is lost with the process that wanted it, if luck has it so."""

    def __init__(self, store: Store, luck: random.Random) -> None:
        self._store, self._luck = store, luck

    def read(self) -> Any:
        return self._store.read()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._store.begin() as tx:
            yield tx
            if self._luck.random() < 0.3:
                raise Killed


def take_pairs(store: Any, numbers: list[int]) -> None:
    events = [make.shadow(number, by=2, served_by=1) for number in numbers]
    with store.begin() as tx:
        ingest.ingest(tx, events, release=RELEASE, champion="m@1", route=ROUTE, target="kind")


def labels_of(store: Store) -> dict[str, Any]:
    with store.read() as tx:
        return {pair.id: pair.label for pair in pairs.rows(tx, make.MODEL, 2, 1_000)}


@pytest.mark.parametrize("first", ["label", "pair"])
def test_whichever_comes_first_the_pair_has_its_label(first: str) -> None:
    store, record = Store.open("sqlite://", clock=FakeClock()), Record()
    record.events.append(told(0, "b", 0))
    steps = [lambda: take_pairs(store, [0]), lambda: feed(store, record)]
    for step in steps if first == "pair" else steps[::-1]:
        step()
    assert labels_of(store) == {"p0": "b"}
    take_pairs(store, [0])  # read again after a restart: nothing is new
    assert labels_of(store) == {"p0": "b"}


def told(number: int, value: str, second: int, *, name: str = "kind") -> Event:
    at = make.NOW + timedelta(seconds=second)
    item = Feedback(id=f"p{number}", feedback_id=f"f{second}", kind="label", name=name, value=value, at=at, by="ann")
    return make.prediction(number, kind=Kind.FEEDBACK, feedback=item, received_at=at)


def feed(store: Any, record: Record) -> None:
    feeding.take_feedback(store, cast(Journal, record), model=make.MODEL, contract=CONTRACT)


def test_in_random_histories_with_kills_every_pair_ends_with_the_valid_label_and_no_other() -> None:
    for seed in range(15):
        luck = random.Random(seed)
        store, record = Store.open("sqlite://", clock=FakeClock()), Record()
        valid: dict[str, tuple[int, str]] = {}
        asked: list[int] = []
        for step in range(30):
            number = luck.randrange(8)
            if luck.random() < 0.5:
                second = luck.choice([step, step + 100 * luck.randrange(2)])
                value = luck.choice("ab")
                name = "kind" if luck.random() < 0.9 else "another"
                record.events.append(told(number, value, second * 1_000 + step, name=name))
                if name == "kind":
                    entry = (second * 1_000 + step, value)
                    valid[f"p{number}"] = max(valid.get(f"p{number}", entry), entry)
            else:
                asked.append(number)
            with suppress(Killed):
                feed(Dying(store, luck), record)
            with suppress(Killed):
                take_pairs(Dying(store, luck), asked[-3:])
        feed(store, record)
        take_pairs(store, asked)
        feed(store, record)
        expected = {f"p{number}": valid.get(f"p{number}", (0, None))[1] for number in set(asked)}
        assert labels_of(store) == expected, seed
        with store.read() as tx:
            known = feedback.values_of(tx, make.MODEL, "kind", [f"p{n}" for n in range(8)])
        assert known == {id_: value for id_, (_, value) in valid.items()}
        store.close()
