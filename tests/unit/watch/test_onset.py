"""Since when: the interval holds the true start as often as it says, by simulation."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from mainstay.testing.changes import START, found_change
from mainstay.watch import onset
from mainstay.watch.onset import Onset

RUNS = 120
STATED = 0.95
FALSE_FAILURE = 1e-6


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_the_interval_holds_the_true_start_as_often_as_it_says(shift: float) -> None:
    rng = np.random.default_rng(7)
    found = [one for one in (found_change(rng, shift=shift, columns=4) for _ in range(RUNS)) if one is not None]
    assert len(found) > 0.9 * RUNS
    covered = sum(one.covered for one in found)
    # Fails of a right interval with a chance of one in a million.
    assert covered >= stats.binom.ppf(FALSE_FAILURE, len(found), STATED)
    widths = [(one.onset.high - one.onset.low) / timedelta(minutes=100) for one in found]
    assert np.median(widths) <= {0.5: 4.0, 1.5: 2.0}[shift]  # blocks


def test_each_candidate_stands_for_the_time_since_the_one_before() -> None:
    times = [START, START + timedelta(days=1), START + timedelta(days=5)]
    assert np.exp(onset.log_prior(times, np.log(2.0))) == pytest.approx([2.0, 1.0, 4.0])


def test_an_onset_survives_the_store() -> None:
    at = START + timedelta(hours=1)
    told = Onset(at=at, low=START, high=at + timedelta(minutes=5), from_the_beginning=True)
    assert Onset.from_dict(told.as_dict()) == told
