"""What a version is held against besides the champion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mainstay.config.settings import EvaluateSettings, Settings
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer
from mainstay.train import baselines
from mainstay.train.fit import Rows

FIELDS = (
    Field(name="note", type=FieldType.TEXT),
    Field(name="town", type=FieldType.CATEGORY),
    Field(name="size", type=FieldType.NUMBER, required=False),
)
CONTRACT = Contract(task=Task.BINARY, fields=FIELDS, target="label", classes=("no", "yes"))
CLASSES = ("no", "yes")


def rows(count: int, seed: int) -> Rows:
    """Right answers: yes where the note says so, or the size is above 1; seven of ten are no."""
    draw = np.random.default_rng(seed)
    values, truth = [], []
    for i in range(count):
        yes = draw.random() < 0.3
        values.append(
            {
                "note": f"word{draw.integers(50)} {'agreed' if yes and i % 2 else 'open'}",
                "town": f"t{draw.integers(3)}",
                "size": None if draw.random() < 0.1 else float(draw.normal() + 3 * (yes and not i % 2)),
            }
        )
        truth.append("yes" if yes else "no")
    return Rows(values=values, truth=np.array(truth))


TRAIN, TEST = rows(800, 1), rows(400, 2)


def said(labels: Any, p: float = 0.9) -> list[Answer]:
    return [
        Answer(label=one, confidence=p, probabilities={name: p if name == one else 1 - p for name in CLASSES})
        for one in labels
    ]


def report(labels: Any, metric: str = "accuracy", train: Rows = TRAIN, test: Rows = TEST) -> dict[str, Any]:
    settings = Settings(evaluate=EvaluateSettings(primary=metric))
    return baselines.measure(CONTRACT, said(labels), train, test, CLASSES, settings)


def test_the_trivial_answer_is_the_commonest_class_and_a_constant_model_does_not_beat_it() -> None:
    found = report(["no"] * 400)
    assert found["trivial"]["value"] == pytest.approx(float((TEST.truth == "no").mean()))
    assert (found["trivial"]["gain"], found["trivial"]["low"], found["trivial"]["high"]) == (0.0, 0.0, 0.0)
    verdict = baselines.check(found, ("trivial",))
    assert verdict.verdict is Verdict.FAIL
    assert "does not beat an answer that looks at nothing" in verdict.reason


def test_a_right_model_beats_both_and_a_simple_model_learns_texts_categories_and_numbers() -> None:
    found = report(TEST.truth)
    assert found["trivial"]["low"] > 0.2
    assert 0.85 < found["simple"]["value"] < 1.0
    assert found["simple"]["gain"] == pytest.approx(1.0 - found["simple"]["value"])
    assert baselines.check(found, ("trivial", "simple")).verdict is Verdict.PASS


def test_what_is_hardly_better_than_a_simple_model_is_not_shown_to_beat_it() -> None:
    simple = baselines._simple(CONTRACT, TRAIN, TEST, CLASSES, 1)
    assert not isinstance(simple, str)
    labels = np.array(CLASSES)[simple.argmax(axis=1)]
    one = np.flatnonzero(labels != TEST.truth)[0]
    labels[one] = TEST.truth[one]
    found = baselines.check(report(labels), ("simple",))
    assert found.verdict is Verdict.NOT_ENOUGH
    assert "is not shown to beat a simple model" in found.reason


def test_of_an_error_less_is_more() -> None:
    assert report(TEST.truth, "log_loss")["trivial"]["gain"] > 0.3


def test_nothing_is_judged_unless_it_is_asked_for_and_what_was_not_measured_never_passes() -> None:
    silent = baselines.check(report(["no"] * 400), ())
    assert not silent.applies
    assert "does not beat" in silent.reason
    assert baselines.check(None, ("trivial",)).verdict is Verdict.NOT_ENOUGH
    assert baselines.check(None, ("trivial",)).applies
    empty = report([], test=rows(0, 1))
    assert baselines.check(empty, ("trivial",)).verdict is Verdict.NOT_ENOUGH


def test_a_regression_has_the_mean_and_ridge() -> None:
    contract = Contract(task=Task.REGRESSION, fields=FIELDS[2:], target="price")
    draw = np.random.default_rng(3)
    x = draw.normal(size=(2, 300))
    train, test = (
        Rows(values=[{"size": float(v)} for v in part], truth=2 * part + 0.1 * draw.normal(size=300)) for part in x
    )
    settings = Settings(evaluate=EvaluateSettings(primary="rmse"))
    exact = [Answer(label=float(2 * v)) for v in x[1]]
    found = baselines.measure(contract, exact, train, test, (), settings)
    assert found["trivial"]["value"] == pytest.approx(2.0, abs=0.3)
    assert found["simple"]["value"] == pytest.approx(0.1, abs=0.03)
    assert found["trivial"]["low"] > 1.5


def test_without_a_usable_feature_or_a_second_class_the_simple_model_says_why() -> None:
    bare = Contract(task=Task.BINARY, fields=(Field(name="id", type=FieldType.IDENTIFIER),), target="label")
    settings = Settings()
    found = baselines.measure(bare, said(TEST.truth), TRAIN, TEST, CLASSES, settings)
    assert "no feature" in found["simple"]["why_not"]
    one = Rows(values=TRAIN.values, truth=np.array(["no"] * 800))
    assert "one class" in report(TEST.truth, train=one)["simple"]["why_not"]
    assert baselines.check(found, ("simple",)).verdict is Verdict.NOT_ENOUGH
