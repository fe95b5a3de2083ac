"""Quality then and now, where truth and predictions are given."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score

from mainstay.comparison.compare import compare
from mainstay.comparison.records import Status, Verdict
from mainstay.core.errors import BadData
from mainstay.stats.intervals import wilson


def labelled(seed: int, right: float, rows: int = 900) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.choice(["a", "b", "c"], rows)
    wrong = rng.choice(["a", "b", "c"], rows)
    told = np.where(rng.random(rows) < right, truth, wrong)
    return pl.DataFrame({"x": rng.normal(size=rows), "truth": truth, "told": told})


def probable(seed: int, sharp: float = 1.0, rows: int = 1200) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return pl.DataFrame(
        {"x": x, "p": 1 / (1 + np.exp(-2 * x)), "y": rng.random(rows) < 1 / (1 + np.exp(-2 * sharp * x))}
    )


def test_accuracy_that_fell_is_a_difference_though_all_inputs_are_the_same() -> None:
    found = compare(labelled(1, 0.9), labelled(2, 0.6), target="truth", prediction="told")
    assert found.verdict is Verdict.DIFFERENT
    assert all(f.status is Status.SAME for f in found.fields)
    assert found.headline == "Different: the fields agree, but the predictions are not as right as they were."
    assert found.quality is not None
    accuracy = found.quality.measures[0]
    frame = labelled(1, 0.9)
    right = int((frame["truth"] == frame["told"]).sum())
    assert accuracy.reference == pytest.approx((right / 900, *wilson(right, 900)))
    assert accuracy.difference is not None
    assert accuracy.difference.high < -0.1
    assert "found, now" in found.quality.notes[0]


def test_accuracy_that_stayed_is_none() -> None:
    found = compare(labelled(1, 0.8), labelled(2, 0.8), target="truth", prediction="told")
    assert found.verdict is Verdict.SAME
    assert found.quality is not None
    assert not found.quality.moved


def test_probabilities_give_area_brier_score_and_calibration() -> None:
    a, b = probable(1), probable(2, sharp=-0.2)
    found = compare(a, b, target="y", prediction="p").quality
    assert found is not None
    assert found.task == "probabilities"
    by_name = {m.name: m for m in found.measures}
    assert by_name["AUC"].reference[0] == pytest.approx(roc_auc_score(a["y"], a["p"]))
    assert by_name["Brier score"].reference[0] == pytest.approx(brier_score_loss(a["y"], a["p"]))
    assert by_name["AUC"].difference is not None
    assert by_name["AUC"].difference.high < -0.2
    assert sum(rows for _, _, rows in found.calibration[0]) == 1200
    assert found.moved


def test_numbers_give_the_mean_absolute_error() -> None:
    rng = np.random.default_rng(3)
    a = pl.DataFrame({"y": rng.normal(size=700)}).with_columns(told=pl.col("y") + 0.2 * rng.normal(size=700))
    b = pl.DataFrame({"y": rng.normal(size=600)}).with_columns(told=pl.col("y") + 0.9 * rng.normal(size=600))
    found = compare(a, b, target="y", prediction="told").quality
    assert found is not None
    assert found.task == "numbers"
    assert found.measures[0].reference[0] == pytest.approx(mean_absolute_error(a["y"], a["told"]))
    assert found.moved


@pytest.mark.parametrize("gone", ["column", "cells"])
def test_without_truth_quality_now_is_unknown_and_said_to_be(gone: str) -> None:
    now = labelled(2, 0.8)
    now = now.drop("truth") if gone == "column" else now.with_columns(truth=pl.lit(None, dtype=pl.String))
    found = compare(labelled(1, 0.8), now, target="truth", prediction="told")
    assert found.quality is not None
    assert found.quality.measures[0].current is None
    assert "unknown now" in found.quality.says


def test_a_reference_without_truth_is_refused() -> None:
    blank = labelled(1, 0.8).with_columns(truth=pl.lit(None, dtype=pl.String))
    with pytest.raises(BadData, match="no row of the reference holds both"):
        compare(blank, labelled(2, 0.8), target="truth", prediction="told")


def test_with_keys_the_interval_of_accuracy_is_wider() -> None:
    rng = np.random.default_rng(4)

    def draw(first: int) -> pl.DataFrame:
        level = np.repeat(rng.random(60), 15)
        hit = rng.random(900) < level
        return pl.DataFrame(
            {"who": np.repeat(np.arange(first, first + 60), 15), "truth": ["a"] * 900, "told": np.where(hit, "a", "b")}
        )

    a, b = draw(0), draw(60)
    keyed = compare(a, b, target="truth", prediction="told", key="who").quality
    plain = compare(a.drop("who"), b.drop("who"), target="truth", prediction="told").quality
    assert keyed is not None
    assert plain is not None
    wide, narrow = (m.measures[0].reference for m in (keyed, plain))
    assert wide[2] - wide[1] > 1.5 * (narrow[2] - narrow[1])


def test_ratings_beside_a_predicted_number_are_numbers_and_beside_codes_are_classes() -> None:
    rng = np.random.default_rng(5)
    stars = [rng.integers(1, 6, 400) for _ in range(2)]
    guessed = [pl.DataFrame({"y": s, "told": s + 0.3 * rng.normal(size=400)}) for s in stars]
    coded = [pl.DataFrame({"y": s, "told": np.where(rng.random(400) < 0.8, s, 3)}) for s in stars]
    tasks = [compare(a, b, target="y", prediction="told").quality for a, b in (guessed, coded)]
    assert [t.task for t in tasks if t is not None] == ["numbers", "classes"]
