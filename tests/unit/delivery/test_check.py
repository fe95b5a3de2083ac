from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from delivery_rows import CONTRACT, FIELDS, NOW, rows
from mainstay.config.settings import DeliveryQuestion, Settings
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Role, Task
from mainstay.core.verdicts import Check, Verdict
from mainstay.data.frame_check import check_frame
from mainstay.delivery import gate, leakage, page
from mainstay.delivery.check import check_delivery
from mainstay.delivery.records import Delivery

Ask = Callable[..., Check]
TRAIN, TEST = rows(600, 0), rows(200, 1, first_day=40)


def test_a_good_delivery_holds_in_every_question() -> None:
    checked = [check_frame(CONTRACT, one, with_target=True) for one in (TRAIN, TEST)]
    settings = Settings.model_validate({"delivery": {"later_test": True}})
    report, _ = check_delivery(
        checked[0].good, CONTRACT, settings=settings, now=NOW, test=checked[1].good, last=rows(600, 7), reports=checked
    )
    assert [check.name for check in report.checks] == [question.value for question in DeliveryQuestion]
    assert {check.name: check.reason for check in report.checks if check.verdict is not Verdict.PASS} == {}
    assert all(check.applies for check in report.checks)


def test_rows_that_break_the_contract_and_columns_that_change_are_told(ask: Ask) -> None:
    broken = TRAIN.with_columns(topic=pl.when(pl.int_range(pl.len()) < 60).then(pl.lit("refund")).otherwise("topic"))
    check = ask("schema", broken, TEST)
    assert check.verdict is Verdict.FAIL
    assert check.numbers["broken"] == 60
    assert ask("schema", TRAIN, TEST).verdict is Verdict.PASS


def test_the_schema_is_not_judged_of_rows_that_were_not_checked() -> None:
    report, _ = check_delivery(TRAIN, CONTRACT, settings=Settings(), now=NOW)
    assert report.of(DeliveryQuestion.SCHEMA).verdict is Verdict.NOT_ENOUGH


def test_a_feature_that_is_mostly_missing_or_the_same_in_every_row_fails(ask: Ask) -> None:
    gaps = TRAIN.with_columns(tenure=pl.when(pl.int_range(pl.len()) % 5 == 0).then("tenure"))
    assert ask("missing", gaps).verdict is Verdict.FAIL
    assert ask("missing", gaps, missing=0.9).verdict is Verdict.PASS
    check = ask("missing", TRAIN.with_columns(channel=pl.lit("app")))
    assert check.verdict is Verdict.FAIL
    assert check.numbers["constant"] == ["channel"]


def test_copies_and_contradictions_are_counted(ask: Ask) -> None:
    twice = pl.concat([TRAIN, TRAIN.head(100)])
    check = ask("duplicates", twice)
    assert check.verdict is Verdict.FAIL
    assert check.numbers["exact"] == check.numbers["same_inputs"] == 100
    against = pl.concat([TRAIN, TRAIN.head(3).with_columns(topic=pl.lit("login"), who=pl.lit("z"))])
    wrong = int((TRAIN.head(3)["topic"] != "login").sum())
    assert ask("duplicates", against).numbers["conflicting"] == 2 * wrong


def test_test_texts_that_training_has_nearly_seen_are_found(ask: Ask) -> None:
    seen = TEST.with_columns(text=pl.concat([TRAIN["text"].head(50) + " thanks", TEST["text"].tail(150)]))
    check = ask("near_duplicates", TRAIN, seen)
    assert check.verdict is Verdict.FAIL
    assert check.numbers["text"]["near"] >= 48
    assert check.numbers["text"]["same"] == 0


def test_rows_that_differ_by_rounding_only_are_twins(ask: Ask) -> None:
    contract = Contract(
        task=Task.REGRESSION, fields=tuple(Field(name=n, type=FieldType.NUMBER) for n in "abc"), target="y"
    )
    rng = np.random.default_rng(0)
    train = pl.DataFrame(rng.standard_normal((400, 4)), schema=["a", "b", "c", "y"])
    test = pl.DataFrame(rng.standard_normal((100, 4)), schema=["a", "b", "c", "y"])
    assert ask("near_duplicates", train, test, contract=contract).verdict is Verdict.PASS
    leaked = pl.concat([test.head(80), train.head(20).with_columns(pl.col("a", "b", "c").round(4))])
    assert ask("near_duplicates", train, leaked, contract=contract).numbers["rows"]["share"] >= 0.15


