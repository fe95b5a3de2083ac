"""Mixes of many values: the laws that fit a reference, the ratio's mean, false alarms and power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from mainstay.stats import mix_prior, mix_ratio, ratios

MATERIAL = 0.02
FALSE_FAILURE = 1e-6


def pitman_yor(counts: list[int], d: float, t: float) -> float:
    """Return the log probability of the counts, value by value in order, a new one taking any free name alike."""
    log, rows, seen, size = 0.0, 0, 0, len(counts)
    for count in counts:
        for place in range(count):
            if place == 0:
                log += math.log((t + d * seen) / (t + rows) / (size - seen))
                seen += 1
            else:
                log += math.log((place - d) / (t + rows))
            rows += 1
    return log


def test_the_likelihood_of_a_law_is_the_product_of_what_it_predicts() -> None:
    counts = [5, 3, 1, 1, 0, 0]
    laws = mix_prior.likely(np.array(counts, dtype=float))
    direct = []
    for d, t in zip(laws.discount, laws.strength, strict=True):
        if d < 0:
            alpha = np.full(len(counts), -d)
            direct.append(float(ratios.log_dirichlet_multinomial(np.array(counts, dtype=float), alpha)))
        else:
            direct.append(pitman_yor(counts, float(d), float(t)))
    share = np.exp(np.array(direct) - max(direct))
    assert laws.posterior == pytest.approx(share / share.sum())
    everything = [pitman_yor(counts, d, t) for d in mix_prior.DISCOUNTS for t in mix_prior.STRENGTHS]
    assert max(direct) >= max(everything) - 1e-9


def test_values_seen_once_say_how_much_was_never_seen() -> None:
    """Good and Turing: 120 of 2,000 rows have a value of their own, so about 6 % of the next are new."""
    base = np.array([1_000.0, 500.0, 380.0, *[1.0] * 120, *[0.0] * 1_000])
    laws = mix_prior.likely(base)
    alpha = mix_prior.concentrations(mix_prior.stack([laws]), base[None, :])[:, 0]
    unseen = float(laws.posterior @ (alpha[:, -1] / alpha.sum(axis=1)))
    assert unseen == pytest.approx(0.06, abs=0.02)
    never = np.array([1_000.0, 1_000.0, *[0.0] * 100])
    laws = mix_prior.likely(never)
    alpha = mix_prior.concentrations(mix_prior.stack([laws]), never[None, :])[:, 0]
    assert float(laws.posterior @ (alpha[:, -1] / alpha.sum(axis=1))) < 0.002


def test_the_ratio_averages_to_one_under_its_own_prediction() -> None:
    base, n = np.array([[9.0, 2.0, 1.0, 0.0]]), 6
    laws = mix_prior.stack([mix_prior.likely(base[0])])
    alpha = mix_prior.concentrations(laws, base)[:, 0]
    total = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            for c in range(n + 1 - a - b):
                counts = np.array([a, b, c, n - a - b - c], dtype=float)
                ways = special.gammaln(n + 1) - special.gammaln(counts + 1).sum()
                # The base's fourth value has no row: its place in the laws is the one of all that were never seen.
                seen = np.array([*counts[:3], counts[3]])
                law = alpha[:, [0, 1, 2, 4]]
                chance = math.exp(ways + ratios.log_sum(laws.log_weight[0] + np.array(
                    [float(ratios.log_dirichlet_multinomial(seen, one)) for one in law]), axis=0))  # fmt: skip
                total += chance * math.exp(float(mix_ratio.log_mix_ratio(counts[None, :], base, laws, share=0.0)[0]))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_a_place_that_no_stream_uses_changes_nothing() -> None:
    base, after = np.array([[60.0, 30.0, 10.0]]), np.array([[10.0, 20.0, 3.0]])
    laws = mix_prior.stack([mix_prior.likely(base[0])])
    wide = mix_ratio.log_mix_ratio(np.pad(after, ((0, 0), (0, 4))), np.pad(base, ((0, 0), (0, 4))), laws, share=0.02)
    assert wide == pytest.approx(mix_ratio.log_mix_ratio(after, base, laws, share=0.02))


def shares(name: str) -> np.ndarray:
    place = np.arange(1.0, 151.0)
    raw = {
        "150 alike": np.ones(150),
        "harmonic": 1.0 / place,
        "squares": 1.0 / place**2,
        "geometric": 0.9**place,
        "four, and a hundred that never come": np.array([1.0] * 4 + [0.0] * 100),
        "two, and 150 of which each has one row": np.array([0.49 * 150 / 0.02] * 2 + [1.0] * 150),
        "600 alike": np.ones(600),
        "3 %": np.array([0.97, 0.03]),
    }[name]
    return raw / raw.sum()


CASES = ["150 alike", "harmonic", "squares", "geometric", "four, and a hundred that never come",
         "two, and 150 of which each has one row", "600 alike", "3 %"]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rows", [32, 1_000, 5_000])
def test_material_evidence_of_no_change_passes_thirty_as_seldom_as_it_must(name: str, rows: int) -> None:
    """Ville: at most 1 in 30; of 200 references no more than that gives with 1 − 10^-6."""
    rng, law, runs = np.random.default_rng([7, rows]), shares(name), 200
    base = np.c_[rng.multinomial(2_000, law, size=runs), np.zeros(runs)].astype(float)
    after = np.c_[rng.multinomial(rows, law, size=runs), np.zeros(runs)].astype(float)
    laws = mix_prior.stack([mix_prior.likely(one) for one in base])
    material = np.abs(after / rows - base / 2_000).max(axis=1) >= MATERIAL
    found = mix_ratio.log_mix_ratio(after, base, laws, share=MATERIAL)
    assert (material & (found >= math.log(30))).sum() <= stats.binom.ppf(1 - FALSE_FAILURE, runs, 1 / 30)


def test_half_a_row_for_each_value_that_hardly_comes_would_cry_wolf() -> None:
    rng, law = np.random.default_rng(8), shares("four, and a hundred that never come")
    base, after = (rng.multinomial(n, law, size=50).astype(float) for n in (2_000, 1_000))
    assert (ratios.log_category_ratio(after, base) > math.log(30)).mean() > 0.9


def test_one_value_among_many_that_moves_is_found_by_itself() -> None:
    """Five points more of one of 150 values alike, 1,000 rows: at least 9 in 10 pass a bar of 10 nats."""
    rng, runs = np.random.default_rng(9), 100
    law = shares("150 alike")
    moved = law * (1.0 - 0.05 / (1.0 - law[0]))
    moved[0] = law[0] + 0.05
    base = rng.multinomial(2_000, law, size=runs).astype(float)
    after = rng.multinomial(1_000, moved, size=runs).astype(float)
    laws = mix_prior.stack([mix_prior.likely(one) for one in base])
    found = mix_ratio.log_mix_ratio(after, base, laws, share=MATERIAL)
    assert (found > 10.0).sum() >= stats.binom.ppf(FALSE_FAILURE, runs, 0.9)
