"""From which state a learner goes on: pure rules over its states and the versions made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mainstay.core.releases import Release, Stage
from mainstay.core.verdicts import Verdict

FACT = "online"
"""Name of the fact of a version that was learned online."""
_GONE = frozenset({Stage.ROLLED_BACK, Stage.QUARANTINED})


class Linked(Protocol):
    """A state, as far as its chain is concerned; its parent has a smaller number."""

    @property
    def n(self) -> int:
        """Return its number."""

    @property
    def parent(self) -> int | None:
        """Return the state that it went on from; None: from a version that was not learned online."""

    @property
    def base_digest(self) -> str:
        """Return the digest of the version whose bundle began the chain."""


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


def state_of(release: Release, states: Mapping[int, Linked]) -> int | None:
    """Return the state that a version was made of; None for one that was not learned online."""
    told = release.facts.get(FACT)
    number = told.get("state") if isinstance(told, Mapping) else None
    return number if isinstance(number, int) and number in states else None


def line_of(states: Mapping[int, Linked], number: int | None) -> tuple[int, ...]:
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
    states: Sequence[Linked],
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
    ours = _after(by_number, anchor, live)
    taken = ((_taken_back(release, by_number), release) for release in releases)
    back = {number: release for number, release in taken if number is not None and number in ours}
    bad: dict[int, str] = {}
    for number, release in back.items():
        for one in line_of(by_number, number):
            if one in ours:
                bad.setdefault(one, f"{release.name} was {_what(release)}")
    aside = tuple(sorted(bad))
    for number, why in (spoiled or {}).items():
        bad.setdefault(number, why)
    clean: set[int] = set()
    for number in ours:  # ascending: what it came from was asked before
        parent = by_number[number].parent
        if number not in bad and (parent not in ours or parent in clean):
            clean.add(number)
    chosen = max((number for number in clean if number not in lost), default=anchor)
    why = _told(live, chosen, anchor, max(ours, default=None), bad)
    return Start(parent=chosen, anchor=anchor, line=line_of(by_number, chosen), why=why, aside=aside)


def _after(states: Mapping[int, Linked], anchor: int | None, live: Release) -> dict[int, None]:
    """Return the states that came from the version that answers, without its own, ascending."""
    found: dict[int, None] = {}
    for number in sorted(states):
        one = states[number]
        first = one.parent == anchor and (anchor is not None or one.base_digest == live.digest)
        if first or one.parent in found:
            found[number] = None
    return found


def _taken_back(release: Release, states: Mapping[int, Linked]) -> int | None:
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
