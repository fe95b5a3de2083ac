"""A loss that labels show is shared out as it was caused, from the store's labels; what cannot be told is said."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.events import Feedback
from mainstay.models.answers import Answer, answer
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.models.profiles import build_profile
from mainstay.models.reference import ReferenceOnly
from mainstay.store import feedback
from mainstay.store.engine import Store
from mainstay.store.feedback import Graded
from mainstay.testing.clock import FakeClock
from mainstay.watch.compare import WatchState
from mainstay.watch.lifecycle import Bundle
from mainstay.watch.quality_causes import causes_of

START = datetime(2026, 3, 1, tzinfo=UTC)
CONTRACT = Contract(
    task=Task.BINARY,
    target="late",
    classes=("no", "yes"),
    fields=(
        Field(name="load", type=FieldType.NUMBER, required=False),
        Field(name="depot", type=FieldType.CATEGORY, values=("a", "b")),
    ),
)


class Scorer:
    """Says yes where the load is above `cut`; a missing load is taken for 0."""

    def __init__(self, cut: float) -> None:
        self.cut = cut
        self.classes_ = np.array(["no", "yes"])

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        load = rows["load"].astype(float).fillna(0.0).to_numpy()
        p = 1.0 / (1.0 + np.exp(-2.0 * (load - self.cut)))
        return np.column_stack([1.0 - p, p])


class World:
    """Late are loads above 0, by chance; of depot b, from `concept` on, the more often the other way round."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def rows(self, n: int, *, shift: float = 0.0) -> list[dict[str, Any]]:
        loads, depots = self.rng.normal(shift, 1.0, n), self.rng.choice(["a", "b"], n)
        return [{"load": float(x), "depot": str(z)} for x, z in zip(loads, depots, strict=True)]

    def truth(self, row: dict[str, Any], *, concept: float = 0.0) -> str:
        p = 1.0 / (1.0 + np.exp(-2.0 * row["load"]))
        if row["depot"] == "b" and self.rng.random() < concept:
            p = 1.0 - p
        return "yes" if self.rng.random() < p else "no"


def model(world: World, *, cut: float = 0.0) -> LoadedModel:
    """Return a version with the profile of 2,000 held-out rows."""
    rows = world.rows(2000)
    bare = LoadedModel(
        estimator=Scorer(cut),
        contract=CONTRACT,
        classes=CONTRACT.classes,
        spec=InputSpec(),
        features=None,
        vocabulary={},
        profile=build_profile(CONTRACT, [], [], None, None, source="none", vocabulary={}),
    )
    profile = build_profile(
        CONTRACT, rows, answer(bare, rows), [world.truth(row) for row in rows], None, source="test", vocabulary={}
    )
    return LoadedModel(
        estimator=Scorer(cut),
        contract=CONTRACT,
        classes=CONTRACT.classes,
        spec=InputSpec(),
        features=None,
        vocabulary={},
        profile=profile,
    )


def labelled(
    loaded: LoadedModel,
    rows: list[dict[str, Any]],
    truth: list[str],
    *,
    name: str = "m@1",
    day: int = 0,
    served: list[dict[str, Any]] | None = None,
) -> list[Graded]:
    """Return the rows as labelled answers; `served` are the inputs that the model saw, where they were others."""
    seen = served or rows
    out = []
    for i, (row, true, said) in enumerate(zip(seen, truth, answer(loaded, seen), strict=True)):
        happened = START + timedelta(days=day, seconds=i)
        out.append(
            Graded(
                model="m",
                id=f"{name}-{day}-{i}",
                name="late",
                value=true,
                at=happened + timedelta(hours=1),
                feedback_id=f"f-{name}-{day}-{i}",
                bundle=name,
                served_arm="champion",
                key_hash="",
                unit="",
                occurred_at=happened,
                label=said.label,
                confidence=said.confidence,
                inputs=row if served is None else served[i],
                correct=said.label == true,
            )
        )
    return out


@pytest.fixture
def store() -> Store:
    return Store.open("sqlite://", clock=FakeClock())


