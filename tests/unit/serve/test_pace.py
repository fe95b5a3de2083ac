"""How many rows may wait follows from what a row cost lately."""

from __future__ import annotations

import pytest

from mainstay.serve.pace import AT_LEAST_ROWS, Pace


def made() -> Pace:
    return Pace(max_wait_s=0.05, max_rows=8192)


def test_before_anything_is_known_all_rows_may_wait() -> None:
    assert made().room == 8192


def test_so_many_rows_may_wait_as_are_done_in_the_time_allowed() -> None:
    pace = made()
    for _ in range(30):
        pace.note(500, 0.05)
    assert pace.room == pytest.approx(500, abs=2)
    for _ in range(50):
        pace.note(500, 1.5)
    assert pace.room == pytest.approx(4 * 16, abs=8)


def test_256_callers_wait_up_to_four_times_as_long_and_no_longer() -> None:
    pace = made()
    for _ in range(50):
        pace.note(256, 0.1)  # 0.39 ms a row: 128 rows in 50 ms
    assert pace.room == 256
    for _ in range(50):
        pace.note(256, 0.5)
    assert pace.room == pytest.approx(100, abs=4)


@pytest.mark.parametrize("rows", [1, 5, 31])
def test_a_small_batch_raises_nothing_as_it_bears_the_fixed_cost(rows: int) -> None:
    pace = made()
    for _ in range(30):
        pace.note(rows, 0.002)
    assert pace.room == 8192


def test_a_slow_model_is_known_from_its_first_batch() -> None:
    pace = made()
    pace.note(1, 0.1)
    assert pace.room == AT_LEAST_ROWS


def test_one_hiccup_is_forgotten_with_the_next_fast_batch() -> None:
    pace = made()
    pace.note(2, 0.2)
    assert pace.room == AT_LEAST_ROWS
    pace.note(2, 0.0004)
    assert pace.room == 256


@pytest.mark.parametrize("rows", [2, 200])
def test_one_hiccup_among_batches_of_a_crowd_turns_nobody_away(rows: int) -> None:
    pace = made()
    for _ in range(20):
        pace.note(200, 0.012)
    pace.note(rows, 0.4)
    assert pace.room >= 256
    pace.note(200, 0.012)
    pace.note(rows, 0.4)
    assert pace.room >= 256


def test_a_model_that_became_slow_is_known_after_three_batches() -> None:
    pace = made()
    for _ in range(20):
        pace.note(200, 0.012)
    for _ in range(3):
        pace.note(200, 4.0)
    assert pace.room == AT_LEAST_ROWS


def test_a_batch_of_records_alone_says_nothing() -> None:
    pace = made()
    pace.note(0, 5.0)
    assert pace.room == 8192
