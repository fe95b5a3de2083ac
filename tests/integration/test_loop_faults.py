"""Loops that are killed or stand still at a place: a rollout's effects are there exactly once all the same.

The whole table (every place, on SQLite and PostgreSQL) is `make faults`; here are the places where most could go wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import postgres_kit
from faults_kit import Zygote, one_rollout, prepared, zygotes
from loop_kit import Shop
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with zygotes() as made:
        yield made


@pytest.mark.parametrize(
    ("place", "action", "nth", "loops"),
    [
        ("move.staged", "kill", 3, 1),
        ("rollout.committed", "kill", 1, 3),
        ("rollout.read", "stop", 2, 3),
        ("aliases.begin", "stop", 1, 3),
    ],
)
def test_whatever_happens_to_the_leader_each_effect_is_there_once(
    trained_shop: Shop, tmp_path: Path, zygote: Zygote, place: str, action: str, nth: int, loops: int
) -> None:
    shop = prepared(trained_shop, tmp_path)
    found = one_rollout(shop, zygote, tmp_path, place=place, action=action, nth=nth, loops=loops)
    shop.close()
    assert found.wrong() == []
    assert found.fell >= 1


def test_on_postgresql_a_leader_that_stands_still_within_a_transaction_is_thrown_out_of_it(
    trained_shop: Shop, tmp_path: Path, zygote: Zygote
) -> None:
    with postgres_kit.running() as server:
        source = f"sqlite:///{trained_shop.state}/store.db"

        def fill(url: str) -> None:
            with closing(Store.open(source, clock=FakeClock())) as store:
                postgres_kit.fill(url, store)

        shop = prepared(trained_shop, tmp_path, url=server.new_database(), fill=fill)
        found = one_rollout(shop, zygote, tmp_path, place="move.staged", action="stop", nth=2, loops=3)
        shop.close()
    assert found.wrong() == []
    assert found.fell >= 1
