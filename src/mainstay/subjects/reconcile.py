"""Tombstones stand in the subjects' folder and in the store; each makes up for what the other lost or brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mainstay.journal.subjects import Tombstone
from mainstay.store import audit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.parts import Parts

WHAT = "erase"


def reconcile(parts: Parts) -> list[str]:
    """Write the folder's tombstones into the store, and destroy what the store's say is destroyed; tell what was done.

    A folder or a store that came back from an older copy ends where it was: tombstones win. Cheap when nothing is new.
    """
    subjects = parts.vault.subjects
    with parts.store.read() as tx:
        fresh = audit.of_kind(tx, WHAT, after=parts.erasures_seen)
    noted = [msgspec.convert(dict(entry.detail), Tombstone) for entry in fresh if "name" in entry.detail]
    parts.erasures_known |= {(one.subject, one.name) for one in noted}
    again = subjects.enforce(noted)
    missing = [one for one in subjects.tombstones() if (one.subject, one.name) not in parts.erasures_known]
    if missing:
        with parts.store.begin() as tx:
            for one in missing:
                note(tx, one)
        parts.erasures_known |= {(one.subject, one.name) for one in missing}
    parts.erasures_seen = max((entry.n for entry in fresh), default=parts.erasures_seen)
    told = [f"{again} key(s) that had come back with an older copy were destroyed again"] if again else []
    return told + ([f"{len(missing)} tombstone(s) were written into the store"] if missing else [])


def note(tx: Connection, tombstone: Tombstone) -> None:
    """Write a tombstone into the store's audit."""
    detail = msgspec.to_builtins(tombstone)
    audit.append(tx, who=tombstone.by, what=WHAT, subject=tombstone.subject, detail=detail, now=tombstone.at)
