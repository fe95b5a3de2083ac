from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mainstay.models.probabilities import ProbabilityMap
from mainstay.train.decide import HeldOut
from mainstay.train.probabilities import choose_map, fit_map


def held(
    rows: int, *, classes: int = 3, sharper: float = 1.0, shift: float = 0.0, per_key: int = 1, seed: int = 2
) -> HeldOut:
    """Rows whose truth is drawn from probabilities that the model states `sharper` than they are."""
    rng = np.random.default_rng(seed)
    right = rng.dirichlet(np.full(classes, 0.7), rows)
    codes = np.array([rng.choice(classes, p=p) for p in right])
    logs = sharper * np.log(np.maximum(right, 1e-9))
    logs[:, 0] += shift
    stated = np.exp(logs - logs.max(axis=1, keepdims=True))
    stated /= stated.sum(axis=1, keepdims=True)
    keys = np.arange(rows) // per_key
    return HeldOut(output=stated, codes=codes, keys=keys, fold=keys % 5)


def test_two_classes_get_platts_map_as_scikit_learn_fits_it() -> None:
    found = held(2_000, classes=2, sharper=2.0, shift=0.7)
    made = fit_map("sigmoid", found.output, found.codes)
    logit = np.log(found.output[:, 1] / found.output[:, 0])[:, None]
    expected = LogisticRegression(C=1e9, tol=1e-10).fit(logit, found.codes).predict_proba(logit)
    assert made.apply(found.output) == pytest.approx(expected, abs=2e-4)


def test_a_temperature_is_found_again() -> None:
    found = held(6_000, sharper=2.5)
    assert 1 / fit_map("temperature", found.output, found.codes).slope == pytest.approx(2.5, rel=0.1)


def test_isotonic_is_scikit_learns_class_by_class_scaled_to_one() -> None:
    found = held(1_500, sharper=2.0)
    each = np.column_stack(
        [
            IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            .fit(found.output[:, c], found.codes == c)
            .predict(found.output[:, c])
            for c in range(3)
        ]
    )
    made = fit_map("isotonic", found.output, found.codes).apply(found.output)
    assert made == pytest.approx(each / each.sum(axis=1, keepdims=True), abs=1e-6)


def test_too_sure_probabilities_are_made_better_and_the_report_says_by_how_much() -> None:
    made, report = choose_map("auto", held(3_000, sharper=2.5), seed=1)
    assert report["method"] == "temperature"
    assert 1 / made.slope == pytest.approx(2.5, rel=0.15)
    for name in ("log_loss", "brier", "ece"):
        measured = report["measures"][name]
        assert measured["after"] < measured["before"]
        assert measured["low"] <= measured["change"] <= measured["high"] < 0


def test_a_shifted_class_needs_more_than_a_temperature() -> None:
    _, report = choose_map("auto", held(3_000, sharper=1.5, shift=1.5), seed=1)
    assert report["method"] == "sigmoid"


def test_right_probabilities_are_left_as_they_are_but_for_one_time_in_forty() -> None:
    """Of 40 draws 9 or more at 2.5 % (one side of the 95 % interval) have a probability below 1e-6."""
    changed = sum(choose_map("auto", held(100, seed=seed), seed=1)[1]["method"] != "as_they_are" for seed in range(40))
    assert changed <= 8


def test_rows_that_a_key_sends_ten_times_are_no_more_evidence() -> None:
    once = held(150, sharper=2.5)
    again = HeldOut(
        output=np.repeat(once.output, 10, axis=0),
        codes=np.repeat(once.codes, 10),
        keys=np.repeat(once.keys, 10),
        fold=np.repeat(once.fold, 10),
    )
    first, second = (choose_map("temperature", one, seed=1)[1]["measures"]["log_loss"] for one in (once, again))
    assert second["high"] - second["low"] == pytest.approx(first["high"] - first["low"], rel=0.05)


def test_few_rows_change_nothing_and_isotonic_waits_for_a_thousand() -> None:
    made, report = choose_map("auto", held(40, sharper=3.0), seed=1)
    assert made == ProbabilityMap()
    assert "50" in report["why"]
    assert "isotonic" not in choose_map("auto", held(900, sharper=2.0), seed=1)[1]["log_losses"]
    assert "isotonic" in choose_map("auto", held(1_100, sharper=2.0), seed=1)[1]["log_losses"]


def test_maps_keep_order_sum_and_impossible_classes() -> None:
    rng = np.random.default_rng(0)
    output = rng.dirichlet(np.ones(3), 200)
    output[:20, 2] = 0.0
    output /= output.sum(axis=1, keepdims=True)
    for made in (ProbabilityMap(slope=0.4), ProbabilityMap(slope=3.0, offsets=(0.1, -0.1, 0.0)), ProbabilityMap()):
        mapped = made.apply(output)
        assert mapped.sum(axis=1) == pytest.approx(1.0)
        assert (mapped[:20, 2] == 0.0).all()
    softer = ProbabilityMap(slope=0.4).apply(output)
    assert (np.argsort(softer, axis=1) == np.argsort(output, axis=1)).all()


def test_two_maps_in_one_are_the_two_one_after_the_other() -> None:
    rng = np.random.default_rng(4)
    output = rng.dirichlet(np.ones(3), 50)
    first, second = ProbabilityMap(offsets=(0.5, 0.0, -1.0)), ProbabilityMap(slope=0.7, offsets=(0.1, 0.2, -0.3))
    assert second.after(first).apply(output) == pytest.approx(second.apply(first.apply(output)))
    assert ProbabilityMap().after(first).apply(output) == pytest.approx(first.apply(output))
    assert second.after(None) == second


def test_a_row_s_probabilities_depend_on_the_row_alone_to_the_last_bit() -> None:
    rng = np.random.default_rng(9)
    output = rng.dirichlet(np.ones(4), 64)
    made = fit_map("isotonic", output, rng.integers(0, 4, 64))
    for one in (made, ProbabilityMap(slope=1.3, offsets=(0.1, 0.2, 0.3, -0.6))):
        alone = np.concatenate([one.apply(output[i : i + 1]) for i in range(64)])
        assert np.array_equal(alone, one.apply(output))
