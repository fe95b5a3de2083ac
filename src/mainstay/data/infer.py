"""From somebody's rows to a frame and a contract: what each column holds, told by its values.

A contract that is guessed must not turn good traffic away. So an unknown category and a number outside the seen range
are flagged, not refused, and a field is required only where no row lacked it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Role, Task
from mainstay.core.errors import BadData, Problem, UsageError, shorten
from mainstay.data.cells import read_cells

TEXT = "text"
"""Name of the only field where rows are bare texts."""
MAX_CATEGORIES = 100
"""More distinct values than this are no list that a person would read."""
ROWS_PER_CATEGORY = 5
"""Values that come less often than this on average are not declared: others like them will come."""
MAX_CLASSES = 20
"""Whole numbers with more values than this are taken for amounts, not for classes."""
TEXT_WORDS = 4.0
TEXT_CHARS = 60.0
"""Values of so many words or characters on average are texts."""
IDENTIFIER_SHARE = 0.98
IDENTIFIER_ROWS = 100
LEAST_MAX_CHARS = 4000


def as_polars(data: Any) -> pl.DataFrame:
    """Return rows as a Polars frame: from pandas, Polars, a mapping of columns, records, texts, or a 2-d array.

    Bare texts (a list, an array, a Series) become the column `text`; a 2-d array becomes x0, x1, … . NaN, NaT and NA
    become null; a pandas or Polars category stays one (Enum). The pandas index is left out. Raises BadData naming each
    column that holds something else than texts, numbers, booleans or times; UsageError for another kind of object.
    """
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        columns = [(name, data.get_column(name)) for name in data.columns]
    elif isinstance(data, pl.Series):
        columns = [(TEXT, data)]
    elif _is_pandas_frame(data):
        columns = _pandas_columns(data)
    elif _is_pandas_series(data):
        columns = [(TEXT, data)]
    elif isinstance(data, np.ndarray):
        columns = _array_columns(data)
    elif isinstance(data, Mapping):
        columns = [(str(name), values) for name, values in data.items()]
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
        columns = _sequence_columns(data)
    else:
        raise UsageError(
            f"the rows are a {type(data).__name__}",
            remedy="Give a pandas or Polars frame, a list of texts, or a 2-d array"
            + (" (a sparse matrix with .toarray())." if hasattr(data, "toarray") else "."),
        )
    return _framed(columns)


def infer_contract(
    frame: pl.DataFrame,
    *,
    target: str | None,
    task: Task | None = None,
    key: str | None = None,
    time: str | None = None,
    segments: Iterable[str] = (),
    spelled: bool = False,
) -> Contract:
    """Return the contract that the rows of `frame` (from `as_polars`) suggest; each of these rows keeps it.

    Without `target` (rows without truth) the contract has none: its target is an empty name and its task regression.
    `spelled`: columns of text whose every cell reads as a number, boolean or time are of that type (rows of a CSV
    file); otherwise a column keeps the type it has. `key` and `time` become fields that the model does not see. Raises
    BadData for an empty frame, columns that no field can have, and a target that is empty or has one class.
    """
    _require_usable(frame, target=target, key=key, time=time, segments=segments)
    segment_names = tuple(segments)
    fields = []
    for name in frame.columns:
        if name == target:
            continue
        cells = frame.get_column(name)
        fields.append(_as_used(field_of(name, cells, spelled=spelled), cells, name, key, time, segment_names))
    if target is None:
        return Contract(task=task or Task.REGRESSION, fields=tuple(fields), target="", key=key, time=time)
    truth = _spelled(frame.get_column(target)) if spelled else frame.get_column(target)
    task = task or infer_task(truth)
    classes = classes_in(truth) if task.is_classification else ()
    _require_classes(target, truth, classes, task)
    return Contract(task=task, fields=tuple(fields), target=target, classes=classes, key=key, time=time)


def infer_task(truth: pl.Series) -> Task:
    """Return the task that a target suggests: texts, booleans and few whole numbers are classes, others amounts."""
    values = truth.drop_nulls()
    distinct = values.n_unique()
    if truth.dtype.is_float():
        return Task.REGRESSION
    if truth.dtype.is_integer() and distinct > MAX_CLASSES:
        return Task.REGRESSION
    return Task.BINARY if distinct <= 2 else Task.MULTICLASS


def classes_in(truth: pl.Series) -> tuple[str, ...]:
    """Return the classes of a target as the contract names them, numbers in their order."""
    values = truth.drop_nulls().unique().to_list()
    if truth.dtype.is_numeric():
        values.sort()
        return tuple(str(int(value)) if float(value).is_integer() else str(value) for value in values)
    return tuple(sorted("true" if value is True else "false" if value is False else str(value) for value in values))


def field_of(name: str, cells: pl.Series, *, spelled: bool = False) -> Field:
    """Return the field that one column suggests; every cell of it keeps the field's limits."""
    if spelled:
        cells = _spelled(cells)
    required = cells.null_count() == 0
    dtype = cells.dtype
    if dtype == pl.Boolean:
        return Field(name=name, type=FieldType.BOOLEAN, required=required)
    if dtype.is_temporal():
        return Field(name=name, type=FieldType.TIMESTAMP, required=required)
    if dtype.is_numeric() or dtype == pl.Null:
        return _number_field(name, cells, required=required)
    return _text_field(name, cells, required=required)


