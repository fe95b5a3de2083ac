"""The rows of a notebook: as the estimator got them, as a Polars frame, and as serving will hand them over again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import BadData, UsageError, shorten
from mainstay.data.infer import TEXT, as_polars
from mainstay.models.columns import usual_dtype
from mainstay.models.inputs import ColumnSpec, Form
from mainstay.models.load import class_name

TARGET = "target"
_USUAL_POLARS = {
    FieldType.TIMESTAMP: "Datetime",
    FieldType.TEXT: "String",
    FieldType.CATEGORY: "String",
    FieldType.IDENTIFIER: "String",
    FieldType.NUMBER: "Float64",
    FieldType.INTEGER: "Int64",
    FieldType.BOOLEAN: "Boolean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Rows in the form that the notebook has them in, and the same as a Polars frame."""

    raw: Any
    """pandas or Polars frame, 2-d array, or a list of texts."""
    frame: pl.DataFrame
    form: Form | None
    """None: bare texts."""

    def __len__(self) -> int:
        return self.frame.height

    def columns(self, names: Sequence[str]) -> Any:
        """Return these columns in the notebook's form."""
        if self.form is None:
            return self.raw
        if self.form is Form.ARRAY:
            return self.raw[:, [self.frame.columns.index(name) for name in names]]
        if self.form is Form.POLARS:
            return self.raw.select(list(names))
        positions = [self.frame.columns.index(name) for name in names]
        return self.raw.iloc[:, positions]

    def column(self, name: str) -> Any:
        """Return one column as a one-dimensional array, as a vectorizer takes it."""
        cells = self.frame.get_column(name)
        out = np.empty(len(cells), dtype=object)
        out[:] = cells.to_list()
        return out


def given(rows: Any, *, what: str = "X", names: Sequence[str] = ()) -> Given:
    """Return the rows of a notebook; an array gets `names` where the estimator knows them. Raises as `as_polars`."""
    raw, form = _form(rows)
    if form is Form.ARRAY and names and raw.ndim == 2 and raw.shape[1] == len(names):
        import pandas as pd

        raw, form = pd.DataFrame(raw, columns=list(names)), Form.PANDAS
    try:
        frame = as_polars(raw)
    except BadData as error:
        raise BadData(f"{what}: {error.message}", remedy=error.remedy, problems=error.problems) from error
    if frame.height == 0:
        raise BadData(f"{what} has no rows", remedy="Give the rows that the model was fitted on, or rows like them.")
    if form is None and frame.get_column(TEXT).dtype != pl.String:
        raise BadData(
            f"{what} is one-dimensional and holds {frame.get_column(TEXT).dtype}; one dimension is for texts",
            remedy="Give a frame or a 2-d array: X.reshape(-1, 1) for one column.",
        )
    return Given(raw=raw, frame=frame, form=form)


def truth(values: Any, rows: int, *, classes: Sequence[str], what: str = "y") -> pl.Series:
    """Return the target, one value for each row: class names (or the whole numbers they stand for), or numbers.

    Raises BadData for a missing value, another length, several columns, and a class that the estimator does not know.
    """
    cells = _one_dimension(values, what)
    if len(cells) != rows:
        raise BadData(f"{what} has {len(cells)} values for {rows} rows", remedy="Give one value for each row of X.")
    if cells.null_count():
        raise BadData(
            f"{what} is missing in {cells.null_count()} of {rows} rows",
            remedy="Leave these rows out of X and y.",
        )
    if not classes:
        return _numbers(cells, what)
    found = [class_name(value) for value in cells.to_list()]
    strangers = sorted(set(found) - set(classes))
    if strangers:
        raise BadData(
            f"{what} holds classes that the estimator does not know: {strangers[:5]}; "
            f"it knows {shorten(list(classes), 200)}",
            remedy="Give the y that the estimator was fitted on.",
        )
    keeps = cells.dtype.is_integer() or cells.dtype == pl.Boolean
    return cells if keeps else pl.Series(cells.name, found, dtype=pl.String)


def target_name(values: Any, taken: Sequence[str]) -> str:
    """Return what the target is called: the name that y has, where no column has it."""
    name = getattr(values, "name", None)
    if hasattr(values, "columns") and len(values.columns) == 1:
        name = values.columns[0]
    usable = isinstance(name, str) and name and name[0] not in "_^" and name.isprintable()
    chosen = str(name) if usable else TARGET
    while chosen in taken:
        chosen = f"{chosen}_y" if chosen != TARGET or TARGET in taken else TARGET
    return chosen


