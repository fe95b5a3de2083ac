"""A project whose model answers elsewhere: the service's signs of life count, serving's do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mainstay.attach.sink import tell
from mainstay.core.releases import Release, Stage
from mainstay.status import service
from mainstay.status.records import Answering, Beat, Health, Learning, Traffic
from mainstay.status.verdict import summarise

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ALIVE = timedelta(seconds=30)
LOOP = Beat(name="loop", at=NOW, alive=True)
LEARNING = Learning(seen=231, needed=500, since=NOW)
FRAUD = Answering(name="fraud@1", version=1, since=NOW, why="answers elsewhere")


def said(**facts: Any) -> Any:
    plain: dict[str, Any] = {
        "answering": FRAUD,
        "open_incidents": (),
        "rollout": None,
        "traffic": Traffic(rows=100, last_at=NOW),
        "beats": (LOOP,),
        "well_since": NOW,
        "enough_rows": 32,
        "now": NOW,
        "elsewhere": True,
    }
    return summarise(**plain | facts)


def test_without_a_server_of_ours_it_may_be_well() -> None:
    assert said().health is Health.WELL
    assert said(elsewhere=False).why == "serve has never run here."


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"learning": LEARNING}, "learning: 231 of 500 requests."),
        ({"answering": None}, "A service answers elsewhere, and no request of it was seen yet."),
        ({"beats": ()}, "loop has never run here."),
        ({"learning": LEARNING, "beats": ()}, "loop has never run here."),
        ({"traffic": Traffic()}, "Too little traffic was seen to judge by: the first block is not full."),
    ],
)
def test_what_is_not_known_is_said(facts: dict[str, Any], why: str) -> None:
    found = said(**facts)
    assert (found.health, found.why) == (Health.UNKNOWN, why)


def test_who_answers_is_the_service_under_the_name_of_its_reference() -> None:
    live = Release(model="fraud", version=1, digest="d", stage=Stage.CERTIFIED, since=NOW, created_at=NOW, reason="why")
    found = service.answering("fraud", live, None)
    assert found is not None
    assert (found.name, found.why) == ("fraud@1", "why")
    learns = service.answering("fraud", None, LEARNING)
    assert learns is not None
    assert (learns.name, learns.version, "231 of 500" in learns.why) == ("fraud", 0, True)
    assert service.answering("fraud", None, None) is None


def test_processes_are_read_from_what_they_told_of_themselves(tmp_path: Path) -> None:
    for number, at in enumerate((NOW, NOW - timedelta(minutes=5))):
        counts = {"written": 7}
        tell(tmp_path / f"attach-x-{number}.json", {"pid": 1, "worker": f"x-{number}", "at": at, "counts": counts})
    (tmp_path / "attach-x-9.json").write_text("{half")
    found = service.processes(tmp_path, NOW, ALIVE)
    assert [(one.worker, one.alive, one.counts) for one in found] == [
        ("x-0", True, {"written": 7}),
        ("x-1", False, {"written": 7}),
    ]
    beats = service.beats((), found, NOW, ALIVE)
    assert [(beat.name, beat.alive, beat.at) for beat in beats] == [("service", True, NOW)]


def test_nothing_counted_is_no_learning() -> None:
    assert service.learning(None) is None
    assert service.learning(({"seen": 0, "needed": 5, "since": NOW.isoformat()}, 1)) is None
