"""A change of the mean loss is shared out as it was caused; what cannot be told apart is said."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats import additive, attribution
from mainstay.stats.attribution import Cause, Labelled


class World:
    """The loss is 0.1, 0.4 more where x > 0 now and then; a concept change adds 0.2 where z is b."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def rows(self, n: int, *, shift: float = 0.0, concept: bool = False) -> tuple[list[dict], np.ndarray]:
        x, z = self.rng.normal(shift, 1.0, n), self.rng.choice(["a", "b"], n)
        p = 0.1 + 0.4 * (x > 0) + 0.2 * concept * (z == "b")
        wrong = (self.rng.random(n) < p).astype(float)
        return [{"x": float(a), "z": str(b)} for a, b in zip(x, z, strict=True)], wrong


def before_of(world: World, n: int = 2000) -> tuple[list, additive.Fit]:
    rows, loss = world.rows(n)
    steps = additive.steps_of(rows, loss)
    return steps, additive.fit(additive.code(steps, rows), loss, np.arange(n))


def attributed(seed: int, *, n: int = 1000, shift: float, concept: bool) -> attribution.Attribution:
    world = World(seed)
    steps, before = before_of(world)
    rows, loss = world.rows(n, shift=shift, concept=concept)
    now = Labelled(design=additive.code(steps, rows), loss=loss, keys=np.arange(n))
    return attribution.attribute(before, now, rng=world.rng, draws=100)


def part(found: attribution.Attribution, cause: Cause) -> attribution.Part:
    return next(one for one in found.parts if one.cause is cause)


def test_parts_add_up_to_the_change() -> None:
    found = attributed(0, shift=0.5, concept=True)
    assert found.change is not None
    assert found.identifiable
    assert sum(one.value for one in found.parts) == pytest.approx(found.change.value)


@pytest.mark.parametrize(
    ("shift", "concept", "inputs", "labels"),
    [(0.8, False, 0.4 * 0.2881, 0.0), (0.0, True, 0.0, 0.1), (0.8, True, 0.4 * 0.2881, 0.1)],
    ids=["inputs only", "labels only", "both"],
)
def test_synthetic_causes_are_given_their_shares_within_the_intervals(
    shift: float, concept: bool, inputs: float, labels: float
) -> None:
    hits, errors = 0, []
    for seed in range(40):
        found = attributed(seed, shift=shift, concept=concept)
        for cause, truth in ((Cause.INPUTS, inputs), (Cause.LABELS, labels)):
            one = part(found, cause)
            hits += one.low <= truth <= one.high
            errors.append(one.value - truth)
    assert abs(np.mean(errors)) < 0.01
    assert hits >= 61  # of 80; P < 1e-6 at a coverage of 0.93


def test_the_closed_form_of_two_causes_is_oaxaca_and_blinder_with_equal_weights() -> None:
    world = World(1)
    steps, before = before_of(world)
    rows, loss = world.rows(800, shift=0.4, concept=True)
    design = additive.code(steps, rows)
    now = additive.fit(design, loss, np.arange(800))
    found = attribution.attribute(
        before, Labelled(design=design, loss=loss, keys=np.arange(800)), rng=world.rng, draws=20
    )
    inputs = 0.5 * (before.beta + now.beta) @ (now.mean - before.mean)
    assert part(found, Cause.INPUTS).value == pytest.approx(inputs, abs=1e-6)


def test_a_fault_is_taken_out_first() -> None:
    world = World(2)
    steps, before = before_of(world)
    rows, loss = world.rows(1500)
    faulty = world.rng.random(1500) < 0.3
    loss = np.where(faulty, (world.rng.random(1500) < 0.8).astype(float), loss)
    now = Labelled(design=additive.code(steps, rows), loss=loss, keys=np.arange(1500), faulty=faulty)
    found = attribution.attribute(before, now, rng=world.rng, draws=100)
    fault = part(found, Cause.DATA_FAULT)
    assert fault.low <= 0.3 * 0.5 <= fault.high
    assert abs(part(found, Cause.LABELS).value) < 0.05
    everywhere = Labelled(design=now.design, loss=loss, keys=now.keys, faulty=np.ones(1500, dtype=bool))
    told = attribution.attribute(before, everywhere, rng=world.rng, draws=50)
    assert not told.identifiable
    assert {one.cause for one in told.parts} == {Cause.INPUTS, Cause.FAULT_OR_LABELS}


