"""Few labels and all predictions: right on the average, at its level, and never worse than labels alone by much."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats import ppi


def simulate(
    rng: np.random.Generator, labels: int, *, drift: float, per_key: int = 1
) -> tuple[ppi.Powered, float, float]:
    """Traffic of 5,000 rows with calibrated confidences, then a truth that is worse by `drift`; labels at random."""
    keys_all = 5000 // per_key
    base = rng.beta(6, 1, keys_all)
    truth_p = np.clip(base - drift, 0.0, 1.0)
    pick = rng.choice(keys_all, labels // per_key, replace=False)
    f = np.repeat(base[pick], per_key)
    own = rng.random(len(pick)) < truth_p[pick]
    # Half of a key's rows go with the key.
    y = np.where(
        rng.random(len(f)) < 0.5, np.repeat(own, per_key), rng.random(len(f)) < np.repeat(truth_p[pick], per_key)
    )
    found = ppi.mean(
        y.astype(float), f, np.repeat(np.arange(len(pick)), per_key), of_all=base.mean(),
        variance_of_all=base.var() / keys_all, share=True,
    )  # fmt: skip
    assert found is not None
    return found, float(truth_p.mean()), float(base.mean())


@pytest.mark.parametrize(("labels", "drift", "per_key"), [(20, 0.0, 1), (50, 0.15, 1), (200, 0.15, 5), (100, 0.0, 5)])
def test_the_interval_covers_at_its_level(labels: int, drift: float, per_key: int) -> None:
    rng = np.random.default_rng(labels + per_key)
    hits = 0
    for _ in range(400):
        found, truth, _ = simulate(rng, labels, drift=drift, per_key=per_key)
        hits += found.low <= truth <= found.high
    assert hits >= 353  # P < 1e-6 at a coverage of 0.945


def test_predictions_narrow_the_interval_and_wrong_ones_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    n, keys = 100, np.arange(100)
    all_f = rng.beta(2, 2, 20_000)
    f = rng.choice(all_f, n)
    y = (rng.random(n) < np.where(f > 0.5, 0.95, 0.05)).astype(float)
    known = {"of_all": float(all_f.mean()), "variance_of_all": float(all_f.var() / 20_000), "share": True}
    powered, alone = ppi.mean(y, f, keys, **known), ppi.labels_alone(y, keys, share=True)
    assert powered is not None
    assert alone is not None
    assert powered.high - powered.low < 0.8 * (alone.high - alone.low)
    noise = ppi.mean(y, rng.permutation(f), keys, **known)
    assert noise is not None
    assert noise.high - noise.low < 1.1 * (alone.high - alone.low)
    assert noise.power < 0.4


def test_few_labels_that_are_all_right_leave_doubt() -> None:
    found = ppi.mean(np.ones(10), np.full(10, 0.95), np.arange(10), of_all=0.95, variance_of_all=0.0, share=True)
    assert found is not None
    assert found.value == 1.0
    assert found.low < 0.8


def test_power_tuning_follows_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    f = rng.normal(0, 1, 20_000)
    y = 0.5 * f + rng.normal(0, 1, 20_000)
    found = ppi.mean(y, f, np.arange(20_000), of_all=0.0, variance_of_all=1.0 / 20_000, share=False)
    assert found is not None
    assert found.power == pytest.approx(0.5 / 2.0, abs=0.02)  # cov/var over 1 + n/N


def test_a_ratio_of_means_is_covered_at_its_level() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        p = rng.beta(0.7, 1.5, 4000)
        said = p > 0.5
        real = rng.random(4000) < p**1.3  # not calibrated
        truth = real[said].mean()
        pick = rng.choice(4000, 250, replace=False)
        y, f = (real * said)[pick, None].astype(float), (p * said)[pick, None]
        share = said.mean()
        found = ppi.smooth(
            y, f, np.arange(250), of_all=np.array([(p * said).mean()]),
            variance_of_all=np.array([[(p * said).var() / 4000]]), value=lambda m, s=share: float(m[0] / s),
            gradient=lambda m, s=share: np.array([1.0 / s]), share=True,
        )  # fmt: skip
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits >= 262  # P < 1e-6 at a coverage of 0.945


def test_a_precision_of_few_answers_among_many_labels_is_covered_too() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        said = rng.random(4000) < 0.08
        real = rng.random(4000) < 0.93
        truth = real[said].mean()
        pick = rng.choice(4000, 200, replace=False)  # some 16 of them were answered so, and often all are right
        p = np.full(4000, 0.93)
        y, f = (real * said)[pick, None].astype(float), (p * said)[pick, None]
        share = said.mean()
        held = float(said[pick].mean())
        found = ppi.smooth(
            y, f, np.arange(200), of_all=np.array([(p * said).mean()]),
            variance_of_all=np.array([[(p * said).var() / 4000]]), value=lambda m, s=share: float(m[0] / s),
            gradient=lambda m, s=share: np.array([1.0 / s]), share=True, rests_on=held,
        )  # fmt: skip
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits >= 353  # P < 1e-6 at a coverage of 0.945


def test_too_few_keys_give_nothing() -> None:
    assert ppi.labels_alone(np.ones(40), np.repeat(np.arange(4), 10), share=True) is None
