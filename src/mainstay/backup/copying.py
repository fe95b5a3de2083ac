"""Copy files durably, each with its digest on the way."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from mainstay.backup.manifest import Entry, digest_of
from mainstay.journal import files

_CHUNK = 1 << 20
_KEPT_MODE = 0o775
"""Of a file's permissions: no copy becomes a program that runs as its owner, or can be written by everybody."""


class Copy:
    """A backup under way: everything that is put into its folder, with digests. `sync` makes the names durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, Entry] = {}

    def file(self, source: Path, name: str) -> None:
        """Copy a file under a name; raises FileNotFoundError where it is gone."""
        running, size = sha256(), 0
        with source.open("rb") as read, _new(target := self._target(name)) as out:
            mode = stat.S_IMODE(os.fstat(read.fileno()).st_mode) & _KEPT_MODE
            while chunk := read.read(_CHUNK):
                running.update(chunk)
                size += out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        self._note(name, target, size, running.hexdigest(), mode)

    def link(self, source: Path, name: str) -> None:
        """Take a file that nobody ever changes: linked where that is possible, else copied."""
        target = self._target(name)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one without links
            self.file(source, name)
            return
        status = target.stat()
        self._note(name, None, status.st_size, digest_of(target), stat.S_IMODE(status.st_mode))

    def data(self, content: bytes, name: str) -> None:
        """Write bytes under a name."""
        target = self._target(name)
        with _new(target) as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        self._note(name, target, len(content), sha256(content).hexdigest(), 0o600)

    def made(self, name: str) -> Path:
        """Return where somebody else may make a file of that name; `note` it afterwards."""
        return self._target(name)

    def note(self, name: str) -> None:
        """Take in a file that was made in place."""
        target = self.folder / name
        with target.open("rb") as file:
            os.fsync(file.fileno())
        self._note(name, target, target.stat().st_size, digest_of(target), 0o600)

    def drop(self, name: str) -> None:
        """Leave out what was copied."""
        if self.entries.pop(name, None) is not None:
            (self.folder / name).unlink()

    def sync(self) -> list[Entry]:
        """Make every name durable; return the entries by name."""
        for folder in {self.folder, *((self.folder / name).parent for name in self.entries)}:
            for place in (folder, *folder.parents):
                files.sync_folder(place)
                if place == self.folder:
                    break
        return [self.entries[name] for name in sorted(self.entries)]

    def _target(self, name: str) -> Path:
        target = self.folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return target

    def _note(self, name: str, target: Path | None, size: int, digest: str, mode: int) -> None:
        if target is not None:
            target.chmod(mode)
        self.entries[name] = Entry(path=name, size=size, sha256=digest, mode=mode)


def _new(path: Path) -> BinaryIO:
    """Open a new file that this user alone can read until its own permissions are set."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
