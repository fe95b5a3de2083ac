"""The golden set: rows that are frozen when they are first used, and that nothing is ever fitted to or chosen on.

Declared in [data] golden as a file, or as a share of the training rows that is drawn once. Its content is a snapshot;
`golden.json` in the state says which one, since when and by whom. A file that changes afterwards, or another
declaration, is refused until somebody freezes it anew and says why. `frozen` is what everybody reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import polars as pl

from mainstay.config.folders import make_private
from mainstay.config.load import Loaded
from mainstay.config.settings import SplitBy
from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, ContractViolation, Damaged, EnvironmentFault, NotEnoughEvidence, Refused
from mainstay.data import alike
from mainstay.data.content import digest_of
from mainstay.data.frame_check import check_frame
from mainstay.data.joined import read_joined
from mainstay.data.sealed import OpenValue, opened
from mainstay.data.snapshot import Snapshot, Snapshots
from mainstay.data.split import Rule, split

FILE = "golden.json"
VERSION = 1
FIRST_USE = "first use"
FROZEN = "golden frozen"
"""What the audit says when the set is frozen; its detail holds the digest."""
MOST_ALIKE = 0.5
"""Where more of the other rows than this say the same as a golden one, content tells no rows apart."""
HASHED_KEY = "_key"
"""Column of labelled traffic with the hash of its key."""
_WHOLE_KEYS = {SplitBy.ROW: SplitBy.KEY, SplitBy.STRATUM: SplitBy.KEY_STRATUM}
_FREEZE = '`mainstay golden freeze --reason "…"` takes the rows as they are now, and writes down who did.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The frozen rows."""

    snapshot: Snapshot
    declared: Mapping[str, Any]
    """What [data] golden said when they were frozen."""
    frozen_at: datetime
    by: str
    reason: str
    is_new: bool = field(default=False, compare=False)
    """They were frozen just now."""

    @property
    def id(self) -> str:
        """Return the digest of their content."""
        return self.snapshot.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Rows without those that are golden in all but name."""

    frame: pl.DataFrame
    golden: int = 0
    """Rows that are golden ones themselves."""
    by_key: int = 0
    """Others of a golden key."""
    by_content: int = 0
    """Others that say nearly the same as a golden one."""

    @property
    def told(self) -> str:
        """Return what was left out as a clause, empty when nothing was."""
        parts = {
            "golden rows": self.golden,
            "other rows of golden keys": self.by_key,
            "rows that say nearly the same as a golden one": self.by_content,
        }
        return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def frozen(loaded: Loaded, snapshots: Snapshots) -> Golden | None:
    """Return the frozen golden set, None where the project declares none; its `snapshot.frame()` verifies the rows.

    Raises NotEnoughEvidence where it is declared and was never used, Damaged or NotFound where it is gone or changed.
    """
    if not loaded.settings.data.golden.declared:
        return None
    kept = _kept(loaded.state, snapshots)
    if kept is None:
        raise NotEnoughEvidence(
            "the golden set is declared, and was never used",
            remedy="`mainstay train` or `mainstay golden freeze` freezes it.",
        )
    return kept


def rows_of(loaded: Loaded, snapshots: Snapshots, train: pl.DataFrame) -> pl.DataFrame | None:
    """Return the golden rows as they are or would be frozen; writes nothing. `train` are checked training rows.

    Raises Refused where the declaration, or the file that it names, is not what was frozen; BadData for a file of which
    a row breaks the contract.
    """
    settings = loaded.settings.data.golden
    if not settings.declared:
        return None
    kept = _kept(loaded.state, snapshots)
    if kept is None:
        return _now(loaded, train)
    if dict(kept.declared) != _declared(loaded):
        raise Refused(
            f"[data] golden says {_declared(loaded)}; frozen on {kept.frozen_at:%Y-%m-%d} was {dict(kept.declared)}",
            remedy=f"Put the declaration back. {_FREEZE}",
        )
    before = kept.snapshot.frame()
    if settings.rows is not None:
        _refuse_other(kept, before, _now(loaded, train))
    return before


def settle(loaded: Loaded, snapshots: Snapshots, rows: pl.DataFrame | None, now: datetime) -> Golden | None:
    """Return the golden set after its rows (from `rows_of`) were frozen if they are used for the first time."""
    if rows is None:
        return None
    return _kept(loaded.state, snapshots) or _freeze(
        loaded, snapshots, rows, now, by=FIRST_USE, reason="", replace=False
    )


def freeze(
    loaded: Loaded, snapshots: Snapshots, train: pl.DataFrame, now: datetime, *, by: str, reason: str
) -> tuple[Golden, str]:
    """Freeze the rows that are declared now, whatever was frozen before; return the set, and the digest before.

    A share is drawn anew from the training rows `train`. The caller writes it into the audit.
    """
    kept = _kept(loaded.state, snapshots)
    made = _freeze(loaded, snapshots, _now(loaded, train), now, by=by, reason=reason, replace=True)
    return made, "" if kept is None else kept.id


def refuse_unaudited(golden: Golden, digest: str) -> None:
    """Raise Refused: what is frozen is not what the audit says (`digest`)."""
    raise Refused(
        f"the golden set that is frozen here ({golden.id[:12]}) is not the one in the audit ({digest[:12]})",
        remedy=f"Find out who changed {FILE}; restore it from a backup. {_FREEZE}",
    )


def apart(
    contract: Contract,
    frame: pl.DataFrame,
    golden: pl.DataFrame | None,
    *,
    ways: tuple[str, ...] = ("key", "content"),
    hashed: Callable[[str], str] | None = None,
    open_value: OpenValue | None = None,
) -> Apart:
    """Return the rows that may be trained, calibrated and tested on: those that are not golden in all but name.

    A row that equals a golden one in every column is always left out. By `key`: those of golden keys; rows of labelled
    traffic carry only its hash (`_key`), which `hashed` makes of a key. By `content`: those that say nearly the same
    (`alike`), whoever's; `open_value` opens sealed values to look at them, and the rows stay sealed. Raises BadData
    where that would be more than half.
    """
    if golden is None or golden.is_empty() or frame.is_empty():
        return Apart(frame=frame)
    seen = opened(frame, open_value)
    of_key = [False] * frame.height
    if "key" in ways and contract.key is not None and contract.key in golden.columns:
        keys = {str(key) for key in golden[contract.key].drop_nulls().to_list()}
        of_key = _of_keys(contract, seen, keys, hashed)
    equal = _equal(seen, golden)
    same = alike.alike(contract, seen, golden) if "content" in ways else equal
    only_same = sum(one and not known and not itself for known, one, itself in zip(of_key, same, equal, strict=True))
    left = sum(not (known or itself) for known, itself in zip(of_key, equal, strict=True))
    if left and only_same / left > MOST_ALIKE:
        raise BadData(
            f"{only_same} of {left} rows say nearly the same as a golden one: the fields do not tell rows apart",
            remedy='Declare [data] key and golden = { apart = ["key"], … }, or take other rows for the golden set.',
        )
    found = zip(of_key, same, equal, strict=True)
    out = pl.Series([known or one or itself for known, one, itself in found], dtype=pl.Boolean)
    return Apart(
        frame=frame.filter(~out),
        golden=sum(equal),
        by_key=sum(known and not itself for known, itself in zip(of_key, equal, strict=True)),
        by_content=only_same,
    )


def _equal(frame: pl.DataFrame, golden: pl.DataFrame) -> list[bool]:
    """Return which rows are golden ones themselves, by every column that both have."""
    columns = [name for name in golden.columns if name in frame.columns]
    rows = frame.select(columns).with_row_index("#row")
    same = golden.select(pl.col(name).cast(frame.schema[name], strict=False) for name in columns).unique()
    found = rows.join(same, on=columns, how="semi", nulls_equal=True)
    return pl.Series(range(frame.height), dtype=pl.UInt32).is_in(found["#row"].implode()).to_list()


def _of_keys(
    contract: Contract, frame: pl.DataFrame, keys: set[str], hashed: Callable[[str], str] | None
) -> list[bool]:
    out = [False] * frame.height
    if contract.key in frame.columns:
        out = [key is not None and str(key) in keys for key in frame[contract.key].to_list()]
    if hashed is not None and HASHED_KEY in frame.columns:
        told = {hashed(key) for key in keys}
        out = [one or key in told for one, key in zip(out, frame[HASHED_KEY].to_list(), strict=True)]
    return out


def _now(loaded: Loaded, train: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that the declaration means now."""
    settings, seed = loaded.settings.data.golden, loaded.settings.project.seed
    if settings.rows is None:
        by = settings.by
        if "key" in settings.apart and loaded.contract.key is not None:  # other rows of its keys would be lost
            by = _WHOLE_KEYS.get(by, by)
        rule = Rule(by=by, share=float(settings.share or 0.0), lenient=True)
        return split(loaded.contract, train, rule, seed=seed, name="golden").test
    address = loaded.settings.data.sources.get(settings.rows, settings.rows)
    frame = read_joined(loaded, address).frame
    report = check_frame(loaded.contract, frame, with_target=True)
    if report.bad.height:
        raise ContractViolation(
            f"{report.bad.height} of {frame.height} golden rows of {address} break the contract; none may",
            remedy="Mend the rows, or the contract if that is wrong.",
            problems=report.problems,
        )
    return report.good


