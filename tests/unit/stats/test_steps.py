"""A number that went beyond its reference step by step is told from one that jumped there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mainstay.stats.evidence import keeps
from mainstay.stats.steps import largest_step, longest_run, reached_by_steps


def since(values: np.ndarray, *, block: int = 1) -> np.ndarray:
    """Return the columns since each candidate start that is still kept, as the watch has them."""
    blocks = [values[i : i + block] for i in range(0, len(values), block)]
    columns = np.zeros((len(blocks), 9))
    columns[:, 0], columns[:, 7] = [len(one) for one in blocks], [one.sum() for one in blocks]
    every = np.cumsum(columns[::-1], axis=0)[::-1]
    return every[[i for i in range(len(blocks)) if keeps(i + 1, len(blocks))]]


def held(seed: int, rows: int = 2_000) -> tuple[np.ndarray, tuple[float, float]]:
    reference = np.random.default_rng(seed).normal(50.0, 10.0, rows)
    return reference, (float(reference.min()), float(reference.max()))


@pytest.mark.parametrize("block", [1, 4])
def test_a_price_that_rises_beyond_its_reference_came_there_by_steps(block: int) -> None:
    rng = np.random.default_rng(1)
    price = 100.0 * np.exp(np.cumsum(rng.normal(0.002, 0.01, 900)))
    reference, traffic = price[:300], price[300:]
    ends = (float(reference.min()), float(reference.max()))

    came = reached_by_steps(since(traffic, block=block), ends, step=largest_step(reference))

    assert traffic[-1] > 1.3 * ends[1]
    assert came is not None
    assert came[1] > 1.2 * ends[1]


def test_a_unit_that_was_changed_is_a_jump_whatever_came_before_and_wherever_in_a_block_it_began() -> None:
    told = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        reference, ends = held(seed)
        quiet, factor = int(rng.integers(0, 200)), float(rng.choice([2.2046, 10.0, 100.0]))
        traffic = rng.normal(50.0, 10.0, quiet + 60)
        traffic[quiet:] *= factor
        came = reached_by_steps(since(traffic, block=int(rng.integers(1, 9))), ends, step=largest_step(reference))
        told.append(came is not None)

    # Fixed seeds: the ways of 60 draws that jump.
    assert not any(told)


def test_a_jump_of_a_price_is_a_jump() -> None:
    rng = np.random.default_rng(3)
    price = 100.0 * np.exp(np.cumsum(rng.normal(0.001, 0.01, 600)))
    ends, step = (float(price[:300].min()), float(price[:300].max())), largest_step(price[:300])
    traffic = price[300:].copy()
    traffic[250:] *= 10.0

    assert reached_by_steps(since(traffic), ends, step=step) is None


def test_where_it_had_come_by_steps_before_it_may_go_on_from_there_and_may_not_jump() -> None:
    ends = (0.0, 12.0)
    on = np.linspace(12.1, 13.0, 9)

    assert reached_by_steps(since(on), ends, known=True) == (0.0, pytest.approx(on[-3:].mean()))
    assert reached_by_steps(since(on * 3.0), ends, known=True) is None


def test_within_its_ends_nothing_is_beyond_and_of_nothing_nothing_is_said() -> None:
    assert reached_by_steps(since(np.linspace(1.0, 9.0, 30)), (0.0, 10.0)) is None
    assert reached_by_steps(np.zeros((0, 9)), (0.0, 10.0)) is None
    assert reached_by_steps(since(np.array([99.0])), (0.0, 10.0), step=100.0) is None, "one unit is no part"


def test_the_longest_stay_and_the_largest_step_are_those_of_a_walk_by_hand() -> None:
    rng = np.random.default_rng(5)
    x = np.round(np.cumsum(rng.normal(0.0, 0.4, 400)))
    runs, length = [], 1
    for one, two in itertools.pairwise(x):
        length = length + 1 if one == two else 1
        runs.append(length)
    parts = [float(x[i : i + 3].mean()) for i in range(0, 399, 3)]
    steps = [abs(parts[i + lag] - parts[i]) for lag in (1, 2) for i in range(len(parts) - lag)]

    assert longest_run(x) == max(runs)
    assert largest_step(x) == pytest.approx(max(steps))
    assert longest_run(np.zeros(0)) == 0
    assert longest_run(np.ones(4)) == 4
    assert largest_step(np.ones(2)) == 0.0
