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
from mainstay.data.rules import nearest
from mainstay.journal import personal
from mainstay.pulled.examine import examine
from mainstay.pulled.pages import Raw, Reader
from mainstay.store import audit
from mainstay.store import pulled as rows

if TYPE_CHECKING:
    from mainstay.core.contracts import Contract
    from mainstay.parts import Parts

BY, TAKEN_ANYWAY = "pull", "delivery taken anyway"
PIECE = 500
"""Records that are asked about, and kept, together."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Good:
    """A record that can be used."""

    kept: rows.Kept
    values: Mapping[str, Any] = field(default_factory=dict)
    """As it came, with the target; nothing of one that was deleted."""


def pull(
    parts: Parts, name: str, *, luck: random.Random | None = None, reader: Reader | None = None, anyway: str = ""
) -> Taken:
    """Take what the source has behind the mark of the last pull; safe to kill at any moment and to run again.

    Pages are kept in pieces of PIECE records or more, each asked first what every delivery is asked. `anyway` is why a
    person takes what does not hold, which stands in the audit.

    Raises NotFound for an undeclared source; EnvironmentFault, BadData or Refused when it does not answer as it must:
    pieces that were kept before stay kept, and so do the pages that came before the fault.
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
    piece: list[_Good] = []
    failed: errors.MainstayError | None = None
    try:
        for page in reader.pages(state.mark):
            piece += _page(parts, taken, sift, page)
            if len(piece) >= PIECE:
                _keep(parts, taken, source, piece, anyway)
                piece = []
            if taken.held:
                break
    except errors.MainstayError as error:
        failed = error
    if piece:
        _keep(parts, taken, source, piece, anyway)
    with parts.store.begin() as tx:
        why = "" if failed is None else failed.message
        rows.told(tx, parts.model, name, held=taken.held, failed=why, now=parts.clock.now())
    if failed is not None:
        raise failed
    return taken


def replay(parts: Parts, name: str, *, anyway: str = "") -> Taken:
    """Try the dead letters of a source again: those that can be used now are kept, the others stay.

    What can be used is asked first what every delivery is asked; where that does not hold all letters stay.
    """
    source = _source(parts, name)
    taken, sift = Taken(source=name), _Sift(parts, source)
    with parts.store.read() as tx:
        letters = rows.letters(tx, parts.model, source=name, limit=100_000)
    usable: list[tuple[int, _Good]] = []
    for letter in letters:
        good, why = sift.of(Raw(text=letter.raw, record=_object(letter.raw)))
        if good is None:
            taken.dead += 1
            taken.reasons[why] = taken.reasons.get(why, 0) + 1
        else:
            usable.append((letter.n, good))
    if not _may_be_kept(parts, taken, source, [good for _, good in usable], anyway):
        return taken
    with parts.store.begin() as tx:
        for number, good in usable:
            changed = rows.put(tx, parts.model, name, good.kept, now=parts.clock.now())
            rows.close_letter(tx, number, "replayed")
            taken.kept += changed
            taken.known += not changed
    return taken


def _page(parts: Parts, taken: Taken, sift: _Sift, page: Sequence[Raw]) -> list[_Good]:
    """Return the records of a page that can be used; none, and why, where too many of it cannot."""
    taken.pages += 1
    good: list[_Good] = []
    dead: list[tuple[str, str]] = []
    for raw in page:
        found, why = sift.of(raw)
        if found is None:
            dead.append((raw.text, why))
            taken.reasons[why] = taken.reasons.get(why, 0) + 1
        else:
            good.append(found)
    share = len(dead) / len(page) if page else 0.0
    with parts.store.begin() as tx:
        for text, why in dead:
            taken.dead += rows.put_letter(tx, parts.model, taken.source, text, why, now=parts.clock.now())
    if len(page) >= LEAST_TO_HOLD and share > sift.source.max_bad_share:
        common = max(taken.reasons, key=lambda why: taken.reasons[why])
        taken.held = f"{len(dead)} of {len(page)} records of a page cannot be used, most often: {common}"
        return []
    return good


def _keep(parts: Parts, taken: Taken, source: SourceSettings, piece: Sequence[_Good], anyway: str) -> None:
    """Keep a piece and move the mark, in one transaction, if it may be kept."""
    if not _may_be_kept(parts, taken, source, piece, anyway):
        return
    now = parts.clock.now()
    with parts.store.begin() as tx:
        for one in (good.kept for good in piece):
            if one.deleted:
                taken.deleted += rows.put(tx, parts.model, taken.source, one, now=now)
            elif rows.put(tx, parts.model, taken.source, one, now=now):
                taken.kept += 1
            else:
                taken.known += 1
        marks = [one.kept.mark for one in piece if one.kept.mark]
        if marks:
            taken.mark = max([taken.mark, *marks], key=rows.order)
            rows.move_mark(tx, parts.model, taken.source, taken.mark)


def _may_be_kept(parts: Parts, taken: Taken, source: SourceSettings, piece: Sequence[_Good], anyway: str) -> bool:
    found = examine(parts, taken.source, source, [one.values for one in piece if not one.kept.deleted])
    if not found.why:
        return True
    if anyway:
        with parts.store.begin() as tx:
            detail = {"source": taken.source, "reason": anyway, "found": found.why}
            audit.append(tx, who=BY, what=TAKEN_ANYWAY, subject=parts.model, detail=detail, now=parts.clock.now())
        return True
    taken.held = "; ".join(filter(None, [taken.held, f"{len(piece)} records do not hold: {found.why}"]))
    return False


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

    def of(self, raw: Raw) -> tuple[_Good | None, str]:
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
            return _Good(kept=rows.Kept(id=str(id_), mark=place, deleted=True)), ""
        truth = _truth(record.pop(contract.target, None), contract)
        if truth is None:
            return None, f"{contract.target}: is no value of the target"
        names = {one.name for one in contract.fields}
        inputs = {name: value for name, value in record.items() if name in names}
        found = self._check.check(inputs)
        if found.problems:
            return None, f"{found.problems[0].where}: {found.problems[0].what}"
        key = str(found.values.get(contract.key) or id_) if contract.key else str(id_)
        kept = rows.Kept(
            id=str(id_),
            mark=place,
            key_hash=self._hasher.key_hash(key),
            inputs=self._copy(dict(found.values)),
            value=truth,
        )
        return _Good(kept=kept, values={**found.values, contract.target: truth}), ""


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
        near = nearest(name, list(known))
        hint = f"; did you mean {near!r}?" if near else ""
        raise errors.NotFound(
            f"there is no source {name!r}; [retrain.sources] declares {', '.join(known) or 'none'}{hint}",
            remedy="Declare it: [retrain.sources.NAME] with an address.",
        )
    return known[name]
