"""Accuracy now: estimated, measured, corrected; and how many labels would tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.stats.intervals import wilson
from mainstay.watch import estimate

CONFIDENCE = SignalProfile(
    name="answer.confidence", kind=SignalKind.NUMERIC, harm="quality", rows=400, edges=[0.5], counts=[10, 390],
    mean=0.9, sd=0.1,
)  # fmt: skip
PROFILE = Profile(source="test", rows=400, keys=400, signals=[CONFIDENCE], accuracy=0.92, mean_confidence=0.9)


def columns(confidences: np.ndarray) -> np.ndarray:
    out = np.zeros(9)
    out[0], out[7], out[8] = len(confidences), confidences.sum(), (confidences**2).sum()
    return out


def test_the_estimate_is_the_reference_plus_the_change_of_confidence() -> None:
    x = np.full(200, 0.75)
    found = estimate.from_confidence(PROFILE, columns(x), spread=1.0)
    assert found is not None
    assert found.value == pytest.approx(0.77)
    assert found.low < 0.77 < found.high < 0.9
    assert found.drop_shown
    assert "without labels" in found.assumption


def test_without_a_change_no_drop_is_shown() -> None:
    rng = np.random.default_rng(0)
    shown = [
        estimate.from_confidence(PROFILE, columns(rng.normal(0.9, 0.1, 100)), spread=1.0).drop_shown for _ in range(200)
    ]
    assert np.mean(shown) < 0.06


def test_returning_keys_widen_the_interval() -> None:
    x = np.random.default_rng(1).normal(0.8, 0.1, 100)
    one, many = (estimate.from_confidence(PROFILE, columns(x), spread=s) for s in (1.0, 9.0))
    assert many.high - many.low > one.high - one.low


def test_too_little_traffic_or_no_reference_gives_no_estimate() -> None:
    assert estimate.from_confidence(PROFILE, columns(np.array([0.5])), spread=1.0) is None
    blank = Profile(source="test", rows=0, keys=0, signals=[])
    assert estimate.from_confidence(blank, columns(np.full(50, 0.5)), spread=1.0) is None
    assert estimate.from_confidence(PROFILE, columns(np.full(50, 0.5)), spread=1.0, segment="a=b") is None


def test_labels_give_wilson_and_none_without_them() -> None:
    found = estimate.from_labels([True] * 30 + [False] * 10, [str(i) for i in range(40)], reference=0.92)
    assert found is not None
    assert (found.low, found.high) == wilson(30, 40)
    assert found.drop_shown
    assert estimate.from_labels([], [], reference=0.92) is None


def test_labels_of_few_keys_leave_more_doubt() -> None:
    right = ([True] * 10) * 3 + [False] * 10
    found = estimate.from_labels(right, [str(i // 10) for i in range(40)], reference=0.92)
    assert found is not None
    low, high = wilson(30, 40)
    assert found.low < low - 0.1
    assert found.high > high + 0.1


def test_a_few_random_labels_correct_a_wrong_confidence() -> None:
    rng, covered = np.random.default_rng(8), 0
    for _ in range(200):
        confidence = np.clip(rng.normal(0.9, 0.05, 2_000), 0, 1)
        right = rng.random(2_000) < confidence - 0.2
        gaps = (confidence - right)[:150]
        found = estimate.prediction_powered(
            columns(confidence), gaps.tolist(), [str(i) for i in range(150)], reference=0.92
        )
        covered += found.low <= 0.7 <= found.high
    assert 0.9 <= covered / 200 <= 0.99


def test_too_few_labelled_keys_correct_nothing() -> None:
    assert estimate.prediction_powered(columns(np.full(9, 0.5)), [0.1, 0.2], ["a", "a"], reference=None) is None


def test_the_labels_needed_follow_the_binomial_formula() -> None:
    assert estimate.labels_needed(0.03) == math.ceil(1.959964**2 * 0.25 / 0.0009)
    assert estimate.labels_needed(0.03, accuracy=0.9) == 385


def test_a_model_that_is_said_to_be_never_wrong_is_asked_too() -> None:
    assert estimate.labels_needed(0.03, accuracy=1.0) == estimate.labels_needed(0.03, accuracy=0.97) > 100
