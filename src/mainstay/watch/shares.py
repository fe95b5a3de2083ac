"""One budget of false pages for the model while several bundles serve: each day is shared out between those that do.

Evidence is kept per bundle, and M_t less the days that its blocks count is a martingale while nothing changes
(stats/evidence.py). Where bundle b counts the share w_b(t) of the time, E[false incidents of b] ≤ ∫ w_b dt / A, and
with Σ_b w_b(t) = 1 all bundles together stay within T/A. Who serves is known before a block is looked at, so that the
shares say nothing of what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mainstay.watch.compare import LEAST_DAYS, SECONDS_PER_DAY, WatchState

SERVES_FOR = timedelta(hours=1)
"""A bundle whose newest request is older than this serves no more, unless it is who answers now."""
Newest = Mapping[str, datetime]
"""Of each bundle, when its newest request arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How the time up to a turn is shared out."""

    days: float
    """Since the turn before."""
    serving: frozenset[str]
    newest: dict[str, datetime]
    at: datetime

    def add_to(self, state: WatchState) -> None:
        """Give a bundle its part of the time."""
        state.time_passed += self.days
        if state.bundle in self.serving:
            state.time_own += self.days / len(self.serving)

    def as_dict(self) -> dict[str, Any]:
        """Return what the next turn must know."""
        return {"at": self.at.isoformat(), "newest": {name: moment.isoformat() for name, moment in self.newest.items()}}


def share_out(
    kept: Mapping[str, Any] | None, arrived: Newest, *, current: str, bundles: Sequence[str]
) -> Shares | None:
    """Return how time is shared out up to the newest of the requests that `arrived`; None: none did.

    `kept` is what `as_dict` gave a turn before, if any; of bundles that are not among `bundles` nothing is kept.
    """
    if not arrived:
        return None
    held = kept or {}
    before = {name: datetime.fromisoformat(text) for name, text in held.get("newest", {}).items() if name in bundles}
    newest = before | {name: max(moment, before.get(name, moment)) for name, moment in arrived.items()}
    last = datetime.fromisoformat(held["at"]) if "at" in held else None
    at = max([*arrived.values(), *([last] if last is not None else [])])
    days = 0.0 if last is None else (at - last).total_seconds() / SECONDS_PER_DAY
    serving = {name for name, moment in newest.items() if at - moment <= SERVES_FOR}
    return Shares(
        days=max(days, LEAST_DAYS),
        serving=frozenset(serving | ({current} if current else set())),
        newest=newest,
        at=at,
    )