def _declared(loaded: Loaded) -> dict[str, Any]:
    settings = loaded.settings.data.golden
    if settings.rows is not None:
        return {"rows": settings.rows}
    return {"share": settings.share, "by": str(settings.by), "seed": loaded.settings.project.seed}


def _refuse_other(kept: Golden, before: pl.DataFrame, after: pl.DataFrame) -> None:
    if digest_of(after) == kept.id:
        return
    what = f"{after.height} rows instead of {before.height}"
    if after.height == before.height:
        changed = [name for name in before.columns if name in after.columns and not before[name].equals(after[name])]
        what = f"other values in {', '.join(changed)}" if changed else "other columns"
    raise Refused(
        f"the golden set is not what was frozen on {kept.frozen_at:%Y-%m-%d} ({kept.id[:12]}): {what}",
        remedy=f"Put {kept.declared.get('rows')} back as it was. {_FREEZE}",
    )


def _kept(state: Path, snapshots: Snapshots) -> Golden | None:
    try:
        told = json.loads((state / FILE).read_text(encoding="utf-8"))
        return Golden(
            snapshot=snapshots.open(str(told["snapshot"])),
            declared=dict(told["declared"]),
            frozen_at=datetime.fromisoformat(told["frozen_at"]),
            by=str(told["by"]),
            reason=str(told["reason"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{FILE} in {state} cannot be read: {type(error).__name__}",
            remedy=f"Restore it from a backup; the audit names the digest. {_FREEZE}",
        ) from error


def _freeze(
    loaded: Loaded, snapshots: Snapshots, rows: pl.DataFrame, now: datetime, *, by: str, reason: str, replace: bool
) -> Golden:
    declared = _declared(loaded)
    snapshot = snapshots.put(rows, {"part": "golden", **declared}, now)
    told = {
        "v": VERSION,
        "snapshot": snapshot.id,
        "rows": snapshot.rows,
        "declared": declared,
        "frozen_at": now.isoformat(),
        "by": by,
        "reason": reason,
    }
    try:
        _write(loaded.state, json.dumps(told, ensure_ascii=False, indent=1), replace=replace)
    except FileExistsError:  # another process froze it first: then that holds
        kept = _kept(loaded.state, snapshots)
        if kept is None or kept.id != snapshot.id:
            raise Refused("the golden set was frozen by another process, with other rows", remedy=_FREEZE) from None
        return kept
    except OSError as error:
        raise EnvironmentFault(f"{FILE} cannot be written: {error.strerror or error}") from error
    return Golden(snapshot=snapshot, declared=declared, frozen_at=now, by=by, reason=reason, is_new=True)


def _write(state: Path, text: str, *, replace: bool) -> None:
    """Write the file whole or not at all; without `replace` raise FileExistsError where there is one."""
    make_private(state)
    handle, name = mkstemp(prefix=".golden-", dir=state)
    temporary = Path(name)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
        if replace:
            temporary.replace(state / FILE)
        else:
            os.link(temporary, state / FILE)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)
