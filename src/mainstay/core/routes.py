"""Who answers: the route record and the rule that picks an arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from mainstay.core.events import Arm

ROUTE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRef:
    """A bundle by number and content."""

    version: int
    digest: str
    """sha256 of the manifest, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who answers for one model. A higher epoch replaces a lower one, everywhere."""

    v: int = ROUTE_VERSION
    model: str
    epoch: int
    """Grows by one with every change."""
    champion: BundleRef
    challenger: BundleRef | None = None
    previous: BundleRef | None = None
    """Stays loaded, so that the way back is immediate."""
    share: float = 0.0
    """Part of the keys that the challenger answers, 0 to 1."""
    shadow: BundleRef | None = None
    """Scores the traffic after it was answered; answers nobody."""
    salt: str = ""
    """Of the rollout: other rollouts pick other keys."""
    lease_until: datetime | None = None
    """After this the challenger is out unless the lease was renewed; None: no challenger, no lease."""
    holdout: float = 0.0
    """Part of the keys, 0 to 1, that `previous` goes on answering beside a new champion, for measurement."""
    holdout_until: datetime | None = None
    """After this the champion answers them too; None with a holdout of 0."""
    held_back: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Fields and their values: rows with one of these are left out of a ramp."""

    def bundles(self) -> tuple[BundleRef, ...]:
        """Return every bundle that a worker must hold, champion first, each once."""
        seen: dict[str, BundleRef] = {}
        for ref in (self.champion, self.challenger, self.shadow, self.previous):
            if ref is not None:
                seen.setdefault(ref.digest, ref)
        return tuple(seen.values())


def position(salt: str, key: str) -> float:
    """Return where `key` lies in [0, 1) under `salt`, equal in every worker (BLAKE2b, 8 bytes, big-endian)."""
    digest = blake2b(f"{salt}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def pick_arm(route: Route, key: str, now: datetime) -> Arm:
    """Return the arm that answers `key`: sticky, and the champion once the lease is over.

    The challenger has the keys that lie lowest, the holdout those that lie highest: whoever is held out was no
    challenger's before, up to a share of 1 − holdout.
    """
    if route.challenger is None or route.share <= 0.0:
        return Arm.HOLDOUT if route.holdout > 0.0 and _held_out(route, key, now) else Arm.CHAMPION
    if route.lease_until is not None and now >= route.lease_until:
        return Arm.CHAMPION
    return Arm.CHALLENGER if position(route.salt, key) < route.share else Arm.CHAMPION


def is_held_back(route: Route, values: Mapping[str, Any]) -> bool:
    """Return whether a row belongs to a segment that the ramp leaves out; a value counts as the text that it is."""
    return any(str(values.get(name)) in held for name, held in route.held_back)


def _held_out(route: Route, key: str, now: datetime) -> bool:
    if route.previous is None or route.holdout_until is None or now >= route.holdout_until:
        return False
    return position(route.salt, key) >= 1.0 - route.holdout