def _number_field(name: str, cells: pl.Series, *, required: bool) -> Field:
    kind = FieldType.INTEGER if cells.dtype.is_integer() and cells.dtype != pl.UInt64 else FieldType.NUMBER
    values = cells.cast(pl.Float64).drop_nulls()
    finite = values.filter(values.is_finite())
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)  # type: ignore[arg-type]
    return Field(name=name, type=kind, required=required, min=low, max=high, on_range=Policy.FLAG)


def _text_field(name: str, cells: pl.Series, *, required: bool) -> Field:
    declared = cells.dtype.categories.to_list() if isinstance(cells.dtype, pl.Enum) else []
    values = cells.cast(pl.String).drop_nulls()
    distinct = values.unique()
    if declared or _is_category(values, distinct):
        known = declared if 0 < len(declared) <= MAX_CATEGORIES else sorted(distinct.to_list())
        named = tuple(known) if len(known) <= MAX_CATEGORIES else ()
        return Field(name=name, type=FieldType.CATEGORY, required=required, values=named, on_unknown=Policy.FLAG)
    if _reads_as_text(distinct):
        return text_field(name, distinct, required=required)
    unique = len(values) >= IDENTIFIER_ROWS and len(distinct) >= IDENTIFIER_SHARE * len(values)
    if unique and not distinct.str.contains(r"\s").any() and not (distinct == "").any():
        return Field(name=name, type=FieldType.IDENTIFIER, required=required)
    return Field(name=name, type=FieldType.CATEGORY, required=required, on_unknown=Policy.FLAG)


def text_field(name: str, cells: pl.Series, *, required: bool) -> Field:
    """Return a field of text that has room for texts four times as long as the longest of these."""
    longest = int(cells.str.len_chars().max() or 0)  # type: ignore[arg-type]
    limit = max(LEAST_MAX_CHARS, math.ceil(4 * longest / 1000) * 1000)
    return Field(name=name, type=FieldType.TEXT, required=required, max_chars=limit)


def _is_category(values: pl.Series, distinct: pl.Series) -> bool:
    """Return whether the values are a list that comes again and again."""
    if len(distinct) > MAX_CATEGORIES or len(values) < ROWS_PER_CATEGORY * len(distinct):
        return False
    # Ten canned messages are texts all the same where they are long.
    return len(distinct) > 0 and float(distinct.str.len_chars().mean()) < TEXT_CHARS  # type: ignore[arg-type]


def _reads_as_text(distinct: pl.Series) -> bool:
    if len(distinct) == 0:
        return False
    words = float(distinct.str.count_matches(r"\w+").mean())  # type: ignore[arg-type]
    return words >= TEXT_WORDS or float(distinct.str.len_chars().mean()) >= TEXT_CHARS  # type: ignore[arg-type]


def _as_used(
    field: Field, cells: pl.Series, name: str, key: str | None, time: str | None, segments: Sequence[str]
) -> Field:
    """Give a field the role that the caller named it for."""
    if name == key:
        kind = field.type if cells.dtype == pl.Boolean or cells.dtype.is_float() else FieldType.IDENTIFIER
        return Field(name=name, type=kind, required=field.required, roles=(Role.IGNORED,))
    if name == time:
        return Field(name=name, type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,))
    if name not in segments:
        return field
    return _segment(field, cells)


def _segment(field: Field, cells: pl.Series) -> Field:
    """Let a field divide the traffic: a number by its quartiles."""
    bins: tuple[float, ...] = ()
    if field.type in (FieldType.NUMBER, FieldType.INTEGER):
        values = cells.cast(pl.Float64).drop_nulls()
        edges = [values.quantile(q, interpolation="lower") for q in (0.0, 0.25, 0.5, 0.75, 1.0)]
        bins = tuple(dict.fromkeys(float(edge) for edge in edges if edge is not None))
        bins = bins if len(bins) > 1 else ()
    return Field(
        name=field.name,
        type=field.type,
        required=field.required,
        min=field.min,
        max=field.max,
        max_chars=field.max_chars,
        values=field.values,
        on_unknown=field.on_unknown,
        on_range=field.on_range,
        roles=(Role.SEGMENT,),
        bins=bins,
    )


