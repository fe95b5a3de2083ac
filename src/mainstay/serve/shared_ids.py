"""Ids across hosts: who answers one first says so in Redis, and whoever is asked again elsewhere gives that answer.

An id's key holds the claim of the worker that is answering it, for a few seconds, and then the answer. A batch with new
ids costs one round trip before it is answered and one before its answers go out; others cost nothing. Redis is never
waited for twice: the first call that it does not answer in time opens the breaker, a thread of its own tries until it
answers again, and meanwhile ids are held apart within this host alone, which is counted.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mainstay.core.errors import EnvironmentFault, MainstayError, Overloaded, ProjectFileError
from mainstay.core.events import Event
from mainstay.core.ports import Clock
from mainstay.serve.dedupe import check_same
from mainstay.serve.metrics import Metrics
from mainstay.serve.pending import Job
from mainstay.serve.rows import Call, Row

if TYPE_CHECKING:
    from redis import Redis

ANSWER_S = 0.25
"""Redis is taken for away when it needs longer for one round trip (seconds)."""
LOOK_S = (0.05, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Rest between two tries to reach it again, by how many failed."""
RETRY_S = 0.01
PATIENCE_S = 10.0
"""So long a call waits for another host that is answering the same id."""
LAPSE_S = 8.0
"""A claim of a worker that died is gone after this, on top of twice the deadline of a model call."""
SAME_SALT = "Give every host the same salt: copy .mainstay/salt, or set MAINSTAY_SALT in containers."
_CLAIM = """
local told = {}
for i = 1, #KEYS do
  local held = redis.call('GET', KEYS[i])
  if not held then redis.call('SET', KEYS[i], ARGV[i], 'PX', ARGV[#ARGV]) end
  told[i] = held or ''
end
return told
"""
"""Take each key that is free; tell what the others hold."""
_SETTLE = """
for i = 1, #KEYS do
  local own, answer, held = ARGV[2 * i - 1], ARGV[2 * i], redis.call('GET', KEYS[i])
  if not held or held == own then
    if answer == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], answer, 'PX', ARGV[#ARGV]) end
  end
end
"""
"""Put each answer (or nothing) in the place of one's own claim; another host's is left alone."""
_log = logging.getLogger("mainstay.serve")


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What Redis holds of an id."""

    unit: str
    owner: str
    answer: Event | None = None
    """None while it is being answered."""


class Pipes(Protocol):
    """The part of Redis that is needed."""

    def claim(self, keys: Sequence[str], value: Mapping[str, bytes], lapse_ms: int) -> list[tuple[bool, bytes | None]]:
        """Take each key that is free; return for each whether it was, and what it holds. One round trip."""

    def settle(self, changes: Sequence[tuple[str, bytes, bytes]], keep_ms: int) -> None:
        """Put for each (key, own claim, answer or nothing) the answer in the claim's place. One round trip."""

    def same_salt(self, digest: str) -> bool:
        """Return whether the hosts that share this Redis have one salt; the first to ask decides."""


class RedisPipes:
    """Redis, with one short patience and no retries of its own."""

    def __init__(self, url: str, model: str) -> None:
        self._redis = connect(url)
        self._salt_key = f"mainstay:{model}:salt"

    def claim(self, keys: Sequence[str], value: Mapping[str, bytes], lapse_ms: int) -> list[tuple[bool, bytes | None]]:
        """Take each key that is free; return for each whether it was, and what it holds."""
        told: Any = self._redis.eval(_CLAIM, len(keys), *keys, *(value[key] for key in keys), lapse_ms)
        return [(not held, held or None) for held in told]

    def settle(self, changes: Sequence[tuple[str, bytes, bytes]], keep_ms: int) -> None:
        """Put the answers in the claims' places."""
        names = [key for key, _, _ in changes]
        self._redis.eval(_SETTLE, len(names), *names, *(part for _, *pair in changes for part in pair), keep_ms)

    def same_salt(self, digest: str) -> bool:
        """Return whether the hosts that share this Redis have one salt."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(self._salt_key, digest, nx=True)
        pipe.get(self._salt_key)
        held: bytes | None = pipe.execute()[1]
        return held == digest.encode()


def connect(url: str) -> Redis:
    """Return a client that waits once and shortly; it asks nothing yet.

    Raises EnvironmentFault where the package is missing, ProjectFileError for an address that is none.
    """
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise EnvironmentFault(
            "[serve] ids names a Redis, and the package `redis` is not installed",
            remedy="pip install 'mainstay[redis]'",
        ) from error
    try:
        return Redis.from_url(
            url,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            lib_name=None,
            lib_version=None,
        )
    except ValueError as error:  # it may hold a password: what is wrong is told, the address is not
        raise ProjectFileError(
            f"[serve] ids is no address of a Redis: {error}", remedy="Write it as redis://HOST:PORT/NUMBER."
        ) from error


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A new row with an id, and the key of that id."""

    call: Call
    row: Row
    key: str


