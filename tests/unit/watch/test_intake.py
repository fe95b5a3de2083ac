"""Dense traffic: everything is counted, a bounded part is measured, and a unit is in or out as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from mainstay.config.settings import Settings
from mainstay.core.events import Event, Kind
from mainstay.store import blocks, incidents
from mainstay.watch import intake as taking
from mainstay.watch import streams
from mainstay.watch.compare import WatchState, counts_each
from mainstay.watch.intake import Cut, Intake, Rest, busy_after, is_dense, level
from mainstay.watch.window import Observation, observe

MOST = 100
SETTINGS = Settings.model_validate({"watch": {"block_max_rows": MOST}})
SPARSE = 0.01
"""Seconds between requests that come slowly."""
DENSE = 0.0001


def dense(desk, people, n: int, *, users: int = 500) -> list[Event]:
    """Return n requests at 10,000 a second."""
    desk.settings = SETTINGS
    return desk.make(people, n, users=users, gap_s=DENSE)


def intake(desk, *, by_key: bool = True) -> tuple[Intake, streams.Plan]:
    profile = desk.reference.profile
    plan = streams.plan(profile, SETTINGS.watch)
    made = Intake(plan, desk.reference.contract, most=MOST, by_key=by_key, each=counts_each(profile))
    return made, plan


def taken(desk, events: Sequence[Event], *, by_key: bool = True) -> tuple[list[Cut], list[Observation], Rest | None]:
    """Return the events as the watch takes them at once."""
    seen = desk.reference
    return intake(desk, by_key=by_key)[0].take([], None, events, lambda e: observe(e, seen.signals, seen.contract))


def test_half_of_the_units_stay_at_each_level() -> None:
    levels = Counter(level(f"customer {i}") for i in range(100_000))
    for halvings in range(6):
        share = sum(n for found, n in levels.items() if found >= halvings) / 100_000
        assert share == pytest.approx(0.5**halvings, rel=0.06)


@pytest.fixture
def no_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call traffic dense as soon as it comes faster than it is measured."""
    monkeypatch.setattr(taking, "BURST", timedelta(0))


def test_traffic_is_dense_when_too_much_comes_for_too_long(desk, calm) -> None:
    slow, fast = desk.make(calm, 100, gap_s=SPARSE), desk.make(calm, 100, gap_s=DENSE)
    assert not is_dense(None, slow)
    assert not is_dense(None, fast)
    busy = None
    turns = 0
    while not is_dense(busy, fast):  # 100 requests in a hundredth of a second, again and again, take a tenth each
        busy = busy_after(busy, fast[0].received_at, len(fast))
        turns += 1
    assert 190 <= turns <= 205
    later = [msgspec.structs.replace(e, received_at=e.received_at + timedelta(minutes=1)) for e in fast]
    assert not is_dense(busy, later)


def test_of_dense_traffic_each_key_is_measured_as_a_whole_or_not_at_all(desk, calm) -> None:
    events = dense(desk, calm, 3_000, users=2_000)
    cuts, waiting, rest = taken(desk, events)
    assert cuts == []
    assert rest is not None
    assert 0 < len(waiting) <= MOST
    assert rest.halvings >= 1
    sent = Counter(event.key_hash for event in events)
    measured = Counter(row.key for row in waiting)
    assert {key: sent[key] for key in measured} == dict(measured)
    assert all(level(key) >= rest.halvings for key in measured)


def test_what_is_measured_at_once_is_bounded_however_much_comes(desk, calm) -> None:
    events = dense(desk, calm, 4_000)
    looked: list[str] = []

    def look(event: Event) -> Observation:
        looked.append(event.id)
        return observe(event, desk.reference.signals, desk.reference.contract)

    intake(desk)[0].take([], None, events, look)
    assert len(looked) < 8 * MOST


def test_requests_refusals_failures_and_missing_values_are_counted_in_full(desk, calm, people) -> None:
    events = dense(desk, people(missing_size=0.3), 3_000, users=100_000)
    broken = [msgspec.structs.replace(e, status=500) if i % 50 == 0 else e for i, e in enumerate(events)]
    _, waiting, rest = taken(desk, broken)
    assert rest is not None
    _, plan = intake(desk)
    columns = streams.count_block(plan, waiting, by_key=True) + rest.columns
    missing = columns[plan.columns("size.missing")]
    failed = columns[plan.columns(streams.FAILED)]
    assert columns[-1] == len(waiting) + rest.rows == 3_000
    assert failed.tolist() == pytest.approx([60, 3_000], rel=0.05)
    assert missing[7] == pytest.approx(sum(e.inputs["size"] is None for e in broken), rel=0.05)
    assert missing[0] == pytest.approx(3_000, rel=0.05)
    size = columns[plan.columns("size")]
    assert size[0] <= MOST
    assert sum(rest.outcomes.values()) == rest.rows


