"""Pickles that a project carries: signed with the project's own key, loaded only when the signature holds.

Loading a pickle runs its code. A bundle is loaded because the store names its digest; a carried pickle, which lies in
the project's folder beside the code, because this project's key signed it. The key stays in the state folder, readable
by its owner alone, so a pickle that was altered or came with a copied folder is refused until somebody trusts it.
"""

from __future__ import annotations

import hmac
import os
import pickle
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any

from mainstay.config.folders import make_private
from mainstay.config.load import STATE_NAME
from mainstay.core.errors import Damaged, EnvironmentFault, NotFound, Refused

FOLDER = "adopted"
KEY_NAME = "carried.key"
SIGNATURE = ".sig"
_KEY_BYTES = 32


def sign(path: Path) -> Path:
    """Sign `<project>/adopted/NAME.pkl` with the project's key, made on first use; return the signature's file.

    Raises EnvironmentFault when the state folder or the pickle cannot be used.
    """
    try:
        signature = path.with_name(path.name + SIGNATURE)
        temporary = signature.with_suffix(".new")
        temporary.write_text(_signature(_key(_root(path), make=True), path, path.read_bytes()) + "\n", encoding="ascii")
        temporary.replace(signature)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be signed: {error.strerror or error}") from error
    return signature


def load(path: str | Path) -> Any:
    """Return what a carried pickle holds, after its signature held.

    Raises Refused when this project's key did not sign these bytes, NotFound when there is no such file,
    EnvironmentFault when a package that it needs is absent.
    """
    path = Path(path).absolute()
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no {path}", remedy="Restore it, or adopt the model again.") from error
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror or error}") from error
    _verify(path, data)
    try:
        return pickle.loads(data)  # noqa: S301 - signed by this project's key
    except Exception as error:  # edge: unpickling runs other libraries' code
        raise EnvironmentFault(
            f"{FOLDER}/{path.name} does not load here: {type(error).__name__}: {error}",
            remedy="Install what it needs (the bundle's environment.lock lists versions), or adopt the model again.",
        ) from error


def trust(root: Path) -> list[str]:
    """Sign every pickle that the project in `root` carries, whoever made it; return their names.

    Whoever calls this vouches for them: loading a pickle runs its code. Raises NotFound when there is none.
    """
    found = sorted((root / FOLDER).glob("*.pkl"))
    if not found:
        raise NotFound(
            f"{root} carries no pickle in {FOLDER}/", remedy="Only a project made by mainstay.adopt carries one."
        )
    for path in found:
        sign(path)
    return [f"{FOLDER}/{path.name}" for path in found]


def any_in(root: Path) -> bool:
    """Return whether the project in `root` carries a pickle."""
    return any((root / FOLDER).glob("*.pkl"))


def _verify(path: Path, data: bytes) -> None:
    shown = f"{FOLDER}/{path.name}"
    remedy = (
        "Where it came from somebody you trust (a copied or cloned project), run `mainstay trust` once; "
        "else adopt the model again. Loading a pickle runs its code."
    )
    key = _key(_root(path), make=False)
    try:
        seen = path.with_name(path.name + SIGNATURE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        seen = ""
    if not key or not seen:
        missing = "no signature" if not seen else "a signature, and this project has no key of its own to check it with"
        raise Refused(f"{shown} has {missing}: it is not loaded", remedy=remedy)
    if not hmac.compare_digest(seen, _signature(key, path, data)):
        raise Refused(
            f"{shown} is not what this project's key signed: it was altered, or signed elsewhere; it is not loaded",
            remedy=remedy,
        )


def _signature(key: bytes, path: Path, data: bytes) -> str:
    """Return HMAC-SHA256 over the name and the bytes, so that no file can stand in for another."""
    return hmac.new(key, path.name.encode() + b"\x00" + sha256(data).digest(), sha256).hexdigest()


def _root(path: Path) -> Path:
    return path.absolute().parent.parent


def _key(root: Path, *, make: bool) -> bytes:
    return key_at(root / STATE_NAME / KEY_NAME, make=make)


def key_at(path: Path, *, make: bool) -> bytes:
    """Return a project's key; empty where there is none and none is made. Raises Damaged for one that is no key."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return _make_key(path) if make else b""
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Damaged(f"{path} is no key", remedy="Delete it, then run `mainstay trust`.") from error
    if len(key) != _KEY_BYTES:
        raise Damaged(
            f"{path} holds {len(key)} bytes; a key has {_KEY_BYTES}", remedy="Delete it, then run `mainstay trust`."
        )
    return key


def _make_key(path: Path) -> bytes:
    make_private(path.parent)
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process made it first
        return key_at(path, make=False)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key
