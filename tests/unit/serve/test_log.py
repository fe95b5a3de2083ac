"""One group commit: who pays for what cannot be written."""

from __future__ import annotations

from collections.abc import Sequence

from mainstay.core.errors import ContractViolation, JournalFull, Problem
from mainstay.core.events import Event
from mainstay.serve.log import Log
from serve_kit import FakeWriter, Kit, one


class PickyWriter(FakeWriter):
    """Refuses, before anything is written, a group with an event that has a bad id, as the journal does."""

    def frames(self, events: Sequence[Event]) -> bytes:
        for number, event in enumerate(events):
            if event.id == "bad":
                raise ContractViolation("cannot be journalled", problems=[Problem(where="event", what="?", row=number)])
        return super().frames(events)


def picky_kit() -> Kit:
    kit = Kit()
    kit.writer = PickyWriter()
    kit.log._writer = kit.writer
    return kit


def test_a_record_that_cannot_be_written_costs_its_own_call_alone() -> None:
    kit = picky_kit()
    good, bad, last = kit.work(kit.call(one(), one()), kit.call(one(), one(id="bad")), kit.call(one("snow")))
    assert isinstance(good, bytes)
    assert isinstance(bad, ContractViolation)
    assert isinstance(last, bytes)
    assert [event.seq for event in kit.writer.events] == [1, 2, 3]


def test_a_full_disk_costs_everybody_and_no_seq_is_used_twice() -> None:
    kit = picky_kit()
    kit.writer.full = True
    assert all(isinstance(outcome, JournalFull) for outcome in kit.work(kit.call(one()), kit.call(one(id="bad")))[:1])
    kit.writer.full = False
    kit.predict(one())
    assert kit.writer.events[0].seq == 2


def test_nothing_to_write_is_no_commit() -> None:
    writer = FakeWriter()
    writer.full = True
    log = Log(writer, "w0")
    assert log.write(log.prepare([])) == {}
