"""What is personal: the salt, key hashes, the unit of evidence, and what of a row may be written down."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import msgspec

from mainstay.core.contracts import Contract, Pii
from mainstay.core.errors import Damaged, EnvironmentFault, ProjectFileError

_CANONICAL = msgspec.json.Encoder(order="sorted", enc_hook=str)
SALT_BYTES = 32


def read_or_make_salt(path: Path, random: Callable[[int], bytes] = os.urandom) -> str:
    """Return the project's salt, made at the first call; two processes that make it at once get the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = mkstemp(prefix=".salt-", dir=path.parent)
        temporary = Path(name)
        try:
            os.write(handle, random(SALT_BYTES).hex().encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    try:
        salt = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(
            f"The salt {path} cannot be read: {error}", remedy="Give this user the right to read it."
        ) from error
    if len(salt) != 2 * SALT_BYTES:
        raise Damaged(
            f"The salt {path} has {len(salt)} characters; {2 * SALT_BYTES} are expected",
            remedy="Restore it from a backup. With a new one (move the file away, it is made anew) users change their "
            "side of a rollout, and hashed keys no longer match those written before.",
        )
    return salt


class Hasher:
    """Hashes keys, units and personal values under one salt. Thread-safe."""

    __slots__ = ("_key",)

    def __init__(self, salt: str) -> None:
        self._key = salt.encode()

    def key_hash(self, key: str) -> str:
        """Return the salted hash of a key: 128 bits, hex."""
        return blake2b(self._key + key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def unit(self, key_hash: str, values: Mapping[str, Any]) -> str:
        """Return the digest of key and inputs, whatever the order of the fields: 128 bits, hex."""
        return blake2b(key_hash.encode() + self._key + canonical(values), digest_size=16).hexdigest()


def canonical(values: Mapping[str, Any]) -> bytes:
    """Return the same bytes for the same values, whatever their order."""
    return _CANONICAL.encode(values)


def compile_journal_copy(contract: Contract, hasher: Hasher) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that turns checked values into what the journal may hold (`pii`: keep, hash or drop).

    Raises ProjectFileError for `encrypt`, which is not built yet.
    """
    encrypted = [f.name for f in contract.fields if f.pii is Pii.ENCRYPT]
    if encrypted:
        raise ProjectFileError(
            f"pii = 'encrypt' is not built yet; field(s) {', '.join(encrypted)} ask for it",
            remedy="Use 'hash' or 'drop' for these fields.",
        )
    hashed = tuple(f.name for f in contract.fields if f.pii is Pii.HASH)
    dropped = frozenset(f.name for f in contract.fields if f.pii is Pii.DROP)
    if not hashed and not dropped:
        return lambda values: values

    def copy(values: dict[str, Any]) -> dict[str, Any]:
        out = {name: value for name, value in values.items() if name not in dropped}
        for name in hashed:
            value = out.get(name)
            if value is not None:
                out[name] = hasher.key_hash(str(value))
        return out

    return copy
