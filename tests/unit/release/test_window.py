from __future__ import annotations

import pytest

from mainstay.release.window import FIRST, HALF, place


@pytest.mark.parametrize(
    ("count", "begin"), [(0, 0), (100, 0), (2 * HALF - 1, 0), (2 * HALF, HALF), (9 * HALF, 8 * HALF)]
)
def test_the_window_holds_at_least_half_of_what_it_may_and_always_the_newest(count: int, begin: int) -> None:
    assert place(count)[0] == begin
    assert count - place(count)[0] < 2 * HALF


def test_the_parts_of_all_windows_sum_to_at_most_one() -> None:
    assert FIRST < sum(place(number * HALF)[1] for number in range(1, 100_000)) <= 1.0
