"""An additive model of the loss: means from mean columns, intervals that widen where no reference row was."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats import additive


def world(rng: np.random.Generator, n: int, *, shift: float = 0.0) -> tuple[list[dict], np.ndarray]:
    x, z = rng.normal(shift, 1.0, n), rng.choice(["a", "b", "c"], n)
    loss = 0.5 + 0.3 * (x > 0) + 0.4 * (z == "b") + rng.normal(0, 0.2, n)
    return [{"x": float(a), "z": str(b), "noise": float(rng.normal())} for a, b in zip(x, z, strict=True)], loss


def test_the_fitted_mean_is_the_mean_loss_and_the_steps_rank_by_what_they_explain() -> None:
    rows, loss = world(np.random.default_rng(0), 2000)
    steps = additive.steps_of(rows, loss)
    assert [step.name for step in steps][:2] == ["z", "x"]
    design = additive.code(steps, rows)
    model = additive.fit(design, loss, np.arange(2000))
    value, se = model.expect(design.mean(axis=0))
    assert value == pytest.approx(loss.mean(), abs=1e-9)
    assert se == pytest.approx(0.2 / np.sqrt(2000), rel=0.15)


def test_coefficients_are_those_of_the_penalised_normal_equations() -> None:
    rows, loss = world(np.random.default_rng(1), 300)
    design = additive.code(additive.steps_of(rows, loss), rows)
    d = design.shape[1]
    extra = np.vstack([np.zeros(d - 1), np.eye(d - 1)]).T  # one pseudo-row per column, its loss 0
    by_lstsq = np.linalg.lstsq(np.vstack([design, extra]), np.concatenate([loss, np.zeros(d - 1)]), rcond=None)[0]
    assert additive.fit(design, loss, np.arange(300)).beta == pytest.approx(by_lstsq, abs=1e-8)


def test_a_mean_loss_under_shifted_inputs_is_covered_at_its_level() -> None:
    rng = np.random.default_rng(2)
    moved, _ = world(rng, 2000, shift=0.7)
    truth = np.mean([0.5 + 0.3 * (row["x"] > 0) + 0.4 * (row["z"] == "b") for row in moved])
    hits = 0
    for _ in range(200):
        rows, loss = world(rng, 500)
        steps = additive.steps_of(rows, loss)
        model = additive.fit(additive.code(steps, rows), loss, np.arange(500))
        value, se = model.expect(additive.code(steps, moved).mean(axis=0))
        hits += abs(value - truth) <= 1.96 * se
    assert hits >= 160  # P < 1e-6 at a coverage of 0.91


def test_what_the_reference_never_held_widens_the_interval_and_ends_the_overlap() -> None:
    rows, loss = world(np.random.default_rng(3), 1000)
    steps = additive.steps_of(rows, loss)
    design = additive.code(steps, rows)
    model = additive.fit(design, loss, np.arange(1000))
    beyond = additive.code(steps, [row | {"x": 50.0} for row in rows]).mean(axis=0)
    assert model.expect(beyond)[1] > 10 * model.expect(design.mean(axis=0))[1]
    assert additive.overlap(model, design.mean(axis=0), 1000) == 1.0
    assert additive.overlap(model, beyond, 1000) < 0.05


def test_the_overlap_bounds_the_effective_share_of_importance_weights() -> None:
    rng = np.random.default_rng(4)
    rows, loss = world(rng, 5000)
    steps = additive.steps_of(rows, loss)
    model = additive.fit(additive.code(steps, rows), loss, np.arange(5000))
    moved, _ = world(rng, 5000, shift=1.0)
    found = additive.overlap(model, additive.code(steps, moved).mean(axis=0), 5000)
    assert np.exp(-1.0) < found < 0.65  # E[w²] of a normal shift by 1 is e; steps see less of it


def test_a_model_without_some_columns_is_that_of_a_fit_without_them() -> None:
    rows, loss = world(np.random.default_rng(5), 800)
    steps = additive.steps_of(rows, loss)
    design = additive.code(steps, rows)
    keep = np.ones(design.shape[1], dtype=bool)
    keep[1 : 1 + steps[0].width] = False
    part = additive.restrict(additive.fit(design, loss, np.arange(800)), keep)
    direct = additive.fit(design[:, keep], loss, np.arange(800))
    assert part.beta == pytest.approx(direct.beta, abs=1e-8)
    assert np.sqrt(np.diag(part.covariance)) == pytest.approx(np.sqrt(np.diag(direct.covariance)), rel=0.35)


def test_returning_keys_widen_the_error_and_a_stored_model_says_the_same() -> None:
    rng = np.random.default_rng(6)
    rows, loss = world(rng, 600)
    keys = np.repeat(np.arange(60), 10)
    loss = loss + np.repeat(rng.normal(0, 0.5, 60), 10)
    steps = additive.steps_of(rows, loss)
    design = additive.code(steps, rows)
    alone, clustered = additive.fit(design, loss, np.arange(600)), additive.fit(design, loss, keys)
    mean = design.mean(axis=0)
    assert clustered.expect(mean)[1] > 2 * alone.expect(mean)[1]
    assert clustered.correlation == pytest.approx(0.25 / 0.29, abs=0.2)
    back = additive.restored(additive.stored(steps, clustered))
    assert back.expect(mean) == pytest.approx(clustered.expect(mean), rel=1e-4)


def test_missing_unknown_and_far_values_share_the_last_column() -> None:
    rows, loss = world(np.random.default_rng(7), 400)
    steps = additive.steps_of(rows, loss)
    coded = additive.code(steps, [{"x": None, "z": "new"}, {"x": 99.0, "z": None}, {"x": "odd"}])
    place = 1
    for step in steps:
        assert coded[:, place + step.width - 1].tolist() == [1.0, 1.0, 1.0]
        place += step.width
