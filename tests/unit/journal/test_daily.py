"""A segment that has been open for a day ends with the next record."""

from __future__ import annotations

from pathlib import Path

from mainstay.core.events import Event, Kind
from mainstay.journal import files, seal
from mainstay.journal.daily import LONGEST_S, Daily
from mainstay.journal.read import Journal
from mainstay.journal.writer import SegmentWriter
from mainstay.testing.clock import FakeClock


def write(out: SegmentWriter, clock: FakeClock) -> None:
    at, seq = clock.now(), out.next_seq
    out.commit(
        [
            Event(
                model="shop",
                worker="w0",
                seq=seq,
                id=f"p{seq}",
                kind=Kind.PREDICTION,
                occurred_at=at,
                received_at=at,
                key_hash="k",
                unit="u",
                latency_us=1,
            )
        ]
    )


def test_the_first_record_after_a_day_begins_a_new_segment_and_the_old_one_is_sealed(tmp_path: Path) -> None:
    clock = FakeClock()
    with SegmentWriter(tmp_path, "w0", durability="os", segment_mb=1) as out:
        daily = Daily(out, clock)
        clock.advance(seconds=2 * LONGEST_S)
        daily.look()  # nothing is open: nothing ends
        write(out, clock)
        for _ in range(2):
            daily.look()
            clock.advance(seconds=LONGEST_S - 1)
            daily.look()
            write(out, clock)
            assert len(files.segments(tmp_path)) == 1
            clock.advance(seconds=1)
            daily.look()
            daily.look()
            assert len(files.segments(tmp_path)) == 1
            write(out, clock)
            assert len(files.segments(tmp_path)) == 2
            seal.seal_closed(tmp_path)
            assert len(files.segments(tmp_path)) == 1
        events, _ = Journal(tmp_path).read({}, 100)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
