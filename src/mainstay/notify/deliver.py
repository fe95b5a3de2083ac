"""Work the outbox: send what is due, and what failed again later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from mainstay.core.errors import MainstayError
from mainstay.core.incidents import SEVERITY_ORDER, Severity
from mainstay.core.ports import Notifier

AT_ONCE = 5
"""Alerts sent in one turn: a dead address costs a turn at most so many times the notifier's own time limit."""
FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(hours=1)


class Alert(Protocol):
    """One message of the outbox (`store.alerts.Alert`)."""

    @property
    def alert_id(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def attempts(self) -> int: ...


class Outbox(Protocol):
    """What is needed of the outbox; the module `store.alerts` is one. `tx` is its open transaction."""

    def due(self, tx: Any, now: datetime, limit: int) -> Sequence[Any]: ...
    def sent(self, tx: Any, alert: Any, *, now: datetime) -> None: ...
    def failed(self, tx: Any, alert: Any, *, error: str, retry_at: datetime) -> None: ...
    def enqueue(
        self, tx: Any, *, alert_id: str, to: str, title: str, body: str, severity: str, now: datetime
    ) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one alert."""

    alert: Alert
    error: str = ""
    """Empty: delivered."""


def back_off(attempts: int) -> timedelta:
    """Return the wait after so many failed attempts: 10 s, doubled each time, at most an hour."""
    return LONGEST_RETRY if attempts > 9 else min(FIRST_RETRY * 2 ** max(attempts - 1, 0), LONGEST_RETRY)


def send_all(alerts: Sequence[Alert], notifiers: Mapping[str, Notifier]) -> list[Outcome]:
    """Send alerts and report on each; touches no store, so it may run outside a transaction."""
    return [Outcome(alert=alert, error=_send(alert, notifiers.get(alert.to))) for alert in alerts]


def record(tx: Any, outcomes: Sequence[Outcome], now: datetime, *, outbox: Outbox) -> int:
    """Write the outcomes into the outbox; return how many were delivered."""
    for outcome in outcomes:
        if outcome.error:
            retry_at = now + back_off(outcome.alert.attempts + 1)
            outbox.failed(tx, outcome.alert, error=outcome.error, retry_at=retry_at)
        else:
            outbox.sent(tx, outcome.alert, now=now)
    return sum(not outcome.error for outcome in outcomes)


def deliver_due(tx: Any, now: datetime, notifiers: Mapping[str, Notifier], *, outbox: Outbox) -> int:
    """Send what is due and note what became of it; return how many were delivered.

    `notifiers` maps address to notifier. An alert that was sent by a turn that then died is sent again, with the same
    `alert_id`. Holds the transaction while it sends: a caller that must not uses `send_all` and `record` itself.
    """
    return record(tx, send_all(outbox.due(tx, now, AT_ONCE), notifiers), now, outbox=outbox)


def tell(
    tx: Any,
    wanted: Sequence[tuple[str, Severity]],
    *,
    alert_id: str,
    title: str,
    body: str,
    severity: Severity,
    now: datetime,
    outbox: Outbox,
) -> int:
    """Put one alert into the outbox for each (address, least severity) that wants it; return how many are new."""
    loud = SEVERITY_ORDER.index(severity)
    new = 0
    for address, least in wanted:
        if loud >= SEVERITY_ORDER.index(least):
            new += outbox.enqueue(
                tx, alert_id=alert_id, to=address, title=title, body=body, severity=severity.value, now=now
            )
    return new


def _send(alert: Alert, notifier: Notifier | None) -> str:
    if notifier is None:
        return "no notifier is set up for this address; [[alerts]] may have changed since"
    try:
        notifier.send(title=alert.title, body=alert.body, severity=alert.severity, alert_id=alert.alert_id)
    except MainstayError as error:
        return f"{error.message} {error.remedy}"
    except Exception as error:  # noqa: BLE001 - edge: another library's notifier; the outbox tries again
        return f"{type(error).__name__}: {error}"
    return ""
