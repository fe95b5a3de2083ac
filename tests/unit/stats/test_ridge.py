from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from mainstay.stats.ridge import PENALTY, held_out_classes


def made(rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, rows)
    x = np.column_stack([rng.standard_normal((rows, 6)) + 2 * np.eye(3)[truth].repeat(2, axis=1), np.ones(rows)])
    return x, truth, rng.integers(0, 5, rows)


def test_scores_are_those_of_ridge_regression_on_the_other_folds() -> None:
    x, truth, fold = made()
    p = held_out_classes(csr_matrix(x), truth, 3, fold)
    scores = np.zeros((len(x), 3))
    for number in range(5):
        inside, held = fold != number, fold == number
        scores[held] = (
            Ridge(alpha=PENALTY, fit_intercept=False).fit(x[inside], np.eye(3)[truth[inside]]).predict(x[held])
        )
    assert (p.argmax(axis=1) == scores.argmax(axis=1)).all()
    logs = np.log(p)
    ratio = (logs[:, 0] - logs[:, 1]) / (scores[:, 0] - scores[:, 1])
    assert np.quantile(np.abs(ratio / np.median(ratio) - 1), 0.98) < 0.02


def test_probabilities_are_calibrated_enough_to_count_errors() -> None:
    """2,000 rows: the expected share of right answers lies within 5 standard errors of the share there is."""
    x, truth, fold = made(2000)
    p = held_out_classes(csr_matrix(x), truth, 3, fold)
    assert p.sum(axis=1) == pytest.approx(1.0)
    right = (p.argmax(axis=1) == truth).mean()
    assert abs(p.max(axis=1).mean() - right) < 0.06
    assert right > 0.9
