"""Requests, labels and clients that used to come and are gone; counted once, whatever is killed."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from mainstay.core.calls import LOAD_TEST
from mainstay.core.events import Event, Kind
from mainstay.core.incidents import Severity, State
from mainstay.store import feeds as rows
from mainstay.store import incidents
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import conditions, feeds


class Town:
    """Clients that send, a loop that counts, and a look at the feeds."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store.open("sqlite://", clock=self.clock)
        self.seq = 0
        self.place: dict[str, int] = {}

    def event(self, key: str, **changes: object) -> Event:
        self.seq += 1
        now = self.clock.now()
        made = Event(
            model="m",
            worker="w0",
            seq=self.seq,
            id=f"e{self.seq}",
            kind=Kind.PREDICTION,
            occurred_at=now,
            received_at=now,
            key_hash=key,
        )
        return msgspec.structs.replace(made, **changes)

    def count(self, events: list[Event], *, whole: bool = True) -> None:
        with self.store.begin() as tx:
            feeds.count(tx, "m", events, after=self.place, whole=whole, now=self.clock.now())
        for event in events:
            self.place[event.worker] = max(self.place.get(event.worker, 0), event.seq)

    def live(self, hours: float, *, clients: dict[str, int], labels: int = 0, step: float = 0.25) -> None:
        """Let so much time pass; each client sends so many requests in each quarter of an hour."""
        for _ in range(int(hours / step)):
            self.count([self.event(key) for key, n in clients.items() for _ in range(n)])
            if labels:
                with self.store.begin() as tx:
                    feeds.count_labels(tx, "m", [self.clock.now()] * labels)
            self.clock.advance(hours=step)

    def look(self) -> dict[str, conditions.Condition]:
        with self.store.begin() as tx:
            return {one.name: one for one in feeds.look(tx, "m", times=3.0, now=self.clock.now())}

    def settle(self) -> conditions.Result:
        with self.store.begin() as tx:
            found = feeds.look(tx, "m", times=3.0, now=self.clock.now())
            now = self.clock.now()
            return conditions.settle(tx, model="m", bundle="m@1", family="feed", conditions=found, now=now)


TWO = {"anna": 12, "bert": 4}


@pytest.fixture(scope="module")
def week() -> Town:
    """Return a town after eight days."""
    town = Town()
    town.live(8 * 24, clients=TWO, labels=2)
    return town


@pytest.fixture
def town(week: Town) -> Town:
    """Return a copy of it."""
    made = Town()
    made.clock.advance(seconds=(week.clock.now() - made.clock.now()).total_seconds())
    made.seq, made.place = week.seq, dict(week.place)
    with week.store.read() as old, made.store.begin() as new:
        for table in (rows.table, feeds.states.table):
            for row in old.execute(table.select()).mappings():
                new.execute(table.insert().values(**row))
    return made


def test_an_ordinary_week_holds_nothing(town: Town) -> None:
    found = town.look()
    assert {one.holds for one in found.values()} == {False}
    assert set(found) == {"traffic", "labels", "client:anna", "client:bert"}


def test_traffic_that_stops_pages_and_is_told_as_one_thing(town: Town) -> None:
    town.live(1.75, clients={})
    found = town.look()
    assert found["traffic"].holds is True
    told = found["traffic"].told
    assert told is not None
    assert told.severity is Severity.PAGE
    assert "No request came for" in told.title
    assert [found[name].holds for name in ("labels", "client:anna", "client:bert")] == [None, None, None]


def test_one_client_that_is_gone_is_told_and_ends_when_it_sends_again(town: Town) -> None:
    town.live(2, clients={"anna": 12}, labels=2)
    opened = town.settle().opened
    assert [(i.severity, i.facts[conditions.CONDITION]) for i in opened] == [(Severity.WATCH, "feed:client:bert")]
    assert "24% of the traffic" in opened[0].title
    town.live(2.5, clients=TWO, labels=2)
    town.settle()
    town.live(1.25, clients=TWO, labels=2)
    assert [i.id for i in town.settle().mitigated] == [opened[0].id]
    with town.store.read() as tx:
        assert incidents.get(tx, opened[0].id).state is State.MITIGATED


def test_labels_that_stay_away_are_told_while_requests_come(town: Town) -> None:
    town.live(1.75, clients=TWO)
    found = town.look()
    assert (found["labels"].holds, found["traffic"].holds) == (True, False)


def test_what_the_loop_has_not_read_yet_is_no_gap(town: Town) -> None:
    """The loop was away for a day and reads what came meanwhile piece by piece."""
    late = [town.event("anna", received_at=town.clock.now() + timedelta(minutes=n)) for n in range(30)]
    town.clock.advance(days=1)
    town.count(late, whole=False)
    assert town.look()["traffic"].holds is False
    town.count([], whole=True)
    assert town.look()["traffic"].holds is True


def test_a_thousand_customers_are_no_clients(town: Town) -> None:
    fresh = Town()
    for _ in range(40):
        fresh.count([fresh.event(f"customer-{fresh.seq % 1000}") for _ in range(200)])
        fresh.clock.advance(minutes=15)
    with fresh.store.read() as tx:
        found = rows.series(tx, "m", until=fresh.clock.now(), days=35)
    assert set(found) == {"traffic"}
    assert sum(found["traffic"]) == 8_000
    del town


def test_requests_are_counted_once_and_load_tests_and_records_of_others_not() -> None:
    town = Town()
    asked = [town.event("anna") for _ in range(5)]
    strangers = [
        town.event("anna", kind=Kind.FEEDBACK),
        town.event("anna", model="other"),
        town.event("anna", trace_id=f"{LOAD_TEST}{'0' * 16}"),
    ]

    def killed() -> None:
        with town.store.begin() as tx:
            feeds.count(tx, "m", asked, after={}, whole=True, now=town.clock.now())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    town.count([*asked, *strangers])
    town.count([*asked, *strangers])
    town.clock.advance(minutes=15)
    with town.store.read() as tx:
        assert rows.series(tx, "m", until=town.clock.now(), days=1)["traffic"] == [5]


def test_the_sketch_keeps_who_sends_much_among_many_who_send_little() -> None:
    town = Town()
    for number in range(60):
        some = [town.event("big") for _ in range(10)] + [town.event(f"small-{number}-{n}") for n in range(90)]
        town.count(some)
    found = feeds._Sketch.of(_kept(town)["clients"])
    assert len(found.counts) <= feeds.CLIENTS
    # Misra and Gries: it lacks at most n / CLIENTS of what it is.
    assert 600 - 6_000 / feeds.CLIENTS <= found.counts["big"] <= 600


def _kept(town: Town) -> dict[str, object]:
    with town.store.read() as tx:
        found = feeds.states.get(tx, "feeds:m")
    assert found is not None
    return found[0]


def test_days_that_nothing_reaches_back_to_go(town: Town) -> None:
    with town.store.begin() as tx:
        rows.drop_old(tx, "m", town.clock.now() + timedelta(days=60))
        assert rows.series(tx, "m", until=town.clock.now(), days=35) == {}
