"""Two data sets side by side, once. Read `compare` top to bottom: it is the whole way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mainstay.comparison import distinct, words
from mainstay.comparison import judge as judging
from mainstay.comparison.aspects import Asked
from mainstay.comparison.beside import Beside, at_once
from mainstay.comparison.fields import Whole, measure
from mainstay.comparison.frames import Loaded, Tested, common_columns, distinct_names, listed, load, require_columns
from mainstay.comparison.kinds import Column, read_column
from mainstay.comparison.quality import quality_of
from mainstay.comparison.records import Kind, Side
from mainstay.comparison.result import Comparison
from mainstay.comparison.together import Feature, Rows, rows_looked_at, tell_apart
from mainstay.comparison.units import units_of
from mainstay.core.errors import UsageError
from mainstay.core.material import DEFAULT, Material

if TYPE_CHECKING:
    from mainstay.core.ports import Progress

MANY_COPIES = 0.05
"""From this share on, rows that are copies of others are worth a word."""
AHEAD = 4
"""Columns of numbers that may wait to be measured while others are read; their cells are held that long."""
MAX_ROWS = 100_000
"""Rows of each side that the tests use; beyond, a random sample of so many."""


def compare(
    reference: Any,
    current: Any,
    *,
    target: str | None = None,
    prediction: str | None = None,
    key: str | None = None,
    time: str | None = None,
    ignore: Iterable[str] = (),
    kinds: Mapping[str, str] | None = None,
    alpha: float = 0.05,
    material: Material | None = None,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two data sets and say whether they are of one population: the verdict first, then what moved.

    Args:
        reference, current: paths (CSV, Parquet, NDJSON, or a pattern), pandas or Polars frames, mappings of columns, or
            lists of texts. Columns of either alone are named; a column of the reference that is gone is a difference.
        target, prediction: columns with truth and prediction; both together give quality then and now. A prediction is
            a class, the probability of the higher of two classes, or a number.
        key: column that names the unit (a customer, a device); rows of one key are not taken as independent.
        time: column with the time of each row; described, never called drift.
        ignore: columns to leave alone.
        kinds: what a column holds where it was guessed wrongly: {"zip": "category"}.
        alpha: probability at most that two samples of one population are called different.
        material: sizes below which a difference does not matter; [watch] material's defaults.
        max_rows: rows of each side for the tests, drawn at random beyond; gaps, ranges and new values are of all rows.
        seed: of everything random; equal inputs give equal answers.

    Raises UsageError for names that are no column and values out of range, BadData for what cannot be compared.
    """
    if not 0.0 < alpha < 0.5:
        raise UsageError(f"alpha = {alpha!r} is not between 0 and 0.5", remedy="0.05 is usual.")
    if max_rows < 100:
        raise UsageError(f"max_rows = {max_rows!r} is below 100", remedy=f"{MAX_ROWS} is the default.")
    step = progress or (lambda _what, _done, _total: None)
    step("read", 0, 0)
    a, b = load(reference, side="reference"), load(current, side="current")
    names = distinct_names(a, b)
    common = common_columns(a.frame, b.frame, names)
    left_out = tuple(dict.fromkeys([ignore] if isinstance(ignore, str) else ignore))
    _require_names(a, b, names, target=target, prediction=prediction, key=key, time=time, ignore=left_out, kinds=kinds)
    forced = _forced(kinds)
    material = material or DEFAULT

    rng = np.random.default_rng(seed)
    some = (_sample(a.frame, max_rows, rng), _sample(b.frame, max_rows, rng))
    units = units_of(some[0], some[1], key=key, rng=rng)
    asked = Asked(units=units, material=material, rng=rng)
    roles = _roles(target=target, prediction=prediction, key=key, time=time, ignore=left_out)

    looked_at = rows_looked_at(some[0].height, some[1].height, rng)
    entries: list[judging.Entry] = []
    features: dict[str, Feature] = {}
    columns: dict[str, Column] = {}
    with Beside() as beside:
        begun: deque[Callable[[], _Kept]] = deque()

        def keep(entry: judging.Entry) -> _Kept:
            asked_for = entry.column if entry.column.name in (target, prediction) else None
            return _Kept(entry=_without_cells(entry), features=_features(entry, looked_at), column=asked_for)

        def take() -> None:
            kept = begun.popleft()()
            if kept.column is not None:
                columns[kept.column.name] = kept.column
            features.update(kept.features)
            entries.append(kept.entry)

        for number, name in enumerate(common):
            step(f"compare {words.short(name)}", number, len(common))
            whole = Whole(a=a.frame.get_column(name), b=b.frame.get_column(name))
            role = roles.get(name, "field")
            entry, column = _unmeasured(name, some, role=role, forced=forced)

            def finish(entry: judging.Entry = entry, column: Column | None = column, whole: Whole = whole) -> _Kept:
                return keep(entry if column is None else replace(entry, measured=measure(column, whole, asked)))

            # Nothing about numbers is drawn at random, so that the order in which they are measured changes nothing.
            is_numbers = column is not None and column.kind in (Kind.NUMBER, Kind.INTEGER)
            begun.append(beside.start(finish) if is_numbers else at_once(finish))
            if len(begun) > AHEAD:
                take()
        while begun:
            take()
    for entry in _one_sided(some[0], some[1], names, roles):
        if entry.column.name in (target, prediction):
            columns[entry.column.name] = entry.column
        entries.append(_without_cells(entry))

    step("compare all fields together", len(common), len(common))
    keys = units.keys
    of_them = None if keys is None else (keys[0][looked_at[0]], keys[1][looked_at[1]])
    found = tell_apart(features, of_them, rng=rng)
    quality = (
        quality_of(columns[target], columns[prediction], units, material)
        if target in columns
        and prediction in columns
        and columns[target].changed_from is None
        and columns[prediction].changed_from is None
        else None
    )
    judged = judging.judge(entries, found, quality, alpha=alpha)
    return Comparison(
        reference=_side(names[0], a, some[0], None if keys is None else len(np.unique(keys[0]))),
        current=_side(names[1], b, some[1], None if keys is None else len(np.unique(keys[1]))),
        verdict=judged.verdict,
        headline=judging.headline(judged),
        reasons=tuple(
            judging.reasons(
                judged,
                names=names,
                surprised=_surprised(entries, some[1].height),
                alpha=alpha,
                material=material_in_words(material),
            )
        ),
        fields=judged.fields,
        together=judged.together,
        quality=judged.quality,
        notes=tuple(_notes(a, b, some, names, judged, key=key, alpha=alpha, material=material)),
        alpha=alpha,
        tests=judged.tests,
        detectable_sigma=judged.detectable,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What is kept of a column when it is measured."""

    entry: judging.Entry
    features: dict[str, Feature]
    column: Column | None
    """With its cells, where it is the target or the prediction."""


def _features(entry: judging.Entry, looked_at: tuple[Rows, Rows]) -> dict[str, Feature]:
    """Return what a classifier may see of a field that both sides have: not the target, the prediction or the key."""
    if entry.role != "field" or entry.measured is None:
        return {}
    coded = entry.column.kind in (Kind.CATEGORY, Kind.BOOLEAN)
    return {
        name: Feature(a=a[looked_at[0]], b=b[looked_at[1]], coded=coded, field=entry.column.name)
        for name, (a, b) in entry.measured.features.items()
    }


def _without_cells(entry: judging.Entry) -> judging.Entry:
    """Return what the judge needs of a field: of many columns, the cells would be held all at once."""
    column = replace(entry.column, a=entry.column.a.clear(), b=entry.column.b.clear())
    if entry.measured is None:
        return replace(entry, column=column)
    return replace(entry, column=column, measured=replace(entry.measured, column=column, features={}))


def material_in_words(material: Material) -> str:
    """Return what counts as material, for a sentence."""
    return f"{material.number_sigma:g} σ, {100 * material.category_share:g} points of share"


def _require_names(a: Loaded, b: Loaded, names: tuple[str, str], **given: Any) -> None:
    """Refuse named columns that do not exist; the target may be in the reference only, where labels come later."""
    both = [("key", given["key"]), ("time", given["time"])]
    for frame, name in ((a.frame, names[0]), (b.frame, names[1])):
        require_columns([(o, n) for o, n in both if n is not None], frame, name)
    first = [("target", given["target"]), ("prediction", given["prediction"])]
    require_columns([(o, n) for o, n in first if n is not None], a.frame, names[0])
    either = pl.DataFrame(schema=dict.fromkeys([*a.frame.columns, *b.frame.columns], pl.Null))
    require_columns([("ignore", n) for n in given["ignore"]], either, f"{names[0]} or {names[1]}")
    require_columns([("kinds", n) for n in given["kinds"] or ()], either, f"{names[0]} or {names[1]}")


def _forced(kinds: Mapping[str, str] | None) -> dict[str, Kind]:
    out = {}
    for name, kind in (kinds or {}).items():
        if kind not in set(Kind) - {Kind.EMPTY}:
            allowed = ", ".join(sorted(set(Kind) - {Kind.EMPTY}))
            raise UsageError(f"kinds[{name!r}] = {kind!r} is no kind; allowed: {allowed}", remedy="Name one of these.")
        out[name] = Kind(kind)
    return out


def _roles(
    *, target: str | None, prediction: str | None, key: str | None, time: str | None, ignore: Iterable[str]
) -> dict[str, str]:
    named = {target: "target", prediction: "prediction", key: "key", time: "time"}
    return {**{str(n): role for n, role in named.items() if n is not None}, **dict.fromkeys(ignore, "ignored")}


def _sample(frame: pl.DataFrame, rows: int, rng: np.random.Generator) -> Tested:
    if frame.height <= rows:
        return Tested(frame=frame)
    return Tested(frame=frame, rows=np.sort(rng.choice(frame.height, rows, replace=False)))


def _unmeasured(
    name: str, some: tuple[Tested, Tested], *, role: str, forced: Mapping[str, Kind]
) -> tuple[judging.Entry, Column | None]:
    """Return a column's entry as far as it is known without measuring, and what is to be measured, if anything."""
    a, b = some[0].get_column(name), some[1].get_column(name)
    if role in ("key", "ignored"):
        why = "names the units" if role == "key" else "left alone, as asked"
        column = Column(name=name, kind=Kind.IDENTIFIER, a=a, b=b)
        return judging.Entry(column=column, role=role, measured=None, why_not=why), None
    if any(side.dtype.is_nested() or side.dtype in (pl.Binary, pl.Object) for side in (a, b)):
        column = Column(name=name, kind=Kind.EMPTY, a=a, b=b)
        why = f"holds {a.dtype}, which is not compared"
        return judging.Entry(column=column, role=role, measured=None, why_not=why), None
    column = read_column(a, b, forced=Kind.TIMESTAMP if role == "time" else forced.get(name))
    if column.changed_from is not None:
        examples = ", ".join(words.short(v, 20) for v in column.b.drop_nulls().head(3).cast(pl.String).to_list())
        broken = f"{column.kind} instead of {column.changed_from} (for example {examples})"
        return judging.Entry(column=column, role=role, measured=None, broken=broken), None
    return judging.Entry(column=column, role=role, measured=None), column


def _one_sided(a: Tested, b: Tested, names: tuple[str, str], roles: Mapping[str, str]) -> list[judging.Entry]:
    """Return entries for columns of one side only. One that is gone is a difference; a new one is named."""
    entries = []
    for mine, other, gone in ((a, b, True), (b, a, False)):
        for name in (name for name in mine.columns if name not in other.columns):
            if mine.get_column(name).dtype.is_nested() or mine.get_column(name).dtype in (pl.Binary, pl.Object):
                continue  # the notes name it
            nothing = pl.Series(name, [None] * other.height, dtype=pl.Null)
            cells = mine.get_column(name)
            column = read_column(cells, nothing) if gone else read_column(nothing, cells)
            role = roles.get(name, "field")
            certain = gone and role == "field" and column.kind not in (Kind.IDENTIFIER, Kind.TIMESTAMP, Kind.EMPTY)
            text = f"only {names[0] if gone else names[1]} has it"
            entries.append(
                judging.Entry(
                    column=column,
                    role=role,
                    measured=None,
                    broken=f"gone: {text}" if certain else "",
                    why_not="" if certain else text,
                )
            )
    return entries


def _side(name: str, side: Loaded, some: Tested, keys: int | None) -> Side:
    return Side(name=name, rows=side.frame.height, columns=side.frame.width, tested=some.height, keys=keys)


def _surprised(entries: Iterable[judging.Entry], rows: int) -> float:
    """Return the share of current rows that hold something the reference never held in a field that a model sees."""
    found = np.zeros(rows, dtype=np.bool_)
    for entry in entries:
        if entry.role == "field" and entry.measured is not None and entry.measured.surprises is not None:
            found |= entry.measured.surprises
    return float(found.mean()) if rows else 0.0


def _notes(
    a: Loaded,
    b: Loaded,
    some: tuple[Tested, Tested],
    names: tuple[str, str],
    judged: judging.Judged,
    *,
    key: str | None,
    alpha: float,
    material: Material,
) -> list[str]:
    """Return how it was done, and what a reader must not read into it."""
    notes = [
        f"A field moved where its difference is no chance (p adjusted by Holm over {judged.tests} tests, level "
        f"{alpha:g}) and the 95 % interval of its size lies beyond what matters ({material_in_words(material)})."
    ]
    if judged.together is not None:
        notes[0] += " Four fifths of the level are for the fields, one fifth for the classifier over all of them."
    for side, tested, name in ((a, some[0], names[0]), (b, some[1], names[1])):
        if tested.height < side.frame.height:
            notes.append(
                f"Tests and plots of {name} use {words.counted(tested.height)} of {words.counted(side.frame.height)} "
                "rows, drawn at random; missing shares, smallest and largest values and new values are of all rows."
            )
    if key is not None:
        notes.append(f"Rows of one {words.short(key)} are not taken as independent.")
    else:
        notes.append(_independence(a, b))
    if a.frame.equals(b.frame):
        notes.append("The two hold exactly the same rows.")
    gone = [n for n in a.frame.columns if n not in b.frame.columns]
    new = [n for n in b.frame.columns if n not in a.frame.columns]
    if gone:
        notes.append(f"Only in {names[0]}: {listed(gone)}.")
    if new:
        notes.append(f"Only in {names[1]}: {listed(new)}.")
    return notes


def _independence(a: Loaded, b: Loaded) -> str:
    text = "Rows are taken as independent; where several are of one customer or device, name its column as the key."
    copies = max((_copies(side.frame) for side in (a, b) if side.frame.height <= MAX_ROWS), default=0.0)
    if copies > MANY_COPIES:
        text += f" {words.share(copies)} of the rows of one side are exact copies of others."
    return text


def _copies(frame: pl.DataFrame) -> float:
    """Return the share of rows that are copies of others, or a bound of it that is no more than MANY_COPIES."""
    numbers = next((name for name, dtype in frame.schema.items() if dtype.is_float()), None)
    if numbers is not None:  # rows that differ in one column are no copies, and one column is soon looked at
        most = 1.0 - distinct.different(frame.get_column(numbers)) / frame.height
        if most <= MANY_COPIES:
            return most
    return 1.0 - frame.n_unique() / frame.height
