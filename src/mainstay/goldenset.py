"""`mainstay golden`: the frozen set as it stands, and freezing it anew, which the audit keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core.errors import Refused, UsageError
from mainstay.data import golden as goldens
from mainstay.data import prepare as preparing
from mainstay.store import audit

if TYPE_CHECKING:
    from mainstay.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The golden set."""

    digest: str
    """Of its content; the id of its snapshot."""
    rows: int
    declared: Mapping[str, Any]
    frozen_at: datetime
    by: str
    reason: str
    left_out: tuple[str, ...] = ()
    """Which rows of the training and test data are left out for it, as sentences."""
    refused: str = ""
    """Why the declaration of now is refused; empty where it is what was frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What was frozen by hand."""

    digest: str
    rows: int
    before: str
    """The digest of what was frozen before; empty where nothing was."""

    @property
    def changed(self) -> bool:
        """Return whether other rows are frozen than before."""
        return self.digest != self.before


def show(parts: Parts) -> Shown:
    """Return the frozen set and what it keeps out of training.

    Raises UsageError where none is declared, NotEnoughEvidence where it was never used.
    """
    golden = goldens.frozen(parts.loaded, parts.snapshots)
    if golden is None:
        raise _undeclared()
    refused = ""
    notes: tuple[str, ...] = ()
    try:
        found = preparing.inspect(parts.loaded, snapshots=parts.snapshots)
        notes = tuple(note for note in found.notes if "golden" in note)
    except Refused as error:
        refused = error.message
    return Shown(
        digest=golden.id,
        rows=golden.snapshot.rows,
        declared=golden.declared,
        frozen_at=golden.frozen_at,
        by=golden.by,
        reason=golden.reason,
        left_out=notes,
        refused=refused,
    )


def freeze(parts: Parts, *, by: str, reason: str) -> Frozen:
    """Freeze the rows that are declared now, and write down who did, why, and what was frozen before."""
    if not parts.settings.data.golden.declared:
        raise _undeclared()
    train = next(iter(preparing.read_parts(parts.loaded))).report.good
    now = parts.clock.now()
    with parts.store.begin() as tx:
        golden, before = goldens.freeze(parts.loaded, parts.snapshots, train, now, by=by, reason=reason)
        detail = {"digest": golden.id, "rows": golden.snapshot.rows, "before": before, "reason": reason}
        audit.append(tx, who=by, what=goldens.FROZEN, subject=parts.model, detail=detail, now=now)
    return Frozen(digest=golden.id, rows=golden.snapshot.rows, before=before)


def _undeclared() -> UsageError:
    return UsageError(
        "this project declares no golden set",
        remedy='Declare one: [data] golden = { rows = "golden.csv" }, or { share = 0.05 } of the training rows.',
    )
