"""What is personal: the salt, key hashes, the unit of evidence, and what of a row may be written down."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import msgspec

from mainstay.config.folders import make_private
from mainstay.core.contracts import Contract, Pii
from mainstay.core.errors import Damaged, EnvironmentFault, MainstayError, Problem, UsageError
from mainstay.journal.vault import Vault

_CANONICAL = msgspec.json.Encoder(order="sorted", enc_hook=str)
SALT_BYTES = 32
WHY_CHARS = 300
NAME_CHARS = 100
OWN_NAMES = frozenset({"instances", "inputs", "id", "key", "time"})
"""Names of our own request format."""
UNDECLARED = "(undeclared)"


def read_or_make_salt(path: Path, random: Callable[[int], bytes] = os.urandom) -> str:
    """Return the project's salt, made at the first call; two processes that make it at once get the same."""
    if not path.exists():
        make_private(path.parent)
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

    def digest(self, data: bytes) -> str:
        """Return the salted digest of some bytes: without the salt a short text could be guessed from it."""
        return blake2b(data, key=self._key[:64], digest_size=16).hexdigest()

    def unit(self, key_hash: str, values: Mapping[str, Any]) -> str:
        """Return the digest of key and inputs, whatever the order of the fields: 128 bits, hex."""
        return blake2b(key_hash.encode() + self._key + canonical(values), digest_size=16).hexdigest()


def canonical(values: Mapping[str, Any]) -> bytes:
    """Return the same bytes for the same values, whatever their order."""
    return _CANONICAL.encode(values)


def compile_journal_copy(
    contract: Contract, hasher: Hasher, vault: Vault | None = None
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that turns checked values into what the journal may hold (`pii` of each field).

    `vault` seals the fields that are encrypted, under the key of the subject that the row's key field names; a row that
    names none is no subject's, and its encrypted fields are left out. Without a vault it is UsageError to have any.
    """
    sealed = tuple(f.name for f in contract.fields if f.pii is Pii.ENCRYPT)
    hashed = tuple(f.name for f in contract.fields if f.pii is Pii.HASH)
    dropped = frozenset(f.name for f in contract.fields if f.pii is Pii.DROP)
    if not hashed and not dropped and not sealed:
        return lambda values: values

    def copy(values: dict[str, Any]) -> dict[str, Any]:
        out = {name: value for name, value in values.items() if name not in dropped}
        for name in hashed:
            value = out.get(name)
            if value is not None:
                out[name] = hasher.key_hash(str(value))
        return out

    if not sealed:
        return copy
    if vault is None or contract.key is None:
        raise UsageError(
            f"field(s) {', '.join(sealed)} are encrypted, and there is no {'vault' if vault is None else 'key field'}",
            remedy="Declare [data] key: it says whose a row is.",
        )
    key_field, seal = contract.key, vault.seal

    def sealed_copy(values: dict[str, Any]) -> dict[str, Any]:
        out = copy(values)
        key = values.get(key_field)
        subject = None if key is None else hasher.key_hash(str(key))
        for name in sealed:
            value = out.get(name)
            if value is not None:
                out[name] = None if subject is None else seal(name, value, subject)
        return out

    return sealed_copy


def seals(contract: Contract) -> bool:
    """Return whether any field is encrypted."""
    return any(field.pii is Pii.ENCRYPT for field in contract.fields)


def is_personal(contract: Contract) -> bool:
    """Return whether any field is not kept as it came: then no raw value may stand anywhere else either."""
    return any(field.pii is not Pii.KEEP for field in contract.fields)


def why(error: BaseException, contract: Contract) -> str:
    """Return what a model raised, for a record: kind and text, the text only where it quotes nothing personal."""
    return without_quotes(
        f"{type(error).__name__}: {error}"[:WHY_CHARS], contract, ours=isinstance(error, MainstayError)
    )


def without_quotes(reason: str, contract: Contract, *, ours: bool = False, private: bool = False) -> str:
    """Return `Kind: text` as a record may hold it: the kind alone where the text could quote a personal value.

    Libraries quote what they could not take: `could not convert string to float: '…'`. `ours`: the text is our own, and
    those quote nothing of a row; `private`: something is personal whatever the contract says.
    """
    if ours or not (private or is_personal(contract)):
        return reason
    kind = reason.partition(":")[0]
    return f"{kind if kind.isidentifier() else 'an error'} (its text may quote a personal field)"


def name_of(problem: Problem, contract: Contract | None) -> str:
    """Return the field that a refusal names, as its record may hold it.

    A name that nobody declared is the sender's own text: where fields are personal only one that looks like a declared
    name is kept, which is how an upstream change shows.
    """
    name = problem.where
    if contract is None or not is_personal(contract) or name in OWN_NAMES or contract.field(name) is not None:
        return name[:NAME_CHARS]
    return name[:NAME_CHARS] if problem.nearest else UNDECLARED
