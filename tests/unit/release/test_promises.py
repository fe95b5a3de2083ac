"""The ledger: what the gate promised beside what was seen, one entry for each promotion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection, update

from mainstay.core.releases import Stage
from mainstay.release import manual, promises
from mainstay.store import promotions, releases
from mainstay.store.engine import Store
from mainstay.store.promotions import Promotion
from mainstay.store.tables import promotions as table
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

GATE = {
    "checks": [
        {
            "name": "not_worse",
            "numbers": {"rows": 900, "accuracy": {"difference": 0.02, "low": 0.0, "high": 0.04, "margin": 0.02}},
        },
        {"name": "not_worse_on_recent", "numbers": {"rows": 0}},
    ]
}


@pytest.fixture
def tx() -> Iterator[Connection]:
    with closing(Store.open("sqlite://", clock=FakeClock())) as store, store.begin() as opened:
        yield opened


def promoted(tx: Connection) -> Promotion:
    for version in (1, 2):
        releases.add(tx, make.release(version, facts={"gate": GATE}))
        manual.promote(tx, model=make.MODEL, version=version, by="ann", reason="because", now=make.NOW)
    (found,) = promotions.all_of(tx, make.MODEL)
    return found


def test_a_promotion_is_entered_with_what_the_gate_promised(tx: Connection) -> None:
    found = promoted(tx)
    assert (found.version, found.champion, found.outcome, found.by) == (2, 1, "", "ann")
    assert found.promised == {
        "accuracy": {"difference": 0.02, "low": 0.0, "high": 0.04, "margin": 0.02, "source": "not_worse"}
    }


@pytest.mark.parametrize("outcome", ["certified", "rolled_back"])
def test_an_entry_is_closed_with_its_probation_and_not_again(tx: Connection, outcome: str) -> None:
    promoted(tx)
    live = releases.get(tx, make.MODEL, 2)
    do = (
        manual.certify
        if outcome == "certified"
        else lambda tx, release, **more: manual.rollback(tx, model=make.MODEL, **more)
    )
    do(tx, live, by="ann", reason="seen enough", now=make.NOW)  # type: ignore[operator]
    (found,) = promotions.all_of(tx, make.MODEL)
    assert (found.outcome, found.closed_at) == (outcome, make.NOW)
    promotions.close(tx, make.MODEL, 2, outcome="certified", final={}, now=make.NOW)
    assert promotions.all_of(tx, make.MODEL)[0].outcome == outcome


def test_a_champion_that_is_followed_on_probation_closes_its_entry(tx: Connection) -> None:
    promoted(tx)
    releases.add(tx, make.release(3))
    manual.promote(tx, model=make.MODEL, version=3, by="ann", reason="because", now=make.NOW)
    assert [(e.version, e.outcome) for e in promotions.all_of(tx, make.MODEL)] == [(3, ""), (2, "certified")]
    assert releases.get(tx, make.MODEL, 2).stage is Stage.RETIRED


@pytest.mark.parametrize(
    ("online", "kept"),
    [
        ({"low": -0.01, "high": 0.03, "units": 400}, "kept"),
        ({"low": -0.10, "high": -0.01, "units": 400}, "missed"),
        ({"low": -0.10, "high": 0.03, "units": 400}, "not_enough"),
        ({"low": -0.01, "high": 0.03, "units": 0}, "not_enough"),
        ({}, "not_enough"),
    ],
)
def test_a_promise_is_kept_or_missed_only_where_the_intervals_say_so(online: dict[str, Any], kept: str) -> None:
    promised = {"accuracy": {"difference": 0.02, "low": 0.0, "high": 0.04, "margin": 0.02}}
    entry = Promotion(
        model="m", seq=1, version=2, champion=1, at=make.NOW, by="x", promised=promised, final={"accuracy": online}
    )
    assert promises.kept(entry) == {"accuracy": kept}


def test_an_entry_that_was_changed_shows(tx: Connection) -> None:
    promoted(tx)
    assert promises.problems(tx, make.MODEL) == []
    tx.execute(update(table).values(promised={"accuracy": {"difference": 0.2}}))
    assert len(promises.problems(tx, make.MODEL)) == 1
