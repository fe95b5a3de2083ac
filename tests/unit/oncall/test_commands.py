"""`mainstay incidents`, `silence` and `alerts`, over a project in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mainstay.cli.main import app
from mainstay.core.incidents import Finding, Harm, Incident, Severity
from mainstay.project import Project
from mainstay.starter import example
from mainstay.stats.intervals import wilson
from mainstay.store import alerts, incidents
from mainstay.watch import announce

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(project: Path, *arguments: str) -> Any:
    """Run a command and return its JSON document."""
    result = run(*arguments, "-C", str(project), "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "pumps"
    example.write(folder)
    file = folder / "mainstay.toml"
    assert '[[alerts]]\nto = "log://"' in file.read_text()
    return folder


@pytest.fixture
def opened(project: Path) -> Iterator[Project]:
    found = Project.open(project)
    yield found
    found.parts.close()


def open_incident(found: Project, signal: str = "pressure", **changes: Any) -> int:
    """Write an incident as the watch does; return its number."""
    finding = Finding(
        signal=signal,
        harm=Harm.QUALITY,
        since=NOW,
        before=0.9,
        now=0.7,
        shift=-0.2,
        evidence=50.0,
        text=f"{signal} fell",
    )
    facts = {
        "fields": [
            {"field": signal, "signal": signal, "nats": 31.0, "points": 0.12, "error": 0.01, "sure": True},
            {"field": "other", "signal": "other", "nats": 4.0, "points": None, "error": None, "sure": False},
        ],
        "changes": [{"kind": "release", "at": NOW.isoformat(), "text": "pumps@2 began to answer", "before_s": 0.0}],
        "examples": [{"id": "p1", "at": NOW.isoformat(), "score": 7.5, "shows": [f"{signal} 12"]}],
        "to_label": {"needed": 300, "random": [f"p{n}" for n in range(15)], "least_certain": ["p9"]},
        "action": {"action": "roll_back", "text": "Roll back.", "reason": "It began then.", "rule": 1},
        "recommendation": "Roll back.",
    }
    incident = Incident(
        model=found.name,
        bundle=f"{found.name}@1",
        harm=Harm.QUALITY,
        severity=Severity.PAGE,
        opened_at=NOW,
        started_at=NOW - timedelta(minutes=2),
        title=f"{signal} fell",
        story=("It began about nine.",),
        findings=(finding,),
        facts=facts,
    )
    with found.parts.store.begin() as tx:
        return incidents.open_(tx, replace(incident, **changes)).id


def test_incidents_are_listed_and_shown_as_text_and_as_json(project: Path, opened: Project) -> None:
    assert "No incident is open" in run("incidents", "list", "-C", str(project)).stdout
    number = open_incident(opened)
    assert "pressure fell" in run("incidents", "list", "-C", str(project)).stdout
    (listed,) = said(project, "incidents", "list")
    assert (listed["incident"]["id"], listed["monitor"], listed["mark"]) == (number, "pressure", None)
    text = run("incidents", "show", str(number), "-C", str(project)).stdout
    for part in (
        "It began about nine.",
        "Do: roll back. It began then.",
        "+12.0 points ± 2.0",
        "not known",
        "pumps@2 began to answer",
        "pressure 12",
        "… and 5 more",
        "2026-01-05 09:00:00",
    ):
        assert part in text
    shown = said(project, "incidents", "show", str(number))
    assert shown["incident"]["facts"]["to_label"]["least_certain"] == ["p9"]
    assert [change["to_state"] for change in shown["changes"]] == ["open"]


def test_an_incident_is_taken_ended_and_opened_again_by_hand_and_the_audit_says_by_whom(
    project: Path, opened: Project
) -> None:
    number = str(open_incident(opened))
    assert said(project, "incidents", "ack", number, "--note", "asked upstream")["state"] == "acknowledged"
    assert said(project, "incidents", "resolve", number, "--note", "mended")["state"] == "resolved"
    assert said(project, "incidents", "list") == []
    assert len(said(project, "incidents", "list", "--all")) == 1
    assert run("incidents", "ack", number, "-C", str(project)).exit_code == 6
    assert said(project, "incidents", "reopen", number, "--note", "back")["state"] == "open"
    entries = said(project, "audit")["entries"]
    told = [(entry["what"], entry["subject"]) for entry in entries]
    assert told == [(f"incident {word}", f"incident {number}") for word in ("reopened", "resolved", "acknowledged")]
    assert all(entry["who"] for entry in entries)
    shown = said(project, "incidents", "show", number)
    assert [change["note"] for change in shown["changes"][1:]] == ["asked upstream", "mended", "back"]


def test_those_who_were_told_of_it_hear_that_a_person_ended_it(project: Path, opened: Project) -> None:
    number = open_incident(opened)
    with opened.parts.store.begin() as tx:
        announce.announce(tx, model=opened.name, wanted=[("log://", Severity.NOTE)], now=NOW)
    said(project, "incidents", "resolve", str(number), "--note", "mended")
    told = said(project, "alerts", "list")
    assert {one["alert_id"] for one in told} == {f"incident-{number}-page", f"incident-{number}-over"}


def test_an_incident_that_is_not_there_is_told_as_such(project: Path) -> None:
    for verb in ("show", "ack"):
        result = run("incidents", verb, "99", "-C", str(project))
        assert result.exit_code == 2
        assert "there is no incident 99" in result.stderr


def test_marks_make_the_precision_of_each_monitor_and_the_newest_word_counts(project: Path, opened: Project) -> None:
    for signal in ("pressure", "pressure", "pressure", "flow", "noise"):
        open_incident(opened, signal)
    for number, word in ((1, "--useful"), (2, "--not-useful"), (3, "--not-useful"), (3, "--useful"), (4, "--useful")):
        said(project, "incidents", "mark", str(number), word, "--note", "so it was")
    by_monitor = {one["monitor"]: one for one in said(project, "incidents", "precision")}
    assert list(by_monitor) == ["pressure", "flow", "noise", "all"]
    pressure = by_monitor["pressure"]
    assert (pressure["incidents"], pressure["marked"], pressure["useful"]) == (3, 3, 2)
    assert (pressure["low"], pressure["high"]) == pytest.approx(wilson(2, 3))
    assert by_monitor["noise"]["value"] is None
    assert (by_monitor["all"]["incidents"], by_monitor["all"]["useful"]) == (5, 3)
    text = run("incidents", "precision", "-C", str(project)).stdout
    assert "67% (21% to 94%)" in text
    assert "not known: none is marked" in text
    assert "Marked as useful" in run("incidents", "show", "3", "-C", str(project)).stdout
    assert [entry["what"] for entry in said(project, "audit")["entries"]] == ["incident marked"] * 5


def test_a_mark_must_say_which(project: Path, opened: Project) -> None:
    number = str(open_incident(opened))
    assert run("incidents", "mark", number, "-C", str(project)).exit_code == 2


def test_a_silence_is_listed_audited_shown_with_its_incident_and_ended(project: Path, opened: Project) -> None:
    number = open_incident(opened)
    made = said(project, "silence", "pressure", "--for", "2h", "--reason", "a pump is being replaced")
    (listed,) = said(project, "silence")
    assert (listed["id"], listed["monitor"], listed["reason"]) == (made["id"], "pressure", "a pump is being replaced")
    assert said(project, "incidents", "list")[0]["silenced_until"] == made["until"]
    assert "Silenced until" in run("incidents", "show", str(number), "-C", str(project)).stdout
    assert "open (silenced)" in run("incidents", "list", "-C", str(project)).stdout
    status = said(project, "status")
    assert [one["monitor"] for one in status["silences"]] == ["pressure"]
    assert "silenced   pressure until" in run("status", "-C", str(project)).stdout
    assert said(project, "silence", "--end", str(made["id"]))["ended_by"]
    assert said(project, "silence") == []
    assert len(said(project, "silence", "--all")) == 1
    assert run("silence", "--end", str(made["id"]), "-C", str(project)).exit_code == 6
    whats = [entry["what"] for entry in said(project, "audit")["entries"]]
    assert whats == ["silence ended", "silence began"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("pressure", "--reason", "no end"),
        ("pressure", "--for", "2h", "--until", "2099-01-01", "--reason", "two ends"),
        ("pressure", "--for", "2h"),
        ("pressure", "--until", "2020-01-01", "--reason", "past"),
        ("pressure", "--for", "400d", "--reason", "too long"),
        ("pressure", "--until", "tomorrow", "--reason", "no time"),
        ("--end", "7"),
    ],
)
def test_a_silence_needs_an_end_that_comes_and_a_reason(project: Path, wrong: tuple[str, ...]) -> None:
    result = run("silence", *wrong, "-C", str(project))
    assert result.exit_code == 2
    assert said(project, "silence", "--all") == []


def test_every_address_is_tried_and_one_that_takes_nothing_is_told(project: Path) -> None:
    assert said(project, "alerts", "test") == [{"to": "log://", "error": ""}]
    file = project / "mainstay.toml"
    file.write_text(file.read_text() + '\n[[alerts]]\nto = "json://user:word@127.0.0.1:9/hook?token=t"\n')
    result = run("alerts", "test", "-C", str(project))
    assert result.exit_code == 6
    assert "json://127.0.0.1:9: the webhook at 127.0.0.1 was not reached" in result.stdout
    assert "word" not in result.stdout + result.stderr


def test_the_outbox_is_listed_without_secrets(project: Path, opened: Project) -> None:
    with opened.parts.store.begin() as tx:
        alerts.enqueue(tx, alert_id="a1", to="slack://secret/token", title="T", body="B", severity="page", now=NOW)
    assert [one["to"] for one in said(project, "alerts", "list")] == ["slack://…"]
    assert "waits until" in run("alerts", "list", "-C", str(project)).stdout


def test_rules_and_a_dashboard_are_written_to_a_file_or_to_stdout(project: Path, tmp_path: Path) -> None:
    assert "MainstayIncidentPages" in run("alerts", "export", "--prometheus", "-C", str(project)).stdout
    file = tmp_path / "board.json"
    assert said(project, "alerts", "export", "--grafana", "--out", str(file)) == {"file": str(file)}
    assert json.loads(file.read_text())["tags"] == ["mainstay"]
    assert run("alerts", "export", "-C", str(project)).exit_code == 2
    assert run("alerts", "export", "--grafana", "--out", "/nowhere/x", "-C", str(project)).exit_code == 6


def test_an_incident_of_another_model_in_the_same_store_is_none_of_ours(project: Path, opened: Project) -> None:
    number = open_incident(opened, model="another")
    assert run("incidents", "show", str(number), "-C", str(project)).exit_code == 2
    assert said(project, "incidents", "list", "--all") == []
