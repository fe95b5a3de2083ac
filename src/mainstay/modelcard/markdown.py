"""A card as Markdown; what stands in it is text and never markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mainstay.core.showable import showable
from mainstay.modelcard.records import ModelCard, Table

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~])")


def document(card: ModelCard) -> str:
    """Return the card, ending in a line end."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: ModelCard) -> Iterator[str]:
    yield f"# {_text(card.name)}"
    yield ""
    yield _text(card.summary)
    for part in card.parts:
        yield ""
        yield f"## {_text(part.title)}"
        for sentence in part.says:
            yield ""
            yield _text(sentence)
        if part.lists:
            yield ""
            yield from (f"- {_text(one)}" for one in part.lists)
        for table in part.tables:
            yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield ""
    if table.caption:
        yield f"**{_text(table.caption)}**"
        yield ""
    yield _row(table.head)
    yield "|" + "---|" * len(table.head)
    for row in table.rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(value: str) -> str:
    """Return text on one line with what Markdown would read as markup escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(showable(value).split()))
