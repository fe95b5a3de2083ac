from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from mainstay.release.units import RESTART_EVERY, key_groups, log_harm, unit_values
from mainstay.stats.sequential import bounded_mean_above


def test_each_key_of_one_row_is_one_unit() -> None:
    assert unit_values([1.0, 0.0, 0.5], ["a", "b", "c"]).tolist() == [1.0, 0.0, 0.5]


def test_a_loud_key_counts_by_the_logarithm_of_its_rows() -> None:
    assert len(key_groups(["loud"] * 1000)) == 9
    assert len(key_groups(["loud"] * 1023)) == 10


def test_groups_of_a_key_double_and_share_no_row() -> None:
    groups = key_groups(["k"] * 15)
    assert [len(rows) for rows in groups] == [1, 2, 4, 8]
    assert sorted(np.concatenate(groups).tolist()) == list(range(15))


def test_a_complete_unit_never_changes_as_rows_come() -> None:
    rng = np.random.default_rng(5)
    keys = rng.integers(0, 30, 200).tolist()
    values = rng.uniform(-1, 1, 200).tolist()
    before: list[float] = []
    for n in range(1, 201):
        now = unit_values(values[:n], keys[:n]).tolist()
        assert now[: len(before)] == before
        before = now


def test_without_keys_each_row_is_a_unit() -> None:
    assert unit_values([1.0, 0.0], None).tolist() == [1.0, 0.0]


def test_harm_is_the_weighted_sum_over_starts() -> None:
    values = np.random.default_rng(1).uniform(-1, 1, 120)
    expected = logsumexp(
        [bounded_mean_above(values[j * RESTART_EVERY :], 0.05) - np.log((j + 1) * (j + 2)) for j in range(3)]
    )
    assert np.isclose(log_harm(values, lambda x: bounded_mean_above(x, 0.05))[0], expected)


def test_weights_of_all_starts_sum_to_at_most_one() -> None:
    assert sum(1 / ((j + 1) * (j + 2)) for j in range(100_000)) < 1.0


def test_no_value_is_no_evidence() -> None:
    assert log_harm(np.zeros(0), lambda x: bounded_mean_above(x, 0.05))[0] <= 0.0


def test_harm_that_began_late_is_dated_near_its_start() -> None:
    values = np.concatenate([np.zeros(400), np.ones(60)])
    log_e, start = log_harm(values, lambda x: bounded_mean_above(x, 0.05))
    assert log_e > np.log(500)
    assert start == 400
