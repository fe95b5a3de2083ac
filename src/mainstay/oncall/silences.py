"""Silences: made, ended and listed, each in the audit."""

from __future__ import annotations

from datetime import datetime

from mainstay.core import errors
from mainstay.core.silences import LONGEST, Silence
from mainstay.parts import Parts
from mainstay.store import audit, silences


def silence(parts: Parts, monitor: str, *, until: datetime, reason: str, by: str) -> Silence:
    """Keep a monitor's alerts from everybody until an end; what it finds is written as ever.

    Raises UsageError without a monitor or a reason, and for an end that is past or more than LONGEST ahead.
    """
    now = parts.clock.now()
    if not monitor.strip() or not reason.strip():
        raise errors.UsageError(
            f"a silence needs a monitor and a reason; seen: {monitor!r}, {reason!r}",
            remedy='mainstay silence message.length --for 2h --reason "the new form is longer"',
        )
    if not now < until <= now + LONGEST:
        raise errors.UsageError(
            f"the silence would end at {until.isoformat()}; allowed: after now ({now.isoformat()}), within "
            f"{LONGEST.days} days",
            remedy="Give --for or --until another value; a monitor that nobody wants has its `material` raised.",
        )
    made = Silence(model=parts.model, monitor=monitor.strip(), starts_at=now, until=until, reason=reason, by=by)
    with parts.store.begin() as tx:
        made = silences.add(tx, made)
        detail = {"id": made.id, "until": until.isoformat(), "reason": reason}
        audit.append(tx, who=by, what="silence began", subject=made.monitor, detail=detail, now=now)
    return made


def end(parts: Parts, number: int, *, by: str) -> Silence:
    """End a silence now; an incident that it hid and that is still open is told in the loop's next turn."""
    now = parts.clock.now()
    with parts.store.begin() as tx:
        ended = silences.end(tx, number, by=by, now=now)
        if ended.model != parts.model:
            raise errors.NotFound(f"silence {number} is of {ended.model}; this project's model is {parts.model}")
        audit.append(tx, who=by, what="silence ended", subject=ended.monitor, detail={"id": number}, now=now)
    return ended


def listed(parts: Parts, *, all_: bool) -> list[Silence]:
    """Return the silences in force, or all that there ever were, newest first."""
    now = parts.clock.now()
    with parts.store.read() as tx:
        found = silences.list_(tx, parts.model)
    return [one for one in found if all_ or one.holds(now)]
