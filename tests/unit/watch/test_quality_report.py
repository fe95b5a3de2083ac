"""Quality over time, three ways side by side: without labels, with few, and measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from mainstay.cli import output
from mainstay.cli.quality import lines
from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.core.errors import UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals
from mainstay.store import blocks, feedback
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import quality
from mainstay.watch.quality_labelled import Known
from mainstay.watch.quality_records import Line, QualityReport
from mainstay.watch.quality_report import report, start_of
from mainstay.watch.window import observe

START = datetime(2026, 3, 2, tzinfo=UTC)
FIELDS = (
    Field(name="load", type=FieldType.NUMBER),
    Field(name="depot", type=FieldType.CATEGORY, values=("a", "b"), roles=(Role.FEATURE, Role.SEGMENT)),
)
LATE = Contract(task=Task.BINARY, target="late", classes=("no", "yes"), fields=FIELDS)
HOURS = Contract(task=Task.REGRESSION, target="hours", fields=FIELDS)


class World:
    """Late by chance with the load; from `worse` on the load says less. Hours are as far off as depot b is busy."""

    def __init__(self, contract: Contract, seed: int = 0) -> None:
        self.contract = contract
        self.rng = np.random.default_rng(seed)

    def draw(self, n: int, *, worse: float = 0.0, shift: float = 0.0) -> tuple[list[dict], list[Answer], list[Any]]:
        loads = self.rng.normal(shift, 1.0, n)
        depots = self.rng.choice(["a", "b"], n)
        rows = [{"load": float(x), "depot": str(z)} for x, z in zip(loads, depots, strict=True)]
        if self.contract.task is Task.REGRESSION:
            off = self.rng.normal(0.0, np.where(depots == "b", 3.0, 1.0) * (1.0 + worse))
            answers = [Answer(label=10.0 + float(x)) for x in loads]
            return rows, answers, [float(a.label) + float(o) for a, o in zip(answers, off, strict=True)]
        p = 1.0 / (1.0 + np.exp(-2.0 * loads))
        real = np.where(self.rng.random(n) < worse, 1.0 - p, p)
        truth = ["yes" if hit else "no" for hit in self.rng.random(n) < real]
        return rows, [_answer(float(x)) for x in p], truth

    def known(self) -> Known:
        rows, answers, truth = self.draw(3000)
        profile = build_profile(self.contract, rows, answers, truth, None, source="test", vocabulary={})
        return Known(name="m@1", contract=self.contract, profile=profile, signals=RowSignals(self.contract, {}))


def _answer(p: float) -> Answer:
    return Answer(label="yes" if p > 0.5 else "no", probabilities={"no": 1.0 - p, "yes": p}, confidence=max(p, 1.0 - p))


def live(
    store: Store, world: World, known: Known, *, day: int, rows: int = 800, labels: int = 0, **how: float
) -> float:
    """Put a day's requests into two blocks, with labels for the first of them; return the day's true accuracy."""
    given, answers, truth = world.draw(rows, **how)
    events = [
        Event(
            model="m",
            worker="w0",
            seq=i + 1,
            id=f"{day}-{i}",
            kind=Kind.PREDICTION,
            occurred_at=START + timedelta(days=day, seconds=i),
            received_at=START + timedelta(days=day, seconds=i),
            bundle="m@1",
            served_arm=Arm.CHAMPION,
            key_hash=f"{day}-{i}",
            inputs=row,
            label=said.label,
            probabilities=said.probabilities,
            confidence=said.confidence,
        )
        for i, (row, said) in enumerate(zip(given, answers, strict=True))
    ]
    seen = [observe(event, known.signals, known.contract) for event in events]
    with store.begin() as tx:
        for half in (0, 1):
            part = seen[half * rows // 2 : (half + 1) * rows // 2]
            block = blocks.Block(
                model="m",
                bundle="m@1",
                number=2 * day + half,
                first_at=part[0].occurred_at,
                last_at=part[-1].occurred_at,
                rows=len(part),
                keys=len(part),
                summary={"quality": json.loads(json.dumps(quality.block_sums(part, known.profile.quality)))},
            )
            blocks.put_block(tx, block)
        for event, true in list(zip(events, truth, strict=True))[:labels]:
            feedback.grade(tx, graded(event, true, known.contract))
    return float(np.mean([event.label == true for event, true in zip(events, truth, strict=True)]))


def graded(event: Event, true: Any, contract: Contract) -> feedback.Graded:
    return feedback.Graded(
        model="m",
        id=event.id,
        name=contract.target,
        value=true,
        at=event.occurred_at + timedelta(hours=1),
        feedback_id=f"f-{event.id}",
        bundle="m@1",
        served_arm="champion",
        key_hash=event.key_hash,
        unit="",
        occurred_at=event.occurred_at,
        label=event.label,
        confidence=event.confidence,
        inputs=event.inputs,
        correct=None if contract.task is Task.REGRESSION else event.label == true,
        probabilities=event.probabilities,
    )


@pytest.fixture
def store() -> Store:
    return Store.open("sqlite://", clock=FakeClock())


def told(store: Store, known: Known, **how: Any) -> QualityReport:
    with store.read() as tx:
        return report(tx, model="m", known=known, **how)


def line(found: Sequence[Line], metric: str) -> Line:
    return next(one for one in found if one.metric == metric)


def test_days_are_told_three_ways_and_a_changed_relation_shows_as_soon_as_labels_come(store: Store) -> None:
    world = World(LATE)
    known = world.known()
    good = live(store, world, known, day=0, labels=60)
    bad = live(store, world, known, day=1, labels=60, worse=0.4)
    found = told(store, known)
    assert [window.name for window in found.windows] == ["2026-03-02", "2026-03-03"]
    first, second = (line(window.lines, "accuracy") for window in found.windows)
    assert first.estimated is not None
    assert first.estimated.low < good < first.estimated.high
    assert second.estimated is not None
    assert second.estimated.low > bad  # as the assumption says: without labels it cannot be seen
    for one, true in ((first, good), (second, bad)):
        assert one.few_labels is not None
        assert one.measured is not None
        assert one.few_labels.low < true < one.few_labels.high
        assert one.measured.low < true < one.measured.high
        assert one.few_labels.high - one.few_labels.low < 1.02 * (one.measured.high - one.measured.low)
    assert found.held_out["accuracy"] == pytest.approx(good, abs=0.05)
    assert "labels of random requests tell" in found.unknown
    assert 700 < found.labels_needed < 1100


def test_a_regression_is_estimated_without_labels_and_in_each_segment(store: Store) -> None:
    world = World(HOURS)
    known = world.known()
    live(store, world, known, day=0, rows=2000, labels=200)
    found = told(store, known)
    mae = line(found.whole.lines, "mae")
    expected = (3.0 + 1.0) / 2.0 * float(np.sqrt(2.0 / np.pi))
    for value in (mae.estimated, mae.few_labels, mae.measured):
        assert value is not None
        assert value.low < expected < value.high
    segments = {window.name: line(window.lines, "mae") for window in found.segments}
    for name, sd in (("depot=a", 1.0), ("depot=b", 3.0)):
        free = segments[name].estimated
        assert free is not None
        assert free.low < sd * float(np.sqrt(2.0 / np.pi)) < free.high


def test_any_metric_of_scikit_learn_may_be_named_and_an_unknown_one_says_the_nearest(store: Store) -> None:
    world = World(LATE)
    known = world.known()
    live(store, world, known, day=0, labels=100)
    found = told(store, known, metrics=("balanced_accuracy", "roc_auc"), every="week")
    (window,) = found.windows
    assert window.name == "2026-03-02"
    assert line(window.lines, "balanced_accuracy").measured is not None
    assert line(window.lines, "balanced_accuracy").estimated is None
    assert line(window.lines, "roc_auc").estimated is not None
    with pytest.raises(UsageError, match="did you mean 'roc_auc'"):
        told(store, known, metrics=("roc_acu",))
    with pytest.raises(UsageError, match="fortnight"):
        told(store, known, every="fortnight")


def test_a_truth_that_is_no_declared_class_makes_the_answer_wrong_and_nothing_fail(store: Store) -> None:
    world = World(LATE)
    known = world.known()
    live(store, world, known, day=0, labels=100)
    with store.begin() as tx:
        for item in feedback.labels_of(tx, "m", "m@1", limit=30):
            later, other = item.at + timedelta(hours=1), f"again-{item.id}"
            feedback.grade(tx, replace(item, value="maybe", correct=False, at=later, feedback_id=other))
        odd = [item for item in feedback.labels_of(tx, "m", "m@1", limit=1000) if item.value == "maybe"]
    assert len(odd) == 30
    found = told(store, known)
    accuracy, loss = line(found.whole.lines, "accuracy"), line(found.whole.lines, "log_loss")
    assert accuracy.measured is not None
    assert accuracy.measured.value < 0.7
    assert loss.measured is not None
    assert loss.measured.value < 1.0
    assert loss.few_labels is not None


def test_inputs_unlike_the_reference_are_marked_for_people(store: Store) -> None:
    world = World(LATE)
    known = world.known()
    live(store, world, known, day=0, shift=7.0)
    found = told(store, known)
    assert not found.windows[0].trusted
    shown = [text for text in lines(found, segments=True) if isinstance(text, str)]
    assert any("not to be trusted" in text for text in shown)
    assert any(text.startswith("Not known: no labels came") for text in shown)
    json.dumps(output.plain(found))


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    moment = datetime(2026, 3, 5, 13, 40, tzinfo=UTC)
    begins = {every: start_of(moment, every).isoformat() for every in ("hour", "day", "week", "month")}
    assert begins == {
        "hour": "2026-03-05T13:00:00+00:00",
        "day": "2026-03-05T00:00:00+00:00",
        "week": "2026-03-02T00:00:00+00:00",
        "month": "2026-03-01T00:00:00+00:00",
    }
