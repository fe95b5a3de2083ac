"""The outbox of alerts as people see it, and a trial of every address."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mainstay.core.errors import MainstayError
from mainstay.notify import addresses
from mainstay.parts import Parts
from mainstay.store import alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a trial alert."""

    to: str
    """The address without its secrets."""
    error: str = ""
    """Empty: it was taken."""


def outbox(parts: Parts, *, limit: int) -> list[alerts.Alert]:
    """Return the newest messages, sent or not, addresses without their secrets."""
    with parts.store.read() as tx:
        found = alerts.list_(tx, limit=limit)
    return [replace(one, to=addresses.hidden(one.to)) for one in found]


def tried(parts: Parts) -> list[Tried]:
    """Send one message to each address of [[alerts]], whatever severity it wants, and return what became of it.

    Past the outbox: nothing is tried again.
    """
    now = parts.clock.now()
    out = []
    for wanted in parts.settings.alerts:
        shown, error = addresses.hidden(wanted.to), ""
        try:
            addresses.notifier_for(wanted.to).send(
                title=f"[trial] {parts.model}: alerts arrive here",
                body="Somebody asked whether they do, with `mainstay alerts test`. Nothing is wrong.",
                severity=wanted.min_severity.value,
                alert_id=f"trial-{now:%Y%m%dT%H%M%S}",
            )
        except MainstayError as failed:
            error = f"{failed.message} {failed.remedy}".strip()
        except Exception as failed:  # noqa: BLE001 - edge: another library's notifier
            error = f"{type(failed).__name__}: {failed}"
        out.append(Tried(to=shown, error=error))
    return out
