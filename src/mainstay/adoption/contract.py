"""The contract of adopted rows, and the way in which the estimator gets them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from mainstay.adoption import estimator as estimators
from mainstay.adoption.estimator import Kind
from mainstay.adoption.rows import Given, column_specs
from mainstay.core.contracts import Contract, Field, FieldType, Role
from mainstay.core.errors import BadData, UsageError, shorten
from mainstay.data.infer import TEXT, field_of, infer_contract, text_field
from mainstay.data.rules import nearest
from mainstay.models.inputs import Form, InputSpec

Features = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How rows reach the estimator."""

    takes: tuple[str, ...]
    """Columns that are handed over, in order."""
    input: str | None = None
    """The one column that it takes as a one-dimensional array."""
    form: Form = Form.PANDAS
    dtype: str = ""
    """Of an array."""
    features: Features | None = None
    features_form: Form = Form.POLARS

    def own(self, rows: Given) -> Any:
        """Return what the notebook gives the estimator."""
        if self.features is not None:
            raw = rows.raw.copy() if self.features_form is Form.PANDAS else rows.raw
            made = _made(self.features, raw, len(rows))
            return made if self.input is None else made[self.input].to_numpy()
        if rows.form is None:
            return rows.raw
        if self.input is not None:
            return rows.column(self.input)
        chosen = rows.columns(self.takes)
        return np.asarray(chosen) if self.form is Form.ARRAY else chosen


def way_of(fitted: Any, rows: Given, *, features: Features | None, column: str | None, beside: Sequence[str]) -> Way:
    """Return how the estimator gets the rows; `column`: it takes that one as texts; `beside`: key, time.

    Raises UsageError where the rows have not the columns that it was fitted on.
    """
    columns = rows.frame.columns
    if features is not None:
        if rows.form not in (Form.PANDAS, Form.POLARS):
            raise UsageError(
                "features needs X as a frame: its function takes a frame and returns one",
                remedy="Give X as a pandas or Polars frame with the columns that users send.",
            )
        return Way(takes=tuple(columns), input=column, form=rows.form, features=features, features_form=rows.form)
    if rows.form is None:
        return Way(takes=(TEXT,), input=TEXT)
    if column is not None:
        if column not in columns:
            raise UsageError(
                f"input = {column!r} is no column of X; it has {shorten(columns, 200)}",
                remedy="Name one of its columns.",
            )
        return Way(takes=(column,), input=column)
    takes = _takes(fitted, columns, beside)
    if rows.form is Form.ARRAY:
        return Way(takes=takes, form=Form.ARRAY, dtype=str(rows.raw.dtype))
    chosen = rows.columns(takes)
    # Columns named by numbers are no names to scikit-learn, and a field's name is a text.
    nameless = rows.form is Form.PANDAS and not all(isinstance(name, str) for name in chosen.columns)
    if not estimators.names_of(fitted) and (nameless or not estimators.wants_names(fitted, chosen)):
        return Way(takes=takes, form=Form.ARRAY, dtype=str(np.asarray(chosen).dtype))
    return Way(takes=takes, form=rows.form)


def contract_of(
    train: pl.DataFrame,
    test: pl.DataFrame | None,
    way: Way,
    kind: Kind,
    *,
    target: str,
    key: str | None,
    time: str | None,
    segments: Sequence[str],
) -> Contract:
    """Return the contract of frames that hold the target.

    Types, and whether a field may be missing, come from all rows; ranges and categories from the training rows, as they
    say what the model knows.
    """
    rows = train if test is None else pl.concat(_alike(train, test), how="vertical_relaxed")
    found = infer_contract(rows, target=target, task=kind.task, key=key, time=time, segments=segments)
    fields = [_field(field, train, rows, way, beside={key, time, *segments}) for field in found.fields]
    return replace(found, fields=tuple(fields), classes=kind.classes)


