"""Laws of the store, held on every database it runs on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from mainstay.core import errors
from mainstay.core.calls import Minute
from mainstay.core.events import Arm, Feedback, FeedbackStatus, Trust
from mainstay.core.incidents import Finding, Harm, Incident, Severity, State
from mainstay.core.releases import TRANSITIONS, Release, Stage
from mainstay.core.routes import BundleRef, Route
from mainstay.core.silences import Silence
from mainstay.core.usage import Pulse, Usage
from mainstay.store import (
    alerts,
    audit,
    blocks,
    call_counts,
    engine,
    feedback,
    feeds,
    heartbeats,
    incidents,
    jobs,
    leases,
    marks,
    pairs,
    releases,
    reward_sums,
    routes,
    silences,
    states,
    usage,
)
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from postgres_kit import Postgres, running

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MODEL = "toy"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Give a server of its own."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Give an open store."""
    opened = Store.open(url, clock=FakeClock())
    yield opened
    opened.close()


def a_release(version: int = 1, **changes: object) -> Release:
    values = {"model": MODEL, "version": version, "digest": "d" * 64, "stage": Stage.REGISTERED, "since": NOW}
    return Release(**(values | {"created_at": NOW, "facts": {"accuracy": 0.9}} | changes))


def a_route(epoch: int = 1, **changes: object) -> Route:
    values = {"model": MODEL, "epoch": epoch, "champion": BundleRef(version=1, digest="d" * 64)}
    return Route(**(values | changes))


def test_opening_a_store_again_keeps_what_is_in_it(store: Store, url: str) -> None:
    with store.begin() as tx:
        releases.add(tx, a_release())
    again = Store.open(url, clock=FakeClock())
    with again.read() as tx:
        assert releases.all_of(tx, MODEL) == [a_release()]
    assert again.integrity() == []
    again.close()


def test_many_openers_of_a_new_store_migrate_it_once(url: str) -> None:
    failures: list[errors.MainstayError] = []

    def open_it() -> None:
        try:
            Store.open(url, clock=FakeClock()).close()
        except errors.MainstayError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_store_of_a_newer_version_is_refused_with_a_remedy(store: Store, url: str) -> None:
    with store.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(errors.EnvironmentFault, match=r"schema '9999'.*does not know") as caught:
        Store.open(url, clock=FakeClock())
    assert "newer" in caught.value.remedy


