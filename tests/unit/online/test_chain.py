"""From which state a learner goes on: after a rollback, a refusal, a correction, a training anew."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.core.releases import Release, Stage
from mainstay.online import chain
from mainstay.store.online import State

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def state(n: int, parent: int | None, *, base: int = 1) -> State:
    return State(
        model="m", n=n, parent=parent, base=base, base_digest=f"d{base}", digest=f"s{n}", rows="r", learned=5, at=NOW
    )


def version(number: int, *, of: int | None = None, stage: Stage = Stage.CERTIFIED, gate: str = "pass") -> Release:
    facts: dict[str, Any] = {"gate": {"verdict": gate}}
    if of is not None:
        facts["online"] = {"state": of}
    return Release(model="m", version=number, digest=f"d{number}", stage=stage, since=NOW, created_at=NOW, facts=facts)


LINE = [state(1, None), state(2, 1), state(3, 2), state(4, 3)]


def test_before_the_first_state_the_version_that_answers_is_gone_on_from() -> None:
    found = chain.start(version(1), [], [version(1)])
    assert (found.parent, found.anchor, found.line, found.since) == (None, None, (), ())
    assert found.why == "goes on from m@1, which answers"


def test_the_newest_state_is_gone_on_from_while_its_version_is_on_its_way_and_after_it_won() -> None:
    one, two = version(1), version(2, of=3, stage=Stage.CANARY)
    assert chain.start(one, LINE, [one, two]).parent == 4
    old, won = version(1, stage=Stage.RETIRED), version(2, of=3)
    found = chain.start(won, LINE, [old, won])
    assert (found.parent, found.anchor, found.since) == (4, 3, (4,))


@pytest.mark.parametrize(
    ("stage", "gate", "word"),
    [
        (Stage.ROLLED_BACK, "pass", "rolled back"),
        (Stage.QUARANTINED, "pass", "quarantined"),
        (Stage.REFUSED, "fail", "refused by its gate"),
    ],
)
def test_nothing_that_led_to_a_version_that_was_taken_back_is_gone_on_from(stage: Stage, gate: str, word: str) -> None:
    """Not state 3 itself, nor 1 and 2, which hold most of what it learned, nor 4, which holds all of it."""
    one, two = version(1), version(2, of=3, stage=stage, gate=gate)
    found = chain.start(one, LINE, [one, two])
    assert (found.parent, found.line, found.aside) == (None, (), (1, 2, 3))
    assert found.why == f"goes on from m@1, which answers: left is what came after, as m@2 was {word}"
    anew = [*LINE, state(5, None), state(6, 5)]
    assert chain.start(one, anew, [one, two]).line == (5, 6)


def test_not_enough_evidence_is_no_reason_to_leave_what_was_learned() -> None:
    one, two = version(1), version(2, of=3, stage=Stage.REFUSED, gate="not_enough")
    assert chain.start(one, LINE, [one, two]).parent == 4


def test_a_champion_that_was_rolled_back_leaves_the_state_of_the_one_before_it() -> None:
    one, two = version(1, stage=Stage.RETIRED), version(2, of=2)
    three = version(3, of=3, stage=Stage.ROLLED_BACK)
    found = chain.start(two, LINE, [one, two, three])
    assert (found.parent, found.anchor, found.line, found.since) == (2, 2, (1, 2), ())
    # And when a person goes back further, nothing stays of what version 2 learned either.
    two = version(2, of=2, stage=Stage.ROLLED_BACK)
    one = version(1)
    assert chain.start(one, LINE, [one, two, three]).parent is None


def test_what_learned_something_that_is_no_longer_so_is_left_with_what_came_after() -> None:
    one = version(1)
    found = chain.start(one, LINE, [one], spoiled={3: "a label that it learned was corrected"})
    assert found.parent == 2
    assert found.why == "goes on from state 2: left is what came after, as a label that it learned was corrected"
    assert chain.start(one, LINE, [one], lost={4}).parent == 3


def test_a_version_that_was_trained_anew_begins_a_chain_of_its_own() -> None:
    one, two = version(1, stage=Stage.RETIRED), version(2)
    assert chain.start(two, LINE, [one, two]).line == ()
    assert chain.start(two, [*LINE, state(5, None, base=2)], [one, two]).line == (5,)


def along_every_line(
    live: Release, states: list[State], releases: list[Release], spoiled: dict[int, str], lost: set[int]
) -> tuple[int | None, tuple[int, ...]]:
    """Say the same by looking along the line of each state: where to go on, and what is set aside."""
    by_number = {s.n: s for s in states}
    anchor = chain.state_of(live, by_number)
    after: dict[int, tuple[int, ...]] = {}
    for s in states:
        line = chain.line_of(by_number, s.n)
        if anchor is None and by_number[line[0]].base_digest == live.digest:
            after[s.n] = line
        elif anchor is not None and anchor in line[:-1]:
            after[s.n] = line[line.index(anchor) + 1 :]
    gone = {Stage.ROLLED_BACK, Stage.QUARANTINED, Stage.REFUSED}
    back = [n for r in releases if r.stage in gone and (n := chain.state_of(r, by_number)) in after]
    aside = {one for n in back for one in after[n]}
    bad = aside | set(spoiled)
    sound = [n for n, line in after.items() if not bad & set(line) and n not in lost]
    return max(sound, default=anchor), tuple(sorted(aside))


def test_where_to_go_on_is_what_looking_along_every_line_says() -> None:
    luck = random.Random(9)
    chosen = set()
    for _ in range(600):
        states = [state(1, None)]
        for n in range(2, luck.randint(3, 16)):
            parent = luck.choice([None, *range(1, n), n - 1, n - 1])
            states.append(state(n, parent, base=luck.choice([1, 1, 1, 2])))
        stages = [Stage.ROLLED_BACK, Stage.QUARANTINED, Stage.REFUSED, Stage.RETIRED, Stage.CANARY]
        others = [
            version(k, of=luck.choice(states).n, stage=luck.choice(stages), gate="fail")
            for k in range(3, 3 + luck.randint(0, 3))
        ]
        live = version(1) if luck.random() < 0.5 else version(2, of=luck.choice(states).n)
        spoiled = {luck.choice(states).n: "corrected" for _ in range(luck.randint(0, 2))}
        lost = {luck.choice(states).n for _ in range(luck.randint(0, 2))}
        found = chain.start(live, states, [live, *others], spoiled=spoiled, lost=lost)
        assert (found.parent, found.aside) == along_every_line(live, states, [live, *others], spoiled, lost)
        chosen.add(found.parent)
    assert len(chosen) > 8


def test_whatever_happens_nothing_is_gone_on_from_that_holds_what_was_taken_back() -> None:
    """Random histories; held by brute force: no state of the line since the champion is in a version taken back."""
    luck = random.Random(4)
    for _ in range(400):
        states: list[State] = []
        versions = [version(1)]
        live = versions[0]
        for _ in range(luck.randint(1, 14)):
            found = chain.start(live, states, versions)
            root = chain.line_of({s.n: s for s in states}, found.parent)
            base = states[root[0] - 1].base if root else live.version
            states.append(state(len(states) + 1, found.parent, base=base))
            act = luck.random()
            if act < 0.3:
                stage = luck.choice([Stage.ROLLED_BACK, Stage.REFUSED, Stage.CANARY])
                gate = "fail" if stage is Stage.REFUSED else "pass"
                versions.append(version(len(versions) + 1, of=states[-1].n, stage=stage, gate=gate))
            elif act < 0.5:
                live = version(len(versions) + 1, of=states[-1].n)
                versions.append(live)
            elif act < 0.55:
                live = version(len(versions) + 1)
                versions.append(live)
        found = chain.start(live, states, versions)
        by_number = {s.n: s for s in states}
        held: set[int] = set()
        for one in versions:
            if one.stage in (Stage.ROLLED_BACK, Stage.REFUSED):
                number = chain.state_of(one, by_number)
                held |= set(chain.line_of(by_number, number))
        anchor = chain.state_of(live, by_number)
        known = set(chain.line_of(by_number, anchor))
        assert not (set(found.line) - known) & held
        assert known <= set(found.line)


def test_numbers_become_ranges_and_back() -> None:
    luck = random.Random(1)
    for _ in range(50):
        numbers = sorted(luck.sample(range(1, 60), luck.randint(0, 40)))
        ranges = chain.runs(numbers)
        assert [n for first, last in ranges for n in range(first, last + 1)] == numbers
        assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(ranges))
