"""The reference of a version, from its bundle's one file: no model is loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mainstay.core import errors
from mainstay.core.profiles import Profile
from mainstay.models import bundle as bundles
from mainstay.store import releases

if TYPE_CHECKING:
    from mainstay.parts import Parts

FILE = "profile/profile.json"


def of(parts: Parts, name: str) -> Profile | None:
    """Return the reference profile of `model@version`; None where it is unknown, gone or changed."""
    model, _, number = name.rpartition("@")
    if model != parts.model or not number.isdigit():
        return None
    with parts.store.read() as tx:
        release = releases.get_or_none(tx, model, int(number))
    if release is None:
        return None
    try:
        opened = bundles.open_bundle(parts.bundles / release.digest, release.digest)
        return msgspec.json.decode(opened.read(FILE), type=Profile)
    except (errors.MainstayError, msgspec.MsgspecError, KeyError):
        return None