def _spelled(cells: pl.Series) -> pl.Series:
    """Return a column of text as numbers, booleans or times where each cell is spelled as one."""
    if cells.dtype != pl.String or cells.null_count() == len(cells):
        return cells
    for kind in (FieldType.INTEGER, FieldType.NUMBER, FieldType.BOOLEAN, FieldType.TIMESTAMP):
        read = read_cells(Field(name=cells.name, type=kind), cells)
        if read.null_count() == cells.null_count():
            return read
    return cells


def _require_usable(
    frame: pl.DataFrame, *, target: str | None, key: str | None, time: str | None, segments: Iterable[str]
) -> None:
    if frame.height == 0 or frame.width == 0:
        raise BadData(f"there are no rows: {frame.height} rows of {frame.width} columns", remedy="Give rows.")
    for what, name in (("target", target), ("key", key), ("time", time), *(("segment", one) for one in segments)):
        if name is not None and name not in frame.columns:
            raise UsageError(
                f"{what} = {name!r} is no column of the rows; they have {shorten(frame.columns, 200)}",
                remedy="Name one of these columns.",
            )
    if time is not None and not _is_time(frame.get_column(time)):
        raise UsageError(
            f"time = {time!r} holds {frame.get_column(time).dtype}, no times", remedy="Name a column of times."
        )
    wrong = [name for name in frame.columns if not name or name[0] in "_^" or not name.isprintable()]
    if wrong:
        raise BadData(
            f"columns {wrong[:5]} cannot be fields; a field has a printable name not beginning with _ or ^",
            remedy="Rename these columns.",
        )


def _is_time(cells: pl.Series) -> bool:
    return cells.dtype.is_temporal() or _spelled(cells).dtype.is_temporal()


def _require_classes(target: str, truth: pl.Series, classes: tuple[str, ...], task: Task) -> None:
    if truth.null_count():
        raise BadData(
            f"the target {target!r} is empty in {truth.null_count()} of {len(truth)} rows",
            remedy="Leave these rows out, or fill in their truth.",
        )
    if truth.n_unique() < 2:
        raise BadData(
            f"the target {target!r} is the same in every row: {truth[0]!r}",
            remedy="Give rows of two classes or more.",
        )
    if task is Task.BINARY and len(classes) > 2:
        raise UsageError(f"the target {target!r} has {len(classes)} classes; a binary task has two")


