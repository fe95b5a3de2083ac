"""Two data sets compared: the verdict, what is told of each field, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mainstay
from mainstay.comparison.compare import compare
from mainstay.comparison.records import Kind, Status, Verdict
from mainstay.core.errors import BadData, UsageError


def normal(seed: int, rows: int = 500, **shift: float) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({f"x{i}": rng.normal(size=rows) + shift.get(f"x{i}", 0.0) for i in range(6)})


def test_two_samples_of_one_population_are_the_same_whatever_they_hold(orders: Any) -> None:
    found = compare(orders(1), orders(2, first=5000), key=None)
    assert found.verdict is Verdict.SAME
    assert found.headline == "Same population."
    assert {f.name: f.kind for f in found.fields} == {
        "amount": Kind.NUMBER,
        "age": Kind.INTEGER,
        "channel": Kind.CATEGORY,
        "vip": Kind.BOOLEAN,
        "message": Kind.TEXT,
        "order_id": Kind.IDENTIFIER,
        "at": Kind.TIMESTAMP,
        "score": Kind.NUMBER,
    }
    assert found.field("order_id").status is Status.NOT_COMPARED
    assert "differs by nature" in found.field("order_id").says
    assert any("no drift" in note for note in found.field("at").notes)


def test_the_public_name_is_this_function() -> None:
    assert mainstay.compare is compare


def test_pandas_polars_files_and_mappings_give_one_answer(orders: Any, tmp_path: Any) -> None:
    a, b = orders(1), orders(2)
    for name, frame in (("a", a), ("b", b)):
        frame.write_parquet(tmp_path / f"{name}.parquet")
        frame.write_csv(tmp_path / f"{name}.csv")
        frame.write_ndjson(tmp_path / f"{name}.ndjson")
    kinds = {f.name: (f.kind, f.status) for f in compare(a, b).fields}
    for pair in (
        (a.to_pandas(), b.to_pandas()),
        (str(tmp_path / "a.parquet"), tmp_path / "b.parquet"),
        (tmp_path / "a.csv", tmp_path / "b.csv"),
        (tmp_path / "a.ndjson", tmp_path / "b.csv"),
    ):
        assert {f.name: (f.kind, f.status) for f in compare(*pair).fields} == kinds


def test_equal_inputs_give_equal_answers(orders: Any) -> None:
    first, second = (compare(orders(1), orders(2)).as_dict() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "change", "aspect"),
    [
        ("amount", pl.col("amount") * 1.4, "values"),
        ("age", pl.col("age") + 12, "values"),
        ("score", pl.col("score") * 2.0, "values"),
        ("channel", pl.when(pl.col("order_id") % 4 == 0).then(pl.lit("fax")).otherwise(pl.col("channel")), "mix"),
        ("vip", pl.col("order_id") % 2 == 0, "mix"),
        ("score", pl.when(pl.col("order_id") % 4 == 0).then(None).otherwise(pl.col("score")), "missing"),
        ("amount", pl.when(pl.col("order_id") % 10 == 0).then(10_000.0).otherwise(pl.col("amount")), "range"),
        ("message", pl.col("message").str.to_uppercase(), "capitals"),
        ("message", pl.col("message") + " 🙂", "emoji"),
        ("message", pl.col("message").str.replace("invoice", "счёт"), "script"),
        ("message", pl.col("message").str.replace_many(["please", "order"], ["pls", "ordr"]), "unseen words"),
        ("message", pl.col("message").str.replace_many(["invoice", "thanks"], ["came", "came"]), "words"),
    ],
)
def test_what_moved_is_named_first_with_the_aspect_that_moved(orders: Any, name: str, change: Any, aspect: str) -> None:
    found = compare(orders(1), orders(2).with_columns(change.alias(name)))
    assert found.verdict is Verdict.DIFFERENT
    assert found.moved[0].name == name
    assert [f.name for f in found.moved] == [name]
    assert aspect in [a.name for a in found.moved[0].aspects if a.moved]
    assert f": {name}." in found.headline
    assert name in found.reasons[0]


def test_new_and_gone_categories_and_values_beyond_the_range_are_told(orders: Any) -> None:
    now = orders(2).with_columns(
        channel=pl.col("channel").replace("mail", "sms"),
        age=pl.when(pl.col("order_id") < 8).then(990).otherwise(pl.col("age")),
    )
    found = compare(orders(1), now)
    assert found.field("channel").numbers["new_values"] == ["sms"]
    assert found.field("channel").numbers["gone_values"] == ["mail"]
    assert any("1 new value in" in note and "sms" in note for note in found.field("channel").notes)
    assert found.field("age").numbers["max_current"] == 990
    assert any("never held" in reason for reason in found.reasons)


def test_a_constant_that_is_another_now_is_told_in_its_own_unit_though_its_mean_is_rounded() -> None:
    nearly = [0.3, 0.1 + 0.2] * 200  # as two programs write one number
    found = compare(pl.DataFrame({"x": nearly}), pl.DataFrame({"x": [0.5] * 400}))
    assert found.verdict is Verdict.DIFFERENT
    assert "mean 0.3 → 0.5" in found.field("x").says
    assert "σ" not in found.field("x").says


def test_a_column_that_is_gone_or_of_another_type_is_a_difference_and_a_new_one_is_named(orders: Any) -> None:
    now = orders(2).drop("vip").with_columns(age=pl.lit("forty"), extra=pl.lit(1))
    found = compare(orders(1), now)
    assert {f.name for f in found.fields if f.status is Status.BROKEN} == {"vip", "age"}
    assert "category instead of integer (for example forty" in found.field("age").says
    assert found.field("extra").status is Status.NOT_COMPARED
    assert any("Only in current: extra" in note for note in found.notes)


def test_a_missing_target_or_identifier_is_no_difference(orders: Any) -> None:
    found = compare(orders(1), orders(2).drop("vip", "order_id"), target="vip")
    assert found.verdict is Verdict.SAME


def test_with_equal_marginals_a_changed_correlation_is_found_and_named() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 1500, 5))
    x[1, :, 1] = 0.8 * x[1, :, 0] + 0.6 * x[1, :, 1]
    a, b = (pl.DataFrame({f"x{i}": side[:, i] for i in range(5)}) for side in x)
    found = compare(a, b)
    assert found.moved == ()
    assert found.verdict is Verdict.DIFFERENT
    assert "no single field moved, but how they go together did" in found.headline
    assert found.together is not None
    assert {name for name, _ in found.together.leans_on[:2]} == {"x0", "x1"}
    assert "correlation of x" in found.together.says


def test_many_rows_with_a_trivial_shift_are_the_same_for_practical_purposes() -> None:
    found = compare(normal(1, 100_000), normal(2, 100_000, x2=0.025))
    assert found.field("x2").status is Status.SLIGHT
    assert found.verdict is Verdict.SAME
    assert found.headline == "Same population for practical purposes."


def test_a_shift_that_matters_is_found_in_many_rows() -> None:
    found = compare(normal(1, 100_000), normal(2, 100_000, x2=0.1))
    assert [f.name for f in found.moved] == ["x2"]


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_too_few_rows_are_never_the_same(rows: int) -> None:
    found = compare(normal(1, 500), normal(2, rows))
    assert found.verdict is Verdict.NOT_ENOUGH
    assert "independent rows on each side" in found.reasons[0]


def test_a_shift_so_large_that_few_rows_show_it_is_found() -> None:
    assert compare(normal(1, 500), normal(2, 20, x0=4.0)).verdict is Verdict.DIFFERENT


def test_too_few_keys_are_too_few_however_many_rows() -> None:
    a, b = (normal(seed, 500).with_columns(who=pl.lit("one")) for seed in (1, 2))
    assert compare(a, b, key="who").verdict is Verdict.NOT_ENOUGH


def test_constants_and_empty_columns_are_told_and_do_not_crash() -> None:
    a = pl.DataFrame({"one": [1.0] * 200, "none": pl.Series([None] * 200, dtype=pl.Float64), "x": np.arange(200) / 7})
    found = compare(a, a.with_columns(one=pl.lit(2.0)))
    assert [f.name for f in found.moved] == ["one"]
    assert "one value on each side: 1 and 2" in found.field("one").notes
    assert found.field("none").kind is Kind.EMPTY


def test_a_field_that_went_missing_wholly_is_found() -> None:
    found = compare(normal(1), normal(2).with_columns(x1=pl.lit(None, dtype=pl.Float64)))
    assert [f.name for f in found.moved] == ["x1"]


def test_a_guess_can_be_corrected_and_columns_left_alone(orders: Any) -> None:
    found = compare(orders(1), orders(2), kinds={"age": "category"}, ignore=["amount"])
    assert found.field("age").kind is Kind.CATEGORY
    assert found.field("amount").says == "left alone, as asked"


def test_the_document_is_json_without_nan(orders: Any) -> None:
    found = compare(orders(1), orders(2), target="vip", prediction="vip")
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert json.loads(text)["verdict"] == "same"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "chanel"}, "key = 'chanel' is no column of reference.*|Did you mean 'channel'"),
        ({"target": "nothing_like_it"}, "target = 'nothing_like_it' is no column"),
        ({"ignore": ["agee"]}, "ignore = 'agee'"),
        ({"kinds": {"age": "nummer"}}, "'nummer' is no kind; allowed: boolean, category"),
        ({"kinds": {"agee": "number"}}, "kinds = 'agee'"),
        ({"time": "channel"}, "was said to hold timestamp"),
        ({"alpha": 0.0}, "alpha = 0.0"),
        ({"max_rows": 5}, "max_rows = 5"),
    ],
)
def test_wrong_options_are_refused_by_name(orders: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare(orders(1), orders(2), **options)


def test_an_unknown_key_is_answered_with_the_nearest_name(orders: Any) -> None:
    with pytest.raises(UsageError) as caught:
        compare(orders(1), orders(2), key="order_di")
    assert caught.value.remedy == "Did you mean 'order_id'?"


def test_data_sets_without_a_common_column_are_refused_with_both_lists() -> None:
    with pytest.raises(BadData, match="reference has A, b; current has a, c") as caught:
        compare({"A": [1, 2], "b": [1, 2]}, {"a": [1, 2], "c": [3, 4]})
    assert caught.value.problems[0].nearest == "a"


@pytest.mark.parametrize("empty", [pl.DataFrame(), pl.DataFrame({"x": []}), pd.DataFrame({"x": []})])
def test_an_empty_frame_is_refused(empty: Any) -> None:
    with pytest.raises(BadData, match="no rows"):
        compare(normal(1), empty)


def test_an_object_that_is_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match="the rows are a"):
        compare(normal(1), object())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "cells",
    [
        pl.Series(np.random.default_rng(0).normal(size=400) * 1e300),
        pl.Series(np.random.default_rng(0).normal(size=400) * 1e-300),
        pl.Series(np.random.default_rng(0).normal(size=400) + 1e17),
        pl.Series([2**64 - 1 - i % 90 for i in range(400)], dtype=pl.UInt64),
        pl.Series([i * 7 % 97 for i in range(400)], dtype=pl.Int128),
        pl.Series(["0001-01-01", "9999-12-31"] * 200),
        pl.Series(["", "  ", "\x00"] * 100),
    ],
)
def test_values_at_the_edge_of_their_type_are_compared_and_shown(cells: pl.Series) -> None:
    found = compare({"d": cells}, {"d": cells})
    assert found.moved == ()
    assert "<svg" in found._repr_html_() or not found.fields[0].aspects
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_target_of_another_type_is_a_difference_and_leaves_quality_unknown() -> None:
    rng = np.random.default_rng(0)
    a = pl.DataFrame({"y": rng.normal(size=300), "p": rng.normal(size=300)})
    found = compare(a, a.with_columns(y=pl.lit("high")), target="y", prediction="p")
    assert found.quality is None
    assert [f.name for f in found.moved] == ["y"]
