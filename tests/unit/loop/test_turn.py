"""One turn is a function of the store and the journal, and can be killed at any commit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from loop_kit import Death, Shop
from mainstay.core.events import Arm
from mainstay.testing.clock import FakeClock

TURNS = 3
"""After so many there is nothing left to do in any phase of the story."""
OF_THE_TRY = frozenset({"jobs.attempts", "jobs.owner", "jobs.due_at", "jobs.updated_at", "states.version"})
"""Columns that tell how often something was begun."""
LEFT_BEHIND = frozenset({"running"})


def clock_of(shop: Shop) -> FakeClock:
    assert isinstance(shop.clock, FakeClock)
    return shop.clock


def people_write_and_tell(shop: Shop) -> None:
    """The second version starts. Labels come early, late, twice, and for predictions that nobody made."""
    shop.label(["p70", "p71", "nobody-1"])
    shop.customers(90)
    shop.refuse(5)
    shop.label([f"p{n}" for n in range(30)])
    shop.label([f"p{n}" for n in range(10, 35)])
    shop.label(["p3"], value="tool", tag="corrected")


def others_come(shop: Shop) -> None:
    """Users whom the model never met; the second version scores what they ask."""
    shop.compare(shop.customers(100, slang=0.9), version=2)


def the_second_answers_half(shop: Shop) -> None:
    asked = shop.customers(
        25, version=2, assigned_arm=Arm.CHALLENGER, served_arm=Arm.CHALLENGER, route_epoch=99, key_hash="k"
    )
    shop.compare(asked, version=1)
    shop.label([event.id for event in asked[:5]])


def many_tell(shop: Shop) -> None:
    """Its probation is over, the first version scored in reverse, and there are labels enough to train a third."""
    shop.compare(shop.customers(12, version=2, route_epoch=99), version=1)
    clock_of(shop).advance(hours=2)
    shop.label([f"p{n}" for n in range(40, 110)])
    clock_of(shop).advance(minutes=1)


STORY: tuple[Callable[[Shop], None], ...] = (people_write_and_tell, others_come, the_second_answers_half, many_tell)
WITH_DEEDS = (many_tell,)
"""Here something is done beside the store (a job begins): dead before a commit is not dead after the last one."""


def settle(shop: Shop) -> dict[str, list[Any]]:
    """Turn until nothing is left, a job of a dead process included; return what the store then holds."""
    shop.turns(TURNS)
    if LEFT_BEHIND.intersection(job["state"] for job in shop.dump()["jobs"]):
        clock_of(shop).advance(seconds=200)
        shop.turns(TURNS)
    return shop.dump(without=OF_THE_TRY)


def test_the_story_has_every_kind_of_work(shop: Shop) -> None:
    for act in STORY:
        act(shop)
        found = settle(shop)
    assert shop.stages() == {1: "retired", 2: "certified"}
    counts = {table: len(rows) for table, rows in found.items()}
    assert counts["feedback"] == 2 + 1 + 35 + 1 + 5 + 70 - 2
    assert counts["labels"] == counts["feedback"] - 2
    assert counts["pairs"] == 137
    assert [job["state"] for job in found["jobs"]] == ["done"]
    assert found["incidents"]
    assert found["alerts"]
    assert shop.registry.pointed == {"champion": "2"}


def test_the_same_journal_and_store_give_the_same_result(shop: Shop, tmp_path: Path) -> None:
    for number, act in enumerate(STORY):
        act(shop)
        twin = shop.copy(
            tmp_path / f"twin-{number}", clock=FakeClock(shop.clock.now(), monotonic=shop.clock.monotonic())
        )
        assert [r.done for r in shop.turns(TURNS)] == [r.done for r in twin.turns(TURNS)]
        assert shop.dump() == twin.dump()
        twin.close()


def test_a_turn_with_nothing_new_changes_nothing(shop: Shop) -> None:
    for act in STORY:
        act(shop)
        before = settle(shop)
        assert [report.done for report in shop.turns(2)] == [[], []]
        assert shop.dump(without=OF_THE_TRY) == before


def test_killed_at_any_commit_and_run_again_it_ends_the_same(shop: Shop) -> None:
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("timeout_s = 600", "timeout_s = 60"))  # a dead training's lease, but 60 s
    kills = 0
    for act in STORY:
        act(shop)
        before, now = shop.saved(), shop.clock.now()
        wanted = settle(shop)
        after, then = shop.saved(), shop.clock.now()
        for keep in (False, True) if act in WITH_DEEDS else (False,):
            at = 0
            while (death := killed_at(shop, before, now, at=(at := at + 1), keep=keep)) is not None:
                if death.wrote:
                    kills += 1
                    found = settle(shop)
                    assert found == wanted, f"{act.__name__}: killed {'after' if keep else 'before'} commit {at}"
        shop.restore(after)
        clock_of(shop).travel(then)
    assert kills > 35


def killed_at(shop: Shop, before: bytes, now: datetime, *, at: int, keep: bool) -> Death | None:
    shop.restore(before)
    clock_of(shop).travel(now)
    return shop.killed_turns(2, at=at, keep=keep)
