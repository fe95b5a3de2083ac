"""`mainstay.log`: one answer, error or truth of a service of any kind, told by a call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from mainstay.attach.recorder import Recorder, recorder
from mainstay.attach.rows import Row, Unusable, flat, id_of, label_of, share_of, shares_of
from mainstay.attach.seen import new_id
from mainstay.core.contracts import Pii
from mainstay.core.events import Kind


def log(
    *,
    project: str | os.PathLike[str],
    inputs: Any = None,
    output: Any = None,
    confidence: float | None = None,
    probabilities: Mapping[str, float] | None = None,
    id: str | int | None = None,  # noqa: A002 - its name in events and feedback
    key: str | int | None = None,
    truth: Any = None,
    at: datetime | None = None,
    error: object = None,
    latency_ms: float | None = None,
    pii: Mapping[str, str] | None = None,
) -> str:
    """Record one answer of a service that answers by itself; return its id, under which feedback names it later.

    `project` is the project's folder, made at the first call. `inputs` are fields by name (or a list of values),
    `output` is the label or value that was answered, `confidence` the chance that it is right (0 to 1), `key` the unit
    of evidence (a customer; only its salted hash is kept), `at` when the request came (aware; now if left out). With
    `error` the request failed. With `truth` and `id` alone it is feedback: what was right for an answer of before.
    `pii` names fields that are never written as they are: `{"email": "drop", "ip": "hash"}`.

    Copies what it is given, queues it and returns, in a few microseconds; a thread writes it. It never raises for data:
    what cannot be recorded is counted and told in the log. Wrong argument names raise TypeError, as Python does.

    Example (writes the project folder `fraud`):
        >>> id = mainstay.log(project="fraud", inputs={"amount": 12.5}, output="ok", confidence=0.98)  # doctest: +SKIP
        >>> mainstay.log(project="fraud", id=id, truth="fraud")  # doctest: +SKIP
    """
    to = recorder(project, early=None if pii is None else {name: Pii(how) for name, how in pii.items()})
    try:
        given = id_of(id)
    except Unusable:
        given = str(id)[:128].replace("\0", "")
    told = _Told(to, at=_moment(to, at), id=given or new_id())
    if truth is not None and inputs is None and output is None and error is None:
        told.kind, told.at = Kind.FEEDBACK, to.now()
        told.truth_at = None if at is None else _moment(to, at)
    elif error is not None:
        told.kind, told.reason = Kind.ERROR, _reason(error)
    told.latency_us = int(latency_ms * 1000) if isinstance(latency_ms, int | float) and 0 <= latency_ms < 1e9 else 0
    told.pack((inputs, output, confidence, probabilities, key, truth))
    to.put(told)
    if truth is not None and told.kind is not Kind.FEEDBACK:
        log(project=project, id=told.id, truth=truth, at=at)
    return told.id


MOST_BYTES = 1_000_000
"""Bytes that one call may tell."""


class _Told:
    """What one call told, copied so that the caller may go on changing it."""

    __slots__ = ("_packed", "_recorder", "at", "id", "kind", "latency_us", "reason", "size", "truth_at")

    def __init__(self, to: Recorder, *, at: datetime, id: str) -> None:  # noqa: A002 - its name
        self._recorder = to
        self._packed: bytes | str = ""
        self.at = at
        self.id = id
        self.kind = Kind.EXTERNAL
        self.reason: str | None = None
        self.truth_at: datetime | None = None
        self.latency_us = 0
        self.size = 0

    def pack(self, what: tuple[Any, ...]) -> None:
        """Copy what was told."""
        try:
            packed = _encode(what)
            self._packed = packed if len(packed) <= MOST_BYTES else f"{len(packed)} bytes; {MOST_BYTES} are allowed"
            self.size = len(self._packed)
        except Exception as error:  # noqa: BLE001 - edge: whatever the caller's objects do when they are looked at
            self._packed = f"{type(error).__name__}: {error}"

    def rows(self) -> list[Row]:
        """Return the one row."""
        if isinstance(self._packed, str):
            raise Unusable("not_encodable", f"what mainstay.log was given cannot be recorded: {self._packed}")
        inputs, output, confidence, probabilities, key, truth = _decode(self._packed)
        if self.kind is Kind.EXTERNAL and inputs is None:
            raise Unusable("no_inputs", "mainstay.log was given neither inputs, nor an error, nor id and truth")
        shares = shares_of(probabilities)
        sure = share_of(confidence)
        return [
            Row(
                kind=self.kind,
                at=self.at,
                inputs={} if inputs is None else flat(inputs),
                label=label_of(output),
                confidence=max(shares.values()) if sure is None and shares else sure,
                probabilities=shares,
                id=self.id,
                key=None if key is None else str(key),
                status=500 if self.kind is Kind.ERROR else 200,
                reason=self.reason,
                latency_us=self.latency_us,
                truth=truth,
                truth_at=self.truth_at,
            )
        ]


def _plain(value: Any) -> Any:
    """Return what msgpack knows for what it does not: NumPy and pandas values, enums."""
    if isinstance(value, Enum):
        return value.value
    for name in ("to_dict", "tolist"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


_encode = msgspec.msgpack.Encoder(enc_hook=_plain, decimal_format="number").encode
_decode = msgspec.msgpack.Decoder().decode


def _moment(to: Recorder, at: datetime | None) -> datetime:
    if not isinstance(at, datetime):
        return to.now()
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _reason(error: object) -> str:
    return f"{type(error).__name__}: {error}"[:500] if isinstance(error, BaseException) else str(error)[:500]
