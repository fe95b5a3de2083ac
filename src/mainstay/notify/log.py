"""Alerts into the process's own log."""

from __future__ import annotations

import logging

log = logging.getLogger("mainstay.alerts")
_LEVELS = {"note": logging.INFO, "watch": logging.WARNING, "page": logging.ERROR}


class LogNotifier:
    """Writes each alert as one log record, its id as `alert_id`. Thread-safe."""

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        """Write the alert; a page is an error, a watch a warning, a note information."""
        log.log(_LEVELS.get(severity, logging.WARNING), "%s\n%s", title, body, extra={"alert_id": alert_id})
