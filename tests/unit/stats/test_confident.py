from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats.confident import confident


def by_hand(given: list[int], p: list[list[float]]) -> tuple[float, set[int]]:
    """Northcutt, Jiang, Chuang (2021), word by word."""
    k = len(p[0])
    threshold = {}
    for j in range(k):
        mine = [p[x][j] for x in range(len(given)) if given[x] == j]
        if mine:
            threshold[j] = sum(mine) / len(mine)
    c = [[0] * k for _ in range(k)]
    off = set()
    for x, label in enumerate(given):
        reached = [j for j in threshold if p[x][j] >= threshold[j]]
        if reached:
            latent = max(reached, key=lambda j: p[x][j])
            c[label][latent] += 1
            if latent != label:
                off.add(x)
    q = [[0.0] * k for _ in range(k)]
    for i in range(k):
        if sum(c[i]):
            for j in range(k):
                q[i][j] = c[i][j] / sum(c[i]) * sum(label == i for label in given)
    total = sum(map(sum, q))
    return 1 - sum(q[i][i] for i in range(k)) / total, off


def noisy(rng: np.random.Generator, rows: int, classes: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return given labels, true labels, probabilities of a model that is right and sure of most rows."""
    truth = rng.integers(0, classes, rows)
    given = truth.copy()
    flipped = rng.random(rows) < share
    given[flipped] = (truth[flipped] + rng.integers(1, classes, int(flipped.sum()))) % classes
    raw = rng.dirichlet(np.ones(classes), rows) * 0.3
    raw[np.arange(rows), truth] += 0.7
    return given, truth, raw


def test_it_does_what_the_paper_says_row_by_row() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 5):
        given, _, p = noisy(rng, 120, classes, 0.15)
        p = p**2 / (p**2).sum(axis=1, keepdims=True)
        found = confident(given, p)
        share, off = by_hand(given.tolist(), p.tolist())
        assert found.share == pytest.approx(share)
        assert set(found.suspects.tolist()) == off
        assert found.joint.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_share_of_wrong_labels_is_found_where_the_model_is_good(share: float) -> None:
    """4,000 rows: the share drawn lies within 5 standard errors with probability 1 - 1e-6."""
    given, truth, p = noisy(np.random.default_rng(1), 4000, 4, share)
    found = confident(given, p)
    real = float((given != truth).mean())
    assert abs(found.share - real) < 0.01
    assert found.low <= real + 0.003
    assert real - 0.003 <= found.high
    wrong = np.flatnonzero(given != truth)
    told = np.isin(found.suspects, wrong)
    assert told.all()
    assert told.sum() >= 0.5 * len(wrong)  # rows that reach no threshold are not counted
    assert (found.suggested == truth[found.suspects]).all()


def test_the_least_believable_label_comes_first() -> None:
    given = np.array([0, 0, 0, 1, 1, 1])
    p = np.array([[0.9, 0.1], [0.12, 0.88], [0.02, 0.98], [0.25, 0.75], [0.1, 0.9], [0.1, 0.9]])
    assert confident(given, p).suspects.tolist() == [2, 1]


def test_rows_without_an_answer_and_classes_without_rows_count_nothing() -> None:
    given = np.array([0, 0, 1, 1])
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [np.nan, np.nan, np.nan]])
    found = confident(given, p)
    assert found.joint.shape == (3, 3)
    assert found.share == 0.0
    nothing = confident(given, np.full((4, 2), np.nan))
    assert np.isnan(nothing.share)
    assert (nothing.low, nothing.high) == (0.0, 1.0)
