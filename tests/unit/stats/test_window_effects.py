"""How much windows vary by themselves: found, and not mistaken for a change, nor a change for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mainstay.stats import bank as banks
from mainstay.stats import window_effects
from mainstay.stats.window_effects import WindowEffects

ROWS = 1_000.0


def made(streams: int = 20) -> banks.Bank:
    return banks.make(
        [banks.NumericStream(weight=1.0 / streams, rows=1e5, variances=np.ones(4)) for _ in range(streams)]
    )


def fed(
    rng: np.random.Generator,
    windows: int,
    *,
    sd: float = 0.0,
    lasting: float = 0.0,
    step: float = 0.0,
    streams: int = 20,
) -> tuple[banks.Bank, WindowEffects]:
    """Return what so many windows of 1,000 rows tell; the first stream steps by `step` in the middle."""
    bank = made(streams)
    effects = WindowEffects.empty(bank, bank.offsets[-1])
    own = rng.standard_normal((streams, 4)) * sd
    for window in range(windows):
        own = lasting * own + np.sqrt(1 - lasting**2) * rng.standard_normal((streams, 4)) * sd
        mean = own + rng.standard_normal((streams, 4)) / np.sqrt(ROWS)
        if window >= windows // 2:
            mean[0, 0] += step
        block = np.zeros((streams, banks.NUMERIC_COLUMNS))
        block[:, 0], block[:, 1:5] = ROWS, ROWS * mean
        effects.add(bank, block.ravel(), rows=ROWS, days=1 / 24)
    return bank, effects


def test_independent_rows_have_no_window_effects_to_speak_of() -> None:
    bank, effects = fed(np.random.default_rng(1), 200)
    found = effects.variance(bank, np.array([1.0, 8.0, 64.0]))
    assert found.mean(axis=1).max() < 1.0 / ROWS
    assert found[:, 0].mean() < 0.25 / ROWS


def test_independent_window_effects_are_found_and_average_out() -> None:
    bank, effects = fed(np.random.default_rng(2), 400, sd=0.03)
    found = effects.variance(bank, np.array([1.0, 4.0, 16.0])).mean(axis=0)
    assert found[0] == pytest.approx(0.03**2, rel=0.25)
    assert found[1] == pytest.approx(0.03**2 / 4, rel=0.5)
    assert found[2] < 0.03**2 / 6


def test_window_effects_that_last_average_out_as_slowly_as_they_do() -> None:
    """AR(1) with φ = .8: the mean of 16 windows has the variance σ²/16 · (1+φ)/(1−φ) less a little: .41 σ²."""
    phi, m = 0.8, 16
    truth = 0.03**2 * (1 + 2 * sum((1 - k / m) * phi**k for k in range(1, m))) / m
    found = []
    for seed in range(5):
        bank, effects = fed(np.random.default_rng(seed), 500, sd=0.03, lasting=phi)
        found.append(effects.variance(bank, np.array([float(m)])).mean())
    assert np.mean(found) == pytest.approx(truth, rel=0.35)


def test_ten_windows_of_twenty_streams_tell_it() -> None:
    found = []
    for seed in range(10):
        bank, effects = fed(np.random.default_rng(seed), 10, sd=0.03)
        found.append(effects.variance(bank, np.array([1.0])).mean())
    assert np.mean(found) == pytest.approx(0.03**2, rel=0.6)
    assert min(found) > 0.4 * 0.03**2


def test_a_step_does_not_pass_for_window_effects() -> None:
    bank, quiet = fed(np.random.default_rng(3), 32)
    _, stepped = fed(np.random.default_rng(3), 32, step=1.0)
    ages = np.array([1.0, 2.0, 4.0])
    assert (stepped.variance(bank, ages)[0] < quiet.variance(bank, ages)[0] + 0.05**2).all()


def test_nothing_is_known_before_two_windows() -> None:
    bank, effects = fed(np.random.default_rng(4), 1)
    assert not effects.variance(bank, np.array([1.0, 100.0])).any()


def test_what_windows_tell_survives_json() -> None:
    bank, effects = fed(np.random.default_rng(5), 21, sd=0.03)
    again = WindowEffects.from_dict(json.loads(json.dumps(effects.as_dict())), bank.offsets[-1])
    ages = np.array([1.0, 5.0])
    assert again.variance(bank, ages).tolist() == effects.variance(bank, ages).tolist()
    assert again.as_dict() == effects.as_dict()


def test_a_mix_of_categories_tells_its_window_effects_too() -> None:
    rng = np.random.default_rng(6)
    base = np.array([500.0, 300.0, 200.0, 0.0])
    bank = banks.make([banks.CategoryStream(weight=1.0, base=base)])
    still, moved = WindowEffects.empty(bank, 4), WindowEffects.empty(bank, 4)
    for _ in range(300):
        still.add(bank, rng.multinomial(1_000, base / base.sum()).astype(float), rows=ROWS, days=0.1)
        share = rng.dirichlet(200.0 * base[:3] / base.sum())  # each window has a mix of its own: τ² = 1/201
        moved.add(bank, rng.multinomial(1_000, [*share, 0.0]).astype(float), rows=ROWS, days=0.1)
    one = np.ones(1)
    assert still.variance(bank, one)[0, 0] < 0.3 / ROWS
    assert moved.variance(bank, one)[0, 0] == pytest.approx(1 / 201, rel=0.3)


def test_a_reference_tells_the_effects_of_its_hours() -> None:
    rng = np.random.default_rng(7)
    hours = np.repeat(np.arange(512), 20)
    own = rng.standard_normal(512) * 0.5
    values = (own[hours] + rng.standard_normal(len(hours)))[:, None]
    found = window_effects.of_reference(hours, values, np.ones_like(values))
    pairs, precision, excess = found[0]
    assert pairs == 256
    assert excess / precision == pytest.approx(2 * 0.5**2, rel=0.35)
    assert found[3, 2] / found[3, 1] == pytest.approx(2 * 0.5**2 / 8, rel=0.7)
