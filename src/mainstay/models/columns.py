"""Columns of a type that a field alone does not tell: narrow numbers, categories, nullable types, naive times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import ModelOutputInvalid, ProjectFileError

if TYPE_CHECKING:
    import polars as pl

    from mainstay.models.inputs import ColumnSpec


def pandas_column(field: Field, values: list[Any], spec: ColumnSpec) -> Any:
    """Return a row's values of one field as a pandas column of `spec`'s type, None where missing.

    A value that is no category of a categorical column is missing there, as pandas has it. Raises ModelOutputInvalid
    for a number that the type cannot hold, ProjectFileError for a type that pandas does not know.
    """
    import pandas as pd

    kind = spec.dtype
    if kind == "object":
        return _objects(values, nan=spec.nan)
    if kind == "category":
        known = set(spec.categories)
        kept = [value if value in known else None for value in values]
        return pd.Categorical(kept, categories=list(spec.categories), ordered=spec.ordered)
    if kind.startswith("datetime64"):
        moments: Any = pd.to_datetime(pd.Series(values, dtype=object), utc=True)
        return (moments if "," in kind else moments.dt.tz_localize(None)).astype(kind)
    try:
        dtype: Any = pd.api.types.pandas_dtype(kind)
    except TypeError as error:
        raise ProjectFileError(
            f"{kind!r} is no type of a pandas column", remedy="See `columns` of the pipeline."
        ) from error
    if isinstance(dtype, np.dtype):
        return _numbers(field, values, dtype)
    return pd.array([pd.NA if value is None else value for value in values], dtype=dtype)


def polars_column(cells: pl.Series, spec: ColumnSpec) -> pl.Series:
    """Return a column as `spec`'s Polars type: a number type, Date, Datetime (naive), Categorical or Enum."""
    import polars as pl

    if spec.dtype == "Enum":
        known = pl.Enum([str(one) for one in spec.categories])
        return cells.cast(known, strict=False)
    if spec.dtype == "Datetime":
        return cells.dt.replace_time_zone(None)
    return cells.cast(getattr(pl, spec.dtype), strict=False)


def _objects(values: list[Any], *, nan: bool) -> np.ndarray[Any, Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = [np.nan if value is None else value for value in values] if nan else values
    return out


def _numbers(field: Field, values: list[Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind == "f":
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64).astype(dtype)
    try:
        return np.array(values, dtype=dtype)
    except (OverflowError, TypeError, ValueError) as error:
        what = "a missing value" if None in values else f"{min(values)!r} to {max(values)!r}"
        raise ModelOutputInvalid(
            f"{field.name} holds {what}; the model takes {dtype} there",
            remedy='Give the field `min` and `max` with on_range = "refuse", or required = true, in mainstay.toml.',
        ) from error


def usual_dtype(field: Field) -> str:
    """Return the type that a field's column has without being told."""
    if field.type is FieldType.TIMESTAMP:
        return "datetime64[ns, UTC]"
    if field.type in (FieldType.TEXT, FieldType.CATEGORY, FieldType.IDENTIFIER):
        return "object"
    if field.type is FieldType.NUMBER or not field.required:
        return "float64"
    return "int64" if field.type is FieldType.INTEGER else "bool"
