"""What is committed is read again, whole and in order."""

from __future__ import annotations

import os
import shutil
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.core import errors
from mainstay.core.events import Arm, Caveat, Event, Feedback, Kind, PairedAnswer, Trust
from mainstay.journal import files, frames, writer
from mainstay.journal.read import Journal
from mainstay.journal.seal import seal, seal_closed
from mainstay.journal.writer import SegmentWriter

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def an_event(seq: int, worker: str = "w0", **changes: object) -> Event:
    values = {"model": "toy", "worker": worker, "seq": seq, "id": f"{worker}-{seq}", "kind": Kind.PREDICTION}
    values |= {"occurred_at": NOW, "received_at": NOW + timedelta(seconds=seq), "inputs": {"text": "hällo", "n": 1}}
    return Event(**(values | {"label": "a", "confidence": 0.5} | changes))


def write(out: SegmentWriter, count: int, **changes: object) -> list[Event]:
    events = [an_event(out.next_seq + n, out.worker, **changes) for n in range(count)]
    out.commit(events)
    return events


def everything(folder: Path, limit: int = 7) -> list[Event]:
    """Read the whole journal in small bites, by one reader, and check that a fresh reader sees the same."""
    journal, cursor, found = Journal(folder), {}, []
    while True:
        events, cursor = journal.read(cursor, limit)
        if not events:
            break
        found += events
    fresh, _ = Journal(folder).read({}, 1_000_000)
    assert fresh == found
    return found


def test_every_field_of_a_record_survives(tmp_path: Path) -> None:
    rich = an_event(
        1,
        assigned_arm=Arm.CHALLENGER,
        served_arm=Arm.FALLBACK,
        trust=Trust.ABSTAIN,
        warnings=[Caveat(code="unseen_words", field="text", value=0.5, text="half")],
        probabilities={"a": 0.5, "b": 0.5},
        inputs={"text": "\0 ünï 😀", "n": None, "f": 1.5, "b": True, "at": NOW, "l": [1, "x"]},
        paired=PairedAnswer(bundle="toy@1", served_arm=Arm.CHAMPION, label=1.5, trust=Trust.LOW),
        feedback=Feedback(id="x", feedback_id="f", kind="label", name="y", value=3, at=NOW),
        reason="deadline",
    )
    with SegmentWriter(tmp_path, "w0", durability="fsync") as out:
        out.commit([rich])
        assert Journal(tmp_path).read({}, 10) == ([rich], {"w0": 1})
    seal_closed(tmp_path)
    assert Journal(tmp_path).read({}, 10) == ([rich], {"w0": 1})


@pytest.mark.parametrize("durability", ["fsync", "os", "none"])
def test_records_come_back_in_order_over_segments_and_restarts(tmp_path: Path, durability: str) -> None:
    written = []
    for _ in range(3):
        with SegmentWriter(tmp_path, "w0", durability=durability, segment_mb=0.004) as out:
            for count in (1, 5, 40):
                written += write(out, count)
    assert everything(tmp_path) == written
    assert [event.seq for event in written] == list(range(1, 139))
    assert len(files.segments(tmp_path)) > 5


def test_a_group_larger_than_a_segment_fits(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "w0", segment_mb=0.004) as out:
        written = write(out, 2) + write(out, 3, inputs={"text": "x" * 500_000}) + write(out, 1)
        assert everything(tmp_path) == written


def test_workers_are_merged_by_arrival_and_nothing_is_left_out_by_the_limit(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "w0") as one, SegmentWriter(tmp_path, "w-1.b") as two:
        written = write(one, 20) + write(two, 20)
        assert sorted(everything(tmp_path), key=lambda e: (e.received_at, e.worker)) == sorted(
            written, key=lambda e: (e.received_at, e.worker)
        )
        assert [event.received_at for event in everything(tmp_path)] == sorted(event.received_at for event in written)
    assert Journal(tmp_path).workers() == ["w-1.b", "w0"]


def test_a_reader_goes_on_where_its_cursor_stands_while_the_writer_writes(tmp_path: Path) -> None:
    journal, cursor, found = Journal(tmp_path), {}, []
    assert journal.read(cursor, 5) == ([], {})
    with SegmentWriter(tmp_path, "w0", durability="os", segment_mb=0.02) as out:
        written = []
        for turn in range(60):
            written += write(out, turn % 7 + 1)
            events, cursor = journal.read(cursor, 5)
            found += events
            if turn % 10 == 9:
                seal_closed(tmp_path)
        while events:
            events, cursor = journal.read(cursor, 50)
            found += events
    assert found == written


