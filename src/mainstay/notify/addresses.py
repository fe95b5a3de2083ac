"""From an alert's address to its notifier."""

from __future__ import annotations

from mainstay.core.errors import UsageError
from mainstay.core.ports import Notifier
from mainstay.notify.apprise import AppriseNotifier
from mainstay.notify.log import LogNotifier
from mainstay.notify.webhook import WebhookNotifier

OWN = ("log", "json", "jsons")
OTHER_WEBHOOKS = ("form", "forms", "xml", "xmls")
"""Apprise's plain webhooks: they follow redirects and reach any network."""


def notifier_for(address: str) -> Notifier:
    """Return the notifier of an address: `log://`, `json://` and `jsons://` here, any other scheme through Apprise.

    Opens nothing. Raises UsageError for an address that is none, EnvironmentFault when Apprise is needed and absent.
    """
    scheme, separator, _ = address.partition("://")
    scheme = scheme.lower()
    if not separator or not scheme:
        raise UsageError(
            f"the alert address {hidden(address)} names no scheme; "
            "allowed: log://, json://HOST/PATH, jsons://HOST/PATH, or an Apprise address",
            remedy="Correct `to` in [[alerts]].",
        )
    if scheme == "log":
        return LogNotifier()
    if scheme in OWN:
        return WebhookNotifier(address)
    if scheme in OTHER_WEBHOOKS:
        raise UsageError(
            f"alerts to {scheme}:// would reach private networks unasked; webhooks are json:// and jsons:// here",
            remedy="Correct `to` in [[alerts]].",
        )
    return AppriseNotifier(address)


def hidden(address: str) -> str:
    """Return an address as it may be shown: its scheme and host, without user, password, path and query."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return "(an address)"
    host = rest.split("/", 1)[0].split("?", 1)[0].rsplit("@", 1)[-1]
    return f"{scheme}://{host}" if scheme.lower() in OWN else f"{scheme}://…"
