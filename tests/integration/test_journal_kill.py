"""A killed writer and a full disk lose no acknowledged record."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mainstay.journal.read import Journal
from mainstay.journal.seal import seal_closed
from mainstay.journal.writer import SegmentWriter

MAKER = """
from datetime import UTC, datetime
from mainstay.core.events import Event, Kind
from mainstay.journal.writer import SegmentWriter

NOW = datetime(2026, 1, 5, tzinfo=UTC)

def some(out, count, text="x" * 300):
    return [
        Event(model="toy", worker=out.worker, seq=out.next_seq + n, id=f"{out.worker}-{out.next_seq + n}",
              kind=Kind.PREDICTION, occurred_at=NOW, received_at=NOW, inputs={"text": text})
        for n in range(count)
    ]
"""

UNDER_LOAD = (
    MAKER
    + """
import sys
from pathlib import Path
out = SegmentWriter(Path(sys.argv[1]), "w0", durability=sys.argv[2], segment_mb=0.25)
turn = 0
while True:
    turn += 1
    events = some(out, turn % 8 + 1)
    out.commit(events)
    sys.stdout.write(f"{events[-1].seq}\\n")
    sys.stdout.flush()
"""
)

FULL_DISK = (
    MAKER
    + """
import os, sys
from pathlib import Path
from mainstay.core.errors import JournalFull
from mainstay.journal.read import Journal
disk = Path(sys.argv[1])
out = SegmentWriter(disk / "journal", "w0", segment_mb=0.2)
kept = []
def push(count):
    events = some(out, count)
    out.commit(events)
    kept.extend(event.id for event in events)
push(5)
filler = disk / "filler"
with filler.open("wb", buffering=0) as fill:
    try:
        while True:
            fill.write(bytes(4096))
    except OSError:
        pass
failed = 0
for _ in range(400):
    try:
        push(7)
    except JournalFull as error:
        assert "No space left" in error.message, error.message
        assert error.remedy
        failed += 1
        if failed == 3:
            break
assert failed == 3, "the disk never filled"
filler.unlink()
push(9)
events, _ = Journal(disk / "journal").read({}, 100000)
assert [event.id for event in events] == kept
seqs = [event.seq for event in events]
assert len(set(seqs)) == len(seqs) and seqs == sorted(seqs)
print("recovered", len(kept), "failed", failed)
"""
)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_kill_9_under_load_loses_no_acknowledged_record(tmp_path: Path, durability: str) -> None:
    acknowledged = 0
    journal, cursor, read = Journal(tmp_path), {}, []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", UNDER_LOAD, str(tmp_path), durability],
            stdout=subprocess.PIPE,
            env=_environment(),
            text=True,
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the writer did not start"
        stop = time.monotonic() + 0.4
        while time.monotonic() < stop:
            events, cursor = journal.read(cursor, 500)
            read += [event.seq for event in events]
            seal_closed(tmp_path)
        child.send_signal(signal.SIGKILL)
        lines = [first, *child.stdout.read().splitlines(keepends=True)]
        child.stdout.close()
        child.wait()
        acknowledged = int([line for line in lines if line.endswith("\n")][-1])
        # The last look may have found nothing new just before the child wrote again: look until nothing is left.
        while True:
            events, cursor = journal.read(cursor, 5000)
            if not events:
                break
            read += [event.seq for event in events]
        assert read[-1] >= acknowledged
        assert Journal(tmp_path).find(f"w0-{acknowledged}") is not None
    assert read == sorted(set(read))
    fresh, _ = Journal(tmp_path).read({}, 10_000_000)
    assert [event.seq for event in fresh] == read
    with SegmentWriter(tmp_path, "w0") as again:
        assert again.next_seq > read[-1]


def test_a_full_disk_fails_the_commit_and_recovers_by_itself(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs the command unshare for a small disk of its own")
    disk = tmp_path / "disk"
    disk.mkdir()
    isolate = [unshare, "-m"] if os.geteuid() == 0 else [unshare, "-r", "-m"]
    mounted = subprocess.run(
        [*isolate, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: " + mounted.stderr.decode().strip())
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)
    command = f'mount -t tmpfs -o size=1m tmpfs "{disk}" && exec "{sys.executable}" "{script}" "{disk}"'
    done = subprocess.run(
        [*isolate, "sh", "-c", command], env=_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("recovered")
