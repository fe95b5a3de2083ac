"""Who is served worse: rates per group, what gives a group away, what a label stands for, and the gate's verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mainstay.config.settings import AuditSettings, EvaluateSettings, GateSettings, Settings
from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer
from mainstay.train.audit import check, groups, labels, measure, proxies
from mainstay.train.audit.groups import Judged
from mainstay.train.fit import Rows

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="income", type=FieldType.NUMBER),
        Field(name="sex", type=FieldType.CATEGORY, values=("f", "m"), roles=(Role.PROTECTED,)),
        Field(name="age", type=FieldType.INTEGER, bins=(0, 40, 120), roles=(Role.PROTECTED, Role.FEATURE)),
        Field(name="name", type=FieldType.IDENTIFIER, roles=(Role.PROTECTED,)),
        Field(name="need", type=FieldType.NUMBER, roles=(Role.IGNORED,)),
    ),
    target="loan",
    classes=("no", "yes"),
)


def judged(rows: int, seed: int = 1, **changes: Any) -> Judged:
    draw = np.random.default_rng(seed)
    truth = draw.random(rows) < 0.4
    chosen = np.where(draw.random(rows) < 0.8, truth, ~truth)
    found: dict[str, Any] = {
        "truth": truth,
        "chosen": chosen,
        "right": truth == chosen,
        "confidence": draw.random(rows),
        "keys": np.arange(rows),
    }
    return Judged(**(found | changes))


# rates


def test_rates_and_measures_are_what_counting_gives() -> None:
    one = judged(900)
    names = [("a", "b", "c")[i % 3] for i in range(900)]
    found = groups.by_group(one, names, least=50, seed=1)
    rates: dict[str, dict[str, float]] = {}
    for name in "abc":
        rows = [i for i in range(900) if names[i] == name]
        true = [i for i in rows if one.truth[i]]
        false = [i for i in rows if not one.truth[i]]
        rates[name] = {
            "rows": len(rows),
            "base_rate": len(true) / len(rows),
            "selection_rate": sum(bool(one.chosen[i]) for i in rows) / len(rows),
            "true_positive_rate": sum(bool(one.chosen[i]) for i in true) / len(true),
            "false_positive_rate": sum(bool(one.chosen[i]) for i in false) / len(false),
            "accuracy": sum(bool(one.right[i]) for i in rows) / len(rows),
            "calibration": sum(one.confidence[i] - one.right[i] for i in rows) / len(rows),
        }
        assert found["groups"][name] == pytest.approx(rates[name])
    chosen = [rates[name]["selection_rate"] for name in "abc"]
    assert found["measures"]["selection_ratio"]["value"] == pytest.approx(min(chosen) / max(chosen))
    for measured, rate in (("true_positive_difference", "true_positive_rate"), ("accuracy_difference", "accuracy")):
        told = [rates[name][rate] for name in "abc"]
        assert found["measures"][measured]["value"] == pytest.approx(max(told) - min(told))


def test_the_interval_is_that_of_drawing_whole_keys() -> None:
    """Two groups of one user each ten rows: the standard error is that of 60 users, not of 600 rows."""
    draw = np.random.default_rng(3)
    users = np.repeat(np.arange(120), 10)
    names = ["f" if user % 2 else "m" for user in users]
    chosen = np.repeat(draw.random(120) < 0.5, 10)
    one = judged(1200, chosen=chosen, keys=users)
    found = groups.by_group(one, names, least=50, seed=1)["measures"]["selection_ratio"]
    alone = groups.by_group(judged(1200, chosen=chosen), names, least=50, seed=1)["measures"]["selection_ratio"]
    assert found["value"] == alone["value"]
    assert found["high"] - found["low"] > 2 * (alone["high"] - alone["low"])


def test_the_interval_covers_as_often_as_it_says() -> None:
    """One-sided 95 %: more than 14 of 60 runs miss with a probability below 10^-6 (binomial, p = .05)."""
    missed = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        names = np.where(draw.random(400) < 0.5, "f", "m")
        chosen = draw.random(400) < np.where(names == "f", 0.3, 0.5)
        found = groups.by_group(judged(400, chosen=chosen), names.tolist(), least=50, seed=seed)
        missed += found["measures"]["selection_ratio"]["low"] > 0.6
    assert missed <= 14


def test_groups_with_few_rows_are_named_and_not_compared_and_rates_of_nothing_are_none() -> None:
    names = ["a"] * 100 + ["b"] * 100 + ["c"] * 3
    one = judged(203, truth=np.array([False] * 100 + [True] * 103))
    found = groups.by_group(one, names, least=50, seed=1)
    assert found["too_few_rows"] == ["c"]
    assert set(found["groups"]) == {"a", "b"}
    assert found["groups"]["a"]["true_positive_rate"] is None
    assert "true_positive_difference" not in found["measures"]
    alone = groups.by_group(judged(100), ["a"] * 100, least=50, seed=1)
    assert alone["measures"] == {}
    assert groups.by_group(judged(10), ["a"] * 10, least=50, seed=1)["groups"] == {}


def test_nobody_chosen_gives_no_ratio() -> None:
    one = judged(200, chosen=np.zeros(200, dtype=bool))
    found = groups.by_group(one, ["a", "b"] * 100, least=50, seed=1)["measures"]["selection_ratio"]
    assert found["value"] is None


def test_protected_fields_and_two_of_them_together_make_groups() -> None:
    rows = [{"sex": "f", "age": 30, "name": "x"}, {"sex": "m", "age": None}]
    found = groups.groups_of(CONTRACT, rows)
    assert found == {
        "sex": ["sex=f", "sex=m"],
        "age": ["age=[0,40)", "age=missing"],
        "sex & age": ["sex=f & age=[0,40)", "sex=m & age=missing"],
    }


# proxies


def people(rows: int, *, leak: float, seed: int = 5) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed)
    sex = draw.random(rows) < 0.5
    return [
        {"income": float(draw.normal() + leak * s), "sex": "f" if s else "m", "age": int(draw.integers(20, 60))}
        for s in sex
    ]


def test_what_carries_a_group_is_named_and_what_does_not_gives_nothing_away() -> None:
    leaks = proxies.proxies(CONTRACT, people(1500, leak=2.0), seed=1)["sex"]
    # Two normals two standard deviations apart: AUC = Φ(2/√2) = .921.
    assert leaks["auc"] == pytest.approx(0.921, abs=0.03)
    assert leaks["carried_by"][0]["feature"] == "income"
    silent = proxies.proxies(CONTRACT, people(1500, leak=0.0), seed=1)["sex"]
    assert silent["auc"] == pytest.approx(0.5, abs=0.06)


def test_a_protected_field_is_no_proxy_of_another_and_too_few_rows_say_so() -> None:
    found = proxies.proxies(CONTRACT, people(60, leak=2.0), seed=1)
    assert found["sex"]["auc"] is None
    assert "two groups" in found["sex"]["why_not"]
    carried = proxies.proxies(CONTRACT, people(600, leak=2.0), seed=1)["sex"]["carried_by"]
    assert [one["feature"] for one in carried] == ["income"]


def test_texts_and_categories_give_groups_away_too() -> None:
    contract = Contract(
        task=Task.BINARY,
        fields=(
            Field(name="note", type=FieldType.TEXT),
            Field(name="town", type=FieldType.CATEGORY),
            Field(name="sex", type=FieldType.CATEGORY, roles=(Role.PROTECTED,)),
        ),
        target="loan",
        classes=("no", "yes"),
    )
    draw = np.random.default_rng(2)
    rows = []
    for i in range(600):
        sex = "f" if i % 2 else "m"
        words = ["loan", "house", "car", "mother" if sex == "f" and draw.random() < 0.9 else "work"]
        rows.append({"sex": sex, "town": f"t{draw.integers(4)}", "note": " ".join(draw.permutation(words))})
    found = proxies.proxies(contract, rows, seed=1)["sex"]
    assert found["auc"] > 0.85
    assert found["carried_by"][0]["feature"] == "note"


# labels


def test_a_label_that_stands_for_what_is_meant_alike_for_all_shows_no_gap_and_one_that_does_not_shows_it() -> None:
    draw = np.random.default_rng(4)
    need, sex = draw.random(6000), np.where(draw.random(6000) < 0.5, "f", "m")
    fair = need + 0.1 * draw.normal(size=6000) > 0.6
    biased = need - 0.2 * (sex == "f") + 0.1 * draw.normal(size=6000) > 0.6
    same = labels.stands_for(fair, need.tolist(), sex.tolist(), least=50)
    other = labels.stands_for(biased, need.tolist(), sex.tolist(), least=50)
    assert abs(same["f"]["gap"]) < 0.03
    assert other["f"]["high"] < -0.05
    assert other["m"]["low"] > 0.05


def test_rows_without_what_is_meant_are_left_out_and_categories_are_bands() -> None:
    truth = np.array([True, False] * 100)
    meant: list[Any] = ["ill", "well"] * 99 + [None, None]
    found = labels.stands_for(truth, meant, ["a"] * 200, least=10)
    assert found["a"]["rows"] == 198
    assert found["a"]["gap"] == 0.0


# the report and the verdict


def settings(limits: Mapping[str, float] | None = None, **audit: Any) -> Settings:
    given = {} if limits is None else {"fairness": dict(limits)}
    return Settings(audit=AuditSettings(**audit), gate=GateSettings(**given), evaluate=EvaluateSettings())


def answered(rows: Sequence[Mapping[str, Any]], say: Any) -> list[Answer]:
    return [Answer(label="yes" if say(row) else "no", confidence=0.8) for row in rows]


def test_a_model_that_prefers_a_group_fails_four_fifths_and_one_that_does_not_passes() -> None:
    rows = people(2000, leak=0.0)
    truth = np.array(["yes" if row["income"] > 0 else "no" for row in rows])
    for say, verdict in (
        (lambda row: row["income"] > (0.8 if row["sex"] == "f" else -0.3), Verdict.FAIL),
        (lambda row: row["income"] > 0.0, Verdict.PASS),
    ):
        report = measure.measure(
            CONTRACT, answered(rows, say), Rows(values=rows, truth=truth), settings(favourable="yes")
        )
        found = check.check(report, {"selection_ratio": 0.8})
        assert found.verdict is verdict, found.reason
        assert "sex: selection_ratio" in found.reason


def test_what_is_not_declared_is_not_judged_and_what_cannot_be_told_never_passes() -> None:
    rows = people(30, leak=0.0)
    truth = np.array(["yes"] * 30)
    few = measure.measure(CONTRACT, answered(rows, bool), Rows(values=rows, truth=truth), settings(favourable="yes"))
    assert check.check(few, {"selection_ratio": 0.8}).verdict is Verdict.NOT_ENOUGH
    unnamed = measure.measure(CONTRACT, answered(rows, bool), Rows(values=rows, truth=truth), settings())
    silent = check.check(unnamed, {"selection_ratio": 0.8})
    assert not silent.applies
    assert "favourable" in silent.reason
    assert not check.check(few, {}).applies
    plain = Contract(task=Task.BINARY, fields=CONTRACT.fields[:1], target="loan", classes=("no", "yes"))
    none = measure.measure(plain, answered(rows, bool), Rows(values=rows, truth=truth), settings(favourable="yes"))
    assert none is None
    assert not check.check(none, {"selection_ratio": 0.8}).applies


def test_of_a_regression_a_number_from_which_on_is_favourable() -> None:
    contract = Contract(task=Task.REGRESSION, fields=CONTRACT.fields, target="loan")
    rows = people(400, leak=0.0)
    truth = np.array([row["income"] for row in rows])
    said = [Answer(label=row["income"]) for row in rows]
    report = measure.measure(contract, said, Rows(values=rows, truth=truth), settings(favourable=0.5))
    group = report["protected"]["sex"]["groups"]["sex=f"]
    women = [row["income"] >= 0.5 for row in rows if row["sex"] == "f"]
    assert group["selection_rate"] == group["base_rate"] == pytest.approx(np.mean(women))
    assert group["calibration"] is None
    assert "calibration_difference" not in report["protected"]["sex"]["measures"]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"value": 0.9, "low": 0.85, "high": 0.95}, Verdict.PASS),
        ({"value": 0.9, "low": 0.75, "high": 0.95}, Verdict.NOT_ENOUGH),
        ({"value": 0.5, "low": 0.4, "high": 0.6}, Verdict.FAIL),
        ({"value": None, "low": None, "high": None}, Verdict.NOT_ENOUGH),
        ({"value": 0.9, "low": None, "high": None}, Verdict.NOT_ENOUGH),
    ],
)
def test_a_ratio_passes_only_when_it_is_shown_to_reach_its_limit(found: dict[str, Any], verdict: Verdict) -> None:
    measures = {"selection_ratio": found | {"least": "a", "most": "b"}}
    report = {
        "favourable": "yes",
        "rows": 9,
        "protected": {"sex": {"groups": {}, "measures": measures, "too_few_rows": []}},
    }
    assert check.check(report, {"selection_ratio": 0.8}).verdict is verdict


def test_what_gives_a_group_away_is_reported_and_judges_nothing() -> None:
    found = check.proxies(
        {"sex": proxies.proxies(CONTRACT, people(600, leak=2.0), seed=1)["sex"], "age": {"auc": None}}
    )
    assert not found.applies
    assert "sex with an AUC of 0.9" in found.reason
    assert "by income" in found.reason
    assert not check.proxies(None).applies


# published figures


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    file = Path(__file__).parents[4] / "shared" / "data" / "adult" / "adults.parquet"
    if not file.exists():
        pytest.skip("needs the Adult data beside the checkout (../shared/data/adult)")
    return pl.read_parquet(file).tail(32_561)


def test_the_published_base_rates_of_adult_are_reproduced(adult: pl.DataFrame) -> None:
    truth = (adult["class"].cast(pl.String) == ">50K").to_numpy()
    found = labels.base_rates(truth, adult["sex"].cast(pl.String).to_list(), least=50)
    assert {name: round(one["rate"], 4) for name, one in found.items()} == {"Female": 0.1095, "Male": 0.3057}
    assert sum(one["rows"] for one in found.values()) == 32_561


def test_intervals_do_not_cross(adult: pl.DataFrame) -> None:
    truth = (adult["class"].cast(pl.String) == ">50K").to_numpy()[:4000]
    names = adult["race"].cast(pl.String).to_list()[:4000]
    one = judged(4000, truth=truth)
    for found in groups.by_group(one, names, least=50, seed=2)["measures"].values():
        assert all(a <= b for a, b in pairwise((found["low"], found["high"])))
        assert not math.isnan(found["value"])


def test_of_adult_a_model_that_favours_men_fails_and_one_that_selects_alike_passes(adult: pl.DataFrame) -> None:
    """By its last education, hours and age alone; the biased one asks more of women, the other of each sex its own."""
    part = adult.head(12_000)
    contract = Contract(
        task=Task.BINARY,
        fields=(
            Field(name="sex", type=FieldType.CATEGORY, roles=(Role.PROTECTED,)),
            Field(name="race", type=FieldType.CATEGORY, roles=(Role.PROTECTED,)),
        ),
        target="class",
        classes=("<=50K", ">50K"),
    )
    rows = Rows(
        values=part.select(pl.col("sex", "race").cast(pl.String)).to_dicts(),
        truth=part["class"].cast(pl.String).to_numpy(),
    )
    points = (part["education-num"] + part["hours-per-week"] / 10 + part["age"] / 20).to_numpy()
    women = (part["sex"].cast(pl.String) == "Female").to_numpy()

    def verdict(limit: np.ndarray[Any, Any]) -> tuple[Verdict, str]:
        said = [Answer(label=">50K" if yes else "<=50K", confidence=0.8) for yes in points > limit]
        report = measure.measure(contract, said, rows, settings(favourable=">50K"))
        assert report is not None
        only_sex = report | {"protected": {"sex": report["protected"]["sex"]}}
        found = check.check(only_sex, {"selection_ratio": 0.8})
        return found.verdict, found.reason

    biased = verdict(np.where(women, 19.0, 16.5))
    own = {sex: np.quantile(points[women == sex], 0.75) for sex in (True, False)}
    alike = verdict(np.where(women, own[True], own[False]))
    assert biased[0] is Verdict.FAIL, biased[1]
    assert alike[0] is Verdict.PASS, alike[1]
