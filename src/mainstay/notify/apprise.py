"""Alerts through Apprise, which knows a hundred services; an optional package."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mainstay.core.errors import EnvironmentFault, UsageError

INSTALL = "pip install mainstay[alerts]"
_TYPES = {"note": "info", "watch": "warning", "page": "failure"}


class AppriseNotifier:
    """Hands alerts to Apprise. Not thread-safe."""

    def __init__(self, address: str) -> None:
        scheme = address.partition("://")[0]
        try:
            library: Any = import_module("apprise")
        except ModuleNotFoundError as error:
            raise EnvironmentFault(
                f"alerts to {scheme}:// need Apprise, which is not installed", remedy=f"Run: {INSTALL}"
            ) from error
        self._scheme = scheme
        self._service = library.Apprise()
        if not self._service.add(address):
            raise UsageError(
                f"Apprise does not know the alert address {scheme}://…", remedy="Correct `to` in [[alerts]]."
            )

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        """Deliver the alert; a service that says no raises EnvironmentFault."""
        text = f"{body}\n\n({alert_id})"
        if not self._service.notify(title=title, body=text, notify_type=_TYPES.get(severity, "warning")):
            raise EnvironmentFault(f"the alert service {self._scheme}:// did not take the alert")
