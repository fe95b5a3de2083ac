"""`mainstay erase`: destroy a subject's key, leave a tombstone, and say what still holds something of the person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType, Pii
from mainstay.core.errors import NotFound, StoreUnavailable
from mainstay.core.events import Kind
from mainstay.core.releases import Release
from mainstay.data.sealed import SEALED
from mainstay.journal.personal import Hasher, read_or_make_salt
from mainstay.journal.vault import is_sealed, subject_of
from mainstay.store import releases
from mainstay.subjects import reconcile

if TYPE_CHECKING:
    from mainstay.data.snapshot import Snapshot
    from mainstay.parts import Parts

_HASH = re.compile(r"[0-9a-f]{32}")
_FREE = (FieldType.TEXT, FieldType.IDENTIFIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Values of one field that stay readable."""

    field: str
    how: str
    """plain, or hashed: a salted hash, from which nothing is read but which equals that of the same value."""
    records: int
    free: bool
    """Whether the field can hold anything (a text, an identifier, an open category): it may name or quote a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InSnapshot:
    """A snapshot with rows of the subject."""

    id: str
    rows: int
    sealed: int
    """Of them: sealed, and now unreadable."""
    source: str
    """The file that its plain rows came from; empty for traffic."""
    versions: tuple[str, ...]
    """Versions that were trained on it: a model may remember words of its training rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was destroyed, and what was not."""

    subject: str
    """Salted hash of the key: under it the tombstone stands."""
    at: datetime
    destroyed: bool
    """Whether there was a key to destroy."""
    records: int
    """Journal records of the subject."""
    unreadable: int
    """Of them: with values that nobody can open any more."""
    left: tuple[Left, ...]
    snapshots: tuple[InSnapshot, ...]
    before: int
    """Tombstones that the subject had already."""
    store: str
    """`ok`, or why the tombstone is not in the store yet; the loop writes it there when it is back."""

    @property
    def readable(self) -> tuple[Left, ...]:
        """Return what stays in plain and may name or quote the person."""
        return tuple(left for left in self.left if left.how == "plain" and left.free)


def erase(parts: Parts, key: str, *, by: str, reason: str) -> Erased:
    """Destroy the key of the subject that the key field calls `key`; raises NotFound where nothing is known of it.

    The records stay where they are; what was encrypted in them is unreadable from now on, in every copy and backup.
    """
    subject = subject_hash(parts, key)
    vault, contract = parts.vault, parts.loaded.contract
    records, unreadable = 0, 0
    held: Counter[tuple[str, str]] = Counter()
    for event in parts.journal.matching(parts.model, key_hash=subject):
        records += 1
        unreadable += any(is_sealed(value) for value in event.inputs.values())
        if event.kind is Kind.REFUSAL:
            continue  # it holds a digest and names of fields
        held.update((name, _how(contract, name, value)) for name, value in event.inputs.items() if value is not None)
    store, versions = _versions(parts)
    snapshots = tuple(
        found
        for id_ in parts.snapshots.ids()
        if (found := _in_snapshot(parts, id_, key, subject, versions)) is not None
    )
    before = [one for one in vault.subjects.tombstones() if one.subject == subject]
    known = vault.subjects.exists and vault.subjects.has(bytes.fromhex(subject))
    if not records and not snapshots and not known:
        said = f"; it was erased at {before[-1].at.isoformat()}" if before else ""
        raise NotFound(
            f"no record, snapshot or key of {parts.model} belongs to that key{said}",
            remedy=f"--key takes the value of the field {contract.key or '(none is declared: the client address)'} "
            "as it was sent.",
        )
    now = parts.clock.now()
    tombstone = vault.subjects.destroy(bytes.fromhex(subject), at=now, by=by, reason=reason, records=records)
    try:
        reconcile.reconcile(parts)
    except StoreUnavailable as error:
        store = error.message
    return Erased(
        subject=subject,
        at=now,
        destroyed=bool(tombstone.name),
        records=records,
        unreadable=unreadable,
        left=tuple(
            Left(field=name, how=how, records=count, free=_is_free(contract.field(name)))
            for (name, how), count in sorted(held.items())
            if how != "sealed"
        ),
        snapshots=snapshots,
        before=len(before),
        store=store,
    )


def subject_hash(parts: Parts, key: str) -> str:
    """Return the salted hash under which a key's records stand."""
    return Hasher(read_or_make_salt(parts.state / "salt")).key_hash(key)


def _how(contract: Contract, name: str, value: Any) -> str:
    if is_sealed(value):
        return "sealed"
    field = contract.field(name)
    hashed = field is not None and field.pii is Pii.HASH and isinstance(value, str) and _HASH.fullmatch(value)
    return "hashed" if hashed else "plain"


def _is_free(field: Field | None) -> bool:
    """Return whether a field can hold anything; one that is declared no more could."""
    if field is None:
        return True
    return field.type in _FREE or (field.type is FieldType.CATEGORY and not field.values)


def _versions(parts: Parts) -> tuple[str, Sequence[Release]]:
    try:
        with parts.store.read() as tx:
            return "ok", releases.all_of(tx, parts.model)
    except StoreUnavailable as error:
        return error.message, ()


def _in_snapshot(parts: Parts, id_: str, key: str, subject: str, versions: Sequence[Release]) -> InSnapshot | None:
    snapshot = parts.snapshots.open(id_)
    rows, sealed = _rows_of(snapshot, parts.loaded.contract.key, key, subject)
    if not rows:
        return None
    return InSnapshot(
        id=id_,
        rows=rows,
        sealed=sealed,
        source=str(snapshot.lineage.get("source", "")) if rows > sealed else "",
        versions=tuple(f"{one.name} ({one.stage.value})" for one in versions if one.snapshot == id_),
    )


def _rows_of(snapshot: Snapshot, key_field: str | None, key: str, subject: str) -> tuple[int, int]:
    """Return how many rows of a snapshot are the subject's, and how many of those are sealed."""
    frame = pl.scan_parquet(snapshot.path, hive_partitioning=False)
    names = frame.collect_schema().names()
    wanted = [name for name in (key_field, "_key", SEALED) if name and name in names]
    if not wanted:
        return 0, 0
    held = frame.select(wanted).collect()
    mine = pl.Series([False] * held.height, dtype=pl.Boolean)
    for name in wanted:
        if name != SEALED:
            mine |= held[name].cast(pl.String).is_in([key, subject]).fill_null(value=False)
    if SEALED not in wanted:
        return int(mine.sum()), 0
    sealed = pl.Series([_is_of(text, subject) for text in held[SEALED].to_list()], dtype=pl.Boolean)
    return int((mine | sealed).sum()), int(sealed.sum())


def _is_of(tokens: str | None, subject: str) -> bool:
    if tokens is None:
        return False
    return any(subject_of(token) == subject for token in msgspec.json.decode(tokens, type=dict[str, str]).values())