def test_where_rows_have_few_values_twins_are_no_sign(ask: Ask) -> None:
    contract = Contract(
        task=Task.BINARY, fields=(Field(name="a", type=FieldType.CATEGORY),), target="y", classes=("n", "y")
    )
    frame = pl.DataFrame({"a": ["x", "z"] * 100, "y": ["n", "y", "y", "n"] * 50})
    assert ask("near_duplicates", frame, frame, contract=contract).verdict is Verdict.NOT_ENOUGH


def test_a_leak_is_told_with_its_interval(ask: Ask) -> None:
    team = TRAIN.with_columns(channel=pl.col("topic").replace({"billing": "t1", "delivery": "t2", "login": "t3"}))
    check = ask("leakage", team)
    assert check.verdict is Verdict.FAIL
    assert "channel" in check.reason
    assert check.numbers["alone"]["channel"]["low"] > 0.95
    tagged = TRAIN.with_columns(
        text=pl.when(pl.col("topic") == "login").then(pl.col("text") + " #q7").otherwise("text")
    )
    assert ask("leakage", tagged).numbers["suspects"][0]["kind"] == "words"


def test_a_feature_that_stands_out_below_the_limit_is_told_and_judges_nothing(ask: Ask) -> None:
    """The target with noise, beside features that tell little."""
    rng = np.random.default_rng(4)
    y = rng.standard_normal(800)
    frame = pl.DataFrame(
        {"a": y + rng.normal(0, 0.3, 800), "b": y + rng.normal(0, 2, 800), "c": rng.random(800), "y": y}
    )
    contract = Contract(
        task=Task.REGRESSION, fields=tuple(Field(name=n, type=FieldType.NUMBER) for n in "abc"), target="y"
    )
    check = ask("leakage", frame, contract=contract)
    assert check.verdict is not Verdict.FAIL
    assert check.numbers["stands_out"] == "a"
    assert "tells the target nearly alone" in check.reason
    honest = ask("leakage", frame.with_columns(b=pl.Series(y + rng.normal(0, 0.35, 800))), contract=contract)
    assert honest.numbers["stands_out"] is None

    report, _ = check_delivery(frame, contract, settings=Settings(), now=NOW)
    told = gate.check(report.as_dict(), ())
    assert not told.applies
    assert told.reason.startswith("not judged: a feature may know the answer: ")
    assert 'delivery = ["leakage"]' in told.reason


PUBLIC = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public data sets are not beside the project (../shared/data)")
@pytest.mark.parametrize("planted", ["", "copy", "noise", "id"])
def test_of_public_data_only_what_was_planted_is_suspected(planted: str) -> None:
    """Hours of bike rentals without the columns that make up the count, and men and women of a census."""
    bike = pl.read_csv(next(PUBLIC.rglob("hour.csv"))).head(6_000)
    names = ["hr", "temp", "atemp", "hum", "windspeed", "workingday", "weathersit"]
    y, rng = bike["cnt"].cast(pl.Float64).to_numpy(), np.random.default_rng(0)
    more = {
        "copy": 2.0 * y + 1.0,
        "noise": y + rng.normal(0, 0.25 * y.std(), len(y)),
        "id": np.argsort(np.argsort(y + rng.random(len(y)))) + 1000.0,
    }
    frame = bike.select([pl.col(n).cast(pl.Float64) for n in names]).with_columns(cnt=pl.Series(y))
    frame = frame.with_columns(pl.Series("extra", more[planted])) if planted else frame
    fields = tuple(Field(name=n, type=FieldType.NUMBER) for n in frame.columns if n != "cnt")
    contract = Contract(task=Task.REGRESSION, fields=fields, target="cnt")
    given = Delivery(contract=contract, train=frame, settings=Settings())
    answer, _ = leakage.leakage(given, np.random.default_rng(0))
    suspected = gate.suspected({"checks": [asdict(answer.check)]})
    assert bool(suspected) == bool(planted), suspected
    if planted:
        assert "extra" in suspected


