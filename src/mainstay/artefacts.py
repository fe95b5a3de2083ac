"""Whether the bundles that a route names lie on disk as they were released: workers answer with what they loaded, and
the next one that starts can load nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.core import errors
from mainstay.models import bundle as bundles

if TYPE_CHECKING:
    from mainstay.core.routes import BundleRef, Route
    from mainstay.parts import Parts

READ_AGAIN = timedelta(minutes=10)
"""How often every byte is read although nothing about the files changed."""


def damage(parts: Parts, digest: str) -> str:
    """Return what is wrong with a bundle's files on disk, or an empty text.

    Read whole only where something about a file changed since it was read last, or after `READ_AGAIN`.
    """
    marks = tuple(_marks(parts.bundles / digest))
    now = parts.clock.monotonic()
    known = parts.artefacts_seen.get(digest)
    if known is not None and known[0] == marks and 0.0 <= now - known[1] < READ_AGAIN.total_seconds():
        return known[2]
    try:
        bundles.open_bundle(parts.bundles / digest, digest)
    except errors.MainstayError as error:
        wrong = error.message
    except (OSError, ValueError, KeyError) as error:
        wrong = f"{type(error).__name__}: {error}"
    else:
        wrong = ""
    parts.artefacts_seen[digest] = (marks, now, wrong)
    return wrong


def named(route: Route) -> Iterator[tuple[str, BundleRef]]:
    """Return each version that a route names, with what it is there for; each once."""
    seen: set[str] = set()
    for what in ("champion", "challenger", "shadow", "previous"):
        ref: BundleRef | None = getattr(route, what)
        if ref is not None and ref.digest not in seen:
            seen.add(ref.digest)
            yield what, ref


def _marks(folder: Path) -> Iterator[tuple[str, int, int, int, int]]:
    """Return of each file what changes when it does: also where its size and time of change were put back."""
    try:
        for path in sorted(folder.rglob("*")):
            about = path.stat()
            yield path.name, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
    except OSError:
        yield "", 0, 0, 0, 0
