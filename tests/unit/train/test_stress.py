"""Rows as users and broken pipelines send them: the harm, what is kept, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mainstay.config.settings import GateSettings, Settings, StressKind, StressSettings
from mainstay.core.contracts import Contract, Field, FieldType, Policy, Task
from mainstay.core.errors import ProjectFileError
from mainstay.core.verdicts import Verdict
from mainstay.models.load import LoadedModel
from mainstay.testing.models import make_contract, make_loaded
from mainstay.train.fit import Rows
from mainstay.train.stress import check, fields, texts
from mainstay.train.stress.measure import kinds_of, measure, of_kind

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="message", type=FieldType.TEXT),
        Field(name="age", type=FieldType.INTEGER, min=0, max=120),
        Field(name="income", type=FieldType.NUMBER, required=False),
        Field(name="channel", type=FieldType.CATEGORY, values=("chat", "mail"), on_unknown=Policy.FLAG),
    ),
    target="label",
    classes=("no", "yes"),
)
TEXT = "Please cancel the payment because the money was sent from my account yesterday"


def random(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def settings(gate: Mapping[str, float] | None = None, **stress: Any) -> Settings:
    return Settings(stress=StressSettings(**stress), gate=GateSettings(stress=dict(gate or {})))


def weather(count: int = 200, **changes: Any) -> Rows:
    """Rows of which `WordModel` is right about every one: snow is cold."""
    said = ["a day of snow in the north" if i % 2 else "sun all day in the south" for i in range(count)]
    values = [{"text": text, "place": "north", "degrees": 5.0, "station": None} for text in said]
    return Rows(values=values, truth=np.array(["cold" if "snow" in text else "warm" for text in said]), **changes)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return make_loaded()


# the harm


def test_every_kind_of_the_settings_exists_and_no_other() -> None:
    known = [*texts.kinds(CONTRACT), *fields.kinds(CONTRACT, [])]
    assert [kind.name for kind in known] == [kind.value for kind in StressKind]


@pytest.mark.parametrize(
    "harm", [texts.typos, texts.slang, texts.case, texts.emoji, texts.truncation, texts.code_mixing]
)
def test_a_text_is_harmed_as_the_seed_says_more_at_a_greater_strength_and_not_at_all_at_none(harm: texts.Harm) -> None:
    assert harm(TEXT, 0.0, random()) == TEXT
    weak, strong = ([harm(TEXT, s, random(seed)) for seed in range(20)] for s in (0.2, 1.0))
    assert [harm(TEXT, 0.2, random(seed)) for seed in range(20)] == weak
    assert sum(one != TEXT for one in weak) < sum(one != TEXT for one in strong) or weak != strong
    assert all(one != TEXT for one in strong)


def test_each_harm_does_what_its_name_says() -> None:
    assert texts.slang("Thanks, see you tomorrow", 1.0, random()) == "thx, c u tmrw"
    assert texts.case("Where IS it", 1.0, random()) == "WHERE is IT"
    assert texts.code_mixing("my card and my money", 1.0, random()) == "mi tarjeta y mi dinero"
    assert texts.truncation("one two three four five", 1.0, random()) == "one"
    assert texts.truncation("one two three four five", 0.5, random()) == "one two three"
    assert texts.truncation("one", 1.0, random()) == "one"
    assert set(texts.emoji("a b", 1.0, random()).split()) & set(texts.EMOJI)


def test_a_slip_costs_one_key_of_a_longer_word_and_none_of_a_short_one() -> None:
    for seed in range(200):
        before, after = "the account is blocked", texts.typos("the account is blocked", 1.0, random(seed))
        for word, slipped in zip(before.split(), after.split(), strict=True):
            if len(word) < texts.SHORTEST_SLIP:
                assert slipped == word
            else:
                assert abs(len(slipped) - len(word)) <= 1
                assert slipped[0] == word[0]


@pytest.mark.parametrize("text", ["", " ", "🙂", "你好 世界", "a" * 5000, "\u202eabc", "‍‍"])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_any_text_survives(text: str, strength: float) -> None:
    for kind in texts.kinds(CONTRACT):
        row = {"message": text}
        kind.change(row, strength, random())
        assert isinstance(row["message"], str)


def change(name: str, row: dict[str, Any], strength: float = 1.0, seed: int = 0) -> tuple[str | None, dict[str, Any]]:
    rows = [{"channel": "chat"}, {"channel": "mail"}]
    kind = next(one for one in fields.kinds(CONTRACT, rows) if one.name == name)
    return kind.change(row, strength, random(seed)), row


def test_each_broken_pipeline_does_what_its_name_says() -> None:
    row = {"message": "hi", "age": 40, "income": 1200.0, "channel": "chat"}
    assert change("missing", dict(row)) == ("income", row | {"income": None})
    touched, new = change("swapped", dict(row))
    assert touched in ("age", "income")
    assert (new["age"], new["income"]) == (1200, 40.0)
    assert change("scale", dict(row), 0.5)[1] == row | {"age": 60, "income": 1800.0}
    units = {change("units", dict(row), seed=seed)[1]["income"] for seed in range(60)}
    assert units == {1200.0, 1_200_000.0, 1.2, 3048.0, 120_000.0, 2192.0}
    categories = {change("categories", dict(row), seed=seed)[1]["channel"] for seed in range(20)}
    assert categories == {"mail", fields.STRANGER}


def test_that_share_of_the_rows_is_hit() -> None:
    kind = next(one for one in fields.kinds(CONTRACT, []) if one.name == "missing")
    draw = random()
    hit = sum(kind.change({"income": 1.0}, 0.3, draw) is not None for _ in range(4000))
    assert abs(hit / 4000 - 0.3) < 5 * (0.3 * 0.7 / 4000) ** 0.5  # false failure below 1e-6


def test_what_cannot_happen_says_why() -> None:
    numbers = Contract(task=Task.REGRESSION, fields=(Field(name="x", type=FieldType.NUMBER),), target="y")
    found = {one.name: one.why_not for one in [*texts.kinds(numbers), *fields.kinds(numbers, [])]}
    assert found["typos"] == "no feature is a text"
    assert "required" in found["missing"]
    assert found["swapped"] == "there are not two numbers"
    assert found["categories"].startswith("no feature is a category")
    assert not found["units"]
    closed = replace(CONTRACT, fields=(Field(name="one", type=FieldType.CATEGORY, values=("a",)),))
    assert {one.name: bool(one.why_not) for one in fields.kinds(closed, [{"one": "a"}])}["categories"]


# what is kept


def test_what_is_kept_is_the_metric_after_over_the_metric_before(model: LoadedModel) -> None:
    report = measure(model, weather(), settings(kinds=("truncation", "case")), root=Path())
    whole = [one for one in report["kept"] if one["strength"] == 1.0]
    by_kind = {one["kind"]: one for one in whole}
    # Cut to "a" or "sun", half of the rows lose their snow; shouted, SNOW is no snow to this model.
    for kind in ("truncation", "case"):
        assert (by_kind[kind]["clean"], by_kind[kind]["value"], by_kind[kind]["kept"]) == (1.0, 0.5, 0.5)
        assert by_kind[kind]["changed"] == 1.0
        assert by_kind[kind]["fields"] == {"text": 0.5}


def test_a_slow_model_is_asked_about_fewer_rows(model: LoadedModel) -> None:
    report = measure(model, weather(), settings(kinds=("case",)), root=Path(), budget_s=0.0)
    assert report["rows"] == 50
    assert {one["rows"] for one in report["kept"]} == {50}


def test_the_same_seed_gives_the_same_report_and_another_one_another(model: LoadedModel) -> None:
    first, again = (measure(model, weather(), settings(kinds=("case",)), root=Path()) for _ in range(2))
    other = Settings(stress=StressSettings(kinds=("case",)), project={"seed": 99})
    assert first == again
    assert measure(model, weather(), other, root=Path()) != first


def test_rows_that_the_contract_refuses_are_no_wrong_answers(model: LoadedModel) -> None:
    report = measure(model, weather(), settings(kinds=("categories",), gate={"categories": 0.9}), root=Path())
    # `place` is a closed list of two: another one of them is let in.
    assert of_kind(report, "categories")["refused"] == 0.0
    strict = make_contract(
        fields=(Field(name="text", type=FieldType.TEXT), Field(name="degrees", type=FieldType.NUMBER, min=4, max=6)),
        key=None,
    )
    rows = Rows(values=[{"text": one["text"], "degrees": 5.0} for one in weather().values], truth=weather().truth)
    asked = settings(kinds=("scale",), judged_at=1.0, strengths=())
    report = measure(make_loaded(contract=strict), rows, asked, root=Path())
    [found] = report["kept"]
    assert (found["changed"], found["refused"], found["rows"]) == (1.0, 1.0, 0)
    verdict = check.check(report, {"scale": 0.9})
    assert verdict.verdict is Verdict.PASS
    assert "refuses every such row" in verdict.reason


def test_the_interval_covers_and_widens_where_keys_repeat(model: LoadedModel) -> None:
    alone = measure(model, weather(), settings(kinds=("case",)), root=Path())
    rows = weather(keys=[i // 20 for i in range(200)])
    grouped = measure(model, rows, settings(kinds=("case",)), root=Path())
    one, other = of_kind(alone, "case"), of_kind(grouped, "case")
    assert one["low"] < one["kept"] < one["high"]
    assert one["kept"] == other["kept"]
    assert other["high"] != one["high"]


def test_a_model_that_raises_under_stress_fails(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def poison(row, strength, random):\n    row['text'] = 'poison'\n    return row\n")
    asked = settings(kinds=("case",), own={"poison": "own:poison"}, gate={"poison": 0.5})
    report = measure(model, weather(), asked, root=tmp_path)
    verdict = check.check(report, {"poison": 0.5})
    assert verdict.verdict is Verdict.FAIL
    assert "this text breaks the model" in verdict.reason


def test_a_kind_of_the_projects_own_is_asked(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def thaw(row, strength, random):\n"
        "    if random.random() < strength:\n"
        "        return row | {'text': row['text'].replace('snow', 'sun')}\n"
    )
    asked = settings(kinds=("case",), strengths=(), judged_at=1.0, own={"thaw": "own:thaw"})
    found = of_kind(measure(model, weather(), asked, root=tmp_path), "thaw")
    assert (found["changed"], found["kept"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("code", "what"),
    [("def bad(row, strength, random):\n    return row['nothing']\n", "KeyError"), ("bad = 1\n", "no function 'bad'")],
)
def test_a_kind_of_the_projects_own_that_is_wrong_is_told(
    model: LoadedModel, tmp_path: Path, code: str, what: str
) -> None:
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(ProjectFileError, match=what):
        measure(model, weather(), settings(own={"bad": "own:bad"}), root=tmp_path)


def test_no_row_proves_nothing(model: LoadedModel) -> None:
    report = measure(model, weather(0), settings(gate={"case": 0.5}), root=Path())
    assert check.check(report, {"case": 0.5}).verdict is Verdict.NOT_ENOUGH


def test_few_of_many_rows_are_asked_and_of_a_ranking_whole_groups() -> None:
    from mainstay.train.evaluate import sampled

    assert len(sampled(weather(300), 100, 1)) == 100
    grouped = weather(300, groups=[i // 10 for i in range(300)])
    some = sampled(grouped, 100, 1)
    assert len(some) == 100
    assert all(some.groups.count(group) == 10 for group in set(some.groups))


# the verdict


def report_of(**kept: Any) -> dict[str, Any]:
    found = {
        "kind": "typos",
        "strength": 0.3,
        "changed": 0.9,
        "refused": 0.0,
        "rows": 100,
        "clean": 0.9,
        "value": 0.8,
        "kept": 0.89,
        "low": 0.85,
        "high": 0.93,
        "error": "",
        "fields": None,
    }
    return {"metric": "accuracy", "rows": 100, "judged_at": 0.3, "kept": [found | kept], "not_asked": {}}


@pytest.mark.parametrize(
    ("kept", "floor", "verdict"),
    [
        ({}, 0.8, Verdict.PASS),
        ({}, 0.85, Verdict.PASS),
        ({}, 0.9, Verdict.NOT_ENOUGH),
        ({}, 0.95, Verdict.FAIL),
        ({"kept": None, "low": None, "high": None}, 0.1, Verdict.NOT_ENOUGH),
        ({"low": None, "high": None}, 0.1, Verdict.NOT_ENOUGH),
        ({"changed": 0.0, "kept": 1.0, "low": 1.0, "high": 1.0}, 0.1, Verdict.NOT_ENOUGH),
    ],
)
def test_a_floor_passes_only_when_it_is_shown_to_be_kept(kept: dict[str, Any], floor: float, verdict: Verdict) -> None:
    assert check.check(report_of(**kept), {"typos": floor}).verdict is verdict


def test_a_floor_for_what_was_not_measured_withholds_the_verdict_and_no_floor_asks_nothing() -> None:
    report = report_of() | {"not_asked": {"units": "no feature is a number"}}
    found = check.check(report, {"typos": 0.8, "units": 0.8})
    assert found.verdict is Verdict.NOT_ENOUGH
    assert "no feature is a number" in found.reason
    silent = check.check(report, {})
    assert not silent.applies
    assert "typos: 0.890" in silent.reason


def test_kinds_are_those_that_were_asked_for() -> None:
    assert [kind.name for kind in kinds_of(CONTRACT, weather(4), settings(kinds=("units", "typos")))] == [
        "typos",
        "units",
    ]
