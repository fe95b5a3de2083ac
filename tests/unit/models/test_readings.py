"""What a model put out is recognised, or refused for what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mainstay.core.errors import ModelOutputInvalid
from mainstay.models.readings import Kind, Reading, label_text, recognise

SOFT = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=np.float32)
TABLE = pd.DataFrame({"probability_no": [0.9, 0.2], "probability_yes": [0.1, 0.8], "label": ["no", "yes"]})


@pytest.mark.parametrize(
    ("output", "given", "kind"),
    [
        (SOFT, {}, Kind.PROBABILITIES),
        (SOFT * 9, {"truth": ["a", "b"]}, Kind.LOGITS),
        (np.array([0.2, 0.9]), {"truth": ["no", "yes"]}, Kind.POSITIVE),
        (np.array([[0.2], [0.9]]), {"truth": [0, 1]}, Kind.POSITIVE),
        (np.array([-3.1, 2.0]), {"truth": [0, 1]}, Kind.LOG_ODDS),
        (np.array([0.0, 1.0]), {"truth": [0, 1]}, Kind.LABELS),
        (np.array(["no", "yes"]), {}, Kind.LABELS),
        ([True, False], {}, Kind.LABELS),
        (np.array([3, 5]), {}, Kind.LABELS),
        (np.array([3, 5]), {"classification": False}, Kind.VALUES),
        (np.array([0.2, 0.9]), {}, Kind.VALUES),
        (np.array([10.5, 90.1]), {"truth": [10.0, 91.5]}, Kind.VALUES),
        (TABLE, {}, Kind.PROBABILITIES),
        (TABLE[["label"]], {}, Kind.LABELS),
        (pd.DataFrame({"no": [0.5, 0.1], "yes": [0.5, 0.9]}), {}, Kind.PROBABILITIES),
        (pd.DataFrame({"prediction": ["no", "yes"], "note": ["x", "y"]}), {}, Kind.LABELS),
        ({"logits": SOFT}, {}, Kind.PROBABILITIES),
    ],
)
def test_the_output_is_recognised(output: Any, given: dict[str, Any], kind: Kind) -> None:
    assert recognise(output, 2, **given).kind is kind


@pytest.mark.parametrize(
    ("output", "given", "told"),
    [
        (np.zeros(3), {}, "3 answers for 2 rows"),
        (np.zeros((2, 2, 2)), {}, "shape (2, 2, 2)"),
        (SOFT * 9, {}, "do not sum to 1"),
        (np.array([1.0, np.nan]), {}, "NaN or infinity for 1 of 2 rows, the first of them row 1"),
        ([None, "a"], {}, "answers such as None"),
        ([{"a": 1}, {"a": 2}], {}, "answers such as {'a': 1}"),
        ({"a": [1, 2], "b": [1, 2]}, {}, "a dictionary of 2 parts"),
        (np.array([0.2, 0.9]), {"classes": ["a", "b", "c"]}, "one number for each row where there are 3 classes"),
        (pd.DataFrame({"u": [1.0, 2.0], "v": [3.0, 4.0]}), {}, "of which none is called label"),
        (TABLE.assign(probability_no=5.0), {}, "called probabilities and do not sum to 1"),
    ],
)
def test_what_is_no_answer_is_refused_for_what_it_is(output: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelOutputInvalid) as refused:
        recognise(output, 2, **given)
    assert told in refused.value.message


def test_texts_without_end_are_no_classes() -> None:
    with pytest.raises(ModelOutputInvalid, match="300 different texts"):
        recognise([f"text {number}" for number in range(300)], 300)


def test_single_precision_becomes_probabilities_that_sum_to_one() -> None:
    reading = Reading(kind=Kind.PROBABILITIES, classes=("a", "b", "c"))
    assert np.abs(reading.numbers(SOFT, 2).sum(axis=1) - 1.0).max() < 1e-15


def test_logits_and_log_odds_become_probabilities() -> None:
    logits = Reading(kind=Kind.LOGITS, classes=("a", "b", "c")).numbers(np.array([[1000.0, 999.0, 0.0]]), 1)
    assert logits[0].tolist() == pytest.approx([1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(1.0)), 0.0])
    odds = Reading(kind=Kind.LOG_ODDS, classes=("a", "b")).numbers(np.array([0.0, 2.0]), 2)
    assert odds[:, 1].tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2.0))])


def test_labels_get_the_probability_that_is_known_and_keep_their_order() -> None:
    reading = Reading(kind=Kind.LABELS, raw=("0", "1", "2"), classes=("a", "b", "c"), sure=0.8)
    assert reading.numbers(np.array([2.0, 0.0]), 2).tolist() == [
        pytest.approx([0.1, 0.1, 0.8]),
        pytest.approx([0.8, 0.1, 0.1]),
    ]
    with pytest.raises(ModelOutputInvalid, match=r"said \['7'\]"):
        reading.numbers(np.array([7, 1]), 2)


def test_another_shape_than_before_is_refused() -> None:
    with pytest.raises(ModelOutputInvalid, match=r"shape \(2, 3\); \(2, 2\)"):
        Reading(kind=Kind.PROBABILITIES, classes=("a", "b")).numbers(SOFT, 2)


@pytest.mark.parametrize(("value", "name"), [(1.0, "1"), (True, "true"), (np.int64(3), "3"), (0.5, "0.5"), (b"a", "a")])
def test_labels_are_called_as_the_contract_calls_classes(value: Any, name: str) -> None:
    assert label_text(value) == name
