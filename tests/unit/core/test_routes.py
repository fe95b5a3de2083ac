from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from scipy import stats

from mainstay.core.events import Arm
from mainstay.core.routes import BundleRef, Route, pick_arm, position

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ONE, TWO = BundleRef(version=1, digest="a"), BundleRef(version=2, digest="b")
KEYS = [f"customer-{i}" for i in range(20_000)]


def route(share: float, *, salt: str = "s", lease_until: datetime | None = NOW + timedelta(minutes=5)) -> Route:
    return Route(model="m", epoch=3, champion=ONE, challenger=TWO, share=share, salt=salt, lease_until=lease_until)


def challenged(share: float, salt: str = "s") -> set[str]:
    return {key for key in KEYS if pick_arm(route(share, salt=salt), key, NOW) is Arm.CHALLENGER}


def test_a_key_gets_the_same_arm_every_time() -> None:
    assert challenged(0.25) == challenged(0.25)


def test_a_key_once_with_the_challenger_stays_there_as_the_share_grows() -> None:
    before: set[str] = set()
    for share in (0.0, 0.05, 0.1, 0.25, 0.5, 1.0):
        now = challenged(share)
        assert before <= now
        before = now
    assert before == set(KEYS)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5])
def test_the_share_is_respected_within_a_binomial_bound(share: float) -> None:
    for salt in ("a", "b", "c"):
        low, high = stats.binom(len(KEYS), share).ppf([1e-4, 1 - 1e-4])
        assert low <= len(challenged(share, salt)) <= high


def test_two_rollouts_pick_keys_independently() -> None:
    both = len(challenged(0.25, "a") & challenged(0.25, "b"))
    low, high = stats.binom(len(KEYS), 0.0625).ppf([1e-4, 1 - 1e-4])
    assert low <= both <= high


def test_positions_are_uniform_and_the_same_in_every_process() -> None:
    assert stats.kstest([position("s", key) for key in KEYS], "uniform").pvalue > 1e-4
    assert position("salt", "key") == 0.9408293432926872
    assert 0.0 <= position("s", "\ud800") < 1.0


def test_the_champion_answers_once_the_lease_is_over() -> None:
    assert pick_arm(route(1.0), "k", NOW + timedelta(minutes=5)) is Arm.CHAMPION
    assert pick_arm(route(1.0), "k", NOW + timedelta(minutes=4)) is Arm.CHALLENGER


def test_a_challenger_without_a_share_answers_nobody() -> None:
    assert pick_arm(route(0.0), "k", NOW) is Arm.CHAMPION


def test_bundles_are_listed_once_champion_first() -> None:
    assert route(0.5).bundles() == (ONE, TWO)