def spec_of(way: Way, contract: Contract, rows: Given, *, features_name: str | None) -> InputSpec:
    """Return how rows of the contract reach the estimator, in training and in serving."""
    fields = [field for name in way.takes if (field := contract.field(name)) is not None]
    usual = tuple(field.name for field in contract.features) == way.takes
    is_frame = way.input is None or way.features is not None
    return InputSpec(
        input=way.input,
        features=features_name,
        form=Form.PANDAS if way.input is not None and way.features is None else way.form,
        takes=() if usual or (way.input is not None and way.features is None) else way.takes,
        dtype=way.dtype,
        columns=column_specs(rows.raw, way.form, fields) if is_frame and way.form is not Form.ARRAY else {},
        features_form=way.features_form,
    )


def _made(features: Features, raw: Any, rows: int) -> Any:
    try:
        made = features(raw)
    except Exception as error:  # edge: the user's own function
        raise UsageError(
            f"features failed on X: {type(error).__name__}: {error}",
            remedy="Give X as it is before the features are made: the columns that users send.",
        ) from error
    shape = getattr(made, "shape", None)
    if shape is None or shape[0] != rows:
        seen = f"{shape[0]} rows" if shape else f"a {type(made).__name__}"
        raise UsageError(
            f"features returned {seen} for {rows} rows; a frame with one row for each is expected",
            remedy="Feature code works row by row: it may not drop, add or aggregate rows.",
        )
    return made


def _takes(fitted: Any, columns: Sequence[str], beside: Sequence[str]) -> tuple[str, ...]:
    names, width = estimators.names_of(fitted), estimators.width_of(fitted)
    if names:
        absent = [name for name in names if name not in columns]
        if absent:
            near = nearest(absent[0], columns)
            hint = f"; did you mean {near!r} for {absent[0]!r}?" if near else ""
            raise UsageError(
                f"X does not fit the estimator: it was fitted on {len(names)} columns, and X has no "
                f"{shorten(absent, 200)}{hint}",
                remedy="Give X with the columns that fit() got; where code of yours makes them, give X before that and "
                "features=fn.",
            )
        return names
    others = tuple(name for name in columns if name not in beside)
    for chosen in (tuple(columns), others):
        if width is None or len(chosen) == width:
            return chosen if width is not None else others
    raise UsageError(
        f"X does not fit the estimator: it was fitted on {width} columns, and X has {len(columns)}: "
        f"{shorten(list(columns), 200)}",
        remedy="Give X with the columns that fit() got, in their order.",
    )


def _field(field: Field, train: pl.DataFrame, rows: pl.DataFrame, way: Way, *, beside: set[str | None]) -> Field:
    cells = rows.get_column(field.name)
    if field.name in way.takes and Role.IGNORED in field.roles:  # the key or the time, and the model sees it
        field = field_of(field.name, cells)
    elif field.name not in way.takes and field.name not in beside:
        field = replace(field, required=False, roles=(Role.IGNORED,))
    open_list = field.type in (FieldType.CATEGORY, FieldType.IDENTIFIER) and not field.values
    if field.name == way.input and way.features is None and open_list:
        # Short texts, such as titles: the estimator reads their words, so the watch does too.
        return text_field(field.name, cells.cast(pl.String), required=field.required)
    known = field_of(field.name, train.get_column(field.name))
    if known.type is not field.type:
        return field
    if field.type in (FieldType.NUMBER, FieldType.INTEGER):
        return replace(field, min=known.min, max=known.max)
    return replace(field, values=known.values) if field.type is FieldType.CATEGORY else field


def _alike(train: pl.DataFrame, test: pl.DataFrame) -> list[pl.DataFrame]:
    """Return both with types that can stand in one column; raise BadData for columns that hold different things."""
    texts = (pl.String, pl.Enum, pl.Categorical)
    wrong, casts = [], []
    for name in train.columns:
        one, other = train.schema[name], test.schema[name]
        if one == other:
            continue
        if pl.Null in (one, other) or (one.is_numeric() and other.is_numeric()):
            continue
        if one.base_type() in texts and other.base_type() in texts:
            casts.append(pl.col(name).cast(pl.String))
        elif one.base_type() != other.base_type():
            wrong.append(f"{name} ({one} in X, {other} in the holdout)")
    if wrong:
        raise BadData(
            f"the holdout's columns hold other types than X: {', '.join(wrong[:5])}",
            remedy="Read both with the same types.",
        )
    return [train.with_columns(casts), test.with_columns(casts)]
