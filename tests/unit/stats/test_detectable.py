"""What could be seen now: more traffic, more reference and a larger budget show smaller changes, up to a limit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mainstay.stats import bank as banks
from mainstay.stats import detectable, evidence
from mainstay.stats.scores import score_variances

SIGHT = detectable.Sight(
    reference=2_000.0, weight=0.05, log_bar=math.log(1_000.0), units_per_day=1_000.0, block_days=1.0
)


def test_a_small_reference_sets_a_limit_that_no_traffic_passes() -> None:
    assert detectable.smallest(SIGHT, 1e15) > 0.1
    assert math.isinf(detectable.units_to_see(SIGHT, 0.1))
    assert detectable.smallest(replace(SIGHT, reference=1e6), 1e15) < 0.01


def test_the_units_that_are_needed_are_those_that_suffice() -> None:
    for shift in (0.2, 0.5, 2.0):
        units = detectable.units_to_see(SIGHT, shift)
        assert detectable.smallest(SIGHT, units) == pytest.approx(shift, rel=1e-6)
        assert detectable.days_to_see(SIGHT, shift) == pytest.approx(units / 1_000.0)


def test_low_traffic_takes_days_and_none_takes_for_ever() -> None:
    slow = replace(SIGHT, units_per_day=10.0)
    assert detectable.days_to_see(slow, 0.5) == pytest.approx(100 * detectable.days_to_see(SIGHT, 0.5), rel=0.2)
    assert math.isinf(detectable.days_to_see(replace(SIGHT, units_per_day=0.0), 5.0))


def test_window_effects_and_returning_keys_hide_changes() -> None:
    assert detectable.smallest(replace(SIGHT, effect=4.0), 500) > detectable.smallest(SIGHT, 500)
    assert detectable.smallest(replace(SIGHT, window_variance=0.01), 500) > detectable.smallest(SIGHT, 500)


def test_a_share_moves_by_its_own_spread() -> None:
    half, rare = (detectable.smallest_share(SIGHT, 500, share=p) for p in (0.5, 0.01))
    assert half == pytest.approx(0.5 * detectable.smallest(SIGHT, 500))
    assert rare < half
    assert detectable.smallest_share(SIGHT, 1, share=0.5) <= 1.0


def test_what_is_said_to_be_seen_in_time_is_found_in_about_half_of_the_runs() -> None:
    """By the engine itself: one of 20 streams shifts by what so many windows should just show (40 runs; 12 to 36)."""
    counts = [10] * 200
    streams = [evidence.NumericStream(weight=0.05, rows=2_000.0, variances=score_variances(counts)) for _ in range(20)]
    bank = banks.make(streams)
    windows, found = 3, 0
    shift = detectable.smallest(SIGHT, windows * 1_000.0)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        reference = rng.standard_normal((20, 4)) / math.sqrt(2_000.0)  # the reference's own error
        history = evidence.History(totals=np.zeros(180), prefix=np.zeros((0, 180)))
        for _ in range(windows):
            block = np.zeros((20, 9))
            block[:, 0] = 1_000.0
            block[:, 1:5] = 1_000.0 * (rng.standard_normal((20, 4)) / math.sqrt(1_000.0) - reference)
            block[0, 1] += 1_000.0 * shift
            history.add(block.ravel(), 1.0)
        found += evidence.assess(bank, history, evidence.Material()).log_evidence >= math.log(1_000.0)
    assert 12 <= found <= 36
