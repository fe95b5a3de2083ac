"""Personal values as the journal holds them: sealed under the subject's key, opened again for who may need them.

A sealed value is `{"enc": BASE64}` of: version (1 byte), subject (16), name of the key (8), nonce (12), AES-256-GCM of
the MessagePack of the value. No declared field takes an object, so no request can bring one that looks like it. The
associated data are model, field, subject and name of the key: moved to another field, model or person it does not open.

Nonces are 96 random bits, drawn from the system for each value: never a pool, which a forked service would share, and
never a counter, which a killed or restored one would repeat. Under one key 2**32 values may be sealed so (NIST SP
800-38D, 8.3); a key is one subject's, which has no such number of requests.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.events import Event
from mainstay.journal.subjects import NAME_BYTES, NONCE_BYTES, Subjects

TAG = "enc"
_VERSION = b"\x01"
_SUBJECT_BYTES = 16
_HEAD = 1 + _SUBJECT_BYTES + NAME_BYTES + NONCE_BYTES
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Gone(StrEnum):
    """Why a sealed value cannot be opened."""

    ERASED = "erased"
    """A tombstone names its key."""
    LOST = "lost"
    """Its key is not here, and nobody erased it: a backup without keys, or a value that was moved or damaged."""


Seal = Callable[[Any], dict[str, str]]


class Vault:
    """Seals and opens the values of one project's model. Thread-safe; opens its folder when first used."""

    def __init__(self, subjects: Subjects, model: str) -> None:
        self.subjects = subjects
        self._model = model.encode()
        self._heads: dict[str, bytes] = {}

    @classmethod
    def of(cls, folder: Path, model: str) -> Vault:
        """Return the vault over the keys in a folder."""
        return cls(Subjects(folder), model)

    def seal(self, field: str, value: Any, subject: str) -> dict[str, str]:
        """Return the value sealed for the subject (hash of its key, hex); `subjects.sync` makes the key durable."""
        key = self.subjects.key_for(bytes.fromhex(subject))
        nonce = os.urandom(NONCE_BYTES)
        known = key.subject + key.name
        sealed = key.cipher.encrypt(nonce, _encode(value), self._head(field) + known)
        return {TAG: b64encode(_VERSION + known + nonce + sealed).decode("ascii")}

    def open(self, field: str, token: str) -> Any:
        """Return the value, or `Gone`; raises nothing for what cannot be opened."""
        try:
            data = b64decode(token, validate=True)
        except ValueError:
            return Gone.LOST
        if len(data) < _HEAD or data[:1] != _VERSION:
            return Gone.LOST
        subject, name = data[1:17], data[17:25]
        key = self.subjects.find(subject, name)
        if key is None:
            return Gone.ERASED if name in self.subjects.names_destroyed() else Gone.LOST
        from cryptography.exceptions import InvalidTag

        try:
            return _decode(key.cipher.decrypt(data[25:_HEAD], data[_HEAD:], self._head(field) + subject + name))
        except (InvalidTag, msgspec.MsgspecError):
            return Gone.LOST

    def opened(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Gone]]:
        """Return inputs with every sealed value opened, and why where one could not be; those are left out."""
        values: dict[str, Any] = {}
        gone: dict[str, Gone] = {}
        for name, value in inputs.items():
            found = self.open(name, value[TAG]) if is_sealed(value) else value
            if isinstance(found, Gone):
                gone[name] = found
            else:
                values[name] = found
        return values, gone

    def opened_event(self, event: Event) -> Event:
        """Return the event with its sealed inputs opened; those that cannot be stay as they are."""
        if not any(is_sealed(value) for value in event.inputs.values()):
            return event
        values, _ = self.opened(event.inputs)
        return msgspec.structs.replace(event, inputs=dict(event.inputs) | values)

    def _head(self, field: str) -> bytes:
        head = self._heads.get(field)
        if head is None:
            head = self._heads[field] = b"mainstay\0" + self._model + b"\0" + field.encode() + b"\0"
        return head


def is_sealed(value: object) -> bool:
    """Return whether a journalled value is a sealed one."""
    return type(value) is dict and len(value) == 1 and TAG in value


def subject_of(token: str) -> str:
    """Return whose a sealed value is (hash of the key, hex); empty for what is no sealed value."""
    try:
        return b64decode(token, validate=True)[1:17].hex()
    except ValueError:
        return ""
