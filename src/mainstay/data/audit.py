"""Looks for what makes a training meaningless: nothing to learn, the answer among the inputs, test rows seen before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from mainstay.core.contracts import Contract, Field
from mainstay.core.errors import Problem
from mainstay.data.rules import NUMBERS, nearest

FEW_ROWS = 5
"""A class with fewer training rows cannot be in every fold of a cross-validation."""
TELLING = 0.999
"""Share of rows that a column must tell the target of, to be said to determine it."""
LEAST_TOLD = 30
"""Rows that must share their value with another row before anything is said about a column."""
MANY_VALUES = 64
"""A number with more values than this is judged by its order."""
SEEN_IS_ERROR = 0.2
"""Share of test rows also in train from which the test means nothing, where rows are mostly unique."""
MOSTLY_UNIQUE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What is wrong with training data: errors stop, warnings are told."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def audit_training(contract: Contract, train: pl.DataFrame, test: pl.DataFrame) -> Audit:
    """Return what is wrong with checked training and test rows (as from `check_frame(..., with_target=True).good`).

    Errors: no rows, no target, one class or a constant target, a declared class without training rows, an undeclared
    class, a feature that is the target under the same or another name, a test set that stands in the training set.
    Warnings: few rows of a class, a class without test rows, a feature that tells the target in nearly every row, some
    test rows or keys that stand in the training set too.
    """
    errors = list(_unusable(contract, train, test))
    if errors:
        return Audit(errors=tuple(errors), warnings=())
    warnings: list[Problem] = []
    if contract.task.is_classification:
        errors += _wrong_classes(contract, train, test)
        warnings += _thin_classes(contract, train, test)
    for field in contract.features:
        leak = _leak(contract, field, train)
        if leak is not None:
            (errors if leak[0] else warnings).append(leak[1])
    overlap = _seen_before(contract, train, test)
    if overlap is not None:
        (errors if overlap[0] else warnings).append(overlap[1])
    warnings += _shared_keys(contract, train, test)
    return Audit(errors=tuple(errors), warnings=tuple(warnings))


def _unusable(contract: Contract, train: pl.DataFrame, test: pl.DataFrame) -> Iterator[Problem]:
    for name, frame in (("train", train), ("test", test)):
        if contract.target not in frame.columns:
            near = nearest(contract.target, frame.columns)
            yield Problem(
                where=name, what=f"has no column {contract.target}, the target", allowed=frame.columns, nearest=near
            )
        elif frame.is_empty():
            yield Problem(where=name, what="holds no rows that keep the contract", value=0, allowed="at least one row")
    if not train.is_empty() and contract.target in train.columns and train[contract.target].n_unique() == 1:
        value = train[contract.target][0]
        what = "is one class only" if contract.task.is_classification else "is the same in every row"
        yield Problem(
            where=f"train, {contract.target}", what=what, value=value, allowed="rows that differ in the target"
        )


def _wrong_classes(contract: Contract, train: pl.DataFrame, test: pl.DataFrame) -> Iterator[Problem]:
    declared = contract.classes
    for name, frame in (("train", train), ("test", test)):
        undeclared = [value for value in _classes(contract, frame) if value not in declared]
        if undeclared:
            yield Problem(
                where=f"{name}, {contract.target}",
                what="holds undeclared classes",
                value=undeclared,
                allowed=list(declared),
                nearest=nearest(undeclared[0], declared),
            )
    absent = [value for value in declared if value not in _classes(contract, train)]
    if absent:
        yield Problem(
            where=f"train, {contract.target}",
            what="has no row of declared classes",
            value=absent,
            allowed=list(declared),
        )


def _classes(contract: Contract, frame: pl.DataFrame) -> list[str]:
    return [str(value) for value in frame[contract.target].unique(maintain_order=True).to_list()]


def _thin_classes(contract: Contract, train: pl.DataFrame, test: pl.DataFrame) -> Iterator[Problem]:
    counts = dict(train[contract.target].value_counts().iter_rows())
    thin = {value: counts[value] for value in contract.classes if 0 < counts.get(value, 0) < FEW_ROWS}
    if thin:
        yield Problem(
            where=f"train, {contract.target}",
            what="has classes with few rows",
            value=thin,
            allowed=f"at least {FEW_ROWS} rows of each",
        )
    untested = [value for value in contract.classes if value not in _classes(contract, test)]
    if untested:
        yield Problem(where=f"test, {contract.target}", what="has no row of declared classes", value=untested)


def _leak(contract: Contract, field: Field, train: pl.DataFrame) -> tuple[bool, Problem] | None:
    """Return (is it an error, problem) for a feature that gives the target away."""
    both = train.select(pl.col(field.name).alias("x"), pl.col(contract.target).alias("y")).drop_nulls()
    if both.height < LEAST_TOLD:
        return None
    what = _is_target(both, numeric=field.type in NUMBERS and not contract.task.is_classification)
    if what:
        return True, Problem(
            where=f"train, {field.name}",
            what=what,
            allowed='what is known before the answer; give the field role = "ignored"',
        )
    told = _share_told(both) if contract.task.is_classification else 0.0
    if told >= TELLING:
        return False, Problem(
            where=f"train, {field.name}",
            what="tells the target in nearly every row; is it known before the answer?",
            value=f"{told:.1%} of the rows",
        )
    return None


def _is_target(both: pl.DataFrame, *, numeric: bool) -> str:
    if numeric:
        correlation = both.select(pl.corr(pl.col("x").cast(pl.Float64), pl.col("y").cast(pl.Float64))).item()
        close = correlation is not None and abs(correlation) > 1 - 1e-9
        return "is the target itself, or a line through it" if close else ""
    same = (both["x"].cast(pl.String).str.to_lowercase() == both["y"].cast(pl.String).str.to_lowercase()).mean()
    if isinstance(same, float) and same >= TELLING:
        return "is the target itself"
    pairs, values, classes = both.unique().height, both["x"].n_unique(), both["y"].n_unique()
    if pairs == values == classes and classes > 1:
        return "is the target under other names: each value stands for one class"
    return ""


def _share_told(both: pl.DataFrame) -> float:
    """Return the share of rows whose target the others tell by their value.

    A number with many values tells by its neighbours in order: 1 when each class is about one interval. Else a row is
    told when its class leads among the other rows with its value (leave one out); 0 where too few rows share a value.
    0 too where one class is nearly all anyway.
    """
    most_common = both["y"].value_counts()["count"].max()
    if not isinstance(most_common, int) or most_common >= 0.95 * both.height:
        return 0.0
    if both["x"].dtype.is_numeric() and both["x"].n_unique() > MANY_VALUES:
        ordered = both.sort("x", "y")["y"]
        changes = int((ordered != ordered.shift(1)).fill_null(value=False).sum())
        return 1.0 if changes <= both["y"].n_unique() else 1 - changes / both.height
    pairs = both.group_by("x", "y").len("n").with_columns(pl.col("n").sum().over("x").alias("rows"))
    # A row is told by the others when its class leads among them, itself left out.
    others_best = pl.col("n").max().over("x")
    second = pl.col("n").sort(descending=True).slice(1, 1).first().over("x").fill_null(0)
    rival = pl.when(pl.col("n") == others_best).then(second).otherwise(others_best)
    shared = pairs.with_columns(rival.alias("rival")).filter(pl.col("rows") > 1)
    told = int(shared.filter(pl.col("n") - 1 > pl.col("rival"))["n"].sum())
    rows = int(shared["n"].sum())
    return told / rows if rows >= LEAST_TOLD and rows >= both.height / 2 else 0.0


def _seen_before(contract: Contract, train: pl.DataFrame, test: pl.DataFrame) -> tuple[bool, Problem] | None:
    columns = [field.name for field in contract.features if field.name in train.columns and field.name in test.columns]
    if not columns:
        return None
    seen = test.select(columns).join(train.select(columns).unique(), on=columns, how="semi", nulls_equal=True).height
    groups = train.select(columns).group_by(columns).len("rows")["rows"]
    repeated = int(groups.filter(groups > 1).sum()) / train.height
    # Where few columns have few values, equal rows are no sign of anything.
    if seen / test.height <= repeated:
        return None
    problem = Problem(
        where="test",
        what="holds rows that stand in the training data too",
        value=f"{seen} of {test.height}",
        allowed="rows that training never sees",
    )
    return len(groups) / train.height >= MOSTLY_UNIQUE and seen / test.height >= SEEN_IS_ERROR, problem


def _shared_keys(contract: Contract, train: pl.DataFrame, test: pl.DataFrame) -> Iterator[Problem]:
    if contract.key is None:
        return
    keys = test[contract.key].drop_nulls().unique()
    shared = keys.is_in(train[contract.key].drop_nulls().unique().implode()).sum()
    if shared:
        yield Problem(
            where=f"test, {contract.key}",
            what="holds keys that stand in the training data too, so the test may flatter",
            value=f"{shared} of {len(keys)}",
        )
