"""One turn is a function of the store and the journal, and can be killed at any commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loop_kit import InlineRunner, Shop
from mainstay import loop
from mainstay.core.events import Arm
from mainstay.store import feedback, jobs
from mainstay.testing.clock import FakeClock

TURNS = 3
"""After so many there is nothing left to do in any phase of the story."""
OF_THE_TRY = frozenset({"jobs.attempts", "jobs.owner", "jobs.due_at", "jobs.updated_at"})
"""Columns that tell how often a job was begun."""


def clock_of(shop: Shop) -> FakeClock:
    assert isinstance(shop.clock, FakeClock)
    return shop.clock


def the_second_version_starts(shop: Shop) -> None:
    shop.customers(50)


def people_write_and_tell(shop: Shop) -> None:
    """Labels come early, late, twice, and for predictions that nobody made."""
    shop.label(["p70", "p71", "nobody-1"])
    shop.customers(40)
    shop.refuse(5)
    shop.label([f"p{n}" for n in range(30)])
    shop.label([f"p{n}" for n in range(10, 35)])
    shop.label(["p3"], value="tool", tag="corrected")


def others_come(shop: Shop) -> None:
    shop.compare(shop.customers(100, slang=0.9), version=2)


def the_second_answers_half(shop: Shop) -> None:
    asked = shop.customers(
        25, version=2, assigned_arm=Arm.CHALLENGER, served_arm=Arm.CHALLENGER, route_epoch=99, key_hash="k"
    )
    shop.compare(asked, version=1)
    shop.label([event.id for event in asked[:5]])


def hours_pass(shop: Shop) -> None:
    clock_of(shop).advance(hours=2)


def many_tell(shop: Shop) -> None:
    shop.label([f"p{n}" for n in range(40, 180)])
    clock_of(shop).advance(minutes=1)


STORY: tuple[Callable[[Shop], None], ...] = (
    the_second_version_starts,
    people_write_and_tell,
    others_come,
    the_second_answers_half,
    hours_pass,
    many_tell,
)


def settle(shop: Shop, runner: loop.Runner | None = None) -> dict[str, list[Any]]:
    """Turn until nothing is left, a job of a dead process included; return what the store then holds."""
    shop.turns(TURNS, runner=runner)
    clock_of(shop).advance(seconds=200)
    shop.turns(TURNS, runner=runner)
    return shop.dump(without=OF_THE_TRY)


def test_the_story_has_every_kind_of_work(shop: Shop) -> None:
    for act in STORY:
        act(shop)
        found = settle(shop)
    assert shop.stages() == {1: "retired", 2: "certified"}
    counts = {table: len(rows) for table, rows in found.items()}
    assert counts["feedback"] == 2 + 1 + 35 + 1 + 5 + 140 - 2
    assert counts["labels"] == counts["feedback"] - 2
    assert counts["pairs"] == 125
    assert sum(block["rows"] for block in found["blocks"]) + 0 >= 200
    assert [job["state"] for job in found["jobs"]] == ["done"]
    assert found["incidents"]
    assert found["alerts"]
    assert shop.registry.pointed == {"champion": "2"}


def test_the_same_journal_and_store_give_the_same_result(shop: Shop, tmp_path: Path) -> None:
    for number, act in enumerate(STORY):
        act(shop)
        twin = shop.copy(tmp_path / f"twin-{number}", clock=FakeClock(shop.clock.now()))
        assert [r.done for r in shop.turns(TURNS)] == [r.done for r in twin.turns(TURNS)]
        assert shop.dump() == twin.dump()
        twin.close()


def test_a_turn_with_nothing_new_changes_nothing(shop: Shop) -> None:
    for act in STORY:
        act(shop)
        before = settle(shop)
        assert [report.done for report in shop.turns(2)] == [[], []]
        assert shop.dump(without=OF_THE_TRY) == before


@pytest.mark.parametrize("phase", range(len(STORY)), ids=[act.__name__ for act in STORY])
def test_killed_at_any_commit_and_run_again_it_ends_the_same(shop: Shop, phase: int) -> None:
    for act in STORY[:phase]:
        act(shop)
        settle(shop)
    STORY[phase](shop)
    before, now = shop.saved(), shop.clock.now()
    wanted = settle(shop)
    kills = 0
    for keep in (False, True):
        at, more = 1, True
        while more:
            shop.restore(before)
            clock_of(shop).jump(now)
            more = shop.killed_turns(TURNS, at=at, keep=keep)
            if more:
                assert settle(shop) == wanted, f"killed at commit {at}, {'after' if keep else 'before'} it"
                kills, at = kills + 1, at + 1
    assert kills > 20
