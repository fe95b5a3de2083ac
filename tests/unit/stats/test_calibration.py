"""Calibration figures against closed forms and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from mainstay.core.errors import UsageError
from mainstay.stats import calibration


def test_the_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    p, hit = [0.95, 0.95, 0.55, 0.55], [1, 0, 1, 1]
    assert calibration.expected_calibration_error(p, hit) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)


def test_perfect_confidence_has_no_error_and_certainty_falls_into_the_last_bin() -> None:
    assert calibration.expected_calibration_error([1.0, 0.0], [1, 0]) == 0.0
    assert calibration.reliability([1.0], [1]).tolist() == [[1.0, 1.0, 1.0]]


def test_the_brier_score_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    p, hit = rng.random(50), rng.random(50) < 0.5
    assert calibration.brier(p, hit) == pytest.approx(brier_score_loss(hit, p))


def test_unknown_rows_are_left_out_and_no_rows_give_nan() -> None:
    assert calibration.brier([0.5, math.nan], [1, 1]) == 0.25
    assert math.isnan(calibration.brier([], []))
    assert math.isnan(calibration.expected_calibration_error([], []))
    with pytest.raises(UsageError, match="one outcome for each confidence"):
        calibration.brier([0.5], [1, 0])
