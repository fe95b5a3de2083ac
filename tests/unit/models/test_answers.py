from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import ModelOutputInvalid
from mainstay.core.events import Trust
from mainstay.models.answers import answer
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.calibration import Calibration, Method
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel, load
from mainstay.models.thresholds import Thresholds


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, parts: BundleParts) -> LoadedModel:
    return load(write_bundle(tmp_path_factory.mktemp("bundles"), parts))


class Fixed:
    """An estimator that says what it is told."""

    classes_ = np.array(["tool", "fruit"])

    def __init__(self, output: Any) -> None:
        self.output = np.array(output, dtype=float)

    def predict_proba(self, given: Any) -> Any:
        return self.output

    predict = predict_proba


def fixed(model: LoadedModel, output: Any, **changes: Any) -> LoadedModel:
    keep = {
        "contract": model.contract,
        "classes": model.classes,
        "spec": InputSpec(input="text"),
        "thresholds": model.thresholds,
        "vocabulary": model.vocabulary,
        "profile": model.profile,
    }
    return LoadedModel(estimator=Fixed(output), **{**keep, **changes})


def test_an_answer_holds_label_probabilities_and_confidence(model: LoadedModel) -> None:
    (said,) = answer(model, [{"text": "green apple"}])
    assert said.label == "fruit"
    assert list(said.probabilities) == ["tool", "fruit"]
    assert said.confidence == pytest.approx(max(said.probabilities.values()))
    assert said.trust is Trust.OK
    assert said.caveats == ()


def test_never_seen_words_are_counted_in_a_sentence_and_lower_trust(model: LoadedModel) -> None:
    (said,) = answer(model, [{"text": "apple quux blah foo"}])
    assert said.trust is Trust.LOW
    assert said.caveats[0].code == "unseen_words"
    assert said.caveats[0].value == 0.75
    assert said.caveats[0].text == "3 of 4 words were never seen in training"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("apple pear plum quux", "1 of 4 words was never seen in training"),
        ("quux", "1 of 1 word was never seen in training"),
    ],
)
def test_one_never_seen_word_is_told_in_the_singular(model: LoadedModel, text: str, sentence: str) -> None:
    assert answer(model, [{"text": text}])[0].caveats[0].text == sentence


def test_fewer_than_a_quarter_of_new_words_is_not_mentioned(model: LoadedModel) -> None:
    assert answer(model, [{"text": "apple pear plum jam quux"}])[0].caveats == ()


@pytest.mark.parametrize("text", ["", "   ", "!!! ???"])
def test_a_text_without_a_word_is_of_low_trust_and_says_so(model: LoadedModel, text: str) -> None:
    (said,) = answer(model, [{"text": text}])
    assert said.trust is Trust.LOW
    assert [caveat.code for caveat in said.caveats] == ["no_words"]


@pytest.mark.parametrize(
    ("top", "trust"), [(0.9, Trust.OK), (0.7, Trust.OK), (0.69, Trust.LOW), (0.6, Trust.LOW), (0.59, Trust.ABSTAIN)]
)
def test_trust_follows_the_confidence_limits(model: LoadedModel, top: float, trust: Trust) -> None:
    limits = Thresholds(low_confidence=0.7, abstain_confidence=0.6)
    said = answer(fixed(model, [[top, 1 - top]], thresholds=limits), [{"text": "apple"}])
    assert said[0].trust is trust


def test_limits_that_are_off_never_lower_trust(model: LoadedModel) -> None:
    said = answer(fixed(model, [[0.5, 0.5]], thresholds=Thresholds()), [{"text": "quux"}])
    assert said[0].trust is Trust.OK
    assert said[0].caveats[0].code == "unseen_words"


def test_confidence_is_calibrated_and_probabilities_are_not(model: LoadedModel) -> None:
    calibration = Calibration(method=Method.LOGISTIC, slope=0.0, intercept=0.0)
    (said,) = answer(fixed(model, [[0.9, 0.1]], calibration=calibration), [{"text": "apple"}])
    assert said.confidence == 0.5
    assert said.probabilities == {"tool": 0.9, "fruit": 0.1}


def test_a_tie_goes_to_the_class_declared_first(model: LoadedModel) -> None:
    assert answer(fixed(model, [[0.5, 0.5]]), [{"text": "apple"}])[0].label == "tool"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_with_its_row(model: LoadedModel, bad: float) -> None:
    with pytest.raises(ModelOutputInvalid, match="first row 1"):
        answer(fixed(model, [[0.5, 0.5], [bad, 0.5]]), [{"text": "apple"}] * 2)


def test_a_regression_answers_a_value_without_confidence(model: LoadedModel) -> None:
    contract = _regression(model.contract)
    (said,) = answer(fixed(model, [3.5], contract=contract, classes=()), [{"text": "apple"}])
    assert (said.label, said.confidence, said.probabilities) == (3.5, None, {})


def test_no_rows_give_no_answers(model: LoadedModel) -> None:
    assert answer(model, []) == []


def test_given_signals_are_used_instead_of_measuring(model: LoadedModel) -> None:
    rows = [{"text": "apple"}]
    assert answer(model, rows, model.signals) == answer(model, rows)
    measured = [{**model.signals.measure(rows[0]), "text.unseen": 1.0}]
    assert answer(model, rows, measured)[0].trust is Trust.LOW


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_an_answer_does_not_depend_on_the_rows_beside_it(model: LoadedModel, texts: list[str]) -> None:
    rows = [{"text": text} for text in texts]
    together = answer(model, rows)
    for row, said in zip(rows, together, strict=True):
        (alone,) = answer(model, [row])
        assert (alone.label, alone.trust, alone.caveats) == (said.label, said.trust, said.caveats)
        assert alone.confidence == pytest.approx(said.confidence, abs=1e-12)
        assert 0.0 <= sum(said.probabilities.values()) <= 1.0 + 1e-9


def test_answers_need_no_scikit_learn_at_import(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, mainstay.models.answers, mainstay.models.load, mainstay.models.profiles\n"
        "heavy = {'sklearn', 'pandas', 'polars', 'mlflow', 'scipy', 'cloudpickle'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _regression(contract: Contract) -> Contract:
    from dataclasses import replace

    return replace(contract, task=Task.REGRESSION, classes=())
