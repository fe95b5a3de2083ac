"""Whose request may come in at all: one Host, and on loopback only this machine's names for it and for the Origin.

Without this a web page anywhere could read or feed a server on the visitor's own machine through the visitor's browser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from mainstay.api.errors import BadHost, HeadTooLarge
from mainstay.core.errors import Refused
from mainstay.serve.keys import LOOPBACK

__all__ = ["LOOPBACK", "Guard", "name_in"]

MOST_HEADERS = 100
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{0,5})?")
_SCHEMES = (b"http://", b"https://")
_NAMES = ", ".join(sorted(LOOPBACK))
_REMEDY = "Call it by 127.0.0.1 or localhost, or set [serve] host."


class Guard:
    """Checks the Host and Origin of each request to a server that listens on `host`."""

    def __init__(self, host: str) -> None:
        self.loopback = host.strip("[]").lower() in LOOPBACK

    def check(self, headers: Sequence[tuple[bytes, bytes]], http_version: str) -> None:
        """Return if the request may go on; raise BadHost, Refused or HeadTooLarge."""
        if len(headers) > MOST_HEADERS:
            raise HeadTooLarge(f"The request has {len(headers)} headers; at most {MOST_HEADERS} are allowed")
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 and (hosts or http_version != "1.0"):
            raise BadHost(f"The request has {len(hosts)} Host headers; 1 is expected")
        if not self.loopback:
            return
        host = hosts[0] if hosts else b""
        if not _is_local(host):
            raise Refused(
                f"This server is on loopback and was called as {_shown(host)}; allowed: {_NAMES}", remedy=_REMEDY
            )
        for name, value in headers:
            if name == b"origin" and not (value.startswith(_SCHEMES) and _is_local(value.partition(b"//")[2])):
                raise Refused(
                    f"This server is on loopback and was called by a page of {_shown(value)}; "
                    f"allowed: pages of {_NAMES}",
                    remedy="Call it from a program, or from a page of this machine.",
                )


@lru_cache(maxsize=64)
def _is_local(authority: bytes) -> bool:
    return name_in(authority.decode("latin-1").lower()) in LOOPBACK


def _shown(value: bytes) -> str:
    return repr(value.decode("latin-1")[:80])


def name_in(authority: str) -> str | None:
    """Return the name in `name:port` or `[address]:port`, None where it is neither."""
    found = _HOST.fullmatch(authority)
    return None if found is None else found.group(1) or found.group(2)
