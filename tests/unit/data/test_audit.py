from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.data.audit import audit_training

FIELDS = (
    Field(name="note", type=FieldType.TEXT),
    Field(name="size", type=FieldType.NUMBER, required=False),
    Field(name="team", type=FieldType.CATEGORY, required=False),
    Field(name="who", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,), required=False),
)
CONTRACT = Contract(task=Task.BINARY, fields=FIELDS, target="truth", classes=("yes", "no"))
REGRESSION = Contract(task=Task.REGRESSION, fields=FIELDS, target="truth")


def rows(count: int, seed: int, **changed: list[Any]) -> pl.DataFrame:
    rng = random.Random(seed)
    columns: dict[str, list[Any]] = {
        "note": [f"{seed} {rng.random()}" for _ in range(count)],
        "size": [rng.uniform(0, 9) for _ in range(count)],
        "team": [rng.choice(("a", "b", "c")) for _ in range(count)],
        "who": [f"{seed}-{rng.randrange(20)}" for _ in range(count)],
        "truth": [rng.choice(("yes", "no")) for _ in range(count)],
    }
    return pl.DataFrame(columns | changed)


TRAIN, TEST = rows(200, 1), rows(60, 2)


def errors(train: pl.DataFrame, test: pl.DataFrame = TEST, contract: Contract = CONTRACT) -> list[tuple[str, str]]:
    return [(problem.where, problem.what) for problem in audit_training(contract, train, test).errors]


def warnings(train: pl.DataFrame, test: pl.DataFrame = TEST) -> list[tuple[str, str]]:
    audit = audit_training(CONTRACT, train, test)
    assert audit.errors == ()
    return [(problem.where, problem.what) for problem in audit.warnings]


def test_sound_data_have_neither_errors_nor_warnings() -> None:
    assert (errors(TRAIN), warnings(TRAIN)) == ([], [])


def test_no_rows_is_an_error() -> None:
    assert errors(TRAIN.head(0))[0][0] == "train"
    assert errors(TRAIN, TEST.head(0))[0][0] == "test"


def test_a_missing_target_names_the_nearest_column() -> None:
    (problem,) = audit_training(CONTRACT, TRAIN.rename({"truth": "turth"}), TEST).errors
    assert problem.nearest == "turth"


def test_one_class_is_an_error() -> None:
    assert errors(TRAIN.filter(pl.col("truth") == "yes")) == [("train, truth", "is one class only")]


def test_a_declared_class_without_rows_is_an_error() -> None:
    contract = Contract(task=Task.MULTICLASS, fields=FIELDS, target="truth", classes=("yes", "no", "maybe"))
    assert ("train, truth", "has no row of declared classes") in errors(TRAIN, TEST, contract)


def test_an_undeclared_class_is_an_error() -> None:
    train = TRAIN.with_columns(truth=pl.when(pl.col("size") > 8).then(pl.lit("yess")).otherwise("truth"))
    assert ("train, truth", "holds undeclared classes") in errors(train)


@pytest.mark.parametrize("copy", [lambda y: y, str.upper, lambda y: {"yes": "b", "no": "a"}[y]])
def test_a_feature_that_is_the_target_is_an_error_also_under_other_names(copy: Any) -> None:
    train = TRAIN.with_columns(team=pl.Series([copy(value) for value in TRAIN["truth"]]))
    assert [where for where, _ in errors(train)] == ["train, team"]


def test_an_ignored_field_may_hold_the_target() -> None:
    assert errors(TRAIN.with_columns(who="truth")) == []


def test_a_number_that_is_a_line_through_a_regression_target_is_an_error() -> None:
    truth = [float(n * n % 37) for n in range(200)]
    train = TRAIN.with_columns(truth=pl.Series(truth), size=pl.Series([3 - 2 * y for y in truth]))
    test = TEST.with_columns(truth=pl.col("size") * 2)
    assert [where for where, _ in errors(train, test.with_columns(size=pl.lit(1.0)), REGRESSION)] == ["train, size"]


def test_a_feature_that_tells_the_target_is_a_warning() -> None:
    telling = pl.Series([f"{value}{number % 4}" for number, value in enumerate(TRAIN["truth"])])
    assert [where for where, _ in warnings(TRAIN.with_columns(team=telling))] == ["train, team"]


def test_a_threshold_that_tells_the_target_is_a_warning() -> None:
    size = pl.Series([n / 7 + (100 if y == "yes" else 0) for n, y in enumerate(TRAIN["truth"])])
    assert [where for where, _ in warnings(TRAIN.with_columns(size=size))] == ["train, size"]


def test_texts_that_all_differ_tell_nothing() -> None:
    assert warnings(TRAIN) == []


def test_a_test_set_that_stands_in_the_training_set_is_an_error() -> None:
    assert errors(TRAIN, TRAIN.head(60)) == [("test", "holds rows that stand in the training data too")]


def test_a_few_such_rows_are_a_warning() -> None:
    assert ("test", "holds rows that stand in the training data too") in warnings(
        TRAIN, pl.concat([TEST, TRAIN.head(3)])
    )


def test_equal_rows_of_few_small_columns_are_no_sign() -> None:
    contract = Contract(task=Task.BINARY, fields=(FIELDS[2],), target="truth", classes=("yes", "no"))
    audit = audit_training(contract, TRAIN, TEST)
    assert (audit.errors, audit.warnings) == ((), ())


def test_keys_on_both_sides_are_a_warning() -> None:
    contract = Contract(task=Task.BINARY, fields=FIELDS, target="truth", classes=("yes", "no"), key="who")
    audit = audit_training(contract, TRAIN, TEST.with_columns(who=pl.Series([f"1-{n % 20}" for n in range(60)])))
    assert [problem.value for problem in audit.warnings] == ["20 of 20"]


def test_classes_with_few_or_no_rows_are_a_warning() -> None:
    few = pl.concat([TRAIN.filter(pl.col("truth") == "yes"), TRAIN.filter(pl.col("truth") == "no").head(3)])
    assert ("train, truth", "has classes with few rows") in warnings(few)
    assert ("test, truth", "has no row of declared classes") in warnings(TRAIN, TEST.filter(pl.col("truth") == "no"))
