"""What an alarm is called: a page for harm that is shown, a note for what merely moved."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from mainstay.config.settings import WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals
from mainstay.store import blocks, feedback, incidents
from mainstay.watch import compare, diagnose, estimate, findings, story
from mainstay.watch.window import observe

PRICE = Contract(
    task=Task.REGRESSION,
    target="price",
    fields=(Field(name="size", type=FieldType.NUMBER),),
)
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def the_incident(desk):
    with desk.store.read() as tx:
        (found,) = incidents.list_(tx, "m")
    return found


def test_a_field_that_is_missing_less_often_is_no_fault(desk, make_reference, people) -> None:
    desk.reference = make_reference(people=people(missing_size=0.5))
    desk.feed(people(missing_size=0.5), 100)
    desk.feed(people(missing_size=0.0), 400)
    found = the_incident(desk)
    assert (found.harm, found.severity) == (Harm.INPUT, Severity.NOTE)
    assert "without `size` fell" in found.title


def test_a_zeroed_field_is_a_page_that_names_it_and_claims_no_accuracy(desk, calm, people) -> None:
    desk.feed(calm, 200)
    sure = people(confidence=0.99)
    for _ in range(3):
        desk.turn([msgspec.structs.replace(e, inputs=e.inputs | {"size": -99.0}) for e in desk.make(sure, 40)])
    found = the_incident(desk)
    assert (found.harm, found.severity) == (Harm.DATA_FAULT, Severity.PAGE)
    # Seen in the block in which it began, where not every request has it yet.
    assert found.title.startswith(
        "The share of `size` at a usual default (0, -1, 99, … or its commonest value) rose from 0"
    )
    told = " ".join(found.story)
    assert "the accuracy cannot be estimated" in told
    assert "Estimated accuracy" not in told
    with desk.store.read() as tx:
        assert blocks.blocks(tx, "m", limit=1)[0].summary["estimate"]["assumption"] == estimate.BROKEN


def finding(signal: str, harm: Harm) -> Finding:
    return Finding(
        signal=signal, harm=harm, since=NOW, before=0.9, now=0.8, shift=-1.0, evidence=1.0, text=f"{signal} fell"
    )


def test_answers_that_moved_alone_are_named_and_no_inputs_are() -> None:
    named = story.title(Harm.INPUT, [finding("answer.entropy", Harm.QUALITY)], None)
    assert named == "Answers changed, their harm is not known: Answer.entropy fell"
    both = [finding("answer.entropy", Harm.QUALITY), finding("size", Harm.INPUT)]
    assert story.title(Harm.INPUT, both, None) == "Inputs changed, their harm is not known: Size fell"


def test_a_drop_within_chance_makes_no_page_however_often_one_looks(desk, calm) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    rows = [observe(e, desk.reference.signals, desk.reference.contract) for e in desk.make(calm, 64)]
    comparison = compare.update(state, rows, desk.reference.profile, WatchSettings())
    drop = estimate.Estimate(
        value=0.8, low=0.7, high=0.89, n=40, reference=0.9, assumption=estimate.ASSUMPTION, drop_shown=True
    )
    moved = [finding("size", Harm.INPUT)]
    assert diagnose.harm_of(moved, drop, comparison, WatchSettings()) is Harm.INPUT
    moved.append(finding("answer.confidence", Harm.QUALITY))
    assert diagnose.harm_of(moved, drop, comparison, WatchSettings()) is Harm.QUALITY


def test_the_more_often_one_looked_the_more_a_finding_must_show(desk, calm, people) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    profile = desk.reference.profile
    for _ in range(4):
        rows = [observe(e, desk.reference.signals, desk.reference.contract) for e in desk.make(calm, 40)]
        compare.update(state, rows, profile, WatchSettings())
    rows = [observe(e, desk.reference.signals, desk.reference.contract) for e in desk.make(people(size=13.0), 40)]
    comparison = compare.update(state, rows, profile, WatchSettings())
    assert "size" in {f.signal for f in findings.find(state, comparison)}
    assert "size" not in {f.signal for f in findings.find(state, comparison, look=10**9)}


@pytest.mark.parametrize(("measured_distinct", "expected"), [(1000, 2.0), (10, 40.0)])
def test_equal_requests_count_once_only_where_they_are_unusual(desk, calm, measured_distinct, expected) -> None:
    profile = msgspec.structs.replace(desk.reference.profile, rows=1000, distinct=measured_distinct)
    state = compare.WatchState(model="m", bundle="m@1")
    rows = [
        msgspec.structs.replace(
            observe(e, desk.reference.signals, desk.reference.contract), key="gateway", unit=f"u{i % 2}"
        )
        for i, e in enumerate(desk.make(calm, 40))
    ]
    found = compare.update(state, rows, profile, WatchSettings(), key_declared=False)
    assert found.units == expected
    assert state.history.totals[found.plan.columns("region")].sum() == pytest.approx(expected)


@pytest.fixture
def prices(desk):
    rng = np.random.default_rng(3)
    rows = [{"size": float(rng.normal(10, 3))} for _ in range(300)]
    answers = [Answer(label=10.0 * row["size"]) for row in rows]
    truth = [a.label + float(rng.normal(0, 4)) for a in answers]
    profile = build_profile(PRICE, rows, answers, truth, None, source="test", vocabulary={})
    desk.reference = type(desk.reference)(contract=PRICE, profile=profile, signals=RowSignals(PRICE, {}))
    return desk


def answered(desk, n: int, *, error: float) -> None:
    """Let n requests be answered and labelled, the truth being off by about `error`."""
    for _ in range(n // 40):
        events = []
        for _ in range(40):
            size = float(desk.rng.normal(10, 3))
            events.append(desk._append({"size": size}, Answer(label=10.0 * size), 1, 1.0))
        with desk.store.begin() as tx:
            for event in events:
                feedback.grade(tx, label_of(desk, event, error))
        desk.turn(events)


def label_of(desk, event, error: float) -> feedback.Graded:
    return feedback.Graded(
        model="m",
        id=event.id,
        name="price",
        value=event.label + float(desk.rng.normal(0, error)),
        at=desk.clock.now(),
        feedback_id=f"f-{event.id}",
        bundle=event.bundle,
        served_arm="champion",
        key_hash=event.key_hash,
        unit=event.unit,
        occurred_at=event.occurred_at,
        label=event.label,
        confidence=None,
        correct=None,
    )


def test_a_regression_that_errs_as_ever_raises_nothing(prices) -> None:
    answered(prices, 600, error=4.0)
    with prices.store.read() as tx:
        assert incidents.list_(tx, "m") == []


def test_a_regression_whose_labels_lie_further_away_is_a_page_about_quality(prices) -> None:
    answered(prices, 200, error=4.0)
    answered(prices, 120, error=16.0)
    found = the_incident(prices)
    assert (found.harm, found.severity) == (Harm.QUALITY, Severity.PAGE)
    assert found.title.startswith("The mean distance of the answer from its label rose from 3.")
    assert found.facts["error"]["value"] > 2 * found.facts["error"]["reference"]
    assert "points" not in found.facts["not_known"]


def test_a_regression_that_errs_less_is_no_harm(prices) -> None:
    answered(prices, 200, error=4.0)
    answered(prices, 400, error=0.5)
    assert the_incident(prices).severity is Severity.NOTE


def test_a_note_about_a_regression_claims_no_estimate(prices) -> None:
    answered(prices, 200, error=4.0)
    for _ in range(10):
        rows = [{"size": float(prices.rng.normal(10, 5))} for _ in range(40)]
        prices.turn([prices._append(row, Answer(label=100.0), 1, 1.0) for row in rows])
    found = the_incident(prices)
    assert "no harm is estimated" not in found.title
    assert "within ±3 points" not in " ".join(found.story)
