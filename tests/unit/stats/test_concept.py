"""Labelled answers that are wrong more often than their confidence says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import concept, evidence


def known(rows: int = 10_000, wrong: float = 0.1) -> np.ndarray:
    return concept.reference(rows * wrong, np.array([wrong]), np.array([float(rows)]))


def test_the_columns_are_bernoulli_log_likelihood_ratios() -> None:
    rng = np.random.default_rng(0)
    p, e = rng.uniform(0.02, 0.6, 30), (rng.random(30) < 0.3).astype(float)
    for place in (0, 20, 40, 60):
        g = concept.GRID[place]
        moved = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + g)))
        expected = (stats.bernoulli.logpmf(e, moved) - stats.bernoulli.logpmf(e, p)).sum()
        assert concept.columns(e, p)[:, 2 + place].sum() == pytest.approx(expected)


def test_reference_counts_say_the_same_as_the_rows() -> None:
    rng = np.random.default_rng(1)
    levels = np.array([0.05, 0.2, 0.5])
    place = rng.integers(0, 3, 400)
    wrong = (rng.random(400) < levels[place]).astype(float)
    by_row = concept.columns(wrong, levels[place]).sum(axis=0)
    assert concept.reference(wrong.sum(), levels, np.bincount(place)) == pytest.approx(by_row)


def test_the_ratio_averages_to_one_when_nothing_changed() -> None:
    base, n = concept.reference(8.0, np.array([0.2]), np.array([40.0])), 12
    prior = np.exp(base[2:][concept.PRIOR] - base[2:].max())
    prior /= prior.sum()
    total = 0.0
    for wrong in range(n + 1):
        block = concept.columns(np.r_[np.ones(wrong), np.zeros(n - wrong)], np.full(n, 0.2)).sum(axis=0)
        moved = 1 / (1 + np.exp(-(math.log(0.25) + concept.GRID[concept.PRIOR])))
        chance = float(prior @ stats.binom.pmf(wrong, n, moved))
        ratio = concept.log_ratio(block[None, :], np.zeros((1, concept.WIDTH)), base, -1.0)
        total += chance * math.exp(float(ratio[0]))
    assert total == pytest.approx(1.0, abs=1e-6)


def test_a_rise_below_the_margin_is_no_evidence_and_one_beyond_is() -> None:
    block = concept.columns(np.r_[np.ones(120), np.zeros(880)], np.full(1000, 0.1)).sum(axis=0)[None, :]
    nothing = np.zeros((1, concept.WIDTH))
    assert concept.log_ratio(block, nothing, known(), 0.03)[0] == -math.inf
    assert concept.log_ratio(block * 1.0, nothing, known(), 0.0)[0] > -3.0
    worse = concept.columns(np.r_[np.ones(200), np.zeros(800)], np.full(1000, 0.1)).sum(axis=0)[None, :]
    assert concept.log_ratio(worse, nothing, known(), 0.03)[0] > math.log(1e6)


def test_confidence_that_tells_sure_from_unsure_is_more_telling_than_the_share_of_errors() -> None:
    rng = np.random.default_rng(2)
    p = np.where(rng.random(600) < 0.2, 0.45, 0.0125)  # 10 % wrong in all
    odds = 4.0 * p / (1 - p)
    wrong = (rng.random(600) < odds / (1 + odds)).astype(float)
    nothing = np.zeros((1, concept.WIDTH))
    told = concept.log_ratio(
        concept.columns(wrong, p).sum(axis=0)[None, :],
        nothing,
        concept.reference(1000.0, np.array([0.45, 0.0125]), np.array([2000.0, 8000.0])),
        0.03,
    )
    plain = concept.log_ratio(concept.columns(wrong, np.full(600, 0.1)).sum(axis=0)[None, :], nothing, known(), 0.03)
    assert told[0] > plain[0]


LABELS_A_DAY, BLOCK, BAR = 1000.0, 32, math.log(30.0)


def watch(errors: np.ndarray, *, wrong: float, weight: float = 1 / 23, rows: int = 10_000) -> list[int]:
    """Return after how many labels the one budget alarmed, with this stream's share of it."""
    stream = evidence.GapStream(weight=weight, margin=0.03, known=known(rows, wrong))
    history = evidence.History(totals=np.zeros(stream.width), prefix=np.zeros((0, stream.width)))
    alarms = []
    blocks = concept.columns(errors, np.full(len(errors), wrong)).reshape(-1, BLOCK, concept.WIDTH).sum(axis=1)
    for number, block in enumerate(blocks, start=1):
        history.add(block, BLOCK / LABELS_A_DAY)
        if evidence.assess([stream], history, evidence.Material()).log_evidence >= BAR:
            alarms.append(number * BLOCK)
            history = evidence.History(totals=np.zeros(stream.width), prefix=np.zeros((0, stream.width)))
    return alarms


def test_a_stationary_stream_of_labels_raises_no_more_than_its_share_of_the_budget() -> None:
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(12):
        # A fresh reference each time: its own share of errors is what is known.
        seen = rng.binomial(2000, 0.1) / 2000
        false += len(watch((rng.random(9984) < 0.1).astype(float), wrong=seen, rows=2000))
    # 120 days at 1/30 a day, of which this stream's weight is 1/23: 0.17 are expected at most; P(> 5) < 1e-7.
    assert false <= 5


def test_twice_as_many_errors_are_found_within_some_hundred_labels() -> None:
    rng = np.random.default_rng(4)
    delays = []
    for _ in range(30):
        errors = np.r_[rng.random(1024) < 0.1, rng.random(2048) < 0.2].astype(float)
        late = [at - 1024 for at in watch(errors, wrong=0.1) if at > 1024]
        delays.append(late[0] if late else 10_000)
    assert np.median(delays) <= 416
