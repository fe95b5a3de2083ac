"""The discriminant: its scores are orthonormal, its weights solve what the docstring says, it sees pairs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mainstay.stats import discriminant, ranking


def test_scores_have_mean_nought_and_variance_one_and_gaps_a_column() -> None:
    rng = np.random.default_rng(0)
    number = rng.lognormal(size=400)
    number[:50] = np.nan
    codes = rng.integers(0, 3, 400).astype(float)
    found = discriminant.scores_of([number, codes, np.ones(400)], coded=[False, True, False])
    assert found.owner.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert found.table.mean(axis=0) == pytest.approx(np.zeros(7), abs=1e-12)
    assert (found.table**2).mean(axis=0) == pytest.approx(np.ones(7))
    assert found.leads.tolist() == [0, 4, 5, 6]


def test_place_spread_and_skew_do_not_overlap() -> None:
    found = discriminant.scores_of([np.random.default_rng(1).normal(size=2000)], coded=[False])
    assert found.table.T @ found.table / 2000 == pytest.approx(np.eye(3), abs=0.01)


def test_products_are_of_different_fields_only() -> None:
    rng = np.random.default_rng(2)
    found = discriminant.scores_of([rng.normal(size=50), rng.integers(0, 3, 50).astype(float)], coded=[False, True])
    assert discriminant.with_pairs(found, found.table).shape[1] == found.table.shape[1] + 3


def test_the_weights_are_those_of_a_ridge_regression_on_the_group() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(300, 5))
    label = rng.random(300) < 0.3
    weight = np.where(label, 0.5 / label.mean(), 0.5 / (1 - label.mean())) / 300
    model = Ridge(alpha=max(0.01, 5 / 300)).fit(table, np.where(label, 1.0, -1.0), sample_weight=weight)
    assert discriminant.fit(table, label) == pytest.approx(model.coef_)


def test_it_sees_a_correlation_that_no_single_column_shows() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4000, 2))
    label = np.arange(4000) >= 2000
    x[label, 1] = 0.7 * x[label, 0] + np.sqrt(1 - 0.49) * x[label, 1]
    scores = discriminant.scores_of([x[:, 0], x[:, 1]], coded=[False, False])
    learn = np.arange(4000) % 2 == 0
    rows = discriminant.with_pairs(scores, scores.table)
    told = rows[~learn] @ discriminant.fit(rows[learn], label[learn])
    alone = scores.table[~learn] @ discriminant.fit(scores.table[learn], label[learn])
    assert ranking.area(told[~label[~learn]], told[label[~learn]]).value > 0.65
    assert ranking.area(alone[~label[~learn]], alone[label[~learn]]).value < 0.55


def test_lots_of_rows_put_together_give_the_rule_of_all_rows() -> None:
    rng = np.random.default_rng(5)
    table, label = rng.normal(size=(300, 6)), rng.random(300) < 0.4
    table[label] += 0.3
    lots = [[discriminant.moments(table[label == side][part::3]) for part in range(3)] for side in (False, True)]
    assert discriminant.fit_of(*lots) == pytest.approx(discriminant.fit(table, label))
    weight = np.where(label, 0.5 / label.mean(), 0.5 / (1 - label.mean())) / len(table)
    centred = table - weight @ table
    gram = (centred * weight[:, None]).T @ centred + max(discriminant.LEAST_SHRINKAGE, 6 / 300) * np.eye(6)
    right = centred.T @ (weight * np.where(label, 1.0, -1.0))
    assert discriminant.fit(table, label) == pytest.approx(np.linalg.solve(gram, right))