def test_the_migrations_make_exactly_the_tables_of_the_code(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from mainstay.store.tables import METADATA

    with store.begin() as tx:
        assert compare_metadata(MigrationContext.configure(tx), METADATA) == []
        assert tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == engine.HEAD
    assert all("v" in table.c for table in METADATA.tables.values())


def test_an_exception_takes_everything_of_its_transaction_back(store: Store) -> None:
    def add_and_fail() -> None:
        with store.begin() as tx:
            releases.add(tx, a_release())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        add_and_fail()
    with store.read() as tx:
        assert releases.all_of(tx, MODEL) == []


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(errors.EnvironmentFault), store.read() as tx:
        releases.add(tx, a_release())


def test_writers_never_lose_an_update(store: Store) -> None:
    with store.begin() as tx:
        states.put(tx, "count", {"n": 0}, expected_version=None)

    def add_ten() -> None:
        for _ in range(10):
            with store.begin() as tx:
                value, version = states.get(tx, "count") or ({}, 0)
                states.put(tx, "count", {"n": value["n"] + 1}, expected_version=version)

    threads = [threading.Thread(target=add_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        assert states.get(tx, "count") == ({"n": 40}, 41)


def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(errors.UsageError, match="without zone"), store.begin() as tx:
        heartbeats.beat(tx, "loop", datetime(2026, 1, 5), {})


def test_times_come_back_as_the_same_instant_to_the_microsecond(store: Store) -> None:
    local = datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", local, {"turn": 1})
        assert heartbeats.all_(tx) == [heartbeats.Heartbeat(name="loop", at=local, detail={"turn": 1})]


# routes


def test_a_route_goes_from_epoch_to_epoch_and_keeps_its_history(store: Store) -> None:
    second = a_route(2, challenger=BundleRef(version=2, digest="e" * 64), share=0.1, salt="s", lease_until=NOW)
    with store.begin() as tx:
        assert routes.current(tx, MODEL) is None
        routes.put(tx, a_route(), expected_epoch=None, by="loop", reason="first", now=NOW)
        routes.put(tx, second, expected_epoch=1, by="loop", reason="canary", now=NOW + MINUTE)
        assert routes.current(tx, MODEL) == second
        assert routes.models(tx) == [MODEL]
        assert [change.reason for change in routes.history(tx, MODEL)] == ["canary", "first"]


@pytest.mark.parametrize(("epoch", "expected"), [(3, None), (3, 1), (2, 2)])
def test_a_route_that_moved_meanwhile_is_not_overwritten(store: Store, epoch: int, expected: int | None) -> None:
    with store.begin() as tx:
        routes.put(tx, a_route(2), expected_epoch=None, by="loop", reason="", now=NOW)
        with pytest.raises(errors.StaleTransition):
            routes.put(tx, a_route(epoch), expected_epoch=expected, by="loop", reason="", now=NOW)
        assert routes.current(tx, MODEL) == a_route(2)


def test_a_lease_is_renewed_only_for_the_epoch_that_was_judged_and_never_shortened(store: Store) -> None:
    with store.begin() as tx:
        routes.put(tx, a_route(lease_until=NOW), expected_epoch=None, by="loop", reason="", now=NOW)
        routes.renew(tx, MODEL, epoch=1, lease_until=NOW + MINUTE)
        routes.renew(tx, MODEL, epoch=1, lease_until=NOW)
        assert routes.current(tx, MODEL) == a_route(lease_until=NOW + MINUTE)
        with pytest.raises(errors.StaleTransition):
            routes.renew(tx, MODEL, epoch=2, lease_until=NOW + MINUTE)


# releases


def _move(tx: object, release: Release, to: Stage, **changes: object) -> Release:
    values = {"reason": "r", "by": "loop", "evidence": {"n": 1}, "now": NOW}
    return releases.move(tx, release, to, **(values | changes))


def test_a_version_moves_along_the_table_and_its_story_is_kept(store: Store) -> None:
    with store.begin() as tx:
        assert releases.next_version(tx, MODEL) == 1
        first = releases.add(tx, a_release())
        assert releases.next_version(tx, MODEL) == 2
        assert releases.live(tx, MODEL) is None
        gated = _move(tx, first, Stage.GATED)
        assert releases.on_its_way(tx, MODEL) == gated
        live = _move(tx, _move(tx, gated, Stage.CHECKED), Stage.CERTIFIED, now=NOW + MINUTE)
        assert releases.live(tx, MODEL) == live == releases.get(tx, MODEL, 1)
        assert releases.on_its_way(tx, MODEL) is None
        stages = [event.to_stage for event in releases.events(tx, MODEL)]
        assert stages == ["registered", "gated", "checked", "certified"]
        assert releases.events(tx, MODEL)[1].evidence == {"n": 1}
        assert releases.verify_chain(tx, MODEL) == []


def test_only_moves_of_the_table_are_possible(store: Store) -> None:
    with store.begin() as tx:
        for number, start in enumerate(Stage, start=1):
            release = releases.add(tx, a_release(number, model=f"toy-{start}", stage=start))
            for to in set(Stage) - TRANSITIONS[start]:
                with pytest.raises(errors.StaleTransition, match="cannot move"):
                    _move(tx, release, to)


def test_a_version_that_moved_meanwhile_is_not_moved_again(store: Store) -> None:
    with store.begin() as tx:
        first = releases.add(tx, a_release())
        _move(tx, first, Stage.GATED)
        with pytest.raises(errors.StaleTransition, match="found gated"):
            _move(tx, first, Stage.REFUSED)
        canary = _move(tx, replace(first, stage=Stage.GATED), Stage.CHECKED)
        canary = _move(tx, canary, Stage.CANARY, step=0)
        _move(tx, canary, Stage.CANARY, step=1)
        with pytest.raises(errors.StaleTransition, match="step 1"):
            _move(tx, canary, Stage.PROBATION)


def test_only_one_version_is_on_its_way(store: Store) -> None:
    with store.begin() as tx:
        _move(tx, releases.add(tx, a_release(1)), Stage.GATED)
        second = releases.add(tx, a_release(2))
        with pytest.raises(errors.StaleTransition, match="toy@1 is on its way"):
            _move(tx, second, Stage.GATED)
        assert [release.version for release in releases.all_of(tx, MODEL)] == [2, 1]


def test_a_version_number_is_given_once_and_an_unknown_one_is_not_found(store: Store) -> None:
    with store.begin() as tx:
        releases.add(tx, a_release())
        with pytest.raises(errors.StaleTransition, match="exists already"):
            releases.add(tx, a_release())
        with pytest.raises(errors.NotFound, match=r"no version 7; there are: \[1\]"):
            releases.get(tx, MODEL, 7)
        assert releases.set_facts(tx, MODEL, 1, {"gate": float("nan")}).facts == {"gate": None}


def test_who_was_live_at_a_time_is_read_from_the_chain(store: Store) -> None:
    with store.begin() as tx:
        first = releases.add(tx, a_release(1, stage=Stage.CERTIFIED))
        second = releases.add(tx, a_release(2, stage=Stage.CANARY))
        second = _move(tx, second, Stage.PROBATION, now=NOW + 10 * MINUTE)
        first = _move(tx, first, Stage.RETIRED, now=NOW + 10 * MINUTE)
        _move(tx, second, Stage.ROLLED_BACK, now=NOW + 20 * MINUTE)
        _move(tx, first, Stage.CERTIFIED, now=NOW + 20 * MINUTE)

        def who(minutes: int) -> int | None:
            found = releases.live_on(tx, MODEL, NOW + minutes * MINUTE)
            return found.version if found else None

        assert [who(minutes) for minutes in (-1, 0, 9, 10, 19, 20, 99)] == [None, 1, 1, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("tampering", "complaint"),
    [
        ("UPDATE release_events SET reason = 'x' WHERE seq = 2", "event 2 of toy was changed"),
        ("DELETE FROM release_events WHERE seq = 2", "rows are missing"),
        ("DELETE FROM release_events WHERE seq = 3", "stands at checked"),
        ("UPDATE releases SET stage = 'certified'", "stands at certified"),
        ("UPDATE routes SET document = replace(document, 'dddd', 'eeee')", "which no release has"),
    ],
)
def test_integrity_names_what_was_tampered_with(store: Store, tampering: str, complaint: str) -> None:
    with store.begin() as tx:
        _move(tx, _move(tx, releases.add(tx, a_release()), Stage.GATED), Stage.CHECKED)
        routes.put(tx, a_route(), expected_epoch=None, by="loop", reason="", now=NOW)
    assert store.integrity() == []
    with store.begin() as tx:
        tx.execute(text(tampering))
    assert any(complaint in line for line in store.integrity()), store.integrity()


# feedback


def an_item(feedback_id: str = "f1", **changes: object) -> Feedback:
    values = {"id": "p1", "feedback_id": feedback_id, "kind": "label", "name": "intent", "value": "a", "at": NOW}
    return Feedback(**(values | changes))


def a_grade(feedback_id: str = "f1", **changes: object) -> feedback.Graded:
    values = {"model": MODEL, "id": "p1", "name": "intent", "value": "a", "at": NOW, "feedback_id": feedback_id}
    values |= {"bundle": "toy@1", "served_arm": "champion", "key_hash": "k", "unit": "u", "occurred_at": NOW}
    return feedback.Graded(
        **(values | {"label": "b", "confidence": 0.5, "inputs": {"x": 1}, "correct": False} | changes)
    )


def test_an_item_is_stored_once_and_its_id_stands_for_one_item(store: Store) -> None:
    with store.begin() as tx:
        results = [
            feedback.put(tx, MODEL, item, received_at=NOW)
            for item in (an_item(), an_item(), an_item(value="b"), an_item("f2"), an_item("f\0"), an_item("\ud800"))
        ]
        refused = FeedbackStatus.REFUSED
        stored = FeedbackStatus.STORED
        assert results == [stored, FeedbackStatus.DUPLICATE, refused, stored, refused, refused]
        assert feedback.unmatched(tx, MODEL, 10) == [an_item(), an_item("f2")]


def test_items_that_miss_go_to_the_back_and_joined_ones_leave(store: Store) -> None:
    with store.begin() as tx:
        for number in range(3):
            feedback.put(tx, MODEL, an_item(f"f{number}"), received_at=NOW)
        feedback.missed(tx, MODEL, ["f0"])
        assert [item.feedback_id for item in feedback.unmatched(tx, MODEL, 10)] == ["f1", "f2", "f0"]
        feedback.grade(tx, a_grade("f1"))
        assert [item.feedback_id for item in feedback.unmatched(tx, MODEL, 1)] == ["f2"]


def test_any_order_of_feedback_ends_the_same(store: Store) -> None:
    items = [a_grade("f9", value="x"), a_grade("f10", value="y"), a_grade("f1", value="z", at=NOW + MINUTE)]
    ends = []
    for number, order in enumerate(permutations(items)):
        with store.begin() as tx:
            for item in order:
                feedback.grade(tx, replace(item, model=f"m{number}"))
            ends.append(feedback.labels(tx, f"m{number}", limit=10))
    assert [[replace(graded, model=MODEL) for graded in end] for end in ends] == [[items[2]]] * 6


def test_labels_are_the_newest_in_order_of_time(store: Store) -> None:
    with store.begin() as tx:
        for number in range(5):
            feedback.grade(tx, a_grade(f"f{number}", id=f"p{number}", at=NOW + number * MINUTE))
        newest = feedback.labels(tx, MODEL, limit=2)
        assert [graded.id for graded in newest] == ["p3", "p4"]
        assert len(feedback.labels(tx, MODEL, since=NOW + 2 * MINUTE, limit=10)) == 3
        assert (feedback.count(tx, MODEL), feedback.count(tx, MODEL, since=NOW + 4 * MINUTE)) == (5, 1)


# blocks and states


def test_a_cursor_goes_forward_only(store: Store) -> None:
    with store.begin() as tx:
        assert blocks.cursor(tx, "watch:toy") == {}
        blocks.set_cursor(tx, "watch:toy", {"w0": 5, "w1": 2})
        blocks.set_cursor(tx, "watch:toy", {"w0": 9})
        assert blocks.cursor(tx, "watch:toy") == {"w0": 9, "w1": 2}
        with pytest.raises(errors.StaleTransition, match="up to 9 already"):
            blocks.set_cursor(tx, "watch:toy", {"w0": 8})
        assert blocks.cursor(tx, "other") == {}


def test_a_block_written_twice_counts_once(store: Store) -> None:
    made = [
        blocks.Block(
            model=MODEL, bundle="toy@1", number=n, first_at=NOW, last_at=NOW + n * MINUTE, rows=40, keys=9, summary={}
        )
        for n in range(4)
    ]
    with store.begin() as tx:
        for block in [*made, made[0]]:
            blocks.put_block(tx, block)
        assert blocks.blocks(tx, MODEL, limit=10) == made
        assert blocks.blocks(tx, MODEL, since=NOW + 2 * MINUTE, limit=10) == made[2:]
        assert blocks.blocks(tx, MODEL, limit=1) == made[3:]


def test_what_lists_read_is_a_part_of_what_is_there(store: Store) -> None:
    told = {"estimate": {"value": 0.9, "n": 40}, "outlook": {"text": "far"}, "repeats": 2, "words": {"message": {}}}
    block = blocks.Block(
        model=MODEL, bundle="toy@1", number=1, first_at=NOW, last_at=NOW, rows=40, keys=9, summary=told
    )
    odd = replace(block, number=2, last_at=NOW + MINUTE, summary={"estimate": "of another version", "more": 1})
    facts = {"metrics": {"accuracy": {"value": 0.9}}, "evaluation": {"rows": 200, "more": 1}, "gate": {"checks": []}}
    with store.begin() as tx:
        for one in (block, odd):
            blocks.put_block(tx, one)
        seen = blocks.newest(tx, MODEL, limit=10)
        assert [replace(one, summary={}) for one in seen] == [replace(one, summary={}) for one in (block, odd)]
        kept = ("estimate", "outlook", "repeats")
        assert {name: seen[0].summary[name] for name in kept} == {name: told[name] for name in kept}
        assert "words" not in seen[0].summary
        assert seen[1].summary == odd.summary
        releases.add(tx, a_release(facts=facts))
        releases.add(tx, a_release(version=2, facts={"metrics": "of another version"}))
        two, one = releases.outlines(tx, MODEL)
        assert one.facts == {"metrics": facts["metrics"], "evaluation": {"rows": 200}, "runtime": None, "online": None}
        assert two.facts == {"metrics": "of another version"}
        assert [replace(found, facts={}) for found in (two, one)] == [
            replace(found, facts={}) for found in releases.all_of(tx, MODEL)
        ]
        moved = releases.move(tx, one, Stage.GATED, reason="r", by="t", evidence={}, now=NOW + HOUR)
        history = releases.outlines(tx, MODEL)
        wanted = {Stage.GATED, Stage.REGISTERED}
        assert releases.latest(history, {Stage.GATED}).version == moved.version
        assert releases.on_its_way(tx, MODEL).version == moved.version
        assert releases.latest(history, wanted).version == 1
        assert releases.latest(history, {Stage.HELD}) is None


@pytest.mark.parametrize("expected", [None, 2])
def test_a_state_that_moved_meanwhile_is_not_overwritten(store: Store, expected: int | None) -> None:
    with store.begin() as tx:
        assert states.get(tx, "s") is None
        assert states.put(tx, "s", {"a": 1}, expected_version=None) == 1
        with pytest.raises(errors.StaleTransition):
            states.put(tx, "s", {"a": 2}, expected_version=expected)
        assert states.get(tx, "s") == ({"a": 1}, 1)


# incidents


def an_incident(**changes: object) -> Incident:
    finding = Finding(
        signal="message.unseen", harm=Harm.INPUT, since=NOW, before=0.1, now=0.4, shift=2.0, evidence=40.0, text="t"
    )
    values = {"model": MODEL, "bundle": "toy@1", "harm": Harm.QUALITY, "severity": Severity.PAGE, "title": "worse"}
    values |= {"opened_at": NOW, "started_at": NOW - MINUTE, "story": ("one", "two"), "findings": (finding,)}
    return Incident(**(values | {"facts": {"words": ["bro"]}} | changes))


def test_an_incident_is_opened_moved_and_resolved_with_its_events(store: Store) -> None:
    with store.begin() as tx:
        opened = incidents.open_(tx, an_incident())
        assert opened == incidents.get(tx, opened.id) == an_incident(id=opened.id)
        incidents.move(tx, opened.id, State.ACKNOWLEDGED, by="ann", note="on it", now=NOW)
        grown = incidents.replace(tx, replace(opened, title="much worse"))
        assert (grown.title, grown.state) == ("much worse", State.ACKNOWLEDGED)
        incidents.move(tx, opened.id, State.RESOLVED, by="ann", note="rolled back", now=NOW)
        with pytest.raises(errors.StaleTransition, match="takes no further"):
            incidents.replace(tx, opened)
        with pytest.raises(errors.StaleTransition, match="allowed: open"):
            incidents.move(tx, opened.id, State.MITIGATED, by="ann", note="", now=NOW)
        assert [event.to_state for event in incidents.events(tx, opened.id)] == ["open", "acknowledged", "resolved"]


def test_incidents_are_listed_newest_first_by_model_and_state(store: Store) -> None:
    with store.begin() as tx:
        first, second, _ = (incidents.open_(tx, an_incident(model=model)) for model in (MODEL, MODEL, "other"))
        incidents.move(tx, first.id, State.RESOLVED, by="ann", note="", now=NOW)
        assert [found.id for found in incidents.list_(tx, MODEL)] == [second.id, first.id]
        assert incidents.list_(tx, MODEL, states=[State.OPEN], limit=5) == [second]
        assert len(incidents.list_(tx)) == 3
        with pytest.raises(errors.NotFound):
            incidents.get(tx, 99)


# pairs


def a_pair(unit: str, **changes: object) -> pairs.Pair:
    values = {"model": MODEL, "version": 2, "unit": unit, "id": f"id-{unit}", "key_hash": "k", "arm": Arm.CHAMPION}
    values |= {"occurred_at": NOW, "champion_label": "a", "challenger_label": 1.5, "champion_trust": Trust.OK}
    return pairs.Pair(**(values | changes))


def test_a_repeated_unit_is_one_piece_of_evidence(store: Store) -> None:
    with store.begin() as tx:
        kept = [pairs.add(tx, a_pair(unit, id=str(n))) for n, unit in enumerate("bacab")]
        assert kept == [True, True, True, False, False]
        assert pairs.add(tx, a_pair("a", version=3))
        assert [pair.unit for pair in pairs.rows(tx, MODEL, 2, 10)] == ["b", "a", "c"]
        assert pairs.rows(tx, MODEL, 2, 1) == [a_pair("b", id="0")]
        assert (pairs.count(tx, MODEL, 2), pairs.count(tx, MODEL, 9)) == (3, 0)


def test_a_label_reaches_the_pair_and_steps_count_what_the_challenger_served(store: Store) -> None:
    with store.begin() as tx:
        for unit, arm, step in [("a", Arm.CHALLENGER, 1), ("b", Arm.CHAMPION, 1), ("c", Arm.CHALLENGER, 2)]:
            pairs.add(tx, a_pair(unit, arm=arm, step=step))
        assert pairs.set_label(tx, MODEL, "id-a", "truth") == 1
        assert pairs.set_label(tx, MODEL, "unknown", "truth") == 0
        assert [pair.label for pair in pairs.rows(tx, MODEL, 2, 10)] == ["truth", None, None]
        assert [pairs.count_step(tx, MODEL, 2, step) for step in (0, 1, 2)] == [0, 1, 1]


# silences and marks


def test_a_silence_is_ended_once_and_one_that_is_over_not_at_all(store: Store) -> None:
    made = Silence(model=MODEL, monitor="text.*", starts_at=NOW, until=NOW + 2 * MINUTE, reason="known", by="anna")
    with store.begin() as tx:
        first, second = silences.add(tx, made), silences.add(tx, replace(made, monitor="region"))
        assert silences.end(tx, first.id, by="bert", now=NOW + MINUTE) == replace(
            first, ended_at=NOW + MINUTE, ended_by="bert"
        )
    for number, now in ((first.id, NOW + MINUTE), (second.id, NOW + 2 * MINUTE)):
        with pytest.raises(errors.StaleTransition, match="is over since"), store.begin() as tx:
            silences.end(tx, number, by="bert", now=now)
    with pytest.raises(errors.NotFound), store.begin() as tx:
        silences.end(tx, 99, by="bert", now=NOW)
    with store.read() as tx:
        assert [one.id for one in silences.list_(tx, MODEL)] == [second.id, first.id]
        assert silences.list_(tx, MODEL, since=NOW + 2 * MINUTE) == []
        assert silences.list_(tx, "other") == []


def test_of_the_marks_of_an_incident_the_newest_counts(store: Store) -> None:
    opened = Incident(
        model=MODEL,
        bundle=f"{MODEL}@1",
        harm=Harm.QUALITY,
        severity=Severity.PAGE,
        opened_at=NOW,
        started_at=NOW,
        title="worse",
    )
    with store.begin() as tx:
        numbers = [incidents.open_(tx, opened).id for _ in range(2)]
        for number, useful in ((numbers[0], True), (numbers[1], True), (numbers[0], False)):
            said = marks.Mark(
                incident=number, model=MODEL, monitor="text", useful=useful, by="anna", note="so it was", at=NOW
            )
            marks.add(tx, said)
    with store.read() as tx:
        assert [(mark.incident, mark.useful) for mark in marks.valid(tx, MODEL)] == [
            (numbers[0], False),
            (numbers[1], True),
        ]
        assert marks.valid(tx, "other") == []


def test_the_outbox_tells_what_waits_since_when_and_who_heard(store: Store) -> None:
    with store.begin() as tx:
        assert alerts.waiting(tx) == (0, None)
        for minutes, to in enumerate(("a://", "b://")):
            now = NOW + minutes * MINUTE
            alerts.enqueue(tx, alert_id="i1", to=to, title="T", body="B", severity="page", now=now)
        assert alerts.waiting(tx) == (2, NOW)
        [first] = alerts.due(tx, NOW + MINUTE, 10, without=["b://"])
        alerts.sent(tx, first, now=NOW + MINUTE)
        assert alerts.waiting(tx) == (1, NOW + MINUTE)
        assert alerts.addresses_of(tx, ["i1", "i2"]) == ["a://", "b://"]
        assert alerts.addresses_of(tx, []) == []


# jobs, alerts, leases


def _enqueue(tx: object, dedupe: str = "incident:1") -> jobs.Job | None:
    return jobs.enqueue(tx, model=MODEL, kind="retrain", dedupe=dedupe, payload={"x": 1}, now=NOW)


def test_a_job_is_queued_once_and_done_once(store: Store) -> None:
    with store.begin() as tx:
        assert _enqueue(tx) is not None
        assert _enqueue(tx) is None
        assert jobs.claim(tx, kinds=["other"], owner="a", lease_s=60, now=NOW) is None
        claimed = jobs.claim(tx, kinds=["retrain"], owner="a", lease_s=60, now=NOW)
        assert claimed is not None
        assert (claimed.state, claimed.owner, claimed.attempts) == (jobs.JobState.RUNNING, "a", 1)
        assert jobs.claim(tx, kinds=["retrain"], owner="b", lease_s=60, now=NOW) is None
        assert jobs.finish(tx, claimed, now=NOW, result={"version": 2}).result == {"version": 2}
        assert jobs.claim(tx, kinds=["retrain"], owner="b", lease_s=60, now=NOW + 5 * MINUTE) is None


def test_a_job_of_a_dead_owner_is_taken_over_and_the_late_owner_is_fenced_off(store: Store) -> None:
    with store.begin() as tx:
        _enqueue(tx)
        late = jobs.claim(tx, kinds=["retrain"], owner="a", lease_s=60, now=NOW)
        assert late is not None
        late = jobs.extend(tx, late, lease_s=120, now=NOW)
        assert jobs.claim(tx, kinds=["retrain"], owner="b", lease_s=60, now=NOW + MINUTE) is None
        taken = jobs.claim(tx, kinds=["retrain"], owner="b", lease_s=60, now=NOW + 2 * MINUTE)
        assert taken is not None
        assert taken.attempts == 2
        with pytest.raises(errors.StaleTransition, match="attempt 2 by b"):
            jobs.finish(tx, late, now=NOW + 2 * MINUTE)
        jobs.fail(tx, taken, error="boom", now=NOW, retry_at=NOW + 9 * MINUTE)
        assert jobs.claim(tx, kinds=["retrain"], owner="c", lease_s=60, now=NOW + 8 * MINUTE) is None
        third = jobs.claim(tx, kinds=["retrain"], owner="c", lease_s=60, now=NOW + 9 * MINUTE)
        assert third is not None
        assert jobs.fail(tx, third, error="boom", now=NOW).state is jobs.JobState.FAILED
        assert [job.attempts for job in jobs.list_(tx, MODEL, states=[jobs.JobState.FAILED])] == [3]


def test_jobs_that_ended_are_forgotten_once_they_are_old_and_no_others(store: Store) -> None:
    def asked(tx: object, dedupe: str, **more: object) -> jobs.Job:
        options = {"model": MODEL, "kind": "pull", "dedupe": dedupe, "payload": {}, "now": NOW} | more
        found = jobs.enqueue(tx, **options)  # type: ignore[arg-type]
        assert found is not None
        return found

    with store.begin() as tx:
        done, failed, waits, runs = (asked(tx, name) for name in ("done", "failed", "waits", "runs"))
        for _ in range(3):  # the oldest first: "waits" goes back into the queue
            claimed = jobs.claim(tx, kinds=["pull"], owner="a", lease_s=60, now=NOW)
            assert claimed is not None
            if claimed.id == done.id:
                jobs.finish(tx, claimed, now=NOW)
            elif claimed.id == failed.id:
                jobs.fail(tx, claimed, error="boom", now=NOW)
            else:
                jobs.fail(tx, claimed, error="boom", now=NOW, retry_at=NOW + MINUTE)
        assert jobs.claim(tx, kinds=["pull"], owner="a", lease_s=60, now=NOW) is not None  # "runs"
        other, elsewhere = asked(tx, "other", kind="train"), asked(tx, "elsewhere", model="another")
        for job in (other, elsewhere):
            claimed = jobs.claim(tx, kinds=[job.kind], owner="a", lease_s=60, now=NOW)
            assert claimed is not None
            jobs.finish(tx, claimed, now=NOW)
        late = asked(tx, "late")
        claimed = jobs.claim(tx, kinds=["pull"], owner="a", lease_s=60, now=NOW)
        assert claimed is not None
        assert claimed.id == late.id
        jobs.finish(tx, claimed, now=NOW + MINUTE)
        assert jobs.forget(tx, MODEL, kind="pull", before=NOW) == 0  # what ended just then is not older
        assert jobs.forget(tx, MODEL, kind="pull", before=NOW + MINUTE) == 2
        left = {job.id for job in jobs.list_(tx)}
        assert left == {waits.id, runs.id, other.id, elsewhere.id, late.id}
        # What was forgotten may be asked anew; what still stands may not.
        assert asked(tx, "done").id not in left
        with pytest.raises(AssertionError):
            asked(tx, "late")


def test_an_alert_is_sent_once_and_tried_again_until_then(store: Store) -> None:
    with store.begin() as tx:
        put = {"alert_id": "i1", "to": "log://", "title": "t", "body": "b", "severity": "page", "now": NOW}
        assert alerts.enqueue(tx, **put)
        assert not alerts.enqueue(tx, **put)
        [alert] = alerts.due(tx, NOW, 10)
        alerts.failed(tx, alert, error="refused", retry_at=NOW + MINUTE)
        assert alerts.due(tx, NOW, 10) == []
        [alert] = alerts.due(tx, NOW + MINUTE, 10)
        assert (alert.attempts, alert.error) == (1, "refused")
        alerts.sent(tx, alert, now=NOW + MINUTE)
        alerts.sent(tx, alert, now=NOW + 2 * MINUTE)
        assert alerts.due(tx, NOW + 9 * MINUTE, 10) == []
        assert alerts.list_(tx)[0].sent_at == NOW + MINUTE
        with pytest.raises(errors.NotFound):
            alerts.sent(tx, replace(alert, alert_id="i2"), now=NOW)


def test_a_lease_has_one_owner_and_every_change_of_hands_a_higher_token(store: Store) -> None:
    with store.begin() as tx:
        assert leases.acquire(tx, "loop", "a", 60, NOW) == 1
        assert leases.acquire(tx, "loop", "b", 60, NOW) is None
        assert leases.acquire(tx, "loop", "a", 60, NOW + MINUTE / 2) == 1
        assert leases.holder(tx, "loop", NOW + MINUTE) is not None
        assert leases.acquire(tx, "loop", "b", 60, NOW + 2 * MINUTE) == 2
        assert not leases.release(tx, "loop", "a")
        assert leases.release(tx, "loop", "b")
        assert leases.holder(tx, "loop", NOW + 2 * MINUTE) is None
        assert leases.acquire(tx, "loop", "b", 60, NOW + 2 * MINUTE) == 3


def test_of_many_that_want_a_lease_one_gets_it(store: Store) -> None:
    won: list[int | None] = []

    def want(owner: str) -> None:
        with store.begin() as tx:
            won.append(leases.acquire(tx, "loop", owner, 60, NOW))

    threads = [threading.Thread(target=want, args=(f"o{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(token or 0 for token in won) == [0, 0, 0, 0, 0, 1]


# audit


def test_acts_are_listed_newest_first(store: Store) -> None:
    with store.begin() as tx:
        for what in ("promote", "rollback"):
            audit.append(tx, who="ann", what=what, subject="toy@2", detail={"why": "test"}, now=NOW)
        assert [entry.what for entry in audit.list_(tx)] == ["rollback", "promote"]
        assert audit.list_(tx, subject="other") == []
        assert audit.list_(tx, since=NOW + MINUTE) == []


def _three_acts(tx: Connection) -> None:
    for number in range(3):
        audit.append(tx, who="ann", what="promote", subject="toy@2", detail={"n": number}, now=NOW)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("UPDATE audit SET who = 'bob' WHERE n = 2", ["was changed"]),
        ("UPDATE audit SET detail = '{}' WHERE n = 3", ["was changed"]),
        ("DELETE FROM audit WHERE n = 2", ["does not continue"]),
        ("DELETE FROM audit WHERE n = 1", ["does not continue"]),
        ("UPDATE audit SET hash = '' WHERE n = 2", ["was changed", "does not continue"]),
    ],
)
def test_an_entry_of_the_audit_that_was_changed_or_removed_shows(store: Store, change: str, wrong: list[str]) -> None:
    with store.begin() as tx:
        _three_acts(tx)
        assert audit.verify_chain(tx) == []
        tx.execute(text(change))
        assert [any(part in problem for part in wrong) for problem in audit.verify_chain(tx)] == [True] * len(wrong)
    assert len(store.integrity()) == len(wrong)


def test_entries_from_before_the_chain_are_no_problem(store: Store) -> None:
    with store.begin() as tx:
        _three_acts(tx)
        tx.execute(text("UPDATE audit SET hash = '', previous_hash = ''"))
        _three_acts(tx)
        assert audit.verify_chain(tx) == []


def _minute(at: datetime, source: str = "a:1", **counts: int) -> Minute:
    whole = {"calls": 10, "failed": 1, "slow": 2, **counts}
    return Minute(model=MODEL, source=source, at=at, reasons={"overloaded": whole["failed"]}, **whole)


def test_a_minute_that_is_told_again_replaces_itself_and_sources_add_up(store: Store) -> None:
    with store.begin() as tx:
        call_counts.put(tx, [_minute(NOW), _minute(NOW, source="b:7")])
        call_counts.put(tx, [_minute(NOW, calls=40, failed=3), _minute(NOW + MINUTE)])
    with store.read() as tx:
        assert call_counts.since(tx, MODEL, NOW) == call_counts.Sum(calls=60, failed=5, slow=6)
        assert call_counts.since(tx, MODEL, NOW + MINUTE) == call_counts.Sum(calls=10, failed=1, slow=2)
        assert call_counts.since(tx, "another", NOW) == call_counts.Sum()
        assert call_counts.reasons(tx, MODEL, NOW) == {"overloaded": 5}
        assert call_counts.first_bad(tx, MODEL, NOW, slow=True) == NOW
        assert call_counts.first_bad(tx, MODEL, NOW + 2 * MINUTE, slow=False) is None


def test_folding_minutes_into_hours_changes_no_sum_also_where_a_server_tells_late(store: Store) -> None:
    late = NOW + timedelta(days=5)
    with store.begin() as tx:
        call_counts.put(tx, [_minute(NOW + n * MINUTE) for n in range(90)])
        before = call_counts.since(tx, MODEL, NOW)
        assert call_counts.fold(tx, MODEL, late) == 90
        assert call_counts.since(tx, MODEL, NOW) == before
        call_counts.put(tx, [_minute(NOW + MINUTE, source="b:7")])
        assert call_counts.fold(tx, MODEL, late) == 1
        assert call_counts.since(tx, MODEL, NOW).calls == before.calls + 10
        call_counts.fold(tx, MODEL, NOW + timedelta(days=500))
        assert call_counts.since(tx, MODEL, NOW) == call_counts.Sum()


def test_what_comes_of_a_feed_adds_up_by_quarters_of_an_hour_and_begins_with_the_first(store: Store) -> None:
    quarter = 15 * MINUTE
    with store.begin() as tx:
        feeds.add(tx, MODEL, "traffic", {NOW: 3, NOW + quarter: 2})
        feeds.add(tx, MODEL, "traffic", {NOW: 1, NOW + 25 * HOUR: 7})
        feeds.add(tx, MODEL, "labels", {NOW + quarter: 5})
    with store.read() as tx:
        found = feeds.series(tx, MODEL, until=NOW + 26 * HOUR, days=35)
        assert sum(found["traffic"]) == 13
        assert found["traffic"][:3] == [4, 2, 0]
        assert (len(found["traffic"]), found["traffic"][-4]) == (26 * 4, 7)
        assert found["labels"][0] == 5
        # The slot that is not over yet is left out.
        assert feeds.series(tx, MODEL, until=NOW + 14 * MINUTE, days=35)["traffic"] == []
        assert feeds.series(tx, "another", until=NOW + HOUR, days=35) == {}
    with store.begin() as tx:
        assert feeds.drop_old(tx, MODEL, NOW + timedelta(days=40, hours=12)) == 2
        assert set(feeds.series(tx, MODEL, until=NOW + 26 * HOUR, days=35)) == {"traffic"}


def test_sums_of_rewards_add_up_and_hours_become_days_without_changing_them(store: Store) -> None:
    def place(hours: int, bucket: int = 3) -> reward_sums.Place:
        return reward_sums.Place(name="click", bundle="m@1", arm="champion", at=NOW + hours * HOUR, bucket=bucket)

    with store.begin() as tx:
        for hours in range(30):
            reward_sums.add(tx, MODEL, {place(hours): (2, 1.0, 1.0), place(hours, 4): (1, 0.5, 0.25)})
        reward_sums.add(tx, MODEL, {place(0): (0, -0.5, -0.75)})
        before = reward_sums.lines(tx, MODEL, ["click"], since=NOW - 24 * HOUR)
        assert len(before) == 60
        assert (before[0].rows, before[0].total, before[0].square) == (2, 0.5, 0.25)
        assert reward_sums.names(tx, MODEL, since=NOW) == ["click"]
        summed = reward_sums.totals(tx, MODEL, ["click"], since=NOW - 24 * HOUR)
        assert [(one.place.bucket, one.rows, one.total) for one in summed] == [(3, 60, 29.5), (4, 30, 15.0)]
        assert sum(one.square for one in summed) == sum(one.square for one in before)
        late = NOW + timedelta(days=6)
        assert reward_sums.fold(tx, MODEL, late) == 58  # the hour that begins the second day holds it already
        assert reward_sums.fold(tx, MODEL, late) == 0
        after = reward_sums.lines(tx, MODEL, ["click"], since=NOW - 24 * HOUR)
        assert {one.place.at.hour for one in after} == {0}
        assert sum(one.rows for one in after) == sum(one.rows for one in before) == 90
        assert sum(one.total for one in after) == pytest.approx(sum(one.total for one in before))
        reward_sums.fold(tx, MODEL, NOW + timedelta(days=200))
        assert reward_sums.lines(tx, MODEL, ["click"], since=NOW - 24 * HOUR) == []


def test_usage_and_pulses_told_again_replace_themselves_and_old_ones_go(store: Store) -> None:
    one = Usage(model=MODEL, source="a", bundle="m@1", at=NOW, rows=5, cpu_s=1.5, memory_gb_s=2.0, gpu_s=0.25)
    pulse = Pulse(model=MODEL, source="a", at=NOW, calls=3, bounds=(0.1,), counts=(2, 1), memory={"w0:7": (1.0, 2.5)})
    with store.begin() as tx:
        usage.put(tx, [one, replace(one, source="b")], [pulse])
        usage.put(tx, [replace(one, rows=9)], [replace(pulse, calls=4)])
        assert [(u.source, u.rows) for u in usage.since(tx, MODEL, NOW)] == [("a", 9), ("b", 5)]
        assert usage.since(tx, MODEL, NOW + HOUR) == []
        assert usage.by_version(tx, MODEL, NOW) == [
            replace(one, source="", rows=14, cpu_s=3.0, memory_gb_s=4.0, gpu_s=0.5)
        ]
        assert usage.by_version(tx, MODEL, NOW + HOUR) == []
        assert usage.told(tx, MODEL, [NOW, NOW + HOUR]) == [replace(pulse, calls=4)]
        assert usage.told_since(tx, MODEL, NOW) == [replace(pulse, calls=4)]
        usage.drop_old(tx, MODEL, NOW + timedelta(days=41))
        assert (usage.told_since(tx, MODEL, NOW), len(usage.since(tx, MODEL, NOW))) == ([], 2)
        usage.drop_old(tx, MODEL, NOW + timedelta(days=401))
        assert usage.since(tx, MODEL, NOW) == []
