"""What used to come and is gone: all traffic, the labels, one client; and traffic that fell or multiplied.

Requests are counted by quarters of an hour as the loop reads them, in the transaction that moves the watch's place in
the journal: each once, however often a turn is killed. Clients are the declared keys (else addresses), by their hash,
and of them only those with a share of traffic that matters: a sketch of bounded size finds them (Misra, Gries 1982: of
n requests each key with more than n / CLIENTS of them is in it). The rule is `stats.rhythm`'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.core.calls import is_load_test
from mainstay.core.events import Event
from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.stats import rhythm
from mainstay.stats.rhythm import Flow, Standing
from mainstay.store import feeds, states
from mainstay.watch.conditions import Condition, Telling
from mainstay.watch.window import COUNTED

if TYPE_CHECKING:
    from sqlalchemy import Connection

FAMILY = "feed"
TRAFFIC, LABELS, CLIENT = "traffic", "labels", "client:"
CLIENTS = 200
"""Keys that the sketch holds."""
CLIENT_SHARE = 0.01
"""A key with less of the traffic than this is no client whose absence is told (0 to 1)."""
CLIENT_REQUESTS = 100
"""Nor is one with fewer requests than this, as far as the sketch knows."""
MOST_CLIENTS = 40
"""Clients that are followed; those with the largest share."""
REST = timedelta(hours=1)
"""Something must have come again for so long."""
FLOW_FOR = timedelta(minutes=15)
"""A fall or a rise is told when it still stands after so long."""


def count(
    tx: Connection, model: str, events: Sequence[Event], *, after: Mapping[str, int], whole: bool, now: datetime
) -> None:
    """Count the requests among `events` behind the watch's place `after`, and note how far that is.

    `whole`: these were all that the journal held. In the transaction in which the place moves on.
    """
    asked = [
        event
        for event in events
        if event.model == model
        and event.kind in COUNTED
        and event.seq > after.get(event.worker, 0)
        and not is_load_test(event.trace_id)
    ]
    behind = "" if whole else max(event.received_at for event in events).isoformat()
    found = states.get(tx, _name(model))
    kept = found[0] if found is not None else {}
    sketch = _Sketch.of(kept.get("clients", {}))
    sketch.fade(now)
    if asked:
        feeds.add(tx, model, TRAFFIC, _slots(event.received_at for event in asked))
        for key, slots in sketch.take(asked).items():
            feeds.add(tx, model, CLIENT + key, slots)
    value = {"behind": behind, "clients": sketch.as_dict()}
    if value != kept:
        states.put(tx, _name(model), value, expected_version=None if found is None else found[1])


def count_labels(tx: Connection, model: str, moments: Iterable[datetime]) -> None:
    """Count labels that were stored just now, by when they came; in the transaction that stored them."""
    slots = _slots(moments)
    if slots:
        feeds.add(tx, model, LABELS, slots)


def look(tx: Connection, model: str, *, times: float, now: datetime) -> list[Condition]:
    """Return how traffic, labels and each client stand; drop what is too old to matter."""
    found = states.get(tx, _name(model))
    if found is None:
        return []
    feeds.drop_old(tx, model, now)
    # What the journal holds and was not read yet is no gap.
    behind = str(found[0].get("behind", ""))
    until = min(now, datetime.fromisoformat(behind)) if behind else now
    series = feeds.series(tx, model, until=until, days=rhythm.DAYS)
    stands = {name: rhythm.judge(counts, times=times) for name, counts in series.items()}
    unknown = Standing(flow=Flow.UNKNOWN)
    traffic = stands.get(TRAFFIC, unknown)
    told = [_traffic(traffic, until), _labels(stands.get(LABELS, unknown), traffic, until)]
    sums = {name: sum(counts) for name, counts in series.items()}
    clients = sorted((name for name in sums if name.startswith(CLIENT)), key=lambda name: (-sums[name], name))
    return told + [_client(name, stands[name], traffic, sums, until) for name in clients[:MOST_CLIENTS]]


def _name(model: str) -> str:
    return f"feeds:{model}"


def _slots(moments: Iterable[datetime]) -> dict[datetime, int]:
    return dict(Counter(feeds.slot_of(moment) for moment in moments))


@dataclass(slots=True)
class _Sketch:
    """The keys that send most, in bounded memory."""

    counts: dict[str, int]
    total: int
    """Requests counted; it fades as the counts do."""
    day: str
    """When it last faded."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> _Sketch:
        return cls(dict(kept.get("counts", {})), int(kept.get("total", 0)), str(kept.get("day", "")))

    def as_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "total": self.total, "day": self.day}

    def fade(self, now: datetime) -> None:
        """Halve everything once a day, so that a client that came lately is found beside those of long ago."""
        today = f"{now:%Y-%m-%d}"
        if self.day and today > self.day:
            self.counts = {key: count // 2 for key, count in self.counts.items() if count > 1}
            self.total //= 2
        self.day = max(self.day, today)

    def take(self, asked: Sequence[Event]) -> dict[str, dict[datetime, int]]:
        """Count requests; return the slots of those of the keys that have a share that matters."""
        by_key: dict[str, Counter[datetime]] = {}
        for event in asked:
            if event.key_hash:
                by_key.setdefault(event.key_hash, Counter())[feeds.slot_of(event.received_at)] += 1
        self.total += len(asked)
        for key, slots in by_key.items():
            self.counts[key] = self.counts.get(key, 0) + slots.total()
        if len(self.counts) > CLIENTS:
            self._shrink()
        return {key: dict(slots) for key, slots in by_key.items() if self._matters(key)}

    def _matters(self, key: str) -> bool:
        return self.counts.get(key, 0) >= max(CLIENT_REQUESTS, CLIENT_SHARE * self.total)

    def _shrink(self) -> None:
        """Take from every key what the one behind the last that fits has, as if all of that had come together."""
        least = sorted(self.counts.values(), reverse=True)[CLIENTS]
        self.counts = {key: count - least for key, count in self.counts.items() if count > least}


def _traffic(standing: Standing, until: datetime) -> Condition:
    since = until - timedelta(hours=standing.silent_h)
    if standing.flow is Flow.GONE:
        title = f"No request came for {_hours(standing.silent_h)}"
        advice = "See whether the callers still send: their release, the network, a proxy, a key that ran out."
        return _holds(TRAFFIC, standing, Severity.PAGE, title, _gap(standing), advice, since)
    if standing.flow in (Flow.FELL, Flow.ROSE):
        fell = standing.flow is Flow.FELL
        beside = standing.least if fell else standing.most
        what = f"no fewer than {beside:,.0f}" if fell else f"no more than {beside:,.0f}"
        title = f"{standing.count:,} requests in an hour that had {what} before"
        story = (
            f"In the last hour {standing.count:,} requests came. At this time of {standing.days} earlier days it was "
            f"between {standing.least:,.0f} and {standing.most:,.0f}.",
        )
        advice = "See what changed with the callers; the model itself may be as it was."
        told = _holds(TRAFFIC, standing, Severity.WATCH, title, story, advice, until - timedelta(hours=1))
        return Condition(name=TRAFFIC, holds=True, told=told.told, hold_for=FLOW_FOR)
    return _rests(TRAFFIC, standing, "Requests come as on earlier days.")


def _labels(standing: Standing, traffic: Standing, until: datetime) -> Condition:
    if standing.flow is not Flow.GONE:
        return _rests(LABELS, standing, "Labels come again.")
    if traffic.flow is Flow.GONE:
        return Condition(name=LABELS, holds=None)  # without requests there is nothing to label
    title = f"No label came for {_hours(standing.silent_h)}"
    story = (*_gap(standing), "Without labels a changed relation between inputs and truth is not seen.")
    advice = "See whether what sends labels still runs; until then quality is estimated at best."
    since = until - timedelta(hours=standing.silent_h)
    return _holds(LABELS, standing, Severity.WATCH, title, story, advice, since)


def _client(name: str, standing: Standing, traffic: Standing, seen: Mapping[str, int], until: datetime) -> Condition:
    if standing.flow is not Flow.GONE:
        return _rests(name, standing, "It sends again.")
    if traffic.flow is Flow.GONE:
        return Condition(name=name, holds=None)  # told as the traffic that is gone
    short, share = name.removeprefix(CLIENT)[:12], seen[name] / max(seen.get(TRAFFIC, 0), 1)
    title = f"A client that sent {share:.0%} of the traffic sends nothing for {_hours(standing.silent_h)}"
    story = (
        *_gap(standing),
        f"It is the key whose hash begins with {short}; the journal tells its requests by `key_hash`.",
    )
    since = until - timedelta(hours=standing.silent_h)
    advice = "Ask whoever runs that client; if it is gone for good, end the incident: it is told once."
    return _holds(name, standing, Severity.WATCH, title, story, advice, since)


def _gap(standing: Standing) -> tuple[str, ...]:
    return (
        f"At this time of {standing.days} earlier days the longest gap was {_hours(standing.usual_h)}; now it is "
        f"{_hours(standing.silent_h)}.",
    )


def _holds(
    name: str,
    standing: Standing,
    severity: Severity,
    title: str,
    story: tuple[str, ...],
    advice: str,
    since: datetime,
) -> Condition:
    finding = Finding(
        signal=f"feed.{name}",
        harm=Harm.OPERATIONS,
        since=since,
        before=standing.least,
        now=float(standing.count),
        shift=standing.count - standing.least,
        evidence=0.0,
        text=title,
    )
    facts = {
        "silent_h": standing.silent_h,
        "usual_h": standing.usual_h,
        "count": standing.count,
        "least": standing.least,
        "most": standing.most,
        "days": standing.days,
    }
    told = Telling(
        severity=severity,
        story=story,
        finding=finding,
        advice=advice,
        facts=facts,
    )
    return Condition(name=name, holds=True, told=told)


def _rests(name: str, standing: Standing, over: str) -> Condition:
    holds = None if standing.flow is Flow.UNKNOWN else False
    return Condition(name=name, holds=holds, over=over, rest_for=REST)


def _hours(hours: float) -> str:
    if hours < 1.0:
        return f"{hours * 60:.0f} minutes"
    if hours < 48.0:
        return "an hour" if hours == 1.0 else f"{hours:.1f} hours".replace(".0", "")
    return f"{hours / 24:.1f} days".replace(".0", "")
