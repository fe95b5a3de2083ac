"""Rewards by version and arm, a floor that is not kept, and clicks that are only told when they happen."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from mainstay.config.settings import RewardSettings, WatchSettings
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.incidents import Harm, Incident, Severity, State
from mainstay.store import feedback, incidents, reward_sums
from mainstay.store.engine import Store
from mainstay.store.reward_sums import Place
from mainstay.testing.clock import FakeClock
from mainstay.watch import conditions, rewards

HOUR = timedelta(hours=1)


class Shop:
    """Answers and what people did with them, hour by hour."""

    def __init__(self, **declared: RewardSettings) -> None:
        self.clock = FakeClock()
        self.store = Store.open("sqlite://", clock=self.clock)
        self.watch = WatchSettings(rewards=declared)
        self.rng = np.random.default_rng(3)
        self.people = [f"k{n}" for n in self.rng.integers(0, 10**9, 2_000)]

    def hour(self, rate: float, *, answers: int = 200, bundle: str = "m@1", arm: str = "champion") -> None:
        """Let an hour pass in which people click at a rate; each click and each missing one is told."""
        now = self.clock.now()
        found: rewards.Changes = {}
        for who in self.rng.integers(0, len(self.people), answers):
            value = float(self.rng.random() < rate)
            rewards.merge(found, rewards.changes(self.graded(value, self.people[who], now, bundle, arm), None))
        with self.store.begin() as tx:
            reward_sums.add(tx, "m", found)
        self.clock.advance(hours=1)

    def graded(
        self, value: object, key: str, at: datetime, bundle: str = "m@1", arm: str = "champion"
    ) -> feedback.Graded:
        return feedback.Graded(
            model="m", id=f"p-{key}", name="click", value=value, at=at, feedback_id="f", bundle=bundle,
            served_arm=arm, key_hash=key, unit="u", occurred_at=at, label="a", confidence=0.8, correct=None,
        )  # fmt: skip

    def look(self, bundle: str = "m@1") -> conditions.Result:
        now = self.clock.now()
        with self.store.begin() as tx:
            found = rewards.look(tx, "m", bundle, self.watch, now)
            return conditions.settle(tx, model="m", bundle=bundle, family="reward", conditions=found, now=now)

    def incidents(self) -> list[Incident]:
        with self.store.read() as tx:
            return incidents.list_(tx, "m")

    def means(self) -> dict[tuple[str, str], rewards.Mean]:
        with self.store.read() as tx:
            return {(one.bundle, one.arm): one for one in rewards.means(tx, "m", self.watch, self.clock.now())}


@pytest.fixture
def shop() -> Shop:
    return Shop(click=RewardSettings(floor=0.05))


def test_a_click_rate_above_its_floor_is_quiet(shop: Shop) -> None:
    for hour in range(36):
        shop.hour(0.07)
        if hour % 4 == 0:
            shop.look()
    assert shop.incidents() == []


def test_a_click_rate_below_its_floor_pages_within_a_day_with_its_interval(shop: Shop) -> None:
    for hour in range(36):
        shop.hour(0.07)
        if hour % 4 == 0:
            shop.look()
    for _ in range(24):
        shop.hour(0.03)
        if shop.look().opened:
            break
    (incident,) = shop.incidents()
    assert (incident.harm, incident.severity, incident.state) == (Harm.REWARD, Severity.PAGE, State.OPEN)
    assert incident.facts["floor"] == 0.05
    assert incident.facts["mean"] < 0.05
    assert "below its floor of 0.05" in incident.title
    assert "With 95 % confidence" in " ".join(incident.story)
    began = shop.clock.now() - incident.started_at
    assert began <= timedelta(hours=30)


def test_it_is_over_when_a_day_was_not_below_the_floor(shop: Shop) -> None:
    for _ in range(24):
        shop.hour(0.02)
    assert len(shop.look().opened) == 1
    for _ in range(24):
        shop.hour(0.08)
        shop.look()
    assert shop.incidents()[0].state is State.MITIGATED
    shop.hour(0.08)
    assert shop.look().announced == []


def test_another_version_is_judged_by_its_own_answers(shop: Shop) -> None:
    for _ in range(24):
        shop.hour(0.02)
    assert shop.look(bundle="m@2").opened == []
    assert shop.means()["m@1", "champion"].floor == 0.05


def test_means_are_told_by_version_and_arm_with_intervals(shop: Shop) -> None:
    for _ in range(12):
        shop.hour(0.10)
        shop.hour(0.20, bundle="m@2", arm="challenger")
    found = shop.means()
    one, two = found["m@1", "champion"], found["m@2", "challenger"]
    assert one.low is not None
    assert one.high is not None
    assert one.low < 0.10 < one.high < two.mean
    assert one.rows == two.rows == 12 * 200


def test_a_reward_that_replaces_another_takes_its_place_in_the_sums(shop: Shop) -> None:
    now = shop.clock.now()
    with shop.store.begin() as tx:
        reward_sums.add(tx, "m", rewards.changes(shop.graded(1.0, "anna", now), None))
        reward_sums.add(tx, "m", rewards.changes(shop.graded(0.25, "anna", now), 1.0))
        (line,) = reward_sums.lines(tx, "m", ["click"], since=now - HOUR)
    assert (line.rows, line.total, line.square) == (1, 0.25, 0.0625)


@pytest.mark.parametrize("value", ["yes", True, None, float("nan"), float("inf")])
def test_what_is_no_number_is_no_reward(shop: Shop, value: object) -> None:
    assert rewards.changes(shop.graded(value, "anna", shop.clock.now()), None) == {}


def test_a_click_that_is_only_told_when_it_happens_counts_the_others_as_nothing() -> None:
    shop = Shop(click=RewardSettings(floor=0.05, absent=0.0, wait_hours=1))
    for number in range(30):
        now = shop.clock.now()
        asked = [_answer(number * 300 + n, now, f"k{(number * 300 + n) % 700}") for n in range(300)]
        told: rewards.Changes = {}
        for event in asked[:9]:  # three in a hundred click
            rewards.merge(told, rewards.changes(shop.graded(1.0, event.key_hash, now), None))
        with shop.store.begin() as tx:
            rewards.count_answers(tx, "m", asked, shop.watch, after={"w0": number * 300})
            reward_sums.add(tx, "m", told)
        shop.clock.advance(hours=1)
    found = shop.means()["m@1", "champion"]
    assert found.mean == pytest.approx(0.03)
    assert found.rows == 29 * 300  # the last hour waits
    assert len(shop.look().opened) == 1


def test_answers_are_counted_once_and_only_where_a_reward_asks_for_it() -> None:
    shop = Shop(click=RewardSettings(floor=0.05))
    asked = [_answer(n, shop.clock.now(), "anna") for n in range(3)]
    with shop.store.begin() as tx:
        rewards.count_answers(tx, "m", asked, shop.watch, after={})
        assert reward_sums.lines(tx, "m", [""], since=shop.clock.now() - HOUR) == []
        shop.watch = WatchSettings(rewards={"click": RewardSettings(absent=0.0)})
        rewards.count_answers(tx, "m", asked, shop.watch, after={"w0": 1})
        (line,) = reward_sums.lines(tx, "m", [""], since=shop.clock.now() - HOUR)
    assert line.rows == 2


def test_hours_become_days_and_the_sums_stay(shop: Shop) -> None:
    for _ in range(6 * 24):
        shop.hour(0.07, answers=12)
    before = shop.means()["m@1", "champion"]
    with shop.store.begin() as tx:
        assert reward_sums.fold(tx, "m", shop.clock.now()) > 0
        assert reward_sums.fold(tx, "m", shop.clock.now()) == 0
    after = shop.means()["m@1", "champion"]
    assert (after.rows, after.mean) == (before.rows, pytest.approx(before.mean))
    assert after.low == pytest.approx(before.low)


def test_a_group_is_the_same_for_ever() -> None:
    """The stored sums of all projects depend on it."""
    assert [reward_sums.bucket_of(key) for key in ("", "anna", "bert")] == [
        reward_sums.bucket_of(key) for key in ("", "anna", "bert")
    ]
    found = {reward_sums.bucket_of(f"k{n}") for n in range(2_000)}
    assert found == set(range(reward_sums.GROUPS))
    assert Place(name="a", bundle="b", arm="", at=FakeClock().now(), bucket=3).bucket == 3


def _answer(seq: int, at: datetime, key: str) -> Event:
    return Event(
        model="m",
        worker="w0",
        seq=seq + 1,
        id=f"e{seq}",
        kind=Kind.PREDICTION,
        occurred_at=at,
        received_at=at,
        bundle="m@1",
        served_arm=Arm.CHAMPION,
        key_hash=key,
    )
