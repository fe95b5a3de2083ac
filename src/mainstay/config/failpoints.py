"""Places in the loop where a process can be made to die, stop or fail on purpose, to show what then happens.

Off, a place costs one look at an empty mapping. A loop arms what `MAINSTAY_FAILPOINTS` names: `PLACE=ACTION`, parted by
commas, `@N` behind the action for the N-th time that the place is reached (else the first): `move.staged=kill@2`.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum

from mainstay.core.errors import EnvironmentFault, UsageError

VARIABLE = "MAINSTAY_FAILPOINTS"
PLACES = (
    "lease.taken",
    "rollout.read",
    "rollout.judged",
    "move.retired",
    "move.staged",
    "move.routed",
    "rollout.committing",
    "rollout.committed",
    "aliases.begin",
    "aliases.told",
    "aliases.noted",
    "turn.ended",
)
"""Every place, in the order in which a turn passes them; a test holds them equal to the calls of `reach`."""


class Action(StrEnum):
    """What happens at a place."""

    KILL = "kill"
    """The process is killed, as by the system: nothing is cleaned up."""
    STOP = "stop"
    """The process stands still until it is continued (SIGCONT), as when its machine is suspended."""
    FAIL = "fail"
    """EnvironmentFault is raised."""


_armed: dict[str, tuple[Action, int]] = {}


def arm(text: str) -> None:
    """Arm the places that `text` names, and no others; an empty text disarms all. Raises UsageError."""
    found: dict[str, tuple[Action, int]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        place, _, what = part.partition("=")
        action, _, number = what.partition("@")
        if place not in PLACES or action not in set(Action) or not (number or "1").isdigit():
            raise UsageError(
                f"{part!r} in {VARIABLE} is no failpoint; allowed: PLACE=ACTION or PLACE=ACTION@N, places "
                f"{', '.join(PLACES)}, actions {', '.join(Action)}"
            )
        found[place] = (Action(action), int(number or 1))
    _armed.clear()
    _armed.update(found)


def reach(place: str) -> None:
    """Do what is armed at a place; nothing where nothing is."""
    if _armed:
        _act(place)


def _act(place: str) -> None:
    action, left = _armed.get(place, (None, 0))
    if action is None:
        return
    if left > 1:
        _armed[place] = (action, left - 1)
        return
    del _armed[place]  # once only: whoever goes on after it is not met by it again
    if action is Action.FAIL:
        raise EnvironmentFault(f"the failpoint {place} was armed", remedy=f"Unset {VARIABLE}.")
    os.kill(os.getpid(), signal.SIGKILL if action is Action.KILL else signal.SIGSTOP)