def _framed(columns: Sequence[tuple[str, Any]]) -> pl.DataFrame:
    names = [name for name, _ in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadData(f"several columns are named {', '.join(map(repr, twice[:5]))}", remedy="Rename all but one.")
    problems: list[Problem] = []
    series: list[pl.Series] = []
    for name, values in columns:
        found = _column(name, values)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            series.append(found)
    if problems:
        count = f"{len(problems)} column{'s hold' if len(problems) > 1 else ' holds'}"
        raise BadData(
            f"{count} something else than texts, numbers, booleans or times",
            remedy="Take the columns out, or turn each into columns of single values.",
            problems=problems,
        )
    lengths = {len(one) for one in series}
    if len(lengths) > 1:
        told = ", ".join(f"{one.name} {len(one)}" for one in series[:5])
        raise BadData(f"the columns have different lengths: {told}", remedy="Give one value per row in each column.")
    return pl.DataFrame(series)


def _is_pandas_frame(data: Any) -> bool:
    return type(data).__name__ == "DataFrame" and hasattr(data, "iloc")


def _is_pandas_series(data: Any) -> bool:
    return type(data).__name__ == "Series" and hasattr(data, "iloc")


def _pandas_columns(frame: Any) -> list[tuple[str, Any]]:
    if frame.columns.nlevels > 1:
        raise BadData(
            "the columns have names of several levels",
            remedy="Flatten them: frame.columns = ['_'.join(map(str, name)) for name in frame.columns].",
        )
    return [(str(name), frame.iloc[:, number]) for number, name in enumerate(frame.columns)]


def _array_columns(data: np.ndarray[Any, Any]) -> list[tuple[str, Any]]:
    if data.ndim == 1:
        return [(TEXT, data)]
    if data.ndim != 2:
        raise BadData(f"the array has {data.ndim} dimensions; 1 (texts) or 2 (rows, columns) are allowed")
    return [(f"x{number}", data[:, number]) for number in range(data.shape[1])]


def _sequence_columns(data: Sequence[Any]) -> list[tuple[str, Any]]:
    first = next((value for value in data if value is not None), None)
    if isinstance(first, Mapping):
        names = list(dict.fromkeys(name for row in data for name in row))
        return [(str(name), [row.get(name) for row in data]) for name in names]
    if isinstance(first, list | tuple | np.ndarray):
        try:
            return _array_columns(np.asarray(data))
        except ValueError as error:
            raise BadData("the rows have different lengths", remedy="Give each row the same columns.") from error
    return [(TEXT, data)]


def _column(name: str, values: Any) -> pl.Series | Problem:
    """Return a column, or what keeps it from being one."""
    if isinstance(values, pl.Series):
        return _polars_column(name, values)
    if _is_pandas_series(values):
        return _pandas_column(name, values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return _numpy_column(name, values)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "M":
        return pl.Series(name, values.astype("datetime64[us]"))
    return _listed_column(name, list(values))


def _polars_column(name: str, cells: pl.Series) -> pl.Series | Problem:
    dtype = cells.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Time):
        return _strange(name, str(dtype))
    if dtype == pl.Object:
        return _listed_column(name, cells.to_list())
    if dtype.is_float():
        return (cells.fill_nan(None) if cells.is_nan().any() else cells).alias(name)
    if dtype.is_decimal():
        return cells.cast(pl.Float64).alias(name)
    if dtype == pl.Categorical:
        return cells.cast(pl.Enum(cells.cat.get_categories())).alias(name)
    return cells.alias(name)


def _pandas_column(name: str, cells: Any) -> pl.Series | Problem:
    dtype, kind = cells.dtype, str(cells.dtype)
    if kind == "category":
        return _pandas_category(name, cells)
    if kind.startswith("datetime64"):
        aware = getattr(dtype, "tz", None) is not None
        plain = (cells.dt.tz_convert("UTC").dt.tz_localize(None) if aware else cells).to_numpy()
        moments = pl.Series(name, plain.astype("datetime64[us]"))
        return moments.dt.replace_time_zone("UTC") if aware else moments
    if kind.startswith(("timedelta", "period", "interval", "complex")):
        return _strange(name, kind)
    if kind.startswith("Sparse"):
        return _pandas_column(name, cells.sparse.to_dense())
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return _numpy_column(name, cells.to_numpy())
    missing = cells.isna().tolist()
    values = cells.astype(object).tolist()
    return _listed_column(name, [None if gone else value for value, gone in zip(values, missing, strict=True)])


def _pandas_category(name: str, cells: Any) -> pl.Series | Problem:
    known = cells.cat.categories.tolist()
    missing = cells.isna().tolist()
    values = [None if gone else value for value, gone in zip(cells.tolist(), missing, strict=True)]
    if all(isinstance(value, str) for value in known):
        return pl.Series(name, values, dtype=pl.Enum(known))
    return _listed_column(name, values)


def _numpy_column(name: str, values: np.ndarray[Any, Any]) -> pl.Series:
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
    return pl.Series(name, np.ascontiguousarray(values), nan_to_null=True)


def _listed_column(name: str, values: list[Any]) -> pl.Series | Problem:
    """Return Python values as a column; they must be of one kind."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    plain = [None if isinstance(value, float) and value != value else value for value in plain]
    kinds: dict[str, int] = {}
    for row, value in enumerate(plain):
        if value is not None:
            kinds.setdefault(_kind(value), row)
    strange = {kind: row for kind, row in kinds.items() if kind not in _KINDS}
    if strange:
        kind, row = next(iter(strange.items()))
        return _strange(name, kind, row=row, value=plain[row])
    if len(kinds) > 1:
        return Problem(
            where=name,
            what=f"holds {' and '.join(kinds)} at once",
            row=max(kinds.values()),
            value=plain[max(kinds.values())],
            allowed="values of one kind",
        )
    kind = next(iter(kinds), "")
    if kind == "numbers":
        plain = [float(value) if isinstance(value, Decimal) else value for value in plain]
    try:
        return pl.Series(name, plain, dtype=_KINDS.get(kind, pl.Null), strict=False)
    except (pl.exceptions.PolarsError, OverflowError, TypeError) as error:
        return Problem(where=name, what=f"cannot be read as {kind}: {error}")


_KINDS: dict[str, Any] = {"texts": pl.String, "booleans": pl.Boolean, "numbers": None, "times": None, "dates": pl.Date}


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "texts"
    if isinstance(value, bool):
        return "booleans"
    if isinstance(value, int | float | Decimal):
        return "numbers"
    if isinstance(value, datetime):
        return "times"
    if isinstance(value, date):
        return "dates"
    return f"a {type(value).__name__}"


def _strange(name: str, kind: str, *, row: int | None = None, value: Any = None) -> Problem:
    return Problem(where=name, what=f"holds {kind}", row=row, value=value, allowed="texts, numbers, booleans or times")
