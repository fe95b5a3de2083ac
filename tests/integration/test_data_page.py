"""The data page of a real project: dead letters tried again there, and deliveries that were looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.test_pulled import TOML

from mainstay.core.errors import Damaged, NotFound
from mainstay.project import Project
from mainstay.store import pulled
from mainstay.web import project_rooms
from mainstay.web.looks import Look
from mainstay.web.pages import data as pages
from mainstay.web.rooms import Room


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "mainstay.toml").write_text(TOML.format(address="http://127.0.0.1:9/", more=""))
    return Project.open(tmp_path, environ={})


def test_dead_letters_are_shown_by_source_and_tried_again_by_whom_the_audit_names(project: Project) -> None:
    room = project_rooms.of([project])["shop"]
    with project.parts.store.begin() as tx:
        for source, raw in (
            ("crm", '{"id": "r1", "buyer": "b", "text": "pear", "kind": "fruit"}'),
            ("crm", '{"id": "r2", "buyer": "b", "text": 7, "kind": "fruit"}'),
            ("gone", "{}"),
        ):
            pulled.put_letter(tx, "shop", source, raw, "kind: was no class", now=room.now())
    shown = pages.page(look := _look(room))
    assert [(row[0].text, row[4].text) for row in shown.sources.rows] == [("crm", "2"), ("gone", "1")]
    assert [link.text for link in shown.tries] == ["Try the 2 of crm again"]  # of an undeclared one nothing is tried
    room.replay_letters("crm", by="ada")
    shown = pages.page(look)
    assert [(row[1].text, "r2" in row[4].text) for row in shown.letters.rows] == [("gone", False), ("crm", True)]
    with project.parts.store.read() as tx:
        assert [one.id for one in pulled.kept(tx, "shop", sources=["crm"], limit=9)] == ["r1"]
    entries, problems = room.audit()
    assert (entries[0].who, entries[0].what, entries[0].subject) == ("ada", "dead letters replayed", "crm")
    assert entries[0].detail == {"kept": 1, "known": 0, "dead": 1}
    assert problems == []


def test_a_report_that_cannot_be_read_is_told_and_keeps_the_others_from_nothing(project: Project) -> None:
    room = project_rooms.of([project])["shop"]
    folder = project.parts.loaded.state / "deliveries"
    good = '{"made_at": "2026-03-09T14:00:00+00:00", "rows": {"train": 9, "last": null}, "checks": [{"name": "leaks", '
    good += '"question": "?", "verdict": "fail", "reason": "kind tells it", "applies": true, "numbers": {"a": [1]}}]}'
    for name, text in (("ab12", good), ("cd34", '{"rows": 3}'), ("ef56", "")):
        (folder / name).mkdir(parents=True)
        (folder / name / "report.json").write_text(text)
    shown = pages.page(_look(room))
    assert [(row[0].text, row[2].text, row[5].text) for row in shown.deliveries.rows] == [
        ("ab12", "1 of 1 do not hold", "leaks: kind tells it")
    ]
    assert len(shown.damaged) == 2
    assert room.delivery("ab12").rows == {"train": 9}
    with pytest.raises(Damaged, match="cd34"):
        room.delivery("cd34")
    for strange in ("none", "../ab12", "0000"):
        with pytest.raises(NotFound, match="no report"):
            room.delivery(strange)


def _look(room: Room) -> Look:
    return Look(rooms={"shop": room}, model="shop", params={}, query={})
