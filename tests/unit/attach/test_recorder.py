"""Trouble never reaches the service, is counted and told, and recording goes on when it ends."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import mainstay
from attach_kit import counts, recorded
from mainstay.attach import recorder as recorders
from mainstay.attach import sink
from mainstay.attach.recorder import recorder
from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import EnvironmentFault, JournalFull
from mainstay.core.events import Kind
from mainstay.journal.read import Journal
from mainstay.journal.writer import SegmentWriter
from mainstay.serve import feedback, wire
from mainstay.serve.log import Log


def log(project: Path, **more: Any) -> str:
    return mainstay.log(project=project, **{"inputs": {"x": 1}, "output": "ok"} | more)


def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.005)


def test_a_call_records_what_it_was_told(project: Path) -> None:
    told = mainstay.log(
        project=project, inputs={"x": [1, 2]}, output=True, confidence=0.75, id=7, key="c-1", latency_ms=2.5
    )
    (event,) = recorded(project)
    assert (told, event.id, event.inputs, event.label) == ("7", "7", {"x_0": 1, "x_1": 2}, "true")
    assert (event.confidence, event.latency_us, len(event.key_hash)) == (0.75, 2500, 32)


def test_what_the_caller_changes_afterwards_is_not_recorded(project: Path) -> None:
    inputs = {"x": {"deep": [1]}}
    log(project, inputs=inputs)
    inputs["x"]["deep"].append(2)
    assert recorded(project)[0].inputs == {"x_deep_0": 1}


def test_numpy_and_pandas_values_are_plain_in_the_record(project: Path) -> None:
    import numpy as np
    import pandas as pd

    row = pd.Series({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)})
    log(project, inputs=row, output=np.float64(2.5))
    log(project, inputs=np.array([1.0, 2.0]), output=np.int32(1))
    assert [(e.inputs, e.label) for e in recorded(project)] == [
        ({"a": 0.5, "b": 3, "c": True}, 2.5),
        ({"x0": 1.0, "x1": 2.0}, 1),
    ]


def test_errors_and_truths_are_records_of_their_own_kind(project: Path) -> None:
    log(project, error=TimeoutError("late"), output=None)
    told = log(project, truth="fraud")
    mainstay.log(project=project, id=told, truth="ok")
    found = recorded(project)
    assert [e.kind for e in found] == [Kind.ERROR, Kind.EXTERNAL, Kind.FEEDBACK, Kind.FEEDBACK]
    assert found[0].reason == "TimeoutError: late"
    assert [e.feedback.value for e in found[2:] if e.feedback] == ["fraud", "ok"]


def test_a_truth_has_its_own_time_and_none_comes_from_the_future(project: Path) -> None:
    now = recorder(project).clock.now()
    for at in (now - timedelta(days=3), now + timedelta(days=3)):
        mainstay.log(project=project, id="r-1", truth="ok", at=at)
    (found,) = recorded(project)
    assert found.feedback is not None
    assert found.feedback.at == now - timedelta(days=3)
    assert found.received_at >= now
    assert counts(project)["skipped: future_truth"] == 1


def test_feedback_by_http_knows_what_a_service_answered(project: Path) -> None:
    told = log(project)
    recorded(project)
    journal = Journal(project / ".mainstay" / "journal")
    contract = Contract(task=Task.BINARY, fields=(), target="truth", classes=("ok", "fraud"))
    now = recorder(project).clock.now()
    items = [wire.FeedbackItem(id=id_, kind="label", value="fraud") for id_ in (told, "nobody asked this")]
    asked = feedback.validate(wire.FeedbackRequest(items=items), contract, model="fraud", now=now, arrived=0.0)
    entries: list[Any] = []
    feedback.Book(journal, Log(None, "w0")).enter(asked, entries)  # type: ignore[arg-type]
    assert [result.status for result in asked.results] == ["stored", "waiting_for_prediction"]


class Strange:
    def tolist(self) -> Any:
        raise RuntimeError("no list of me")


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": None},
        {"inputs": 5},
        {"inputs": {}},
        {"inputs": {"x": Strange()}},
        {"inputs": {"x": 2**80}},
        {"output": object},
        {"confidence": 7.5},
        {"confidence": "high"},
        {"id": "a" * 500},
        {"id": b"\0"},
        {"at": "yesterday"},
        {"key": ["list"]},
        {"probabilities": {"a": "b"}},
        {"latency_ms": "fast"},
    ],
)
def test_data_of_any_kind_raise_nothing(project: Path, wrong: dict[str, Any]) -> None:
    assert log(project, **wrong)
    found = counts(project)
    assert found.get("written", 0) + found.get("skipped", 0) == 1


def test_inputs_that_hold_themselves_raise_nothing(project: Path) -> None:
    inputs: dict[str, Any] = {}
    inputs["me"] = inputs
    log(project, inputs=inputs)
    assert counts(project)["skipped: not_encodable"] == 1


def test_more_than_a_call_may_tell_is_counted(project: Path) -> None:
    log(project, inputs={"x": "y" * 2_000_000})
    assert counts(project)["skipped: not_encodable"] == 1


def test_a_call_within_a_call_waits_for_nothing(project: Path) -> None:
    """A signal handler or a destructor may run at any instruction, also while the queue is held."""
    with recorder(project)._lock:
        log(project)
    assert len(recorded(project)) == 1


def test_a_clock_that_is_gone_stops_nobody(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_CLOCK", str(project / "no clock"))
    log(project)
    assert len(recorded(project)) == 1


def test_an_argument_that_there_is_not_raises_as_python_does(project: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        log(project, outputs="ok")


def test_a_disk_that_is_full_costs_nothing_once_it_has_room(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(folder: Path) -> None:
        raise JournalFull("the disk is full")

    monkeypatch.setattr(sink, "LOOK_EVERY_S", 0.0)
    with monkeypatch.context() as during, caplog.at_level(logging.WARNING, "mainstay.attach"):
        during.setattr(sink, "_require_room", full)
        for _ in range(10):
            log(project)
        time.sleep(0.3)
        assert recorder(project).counts["written"] == 0
    assert [record.getMessage().count("the disk is full") for record in caplog.records] == [1]
    assert len(recorded(project)) == 10


def test_what_does_not_fit_the_queue_meanwhile_is_counted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise JournalFull("the disk is full")

    monkeypatch.setattr(recorders, "MOST_QUEUED", 5)
    monkeypatch.setattr(recorders, "BATCH", 5)
    with monkeypatch.context() as during:
        during.setattr(sink, "_require_room", full)
        for _ in range(30):
            log(project)
            time.sleep(0.005)
    kept = len(recorded(project))
    assert 5 <= kept <= 10
    eventually(lambda: recorder(project).counts["dropped: queue_full"] == 30 - kept)


def test_a_failed_write_is_done_again_without_a_double(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [2]
    commit = SegmentWriter.commit

    def sometimes(self: SegmentWriter, events: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise JournalFull("no space left on device")
        commit(self, events)

    monkeypatch.setattr(SegmentWriter, "commit", sometimes)
    ids = [log(project) for _ in range(20)]
    assert [event.id for event in recorded(project)] == ids


@pytest.mark.parametrize("gone", [".mainstay", ".mainstay/journal/active", "."])
def test_a_folder_that_is_removed_is_made_again(project: Path, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    monkeypatch.setattr(sink, "LOOK_EVERY_S", 0.0)
    log(project, id="before")
    recorded(project)
    # Away in one step: the recorder may be writing there at this very moment.
    (project / gone).resolve().rename(project.parent / "gone")
    shutil.rmtree(project.parent / "gone")
    log(project, id="after")
    assert [event.id for event in recorded(project)] == ["after"]


def test_a_project_file_that_becomes_wrong_leaves_the_rules_of_before(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log(project)
    recorded(project)
    (project / "mainstay.toml").write_text("mainstay = 1\n[project\n")
    with caplog.at_level(logging.WARNING, "mainstay.attach"):
        log(project)
        assert len(recorded(project)) == 2
    assert "the rules of before hold" in caplog.text


def test_a_rule_that_a_person_writes_holds_without_a_restart(project: Path) -> None:
    log(project, inputs={"email": "a@example.org", "x": 1})
    recorded(project)
    text = (project / "mainstay.toml").read_text()
    fields = '\n[fields.x]\ntype = "integer"\n[fields.email]\ntype = "text"\npii = "drop"\n'
    (project / "mainstay.toml").write_text(text + fields)
    log(project, inputs={"email": "b@example.org", "x": 1})
    assert [sorted(event.inputs) for event in recorded(project)] == [["email", "x"], ["x"]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_no_trouble_of_the_service(project: Path) -> None:
    project.mkdir()
    project.chmod(0o500)
    log(project)
    time.sleep(0.1)
    project.chmod(0o700)
    assert len(recorded(project)) == 1


def test_a_file_in_the_folders_place_is_no_trouble_of_the_service(project: Path) -> None:
    project.write_text("a file")
    log(project)
    time.sleep(0.1)
    project.unlink()
    assert len(recorded(project)) == 1


def test_two_writers_of_one_host_have_a_slot_each(project: Path) -> None:
    log(project)
    recorded(project)
    with pytest.raises(EnvironmentFault, match="another process"):
        SegmentWriter(project / ".mainstay" / "journal", recorder(project)._sink.worker)  # type: ignore[union-attr]
    other = recorders.Recorder(project)
    other.put(recorder_draft())
    assert other.flush(120)
    other.stop()
    assert [name[-2:] for name in Journal(project / ".mainstay" / "journal").workers()] == ["-0", "-1"]


def recorder_draft() -> Any:
    from mainstay.attach.record import _Told

    draft = _Told(None, at=recorders.clock_from({}).now(), id="other")  # type: ignore[arg-type]
    draft.pack(({"x": 1}, "ok", None, None, None, None))
    return draft


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded")
def test_a_forked_child_begins_anew_and_leaves_the_parents_record_alone(project: Path) -> None:
    log(project, id="parent")
    recorded(project)
    child = os.fork()
    if child == 0:
        log(project, id="child")
        recorders.stop_all()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log(project, id="parent again")
    found = {event.id: event.worker[-2:] for event in recorded(project)}
    assert found == {"parent": "-0", "child": "-1", "parent again": "-0"}


def test_a_stopped_recorder_begins_again(project: Path) -> None:
    log(project, id="a")
    recorder(project).stop()
    log(project, id="b")
    assert [event.id for event in recorded(project)] == ["a", "b"]


def test_a_process_says_that_it_lives_and_what_it_counted(project: Path) -> None:
    log(project)
    recorder(project).stop()
    (told,) = (project / ".mainstay" / "run").glob("attach-*.json")
    assert '"written":1' in told.read_text()
