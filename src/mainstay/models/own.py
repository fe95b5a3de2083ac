"""Which bundles may run their code here: those that this project wrote, and those that somebody vouched for.

A bundle is found by its digest, so its files are what they were when it was written. That says nothing about *who*
wrote it: whoever can write to the store and drop a folder could have another one named. Loading a pickle, or feature
code, runs it. So a bundle that holds either is loaded only when this project's key signed its digest; the key stays in
the state folder, readable by its owner alone. A compiled bundle without feature code runs nothing and needs none.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Collection, Iterable
from hashlib import sha256
from pathlib import Path

from mainstay.config.folders import make_private
from mainstay.core.errors import EnvironmentFault, Refused
from mainstay.models import carried
from mainstay.models.bundle import PROGRAM, Bundle

FOLDER = "signed"
OWN, NEVER = "own", "never"
PICKLE, FEATURES = "model/model.pkl", "features.py"
_REMEDY = (
    "If you know where it comes from and trust it (a copied or restored project), run `mainstay trust` once; else "
    "train it here. Loading it runs its code."
)


def sign(state: Path, digest: str) -> None:
    """Vouch for a bundle: with this project's key, made on first use. Raises EnvironmentFault where it cannot."""
    folder = state / FOLDER
    try:
        make_private(folder)
        key = carried.key_at(state / carried.KEY_NAME, make=True)
        draft = folder / f".{digest}.{os.getpid()}"
        draft.write_text(_signature(key, digest) + "\n", encoding="ascii")
        draft.replace(folder / digest)
    except OSError as error:
        raise EnvironmentFault(f"The bundle {digest[:12]} cannot be signed: {error.strerror or error}") from error


def is_signed(state: Path, digest: str) -> bool:
    """Return whether this project's key signed that digest."""
    try:
        seen = (state / FOLDER / digest).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return False
    key = carried.key_at(state / carried.KEY_NAME, make=False)
    return bool(key) and hmac.compare_digest(seen, _signature(key, digest))


def take_in(state: Path) -> list[str]:
    """Sign what lies here from before there were signatures, once; return the digests."""
    if (state / FOLDER).exists():
        return []
    found = [path.name for path in known(state / "bundles")]
    for digest in found:
        sign(state, digest)
    try:
        make_private(state / FOLDER)  # also where nothing was: it was looked at
    except OSError as error:
        raise EnvironmentFault(f"{state / FOLDER} cannot be made: {error.strerror or error}") from error
    return found


def known(bundles: Path) -> Iterable[Path]:
    """Return the folders of bundles."""
    return sorted(path for path in bundles.glob("[0-9a-f]*") if len(path.name) == 64 and path.is_dir())


def is_pickled(bundle: Bundle) -> bool:
    """Return whether answering takes a pickle."""
    return bundle.has(PICKLE) and not bundle.has(PROGRAM)


def permit(
    bundle: Bundle, *, state: Path | None, pickles: str = OWN, trusted: Collection[str] = (), original: bool = False
) -> Bundle:
    """Return the bundle if its code may run here; raises Refused.

    `state` holds key and signatures (None: nobody's, so only what is `trusted` by digest may). `original`: the pickle
    is to be read although a compiled form answers.
    """
    if pickles == NEVER and is_pickled(bundle):
        raise Refused(
            f"bundle {bundle.digest[:12]} answers by a pickle, and [serve] pickles = 'never'",
            remedy="Choose an estimator that compiles (`mainstay status` says what keeps it from that), or set "
            "[serve] pickles = 'own'.",
        )
    code = [PICKLE] if is_pickled(bundle) or (original and bundle.has(PICKLE)) else []
    code += [FEATURES] if bundle.has(FEATURES) else []
    if not code or bundle.digest in trusted or (state is not None and is_signed(state, bundle.digest)):
        return bundle
    raise Refused(
        f"bundle {bundle.digest[:12]} holds code ({', '.join(code)}) that this project's key did not sign",
        remedy=_REMEDY,
    )


def _signature(key: bytes, digest: str) -> str:
    return hmac.new(key, b"bundle\x00" + digest.encode(), sha256).hexdigest()
