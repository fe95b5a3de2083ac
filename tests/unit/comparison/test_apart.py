"""The classifier over all fields: its p-value holds its level although the folds have rows in common."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.comparison import aspects, together
from mainstay.comparison.apart import FOLDS, folds_of
from mainstay.comparison.together import Feature, tell_apart
from mainstay.comparison.units import Units
from mainstay.stats import discriminant
from mainstay.stats.intervals import wilson


def found_p(rng: np.random.Generator, rows: int, fields: int, shift: float = 0.0) -> float:
    features = {
        f"x{i}": Feature(
            a=rng.normal(size=rows), b=rng.normal(size=rows) + shift * (i == 0), coded=False, field=f"x{i}"
        )
        for i in range(fields)
    }
    found = tell_apart(features, None, rng=rng)
    assert found is not None
    return found.p


def test_of_one_population_the_p_value_is_small_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    p = np.array([found_p(rng, 120, 8) for _ in range(400)])
    assert wilson(float((p <= 0.05).sum()), len(p), confidence=0.999)[0] <= 0.05
    assert wilson(float((p <= 0.01).sum()), len(p), confidence=0.999)[0] <= 0.01
    assert (p <= 0.2).mean() > 0.08  # not merely shy


def test_a_shift_of_one_field_is_seen() -> None:
    rng = np.random.default_rng(1)
    assert np.mean([found_p(rng, 400, 8, shift=0.6) <= 0.01 for _ in range(20)]) >= 0.9


@pytest.mark.parametrize("grouped", [False, True])
def test_rows_of_one_key_are_in_one_fold_and_every_fold_holds_rows(grouped: bool) -> None:
    keys = (np.repeat(np.arange(20), 3), np.repeat(np.arange(10, 30), 3))
    a, b = folds_of(60, 60, groups=keys if grouped else None, rng=np.random.default_rng(2))
    assert set(a.tolist()) == set(b.tolist()) == set(range(FOLDS))
    if grouped:
        place = dict(zip(keys[0].tolist(), a.tolist(), strict=True))
        assert all(place[k] == f for k, f in zip(keys[0].tolist(), a.tolist(), strict=True))
        assert all(place.get(k, f) == f for k, f in zip(keys[1].tolist(), b.tolist(), strict=True))


def test_few_rows_are_not_judged() -> None:
    rng = np.random.default_rng(3)
    feature = Feature(a=rng.normal(size=300), b=rng.normal(size=20), coded=False, field="x")
    assert tell_apart({"x": feature}, None, rng=rng) is None


def test_what_a_shuffled_field_costs_is_found_without_scoring_all_columns_again() -> None:
    rng = np.random.default_rng(6)
    columns = [rng.normal(size=200), rng.integers(0, 3, 200).astype(float), rng.exponential(size=200)]
    scores = discriminant.scores_of(columns, coded=[False, True, False])
    rows = discriminant.with_pairs(scores, scores.table)
    weights = rng.normal(size=rows.shape[1])
    rule = together._Rule.of(scores, weights)
    told = rule.scores(scores.table)
    assert told == pytest.approx(rows @ weights)
    order = rng.permutation(200)
    for number in range(3):
        shuffled = scores.table.copy()
        own = np.flatnonzero(scores.owner == number)
        shuffled[:, own] = scores.table[order][:, own]
        moved = told + rule.part(number, scores.table[order], scores.table)
        moved -= rule.part(number, scores.table, scores.table)
        assert moved == pytest.approx(discriminant.with_pairs(scores, shuffled) @ weights)


def test_rows_in_categories_that_grew_are_counted_alike_by_rows_and_by_counts() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.integers(0, 5, 300), rng.integers(1, 7, 200)
    halves = (rng.random(300) < 0.5, rng.random(200) < 0.5)
    by_counts = aspects._grown(a, b, Units(keys=None, halves=halves), 7)
    by_rows = aspects._grown(a, b, Units(keys=(np.arange(300), np.arange(300, 500)), halves=halves), 7)
    assert by_counts.value == pytest.approx(by_rows.value)
    assert by_counts.value > 0.2