def column_specs(raw: Any, form: Form | None, fields: Sequence[Field]) -> dict[str, ColumnSpec]:
    """Return the columns whose type in the notebook is not their field's usual one."""
    if form is Form.PANDAS:
        names = [str(name) for name in raw.columns]
        found = {f.name: _pandas_spec(raw.iloc[:, names.index(f.name)], f) for f in fields}
    elif form is Form.POLARS:
        found = {f.name: _polars_spec(raw.get_column(f.name), f) for f in fields}
    else:
        return {}
    return {name: spec for name, spec in found.items() if spec is not None}


def _form(rows: Any) -> tuple[Any, Form | None]:
    if isinstance(rows, pl.LazyFrame):
        rows = rows.collect()
    if isinstance(rows, pl.DataFrame):
        return rows, Form.POLARS
    if type(rows).__name__ == "DataFrame" and hasattr(rows, "iloc"):
        return rows, Form.PANDAS
    if type(rows).__name__ == "Series":
        return rows.to_list(), None
    if isinstance(rows, Mapping) or (isinstance(rows, Sequence) and rows and isinstance(rows[0], Mapping)):
        import pandas as pd

        return pd.DataFrame(rows), Form.PANDAS
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes) and rows:
        if isinstance(rows[0], list | tuple | np.ndarray):
            rows = _array(rows)
        else:
            return list(rows), None
    if isinstance(rows, np.ndarray) and rows.ndim != 1:
        return rows, Form.ARRAY
    return (rows.tolist() if isinstance(rows, np.ndarray) else rows), None


def _array(rows: Any) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(rows)
    except ValueError as error:
        raise BadData("the rows of X have different lengths", remedy="Give each row the same columns.") from error


def _one_dimension(values: Any, what: str) -> pl.Series:
    if values is None:
        raise UsageError(f"{what} is missing", remedy="Give the truth of each row: a list, an array or a Series.")
    shape = getattr(values, "shape", None)
    if isinstance(values, pl.DataFrame) and values.width == 1:
        values = values.to_series()
    elif shape is not None and len(shape) == 2 and shape[1] == 1:
        values = values.iloc[:, 0] if hasattr(values, "iloc") else np.asarray(values).ravel()
    elif shape is not None and len(shape) != 1:
        raise UsageError(
            f"{what} has the shape {tuple(shape)}: a multi-output target; one model answers one question",
            remedy="Adopt one model per target, each under its own name.",
        )
    values = list(values) if isinstance(values, range | tuple) else values
    return as_polars({what: values}).get_column(what)


def _numbers(cells: pl.Series, what: str) -> pl.Series:
    if not (cells.dtype.is_numeric() or cells.dtype == pl.Boolean):
        raise BadData(
            f"{what} holds {cells.dtype}, first {cells[0]!r}; the estimator is a regressor and answers numbers",
            remedy="Give the y that the estimator was fitted on.",
        )
    numbers = cells.cast(pl.Float64)
    if not numbers.is_finite().all():
        raise BadData(f"{what} holds infinity", remedy="Leave these rows out of X and y.")
    return numbers


def _pandas_spec(cells: Any, field: Field) -> ColumnSpec | None:
    kind = str(cells.dtype)
    if kind == "category":
        known = tuple(value.item() if isinstance(value, np.generic) else value for value in cells.cat.categories)
        return ColumnSpec(dtype=kind, categories=known, ordered=bool(cells.cat.ordered))
    if kind == "object":
        missing = [value for value in cells[cells.isna()].tolist() if value is not None]
        usual = usual_dtype(field) == "object"
        return None if usual and not missing else ColumnSpec(dtype=kind, nan=bool(missing))
    return None if kind == usual_dtype(field) else ColumnSpec(dtype=kind)


def _polars_spec(cells: pl.Series, field: Field) -> ColumnSpec | None:
    kind = cells.dtype.base_type().__name__
    if isinstance(cells.dtype, pl.Enum):
        return ColumnSpec(dtype=kind, categories=tuple(cells.dtype.categories.to_list()))
    if isinstance(cells.dtype, pl.Datetime):
        return None if cells.dtype.time_zone else ColumnSpec(dtype=kind)
    usual = _USUAL_POLARS[field.type]
    if not field.required and field.type in (FieldType.INTEGER, FieldType.BOOLEAN):
        usual = "Float64"
    return None if kind == usual else ColumnSpec(dtype=kind)
