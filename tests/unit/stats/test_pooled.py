"""Two samples in one order: with the rows' places or with their halves, what is read off is the same."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats import two_sample
from mainstay.stats.differences import mean_difference, moments_difference
from mainstay.stats.pooled import pool, pool_halves, tags_of


def drawn(rng: np.random.Generator, law: str, rows: int, moved: float) -> np.ndarray:
    if law == "whole numbers":
        return np.asarray(rng.poisson(3.0 + moved, rows), dtype=np.float64)
    if law == "signs and nought":
        return np.asarray(rng.choice([-1.5, -0.0, 0.0, 2.25], rows), dtype=np.float64)
    return np.asarray(rng.normal(moved, 1.0, rows) * (1e60 if law == "huge" else 1.0), dtype=np.float64)


@pytest.mark.parametrize("law", ["normal", "whole numbers", "signs and nought", "huge"])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 40), (300, 170)])
def test_halves_that_travel_in_the_numbers_change_nothing(law: str, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    a, b = drawn(rng, law, sizes[0], 0.0), drawn(rng, law, sizes[1], 0.4)
    halves = (rng.random(len(a)) < 0.5, rng.random(len(b)) < 0.5)
    by_place, by_bits = pool(a, b), pool_halves(a, b, tags_of(halves))
    assert by_bits.a == pytest.approx(np.sort(a), rel=1e-15)
    assert by_bits.b == pytest.approx(np.sort(b), rel=1e-15)
    expected, found = two_sample.distances_of(by_place), two_sample.distances_of(by_bits)
    assert found.ks == expected.ks
    assert found.at == pytest.approx(expected.at, rel=1e-15)
    assert found.wasserstein == pytest.approx(expected.wasserstein)
    assert two_sample.same_law_p_of(by_bits) == pytest.approx(two_sample.same_law_p_of(by_place))
    then, now = (mean_difference(*two_sample.potentials(pooled)) for pooled in (by_place, by_bits))
    assert (now.value, now.se) == pytest.approx((then.value, then.se), rel=1e-9, nan_ok=True)
    summed = moments_difference(*two_sample.potential_moments(by_bits))
    assert (summed.value, summed.se, summed.df) == pytest.approx((then.value, then.se, then.df), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("law", ["normal", "whole numbers"])
def test_rows_across_a_cut_are_those_counted_one_by_one(law: str) -> None:
    rng = np.random.default_rng(4)
    a, b = drawn(rng, law, 90, 0.0), drawn(rng, law, 120, 0.5)
    halves = (rng.random(len(a)) < 0.5, rng.random(len(b)) < 0.5)
    hits = [0, 0]
    for half in (True, False):
        own, other = (
            [side[kept == half] for side, kept in zip((a, b), halves, strict=True)] for half in (half, not half)
        )
        cut = two_sample.distances(own[0], own[1]).at
        below = np.mean(own[1] <= cut) >= np.mean(own[0] <= cut)
        for side in (0, 1):
            hits[side] += int(np.sum((other[side] <= cut) == below))
    assert two_sample.crossed(pool_halves(a, b, tags_of(halves))) == ((hits[0], 90), (hits[1], 120))


def test_a_half_without_rows_of_a_sample_gives_no_cut() -> None:
    one = np.array([True])
    assert two_sample.crossed(pool_halves(np.array([1.0]), np.array([2.0]), tags_of((one, one)))) is None


def test_what_was_not_kept_is_not_made_up() -> None:
    a, b = np.arange(4.0), np.arange(5.0)
    half = (np.zeros(4, dtype=np.bool_), np.ones(5, dtype=np.bool_))
    with pytest.raises(ValueError, match="places of the rows"):
        pool_halves(a, b, tags_of(half)).where(np.ones(9, dtype=np.bool_))
    with pytest.raises(ValueError, match="halves"):
        two_sample.crossed(pool(a, b))
    with pytest.raises(ValueError, match="places of the rows"):
        two_sample.same_law_p_of(pool_halves(a, b, tags_of(half)), keys=(np.arange(4), np.arange(5)))
