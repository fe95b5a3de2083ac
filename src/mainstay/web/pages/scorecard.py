"""How ready a model is for production, as `mainstay scorecard` tells it: what each line rests on, and until when."""

from __future__ import annotations

from mainstay.scorecard import records
from mainstay.web import links
from mainstay.web.looks import Look
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.shown.scorecard import Scorecard

TONES = {0.0: "bad", 0.5: "open", 1.0: "good"}
OF_EACH = 7


def page(look: Look) -> Scorecard:
    """Score the model by what is held of it now."""
    return build(look.room.scorecard(), look.model)


def build(card: records.Scorecard, model: str) -> Scorecard:
    """Return the page's context."""
    return Scorecard(
        final=f"{card.final:g}",
        reading=card.reading,
        of=f"of {card.version}" if card.version else "there is no version yet",
        sections=_table(
            "sections",
            "Sections",
            ("Section", "Points"),
            tuple(
                (Cell(text=one.value), Cell(text=f"{card.of(one):g} of {OF_EACH}", plain=f"{card.of(one):g}"))
                for one in records.Section
            ),
            model,
        ),
        tests=_table(
            "tests",
            "The 28 tests",
            ("Section", "Test", "Score", "Evidence", "Until", "More"),
            tuple(_test(one) for one in card.tests),
            model,
        ),
        practices=_table(
            "practices",
            "Checklist",
            ("Practice", "Yes", "Evidence"),
            tuple(
                (
                    Cell(text=one.what),
                    Cell(text="yes" if one.yes else "no", tone="good" if one.yes else "bad"),
                    Cell(text=one.evidence),
                )
                for one in card.practices
            ),
            model,
        ),
    )


def _test(one: records.Scored) -> tuple[Cell, ...]:
    until = Cell(text="as long as the project says so")
    if one.expires is not None:
        until = Cell(text=f"{one.expires:%Y-%m-%d}", plain=one.expires.isoformat())
    return (
        Cell(text=f"{one.section.value} {one.number}"),
        Cell(text=one.test),
        Cell(text={0.5: "½"}.get(one.score, f"{one.score:g}"), plain=f"{one.score:g}", tone=TONES[one.score]),
        Cell(text=one.evidence),
        until,
        Cell(text=one.link, code=True),
    )


def _table(id_: str, caption: str, names: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...], model: str) -> Table:
    return Table(
        id=id_,
        caption=caption,
        columns=tuple(Column(name=name) for name in names),
        rows=rows,
        empty="Nothing is known.",
        csv=links.model(model, "scorecard", csv=id_),
    )
