"""Who is let in: nobody without an API key, but on loopback, while there are no keys, for everything but `admin`."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mainstay.api.errors import TooMany, Unauthenticated
from mainstay.core.errors import Damaged, Refused
from mainstay.core.ports import Clock
from mainstay.serve import keys as kept
from mainstay.serve.keys import LOOPBACK, Key, Scope
from mainstay.serve.rates import Rates

__all__ = ["Keys", "Scope"]

LOOK_S = 0.5
"""How often the file is looked at."""
FORWARDING = frozenset(
    {
        b"cf-connecting-ip",
        b"fly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-forwarded-by",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-original-forwarded-for",
        b"x-real-ip",
    }
)
"""Headers by which a proxy or a CDN says that the request came from elsewhere; how many there are costs nothing."""
TOKEN_NAME = kept.TOKEN_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    keys: Mapping[str, Key] | None
    """By hash; None: the file is damaged, and nobody is let in."""
    any: bool
    """Whether there ever was a key here: that the last one was revoked opens nothing."""
    signature: tuple[int, int, int] | None


class Keys:
    """The keys of `run/keys.json` and the environment; a change of the file is noticed within a second."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        workers: int = 1,
        admin_token: str = "",
        given: Sequence[Key] = (),
        rate_per_client: float = 0.0,
    ) -> None:
        """Take the file; `admin_token` is the hash of this start's token, `given` are keys from the environment.

        `rate_per_client`: requests a second of an address that sends no key because none is asked for; 0: no limit.
        """
        self._path = path
        self._clock = clock
        self._loopback = host.strip("[]") in LOOPBACK
        self._given = tuple(given)
        token = Key(name=TOKEN_NAME, hash=admin_token, scopes=[Scope.ADMIN])
        self._always = {key.hash: key for key in (*given, token) if key.hash}
        self._rates = Rates(workers=workers)
        self._rate_per_client = rate_per_client
        self._looked = float("-inf")
        self._known = self._of((), None)

    def check(
        self, headers: Mapping[bytes, bytes], scope: Scope | None, client: str = "", *, again: bool = False
    ) -> str:
        """Return the key's name if the request may go on, empty where none is asked for.

        `again`: it was let in already, and counts for no rate.

        Raises Unauthenticated, Refused (scope, a proxy), TooMany, or Damaged (unreadable keys). Without a scope, for
        probes, everybody may, except through a proxy to a server that is for this machine alone.
        """
        known = self._current()
        if known.keys is None:
            if scope is None:
                return ""
            raise Damaged(
                "The file of API keys cannot be read, so nobody is let in",
                remedy=f"Restore or remove {self._path.name}.",
            )
        forwarded = not FORWARDING.isdisjoint(headers)
        is_open = self._loopback and not known.any
        if scope is None and not (forwarded and is_open):
            return ""
        if is_open and not forwarded and scope is not Scope.ADMIN:
            if self._rate_per_client and not again:
                self._limit(f"@{client}", self._rate_per_client)
            return ""
        given = sent(headers)
        if not given or not (known.any or self._loopback or self._is_token(given)):
            raise self._turned_away(headers, scope, is_open=is_open, any_=known.any)
        key = self._find(known.keys, given)
        if scope is not None and scope.value not in key.scopes and Scope.ADMIN.value not in key.scopes:
            raise Refused(
                f"The key {key.name!r} has scopes {', '.join(key.scopes) or 'none'}; {scope.value} is needed",
                remedy=f"Use a key with the scope {scope.value}.",
            )
        if key.rate and not again:
            self._limit(key.name, key.rate)
        return key.name

    def _is_token(self, given: bytes) -> bool:
        return kept.hash_of(given) in self._always

    def _limit(self, name: str, rate: float) -> None:
        wait_s = self._rates.take(name, rate, self._clock.monotonic())
        if wait_s:
            raise TooMany(rate, wait_s)

    def _find(self, keys: Mapping[str, Key], given: bytes) -> Key:
        # What is looked up is the hash of what was sent: how long that takes says nothing about any key. The
        # comparison of the whole is done in constant time all the same.
        digest = kept.hash_of(given)
        key = keys.get(digest)
        if key is None or not hmac.compare_digest(key.hash, digest):
            if kept.is_cut_off(given.decode("latin-1")):
                raise Unauthenticated("The API key is not whole: it was cut off or mistyped")
            raise Unauthenticated("The API key is not known here")
        if key.revoked_at is not None:
            raise Unauthenticated(f"The API key {key.name!r} was revoked")
        if key.expires_at is not None and not key.good(self._clock.now()):
            raise Unauthenticated(f"The API key {key.name!r} was good until {key.expires_at:%Y-%m-%d %H:%M} UTC")
        return key

    def _turned_away(
        self, headers: Mapping[bytes, bytes], scope: Scope | None, *, is_open: bool, any_: bool
    ) -> Refused | Unauthenticated:
        """Return why a request without a key does not go on."""
        through = sorted(FORWARDING & headers.keys())
        if is_open and through:
            return Refused(
                f"The request came through a proxy ({through[0].decode()}), which makes a server on loopback public; "
                "without an API key such requests are refused",
                remedy="mainstay keys add NAME --scope predict --scope feedback, and let callers send the key.",
            )
        if is_open and scope is Scope.ADMIN:
            return Unauthenticated(
                "This is none of the open routes; any other needs the admin token of this server, or a key with the "
                "scope admin",
                remedy="See /docs for the open routes. For others, send what is in "
                f"run/{TOKEN_NAME} of the project's state as `Authorization: Bearer TOKEN`.",
            )
        if not any_:
            return Unauthenticated(
                "This server listens beyond its own machine and has no API keys, so nobody is let in",
                remedy="On its host: mainstay keys add NAME --scope predict --scope feedback",
            )
        return Unauthenticated("This server asks for an API key, and none was sent")

    def _current(self) -> _Known:
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look()
        return self._known

    def _look(self) -> None:
        try:
            status = self._path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if signature != self._known.signature:
                self._known = self._of(kept.decode(self._path.read_bytes()), signature)
        except FileNotFoundError:
            if self._known.signature is not None or self._known.keys is None:
                self._known = self._of((), None)
        except (OSError, msgspec.MsgspecError):
            self._known = _Known(keys=None, any=True, signature=None)

    def _of(self, keys: Sequence[Key], signature: tuple[int, int, int] | None) -> _Known:
        by_hash = {key.hash: key for key in keys}
        return _Known(keys=by_hash | self._always, any=bool(keys or self._given), signature=signature)


def sent(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the key that was sent, empty where none was; one in the address counts for none: addresses are logged."""
    kind, _, key = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer" and key.strip():
        return key.strip()
    if kind.lower() == b"basic":  # for callers that can set no header: clients make one of https://any:KEY@host
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(key.strip(), validate=True).partition(b":")[2].strip()
    return headers.get(b"x-api-key", b"").strip()
