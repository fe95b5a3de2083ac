"""Take what is new in one source: each record once, the high-water mark moved in the transaction that keeps them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import SourceSettings
from mainstay.core import errors
from mainstay.core.contracts import Task
from mainstay.data.request_check import RequestCheck, compile_request_check
from mainstay.journal import personal
from mainstay.pulled.pages import Raw, Reader
from mainstay.store import pulled as rows

if TYPE_CHECKING:
    from mainstay.core.contracts import Contract
    from mainstay.parts import Parts

LEAST_TO_HOLD = 20
"""A delivery of fewer records is not held for the share of bad ones."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What one pull did."""

    source: str
    kept: int = 0
    """New records, and known ones that changed."""
    known: int = 0
    """Records that were kept before as they are."""
    deleted: int = 0
    dead: int = 0
    """Records that became dead letters."""
    pages: int = 0
    mark: str = ""
    held: str = ""
    """Why the delivery is held: nothing of it is learned from until it is mended."""
    reasons: dict[str, int] = field(default_factory=dict)


def pull(parts: Parts, name: str, *, luck: random.Random | None = None, reader: Reader | None = None) -> Taken:
    """Take what the source has behind the mark of the last pull; safe to kill at any moment and to run again.

    Raises NotFound for an undeclared source; EnvironmentFault, BadData or Refused when it does not answer as it must:
    pages that were kept before stay kept.
    """
    source = _source(parts, name)
    reader = reader or Reader(
        source=source,
        root=parts.loaded.root,
        clock=parts.clock,
        luck=luck or random.Random(parts.clock.time_ns()),
        environ=parts.environ,
    )
    with parts.store.read() as tx:
        state = rows.state(tx, parts.model, name)
    taken = Taken(source=name, mark=state.mark)
    sift = _Sift(parts, source)
    try:
        for page in reader.pages(state.mark):
            _page(parts, taken, sift, page)
            if taken.held:
                break
    except errors.MainstayError as error:
        with parts.store.begin() as tx:
            rows.told(tx, parts.model, name, held=taken.held, failed=error.message, now=parts.clock.now())
        raise
    with parts.store.begin() as tx:
        rows.told(tx, parts.model, name, held=taken.held, failed="", now=parts.clock.now())
    return taken


def replay(parts: Parts, name: str) -> Taken:
    """Try the dead letters of a source again: those that can be used now are kept, the others stay."""
    taken, sift = Taken(source=name), _Sift(parts, _source(parts, name))
    with parts.store.begin() as tx:
        for letter in rows.letters(tx, parts.model, source=name, limit=100_000):
            good, why = sift.of(Raw(text=letter.raw, record=_object(letter.raw)))
            if good is None:
                taken.dead += 1
                taken.reasons[why] = taken.reasons.get(why, 0) + 1
                continue
            changed = rows.put(tx, parts.model, name, good, now=parts.clock.now())
            rows.close_letter(tx, letter.n, "replayed")
            taken.kept += changed
            taken.known += not changed
    return taken


def _page(parts: Parts, taken: Taken, sift: _Sift, page: Sequence[Raw]) -> None:
    taken.pages += 1
    good: list[rows.Kept] = []
    dead: list[tuple[str, str]] = []
    for raw in page:
        found, why = sift.of(raw)
        if found is None:
            dead.append((raw.text, why))
            taken.reasons[why] = taken.reasons.get(why, 0) + 1
        else:
            good.append(found)
    share = len(dead) / len(page) if page else 0.0
    held = len(page) >= LEAST_TO_HOLD and share > sift.source.max_bad_share
    now = parts.clock.now()
    with parts.store.begin() as tx:
        for text, why in dead:
            taken.dead += rows.put_letter(tx, parts.model, taken.source, text, why, now=now)
        if held:
            common = max(taken.reasons, key=lambda why: taken.reasons[why])
            taken.held = f"{len(dead)} of {len(page)} records of a page cannot be used, most often: {common}"
            return
        for one in good:
            if one.deleted:
                taken.deleted += rows.put(tx, parts.model, taken.source, one, now=now)
            elif rows.put(tx, parts.model, taken.source, one, now=now):
                taken.kept += 1
            else:
                taken.known += 1
        marks = [one.mark for one in good if one.mark]
        if marks:
            taken.mark = max([taken.mark, *marks], key=rows.order)
            rows.move_mark(tx, parts.model, taken.source, taken.mark)


class _Sift:
    """Says of a record what is kept of it, or why nothing can be."""

    def __init__(self, parts: Parts, source: SourceSettings) -> None:
        self.source, self._contract = source, parts.loaded.contract
        self._check: RequestCheck = compile_request_check(self._contract)
        hasher = personal.Hasher(personal.read_or_make_salt(parts.state / "salt"))
        self._hasher = hasher
        self._copy: Callable[[dict[str, Any]], dict[str, Any]] = personal.compile_journal_copy(
            self._contract, hasher, parts.vault
        )

    def of(self, raw: Raw) -> tuple[rows.Kept | None, str]:
        source, contract = self.source, self._contract
        if any("\udc80" <= char <= "\udcff" for char in raw.text):
            return None, "is not UTF-8"
        if raw.record is None:
            return None, "is no record"
        record = {source.rename.get(name, name): value for name, value in raw.record.items()}
        id_, mark = record.pop(source.id, None), record.pop(source.mark, None)
        if not isinstance(id_, str | int) or isinstance(id_, bool) or id_ == "":
            return None, f"has no {source.id}"
        if "\0" in raw.text or "\\u0000" in raw.text or _has_surrogate(record):
            return None, "holds text that cannot be kept"
        place = "" if mark is None else str(mark)
        if source.deleted and record.pop(source.deleted, None) not in (None, False, 0, "", "false", "0"):
            return rows.Kept(id=str(id_), mark=place, deleted=True), ""
        truth = _truth(record.pop(contract.target, None), contract)
        if truth is None:
            return None, f"{contract.target}: is no value of the target"
        names = {one.name for one in contract.fields}
        inputs = {name: value for name, value in record.items() if name in names}
        found = self._check.check(inputs)
        if found.problems:
            return None, f"{found.problems[0].where}: {found.problems[0].what}"
        key = str(found.values.get(contract.key) or id_) if contract.key else str(id_)
        return rows.Kept(
            id=str(id_),
            mark=place,
            key_hash=self._hasher.key_hash(key),
            inputs=self._copy(dict(found.values)),
            value=truth,
        ), ""


def _truth(value: Any, contract: Contract) -> Any:
    if contract.task.is_classification:
        text = str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
        return text if text in contract.classes else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    lowest = 0.0 if contract.task is Task.RANKING else float("-inf")
    return number if lowest <= number < float("inf") else None


def _has_surrogate(record: Mapping[str, Any]) -> bool:
    return any(isinstance(v, str) and any("\ud800" <= c <= "\udfff" for c in v) for v in record.values())


def _object(text: str) -> Mapping[str, Any] | None:
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _source(parts: Parts, name: str) -> SourceSettings:
    known = parts.settings.retrain.sources
    if name not in known:
        raise errors.NotFound(
            f"there is no source {name!r}; [retrain.sources] declares {list(known)}",
            remedy="Declare it: [retrain.sources.NAME] with an address.",
        )
    return known[name]