class SharedIds:
    """What this worker knows of other hosts' ids. For the batch thread alone, but `state` and `stop`."""

    def __init__(
        self, pipes: Pipes, *, salt: str, keep_s: float, deadline_s: float, clock: Clock, metrics: Metrics
    ) -> None:
        self._pipes = pipes
        self._salt = blake2b(salt.encode(), digest_size=16, person=b"mainstay-ids").hexdigest()
        self._owner = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._keep_ms, self._lapse_ms = int(keep_s * 1000), int((LAPSE_S + 2 * deadline_s) * 1000)
        self._clock = clock
        self._metrics = metrics
        self._claimed: dict[str, bytes] = {}
        """Key to own claim, of the batch under way."""
        self.trouble: str | None = "not asked yet"
        """Why ids are held apart within this host alone, None while Redis answers."""
        self._stop = threading.Event()
        self._away = threading.Event()
        self._away.set()
        self._thread = threading.Thread(target=self._reach, name="redis", daemon=True)

    def start(self) -> None:
        """Reach Redis, here and now for the first time; whoever is not reached is tried again in a thread."""
        self._try_once()
        self._thread.start()

    def stop(self) -> None:
        """Stop trying."""
        self._stop.set()
        self._away.set()

    # in the batch thread

    def recognise(self, calls: Sequence[Call], outcomes: dict[Job, Any]) -> tuple[list[Call], list[Call]]:
        """Claim the batch's new ids; return the calls to go on with and those that must wait for another host.

        A row that another host answered gets that answer; one whose id was used for something else fails its call.
        """
        asked = list(_asked(calls))
        if not asked:
            return list(calls), []
        found = self._claim([one.key for one in asked], {one.key: self._value(one.row.unit) for one in asked})
        if found is None:
            self._metrics.count("ids_unshared_total", len(asked))
            return list(calls), []
        waiting: set[Call] = set()
        for one, (free, held) in zip(asked, found, strict=True):
            try:
                if not self._take(one, free=free, held=held):
                    waiting.add(one.call)
                    self._metrics.count("ids_waited_total")
            except MainstayError as error:
                outcomes[one.call] = error
        late = [call for call in waiting if self._clock.monotonic() - call.arrived > PATIENCE_S]
        outcomes |= {call: Overloaded("An id of the call is being answered by another host") for call in late}
        return self._sorted(calls, waiting, outcomes)

    def settle(self, calls: Iterable[Call], failed: Mapping[Job, Any]) -> None:
        """Put the answers that are on disk in the place of their claims, before they go out; let go of the others."""
        if not self._claimed:
            return
        changes: dict[str, tuple[str, bytes, bytes]] = {key: (key, own, b"") for key, own in self._claimed.items()}
        for call in calls:
            if call in failed:
                continue
            for row in call.items:
                key = "" if row.given_id is None else _key(call.model, row.given_id)
                if row.event is not None and key in changes:
                    answer = msgspec.structs.replace(row.event, inputs={})  # nobody needs them for an answer
                    held = Held(unit=row.unit, owner=self._owner, answer=answer)
                    changes[key] = (key, self._claimed[key], msgspec.msgpack.encode(held))
        self._claimed = {}
        if self.trouble is None:
            self._guarded(lambda: self._pipes.settle(list(changes.values()), self._keep_ms))

    def give_back(self) -> None:
        """Let go of what a batch that failed as a whole had claimed."""
        self.settle((), {})

    def _value(self, unit: str) -> bytes:
        return msgspec.msgpack.encode(Held(unit=unit, owner=self._owner))

    def _claim(self, keys: Sequence[str], value: Mapping[str, bytes]) -> list[tuple[bool, bytes | None]] | None:
        if self.trouble is not None:
            return None
        found: list[list[tuple[bool, bytes | None]]] = []
        self._guarded(lambda: found.append(self._pipes.claim(keys, value, self._lapse_ms)))
        return found[0] if found else None

    def _take(self, one: _Asked, *, free: bool, held: bytes | None) -> bool:
        """Note what Redis said of one id; return whether the row can be gone on with."""
        own = self._value(one.row.unit)
        if free or held == own:  # one's own claim: this batch was taken up before, and abandoned
            self._claimed[one.key] = own
            return True
        if held is None:
            return False
        try:
            known = msgspec.msgpack.decode(held, type=Held)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # somebody else wrote there
            self._metrics.count("ids_unshared_total")
            return True
        check_same(str(one.row.given_id), known.unit, one.row.unit)
        if known.answer is None:
            return False
        one.row.before = known.answer
        self._metrics.count("ids_answered_elsewhere_total")
        return True

    def _sorted(
        self, calls: Sequence[Call], waiting: set[Call], outcomes: Mapping[Job, Any]
    ) -> tuple[list[Call], list[Call]]:
        """Return calls to go on with and calls to wait; who leans on a row of a call that leaves waits with it."""
        kept: list[Call] = []
        gone: set[int] = set()
        put_back: list[Call] = []
        for call in calls:
            leaning = any(row.first is not None and id(row.first) in gone for row in call.items)
            if call not in outcomes and call not in waiting and not leaning:
                for row in call.items:
                    if row.first is not None and row.first.before is not None:
                        row.before, row.first = row.first.before, None
                kept.append(call)
                continue
            gone |= {id(row) for row in call.items}
            if call not in outcomes:
                put_back.append(call)
        return kept, put_back

    # away and back

    def _guarded(self, act: Any) -> bool:
        """Ask Redis one thing; whatever goes wrong opens the breaker and is no request's fault."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - edge: Redis, its client, or what somebody else wrote there
            self._metrics.count("ids_store_failures_total")
            if self.trouble is None:
                _log.warning("ids are held apart within this host alone, as Redis does not answer: %s", error)
            self.trouble = f"{type(error).__name__}: {error}"[:200]
            self._away.set()
            return False
        return True

    def _try_once(self) -> bool:
        same: list[bool] = []
        if not self._guarded(lambda: same.append(self._pipes.same_salt(self._salt))):
            return False
        if not same[0]:
            trouble = f"the hosts that share this Redis have different salts. {SAME_SALT}"
            if self.trouble != trouble:
                _log.warning("ids are held apart within this host alone: %s", trouble)
            self.trouble = trouble
            return False
        self._away.clear()
        self.trouble = None
        return True

    def _reach(self) -> None:
        failed = 0
        while not self._stop.is_set():
            self._away.wait()
            if self._stop.wait(LOOK_S[min(failed, len(LOOK_S) - 1)]):
                return
            if not self._away.is_set():
                failed = 0
            elif self._try_once():
                failed = 0
                _log.warning("ids are held apart across hosts again: Redis answers")
            else:
                failed += 1


def _asked(calls: Sequence[Call]) -> Iterator[_Asked]:
    for call in calls:
        for row in call.items:
            if row.given_id is not None and row.before is None and row.first is None:
                yield _Asked(call=call, row=row, key=_key(call.model, row.given_id))


def _key(model: str, id_: str) -> str:
    return f"mainstay:{model}:id:{id_}"
