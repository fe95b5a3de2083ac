"""Confidence beside the share of right answers: an interval that holds, and what few rows alone would show."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer
from mainstay.release import confidence
from mainstay.release.metrics import Scored, score
from mainstay.stats import calibration


def scored(n: int, *, off: float = 0.0, seed: int = 0) -> Scored:
    """Return answers whose confidence is `off` too high."""
    rng = np.random.default_rng(seed)
    said = rng.choice([0.65, 0.75, 0.85, 0.95], n)
    right = rng.random(n) < said - off
    answers = [Answer(label="a", probabilities={"a": c, "b": 1 - c}, confidence=float(c)) for c in said]
    return score(answers, ["a" if r else "b" for r in right])


def ask(found: Scored, limit: float | None, keys: Any = None) -> Any:
    return confidence.calibration(found, keys, limit, 3)


def test_the_three_verdicts_and_none_without_a_limit() -> None:
    assert ask(scored(2_000), 0.1).verdict is Verdict.PASS
    assert ask(scored(2_000, off=0.3), 0.1).verdict is Verdict.FAIL
    assert ask(scored(60), 0.05).verdict is Verdict.NOT_ENOUGH
    assert ask(scored(0), 0.05).verdict is Verdict.NOT_ENOUGH
    assert not ask(scored(2_000, off=0.3), None).applies


def test_the_interval_holds_the_true_error_as_often_as_it_says() -> None:
    """Over-confident by 0.12 in each bin, so that is the true error; each side 5 %, false failure 10^-6."""
    runs, above, below = 40, 0, 0
    for seed in range(runs):
        low, high = confidence.interval(scored(500, off=0.12, seed=seed), None, seed)
        above += low > 0.12
        below += high < 0.12
    assert above <= stats.binom.ppf(1.0 - 1e-6, runs, 0.07)
    assert below <= stats.binom.ppf(1.0 - 1e-6, runs, 0.07)


def test_few_rows_show_an_error_where_there_is_none_and_that_is_told() -> None:
    few, many = (ask(scored(n), None).numbers for n in (100, 4_000))
    assert few["if_calibrated"] > 3 * many["if_calibrated"]
    shown = [scored(300, seed=seed) for seed in range(40)]
    usual = np.mean([calibration.expected_calibration_error(one.confidence, one.right) for one in shown])
    assert np.isclose(usual, ask(shown[0], None).numbers["if_calibrated"], rtol=0.25)


def test_rows_of_one_key_widen_the_interval() -> None:
    one = scored(400, seed=2)
    many = Scored(**{name: np.repeat(getattr(one, name), 5) for name in Scored.__slots__ if name != "ranked"})
    alone = confidence.interval(many, None, 1)
    together = confidence.interval(many, list(np.repeat(np.arange(400), 5)), 1)
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])