def test_seqs_must_go_on_from_the_writers_own(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "w0") as out:
        for wrong in ([an_event(2)], [an_event(1, "w1")], [an_event(1), an_event(3)]):
            with pytest.raises(errors.UsageError, match="allowed: 'w0' seq"):
                out.commit(wrong)
        out.commit([])
        assert out.next_seq == 1


@pytest.mark.parametrize("value", [2**70, "\ud800", object()])
def test_a_record_that_cannot_be_written_is_refused_before_anything_is(tmp_path: Path, value: object) -> None:
    with SegmentWriter(tmp_path, "w0") as out:
        with pytest.raises(errors.ContractViolation, match="'w0-2' cannot be journalled") as caught:
            out.commit([an_event(1), an_event(2, inputs={"n": value})])
        assert caught.value.problems[0].row == 1
        assert everything(tmp_path) == []
        written = write(out, 1)
        assert everything(tmp_path) == written
        assert written[0].seq == 1


def test_one_worker_has_one_writer(tmp_path: Path) -> None:
    first = SegmentWriter(tmp_path, "w0")
    with pytest.raises(errors.EnvironmentFault, match="another process writes the journal of worker 'w0'"):
        SegmentWriter(tmp_path, "w0")
    first.close()
    first.close()
    SegmentWriter(tmp_path, "w0").close()


@pytest.mark.parametrize("worker", ["", "../x", "a/b", "x" * 80])
def test_a_worker_name_must_fit_a_file_name(tmp_path: Path, worker: str) -> None:
    with pytest.raises(errors.UsageError):
        SegmentWriter(tmp_path, worker)


def test_durability_store_is_said_not_to_be_built(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError) as caught:
        SegmentWriter(tmp_path, "w0", durability="store")  # type: ignore[arg-type]
    assert "not built" in caught.value.remedy


def test_after_a_crash_no_seq_is_used_again_even_if_the_disk_lost_the_tail(tmp_path: Path) -> None:
    out = SegmentWriter(tmp_path, "w0")
    seen = write(out, 10)
    os.close(out._lock)
    path = files.segments(tmp_path)[0].path
    path.write_bytes(bytes(path.stat().st_size))
    with SegmentWriter(tmp_path, "w0") as again:
        assert again.next_seq > seen[-1].seq
        written = write(again, 3)
    assert Journal(tmp_path).read({"w0": 10}, 10)[0] == written


def test_seqs_are_reserved_on_disk_before_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STRIDE", 5)
    out = SegmentWriter(tmp_path, "w0", durability="os")
    for _ in range(20):
        write(out, 3)
        assert int((tmp_path / "active" / ".w0.lock").read_text()) > out.next_seq - 1
    out.close()


# torn and damaged tails


def _crashed(folder: Path, count: int = 4) -> tuple[Path, list[Event], list[int]]:
    """Return a segment as a crash leaves it, its records, and where each ends."""
    out = SegmentWriter(folder, "w0", segment_mb=0.01)
    written = write(out, count)
    os.close(out._lock)
    path = files.segments(folder)[0].path
    scan, ends = frames.Scan(), []
    for _ in frames.payloads(path.read_bytes(), scan):
        ends.append(scan.offset)
    return path, written, ends


def test_a_tail_cut_at_any_byte_loses_only_the_torn_record(tmp_path: Path) -> None:
    path, written, ends = _crashed(tmp_path)
    whole = path.read_bytes()
    for cut in range(ends[1], ends[3]):
        kept = sum(end <= cut for end in ends)
        for tail in (b"", bytes(len(whole) - cut), b"\xa5" * 40):
            # Bytes that happen to be equal to what was cut leave the record whole.
            if whole[cut : cut + len(tail)] == tail and tail:
                continue
            path.write_bytes(whole[:cut] + tail)
            found = Journal(tmp_path).read({}, 100)[0]
            assert found[:kept] == written[:kept]
            assert len(found) - kept in ((0, 1) if tail and not any(tail) else (0,))


