"""What is told from where rows and ties lie is what is seen row by row: against SciPy, and counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import two_sample
from mainstay.stats.pooled import pool, pool_halves, tags_of

LAWS = ["normal", "two digits", "few values", "one far away", "far from nought"]


def drawn(rng: np.random.Generator, law: str, rows: int, moved: float) -> np.ndarray:
    x = rng.normal(moved, 1.0, rows)
    if law == "two digits":
        return np.round(x, 2)
    if law == "few values":
        return np.floor(x)
    if law == "far from nought":
        return x + 1e9
    if law == "one far away":
        x[0] = -1e7
    return x


def whole_arrays(values: np.ndarray, from_b: np.ndarray, counted: np.ndarray) -> tuple[int, float]:
    """Return the place and the signed size of the largest gap between the laws of the counted rows."""
    n_a, n_b = int((counted & ~from_b).sum()), int((counted & from_b).sum())
    excess = np.cumsum(np.where(from_b, -n_a, n_b) * counted)[:-1]
    place = int(np.argmax(np.abs(excess) * (np.diff(values) > 0)))
    return place, float(excess[place])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sizes", [(3, 5), (8_192, 1), (1, 40), (11_000, 9_001), (20_000, 20_000)])
def test_what_the_order_tells_is_what_all_rows_tell(law: str, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    a, b = drawn(rng, law, sizes[0], 0.0), drawn(rng, law, sizes[1], 0.1)
    halves = (rng.random(len(a)) < 0.5, rng.random(len(b)) < 0.5)
    pooled = pool_halves(a, b, tags_of(halves))
    assert pooled.half is not None
    found = two_sample.distances_of(pooled)
    assert found.ks == pytest.approx(stats.ks_2samp(a, b).statistic, rel=1e-12)
    # At 1e9 a float's own step is 1e-7, and the lowest two bits of a value carry its side and half.
    near = 1e-5 if law == "far from nought" else 1e-9
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(a, b), rel=near)
    seen = pooled.look
    assert seen.peak == whole_arrays(pooled.values, pooled.from_b, np.ones(len(pooled.values), np.bool_))[0]
    by_half = tuple(whole_arrays(pooled.values, pooled.from_b, half) for half in (pooled.half, ~pooled.half))
    assert seen.half_peaks in (by_half, ())
    assert bool(seen.half_peaks) or min(sizes) < 10
    of_a, of_b = two_sample.potentials(pool(a, b))
    for side, (rows, _, variance) in zip((of_a, of_b), seen.potential, strict=True):
        assert rows == len(side)
        assert variance == pytest.approx(float(side.var(ddof=1)) if rows > 1 else np.inf, rel=max(near, 1e-6))
    assert seen.potential[0][1] - seen.potential[1][1] == pytest.approx(float(of_a.mean() - of_b.mean()), rel=near)


def test_rows_that_take_turns_are_as_well_told() -> None:
    a, b = np.arange(0.0, 60.0, 2.0), np.arange(1.0, 61.0, 2.0)
    found = two_sample.distances_of(pool_halves(a, b, tags_of((a < 30, b < 30))))
    assert (found.ks, found.wasserstein) == (pytest.approx(1 / 30), pytest.approx(1.0))


def test_one_value_on_both_sides_is_nowhere_apart() -> None:
    seen = pool_halves(np.ones(4), np.ones(6), tags_of((np.arange(4) < 2, np.arange(6) < 3))).look
    assert (seen.size, seen.area, seen.potential[0][1:], seen.half_peaks) == (
        0.0,
        0.0,
        (0.0, 0.0),
        ((9, 0.0), (9, 0.0)),
    )


@pytest.mark.parametrize("law", LAWS)
def test_sums_of_ranks_give_the_tests_over_mid_ranks(law: str) -> None:
    rng = np.random.default_rng(8)
    a, b = drawn(rng, law, 700, 0.0), drawn(rng, law, 900, 0.1)
    n, n_b = 1600, 900
    u = (stats.rankdata(np.concatenate((a, b))) - 0.5) / n
    for score, found in zip(
        (np.sqrt(3) * (2 * u - 1), np.sqrt(5) * (6 * u * u - 6 * u + 1)),
        two_sample._permutation_ps(pool(a, b)),
        strict=True,
    ):
        spread = score.var(ddof=1) * (1 / 700 + 1 / n_b)
        z = (score[700:].mean() - score[:700].mean()) / np.sqrt(spread)
        assert found == pytest.approx(float(2 * stats.norm.sf(abs(z))), rel=1e-9)
