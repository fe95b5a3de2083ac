"""Laws of the whole engine, by simulation with fixed seeds: the false incidents allowed, and the power claimed.

Each window's score sums are drawn from the normal law that they have in the limit. A law fails by chance with a
probability of at most 10^-6 (Poisson, binomial). The long grid, from rows and bins, is `make simulate`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import bank as banks
from mainstay.stats import evidence
from mainstay.stats.window_effects import WindowEffects

STREAMS, ROWS, BUDGET = 20, 1_000.0, 1_000.0
FALSE_FAILURE = 1e-6


class World:
    """Twenty fields of a model, its reference drawn anew."""

    def __init__(self, seed: int, *, reference: float, effect: float = 0.0, lasting: float = 0.0) -> None:
        self.rng, self.effect, self.lasting = np.random.default_rng(seed), effect, lasting
        self.own = self.rng.standard_normal((STREAMS, 4)) * effect
        one = evidence.NumericStream(weight=1.0 / STREAMS, rows=reference, variances=np.ones(4))
        self.bank = banks.make([one] * STREAMS)
        self.effects = WindowEffects.empty(self.bank, self.bank.offsets[-1])
        self.reference = np.zeros((STREAMS, 4))
        windows = max(1, round(reference / ROWS))
        for _ in range(windows):
            self.reference += self._means() / windows
        self.start()

    def start(self) -> None:
        columns = self.bank.offsets[-1]
        self.history = evidence.History(totals=np.zeros(columns), prefix=np.zeros((0, columns)), effects=self.effects)

    def _means(self) -> np.ndarray:
        fresh = self.rng.standard_normal((STREAMS, 4)) * self.effect
        self.own = self.lasting * self.own + math.sqrt(1.0 - self.lasting**2) * fresh
        return self.own + self.rng.standard_normal((STREAMS, 4)) / math.sqrt(ROWS)

    def window(self, shift: float = 0.0) -> bool:
        """Add a window, the first field shifted; return whether it is an alarm."""
        means = self._means() - self.reference
        means[0, 0] += shift
        block = np.zeros((STREAMS, 9))
        block[:, 0], block[:, 1:5] = ROWS, ROWS * means
        self.history.add(block.ravel(), 1.0)
        found = evidence.assess(self.bank, self.history, evidence.Material())
        self.effects.add(self.bank, block.ravel(), rows=ROWS, days=1 / 24)
        return found.log_evidence >= math.log(BUDGET)


@pytest.mark.parametrize(
    ("reference", "effect", "lasting"),
    [(2_000.0, 0.0, 0.0), (2_000.0, 0.03, 0.0), (10_000.0, 0.03, 0.8), (100_000.0, 0.03, 0.0)],
    ids=["independent windows", "window effects", "autocorrelated hours", "window effects, large reference"],
)
def test_quiet_traffic_raises_no_more_than_its_budget(reference: float, effect: float, lasting: float) -> None:
    alarms, windows = 0, 0
    for seed in range(6):
        world = World(seed, reference=reference, effect=effect, lasting=lasting)
        for _ in range(150):
            windows += 1
            if world.window():
                alarms += 1
                world.start()
    assert alarms <= stats.poisson.ppf(1.0 - FALSE_FAILURE, windows / BUDGET)


@pytest.mark.parametrize(
    ("reference", "quiet", "shift", "within", "least"),
    [(2_000.0, 0, 0.25, 2, 0.9), (2_000.0, 10, 0.1, 8, 0.8), (10_000.0, 0, 0.1, 8, 0.7)],
    ids=[".25 σ at once", ".1 σ after ten quiet windows", ".1 σ at once from 10,000"],
)
def test_a_change_is_found_as_soon_as_is_claimed(
    reference: float, quiet: int, shift: float, within: int, least: float
) -> None:
    """Of 40 runs at least as many find it as a chance of `least` for each gives with 1 − 10^-6."""
    found = 0
    for seed in range(40):
        world = World(seed, reference=reference)
        for _ in range(quiet):
            if world.window():
                world.start()
        found += any(world.window(shift) for _ in range(within))
    assert found >= stats.binom.ppf(FALSE_FAILURE, 40, least)


def test_window_effects_that_nobody_allows_for_would_cry_wolf() -> None:
    """The same traffic without the allowance: what it is worth."""
    alarms = 0
    for seed in range(3):
        world = World(seed, reference=100_000.0, effect=0.03)
        world.history.effects = None
        for _ in range(100):
            if world.window():
                alarms += 1
                world.start()
                world.history.effects = None
    assert alarms >= 5
