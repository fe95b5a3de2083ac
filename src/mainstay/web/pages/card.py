"""A version's model card, as `mainstay card` writes it."""

from __future__ import annotations

from mainstay.modelcard import records
from mainstay.web import links
from mainstay.web.looks import Look
from mainstay.web.shown.card import Card, Section
from mainstay.web.shown.parts import Cell, Column, Table


def page(look: Look) -> Card:
    """Make the card of a version."""
    number = look.number("number")
    return build(look.room.card(number), links.version(look.model, number) + "/card")


def build(found: records.ModelCard, here: str) -> Card:
    """Return the page's context."""
    return Card(
        name=found.name,
        summary=found.summary,
        sections=tuple(
            Section(
                title=part.title,
                says=tuple(part.says),
                lists=tuple(part.lists),
                tables=tuple(_table(one, f"{i}-{j}", part.title, here) for j, one in enumerate(part.tables)),
            )
            for i, part in enumerate(found.parts)
        ),
    )


def _table(found: records.Table, id_: str, title: str, here: str) -> Table:
    return Table(
        id=id_,
        caption=found.caption or title,
        columns=tuple(Column(name=name) for name in found.head),
        rows=tuple(tuple(Cell(text=text) for text in row) for row in found.rows),
        empty="Nothing is known.",
        csv=f"{here}?csv={id_}",
    )
