"""What else changed then: releases, contract, configuration, upstream schema, sources of traffic, refusals.

From what Mainstay itself recorded: the release events, the audit, and the requests around the start. A thing that
happened at the time is a candidate for the cause and no proof of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mainstay.core.contracts import Contract
from mainstay.core.releases import LIVE, Stage
from mainstay.store import audit, releases
from mainstay.watch import configuration, sources
from mainstay.watch.onset import Onset
from mainstay.watch.recall import Recalled

if TYPE_CHECKING:
    from sqlalchemy import Connection

BEFORE = timedelta(hours=1)
"""What happened so long before the interval of the start is named too; or as long as the interval is, if longer ..."""
MOST_BEFORE = timedelta(days=1)
"""... but no more than this."""
MOST = 10
ANSWERS = LIVE | {Stage.CANARY, Stage.ROLLED_BACK}
"""Stages whose coming changes who answers."""


class Kind(StrEnum):
    """What sort of thing changed."""

    RELEASE = "release"
    CONTRACT = "contract"
    CONFIGURATION = "configuration"
    REFERENCE = "reference"
    ACCESS = "access"
    UPSTREAM_SCHEMA = "upstream schema"
    TRAFFIC_SOURCE = "traffic source"
    REFUSALS = "refusals"


OF_AUDIT: Mapping[str, Kind] = {
    "learn": Kind.REFERENCE,
    "key added": Kind.ACCESS,
    "key revoked": Kind.ACCESS,
    "key rotated": Kind.ACCESS,
}
"""Acts in the audit that may change what comes in or goes out, beside those that release events tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that changed about when it began."""

    kind: Kind
    text: str
    """In a sentence without a full stop."""
    at: datetime | None = None
    """When; None: since the start, as the requests themselves show."""

    def as_dict(self, onset: Onset) -> dict[str, Any]:
        """Return plain values; `before_s`: how long before the likeliest start (below 0: after it)."""
        before = None if self.at is None else round((onset.at - self.at).total_seconds(), 1)
        when = None if self.at is None else self.at.isoformat()
        return {"kind": self.kind.value, "text": self.text, "at": when, "before_s": before}


def changes(
    tx: Connection, model: str, onset: Onset, recalled: Recalled, contract: Contract, *, known_keys: Mapping[str, int]
) -> list[Change]:
    """Return what changed about the start: what the requests show first, then what was recorded, nearest first."""
    seen = [
        *(Change(kind=Kind.UPSTREAM_SCHEMA, text=text) for text in sources.schema(recalled, contract)),
        *(Change(kind=Kind.REFUSALS, text=text) for text in sources.refusals(recalled)),
        *(Change(kind=Kind.TRAFFIC_SOURCE, text=text) for text in sources.traffic(recalled, known_keys)),
    ]
    low, high = span(onset)
    recorded = [
        change
        for change in (*_releases(tx, model), *_acts(tx, model, low))
        if change.at is not None and low <= change.at <= high
    ]
    recorded.sort(key=lambda change: abs((onset.at - (change.at or onset.at)).total_seconds()))
    return [*seen, *recorded][:MOST]


def span(onset: Onset) -> tuple[datetime, datetime]:
    """Return between which moments something may have been the cause: what came after the start was not."""
    back = min(max(BEFORE, onset.high - onset.low), MOST_BEFORE)
    return onset.low - back, onset.high


def _releases(tx: Connection, model: str) -> list[Change]:
    out = []
    for event in releases.events(tx, model):
        if event.to_stage not in ANSWERS:
            continue
        verb = {
            Stage.CANARY: "began to answer a part of the keys, or a larger one",
            Stage.ROLLED_BACK: "was rolled back",
        }.get(Stage(event.to_stage), "began to answer everybody")
        if event.from_stage in LIVE and event.to_stage in LIVE:
            continue  # its probation ended: it answered before
        why = f" ({event.reason})" if event.reason else ""
        out.append(Change(kind=Kind.RELEASE, at=event.at, text=f"{model}@{event.version} {verb}{why}"))
    return out


def _acts(tx: Connection, model: str, low: datetime) -> list[Change]:
    out = []
    for entry in audit.list_(tx, since=low, limit=1_000):
        if entry.what in (configuration.CONTRACT, configuration.CONFIGURATION):
            if entry.subject == model:
                kind = Kind.CONTRACT if entry.what == configuration.CONTRACT else Kind.CONFIGURATION
                out.append(Change(kind=kind, at=entry.at, text=configuration.told(entry.detail)))
        elif entry.what in OF_AUDIT:
            text = f"{entry.what} {entry.subject} by {entry.who}"
            reason = str(entry.detail.get("reason", ""))
            out.append(Change(kind=OF_AUDIT[entry.what], at=entry.at, text=text + (f" ({reason})" if reason else "")))
    return out


def release_then(found: Sequence[Mapping[str, Any]], bundle: str) -> str:
    """Return the text of the move by which `bundle` came to answer, the nearest among stored changes; or nothing."""
    mine = (str(one["text"]) for one in found if one["kind"] == Kind.RELEASE.value)
    return next((text for text in mine if text.startswith(f"{bundle} began")), "")
