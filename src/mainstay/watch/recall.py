"""The requests behind an incident: a bounded part of the newest ones, read again from the journal when it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.core.calls import is_load_test
from mainstay.core.contracts import Contract
from mainstay.core.events import Event, Kind
from mainstay.models.signals import RowSignals
from mainstay.watch.window import COUNTED, Observation, observe

Recent = Callable[[Mapping[str, int], int], Sequence[Event]]
"""Returns the newest events at or before a place in the journal (worker -> seq), about so many of each worker."""
EVENTS = 3_000
"""Newest journal records of each worker that are looked at when an incident is told."""
MOST_ROWS = 2_000
"""Requests kept of those since the start, and of those before it; more are thinned out evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request: its record, and what the watch measures of it."""

    event: Event
    row: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Requests of one bundle, oldest first."""

    since: tuple[Seen, ...] = ()
    """From the estimated start on."""
    before: tuple[Seen, ...] = ()


def recall(
    events: Sequence[Event], *, bundle: str, start: datetime, signals: RowSignals, contract: Contract, current: bool
) -> Recalled:
    """Return the requests of `bundle` among `events`, parted by `start`, at most MOST_ROWS on each side.

    `current`: whether requests that no bundle answered (refusals before one was known) are its own too.
    """
    mine = [
        event
        for event in events
        if event.kind in COUNTED
        and not is_load_test(event.trace_id)
        and (event.bundle == bundle or (current and not event.bundle))
    ]
    since = [event for event in mine if event.occurred_at >= start]
    before = [event for event in mine if event.occurred_at < start]
    return Recalled(
        since=tuple(_seen(event, signals, contract) for event in thinned(since, MOST_ROWS)),
        before=tuple(_seen(event, signals, contract) for event in thinned(before, MOST_ROWS)),
    )


def thinned(events: Sequence[Event], most: int) -> list[Event]:
    """Return at most `most` of the events, evenly spread, in order of arrival."""
    ordered = sorted(events, key=lambda event: (event.received_at, event.worker, event.seq))
    if len(ordered) <= most:
        return ordered
    return [ordered[index * len(ordered) // most] for index in range(most)]


def _seen(event: Event, signals: RowSignals, contract: Contract) -> Seen:
    return Seen(event=event, row=observe(event, signals, contract))


def is_refusal(seen: Seen) -> bool:
    """Return whether the contract turned the request away."""
    return seen.event.kind is Kind.REFUSAL
