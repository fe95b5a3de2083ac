"""A database driver's error, said so that an operator knows what to do."""

from __future__ import annotations

from sqlalchemy import exc

from mainstay.core import errors

_LOCKED = ("locked", "busy", "lock timeout", "canceling statement")
_DAMAGED = ("malformed", "not a database", "file is encrypted", "invalid page")
_FULL = ("disk is full", "no space left")
_FORBIDDEN = ("readonly", "read-only", "unable to open", "permission denied", "access denied", "authentication failed")


def from_driver(error: exc.DBAPIError, where: str) -> errors.EnvironmentFault:
    """Return the fault that names the store at `where`, what happened and the remedy."""
    first = (str(error.orig).strip().splitlines() or [""])[0]
    text = first.lower()
    if any(sign in text for sign in _DAMAGED):
        return errors.Damaged(
            f"the store {where} is damaged: {first}",
            remedy="Stop the loop, restore the store from its last backup; the journal still holds every prediction.",
        )
    if any(sign in text for sign in _FULL):
        return errors.EnvironmentFault(f"the store {where} cannot be written: {first}", remedy="Free disk space.")
    if any(sign in text for sign in _LOCKED):
        return errors.StoreUnavailable(
            f"the store {where} is held by another process: {first}",
            remedy="Try again; if it stays, look which process holds the store (`fuser` on the file, or pg_locks).",
        )
    if any(sign in text for sign in _FORBIDDEN):
        return errors.EnvironmentFault(
            f"the store {where} cannot be opened or written: {first}",
            remedy="Check that the folder exists and that this user may write there, and the credentials in store.url.",
        )
    return errors.StoreUnavailable(f"the store {where} does not answer: {first}", remedy="Check [store] url.")
