"""A turn looks at what is a plain fact, and whoever lives says when nobody turns."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from loop_kit import MODEL, Shop
from mainstay import loop, upkeep, watchdog
from mainstay.core.events import Event, Feedback, Kind
from mainstay.core.incidents import CONDITION, Incident, State, condition_of
from mainstay.store import feeds as feed_rows
from mainstay.store import heartbeats, incidents, reward_sums, states
from mainstay.store.tables import alerts
from mainstay.testing.clock import FakeClock
from mainstay.watch import heartbeat


def clock_of(shop: Shop) -> FakeClock:
    assert isinstance(shop.clock, FakeClock)
    return shop.clock


def declare(shop: Shop, text: str) -> None:
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("[retrain]", f"{text}\n[retrain]"), encoding="utf-8")


def compute_again(shop: Shop, rows: int = 32) -> None:
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("skew_rows = 0", f"skew_rows = {rows}"), encoding="utf-8")


def facts(shop: Shop) -> dict[str, Incident]:
    with shop.parts().store.read() as tx:
        return {condition_of(one): one for one in incidents.list_(tx, MODEL) if condition_of(one)}


def state_of(shop: Shop, name: str) -> dict[str, Any]:
    with shop.parts().store.read() as tx:
        found = states.get(tx, name)
    assert found is not None
    return found[0]


def test_a_turn_tries_the_watch_with_the_live_profile_and_it_passes(shop: Shop) -> None:
    shop.turns(1)
    kept = state_of(shop, f"probe:{MODEL}")
    assert (kept["bundle"], kept["quiet"], kept["bad"]) == (f"{MODEL}@1", True, True)
    with shop.parts().store.read() as tx:
        vital = heartbeat.read(tx, MODEL, within=timedelta(minutes=2), now=shop.clock.now())
    assert (vital.believable, vital.why_not) == (True, "")
    assert facts(shop) == {}


def test_requests_and_labels_are_counted_by_the_turn_that_takes_them(shop: Shop) -> None:
    asked = shop.customers(30)
    shop.label([event.id for event in asked[:7]])
    shop.turns(2)
    clock_of(shop).advance(minutes=30)
    with shop.parts().store.read() as tx:
        found = feed_rows.series(tx, MODEL, until=shop.clock.now(), days=2)
    assert sum(found["traffic"]) >= 30
    assert sum(found["labels"]) >= 7


def test_rewards_reach_their_sums_once_and_one_that_is_corrected_takes_its_place(shop: Shop) -> None:
    asked = shop.customers(5)

    def told(tag: str, value: float, minutes: int) -> None:
        at = shop.clock.now() + timedelta(minutes=minutes)

        def make(seq: int) -> list[Event]:
            return [
                shop._event(
                    seq + n,
                    0,
                    kind=Kind.FEEDBACK,
                    id=event.id,
                    feedback=Feedback(
                        id=event.id, feedback_id=f"{tag}{n}", kind="reward", name="click", value=value, at=at
                    ),
                )
                for n, event in enumerate(asked)
            ]

        shop.write(make)

    told("a", 1.0, 0)
    shop.turns(2)
    told("b", 0.25, 5)
    told("c", 0.75, 1)  # older than b: comes late and changes nothing
    shop.turns(2)
    with shop.parts().store.read() as tx:
        lines = reward_sums.lines(tx, MODEL, ["click"], since=shop.clock.now() - timedelta(days=1))
    assert (sum(one.rows for one in lines), sum(one.total for one in lines)) == (5, 1.25)
    assert {(one.place.bundle, one.place.arm) for one in lines} == {(f"{MODEL}@1", "champion")}


def test_a_version_that_is_too_old_is_told_by_a_turn(shop: Shop) -> None:
    declare(shop, "max_age_days = 30")
    clock_of(shop).advance(days=31)
    shop.turns(2)
    found = facts(shop)["age:version"]
    assert found.state is State.OPEN
    assert "30 are allowed" in found.title
    with shop.parts().store.read() as tx:
        titles = [row.title for row in tx.execute(select(alerts))]
    assert sum("days old" in title for title in titles) == 1


def test_served_rows_are_computed_again_and_agree(shop: Shop) -> None:
    compute_again(shop)
    shop.customers(40)
    shop.turns(2)
    clock_of(shop).advance(hours=2)
    shop.turns(1)
    (sample,) = [one for one in state_of(shop, f"skew:{MODEL}")["samples"] if one["bundle"] == f"{MODEL}@1"]
    assert (sample["rows"], sample["counts"], sample["why"]) == (32, {}, "")
    assert not any(name.startswith("skew:") for name in facts(shop))


def test_served_rows_that_come_out_otherwise_are_an_incident(shop: Shop) -> None:
    compute_again(shop)
    shop.customers(40, label="tool", confidence=0.123)
    shop.turns(2)
    clock_of(shop).advance(hours=2)
    shop.turns(1)
    told = facts(shop)[f"skew:{MODEL}@1"]
    assert told.facts["counts"] == {"answer": 32}


def test_a_model_that_took_the_loop_with_it_is_left_alone_for_a_day(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_again(shop)
    shop.customers(40)
    shop.turns(2)
    clock_of(shop).advance(hours=2)
    asked: list[object] = []

    def dies(act: object, _seconds: float) -> None:
        asked.append(act)
        raise KeyboardInterrupt

    monkeypatch.setattr(upkeep, "_in_time", dies)
    for hours in (0, 2, 12):
        clock_of(shop).advance(hours=hours)
        parts = shop.parts()
        if not asked:
            with pytest.raises(KeyboardInterrupt):
                loop.turn(parts)
        else:
            loop.turn(parts)
    assert len(asked) == 1
    clock_of(shop).advance(hours=11)
    with pytest.raises(KeyboardInterrupt):
        loop.turn(shop.parts())


def test_a_model_that_does_not_come_back_keeps_no_turn(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_again(shop)
    shop.customers(40)
    shop.turns(2)
    clock_of(shop).advance(hours=2)
    hangs = threading.Event()
    monkeypatch.setattr(upkeep, "SKEW_S", 0.05)
    monkeypatch.setattr(upkeep, "_examined", lambda *_: hangs.wait(120))
    shop.turns(1)
    kept = state_of(shop, f"skew:{MODEL}")
    hangs.set()
    assert (kept["trying"], kept["samples"][0]["rows"]) == ([f"{MODEL}@1"], 0)
    assert "took longer" in kept["samples"][0]["why"]


def test_a_family_that_fails_keeps_no_other_from_its_look_and_the_turn_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(shop, "max_age_days = 30")
    clock_of(shop).advance(days=31)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no feeds")

    monkeypatch.setattr(upkeep.feeds, "look", broken)
    report = loop.turn(shop.parts())
    assert "feed: ZeroDivisionError: no feeds" in report.failed["upkeep"]
    assert "age:version" in facts(shop)


def test_the_watchdog_tells_a_dead_loop_sends_the_alert_itself_and_ends_it_when_it_turns(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.turns(1)
    parts = shop.parts()
    assert watchdog.look(parts)["up"] is True
    assert facts(shop) == {}
    clock_of(shop).advance(seconds=119)
    assert watchdog.look(parts)["up"] is True
    clock_of(shop).advance(seconds=2)
    for _ in range(3):
        told = watchdog.look(parts)
    assert (told["up"], "has finished no turn" in told["why_not"]) == (False, True)
    dead = facts(shop)["heartbeat:loop"]
    assert (dead.state, dead.facts[CONDITION]) == (State.OPEN, "heartbeat:loop")
    with parts.store.read() as tx:
        rows = tx.execute(select(alerts)).all()
    assert [row.sent_at is not None for row in rows if "Nothing is watched" in row.title] == [True]
    assert sum("Nothing is watched" in record.getMessage() for record in caplog.records) == 1
    with parts.store.begin() as tx:
        heartbeats.beat(tx, "loop", shop.clock.now(), {"failed": {}})
    assert watchdog.look(parts)["up"] is True
    assert facts(shop)["heartbeat:loop"].state is State.MITIGATED


def test_a_machine_that_slept_has_no_dead_loop_until_it_was_waited_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.turns(1)
    parts, seen, waited = shop.parts(), watchdog.Seen(), [0.0]
    monkeypatch.setattr(type(parts.clock), "monotonic", lambda _self: waited[0])
    clock_of(shop).advance(hours=9)
    watchdog.look(parts, seen=seen)
    assert facts(shop) == {}
    waited[0] = 119.0
    watchdog.look(parts, seen=seen)
    assert facts(shop) == {}
    waited[0] = 121.0
    watchdog.look(parts, seen=seen)
    assert facts(shop)["heartbeat:loop"].state is State.OPEN


def test_a_turn_ends_what_the_watchdog_told(shop: Shop) -> None:
    shop.turns(1)
    clock_of(shop).advance(minutes=10)
    watchdog.look(shop.parts())
    assert facts(shop)["heartbeat:loop"].state is State.OPEN
    shop.turns(1)
    assert facts(shop)["heartbeat:loop"].state is State.MITIGATED


def test_a_project_whose_loop_never_ran_has_no_dead_one(shop: Shop) -> None:
    parts = shop.parts()
    with parts.store.begin() as tx:
        tx.execute(heartbeats.table.delete())
    told = watchdog.look(parts)
    assert (told["turn_at"], told["up"]) == (None, False)
    assert facts(shop) == {}