def test_a_writer_goes_on_behind_a_torn_tail_and_the_reader_follows(tmp_path: Path) -> None:
    path, written, ends = _crashed(tmp_path)
    path.write_bytes(path.read_bytes()[: ends[2] - 1])
    journal = Journal(tmp_path)
    found, cursor = journal.read({}, 100)
    assert found == written[:2]
    with SegmentWriter(tmp_path, "w0") as out:
        more = write(out, 3)
        assert journal.read(cursor, 100)[0] == more
        seal_closed(tmp_path)
        assert everything(tmp_path) == written[:2] + more


def test_a_damaged_record_in_the_middle_costs_only_itself_and_the_file_is_kept(tmp_path: Path) -> None:
    path, written, ends = _crashed(tmp_path)
    data = bytearray(path.read_bytes())
    data[ends[1] - 3] ^= 0xFF
    path.write_bytes(data)
    assert Journal(tmp_path).read({}, 100)[0] == written[:1]
    with SegmentWriter(tmp_path, "w0") as out:
        more = write(out, 1)
        assert everything(tmp_path) == [written[0], *written[2:], *more]
        assert Journal(tmp_path).find("w0-4") == written[3]
        seal_closed(tmp_path)
        assert everything(tmp_path) == [written[0], *written[2:], *more]
        assert [kept.name for kept in (tmp_path / "damaged").iterdir()] == [path.name]


@pytest.mark.parametrize("length", [1, 2**31, 2**32 - 2])
def test_a_length_word_that_cannot_be_ends_the_reading(tmp_path: Path, length: int) -> None:
    path, written, ends = _crashed(tmp_path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, ends[-1], length)
    path.write_bytes(data)
    assert everything(tmp_path) == written


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError):
        Journal(tmp_path).read({}, 0)


# a disk that fails


def test_a_failed_sync_ends_the_segment_and_the_next_commit_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SegmentWriter(tmp_path, "w0") as out:
        before = write(out, 2)
        with monkeypatch.context() as broken:

            def fail(_: int) -> None:
                raise OSError(5, "Input/output error")

            broken.setattr(writer, "_sync", fail)
            with pytest.raises(errors.JournalFull, match="2 record") as caught:
                write(out, 2)
        assert caught.value.code == "journal_full"
        after = write(out, 2)
    assert [event.seq for event in before + after] == [1, 2, 5, 6]
    assert everything(tmp_path) == before + after
    assert len(files.segments(tmp_path)) == 2


