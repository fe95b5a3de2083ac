from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from mainstay.stats import alone


def folds(rows: int, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, alone.FOLDS, rows)


def test_a_column_that_is_the_class_has_skill_one_and_noise_has_none() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    perfect = alone.class_skill(truth, truth, folds(3000))
    assert perfect.value == 1.0
    assert perfect.low > 0.99
    noise = alone.class_skill(rng.integers(0, 50, 3000), truth, folds(3000))
    assert noise.low < 0.05


def test_the_limits_hold_the_skill_that_there_is() -> None:
    """λ of a column that is right in 80 % of two even classes is .6; of 300 one-sided 95 % limits 5 % miss on a side.

    A binomial of 300 at .05 exceeds 35 with probability below 1e-6.
    """
    rng = np.random.default_rng(1)
    below = above = 0
    for _ in range(300):
        truth = rng.integers(0, 2, 800)
        codes = np.where(rng.random(800) < 0.8, truth, 1 - truth)
        found = alone.class_skill(codes, truth, rng.integers(0, 5, 800))
        base = 0.5
        real = (0.8 - base) / (1 - base)
        below += found.high < real - 0.06
        above += found.low > real + 0.06
    assert max(below, above) < 35


def test_learning_by_heart_is_no_skill() -> None:
    truth = np.random.default_rng(2).integers(0, 2, 1000)
    assert alone.class_skill(np.arange(1000), truth, folds(1000)).value <= 0.0


def test_one_class_or_a_constant_target_cannot_be_told() -> None:
    assert np.isnan(alone.class_skill(np.arange(60) % 3, np.zeros(60, dtype=int), folds(60)).value)
    assert np.isnan(alone.number_skill(np.arange(60) % 3, np.ones(60), folds(60)).value)


def test_the_skill_for_a_number_is_the_held_out_r2() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(4000)
    y = x + 0.5 * rng.standard_normal(4000)
    codes, fold = alone.bins_of(x), folds(4000)
    said = np.zeros(4000)
    for number in range(alone.FOLDS):
        inside, held = fold != number, fold == number
        said[held] = [y[inside & (codes == code)].mean() for code in codes[held]]
    found = alone.number_skill(codes, y, fold)
    assert found.value == pytest.approx(r2_score(y, said), abs=2e-3)
    assert found.low < 0.8 < found.high + 0.02


def test_rows_of_one_key_make_the_limits_wider() -> None:
    rng = np.random.default_rng(4)
    keys = np.repeat(np.arange(60), 20)
    codes, truth = np.repeat(rng.integers(0, 4, 60), 20), np.repeat(rng.standard_normal(60), 20)
    alone_, keyed = (alone.number_skill(codes, truth, folds(1200), keys=k) for k in (None, keys.tolist()))
    assert keyed.high - keyed.low > 2 * (alone_.high - alone_.low)
    labels = (truth > 0).astype(int)
    alone_, keyed = (alone.class_skill(codes, labels, folds(1200), keys=k) for k in (None, keys.tolist()))
    assert keyed.high - keyed.low > 2 * (alone_.high - alone_.low)


def test_a_target_that_is_a_sum_of_two_columns_is_told_with_those_two_only() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((500, 6)) * [1, 1e3, 1e-3, 1, 1, 1]
    found = alone.identity_of(x, 2 * x[:, 1] - 5 * x[:, 4] + 7)
    assert found is not None
    assert dict(found) == pytest.approx({1: 2.0, 4: -5.0})


def test_nearly_a_sum_is_none() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((500, 3))
    assert alone.identity_of(x, x[:, 0] + x[:, 1] + 1e-3 * rng.standard_normal(500)) is None
    assert alone.identity_of(x[:20], x[:20, 0]) is None


def test_a_few_values_far_out_make_no_column_the_target() -> None:
    rng = np.random.default_rng(8)
    y = rng.normal(100, 5, 600)
    y[:4] = 1e9
    near = y / 10 + rng.standard_normal(600)
    assert alone.identity_of(near[:, None], y) is None
    found = alone.identity_of((y / 10)[:, None], y)
    assert found is not None
    assert dict(found) == pytest.approx({0: 10.0})


def test_bins_hold_equal_rows_and_missing_values_one_of_their_own() -> None:
    values = np.concatenate([np.random.default_rng(7).standard_normal(6400), [np.nan] * 5])
    codes = alone.bins_of(values)
    counts = np.bincount(codes[:-5])
    assert counts[:64].min() > 90
    assert set(codes[-5:]) == {codes.max()}
    assert alone.bins_of(np.array([3.0, 1.0, 3.0])).tolist() == [1, 0, 1]
