"""Versions: what each was made of, how it was judged, what happened to it; and two beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.releases import Release
from mainstay.store import release_events, releases
from mainstay.store.release_events import ReleaseEvent

if TYPE_CHECKING:
    from sqlalchemy import Connection

EVENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version."""

    release: Release
    events: tuple[ReleaseEvent, ...]
    """Its moves, newest first."""
    parent: Release | None
    """The version that was there before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two versions beside each other."""

    one: Release
    other: Release


def history(tx: Connection, model: str) -> list[ReleaseEvent]:
    """Return the newest moves of all versions, newest first."""
    return release_events.newest(tx, model, limit=EVENTS)


def read(tx: Connection, model: str, version: int) -> Version:
    """Return one version; NotFound where there is none of that number."""
    release = releases.get(tx, model, version)
    before = [one.version for one in releases.outlines(tx, model) if one.version < version]
    return Version(
        release=release,
        events=tuple(release_events.newest(tx, model, limit=EVENTS, version=version)),
        parent=releases.get(tx, model, before[0]) if before else None,
    )


def compare(tx: Connection, model: str, one: int, other: int) -> Compared:
    """Return two versions; NotFound where one of them is not there, UsageError where both are the same."""
    if one == other:
        raise errors.UsageError(f"version {one} is compared with itself", remedy="Choose two versions.")
    return Compared(one=releases.get(tx, model, one), other=releases.get(tx, model, other))


def plain(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a version's facts that is a mapping, empty where it is none."""
    found = facts.get(name)
    return found if isinstance(found, Mapping) else {}
