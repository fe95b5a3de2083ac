"""The power goes at any instant: what was acknowledged is there afterwards, and nothing else is taken for a record.

A disk keeps what was synced. What was not, it may have kept, lost or torn, sector by sector; a name that was made,
moved or removed since its folder was last synced may be there or not. `Disk` records the journal's own system calls,
and builds such disks in the middle of them; the real reader, writer and sealer then go on from there.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from mainstay.core.events import Event, Feedback, Kind
from mainstay.journal import writer as writing
from mainstay.journal.read import Journal
from mainstay.journal.seal import seal_closed
from mainstay.journal.writer import SegmentWriter
from mainstay.testing.clock import FakeClock

CRASHES = 200
SECTOR = 512
NOW = FakeClock().now()


class Disk:
    """What of a folder would be there after a power cut now."""

    def __init__(self, root: Path, luck: random.Random) -> None:
        self.root = root
        self.luck = luck
        self.synced: dict[int, bytes] = {}
        """By inode: the content at its last sync."""
        self.names: dict[int, dict[str, int]] = {root.stat().st_ino: {}}
        """By a folder's inode: its entries at its last sync."""
        self.is_cut = False
        """While what is left is looked at, nothing is recorded."""
        self.held: list[IO[bytes]] = []
        self.last: dict[int, bytes] = {}
        """By inode: the content when its last name went."""

    def sync(self, descriptor: int) -> None:
        """Take over what a folder or file holds now."""
        status = os.fstat(descriptor)
        place = Path(f"/proc/self/fd/{descriptor}")
        if place.is_dir():
            self.names[status.st_ino] = _entries(place.readlink())
        else:
            self.synced[status.st_ino] = place.read_bytes()

    def forget(self, path: Path) -> None:
        """Keep the content of a file whose name goes: its old name may still be there after the cut.

        The file is held open, so that no other one gets its inode and is taken for it.
        """
        if path.is_file():
            self.last[path.stat().st_ino] = path.read_bytes()
            self.held.append(path.open("rb"))

    def close(self) -> None:
        """Let go of the files."""
        for file in self.held:
            file.close()

    def cut(self, target: Path) -> None:
        """Write what may be left into `target`."""
        self._folder(self.root.stat().st_ino, self.root, target)

    def _folder(self, inode: int, now: Path | None, target: Path) -> None:
        target.mkdir()
        before = self.names.get(inode, {})
        after = _entries(now) if now is not None else before
        for name, held in self._left(before, after).items():
            place = now / name if now is not None and after.get(name) == held else _find(self.root, held)
            if held in self.names or (place is not None and place.is_dir()):
                self._folder(held, place, target / name)
            else:
                (target / name).write_bytes(self._content(held, place))

    def _left(self, before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
        """Return entries between those that were synced and those of now; a file that was moved is in one place."""
        left = {name: held for name, held in before.items() if after.get(name) == held}
        moved = {held: name for name, held in before.items() if name not in left}
        for name in sorted(after.keys() - left.keys()):
            held = after[name]
            old = moved.pop(held, None)
            if self.luck.random() < 0.5:
                left[name] = held
            elif old is not None:
                left.setdefault(old, held)
            elif name in before:
                left[name] = before[name]
                moved.pop(before[name], None)
        for held, name in moved.items():  # removed, or replaced by another
            if name not in left and name not in after and self.luck.random() < 0.5:
                left[name] = held
        return left

    def _content(self, inode: int, place: Path | None) -> bytes:
        old = self.synced.get(inode, b"")
        new = place.read_bytes() if place is not None else self.last.get(inode, old)
        size = len(old) if self.luck.random() < 0.3 else len(new)
        out = bytearray()
        for at in range(0, size, SECTOR):
            one, other = old[at : at + SECTOR], new[at : at + SECTOR]
            chosen = one if one == other or self.luck.random() < 0.5 else other
            out += chosen.ljust(min(SECTOR, size - at), b"\0")[: size - at]
        return bytes(out)


def _entries(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}


def _find(root: Path, inode: int) -> Path | None:
    return next((path for path in root.rglob("*") if path.lstat().st_ino == inode), None)


class AtOnce:
    """A thread that does its work when it is started, so that a seed says everything."""

    def __init__(self, target: Callable[[], None], **_: Any) -> None:
        self._target = target

    def start(self) -> None:
        self._target()

    def is_alive(self) -> bool:
        return False

    def join(self) -> None:
        pass


def watched(monkeypatch: pytest.MonkeyPatch, disk: Disk, at_call: Callable[[], None]) -> None:
    """Have `disk` see every system call of the journal, and call `at_call` before and after each.

    Other threads of the process, which earlier tests may have left, write elsewhere and are let through.
    """
    writer = threading.get_ident()

    def around(name: str, note: Callable[..., None] = lambda *_: None, *, before: bool = False) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            if disk.is_cut or threading.get_ident() != writer:
                return real(*arguments, **more)
            at_call()
            if before:
                note(*arguments)
            found = real(*arguments, **more)
            if not before:
                note(*arguments)
            at_call()
            return found

        monkeypatch.setattr(os, name, call)
        return call

    for name in ("pwrite", "ftruncate", "posix_fallocate", "mkdir", "link"):
        around(name)
    around("unlink", lambda path, *_: disk.forget(Path(path)), before=True)
    for name in ("rename", "replace"):
        around(name, lambda _, target, *__: disk.forget(Path(target)), before=True)
    around("fsync", lambda descriptor: disk.sync(descriptor))
    monkeypatch.setattr(writing, "_sync", around("fdatasync", lambda descriptor: disk.sync(descriptor)))
    monkeypatch.setattr(writing.threading, "Thread", AtOnce)


def make_event(seq: int, luck: random.Random) -> Event:
    common = {"model": "weather", "worker": "w0", "seq": seq, "occurred_at": NOW, "received_at": NOW}
    if luck.random() < 0.2:
        told = Feedback(id=f"p-{seq - 1}", feedback_id=f"f-{seq}", kind="label", name="sky", value="wet", at=NOW)
        return Event(id=f"e-{seq}", kind=Kind.FEEDBACK, feedback=told, **common)
    text = "x" * luck.choice([3, 40, 700, 3000])
    return Event(id=f"p-{seq}", kind=Kind.PREDICTION, inputs={"text": text}, label="wet", **common)


def everything(folder: Path) -> list[Event]:
    return Journal(folder).read({}, 1_000_000)[0]


def check(folder: Path, acknowledged: Sequence[Event], tried: Sequence[Event]) -> list[Event]:
    """Hold what is left against what was acknowledged and what was ever written; return it."""
    left = everything(folder)
    seqs = [event.seq for event in left]
    assert seqs == sorted(set(seqs))
    known = {event.seq: event for event in tried}
    for event in left:
        assert event == known[event.seq]
    missing = {event.seq for event in acknowledged} - set(seqs)
    assert not missing, f"acknowledged and lost: {sorted(missing)}"
    return left


def go_on(folder: Path, acknowledged: Sequence[Event], tried: Sequence[Event]) -> None:
    """Check what is left, then write, seal and read on."""
    left = check(folder, acknowledged, tried)
    with SegmentWriter(folder, "w0", segment_mb=0.004) as out:
        assert out.next_seq > max((event.seq for event in tried), default=0)
        new = [make_event(out.next_seq, random.Random(1))]
        out.commit(new)
    assert everything(folder) == [*left, *new]
    seal_closed(folder)
    assert everything(folder) == [*left, *new]


def cuts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Path, Sequence[Event], Sequence[Event]], object],
    *,
    seed: int,
    count: int,
    durability: writing.Durability = "fsync",
) -> None:
    """Write, rotate, seal and start again under `count` power cuts, and `look` at what each leaves."""
    luck = random.Random(seed)
    live = tmp_path / "live"
    live.mkdir()
    disk = Disk(live, luck)
    acknowledged: list[Event] = []
    tried: list[Event] = []
    done = 0

    def maybe_cut() -> None:
        nonlocal done
        if done >= count or luck.random() > 0.12:
            return
        done += 1
        target = tmp_path / f"cut-{done}"
        disk.is_cut = True
        disk.cut(target)
        look(target / "journal", acknowledged, tried)
        disk.is_cut = False

    watched(monkeypatch, disk, maybe_cut)
    folder = live / "journal"
    with contextlib.closing(disk):
        _write_under_cuts(folder, luck, acknowledged, tried, durability=durability, more=lambda: done < count)


def _write_under_cuts(
    folder: Path,
    luck: random.Random,
    acknowledged: list[Event],
    tried: list[Event],
    *,
    durability: writing.Durability,
    more: Callable[[], bool],
) -> None:
    while more():
        with SegmentWriter(folder, "w0", durability=durability, segment_mb=0.01) as out:
            for _ in range(luck.randrange(1, 12)):
                events = [make_event(out.next_seq + i, luck) for i in range(luck.randrange(1, 5))]
                tried += events
                out.commit(events)
                acknowledged += events
        if luck.random() < 0.5:
            seal_closed(folder)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_outlives_two_hundred_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    cuts(tmp_path, monkeypatch, go_on, seed=seed, count=CRASHES // 4)


def test_without_syncs_the_same_cuts_lose_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        cuts(tmp_path, monkeypatch, check, seed=0, count=50, durability="os")
