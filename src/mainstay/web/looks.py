"""One look at a page: what was asked for, and what is handed to the function that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mainstay.api.keys import Scope
from mainstay.core import errors
from mainstay.web.rooms import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a page is made of."""

    rooms: Mapping[str, Room]
    """Those that the visitor may see, in their order."""
    model: str
    """Whose page it is; empty for a page of all."""
    params: Mapping[str, str]
    """Of the path."""
    query: Mapping[str, str]
    who: str = ""
    """Under which name the visitor looks at the model; empty for a page of all."""

    @property
    def room(self) -> Room:
        """Return the model's room."""
        return self.rooms[self.model]

    def now(self) -> datetime:
        """Return the time."""
        return (self.room if self.model else next(iter(self.rooms.values()))).now()

    def number(self, name: str) -> int:
        """Return a whole number of the path; NotFound for anything else."""
        text = self.params[name]
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise errors.NotFound(f"{text[:40]!r} is no number", remedy="Follow a link of the list.")
        return int(text)

    def moment(self, name: str) -> datetime | None:
        """Return a time of the query: seconds since 1970, or ISO 8601 (UTC where no zone is told); None without one."""
        text = self.query.get(name, "").strip()
        if not text:
            return None
        try:
            if text.replace(".", "", 1).isdigit():
                return datetime.fromtimestamp(float(text), UTC)
            found = datetime.fromisoformat(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise errors.UsageError(
                f"{name}={text[:40]!r} is no time; allowed: 2026-03-09T14:05, or seconds since 1970",
                remedy="Leave it out to see the newest.",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: its address, its template, and what makes its context."""

    path: str
    template: str
    title: str
    """Of the browser's tab and the way here."""
    build: Callable[[Look], Any]
    """Returns the page's documented context."""
    tab: str = ""
    """Under which of the model's tabs it stands."""
    parents: tuple[tuple[str, str], ...] = ()
    """Text and path below the model of what lies between it and the model's first page."""
    live: bool = True
    """Whether it follows by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedpoint:
    """An address that answers with JSON for plots."""

    path: str
    build: Callable[[Look], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What was sent with an act."""

    by: str
    reason: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that changes the project: a page that asks for confirmation, and what is done then."""

    name: str
    """In its address, and in the forms that ask for it without a page between."""
    title: str
    tells: Callable[[Look], str]
    """Returns what will happen, in sentences, before it does."""
    do: Callable[[Look, Form], str]
    """Does it; returns where to go then."""
    scope: Scope = Scope.ADMIN
    needs_reason: bool = False
    danger: bool = False
    binds_evidence: bool = False
    """Whether it agrees to the evidence that stood there when it was asked for."""
