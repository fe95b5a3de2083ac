"""From checked row values to what an estimator takes; the same lines run in training and in serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainstay.core.contracts import Contract, Field, FieldType
from mainstay.core.errors import ModelOutputInvalid, ProjectFileError

if TYPE_CHECKING:
    import polars as pl

FeatureCode = Callable[["pl.DataFrame"], "pl.DataFrame"]
_TEXTS = (FieldType.TEXT, FieldType.CATEGORY, FieldType.IDENTIFIER)


class InputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows reach the estimator."""

    v: int = 1
    input: str | None = None
    """The one column that is handed over as a 1-d array; None: a pandas frame of all columns."""
    features: str | None = None
    """Name of the function in the bundle's features.py; None: no feature code."""


class Inputs:
    """Turns rows into the estimator's input."""

    __slots__ = ("_contract", "_features", "_fields", "_is_text", "_spec")

    def __init__(self, contract: Contract, spec: InputSpec, features: FeatureCode | None) -> None:
        self._contract = contract
        self._fields = contract.features
        self._spec = spec
        self._features = features
        field = contract.field(spec.input) if spec.input else None
        self._is_text = field is not None and field.type in _TEXTS

    def build(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return a 1-d object array (when `input` names a column) or a pandas frame, one entry per row.

        A missing text becomes an empty text in the 1-d form, as vectorizers know no missing value. Column types never
        depend on the batch: an integer or boolean that may be missing is a float, NaN where it is.
        """
        if self._features is not None:
            return self._from_frame(self._run(self._features, self._frame(rows)))
        name = self._spec.input
        if name is None:
            return self._pandas(rows)
        return _array([row.get(name) for row in rows], is_text=self._is_text)

    def _run(self, features: FeatureCode, frame: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        out = features(frame)
        if not isinstance(out, pl.DataFrame):
            raise ProjectFileError(
                f"{self._spec.features}() returned {type(out).__name__}; a polars.DataFrame is expected",
                remedy="Return the frame from the feature function (take one, return one).",
            )
        if out.height != frame.height:
            raise ModelOutputInvalid(
                f"{self._spec.features}() returned {out.height} rows for {frame.height}; one row for each is expected",
                remedy="Feature code works row by row: it may not drop, add or aggregate rows.",
            )
        return out

    def _from_frame(self, frame: pl.DataFrame) -> Any:
        name = self._spec.input
        if name is None:
            return frame.to_pandas()
        if name not in frame.columns:
            raise ProjectFileError(
                f"input {name!r} is not among the columns that the features function returned: {frame.columns}",
                remedy="Name one of these columns as the pipeline's `input`.",
            )
        column = frame.get_column(name)
        return _array(column.to_list(), is_text=column.dtype == _polars().String)

    def _frame(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        import polars as pl

        data = {f.name: pl.Series(f.name, [row.get(f.name) for row in rows], dtype=_dtype(f)) for f in self._fields}
        return pl.DataFrame(data)

    def _pandas(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        import pandas as pd

        return pd.DataFrame({f.name: _column(f, [row.get(f.name) for row in rows]) for f in self._fields})


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
