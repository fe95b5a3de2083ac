from __future__ import annotations

import math

import numpy as np
import pytest

from mainstay.stats import prequential
from mainstay.stats.prequential import Score


def test_the_faded_mean_is_the_weighted_mean_that_its_formula_says() -> None:
    losses = np.random.default_rng(3).exponential(size=500)
    alpha = 0.97
    weights = alpha ** np.arange(len(losses))[::-1]
    found = prequential.after(Score(), losses.tolist(), alpha)
    assert found.newest == pytest.approx(np.average(losses, weights=weights), rel=1e-12)
    assert found.mean == pytest.approx(losses.mean(), rel=1e-12)


def test_it_is_the_same_in_one_go_and_batch_by_batch() -> None:
    losses = [1.0, 0.0, 0.0, 1.0, 1.0, 0.5]
    whole = prequential.after(Score(), losses)
    parts = prequential.after(prequential.after(Score(), losses[:2]), losses[2:])
    assert parts == whole
    assert prequential.after(whole, []) == whole


def test_without_a_loss_nothing_is_known() -> None:
    assert math.isnan(Score().mean)
    assert math.isnan(Score().newest)


def test_after_a_change_the_newest_tells_it_long_before_the_mean_does() -> None:
    found = prequential.after(Score(), [0.0] * 5_000 + [1.0] * 300)
    assert found.mean < 0.06
    assert found.newest > 0.75
