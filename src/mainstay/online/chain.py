"""From which state a learner goes on: pure rules over its states and the versions made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mainstay.core.releases import Release, Stage
from mainstay.core.verdicts import Verdict
from mainstay.store.online import State

FACT = "online"
"""Name of the fact of a version that was learned online."""
_GONE = frozenset({Stage.ROLLED_BACK, Stage.QUARANTINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a learner goes on."""

    parent: int | None
    """The state; None: the bundle of the version that answers, which was not learned online."""
    anchor: int | None
    """The state of the version that answers; None where that was not learned online."""
    line: tuple[int, ...]
    """The chain up to `parent`, oldest first."""
    why: str
    aside: tuple[int, ...] = ()
    """States that led to a version that was taken back: what they learned is not learned again by itself."""

    @property
    def since(self) -> tuple[int, ...]:
        """Return the states of the line that the version that answers does not know."""
        after = 0 if self.anchor is None else self.line.index(self.anchor) + 1
        return self.line[after:]


def state_of(release: Release, states: Mapping[int, State]) -> int | None:
    """Return the state that a version was made of; None for one that was not learned online."""
    told = release.facts.get(FACT)
    number = told.get("state") if isinstance(told, Mapping) else None
    return number if isinstance(number, int) and number in states else None


def line_of(states: Mapping[int, State], number: int | None) -> tuple[int, ...]:
    """Return the chain of a state, oldest first."""
    found: list[int] = []
    while number is not None:
        found.append(number)
        number = states[number].parent
    return tuple(reversed(found))


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as ranges with both ends."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def start(
    live: Release,
    states: Sequence[State],
    releases: Sequence[Release],
    *,
    spoiled: Mapping[int, str] | None = None,
    lost: Collection[int] = (),
) -> Start:
    """Return where to go on.

    The newest state that came from the version that answers is gone on from. Left are those that led to a version that
    was taken back or that the gate said no to, all of them since the version that answers (what they learned is set
    aside), and what came after these; those that learned what is no longer so (`spoiled`, by why) and what came after;
    and those whose bytes are not here (`lost`). Where none stays, the version that answers is gone on from.
    """
    by_number = {state.n: state for state in states}
    anchor = state_of(live, by_number)
    lines = {state.n: line for state in states if (line := _after(by_number, state.n, anchor, live)) is not None}
    back = {n: release for release in releases if (n := _taken_back(release, by_number)) in lines}
    bad: dict[int, str] = {}
    for number, release in back.items():
        for one in lines[number]:
            bad.setdefault(one, f"{release.name} was {_what(release)}")
    aside = tuple(sorted(bad))
    for number, why in (spoiled or {}).items():
        bad.setdefault(number, why)
    sound = [n for n, line in lines.items() if bad.keys().isdisjoint(line) and n not in lost]
    chosen = max(sound, default=anchor)
    why = _told(live, chosen, anchor, max(lines, default=None), bad)
    return Start(parent=chosen, anchor=anchor, line=line_of(by_number, chosen), why=why, aside=aside)


def _after(states: Mapping[int, State], number: int, anchor: int | None, live: Release) -> tuple[int, ...] | None:
    """Return the states from the version that answers (without it) to this one; None where it did not come from it."""
    line = line_of(states, number)
    if anchor is None:
        return line if states[line[0]].base_digest == live.digest else None
    if anchor not in line or number == anchor:
        return None
    return line[line.index(anchor) + 1 :]


def _taken_back(release: Release, states: Mapping[int, State]) -> int | None:
    """Return the state of a version that is not to be gone on from; not enough evidence is no reason."""
    gate = release.facts.get("gate")
    said_no = isinstance(gate, Mapping) and gate.get("verdict") == Verdict.FAIL.value
    if release.stage in _GONE or (release.stage is Stage.REFUSED and said_no):
        return state_of(release, states)
    return None


def _what(release: Release) -> str:
    return "refused by its gate" if release.stage is Stage.REFUSED else str(release.stage.value).replace("_", " ")


def _told(live: Release, chosen: int | None, anchor: int | None, newest: int | None, bad: Mapping[int, str]) -> str:
    name = f"{live.name}, which answers" if chosen == anchor else f"state {chosen}"
    if newest is None or newest == chosen:
        return f"goes on from {name}"
    left = next(iter(dict.fromkeys(bad.values())), "its bytes are not here")
    return f"goes on from {name}: left is what came after, as {left}"
