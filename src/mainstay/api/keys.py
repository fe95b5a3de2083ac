"""API keys: who may do what. Without any key, everybody who reaches the port may do everything."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import msgspec

from mainstay.api.errors import Unauthenticated
from mainstay.core.errors import Damaged, Refused
from mainstay.core.ports import Clock

LOOK_S = 1.0


class Scope(StrEnum):
    """What a key is for; `admin` holds all."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    hash: str
    """sha256 of the key, hex."""
    scopes: list[str]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[_Key] = []


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Mapping[str, _Key] | None
    """By hash; None: the file is damaged, and nobody is let in."""
    signature: tuple[int, int, int] | None


class Keys:
    """The keys of `run/keys.json` (`{"keys": [{"name", "hash", "scopes"}]}`), a change is noticed within a second."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._looked = float("-inf")
        self._known = _Known({}, None)

    def check(self, headers: Mapping[bytes, bytes], scope: Scope) -> None:
        """Return if the request may go on; raise Unauthenticated, Refused (scope) or Damaged (unreadable keys)."""
        keys = self._current()
        if keys is None:
            raise Damaged(
                "The file of API keys cannot be read, so nobody is let in",
                remedy=f"Restore or remove {self._path.name}.",
            )
        if not keys:
            return
        key = _find(keys, _given(headers))
        if scope.value not in key.scopes and Scope.ADMIN.value not in key.scopes:
            raise Refused(
                f"The key {key.name!r} has scopes {', '.join(key.scopes) or 'none'}; {scope.value} is needed",
                remedy=f"Use a key with the scope {scope.value}.",
            )

    def _current(self) -> Mapping[str, _Key] | None:
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look()
        return self._known.keys

    def _look(self) -> None:
        try:
            status = self._path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if signature != self._known.signature:
                content = msgspec.json.decode(self._path.read_bytes(), type=_File)
                self._known = _Known({key.hash: key for key in content.keys}, signature)
        except FileNotFoundError:
            self._known = _Known({}, None)
        except (OSError, msgspec.MsgspecError):
            self._known = _Known(None, None)


def _given(headers: Mapping[bytes, bytes]) -> bytes:
    kind, _, key = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer" and key:
        return key.strip()
    given = headers.get(b"x-api-key", b"").strip()
    if not given:
        raise Unauthenticated("This server asks for an API key, and none was sent")
    return given


def _find(keys: Mapping[str, _Key], given: bytes) -> _Key:
    digest = sha256(given).hexdigest()
    for known, key in keys.items():
        if hmac.compare_digest(known, digest):
            return key
    raise Unauthenticated("The API key is not known here")
