"""Named leases with fencing tokens: one owner at a time, and a late one is known by its old token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from mainstay.core import errors
from mainstay.store.tables import leases as table
from mainstay.store.writes import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease."""

    name: str
    owner: str
    token: int
    """Grows with each change of hands."""
    until: datetime


def acquire(tx: Connection, name: str, owner: str, ttl_s: float, now: datetime) -> int | None:
    """Take or renew a lease; return its token, or None while another holds it.

    A renewal keeps the token; taking it over, also by the same owner after it ran out, gives a higher one. A lease that
    ends much later than a renewal of now would was granted by a clock that has gone back since: it counts as run out.
    """
    until = now + timedelta(seconds=ttl_s)
    # The first owner of a new lease.
    if insert_new(tx, table, {"name": name, "owner": owner, "token": 1, "until": until}, on=["name"]):
        return 1
    # The lease as it stands.
    found = tx.execute(select(table).where(table.c.name == name)).one()
    held = bool(found.owner) and now < found.until <= until + timedelta(seconds=ttl_s)
    if held and found.owner != owner:
        return None
    token = int(found.token) if held else int(found.token) + 1
    # Take it only if nobody did meanwhile.
    guarded = update(table).where(table.c.name == name, table.c.token == found.token, table.c.owner == found.owner)
    moved = tx.execute(guarded.values(owner=owner, token=token, until=until)).rowcount == 1
    return token if moved else None


def must_hold(tx: Connection, name: str, owner: str, token: int, *, ttl_s: float, now: datetime) -> None:
    """Raise Superseded unless `owner` holds the lease under `token` still; renew it once half of it is over.

    Asked at the beginning of a write transaction, it fences off an owner that was stopped and goes on after another
    took over: writes are serialised, so nobody can take the lease between this look and the commit. That the lease has
    run out does no harm while nobody took it.
    """
    # The lease as it stands.
    found = tx.execute(select(table).where(table.c.name == name)).one_or_none()
    if found is None or found.owner != owner or found.token != token:
        seen = "nobody" if found is None or not found.owner else f"{found.owner} (token {found.token})"
        raise errors.Superseded(f"the lease {name!r} went over to {seen}; this is {owner} (token {token})")
    until = now + timedelta(seconds=ttl_s)
    if until - found.until > timedelta(seconds=ttl_s / 2):
        # A long turn keeps what it holds.
        guarded = update(table).where(table.c.name == name, table.c.token == token, table.c.owner == owner)
        tx.execute(guarded.values(until=until))


def release(tx: Connection, name: str, owner: str) -> bool:
    """Give a lease back; False if `owner` does not hold it."""
    # Only its owner gives a lease back; the token stays, so that the next one is higher.
    guarded = update(table).where(table.c.name == name, table.c.owner == owner)
    return tx.execute(guarded.values(owner="")).rowcount == 1


def holder(tx: Connection, name: str, now: datetime) -> Holder | None:
    """Return who holds a lease at `now`, or None."""
    # The lease, if somebody has it and it has not run out.
    query = select(table).where(table.c.name == name, table.c.owner != "", table.c.until > now)
    row = tx.execute(query).one_or_none()
    return None if row is None else Holder(name=row.name, owner=row.owner, token=row.token, until=row.until)
