"""What many pages are made of: moments, tables, links, the frame around a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time."""

    iso: str
    """ISO 8601 in UTC, for machines."""
    text: str
    """For people, in UTC."""
    ago: str
    """How long ago, e.g. `3 min ago`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way to another page."""

    text: str
    href: str
    here: bool = False
    """Whether it leads to the page that it stands on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table."""

    text: str
    plain: str = ""
    """The same for a CSV file where that is another text: a number without signs, an ISO time."""
    moment: Moment | None = None
    href: str = ""
    tone: str = ""
    """good, bad, open or quiet: shown as a tag of that colour; empty: plain text."""
    note: str = ""
    """More on it, in small."""
    code: bool = False
    """Whether it is shown in fixed width: an id, a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str
    number: bool = False
    """Whether its cells are right-aligned numbers."""
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that can be downloaded as CSV."""

    id: str
    caption: str
    """Read by screen readers, and the file's name."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str
    """What is said where there are no rows: why, and what to do."""
    csv: str
    """Address of the download."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot that the browser draws, the same in words for who does not see it, and as a table."""

    id: str
    title: str
    note: str
    """What it is drawn from, or empty."""
    told: str
    """What it shows, in a sentence."""
    data: str
    """JSON for `static/figures.js`: bars or bands."""
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around every page."""

    title: str
    """Of the browser's tab."""
    crumbs: tuple[Link, ...]
    """The way here from the list of models, this page last."""
    models: tuple[Link, ...]
    """To change between models; empty where there is one."""
    tabs: tuple[Link, ...]
    """The model's pages."""
    read_at: Moment
    feed: str
    """Where it is told when something changed; empty: the page does not follow."""
    refresh_s: int
    """Seconds between two looks of a browser without JavaScript; 0: none, e.g. because something is typed there."""
    csrf: str
    """Goes with every form."""
    who: str
    """Who looks: a user of this machine, or the name of the key."""
    leaves: bool
    """Whether there is a session to end."""
