"""Quality without labels: what would be measured with every label, its interval, and when it is not to be trusted."""

from __future__ import annotations

import csv
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from mainstay.core.quality import ReferenceQuality
from mainstay.stats import additive, cbpe, cbpe_reference, ranking

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "nannyml"
FIELDS = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")


def two_classes(
    rng: np.random.Generator, n: int, *, shift: float = 0.0, concept: float = 0.0, per_key: int = 1
) -> tuple[list[dict], np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, scores that are overconfident, truth, and keys; half of a key's outcomes go with the key."""
    keys = np.repeat(np.arange(n // per_key), per_key)
    x = np.repeat(rng.normal(shift, 1.0, n // per_key), per_key)
    chance = 1.0 / (1.0 + np.exp(-(x - concept)))
    score = 1.0 / (1.0 + np.exp(-1.6 * x))
    draw = np.where(rng.random(n) < 0.5, np.repeat(rng.random(n // per_key), per_key), rng.random(n))
    return [{"x": float(value)} for value in x], score, draw < chance, keys


def learned(rng: np.random.Generator, n: int = 4000, *, per_key: int = 1) -> ReferenceQuality:
    rows, score, truth, keys = two_classes(rng, n, per_key=per_key)
    found = cbpe_reference.learn_binary(score, score > 0.5, truth, keys, classes=["no", "yes"], rows=rows)
    assert found is not None
    return found


def sums_of(reference: ReferenceQuality, rows: list[dict], score: np.ndarray, keys: np.ndarray) -> cbpe.Sums:
    assert reference.error is not None
    columns = additive.code(reference.error.steps, rows)
    return cbpe.count_binary(reference, score, score > 0.5, keys, columns)


def real(metric: str, score: np.ndarray, truth: np.ndarray) -> float:
    said = score > 0.5
    hit = float((said & truth).sum())
    return {
        "accuracy": float((said == truth).mean()),
        "precision": hit / max(float(said.sum()), 1.0),
        "recall": hit / float(truth.sum()),
        "f1": 2.0 * hit / float(said.sum() + truth.sum()),
        "roc_auc": ranking.area(score[~truth], score[truth]).value,
    }[metric]


def covered(
    seed: int, *, metrics: tuple[str, ...], rounds: int, shift: float = 0.0, per_key: int = 1
) -> dict[str, int]:
    rng = np.random.default_rng(seed)
    hits = dict.fromkeys(metrics, 0)
    for _ in range(rounds):
        reference = learned(rng, per_key=per_key)
        rows, score, truth, keys = two_classes(rng, 500, shift=shift, per_key=per_key)
        found = cbpe.estimate(reference, sums_of(reference, rows, score, keys))
        for metric in metrics:
            one = found.get(metric)
            assert one is not None
            hits[metric] += one.low <= real(metric, score, truth) <= one.high
    return hits


METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")


@pytest.mark.parametrize(("shift", "per_key"), [(0.0, 1), (0.7, 1), (0.0, 5)], ids=["as before", "shifted", "by key"])
def test_what_would_be_measured_with_every_label_is_covered_at_its_level(shift: float, per_key: int) -> None:
    hits = covered(1, metrics=METRICS, rounds=100, shift=shift, per_key=per_key)
    assert min(hits.values()) >= 80, hits  # P < 1e-6 a metric at a coverage of 0.94


def test_the_expected_area_is_that_of_all_pairs_and_a_mean_over_drawn_outcomes() -> None:
    rng = np.random.default_rng(2)
    score = np.sort(rng.choice(np.arange(12), 40).astype(float))
    p = 1.0 / (1.0 + np.exp(-(score - 6.0) / 2.0))
    edges = np.arange(11) + 0.5
    place = np.searchsorted(edges, score)
    rows, true, var = (np.bincount(place, weights=w, minlength=12) for w in (np.ones(40), p, p * (1 - p)))
    found = cbpe.area(rows, true, var)
    assert found is not None
    order = np.sign(score[:, None] - score[None, :]) / 2.0 + 0.5
    weight = p[:, None] * (1.0 - p[None, :]) * (1.0 - np.eye(40))
    assert found[0] == pytest.approx(float((weight * order).sum() / weight.sum()))
    drawn = []
    for _ in range(3000):
        y = rng.random(40) < p
        drawn.append(ranking.area(score[~y], score[y]).value)
    assert float(np.mean(drawn)) == pytest.approx(found[0], abs=0.004)
    assert float(np.std(drawn)) == pytest.approx(math.sqrt(found[1]), rel=0.15)


def test_blocks_add_up_to_their_window() -> None:
    rng = np.random.default_rng(3)
    reference = learned(rng)
    rows, score, _, keys = two_classes(rng, 900)
    whole = cbpe.estimate(reference, sums_of(reference, rows, score, keys))
    parts = [
        cbpe.unpacked(cbpe.packed(sums_of(reference, rows[i : i + 300], score[i : i + 300], keys[i : i + 300])))
        for i in (0, 300, 600)
    ]
    added = cbpe.estimate(reference, cbpe.add(parts))
    for metric in METRICS:
        one, other = whole.get(metric), added.get(metric)
        assert one is not None
        assert other is not None
        assert other.value == pytest.approx(one.value, abs=1e-4)
        assert other.low == pytest.approx(one.low, abs=1e-3)


def test_inputs_that_the_reference_never_held_are_not_trusted_and_shifted_ones_are() -> None:
    rng = np.random.default_rng(4)
    reference = learned(rng)
    rows, score, _, keys = two_classes(rng, 500, shift=0.7)
    assert cbpe.estimate(reference, sums_of(reference, rows, score, keys)).warnings == ()
    rows, score, _, keys = two_classes(rng, 500, shift=6.0)
    found = cbpe.estimate(reference, sums_of(reference, rows, score, keys))
    assert found.overlap is not None
    assert found.overlap < 0.05
    assert "not to be trusted" in found.warnings[0]


def test_a_changed_relation_between_inputs_and_truth_is_not_seen_as_the_assumption_says() -> None:
    rng = np.random.default_rng(5)
    reference = learned(rng)
    rows, score, truth, keys = two_classes(rng, 2000, concept=2.0)
    found = cbpe.estimate(reference, sums_of(reference, rows, score, keys)).get("accuracy")
    assert found is not None
    assert real("accuracy", score, truth) < found.low - 0.05


def test_several_classes_are_covered_at_their_level_and_truth_outside_them_is_wrong() -> None:
    rng = np.random.default_rng(6)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = rng.dirichlet([0.5, 0.4, 0.3], n)
        truth = (rng.random(n)[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
        told = p**1.5
        return told / told.sum(axis=1, keepdims=True), truth, np.arange(n)

    hits = dict.fromkeys(("accuracy", "macro_f1"), 0)
    for _ in range(100):
        told, truth, keys = draw(3000)
        said, confidence = told.argmax(axis=1), told.max(axis=1)
        reference = cbpe_reference.learn_classes(
            confidence, said, truth, keys, classes=["a", "b", "c"], probabilities=told
        )
        assert reference is not None
        told, truth, keys = draw(500)
        said, confidence = told.argmax(axis=1), told.max(axis=1)
        found = cbpe.estimate(reference, cbpe.count_classes(reference, confidence, said, keys, told))
        f1 = np.mean(
            [2 * ((said == k) & (truth == k)).sum() / ((said == k).sum() + (truth == k).sum()) for k in range(3)]
        )
        for metric, value in (("accuracy", float((said == truth).mean())), ("macro_f1", float(f1))):
            one = found.get(metric)
            assert one is not None
            hits[metric] += one.low <= value <= one.high
    assert min(hits.values()) >= 78, hits  # P < 1e-6 at a coverage of 0.93
    told, truth, keys = draw(3000)
    odd = np.where(np.arange(3000) % 10 == 0, -1, truth)
    reference = cbpe_reference.learn_classes(
        told.max(axis=1), told.argmax(axis=1), odd, keys, classes=["a", "b", "c"], probabilities=told
    )
    assert reference is not None
    assert reference.metrics["accuracy"].real == pytest.approx(float((told.argmax(axis=1) == odd).mean()))


def test_the_error_of_numbers_is_estimated_under_shifted_inputs_and_covered_at_its_level() -> None:
    rng = np.random.default_rng(7)

    def draw(n: int, shift: float) -> tuple[list[dict], np.ndarray]:
        x = rng.normal(shift, 1.0, n)
        spread = 1.0 + 2.0 * (x > 0.5)
        return [{"x": float(value)} for value in x], rng.normal(0.0, spread)

    hits = {"mae": 0, "rmse": 0}
    for _ in range(150):
        rows, off = draw(3000, 0.0)
        reference = cbpe_reference.learn_numbers(np.zeros(3000), off, np.arange(3000), rows=rows)
        assert reference is not None
        assert reference.error is not None
        rows, off = draw(500, 0.8)
        columns = additive.code(reference.error.steps, rows)
        found = cbpe.estimate(reference, cbpe.count_numbers(reference, columns, np.arange(500)))
        for metric, value in (("mae", np.abs(off).mean()), ("rmse", math.sqrt((off**2).mean()))):
            one = found.get(metric)
            assert one is not None
            hits[metric] += one.low <= value <= one.high
    assert min(hits.values()) >= 120, hits  # P < 1e-6 at a coverage of 0.92


@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published set is not beside the project (../shared/data/nannyml)"
)
def test_the_published_estimates_are_reproduced_and_months_that_went_wrong_are_not_trusted() -> None:
    def load(name: str) -> list[dict[str, str]]:
        with (PUBLISHED / f"california_housing_{name}.csv").open() as file:
            return list(csv.DictReader(file))

    def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    def inputs(rows: list[dict[str, str]]) -> list[dict]:
        return [{name: float(row[name]) for name in FIELDS} for row in rows]

    past, now = load("reference"), load("analysis")
    truth = {row["id"]: row["clf_target"] == "1" for row in load("analysis_gt")}
    reference = cbpe_reference.learn_binary(
        column(past, "y_pred_proba"),
        column(past, "y_pred") == 1,
        column(past, "clf_target") == 1,
        np.arange(len(past)),
        classes=["0", "1"],
        rows=inputs(past),
        moments=np.array([datetime.fromisoformat(row["timestamp"]).timestamp() for row in past]),
    )
    assert reference is not None
    assert reference.error is not None
    outside = {}
    for month in sorted({row["timestamp"][:7] for row in now}):
        rows = [row for row in now if row["timestamp"].startswith(month)]
        score, said = column(rows, "y_pred_proba"), column(rows, "y_pred") == 1
        columns = additive.code(reference.error.steps, inputs(rows))
        found = cbpe.estimate(reference, cbpe.count_binary(reference, score, said, np.arange(len(rows)), columns))
        area = found.get("roc_auc")
        assert area is not None
        y = np.array([truth[row["id"]] for row in rows])
        value = ranking.area(score[~y], score[y]).value
        if month in ("2022-03", "2022-04"):
            published, realised = {"2022-03": (0.829077, 0.705), "2022-04": (0.910661, 0.975)}[month]
            assert area.value == pytest.approx(published, abs=0.002)
            assert value == pytest.approx(realised, abs=0.001)
            assert "not to be trusted" in found.warnings[0]
        if not area.low <= value <= area.high:
            outside[month] = found.warnings
    assert set(outside) == {"2021-11", "2022-03"}  # of twelve months
    assert all(outside.values())
