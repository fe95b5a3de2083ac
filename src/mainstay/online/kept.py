"""The pickles of states that no version holds yet: `<state>/online/<sha256>.pkl`, signed with the project's key."""

from __future__ import annotations

import os
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp

from mainstay.config.folders import make_private
from mainstay.core.errors import EnvironmentFault
from mainstay.models import own

FOLDER = "online"


def write(state: Path, data: bytes) -> str:
    """Keep a pickle, on disk before this returns; return its digest. Writing it again changes nothing."""
    digest = sha256(data).hexdigest()
    target = _path(state, digest)
    try:
        make_private(target.parent)
        if read(state, digest) is None:
            handle, name = mkstemp(prefix=".new-", dir=target.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
    except OSError as error:
        raise EnvironmentFault(f"the learner's state cannot be kept in {target.parent}: {error.strerror}") from error
    own.sign(state, digest)
    return digest


def read(state: Path, digest: str) -> bytes | None:
    """Return a pickle; None where it is not here, is not what its digest names, or was not signed by this project."""
    try:
        data = _path(state, digest).read_bytes()
    except OSError:
        return None
    return data if sha256(data).hexdigest() == digest and own.is_signed(state, digest) else None


def prune(state: Path, keep: Collection[str]) -> None:
    """Delete the pickles that nothing goes on from any more, and what a killed learner left."""
    for path in (state / FOLDER).glob("*.pkl"):
        if path.stem not in keep:
            path.unlink(missing_ok=True)
            (state / own.FOLDER / path.stem).unlink(missing_ok=True)
    for path in (state / FOLDER).glob(".new-*"):
        path.unlink(missing_ok=True)


def _path(state: Path, digest: str) -> Path:
    return state / FOLDER / f"{digest}.pkl"
