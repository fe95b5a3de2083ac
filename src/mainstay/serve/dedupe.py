"""An id sent again: the same body gets the same answer, another body is refused."""

from __future__ import annotations

import fcntl
import os
import re
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from mainstay.core.errors import IdReused
from mainstay.core.events import Event

REMEMBERED = 100_000
"""Ids that a worker keeps in memory; older ones are looked up in the journal."""


MADE = re.compile(r"-\d+-[0-9a-f]{8}\Z")
"""How ids end that a worker made for rows without one (log.py). They are not remembered: most never come again."""


class Finds(Protocol):
    """The part of the journal that is needed."""

    def find(self, id_: str, /) -> Event | None:
        """Return the prediction of that id, from any worker of this host, or None."""


class Ids:
    """What ids this worker has answered. For the batch thread alone."""

    def __init__(self, journal: Finds, *, alone: bool, fresh: bool, remembered: int = REMEMBERED) -> None:
        """Start empty. `alone`: no other worker writes; `fresh`: the journal was empty when this worker started."""
        self._journal = journal
        self._units: OrderedDict[str, str] = OrderedDict()
        self._remembered = remembered
        self.complete = alone and fresh
        """Whether every id that was given is in memory, so that none of them is looked up on disk."""

    def at_hand(self, ids: Iterable[str]) -> bool:
        """Return whether `find` looks none of these new ids up on disk."""
        return self.complete and not any(MADE.search(id_) for id_ in ids)

    def find(self, id_: str, unit: str) -> Event | None:
        """Return the prediction that answered this id before, None when it is new.

        Raises IdReused when it was another key or other inputs. Free while this worker knows every id that was given,
        unless this one looks like one that was made; else a look at the journal's index.
        """
        known = self._units.get(id_)
        if known is None and self.at_hand((id_,)):
            return None
        event = self._journal.find(id_)
        if event is None:
            return None
        check_same(id_, event.unit, unit)
        return event

    def note(self, answered: Iterable[tuple[str, str]]) -> None:
        """Remember (id, unit) pairs that were committed."""
        units = self._units
        for id_, unit in answered:
            units[id_] = unit
        while len(units) > self._remembered:
            units.popitem(last=False)
            self.complete = False


def check_same(id_: str, before: str, now: str) -> None:
    """Raise IdReused when the units differ."""
    if before != now:
        raise IdReused(f"The id {id_!r} was used before for another key or other inputs")


class Claims:
    """Locks on single ids between the workers of one host; a dead worker's locks are gone with it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, id_: str) -> bool:
        """Return False when another worker is answering that id now."""
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(id_), os.SEEK_SET)
        except BlockingIOError:
            return False
        return True

    def give_back(self, ids: Iterable[str]) -> None:
        """Let go of ids that were taken."""
        for id_ in ids:
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _place(id_), os.SEEK_SET)

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._handle)


def _place(id_: str) -> int:
    digest = blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