def told(
    store: Store, loaded: LoadedModel | ReferenceOnly, items: list[Graded], *, name: str = "m@1", **how: Any
) -> dict[str, Any]:
    bundle = Bundle(name=name, reference=loaded, state=WatchState(model="m", bundle=name, by_key=False), version=None)
    bundle.open_version = how.pop("provider", lambda _name: None)
    with store.begin() as tx:
        return causes_of(tx, bundle, items, since=START + timedelta(days=1), **how)


def parts(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {part["cause"]: part for part in found["parts"]}


def test_a_changed_relation_is_told_against_the_reference_rows(store: Store) -> None:
    world = World()
    loaded, rows = model(world), world.rows(900)
    found = told(store, loaded, labelled(loaded, rows, [world.truth(row, concept=0.6) for row in rows], day=1))
    assert found["identifiable"]
    assert found["before"] == "the reference rows"
    labels = parts(found)["labels_given_inputs"]
    assert labels["low"] > 0.05
    assert abs(parts(found)["inputs"]["value"]) < 0.03
    assert sum(part["value"] for part in found["parts"]) == pytest.approx(found["change"]["value"])
    assert "another relation between inputs and truth" in found["text"][1]


def test_other_inputs_are_told_against_labelled_requests_of_before(store: Store) -> None:
    world = World(1)
    loaded = model(world)
    calm = world.rows(600, shift=1.5)  # far from the cut: answers are mostly right
    near = world.rows(900, shift=0.0)
    items = labelled(loaded, calm, [world.truth(row) for row in calm])
    items += labelled(loaded, near, [world.truth(row) for row in near], day=1)
    found = told(store, loaded, items)
    assert found["before"] == "labelled requests before"
    inputs = parts(found)["inputs"]
    assert inputs["low"] > 0.02
    assert abs(parts(found)["labels_given_inputs"]["value"]) < inputs["value"] / 2


def test_a_broken_field_takes_its_part_first(store: Store) -> None:
    world = World(2)
    loaded, rows = model(world), world.rows(1200, shift=0.8)
    before = world.rows(600, shift=0.8)
    lost = world.rng.random(1200) < 0.4
    served = [row | {"load": None} if hit else row for row, hit in zip(rows, lost, strict=True)]
    items = labelled(loaded, before, [world.truth(row) for row in before])
    items += labelled(loaded, rows, [world.truth(row) for row in rows], day=1, served=served)
    found = told(store, loaded, items, broken=["load"])
    fault = parts(found)["data_fault"]
    load = np.random.default_rng(0).normal(0.8, 1.0, 200_000)
    late = 1.0 / (1.0 + np.exp(-2.0 * load))
    wrong = np.where(load > 0, 1.0 - late, late)  # without its load a row is said to be in time
    assert fault["low"] <= 0.4 * (late.mean() - wrong.mean()) <= fault["high"]
    assert parts(found)["labels_given_inputs"]["low"] <= 0.0 <= parts(found)["labels_given_inputs"]["high"]
    assert "`load` being broken" in found["text"][1]


def test_a_worse_version_has_its_part_by_asking_both(store: Store) -> None:
    world = World(3)
    first, second = model(world), model(world, cut=1.0)
    then, now = world.rows(500), world.rows(500)
    items = labelled(first, then, [world.truth(row) for row in then])
    items += labelled(second, now, [world.truth(row) for row in now], name="m@2", day=1)
    found = told(store, second, items, name="m@2", provider=lambda _name: first)
    assert found["before"] == "labelled answers of m@1"
    version = parts(found)["version"]
    assert version["low"] > 0.05
    assert abs(parts(found)["labels_given_inputs"]["value"]) < 0.05


def test_wrong_labels_are_told_from_rows_that_two_people_labelled(store: Store) -> None:
    world = World(4)
    loaded = model(world)
    before, now = world.rows(600), world.rows(900)
    good = [world.truth(row) for row in before]
    bad = [world.truth(row) for row in now]
    bad = [{"yes": "no", "no": "yes"}[value] if world.rng.random() < 0.25 else value for value in bad]
    items = [*labelled(loaded, before, good), *labelled(loaded, now, bad, day=1)]
    with store.begin() as tx:
        for item in items[::6]:
            again = item.value
            if item.occurred_at >= START + timedelta(days=1) and world.rng.random() < 0.375:  # 2 · .25 · .75
                again = {"yes": "no", "no": "yes"}[again]
            for who, value in (("ann", item.value), ("bob", again)):
                said = Feedback(
                    id=item.id,
                    feedback_id=f"{item.id}-{who}",
                    kind="label",
                    name="late",
                    value=value,
                    at=item.at,
                    by=who,
                )
                feedback.put(tx, "m", said, received_at=item.at)
    found = parts(told(store, loaded, items))
    assert found["label_noise"]["value"] > 0.05
    assert abs(found["labels_given_inputs"]["value"]) < found["label_noise"]["value"] / 1.5


def test_few_labels_share_nothing_out_and_say_so(store: Store) -> None:
    world = World(5)
    loaded, rows = model(world), world.rows(20)
    found = told(store, loaded, labelled(loaded, rows, [world.truth(row) for row in rows], day=1))
    assert found["parts"] == []
    assert not found["identifiable"]
    assert "20 labels came since it began" in found["text"][0]


def test_inputs_that_were_never_seen_cannot_be_told_from_a_changed_relation(store: Store) -> None:
    world = World(6)
    loaded, rows = model(world), world.rows(500, shift=9.0)
    found = told(store, loaded, labelled(loaded, rows, ["no"] * 500, day=1))
    assert not found["identifiable"]
    assert set(parts(found)) == {"inputs_or_labels"}
    assert "cannot be told apart" in found["text"][1]


def test_a_regression_is_shared_out_by_its_distance_from_the_truth(store: Store) -> None:
    contract = Contract(task=Task.REGRESSION, target="hours", fields=CONTRACT.fields)
    rng = np.random.default_rng(7)

    def draw(n: int, off: float) -> tuple[list[dict[str, Any]], list[Answer], list[float]]:
        rows = [{"load": float(x), "depot": str(rng.choice(["a", "b"]))} for x in rng.normal(size=n)]
        answers = [Answer(label=10.0 + row["load"]) for row in rows]
        noise = rng.normal(0.0, [off if row["depot"] == "b" else 1.0 for row in rows])
        return rows, answers, [float(a.label) + float(e) for a, e in zip(answers, noise, strict=True)]

    rows, given, truth = draw(2000, 1.0)
    profile = build_profile(contract, rows, given, truth, None, source="test", vocabulary={})
    reference = ReferenceOnly(contract=contract, profile=profile, vocabulary={})
    rows, given, truth = draw(600, 3.0)
    items = [
        Graded(
            model="m",
            id=f"e{i}",
            name="hours",
            value=true,
            at=START + timedelta(days=2),
            feedback_id=f"f{i}",
            bundle="m@1",
            served_arm="champion",
            key_hash="",
            unit="",
            occurred_at=START + timedelta(days=1, seconds=i),
            label=said.label,
            confidence=None,
            inputs=row,
            correct=None,
        )
        for i, (row, said, true) in enumerate(zip(rows, given, truth, strict=True))
    ]
    found = told(store, reference, items)
    labels = parts(found)["labels_given_inputs"]
    expected = (3.0 - 1.0) / 2.0 * float(np.sqrt(2.0 / np.pi))
    assert labels["low"] < expected < labels["high"]
    assert found["text"][0].startswith("On labels, the mean distance from the truth rose by")


def test_labels_beyond_all_sense_do_not_end_a_turn(store: Store) -> None:
    world = World(8)
    loaded, rows = model(world), world.rows(60)
    contract = Contract(task=Task.REGRESSION, target="late", fields=CONTRACT.fields)
    answers = [Answer(label=1.0)] * 60
    profile = build_profile(contract, rows, answers, [1.5] * 60, None, source="test", vocabulary={})
    reference = ReferenceOnly(contract=contract, profile=profile, vocabulary={})
    items = [
        replace(item, label=1.0, value=-1.7e308, correct=None, confidence=None)
        for item in labelled(loaded, rows, ["no"] * 60, day=1)
    ]
    found = told(store, reference, items)
    assert np.isfinite(found["change"]["value"])
    json.dumps(found, allow_nan=False)
