"""What an online learner may learn of the labels that it did not look at yet, in the order of their events.

The same is left out as for a retraining, and each label gets a fate, so that it is looked at once: keys that are held
out to compare on, golden and test rows, requests of a time in which a field was broken, what a key has too much of.
The cap of a key, and that of one request which comes again, count from the version that answers: between two versions
nobody has more than so many labels in the difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mainstay.core.contracts import Contract
from mainstay.core.routes import position
from mainstay.data import alike
from mainstay.data.sealed import SEALED
from mainstay.journal.vault import Vault
from mainstay.retrain import dataset
from mainstay.retrain.dataset import KEY, SPLIT_SALT, LabelledRow
from mainstay.store.online import LEARNED, Seen

if TYPE_CHECKING:
    from mainstay.config.settings import RetrainSettings
    from mainstay.store.feedback import Graded

HELD_OUT, GOLDEN, TEST, BROKEN = "held_out", "golden", "test", "broken"
CAP, REPEAT, UNUSABLE, UNKNOWN, GONE, KNOWN = "cap", "repeat", "unusable", "unknown_class", "gone", "known"
FATES: Mapping[str, str] = {
    HELD_OUT: "of keys that are held out to compare on",
    GOLDEN: "golden rows",
    TEST: "say the same as a test row, and as no training row",
    BROKEN: "of a time in which a field was broken",
    CAP: "beyond max_labels_per_key",
    REPEAT: "a request of the same key that was learned already",
    UNUSABLE: "no class or number",
    UNKNOWN: "a class that the model cannot learn any more",
    GONE: "erased or lost",
    KNOWN: "learned in the training that the chain began with",
}
"""Why a label is passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What decides about a label beside itself."""

    broken: Sequence[tuple[datetime, datetime]] = ()
    golden: pl.DataFrame | None = None
    ways: tuple[str, ...] = ("key", "content")
    """How rows are golden in all but name: [data] golden apart."""
    hashed: Callable[[str], str] | None = None
    test: pl.DataFrame | None = None
    train: Callable[[], pl.DataFrame] | None = None
    """The rows that the chain's first version was trained on: what they hold too is no secret of the test rows."""
    learnable: Callable[[str], bool] = bool
    """Whether the model can learn a class."""
    of_key: Mapping[str, int] = field(default_factory=dict)
    """Labels of each key that were learned since the version that answers."""
    units: Collection[str] = ()
    """Requests that were learned since then."""
    at_root: Collection[tuple[str, Any]] = ()
    """Content and label of the traffic that the chain's first version was trained on, for what arrived just then."""
    root_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """A label with what becomes of it."""

    row: LabelledRow
    fate: str

    @property
    def seen(self) -> Seen:
        """Return what is kept of it."""
        row = self.row
        at = row.happened or row.at
        return Seen(id=row.id, fate=self.fate, value=row.value, key_hash=row.key, unit=row.unit, occurred_at=at)


def joined(
    waiting: Iterable[tuple[Graded, datetime]], contract: Contract, vault: Vault
) -> tuple[list[tuple[LabelledRow, datetime]], list[Sorted]]:
    """Return labels as rows with when each arrived, and apart those of requests that were erased."""
    rows, gone = [], []
    for graded, arrived in waiting:
        known, lost = vault.opened(graded.inputs)
        row = dataset.row_of(graded, known, contract, key=graded.key_hash or graded.id, unit=graded.unit or graded.id)
        if lost:
            gone.append(Sorted(row=row, fate=GONE))
        else:
            rows.append((row, arrived))
    return rows, gone


def sort(
    rows: Sequence[tuple[LabelledRow, datetime]],
    contract: Contract,
    retrain: RetrainSettings,
    known: Known,
    vault: Vault,
) -> list[Sorted]:
    """Say of each row, in the order of events, whether it is learned, or why not."""
    ordered = sorted(rows, key=lambda one: (one[0].happened or one[0].at, one[0].id))
    fates = _by_content([row for row, _ in ordered], contract, known, vault)
    of_key, units = Counter(known.of_key), set(known.units)
    found = []
    for row, arrived in ordered:
        fate = fates.get(row.id) or _fate(row, arrived, contract, retrain, known)
        if not fate and row.unit in units:
            fate = REPEAT
        if not fate and of_key[row.key] >= retrain.max_labels_per_key:
            fate = CAP
        if not fate:
            fate = LEARNED
            of_key[row.key] += 1
            units.add(row.unit)
        found.append(Sorted(row=row, fate=fate))
    return found


def _fate(row: LabelledRow, arrived: datetime, contract: Contract, retrain: RetrainSettings, known: Known) -> str:
    happened = row.happened or row.at
    if not dataset.usable(row.value, contract):
        return UNUSABLE
    if any(start <= happened < end for start, end in known.broken):
        return BROKEN
    if position(SPLIT_SALT, row.key) < retrain.recent_share:
        return HELD_OUT
    if known.root_at is not None and arrived <= known.root_at and (row.content, row.value) in known.at_root:
        return KNOWN
    if contract.task.is_classification and not known.learnable(str(row.value)):
        return UNKNOWN
    return ""


def _by_content(rows: Sequence[LabelledRow], contract: Contract, known: Known, vault: Vault) -> dict[str, str]:
    """Return the ids of rows that are golden or test rows in all but name."""
    if not rows:
        return {}
    frame = dataset.frame_of(contract, rows)
    seen = _opened(frame, rows, vault)
    found: dict[str, str] = {}
    if known.test is not None and known.test.height:
        same = np.flatnonzero(alike.alike(contract, seen, known.test)).tolist()
        usual = alike.alike(contract, seen[same], known.train()) if same and known.train is not None else []
        found |= {
            rows[place].id: TEST for place, one in zip(same, usual or [False] * len(same), strict=True) if not one
        }
    if known.golden is not None and known.golden.height:
        found |= {row.id: GOLDEN for row, one in zip(rows, _golden(seen, contract, known), strict=True) if one}
    return found


def _golden(seen: pl.DataFrame, contract: Contract, known: Known) -> list[bool]:
    golden = known.golden
    assert golden is not None  # noqa: S101 - asked by the caller
    same = alike.alike(contract, seen, golden) if "content" in known.ways else [False] * seen.height
    if "key" in known.ways and contract.key in golden.columns and known.hashed is not None:
        keys = {known.hashed(str(key)) for key in golden.get_column(contract.key).drop_nulls().to_list()}
        same = [one or key in keys for one, key in zip(same, seen.get_column(KEY).to_list(), strict=True)]
    return same


def _opened(frame: pl.DataFrame, rows: Sequence[LabelledRow], vault: Vault) -> pl.DataFrame:
    """Return the rows with sealed values opened; all of them can be."""
    if SEALED not in frame.columns:
        return frame
    values = [vault.opened(row.inputs)[0] for row in rows]
    columns = [
        pl.Series(name, [one.get(name) for one in values], dtype=frame.schema[name], strict=False)
        for name in frame.columns
        if any(name in one for one in values)
    ]
    return frame.with_columns(columns).drop(SEALED)
