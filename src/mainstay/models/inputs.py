"""From checked row values to what an estimator takes; the same lines run in training and in serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainstay.core.contracts import Contract, Field, FieldType
from mainstay.core.errors import ModelOutputInvalid, ProjectFileError

if TYPE_CHECKING:
    import polars as pl

FeatureCode = Callable[[Any], Any]
"""Takes a Polars frame and returns one; or pandas, where the pipeline says so."""
_TEXTS = (FieldType.TEXT, FieldType.CATEGORY, FieldType.IDENTIFIER)


class Form(StrEnum):
    """What rows are handed over as."""

    PANDAS = "pandas"
    POLARS = "polars"
    ARRAY = "array"
    """Two-dimensional, without names."""


class ColumnSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The type of one column, where it is another than its field's usual one."""

    dtype: str
    """As pandas names it, for a Polars frame as Polars does: `float32`, `category`, `datetime64[ns]`, `Int64`."""
    categories: tuple[str | int | float | bool, ...] = ()
    """Of a category, in order."""
    ordered: bool = False
    nan: bool = False
    """In an object column a missing value is NaN, not None."""


class InputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows reach the estimator."""

    v: int = 1
    input: str | None = None
    """The one column that is handed over as a 1-d array; None: a frame or array of all columns."""
    features: str | None = None
    """Name of the function in the bundle's features.py; None: no feature code."""
    form: Form = Form.PANDAS
    """What the estimator takes; with feature code over pandas, whatever that returns."""
    takes: tuple[str, ...] = ()
    """The fields that are handed over, in order; empty: all that the model sees."""
    dtype: str = ""
    """NumPy type of an array; empty: float64."""
    columns: dict[str, ColumnSpec] = {}
    features_form: Form = Form.POLARS
    """What the feature code takes."""


