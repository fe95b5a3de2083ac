"""API keys as they are kept: their hashes in `run/keys.json`, never the keys; and the token of a server's own host.

A key is 256 random bits. Its hash is plain SHA-256: a slow hash makes guessing a password dear, and there is nothing to
guess in 256 bits, while every request would pay for it. The prefix lets scanners of source code find a leaked one, the
checksum at the end tells a key that was cut off from one that is not known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import msgspec

from mainstay.config.folders import make_private
from mainstay.core.errors import Damaged, EnvironmentFault, NotFound, StaleTransition, UsageError

FILE = "keys.json"
TOKEN_FILE = "admin.token"  # noqa: S105 - a file's name
VARIABLE = "MAINSTAY_API_KEYS"
"""`NAME:SCOPE+SCOPE:KEY` or `NAME:SCOPE+SCOPE:sha256=HEX`, parted by commas: for containers."""
PREFIX = "mst_"
GRACE = timedelta(hours=24)
"""How long the old key of a rotation goes on being good, unless said otherwise."""
SHORTEST = 32
"""Characters of a key that was not made here, at least."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key is for; `admin` holds all."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key as it is kept."""

    name: str
    """While a rotation lasts, two keys have one name."""
    hash: str
    """sha256 of the key, hex."""
    scopes: list[str]
    rate: float = 0.0
    """Most requests a second; 0: no limit."""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def good(self, now: datetime) -> bool:
        """Return whether it opens anything at that time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[Key] = []


def new_key(random: Callable[[int], str] = secrets.token_hex) -> str:
    """Return a new key; it is shown once and kept nowhere."""
    body = PREFIX + random(32)
    return body + _checksum(body)


def hash_of(key: bytes | str) -> str:
    """Return what is kept of a key."""
    return sha256(key.encode() if isinstance(key, str) else key).hexdigest()


def is_cut_off(key: str) -> bool:
    """Return whether a text was a key made here and is not whole, or mistyped."""
    return key.startswith(PREFIX) and (len(key) != len(PREFIX) + 72 or _checksum(key[:-8]) != key[-8:])


def _checksum(body: str) -> str:
    return f"{crc32(body.encode()):08x}"


def read(run: Path) -> list[Key]:
    """Return every key of a run folder, also those that are good no more; raises Damaged for a broken file."""
    path = run / FILE
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise Damaged(
            f"The file of API keys {path} cannot be read: {error}",
            remedy="Restore it; while it is broken nobody is let in. Without it, begin anew with `mainstay keys add`.",
        ) from error


def decode(content: bytes) -> list[Key]:
    """Return the keys in a file's bytes; raises what msgspec raises."""
    return msgspec.json.decode(content, type=_File).keys