def test_the_version_has_its_part_when_both_answered_both() -> None:
    world = World(3)
    rows, old = world.rows(1200)
    steps = additive.steps_of(rows, old)
    new = np.maximum(old, (world.rng.random(1200) < 0.15).astype(float))
    then_rows, old_now = world.rows(1200)
    new_now = np.maximum(old_now, (world.rng.random(1200) < 0.15).astype(float))
    before = Labelled(design=additive.code(steps, rows), loss=old, keys=np.arange(1200), other=new)
    now = Labelled(design=additive.code(steps, then_rows), loss=new_now, keys=np.arange(1200), other=old_now)
    found = attribution.attribute(before, now, rng=world.rng, draws=100)
    version = part(found, Cause.VERSION)
    assert version.low <= 0.7 * 0.15 <= version.high
    assert version.low > 0.05
    assert part(found, Cause.LABELS).low <= 0.0 <= part(found, Cause.LABELS).high


def test_inputs_without_overlap_and_too_few_labels_are_not_identifiable() -> None:
    world = World(4)
    steps, before = before_of(world)
    rows, loss = world.rows(500, shift=9.0)
    now = Labelled(design=additive.code(steps, rows), loss=loss, keys=np.arange(500))
    found = attribution.attribute(before, now, rng=world.rng, draws=50)
    assert not found.identifiable
    assert [one.cause for one in found.parts] == [Cause.INPUTS_OR_LABELS]
    few = attribution.attribute(
        before, Labelled(design=now.design, loss=loss, keys=np.arange(500) // 50), rng=world.rng
    )
    assert few.change is None
    assert few.parts == ()
    assert "too few labels now" in few.why


def test_wrong_labels_are_taken_out_of_the_labels_part() -> None:
    world = World(5)
    steps, before = before_of(world)
    rows, loss = world.rows(4000)
    flipped = np.where(world.rng.random(4000) < 0.1, 1.0 - loss, loss)
    now = Labelled(design=additive.code(steps, rows), loss=flipped, keys=np.arange(4000))
    twice = (attribution.Relabelled(disagreements=0, pairs=200), attribution.Relabelled(disagreements=36, pairs=200))
    found = attribution.attribute(before, now, rng=world.rng, draws=100, noise=twice)
    noise = part(found, Cause.LABEL_NOISE)
    assert noise.value == pytest.approx(0.1 * (1 - 2 * 0.3), abs=0.02)
    assert noise.high - noise.low > 0.01  # how many labels are wrong is known from 200 pairs only
    assert abs(part(found, Cause.LABELS).value) < 0.03


def test_the_share_of_wrong_labels_follows_from_disagreement() -> None:
    value, low, high = attribution.noise_rate(180, 1000)  # 2 · 0.1 · 0.9
    assert value == pytest.approx(0.1)
    assert low < 0.1 < high


def test_a_whole_key_is_drawn_at_once() -> None:
    world = World(6)
    steps, before = before_of(world)
    rows, loss = world.rows(60)
    rows, loss = [row for row in rows for _ in range(20)], np.repeat(loss, 20)
    design = additive.code(steps, rows)
    alone = attribution.attribute(before, Labelled(design=design, loss=loss, keys=np.arange(1200)), rng=world.rng)
    by_key = attribution.attribute(
        before, Labelled(design=design, loss=loss, keys=np.repeat(np.arange(60), 20)), rng=world.rng
    )
    assert alone.change is not None
    assert by_key.change is not None
    assert by_key.change.high - by_key.change.low > 2 * (alone.change.high - alone.change.low)
