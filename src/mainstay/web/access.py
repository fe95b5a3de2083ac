"""Who looks, and what they may: this machine's user without asking, from elsewhere whoever holds a key.

On loopback pages are open, as the commands are to who sits there; an act counts as this user's only where the
connection belongs to a process of this user (`peers`). From elsewhere, or through a proxy, a key is asked for: once, on
a page that gives a session, or with each request as `Authorization`.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from mainstay.api.errors import TooMany
from mainstay.api.guard import Guard
from mainstay.api.keys import FORWARDING, Keys, Scope, sent
from mainstay.core import errors
from mainstay.web.peers import is_this_user
from mainstay.web.sessions import Limiter, Session, Sessions

ACTS_A_MINUTE = 60
LOGINS_A_MINUTE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asked."""

    name: str
    """A user of this machine, or the name of a key; empty while no key was checked."""
    local: bool
    session: Session | None
    key: bytes
    """Empty for this machine's user."""
    token: str
    """What its forms carry."""
    peer: tuple[str, int]
    secure: bool
    """Whether the connection is encrypted, as far as is known."""


class Access:
    """Decides; `doors` are the keys of each model, None where none are looked at (then nobody from elsewhere)."""

    def __init__(
        self,
        doors: Mapping[str, Keys | None],
        *,
        host: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        is_ours: Callable[[str, int], bool | None] = is_this_user,
    ) -> None:
        self.guard = Guard(host)
        self.sessions = Sessions()
        self._doors = doors
        self._now, self._monotonic, self._is_ours = now, monotonic, is_ours
        self._logins = Limiter(LOGINS_A_MINUTE, 60.0)
        self._acts = Limiter(ACTS_A_MINUTE, 60.0)

    def visitor(self, headers: Mapping[bytes, bytes], peer: tuple[str, int], scheme: str) -> Visitor:
        """Return who asks; nothing is checked of a key yet. Raises Refused where nobody from elsewhere is let in."""
        secure = scheme == "https" or headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https"
        if self.guard.loopback and FORWARDING.isdisjoint(headers):
            token = self.sessions.token(None)
            return Visitor(name=user(), local=True, session=None, key=b"", token=token, peer=peer, secure=secure)
        if all(door is None for door in self._doors.values()):
            raise errors.Refused(
                "This page is for the machine that it runs on", remedy="mainstay keys add NAME --scope read"
            )
        session = self.sessions.find(headers.get(b"cookie", b"").decode("latin-1"), self._now())
        key = session.key if session else sent(headers)
        token = self.sessions.token(session)
        return Visitor(name="", local=False, session=session, key=key, token=token, peer=peer, secure=secure)

    def named(self, visitor: Visitor, model: str, scope: Scope) -> str:
        """Return under which name a visitor does something to a model; raises Unauthenticated or Refused."""
        if visitor.local:
            if scope is not Scope.READ and self._is_ours(*visitor.peer) is False:
                raise errors.Refused(
                    "The request came from a process of another user of this machine; acts are this user's alone",
                    remedy="Use the command line as the user whose project it is.",
                )
            return visitor.name
        door = self._doors[model]
        if door is None:
            raise errors.Refused("This model's pages are for the machine that they run on")
        headers = {b"authorization": b"Bearer " + visitor.key} if visitor.key else {}
        return door.check(headers | _FORWARDED, scope, again=True)

    def seen(self, visitor: Visitor) -> list[str]:
        """Return the models whose pages a visitor may see, in their order; raises what keeps them all away."""
        found, last = [], None
        for model in self._doors:
            try:
                self.named(visitor, model, Scope.READ)
                found.append(model)
            except errors.MainstayError as error:
                last = last or error
        if not found and last is not None:
            raise last
        return found

    def log_in(self, visitor: Visitor, key: str) -> Session:
        """Begin a session with a key that opens any model's pages; raises what speaks against it, TooMany."""
        self._take(self._logins, visitor.peer[0], LOGINS_A_MINUTE)
        given = Visitor(
            name="",
            local=False,
            session=None,
            key=key.strip().encode(),
            token="",
            peer=visitor.peer,
            secure=visitor.secure,
        )
        self.seen(given)
        return self.sessions.begin(given.key, self._now())

    def check_form(self, visitor: Visitor, headers: Mapping[bytes, bytes], token: str) -> None:
        """Return if a form came from one of these pages in this session; raises Refused, or TooMany."""
        site, origin = headers.get(b"sec-fetch-site", b""), headers.get(b"origin", b"")
        host = headers.get(b"host", b"").decode("latin-1").lower()
        # A browser says where the form stood; a program says nothing, and has only the token.
        same = site == b"same-origin" if site else not origin or urlsplit(origin.decode("latin-1")).netloc == host
        if not same or not self.sessions.is_token(visitor.session, token):
            raise errors.Refused(
                "The form did not come from a page of this session, so nothing was done",
                remedy="Open the page again and send it from there.",
            )
        self._take(self._acts, visitor.session.id if visitor.session else visitor.peer[0], ACTS_A_MINUTE)

    def _take(self, limiter: Limiter, name: str, most: int) -> None:
        wait_s = limiter.take(name, self._monotonic())
        if wait_s:
            raise TooMany(most / 60.0, wait_s)


_FORWARDED: dict[bytes, bytes] = {b"via": b"page"}
"""Says to the keys that the caller is not this machine's user, wherever the connection comes from."""


def user() -> str:
    """Return the name of the user whose process this is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
