"""Who is told, and how often: once for each opening and severity, never while silenced, and of the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainstay.core.incidents import Finding, Harm, Incident, Severity, State
from mainstay.core.silences import Silence, covers, silenced_by
from mainstay.store import alerts, incidents, silences
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import announce

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WANTED = [("log://", Severity.NOTE), ("json://pager.test/", Severity.PAGE)]


def finding(signal: str, harm: Harm = Harm.QUALITY, segment: str = "") -> Finding:
    return Finding(
        signal=signal,
        segment=segment,
        harm=harm,
        since=NOW,
        before=0.9,
        now=0.7,
        shift=-0.2,
        evidence=40.0,
        text=f"{signal} fell",
    )


def incident(severity: Severity = Severity.PAGE, *found: Finding) -> Incident:
    return Incident(
        model="m",
        bundle="m@1",
        harm=Harm.QUALITY,
        severity=severity,
        opened_at=NOW,
        started_at=NOW,
        title="Answers are probably worse",
        story=("It began.",),
        findings=found or (finding("answer.confidence"),),
    )


@pytest.fixture
def tx():
    with Store.open("sqlite://", clock=FakeClock(NOW)).begin() as opened:
        yield opened


def tell(tx, now: datetime = NOW, wanted=WANTED) -> list[str]:
    """Announce, and return what stands in the outbox."""
    announce.announce(tx, model="m", wanted=wanted, now=now)
    return sorted(f"{alert.alert_id} {alert.to}" for alert in alerts.list_(tx))


def silence(tx, monitor: str, hours: float = 2.0) -> Silence:
    made = Silence(model="m", monitor=monitor, starts_at=NOW, until=NOW + hours * HOUR, reason="known", by="anna")
    return silences.add(tx, made)


def test_an_incident_is_told_once_however_often_one_looks(tx) -> None:
    incidents.open_(tx, incident())
    once = tell(tx)
    assert once == ["incident-1-page json://pager.test/", "incident-1-page log://"]
    assert tell(tx, NOW + HOUR) == once


def test_one_that_becomes_louder_is_told_to_those_who_want_that(tx) -> None:
    opened = incidents.open_(tx, incident(Severity.NOTE))
    assert tell(tx) == ["incident-1-note log://"]
    incidents.replace(tx, replace(opened, severity=Severity.PAGE))
    assert tell(tx)[1:] == ["incident-1-page json://pager.test/", "incident-1-page log://"]


def test_one_that_comes_back_is_told_again_and_its_end_each_time(tx) -> None:
    opened = incidents.open_(tx, incident())
    tell(tx)
    for to, note in ((State.MITIGATED, "as before"), (State.OPEN, "back"), (State.MITIGATED, "as before")):
        incidents.move(tx, opened.id, to, by="watch", note=note, now=NOW)
        told = tell(tx)
    assert [line for line in told if line.endswith("log://")] == [
        "incident-1-over log://",
        "incident-1-over-2 log://",
        "incident-1-page log://",
        "incident-1-page-2 log://",
    ]
    assert next(a for a in alerts.list_(tx) if a.alert_id == "incident-1-over").title.startswith("[over] m: ")


def test_one_that_came_and_went_before_anybody_looked_is_told_as_over_once(tx) -> None:
    opened = incidents.open_(tx, incident())
    incidents.move(tx, opened.id, State.MITIGATED, by="watch", note="as before", now=NOW)
    assert tell(tx, NOW + timedelta(minutes=9)) == ["incident-1-over json://pager.test/", "incident-1-over log://"]


def test_one_that_ended_long_ago_is_told_to_nobody_who_comes_new(tx) -> None:
    opened = incidents.open_(tx, incident())
    incidents.move(tx, opened.id, State.MITIGATED, by="watch", note="as before", now=NOW)
    assert tell(tx, NOW + HOUR) == []


def test_a_silenced_one_is_told_when_the_silence_ends(tx) -> None:
    incidents.open_(tx, incident())
    silence(tx, "answer.*")
    assert tell(tx) == []
    assert len(tell(tx, NOW + 2 * HOUR)) == 2


def test_a_silence_that_is_ended_early_lets_it_be_told(tx) -> None:
    incidents.open_(tx, incident())
    made = silence(tx, "answer.confidence")
    assert tell(tx) == []
    silences.end(tx, made.id, by="anna", now=NOW + timedelta(minutes=1))
    assert len(tell(tx, NOW + timedelta(minutes=2))) == 2


def test_one_finding_that_nobody_silenced_is_enough_to_be_told(tx) -> None:
    both = (finding("answer.confidence"), finding("labels.gap"))
    incidents.open_(tx, incident(Severity.PAGE, *both))
    silence(tx, "answer")
    assert len(tell(tx)) == 2


def test_findings_of_less_harm_need_no_silence_of_their_own(tx) -> None:
    incidents.open_(tx, incident(Severity.PAGE, finding("answer.confidence"), finding("note.length", Harm.INPUT)))
    silence(tx, "answer")
    assert tell(tx) == []


def test_the_silence_of_another_model_or_of_a_past_hour_silences_nothing(tx) -> None:
    incidents.open_(tx, incident())
    silences.add(tx, replace(silence(tx, "*", hours=0.5), model="other"))
    assert len(tell(tx, NOW + HOUR)) == 2


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("note.length", True),
        ("note", True),
        ("note.*", True),
        ("*", True),
        ("harm:input", True),
        ("region=north", True),
        ("region=*", True),
        ("note.words", False),
        ("not", False),
        ("NOTE", False),
        ("harm:quality", False),
        ("region=south", False),
        ("", False),
    ],
)
def test_a_monitor_is_a_signal_a_field_a_harm_a_segment_or_a_pattern(monitor: str, expected: bool) -> None:
    assert covers(monitor, finding("note.length", Harm.INPUT, "region=north")) is expected


def test_a_silence_holds_from_its_start_to_its_end() -> None:
    made = Silence(model="m", monitor="*", starts_at=NOW, until=NOW + HOUR, reason="r", by="anna")
    for at, expected in ((NOW, True), (NOW + HOUR, False), (NOW - HOUR, False)):
        assert bool(silenced_by(incident(), [made], at)) is expected
    ended = replace(made, ended_at=NOW + HOUR / 2)
    assert not ended.holds(NOW + HOUR / 2)


def test_without_addresses_nothing_is_asked_and_an_address_that_comes_later_is_told(tx) -> None:
    incidents.open_(tx, incident())
    assert tell(tx, wanted=[]) == []
    assert tell(tx, wanted=WANTED[:1]) == ["incident-1-page log://"]