def test_a_short_write_is_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SegmentWriter(tmp_path, "w0", durability="os") as out:
        before = write(out, 1)
        real = os.pwrite
        with monkeypatch.context() as broken:
            broken.setattr(os, "pwrite", lambda file, data, at: real(file, data[: len(data) // 2], at))
            with pytest.raises(errors.JournalFull):
                write(out, 4)
        after = write(out, 1)
    assert everything(tmp_path) == before + after


def test_durability_none_counts_what_it_lost_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SegmentWriter(tmp_path, "w0", durability="none") as out:
        with monkeypatch.context() as broken:

            def fail(*_: object) -> int:
                raise OSError(28, "No space left on device")

            broken.setattr(os, "pwrite", fail)
            write(out, 3)
        assert out.lost == 3
        written = write(out, 1)
    assert everything(tmp_path) == written


# ids


def test_a_prediction_is_found_by_id_wherever_it_is(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with SegmentWriter(tmp_path, "w0", durability="os", segment_mb=0.004) as out:
        assert journal.find("w0-1") is None
        written = write(out, 60)
        shadow = an_event(out.next_seq, id="w0-3", kind=Kind.SHADOW)
        refusal = an_event(out.next_seq + 1, id="refused", kind=Kind.REFUSAL)
        external = an_event(out.next_seq + 2, id="elsewhere", kind=Kind.EXTERNAL)
        out.commit([shadow, refusal, external])
        for look in range(3):
            assert [journal.find(event.id) for event in written] == written
            assert journal.find_shadow("w0-3") == shadow
            assert journal.find_shadow("w0-4") is None
            assert journal.find("refused") is None
            assert journal.find("elsewhere") == external
            if look == 0:
                assert seal_closed(tmp_path)
    seal_closed(tmp_path)
    assert files.segments(tmp_path) == []
    for reader in (journal, Journal(tmp_path)):
        assert reader.find("w0-60") == written[59]
        assert reader.find_shadow("w0-3") == shadow
        assert reader.find("nothing") is None


# sealing


def test_sealed_segments_are_parquet_by_model_and_day_and_a_table_over_both_is_whole(tmp_path: Path) -> None:
    import polars as pl

    with SegmentWriter(tmp_path, "w0", durability="os") as out:
        early = write(out, 3)
        other = write(out, 2, model="a/b model")
        late = write(out, 4, received_at=NOW + timedelta(days=1), occurred_at=NOW + timedelta(days=1))
    paths = seal_closed(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"sealed/model={model}/day={day}/w0-000000000001-000000000009.parquet"
        for model, day in [("a%2Fb%20model", "2026-01-05"), ("toy", "2026-01-05"), ("toy", "2026-01-06")]
    ]
    with SegmentWriter(tmp_path, "w0", durability="os") as out:
        fresh = write(out, 2, occurred_at=NOW + timedelta(days=1))
        journal = Journal(tmp_path)
        assert everything(tmp_path) == early + other + late + fresh
        table = journal.scan("toy").sort("seq").collect()
        assert table["id"].to_list() == [event.id for event in early + late + fresh]
        assert table.schema["occurred_at"] == pl.Datetime("us", "UTC")
        assert table["inputs"][0] == '{"text":"hällo","n":1}'
        day_two = journal.scan("toy", start=NOW + timedelta(days=1)).collect()
        assert day_two.height == 6
        assert journal.scan("toy", end=NOW + timedelta(days=1)).collect().height == 3
        assert journal.scan("a/b model").collect().height == 2
        assert journal.scan("unknown").collect().is_empty()


def test_a_segment_that_may_still_be_written_is_not_sealed(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "w0") as out:
        write(out, 1)
        assert seal_closed(tmp_path) == []
        with pytest.raises(errors.UsageError, match="may still be written"):
            seal(tmp_path, files.segments(tmp_path)[0].path)


@pytest.mark.parametrize("step", ["after one part", "before the manifest", "before the segment goes"])
def test_sealing_that_died_anywhere_is_finished_by_doing_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with SegmentWriter(tmp_path, "w0", durability="os") as out:
        written = write(out, 3) + write(out, 3, model="other")
    segment = files.segments(tmp_path)[0].path

    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as dying:
        if step == "after one part":
            from mainstay.journal import seal as module

            real, calls = module._write_part, []

            def once(path: Path, events: list[Event]) -> None:
                calls.append(path)
                if len(calls) > 1:
                    raise Died
                real(path, events)

            dying.setattr(module, "_write_part", once)
        elif step == "before the manifest":
            dying.setattr("mainstay.journal.manifest.write", die)
        else:
            dying.setattr(Path, "unlink", die)
        with pytest.raises(Died):
            seal(tmp_path, segment)
    assert everything(tmp_path) == written
    assert Journal(tmp_path).scan("toy").collect().height == 3
    assert len(seal(tmp_path, segment)) == 2
    assert seal(tmp_path, segment) == []
    assert everything(tmp_path) == written
    assert Journal(tmp_path).scan("toy").collect().height == 3


def test_an_empty_segment_is_removed_without_a_trace(tmp_path: Path) -> None:
    path, _, _ = _crashed(tmp_path)
    path.write_bytes(bytes(4096))
    with SegmentWriter(tmp_path, "w0") as out:
        written = write(out, 1)
        assert seal_closed(tmp_path) == []
        assert not path.exists()
        assert everything(tmp_path) == written


@pytest.mark.parametrize("gone", ["", "active", "segment"])
def test_a_writer_knows_when_its_record_was_taken_from_under_it(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "journal"
    with SegmentWriter(folder, "w0") as out:
        assert out.is_found()
        write(out, 2)
        assert out.is_found()
        if gone == "segment":
            next(files.active(folder).glob("*.seg")).unlink()
        else:
            shutil.rmtree(folder / gone)
        assert not out.is_found()


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded")
def test_a_forked_child_lets_go_without_a_trace(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, "w0") as out:
        write(out, 2)
        child = os.fork()
        if child == 0:
            out.forsake()
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(errors.EnvironmentFault, match="another process"):
            SegmentWriter(tmp_path, "w0")
        write(out, 2)
    assert [event.seq for event in everything(tmp_path)] == [1, 2, 3, 4]


def test_only_the_last_of_many_unsealed_segments_is_read_to_go_on(tmp_path: Path) -> None:
    for _ in range(3):
        with SegmentWriter(tmp_path, "w0", segment_mb=0.1) as out:
            write(out, 5)
    (files.active(tmp_path) / ".w0.lock").unlink()
    with SegmentWriter(tmp_path, "w0") as out:
        assert out.next_seq == 16