def test_counting_in_full_is_counting_each_request(desk, calm) -> None:
    """Where all is measured and where nothing is, counts agree exactly."""
    events = dense(desk, calm, 400, users=40)
    seen = desk.reference
    rows = [observe(e, seen.signals, seen.contract) for e in events]
    made, plan = intake(desk)
    full = streams.count_block(plan, rows, by_key=True)
    counted = streams.Counted(
        units=[e.key_hash for e in events],
        outcomes=[row.outcome for row in rows],
        seconds=[e.occurred_at.timestamp() for e in events],
        missing=[made._missing_of(e) for e in events],
    )
    rest = streams.count_rest(plan, counted)
    for name in (streams.REFUSED, streams.FAILED, "size.missing"):
        where = plan.columns(name)
        assert rest[where] == pytest.approx(full[where])
    assert rest[-1] == full[-1] == 400
    assert rest[plan.columns("size")].sum() == 0.0


@pytest.mark.usefixtures("no_burst")
def test_failures_of_a_few_customers_are_counted_in_full_and_open_an_incident(desk, calm) -> None:
    desk.settings = SETTINGS
    desk.turn(desk.make(calm, 600, users=300, gap_s=SPARSE))
    for _ in range(3):
        events = dense(desk, calm, 2_000, users=300)
        late = [msgspec.structs.replace(e, status=503) if int(e.key_hash) < 30 else e for e in events]
        desk.events[-len(late) :] = late
        desk.turn(late)
        desk.wait(seconds=1)
    desk.turn([])
    with desk.store.read() as tx:
        told = incidents.list_(tx, "m")
        stored = blocks.blocks(tx, "m", limit=100)
    assert streams.FAILED in {finding.signal for incident in told for finding in incident.findings}
    assert sum(block.rows for block in stored) == 6_600
    failed = sum(block.summary["outcomes"].get("failed", 0) for block in stored)
    assert failed == sum(event.status == 503 for event in desk.events)


def test_of_a_few_units_that_make_all_traffic_each_keeps_a_tenth_of_what_can_be_measured(desk, calm) -> None:
    events = dense(desk, calm, 2_000, users=5)
    _, waiting, rest = taken(desk, events)
    assert rest is not None
    assert rest.halvings == 0
    assert Counter(row.key for row in waiting) == dict.fromkeys({e.key_hash for e in events}, MOST // 10)
    assert len(waiting) == 5 * MOST // 10


def test_a_block_of_dense_traffic_lasts_a_second_and_the_next_begins_as_thin(desk, calm) -> None:
    events = dense(desk, calm, 1_000) + desk.make(calm, 1, gap_s=1.0) + desk.make(calm, 1_000, users=500, gap_s=DENSE)
    cuts, waiting, rest = taken(desk, events)
    (cut,) = cuts
    assert cut.rest is not None
    assert rest is not None
    assert len(cut.rows) + cut.rest.rows == 1_000
    assert len(waiting) + rest.rows == 1_001
    assert rest.halvings >= cut.rest.halvings - 1


def test_an_id_that_another_host_answered_again_counts_once(desk, calm) -> None:
    events = dense(desk, calm, 1_000)
    again = [msgspec.structs.replace(e, worker="w1") for e in events[::2]]
    _, waiting, rest = taken(desk, sorted([*events, *again], key=lambda e: e.received_at))
    assert rest is not None
    assert len(waiting) + rest.rows == 1_000
    assert rest.repeats == 500


def test_a_refusal_says_nothing_of_missing_values(desk, calm) -> None:
    events = [msgspec.structs.replace(e, kind=Kind.REFUSAL, inputs={}) for e in dense(desk, calm, 500)]
    made, plan = intake(desk)
    seen = desk.reference
    _, _, rest = made.take([], None, events, lambda e: observe(e, seen.signals, seen.contract))
    assert rest is not None
    assert rest.columns[plan.columns("size.missing")].sum() == 0.0


def test_the_open_block_is_kept_between_turns_and_a_state_from_before_has_none(desk, calm) -> None:
    desk.settings = SETTINGS
    _, waiting, rest = taken(desk, dense(desk, calm, 500))
    state = WatchState(model="m", bundle="m@1", waiting=waiting, rest=rest)
    kept = state.as_dict()
    again = WatchState.from_dict(kept)
    assert again.as_dict() == kept
    assert again.rest is not None
    assert again.rest.columns.tolist() == rest.columns.tolist()
    del kept["rest"]
    assert WatchState.from_dict(kept).rest is None


@pytest.mark.usefixtures("no_burst")
def test_dense_traffic_that_stops_makes_its_block_and_other_people_in_it_are_found(desk, calm, others) -> None:
    desk.settings = SETTINGS
    desk.turn(desk.make(calm, 600, gap_s=SPARSE))
    for _ in range(4):
        desk.turn(dense(desk, others, 1_000, users=2_000))
        desk.wait(seconds=1)
    result = desk.turn([])
    assert (result.blocks, result.waiting) == (1, 0)
    with desk.store.read() as tx:
        told = incidents.list_(tx, "m")
        last = blocks.blocks(tx, "m", limit=1)[-1]
    assert "note.unseen" in {finding.signal for incident in told for finding in incident.findings}
    assert last.rows >= 900
    assert last.summary["measured"] <= MOST
    assert last.summary["measured_share"] < 0.25


@pytest.mark.usefixtures("no_burst")
def test_calm_dense_traffic_raises_nothing(desk, calm) -> None:
    for _ in range(12):
        desk.turn(dense(desk, calm, 500, users=2_000))
        desk.wait(seconds=1)
    with desk.store.read() as tx:
        assert incidents.list_(tx, "m") == []
