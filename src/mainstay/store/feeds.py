"""How much came of each feed (all requests, labels, one client), by quarters of an hour: one row for each day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from mainstay.store.tables import feeds as table
from mainstay.store.writes import upsert

SLOT = timedelta(minutes=15)
SLOTS = 96
KEEP = timedelta(days=40)


def slot_of(moment: datetime) -> datetime:
    """Return the beginning of the slot that a moment lies in."""
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def add(tx: Connection, model: str, feed: str, counts: Mapping[datetime, int]) -> None:
    """Add to what came of a feed, by the beginning of each slot. The caller adds each thing once."""
    by_day: dict[datetime, Counter[int]] = {}
    for moment, count in counts.items():
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        by_day.setdefault(day, Counter())[(moment - day) // SLOT] += count
    for day, slots in by_day.items():
        where = (table.c.model == model, table.c.feed == feed, table.c.day == day)
        # What the day holds so far, locked where the database can.
        known = tx.execute(select(table.c.counts).where(*where).with_for_update()).scalar_one_or_none()
        held = list(known) if known is not None else [0] * SLOTS
        for place, count in slots.items():
            held[place] += count
        upsert(tx, table, {"model": model, "feed": feed, "day": day, "counts": held}, on=["model", "feed", "day"])


def series(tx: Connection, model: str, *, until: datetime, days: int) -> dict[str, list[int]]:
    """Return the counts of every feed by slots up to the last whole one before `until`, oldest first.

    Each begins with its first slot that had any, at most `days` whole days before today.
    """
    end = slot_of(until)
    first = (end - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    # The days of all feeds.
    query = select(table.c.feed, table.c.day, table.c.counts).where(
        table.c.model == model, table.c.day >= first, table.c.day <= end
    )
    found: dict[str, dict[datetime, list[int]]] = {}
    for row in tx.execute(query):
        found.setdefault(row.feed, {})[row.day] = row.counts
    return {feed: _in_a_row(by_day, end) for feed, by_day in sorted(found.items())}


def _in_a_row(by_day: Mapping[datetime, list[int]], end: datetime) -> list[int]:
    day, held = min(by_day), list[int]()
    while day < end:
        held += by_day.get(day, [0] * SLOTS)
        day += timedelta(days=1)
    held = held[: (end - min(by_day)) // SLOT]
    begins = next((place for place, count in enumerate(held) if count), len(held))
    return held[begins:]


def drop_old(tx: Connection, model: str, now: datetime) -> int:
    """Delete days that no comparison reaches back to; return how many."""
    # The days of all feeds that are over.
    return tx.execute(delete(table).where(table.c.model == model, table.c.day < now - KEEP)).rowcount