def add(run: Path, name: str, *, scopes: Sequence[str], rate: float, lifetime: timedelta | None, now: datetime) -> str:
    """Make a key and return it; raises UsageError for a strange name or scope, StaleTransition for a name in use."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a key; allowed: letters, digits, `.`, `_`, `-`, at most 63 of them")
    if not scopes:
        raise UsageError(f"A key without scopes opens nothing; allowed: {', '.join(Scope)}", remedy="Name one.")
    key = new_key()
    record = Key(
        name=name,
        hash=hash_of(key),
        scopes=sorted({Scope(scope).value for scope in scopes}),
        rate=rate,
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
    )
    with _changed(run) as keys:
        if any(one.name == name and one.good(now) for one in keys):
            raise StaleTransition(
                f"there is a key named {name!r} already",
                remedy=f"Choose another name, or make a new key for it: mainstay keys rotate {name}",
            )
        keys.append(record)
    return key


def revoke(run: Path, name: str, *, now: datetime) -> int:
    """Make every key of a name worthless; return how many were good. The names stay listed: see `Keys`."""
    with _changed(run) as keys:
        _must_know(keys, name)
        count = 0
        for place, key in enumerate(keys):
            if key.name == name and key.revoked_at is None:
                count += key.good(now)
                keys[place] = msgspec.structs.replace(key, revoked_at=now)
    return count


def rotate(run: Path, name: str, *, grace: timedelta, now: datetime) -> str:
    """Return a new key with the name, scopes and rate of another, which stays good for `grace` more."""
    new = new_key()
    with _changed(run) as keys:
        _must_know(keys, name)
        mine = [key for key in keys if key.name == name and key.good(now)]
        if not mine:
            raise NotFound(f"no key named {name!r} is good any more", remedy=f"mainstay keys add {name} --scope …")
        newest = max(mine, key=lambda key: key.created_at or datetime.min.replace(tzinfo=now.tzinfo))
        lifetime = newest.expires_at - newest.created_at if newest.expires_at and newest.created_at else None
        for place, key in enumerate(keys):
            if key in mine:
                ends = now + grace if key.expires_at is None else min(key.expires_at, now + grace)
                keys[place] = msgspec.structs.replace(key, expires_at=ends)
        keys.append(
            msgspec.structs.replace(
                newest, hash=hash_of(new), created_at=now, expires_at=None if lifetime is None else now + lifetime
            )
        )
    return new


def from_environment(environ: Mapping[str, str]) -> list[Key]:
    """Return the keys that the environment gives; raises UsageError without showing any of it."""
    found = []
    for number, part in enumerate(filter(None, map(str.strip, environ.get(VARIABLE, "").split(","))), start=1):
        name, _, rest = part.partition(":")
        scopes, _, secret = rest.partition(":")
        hashed = secret.removeprefix("sha256=")
        given = secret.startswith("sha256=") and _HASH.fullmatch(hashed)
        names = scopes.split("+")
        if not _NAME.fullmatch(name) or not set(names) <= set(Scope):
            raise _wrong(number, "has no such name and scopes")
        if not given and (len(secret) < SHORTEST or is_cut_off(secret)):
            raise _wrong(number, f"has a key that is cut off, or shorter than {SHORTEST} characters")
        found.append(Key(name=name, hash=hashed if given else hash_of(secret), scopes=names))
    return found


def _wrong(number: int, what: str) -> UsageError:
    return UsageError(
        f"Entry {number} of {VARIABLE} {what}; allowed: NAME:SCOPE+SCOPE:KEY or NAME:SCOPE+SCOPE:sha256=HEX, "
        f"scopes {', '.join(Scope)}",
        remedy="Make a key with `mainstay keys new`.",
    )


def why_closed(run: Path, host: str, environ: Mapping[str, str]) -> str | None:
    """Return why a server on `host` turns everybody away, None where it does not."""
    if host.strip("[]") in LOOPBACK or read(run) or from_environment(environ):
        return None
    return (
        f"the server listens on {host}, beyond this machine, and there is no API key: nobody is let in, but to probes "
        "such as /readyz. Make one: mainstay keys add NAME --scope predict --scope feedback --scope read"
    )


def make_token(run: Path, random: Callable[[int], str] = secrets.token_hex) -> str:
    """Write a new token for the admin routes where this user alone can read it; return its hash."""
    token = new_key(random)
    _write(run / TOKEN_FILE, token.encode() + b"\n")
    return hash_of(token)


@contextlib.contextmanager
def _changed(run: Path) -> Iterator[list[Key]]:
    """Yield the keys to change, and write them: at once or not at all, one change after the other."""
    make_private(run)
    with (run / "keys.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read(run)
        yield keys
        _write(run / FILE, msgspec.json.format(msgspec.json.encode(_File(keys=keys)), indent=1) + b"\n")


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror or error}") from error


def _must_know(keys: Sequence[Key], name: str) -> None:
    known = sorted({key.name for key in keys})
    if name not in known:
        raise NotFound(
            f"there is no key named {name!r}; known: {', '.join(known) or 'none'}", remedy="mainstay keys list"
        )