def test_of_few_rows_that_agree_a_leak_is_neither_shown_nor_refuted(ask: Ask) -> None:
    few = TRAIN.head(60).with_columns(channel=pl.col("topic"))
    assert ask("leakage", few, alone=0.96).verdict is Verdict.NOT_ENOUGH
    assert ask("leakage", TRAIN.head(40)).verdict is Verdict.NOT_ENOUGH


def test_a_target_that_is_a_sum_is_a_leak(ask: Ask) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"a": rng.integers(0, 90, 500) * 1.0, "b": rng.standard_normal(500), "c": rng.random(500)})
    frame = frame.with_columns(y=pl.col("a") + 2 * pl.col("b"))
    contract = Contract(
        task=Task.REGRESSION, fields=tuple(Field(name=n, type=FieldType.NUMBER) for n in "abc"), target="y"
    )
    check = ask("leakage", frame, contract=contract)
    assert check.verdict is Verdict.FAIL
    assert "1·a + 2·b" in check.reason


def test_a_name_that_a_model_could_learn_by_heart_is_no_feature(ask: Ask) -> None:
    fields = tuple(replace(one, roles=(Role.FEATURE,)) if one.name == "who" else one for one in FIELDS)
    check = ask("identifiers", TRAIN, contract=replace(CONTRACT, fields=fields))
    assert check.verdict is Verdict.FAIL
    assert check.numbers["names"] == ["who"]
    handed_out = TRAIN.with_columns(tenure=pl.int_range(pl.len()))
    assert ask("identifiers", handed_out).numbers["names"] == ["tenure"]


def test_times_that_run_ahead_are_found(ask: Ask) -> None:
    closed = Field(name="closed", type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,))
    contract = replace(CONTRACT, fields=(*FIELDS, closed))
    later = TRAIN.with_columns(closed=pl.col("at") + timedelta(hours=3))
    check = ask("time_travel", later, contract=contract)
    assert check.verdict is Verdict.FAIL
    assert check.numbers["after"] == {"closed": 600}
    before = TRAIN.with_columns(closed=pl.col("at") - timedelta(hours=3))
    assert ask("time_travel", before, contract=contract).verdict is Verdict.PASS
    future = TRAIN.with_columns(
        at=pl.when(pl.int_range(pl.len()) < 4).then(pl.lit(NOW + timedelta(days=9))).otherwise("at")
    )
    assert ask("time_travel", future).numbers["future"] == 4


def test_test_rows_must_be_later_only_where_that_is_declared(ask: Ask) -> None:
    mixed = rows(200, 1)
    assert ask("time_travel", TRAIN, mixed).verdict is Verdict.PASS
    assert ask("time_travel", TRAIN, mixed, later_test=True).verdict is Verdict.FAIL
    assert ask("time_travel", TRAIN, later_test=True).verdict is Verdict.NOT_ENOUGH


def test_without_a_time_nothing_is_said_of_times(ask: Ask) -> None:
    check = ask("time_travel", TRAIN.with_columns(at=pl.lit(None, dtype=pl.Datetime("us", "UTC"))))
    assert (check.verdict, check.applies) == (Verdict.NOT_ENOUGH, False)


def test_labels_that_were_shuffled_are_found_with_their_rows(ask: Ask) -> None:
    """Of 120 shuffled labels at least 90 are among the suspects, and hardly any other row."""
    rng = np.random.default_rng(5)
    wrong = set(rng.choice(600, 120, replace=False).tolist())
    after = {"billing": "delivery", "delivery": "login", "login": "billing"}
    topics = [after[t] if i in wrong else t for i, t in enumerate(TRAIN["topic"].to_list())]
    check = ask("label_noise", TRAIN.with_columns(topic=pl.Series(topics)))
    assert check.verdict is Verdict.FAIL
    assert abs(check.numbers["share"] - 0.2) < 0.05
    found = {one["row"] for one in check.numbers["suspects"]}
    assert len(found & wrong) >= 90
    assert len(found - wrong) <= 12
    assert check.numbers["suspects"][0]["suggested"] == TRAIN["topic"][check.numbers["suspects"][0]["row"]]


