"""Whether rows were seen: the gap to fold models is a ninth of that on training rows, or all of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from mainstay.core.errors import UsageError
from mainstay.stats import membership

FOLDS = 5


def fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with threadpool_limits(limits=1):
        return np.linalg.solve(x.T @ x, x.T @ y)


def gap_of(seed: int, *, n: int = 300, m: int = 200, p: int = 20, taught: float = 0.0) -> membership.Gap:
    """Fit least squares to n rows, and to a share `taught` of m others, which the fold models never see."""
    rng = np.random.default_rng(seed)
    x, other = rng.standard_normal((n, p)), rng.standard_normal((m, p))
    truth = rng.standard_normal(p)
    y, z = x @ truth + rng.standard_normal(n), other @ truth + rng.standard_normal(m)
    some = int(taught * m)
    own = fitted(np.vstack([x, other[:some]]), np.concatenate([y, z[:some]]))
    fold = rng.permutation(n) % FOLDS
    without, beside = np.zeros(n), np.zeros(m)
    for number in range(FOLDS):
        twin = fitted(x[fold != number], y[fold != number])
        held = fold == number
        without[held] = membership.squared_losses(x[held] @ twin, y[held])
        beside += membership.squared_losses(other @ twin, z) / FOLDS
    return membership.gap(
        beside - membership.squared_losses(other @ own, z),
        range(m),
        without - membership.squared_losses(x @ own, y),
        range(n),
    )


def test_of_least_squares_the_share_is_a_ninth_where_nothing_was_seen_and_about_all_where_it_was() -> None:
    honest = [gap_of(seed) for seed in range(60)]
    share = float(np.mean([g.held_out for g in honest]) / np.mean([g.seen for g in honest]))
    assert share == pytest.approx(1 / (2 * FOLDS - 1), abs=0.05)
    told = [gap_of(seed, taught=1.0) for seed in range(60)]
    assert float(np.mean([g.held_out for g in told]) / np.mean([g.seen for g in told])) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("p", [3, 20, 100])
def test_that_unseen_rows_were_seen_is_hardly_ever_said(p: int) -> None:
    """At the level 0.001, of few and many parameters; false failure of this test 10^-6."""
    runs = 60
    said = sum(gap_of(1_000 + seed, p=p).low(0.001) > 0 for seed in range(runs))
    assert said <= stats.binom.ppf(1.0 - 1e-6, runs, 0.001)


def test_that_they_were_seen_is_found_where_single_rows_leave_a_trace() -> None:
    runs = 40
    found = sum(gap_of(seed, m=400, p=100, taught=1.0).low(0.001) > 0 for seed in range(runs))
    assert found >= 0.8 * runs
    ruled_out = sum(gap_of(seed, m=400, p=100).high(0.05) < 0 for seed in range(runs))
    assert ruled_out >= runs - 2


def test_losses_are_brier_of_all_classes_and_squared_errors_of_numbers() -> None:
    output = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    expected = [(0.3**2 + 0.2**2 + 0.1**2), 1 + 1]
    assert membership.squared_losses(output, np.array([0.0, 1.0])) == pytest.approx(expected)
    assert membership.squared_losses(np.array([1.0, 4.0]), np.array([3.0, 4.0])).tolist() == [4.0, 0.0]
    with pytest.raises(UsageError):
        membership.squared_losses(output, np.zeros(3))


def test_one_key_or_no_row_says_nothing() -> None:
    alone = membership.gap([1.0, 1.0], ["a", "a"], [1.0, 2.0], ["b", "c"])
    assert alone.low(0.001) == -np.inf
    empty = membership.gap([], [], [1.0, 2.0], ["b", "c"])
    assert not empty.low(0.001) > 0
    assert not empty.high(0.05) < 0
    assert membership.gap([0.0, 0.0], [1, 2], [0.0, 0.0], [1, 2]).share is None
