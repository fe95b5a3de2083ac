"""Sessions of people who came in with a key: a random name in a cookie, everything else in memory here.

They end with the process, after `LASTS`, or by leaving. A session opens nothing by itself: the key that began it is
checked anew at each request, so that a revoked key ends within a second what it began.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie

COOKIE = "mainstay_session"
LASTS = timedelta(hours=12)
MOST = 1000
"""Sessions at a time; the oldest goes."""
LOCAL = "local"
"""What stands for a session where none is needed: on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One person's stay."""

    id: str
    key: bytes
    """The API key that it was begun with."""
    ends_at: datetime


class Sessions:
    """All sessions of this process. Thread-safe."""

    def __init__(self, random: Callable[[int], str] = secrets.token_urlsafe) -> None:
        self._random = random
        self._secret = secrets.token_bytes(32)
        self._by_id: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, key: bytes, now: datetime) -> Session:
        """Begin a session."""
        session = Session(id=self._random(32), key=key, ends_at=now + LASTS)
        with self._lock:
            self._by_id[session.id] = session
            while len(self._by_id) > MOST:
                self._by_id.popitem(last=False)
        return session

    def find(self, cookie: str, now: datetime) -> Session | None:
        """Return the session that a Cookie header names, while it lasts."""
        try:
            named = SimpleCookie(cookie).get(COOKIE)
        except CookieError:
            return None
        with self._lock:
            found = None if named is None else self._by_id.get(named.value)
            if found is not None and now >= found.ends_at:
                del self._by_id[found.id]
                return None
        return found

    def end(self, session: Session) -> None:
        """End a session."""
        with self._lock:
            self._by_id.pop(session.id, None)

    def token(self, session: Session | None) -> str:
        """Return what every form of a session carries: no page elsewhere can know it (CSRF)."""
        name = LOCAL if session is None else session.id
        return hmac.new(self._secret, name.encode(), sha256).hexdigest()

    def is_token(self, session: Session | None, given: str) -> bool:
        """Return whether a form carries it."""
        return hmac.compare_digest(self.token(session).encode(), given.encode())


def cookie_of(session: Session | None, *, secure: bool) -> str:
    """Return the Set-Cookie value that begins a session, or without one ends it."""
    value, age = (session.id, int(LASTS.total_seconds())) if session else ("", 0)
    parts = [f"{COOKIE}={value}", "Path=/", f"Max-Age={age}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if secure else parts)


class Limiter:
    """At most `most` in `within_s` of one name; names are forgotten when they are too many. Thread-safe."""

    def __init__(self, most: int, within_s: float, *, names: int = 4096) -> None:
        self._most, self._within_s, self._names = most, within_s, names
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now: float) -> float:
        """Return 0 and count one, or how many seconds are to be waited."""
        with self._lock:
            times = self._times.setdefault(name, deque())
            self._times.move_to_end(name)
            while len(self._times) > self._names:
                self._times.popitem(last=False)
            while times and now - times[0] >= self._within_s:
                times.popleft()
            if len(times) >= self._most:
                return self._within_s - (now - times[0])
            times.append(now)
            return 0.0
