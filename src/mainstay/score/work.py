"""The unfinished output of a run: whole pieces in a folder beside the file that they become.

A piece is its bytes, its bad rows, and a note about them that is written last: what has no note does not exist. Every
name appears by a rename of a file that is on disk, so a run may die at any instant and be gone on with.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from mainstay.core.errors import Damaged, EnvironmentFault, UsageError
from mainstay.journal import files
from mainstay.score.formats import Format

RUN, FINISHED, LOCK = "run.json", "finished.json", ".lock"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was begun with; it can be gone on with only as the same."""

    v: int = 1
    run: str
    source: str
    fingerprint: str
    """Of the input file."""
    bundle: str
    """`model@version`."""
    digest: str
    """Of its bundle."""
    bad: str
    id_column: str | None
    ignore: list[str]
    watch: bool
    kind: str
    """Of the output file."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one piece."""

    first: int
    rows: int
    counts: dict[str, int]
    size: int
    bad_size: int


class Work:
    """One run's unfinished output. Holds the folder's lock until it is closed."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f".{target.name}.scoring")
        with explained(target):
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise EnvironmentFault(
                f"another process is writing {target}", remedy="Wait until it is done, or name another output."
            ) from error

    def close(self) -> None:
        """Let the folder go; one that holds nothing worth going on with goes with it."""
        with contextlib.suppress(OSError):
            if not self.holds_pieces():
                self.forget()
            if {path.name for path in self.folder.iterdir()} <= {LOCK}:
                (self.folder / LOCK).unlink(missing_ok=True)
                self.folder.rmdir()
        os.close(self._lock)

    def holds_pieces(self) -> bool:
        """Return whether there is anything to go on with."""
        return self._note(0).exists() or (self.folder / FINISHED).exists()

    def begun(self) -> Asked | None:
        """Return what the unfinished run was begun with, or None when there is none."""
        found: Asked | None = _read(self.folder / RUN, Asked)
        return found

    def finished(self) -> dict[str, Any] | None:
        """Return the note of a run whose files are whole and may only have to be put into their places."""
        found: dict[str, Any] | None = _read(self.folder / FINISHED, dict[str, Any])
        return found

    def begin(self, asked: Asked) -> None:
        """Write down what this run is begun with."""
        with explained(self.target):
            _put(self.folder / RUN, msgspec.json.encode(asked))

    def notes(self) -> list[Note]:
        """Return the notes of the pieces that are whole, in order; raises Damaged when a piece is not as noted."""
        found: list[Note] = []
        while (note := _read(self._note(len(found)), Note)) is not None:
            number = len(found)
            for path, size in ((self._piece(number), note.size), (self._bad(number), note.bad_size)):
                seen = path.stat().st_size if path.exists() else -1
                if seen != size and (size or seen > 0):
                    raise Damaged(
                        f"{path} has {seen} bytes; {size} were written", remedy="Begin the run anew with --fresh."
                    )
            found.append(note)
        return found

    def add(self, number: int, note: Note, data: bytes, bad: bytes) -> None:
        """Keep a piece; when this returns it survives any crash."""
        with explained(self.target):
            _put(self._piece(number), data)
            if bad:
                _put(self._bad(number), bad)
            else:
                self._bad(number).unlink(missing_ok=True)
            _put(self._note(number), msgspec.json.encode(note))

    def assemble(self, pieces: int, form: Format, report: Mapping[str, Any]) -> None:
        """Make the whole files, on disk under other names, and note that they are."""
        numbers = range(pieces)
        with explained(self.target):
            bad = [self._bad(number) for number in numbers if self._bad(number).exists()]
            self._draft("bad").unlink(missing_ok=True)
            if bad:
                with _durable(self._draft("bad")) as out:
                    for path in bad:
                        with path.open("rb") as piece:
                            shutil.copyfileobj(piece, out)
            with _durable(self._draft("out")) as out:
                form.assemble([self._piece(number) for number in numbers], out)
            files.sync_folder(self.folder)
            _put(self.folder / FINISHED, msgspec.json.encode(report))

    def put_into_place(self, bad: Path) -> None:
        """Rename what is assembled, and forget the pieces. Safe to repeat."""
        with explained(self.target):
            for draft, place in ((self._draft("bad"), bad), (self._draft("out"), self.target)):
                if draft.exists():
                    draft.replace(place)
                    files.sync_folder(place.parent)
            self.forget()

    def forget(self) -> None:
        """Remove everything but the lock: the notes of what is finished last."""
        names = sorted(path for path in self.folder.iterdir() if path.name != LOCK)
        for path in sorted(names, key=lambda path: path.name in (RUN, FINISHED)):
            path.unlink(missing_ok=True)

    def _piece(self, number: int) -> Path:
        return self.folder / f"{number:08d}.piece"

    def _bad(self, number: int) -> Path:
        return self.folder / f"{number:08d}.bad"

    def _note(self, number: int) -> Path:
        return self.folder / f"{number:08d}.json"

    def _draft(self, name: str) -> Path:
        return self.folder / f"whole.{name}"


def differences(before: Asked, now: Asked) -> list[str]:
    """Return what an unfinished run was begun with that is other now, one clause each."""
    words = {
        "source": "the input is {1}; it was {0}",
        "fingerprint": "the input file changed since",
        "bundle": "{1} answers; it was {0}",
        "digest": "the bundle of {1} is another",
        "bad": "bad rows go to {1}; they went to {0}",
        "id_column": "--id is {1}; it was {0}",
        "ignore": "--ignore is {1}; it was {0}",
        "watch": "the rows are watched: {1}; it was {0}",
        "kind": "the output is {1}; it was {0}",
        "v": "the run is of format {0}; this Mainstay writes {1}",
    }
    told_of = before.bundle != now.bundle
    out = []
    for name, text in words.items():
        old, new = getattr(before, name), getattr(now, name)
        if old != new and not (name == "digest" and told_of):
            out.append(text.format(old, now.bundle if name == "digest" else new))
    return out


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn what the disk says into an error with its remedy."""
    try:
        yield
    except FileNotFoundError as error:
        if target.parent.is_dir():
            raise EnvironmentFault(f"{error.filename} went away while {target} was written") from error
        raise UsageError(f"there is no folder {target.parent}", remedy=f"mkdir -p {target.parent}") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EnvironmentFault(
            f"{target} cannot be written: {error.strerror or error}",
            remedy="Make room on the disk and run the same command again: it goes on where it stopped."
            if full
            else "Give this user the right to write there, or name another output.",
        ) from error


@contextmanager
def _durable(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as out:
        yield out
        if not out.closed:
            out.flush()
            os.fsync(out.fileno())


def _put(path: Path, data: bytes) -> None:
    files.write_durably(path, data)


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Damaged(f"{path} cannot be read: {error}", remedy="Begin the run anew with --fresh.") from error
