"""The evidence process: closed forms, bounds, pruning, the budget, and the power that is claimed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from mainstay.stats import evidence, ratios
from mainstay.stats.scores import score_table, score_variances

MATERIAL = evidence.Material()


def fresh(streams: list[evidence.Stream]) -> evidence.History:
    width = evidence.offsets(streams)[-1]
    return evidence.History(totals=np.zeros(width), prefix=np.zeros((0, width)))


def number(weight: float = 1.0, rows: int = 500, bins: int = 50) -> tuple[evidence.NumericStream, np.ndarray]:
    counts = [rows // bins] * bins
    stream = evidence.NumericStream(weight=weight, rows=float(rows), variances=score_variances(counts))
    return stream, score_table(counts)


def draw(rng: np.random.Generator, table: np.ndarray, rows: int, shift: float = 0.0) -> np.ndarray:
    u = stats.norm.cdf(rng.standard_normal(rows) + shift)
    bins = np.minimum((u * len(table)).astype(int), len(table) - 1)
    return np.concatenate([[rows], table[bins].sum(axis=0), np.zeros(4)])


def test_the_normal_ratio_is_the_integral_over_the_shift() -> None:
    d, v = 0.3, 0.01
    densities = []
    for tau in ratios.TAUS:
        value, _ = integrate.quad(
            lambda m, t=tau: stats.norm.pdf(d, m, math.sqrt(v)) * stats.norm.pdf(m, 0, t),
            -4,
            4,
            points=[0, d],
            limit=200,
        )
        densities.append(value / stats.norm.pdf(d, 0, math.sqrt(v)))
    found = ratios.log_normal_ratio(np.array([d * d]), np.array([v]), 1)
    assert found[0] == pytest.approx(math.log(np.mean(densities)), rel=1e-5)


def test_no_rows_are_no_evidence() -> None:
    assert ratios.log_normal_ratio(np.array([0.0]), np.array([np.inf]), 1)[0] == 0.0


def test_the_dirichlet_multinomial_is_a_product_of_predictive_shares() -> None:
    alpha, order = np.array([1.5, 0.5, 3.0]), [0, 2, 2, 1, 0]
    log, state = 0.0, alpha.copy()
    for i in order:
        log += math.log(state[i] / state.sum())
        state[i] += 1
    counts = np.bincount(order, minlength=3).astype(float)
    assert ratios.log_dirichlet_multinomial(counts, alpha) == pytest.approx(log)


def test_the_category_ratio_averages_to_one_when_nothing_changed() -> None:
    base, n = np.array([30.0, 8.0, 1.0]), 12
    total = 0.0
    prior = base + 0.5
    for a in range(n + 1):
        for b in range(n + 1 - a):
            counts = np.array([a, b, n - a - b], dtype=float)
            ways = special.gammaln(n + 1) - special.gammaln(counts + 1).sum()
            chance = math.exp(ways + float(ratios.log_dirichlet_multinomial(counts, prior)))
            total += chance * math.exp(float(ratios.log_category_ratio(counts, base)))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_old_candidates_thin_out_and_recent_ones_stay() -> None:
    kept = [n for n in range(1, 10_001) if evidence.keeps(n, 10_000)]
    assert set(range(9_985, 10_001)) <= set(kept)
    assert len(kept) < evidence.KEEP * (math.log2(10_000 / evidence.KEEP) + 3)
    assert all(evidence.keeps(n, later) for n in (8192,) for later in (8192, 10_000, 100_000))


def test_the_history_keeps_the_totals_before_each_candidate() -> None:
    stream, _ = number()
    history = fresh([stream])
    for i in range(1, 60):
        history.add(np.full(stream.width, float(i)), 0.5)
    for index, candidate in enumerate(history.candidates):
        assert history.prefix[index, 0] == sum(range(1, candidate))
    assert history.log_days == pytest.approx([math.log(0.5)] * len(history.candidates))


def test_quiet_streams_stay_within_the_budget() -> None:
    alarms, windows, bar = 0, 0, math.log(100)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        made = [number(weight=0.2) for _ in range(5)]
        streams: list[evidence.Stream] = [stream for stream, _ in made]
        # The reference is drawn too: its sampling error is part of what must be borne.
        cuts = [np.sort(rng.random(500))[9:-1:10] for _ in made]
        history = fresh(streams)
        for _ in range(100):
            block = []
            for (stream, table), cut in zip(made, cuts, strict=True):
                bins = np.searchsorted(cut, rng.random(100))
                block += [100.0, *table[bins].sum(axis=0), *[0.0] * (stream.width - 5)]
            history.add(np.array(block), 1.0)
            windows += 1
            if evidence.assess(streams, history, evidence.Material(number_sigma=0.0)).log_evidence >= bar:
                alarms += 1
                history = fresh(streams)
    assert alarms <= stats.poisson.ppf(0.999, windows / 100)


def test_a_quarter_of_a_standard_deviation_is_found_and_placed() -> None:
    rng = np.random.default_rng(7)
    stream, table = number(rows=2_000, bins=200)
    others = [number(weight=0.05, rows=2_000, bins=200)[0] for _ in range(19)]
    streams: list[evidence.Stream] = [
        evidence.NumericStream(weight=0.05, rows=2_000.0, variances=stream.variances),
        *others,
    ]
    history = fresh(streams)
    for window in range(8):
        shifts = [0.25 if window >= 6 else 0.0] + [0.0] * 19
        history.add(np.concatenate([draw(rng, table, 1_000, s) for s in shifts]), 1.0)
    found = evidence.assess(streams, history, MATERIAL)
    assert found.log_evidence >= math.log(1_000)
    assert int(np.argmax(found.by_stream)) == 0
    assert history.candidates[found.start] == 7


def test_a_change_below_the_material_size_is_never_evidence() -> None:
    stream, table = number(rows=100_000, bins=50)
    history = fresh([stream])
    rng = np.random.default_rng(1)
    for _ in range(50):
        history.add(draw(rng, table, 5_000, 0.03), 1.0)
    strict = evidence.assess([stream], history, evidence.Material(number_sigma=0.0))
    assert strict.log_evidence > math.log(1_000)
    assert evidence.assess([stream], history, evidence.Material(number_sigma=0.06)).log_evidence == -math.inf


def test_tiny_times_and_huge_changes_do_not_overflow() -> None:
    stream, table = number(rows=240, bins=24)
    history = fresh([stream])
    block = np.concatenate([[50_000.0], table[-1] * 50_000, np.zeros(4)])
    for _ in range(200):
        history.add(block, 1e-9)
    found = evidence.assess([stream], history, MATERIAL)
    assert math.isfinite(found.log_evidence)
    assert found.log_evidence > 100


def test_keys_that_come_again_count_for_less() -> None:
    rng = np.random.default_rng(3)
    stream, table = number(rows=500)
    loose = evidence.NumericStream(weight=1.0, rows=500.0, variances=stream.variances, correlation=0.5)
    block = draw(rng, table, 100, 0.5)
    seen = []
    for repeats in (1.0, 4.0):
        history = fresh([loose])
        for _ in range(4):
            history.add(block, 1.0)
        history.repeats = repeats
        seen.append(evidence.assess([loose], history, MATERIAL).log_evidence)
    assert seen[1] < seen[0]


def test_a_reference_without_rows_and_a_stream_without_values_are_silent() -> None:
    empty = evidence.NumericStream(weight=0.5, rows=0.0, variances=np.zeros(4))
    silent = evidence.CategoryStream(weight=0.5, base=np.array([5.0, 0.0]))
    streams: list[evidence.Stream] = [empty, silent]
    history = fresh(streams)
    assert evidence.assess(streams, history, MATERIAL).log_evidence == -math.inf
    history.add(np.zeros(empty.width + silent.width), 1.0)
    found = evidence.assess(streams, history, MATERIAL)
    assert found.log_evidence == -math.inf
    assert found.start == -1


def test_a_constant_reference_sees_another_value() -> None:
    counts = [0, 30, 0]
    stream = evidence.NumericStream(weight=1.0, rows=30.0, variances=score_variances(counts), tie=(0.0, 30.0, 0.0))
    table = score_table(counts)
    same, other = fresh([stream]), fresh([stream])
    same.add(np.concatenate([[32.0], table[1] * 32, [0.0, 0.0, 0.0, 0.0]]), 1.0)
    other.add(np.concatenate([[32.0], table[2] * 32, [0.0, 32.0, 0.0, 0.0]]), 1.0)
    assert evidence.assess([stream], same, MATERIAL).log_evidence < 1.0
    assert evidence.assess([stream], other, MATERIAL).log_evidence > math.log(1e6)
