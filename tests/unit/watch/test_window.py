"""How an event becomes an observation, and observations become blocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from mainstay.core.contracts import Pii
from mainstay.core.events import Arm, Kind, Trust
from mainstay.watch.window import Observation, Outcome, cut, observe, once, outcome_of

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def made(n: int, *, start: datetime = NOW) -> list[Observation]:
    moments = [start + timedelta(seconds=i) for i in range(n)]
    return [Observation(id=f"e{i}", key="k", occurred_at=at, received_at=at) for i, at in enumerate(moments)]


def sizes(n: int, *, now: datetime = NOW + timedelta(seconds=1)) -> tuple[list[int], int]:
    blocks, rest = cut(made(n), least=32, most=1000, patience=timedelta(minutes=10), now=now)
    return [len(block) for block in blocks], len(rest)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, ([], 0)),
        (31, ([], 31)),
        (32, ([32], 0)),
        (100, ([32, 32, 32], 4)),
        (800, ([100] * 8, 0)),
        (20_000, ([1000] * 20, 0)),
    ],
)
def test_blocks_have_32_to_1000_requests_and_a_backlog_about_eight_blocks(n: int, expected: tuple) -> None:
    assert sizes(n) == expected


def test_what_waited_ten_minutes_makes_a_block() -> None:
    assert sizes(5, now=NOW + timedelta(minutes=10)) == ([5], 0)
    assert sizes(40, now=NOW + timedelta(minutes=11)) == ([32, 8], 0)


def test_blocks_are_cut_in_order_of_arrival() -> None:
    rows = made(64)
    blocks, _ = cut(rows[::-1], least=32, most=1000, patience=timedelta(minutes=10), now=NOW)
    assert [row for block in blocks for row in block] == rows


def test_an_answered_request_gives_signals_segments_and_words(desk, calm) -> None:
    event = msgspec.structs.replace(
        desk.make(calm, 1)[0], inputs={"note": "The yo box", "region": "north", "size": 3.0}, label="a", confidence=0.8
    )
    seen = observe(event, desk.reference.signals, desk.reference.contract)
    assert seen.outcome is Outcome.ANSWERED
    assert seen.signals["note.unseen"] == pytest.approx(1 / 3)
    assert (seen.signals["size"], seen.signals["size.missing"]) == (3.0, 0.0)
    assert (seen.signals["answer.label"], seen.signals["answer.confidence"]) == ("a", 0.8)
    assert seen.segments == ["region=north"]
    assert seen.words == {"note": ["box", "the", "yo"]}


def test_a_field_that_the_journal_hides_gives_nothing(desk, calm) -> None:
    contract = desk.reference.contract
    hidden = replace(contract, fields=tuple(replace(f, pii=Pii.HASH) for f in contract.fields))
    event = msgspec.structs.replace(desk.make(calm, 1)[0], inputs={"note": "ab12", "region": "cd34", "size": "ef56"})
    seen = observe(event, desk.reference.signals, hidden)
    assert {name for name in seen.signals if not name.startswith("answer.")} == set()
    assert (seen.segments, seen.words) == ([], {})


def test_values_that_cannot_be_measured_are_missing(desk, calm) -> None:
    event = msgspec.structs.replace(
        desk.make(calm, 1)[0], kind=Kind.EXTERNAL, inputs={"note": 7, "size": "big"}, confidence=float("inf")
    )
    seen = observe(event, desk.reference.signals, desk.reference.contract)
    assert set(seen.signals) == {"answer.label", "answer.low_trust", "answer.abstained"}


def test_refusals_failures_and_fallbacks_are_told_apart(desk, calm) -> None:
    event = desk.make(calm, 1)[0]
    with_ = msgspec.structs.replace
    assert outcome_of(with_(event, kind=Kind.REFUSAL)) is Outcome.REFUSED
    assert outcome_of(with_(event, status=503)) is Outcome.FAILED
    assert outcome_of(with_(event, kind=Kind.ERROR)) is Outcome.FAILED
    fallback = with_(event, served_arm=Arm.FALLBACK)
    assert outcome_of(fallback) is Outcome.FAILED
    seen = observe(fallback, desk.reference.signals, desk.reference.contract)
    assert "answer.label" not in seen.signals
    assert "note.length" in seen.signals


def test_a_model_that_abstained_did_not_fail_and_what_was_answered_in_its_place_is_not_its_answer(desk, calm) -> None:
    event = desk.make(calm, 1)[0]
    stood_in = msgspec.structs.replace(
        event, served_arm=Arm.FALLBACK, trust=Trust.ABSTAIN, reason="abstained: champion at confidence 0.10"
    )
    seen = observe(stood_in, desk.reference.signals, desk.reference.contract)
    assert seen.outcome is Outcome.ANSWERED
    assert {name: value for name, value in seen.signals.items() if name.startswith("answer.")} == {
        "answer.low_trust": 1.0,
        "answer.abstained": "yes",
    }
    previous = msgspec.structs.replace(event, served_arm=Arm.PREVIOUS)
    assert outcome_of(previous) is Outcome.ANSWERED
    assert outcome_of(msgspec.structs.replace(previous, reason="champion: ValueError")) is Outcome.FAILED


def test_an_id_that_two_hosts_answered_is_one_request() -> None:
    seen = [msgspec.structs.replace(row, arm="champion") for row in made(2)]
    rows, repeats = once([*seen, msgspec.structs.replace(seen[0], key="k2")])
    assert (rows, repeats) == (seen, 1)


def test_ids_of_a_service_elsewhere_are_its_own() -> None:
    assert once(made(1) * 2)[1] == 0
