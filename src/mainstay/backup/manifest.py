"""What a backup holds: one JSON file with the digest of every other file, written last."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec

from mainstay.core import errors
from mainstay.journal import files

FILE = "backup.json"
VERSION = 1
STATE = "state"
"""Folder of what goes into the state folder."""
PROJECT_FILE, STORE_FILE, STORE_DUMP, MLFLOW_FILE = "mainstay.toml", "store.db", "store.dump", "mlflow.db"
_CHUNK = 1 << 20


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    path: str
    """Below the backup's folder, with `/`."""
    size: int
    sha256: str
    mode: int
    """Its permissions."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A backup."""

    v: int = VERSION
    mainstay: str
    """Version of the program that made it."""
    model: str
    began_at: datetime
    """What was acknowledged before is in it."""
    ended_at: datetime
    store: str
    """sqlite (store.db), postgresql (store.dump), or left out."""
    mlflow: str
    """sqlite (mlflow.db), or left out: it is a server of its own."""
    subject_keys: bool
    """Whether the keys of encrypted values are in it."""
    files: list[Entry]

    @property
    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(one.size for one in self.files)


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    """sha256 of the manifest as it stands here."""
    manifest: msgspec.Raw


def write(folder: Path, manifest: Manifest) -> str:
    """Write the manifest durably; return its digest."""
    raw = msgspec.json.encode(manifest)
    digest = sha256(raw).hexdigest()
    sealed = _Sealed(digest=digest, manifest=msgspec.Raw(raw))
    files.write_durably(folder / FILE, msgspec.json.encode(sealed) + b"\n")
    (folder / FILE).chmod(0o600)
    return digest


def read(folder: Path) -> tuple[Manifest, str]:
    """Return the manifest of a backup and its digest; raises NotFound where there is none, Damaged for a broken one."""
    path = folder / FILE
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        raw = bytes(sealed.manifest)
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.NotFound(
            f"{folder} is no backup: there is no {FILE} in it",
            remedy="Name the folder that `mainstay backup` wrote. One that was interrupted is none.",
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise errors.Damaged(f"{path} cannot be read: {error}", remedy="Use another backup.") from error
    if manifest.v != VERSION:
        raise errors.EnvironmentFault(
            f"the backup {folder} has format {manifest.v}; this version reads {VERSION}",
            remedy=f"Restore it with Mainstay {manifest.mainstay}.",
        )
    if sha256(raw).hexdigest() != sealed.digest:
        raise errors.Damaged(f"{path} was changed after it was written", remedy="Use another backup.")
    return manifest, sealed.digest


def verify(folder: Path, manifest: Manifest) -> None:
    """Hold every file against its digest; raises Damaged with everything that is wrong."""
    problems = [
        errors.Problem(where=entry.path, what=why) for entry in manifest.files if (why := _wrong(folder, entry))
    ]
    if problems:
        raise errors.Damaged(
            f"{len(problems)} of {len(manifest.files)} files of the backup {folder} are not what was written",
            remedy="Use another backup; nothing was restored.",
            problems=problems,
        )


def below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, in order."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def digest_of(path: Path) -> str:
    """Return the sha256 of a file, hex."""
    running = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            running.update(chunk)
    return running.hexdigest()


def _wrong(folder: Path, entry: Entry) -> str:
    name = PurePosixPath(entry.path)
    if name.is_absolute() or ".." in name.parts:
        return "its name leads out of the backup"
    path = folder / name
    try:
        for place in (path, *path.parents[: len(name.parts) - 1]):
            if place.is_symlink():
                return "is a link, or lies behind one"
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "is no plain file"
        size = status.st_size
        if size != entry.size:
            return f"has {size} bytes, not {entry.size}"
        return "" if digest_of(path) == entry.sha256 else "has another content"
    except OSError as error:
        return error.strerror or str(error)