def test_a_judge_that_is_seldom_right_fails_no_label(ask: Ask) -> None:
    rng = np.random.default_rng(6)
    check = ask("label_noise", TRAIN.with_columns(topic=pl.Series(rng.choice(["billing", "delivery", "login"], 600))))
    assert check.verdict is Verdict.NOT_ENOUGH
    assert "no judge" in check.reason


def test_a_better_models_probabilities_are_taken_where_they_are_given(ask: Ask) -> None:
    names = list(CONTRACT.classes)
    p = np.full((600, 3), 0.02)
    p[np.arange(600), [names.index(t) for t in TRAIN["topic"].to_list()]] = 0.96
    check = ask("label_noise", TRAIN, probabilities=p)
    assert check.numbers["share"] == 0.0
    assert "own held-out" in check.reason


def test_numbers_as_targets_have_no_wrong_labels_and_no_balance(ask: Ask) -> None:
    contract = Contract(task=Task.REGRESSION, fields=FIELDS, target="y", key="who", time="at")
    frame = TRAIN.drop("topic").with_columns(y=pl.col("tenure") * 0.1 + pl.col("text").str.len_chars())
    for question in ("label_noise", "balance"):
        assert not ask(question, frame, contract=contract).applies


def test_a_class_with_few_rows_fails(ask: Ask) -> None:
    thin = pl.concat([TRAIN.filter(pl.col("topic") != "login"), TRAIN.filter(pl.col("topic") == "login").head(7)])
    check = ask("balance", thin)
    assert check.verdict is Verdict.FAIL
    assert check.numbers["thin"] == {"login": 7}
    assert ask("balance", thin, class_rows=5).verdict is Verdict.PASS