class Inputs:
    """Turns rows into the estimator's input."""

    __slots__ = ("_contract", "_features", "_fields", "_is_text", "_spec")

    def __init__(self, contract: Contract, spec: InputSpec, features: FeatureCode | None) -> None:
        self._contract = contract
        self._fields = _taken(contract, spec)
        self._spec = spec
        self._features = features
        field = contract.field(spec.input) if spec.input else None
        self._is_text = field is not None and field.type in _TEXTS

    def build(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return a 1-d object array (when `input` names a column), else a frame or array, one entry per row.

        A missing text becomes an empty text in the 1-d form, as vectorizers know no missing value. Column types never
        depend on the batch: an integer or boolean that may be missing is a float, NaN where it is.
        """
        spec = self._spec
        if self._features is not None:
            return self._from_features(self._featured(self._features, rows))
        if spec.input is not None:
            return _array([row.get(spec.input) for row in rows], is_text=self._is_text)
        if spec.form is Form.ARRAY:
            return self._matrix(rows)
        return self._polars(rows) if spec.form is Form.POLARS else self._pandas(rows)

    def feature_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return what the feature code makes of rows, as rows: its columns by name, None or NaN where missing."""
        if self._features is None:
            raise ModelOutputInvalid("There is no feature code")
        frame = self._featured(self._features, rows)
        made: list[dict[str, Any]]
        made = frame.to_dicts() if self._spec.features_form is Form.POLARS else frame.to_dict("records")
        return made

    def featured(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return what the feature code makes of rows together, a frame or array as it returned it; None without any."""
        return None if self._features is None else self._featured(self._features, rows)

    def _featured(self, features: FeatureCode, rows: Sequence[Mapping[str, Any]]) -> Any:
        raw = self._polars(rows) if self._spec.features_form is Form.POLARS else self._pandas(rows)
        return self._run(features, raw, len(rows))

    def _run(self, features: FeatureCode, frame: Any, rows: int) -> Any:
        out = features(frame)
        if self._spec.features_form is Form.POLARS:
            if not isinstance(out, _polars().DataFrame):
                raise ProjectFileError(
                    f"{self._spec.features}() returned {type(out).__name__}; a polars.DataFrame is expected",
                    remedy="Return the frame from the feature function (take one, return one).",
                )
        elif not hasattr(out, "shape"):
            raise ProjectFileError(
                f"{self._spec.features}() returned {type(out).__name__}; a pandas frame, a Series or array is expected",
                remedy="Return the frame from the feature function (take one, return one).",
            )
        if out.shape[0] != rows:
            raise ModelOutputInvalid(
                f"{self._spec.features}() returned {out.shape[0]} rows for {rows}; one row for each is expected",
                remedy="Feature code works row by row: it may not drop, add or aggregate rows.",
            )
        return out

    def _from_features(self, frame: Any) -> Any:
        name = self._spec.input
        is_pandas = self._spec.features_form is Form.PANDAS
        if name is None:
            return frame if is_pandas or self._spec.form is Form.POLARS else frame.to_pandas()
        if name not in getattr(frame, "columns", ()):
            raise ProjectFileError(
                f"input {name!r} is not among the columns that the features function returned: "
                f"{list(getattr(frame, 'columns', ()))}",
                remedy="Name one of these columns as the pipeline's `input`.",
            )
        if is_pandas:
            return frame[name].to_numpy()
        column = frame.get_column(name)
        return _array(column.to_list(), is_text=column.dtype == _polars().String)

    def _polars(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        import polars as pl

        from mainstay.models import columns

        told = self._spec.columns
        data = []
        for field in self._fields:
            cells = pl.Series(field.name, [row.get(field.name) for row in rows], dtype=_dtype(field))
            known = told.get(field.name)
            data.append(cells if known is None else columns.polars_column(cells, known))
        return pl.DataFrame(data)

    def _pandas(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        import pandas as pd

        from mainstay.models import columns

        told = self._spec.columns
        data = {}
        for field in self._fields:
            values = [row.get(field.name) for row in rows]
            known = told.get(field.name)
            data[field.name] = _column(field, values) if known is None else columns.pandas_column(field, values, known)
        return pd.DataFrame(data)

    def _matrix(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        dtype = np.dtype(self._spec.dtype or "float64")
        names = [field.name for field in self._fields]
        gap = np.nan if dtype.kind == "f" else None
        if dtype.kind == "O":
            out = np.empty((len(rows), len(names)), dtype=object)
            out[:] = [[row.get(name) for name in names] for row in rows]
            return out
        cells = [[gap if (value := row.get(name)) is None else value for name in names] for row in rows]
        return np.array(cells, dtype=dtype).reshape(len(rows), len(names))


def _taken(contract: Contract, spec: InputSpec) -> tuple[Field, ...]:
    """Return the fields that are handed over; raise ProjectFileError for a name that is no field."""
    if not spec.takes:
        return contract.features
    found = [contract.field(name) for name in spec.takes]
    fields = tuple(field for field in found if field is not None)
    if len(fields) < len(found):
        absent = [name for name in spec.takes if contract.field(name) is None]
        raise ProjectFileError(
            f"the pipeline takes {absent}, and there is no such field",
            remedy="Declare the field under [fields], or take its name out of `takes`.",
        )
    return fields


def _array(values: list[Any], *, is_text: bool) -> np.ndarray[Any, Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = ["" if value is None else value for value in values] if is_text else values
    return out


def _column(field: Field, values: list[Any]) -> Any:
    if field.type is FieldType.TIMESTAMP:
        import pandas as pd

        return pd.to_datetime(pd.Series(values, dtype=object), utc=True)
    if field.type in _TEXTS:
        return np.array(values, dtype=object)
    if field.type is FieldType.NUMBER or not field.required:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.array(values, dtype=np.int64 if field.type is FieldType.INTEGER else np.bool_)


def _dtype(field: Field) -> Any:
    pl = _polars()
    if field.type in _TEXTS:
        return pl.String
    if field.type is FieldType.TIMESTAMP:
        return pl.Datetime("us", "UTC")
    if field.type is FieldType.NUMBER or not field.required:
        return pl.Float64
    return pl.Int64 if field.type is FieldType.INTEGER else pl.Boolean


def _polars() -> Any:
    import polars

    return polars
