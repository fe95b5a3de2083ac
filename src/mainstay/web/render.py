"""Templates: everything escaped, what cannot be shown replaced, an unknown name an error."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mainstay.core.showable import showable
from mainstay.web import links, words
from mainstay.web.access import Visitor
from mainstay.web.looks import Look, Page
from mainstay.web.shown.parts import Frame, Link

HERE = Path(__file__).parent
REFRESH_S = 15
"""Of browsers without JavaScript."""


def templates() -> Environment:
    """Return the templates."""
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_showable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _showable(value: Any) -> Any:
    """Return a text without signs that would spoil the page around it, or keep it from being sent at all."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return showable(value)


def render(environment: Environment, template: str, frame: Frame, context: Any) -> str:
    """Return a page."""
    return environment.get_template(template).render(
        frame=frame, **{field.name: getattr(context, field.name) for field in fields(context)}
    )


def frame_of(
    page: Page,
    look: Look,
    visitor: Visitor,
    *,
    who: str,
    tabs: tuple[tuple[str, str], ...],
    now: datetime,
    here: str = "",
    title: str = "",
) -> Frame:
    """Return what stands around a page; `title` and `here` where they depend on what the page shows."""
    name = look.model
    several = len(look.rooms) > 1
    crumbs = [Link(text="Models", href="/models")] if several and name else []
    if name:
        crumbs.append(Link(text=name, href=links.model(name)))
        crumbs += [Link(text=text, href=links.model(name, path)) for text, path in page.parents]
    if page.path != "/models/{model}":
        crumbs.append(Link(text=here or page.title, href="", here=True))
    below = here_below(page)
    return Frame(
        title=title or (f"{name}: {here or page.title}" if name else page.title),
        crumbs=tuple(crumbs),
        models=tuple(
            Link(text=other, href=links.model(other, below), here=other == name)
            for other in (look.rooms if several else ())
        ),
        tabs=tuple(
            Link(text=text, href=links.model(name, path), here=text == page.tab)
            for text, path in (tabs if name else ())
        ),
        read_at=words.moment(now, now),
        feed=links.with_query("/events", model=name) if page.live else "",
        refresh_s=REFRESH_S if page.live else 0,
        csrf=visitor.token,
        who=who,
        leaves=visitor.session is not None,
    )


def here_below(page: Page) -> str:
    """Return the path below a model where the same page of another model is; its first page where none is the same."""
    rest = page.path.removeprefix("/models/{model}").lstrip("/")
    return "" if page.path == "/models" or "{" in rest else rest


def bare_frame(visitor: Visitor | None, *, title: str, now: datetime) -> Frame:
    """Return the frame of a page that belongs to no model: what went wrong, who is asked to log in."""
    return Frame(
        title=title,
        crumbs=(),
        models=(),
        tabs=(),
        read_at=words.moment(now, now),
        feed="",
        refresh_s=0,
        csrf=visitor.token if visitor else "",
        who="",
        leaves=False,
    )
