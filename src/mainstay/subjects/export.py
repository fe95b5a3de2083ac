"""`mainstay export`: every record of one subject, opened, one JSON object on each line, for the person."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.core.events import Event, Feedback, Kind
from mainstay.journal.manifest import id_hash
from mainstay.store import feedback
from mainstay.subjects import reconcile
from mainstay.subjects.erase import subject_hash

if TYPE_CHECKING:
    from mainstay.parts import Parts

_encode = msgspec.json.Encoder().encode
ANSWERS = (Kind.PREDICTION, Kind.EXTERNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    path: Path
    subject: str
    records: Mapping[str, int]
    """Lines by kind: prediction, external, error, shadow, refusal, feedback."""
    gone: Mapping[str, int]
    """Values that could not be opened: erased, or lost (their key is not here)."""


def export(parts: Parts, key: str, out: Path) -> Exported:
    """Write the subject's records into `out`, which must not be there yet; it appears whole, for this user alone.

    In memory is one journal segment's part at a time, and about 50 bytes for each of the subject's answers.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", remedy="Name another file, or move that one away.")
    reconcile.reconcile(parts)
    subject = subject_hash(parts, key)
    counts: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)  # OUT may lie where others write too: nothing is written through a link of theirs
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            for kind, line in _lines(parts, subject, gone):
                counts[kind] += 1
                file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(out)
    except OSError as error:
        raise EnvironmentFault(f"{out} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return Exported(path=out, subject=subject, records=dict(counts), gone=dict(gone))


def _lines(parts: Parts, subject: str, gone: Counter[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (kind, line): each record, what the store was told about each answer, then what only the journal was."""
    answered = array("Q")
    for event in parts.journal.matching(parts.model, key_hash=subject):
        yield event.kind.value, _record(parts, event, gone)
        if event.kind in ANSWERS:
            answered.append(id_hash(event.id, shadow=False))
            with parts.store.read() as tx:
                told = feedback.told_about(tx, parts.model, event.id)
            yield from (("feedback", _told(item)) for item in told)
    ids = sorted(answered)
    if not ids:
        return
    for event in parts.journal.matching(parts.model, kind=Kind.FEEDBACK):
        item = event.feedback
        if item is None or not _among(ids, id_hash(item.id, shadow=False)):
            continue
        found = parts.journal.find(item.id)  # two ids may have one hash
        if found is None or found.key_hash != subject:
            continue
        with parts.store.read() as tx:
            known = {one.feedback_id for one in feedback.told_about(tx, parts.model, item.id)}
        if item.feedback_id not in known:
            yield "feedback", _told(item)


def _among(ids: list[int], wanted: int) -> bool:
    place = bisect_left(ids, wanted)
    return place < len(ids) and ids[place] == wanted


def _record(parts: Parts, event: Event, gone: Counter[str]) -> bytes:
    values, why = parts.vault.opened(event.inputs)
    gone.update(reason.value for reason in why.values())
    line: dict[str, Any] = {"record": event.kind.value, **msgspec.to_builtins(event)}
    line["inputs"] = msgspec.to_builtins(values)
    if why:
        line["gone"] = {name: reason.value for name, reason in why.items()}
    return _encode(line)


def _told(item: Feedback) -> bytes:
    return _encode({"record": "feedback", **msgspec.to_builtins(item)})
