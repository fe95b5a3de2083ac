"""Where a version's present trial begins: what it did in an earlier one is not held against it a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstay.core.releases import Release
from mainstay.store import pairs, states

if TYPE_CHECKING:
    from sqlalchemy import Connection


def begin(tx: Connection, release: Release) -> None:
    """Start a new trial: pairs from before now are left out of the judgement."""
    known = states.get(tx, _name(release))
    value = {"skip_pairs": pairs.count(tx, release.model, release.version)}
    states.put(tx, _name(release), value, expected_version=None if known is None else known[1])


def skipped(tx: Connection, release: Release) -> int:
    """Return how many of the version's first pairs belong to earlier trials."""
    known = states.get(tx, _name(release))
    return 0 if known is None else int(known[0]["skip_pairs"])


def _name(release: Release) -> str:
    return f"trial:{release.name}"