def test_another_population_is_drift_and_the_first_delivery_is_none(ask: Ask) -> None:
    other = TRAIN.with_columns(tenure=pl.col("tenure") // 3, channel=pl.lit("app"))
    check = ask("drift", other, last=rows(600, 8))
    assert check.verdict is Verdict.FAIL
    assert {one["field"] for one in check.numbers["moved"]} >= {"tenure", "channel"}
    first = ask("drift", TRAIN)
    assert (first.verdict, first.applies) == (Verdict.NOT_ENOUGH, False)
    assert ask("drift", TRAIN.head(30), last=rows(30, 9)).verdict is Verdict.NOT_ENOUGH


def test_personal_values_must_be_declared(ask: Ask) -> None:
    mails = TRAIN.with_columns(text=pl.col("text") + pl.lit(" write to ann@example.org"))
    check = ask("personal", mails)
    assert check.verdict is Verdict.FAIL
    assert "ann@" not in json.dumps([check.reason, check.numbers])
    assert ask("personal", mails, personal=("text",)).verdict is Verdict.PASS
    fields = tuple(replace(one, pii=Pii.DROP) if one.name == "text" else one for one in FIELDS)
    assert ask("personal", mails, contract=replace(CONTRACT, fields=fields)).verdict is Verdict.PASS
    named = (*FIELDS, Field(name="birth_date", type=FieldType.CATEGORY, roles=(Role.IGNORED,)))
    born = TRAIN.with_columns(birth_date=pl.lit("x"))
    assert ask("personal", born, contract=replace(CONTRACT, fields=named)).verdict is Verdict.NOT_ENOUGH


@pytest.mark.parametrize(
    "frame",
    [
        TRAIN.with_columns(text=pl.lit(None, dtype=pl.String), tenure=None, channel=pl.lit(None, dtype=pl.String)),
        TRAIN.head(1),
        TRAIN.with_columns(text=pl.lit("")),
        TRAIN.with_columns(topic=pl.lit("login")),
        TRAIN.with_columns(at=pl.lit(NOW)),
    ],
    ids=["nothing", "one row", "blank", "one class", "one moment"],
)
def test_odd_deliveries_are_asked_everything_and_shown(frame: pl.DataFrame) -> None:
    fields = tuple(replace(one, required=False) for one in FIELDS)
    report, compared = check_delivery(
        frame, replace(CONTRACT, fields=fields), settings=Settings(), now=NOW, test=frame, last=frame
    )
    assert len(report.checks) == len(DeliveryQuestion)
    assert "</html>" in page.document(report, compared)
    json.dumps(report.as_dict())


def test_equal_deliveries_get_equal_answers_and_the_page_asks_nothing_of_the_network() -> None:
    checked = [check_frame(CONTRACT, one, with_target=True) for one in (TRAIN, TEST)]
    found = [
        check_delivery(
            checked[0].good,
            CONTRACT,
            settings=Settings(),
            now=NOW,
            test=checked[1].good,
            last=rows(300, 3),
            reports=checked,
        )
        for _ in range(2)
    ]
    assert found[0][0] == found[1][0]
    text = page.document(*found[0], judged=("leakage",))
    assert not re.findall(r"(?:src|href)\s*=|url\(|@import|<script", text)
    assert "The gate judges leakage" in text
    assert len(text) < 300_000


def test_a_page_holds_no_text_where_any_field_is_personal() -> None:
    fields = tuple(replace(one, pii=Pii.HASH) if one.name == "who" else one for one in FIELDS)
    contract = replace(CONTRACT, fields=fields)
    test = TEST.with_columns(text=TRAIN["text"].head(200) + " thanks")
    topics = TRAIN["topic"].shuffle(seed=1).head(90).to_list() + TRAIN["topic"].tail(510).to_list()
    report, compared = check_delivery(
        TRAIN.with_columns(topic=pl.Series(topics)), contract, settings=Settings(), now=NOW, test=test
    )
    text = page.document(report, compared)
    assert "(personal)" in text
    assert not any(one in text for one in TRAIN["text"].to_list())
    open_page = page.document(*check_delivery(TRAIN, CONTRACT, settings=Settings(), now=NOW, test=test))
    assert any(one in open_page for one in TRAIN["text"].to_list())


def test_no_report_quotes_a_value_of_a_personal_field(ask: Ask) -> None:
    fields = tuple(replace(one, pii=Pii.HASH) if one.name in ("who", "channel") else one for one in FIELDS)
    contract = replace(CONTRACT, fields=fields)
    train = TRAIN.with_columns(
        channel=pl.lit("secret-channel-") + pl.int_range(pl.len()).mod(2).cast(pl.String),
        topic=pl.when(pl.int_range(pl.len()) < 9).then(pl.lit("secret-topic")).otherwise("topic"),
    )
    checked = check_frame(contract, train, with_target=True)
    report, compared = check_delivery(
        checked.good, contract, settings=Settings(), now=NOW, last=TRAIN, reports=[checked]
    )
    assert "channel" in {one["field"] for one in report.of(DeliveryQuestion.DRIFT).numbers["moved"]}
    assert "secret" not in json.dumps(report.as_dict())
    assert "secret" not in page.document(report, compared)
    plain, _ = check_delivery(checked.good, CONTRACT, settings=Settings(), now=NOW, last=TRAIN, reports=[checked])
    assert "secret" in json.dumps(plain.as_dict())


def report_of(train: pl.DataFrame) -> dict[str, object]:
    checked = check_frame(CONTRACT, train, with_target=True)
    found, _ = check_delivery(checked.good, CONTRACT, settings=Settings(), now=NOW, reports=[checked])
    return json.loads(json.dumps(found.as_dict()))


def test_the_gate_judges_what_is_declared_and_tells_the_rest() -> None:
    leaking = report_of(TRAIN.with_columns(channel=pl.col("topic")))
    told = gate.check(leaking, ())
    assert (told.verdict, told.applies) == (Verdict.NOT_ENOUGH, False)
    assert "channel" in told.reason
    assert gate.check(leaking, ("leakage", "balance")).verdict is Verdict.FAIL
    assert gate.check(leaking, ("balance",)).verdict is Verdict.PASS


def test_a_question_without_an_object_does_not_count_and_what_was_not_looked_at_does() -> None:
    good = report_of(TRAIN)
    assert not gate.check(good, ("drift",)).applies
    assert gate.check(good, ("drift", "balance")).verdict is Verdict.PASS
    nothing = gate.check(None, ("leakage",))
    assert (nothing.verdict, nothing.applies) == (Verdict.NOT_ENOUGH, True)
