"""What the watch told of a model: what goes on, what is over, and whether it was useful."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mainstay.core.incidents import OPEN, Severity
from mainstay.oncall.incidents import Listed, Precision
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.incidents import Incidents
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import percent, spaced

TONES = {Severity.PAGE: "bad", Severity.WATCH: "open", Severity.NOTE: "quiet"}


def page(look: Look) -> Incidents:
    """Read all incidents."""
    return build(look.model, look.room.incidents(all_=True), look.room.precision(), look.now())


def build(model: str, found: Sequence[Listed], marked: Sequence[Precision], now: datetime) -> Incidents:
    """Return the page's context."""
    open_ = [one for one in found if one.incident.state in OPEN]
    over = [one for one in found if one.incident.state not in OPEN]
    return Incidents(
        going_on=_table(
            open_,
            model,
            "open",
            f"Open incidents of {model}",
            now,
            empty="None is open. What the watch finds is told here, with since when, why, and what to do.",
        ),
        over=_table(over, model, "over", f"Past incidents of {model}", now, empty="None was there before."),
        precision=Table(
            id="precision",
            caption=f"Precision of the monitors of {model}",
            columns=(
                Column(name="Monitor"),
                Column(name="Incidents", number=True),
                Column(name="Marked", number=True),
                Column(name="Useful", number=True),
                Column(name="Precision", number=True),
            ),
            rows=tuple(_precision(one) for one in marked if one.incidents),
            empty="No incident was there yet. Marking one as useful or not tells which monitors are worth their noise.",
            csv=links.model(model, "incidents", csv="precision"),
        ),
    )


def _table(found: Sequence[Listed], model: str, id_: str, caption: str, now: datetime, *, empty: str) -> Table:
    names = ("", "Incident", "Severity", "Harm", "State", "Began", "Noticed", "Version", "Useful")
    return Table(
        id=id_,
        caption=caption,
        columns=tuple(Column(name=name) for name in names),
        rows=tuple(_row(one, model, now) for one in found),
        empty=empty,
        csv=links.model(model, "incidents", csv=id_),
    )


def _row(one: Listed, model: str, now: datetime) -> tuple[Cell, ...]:
    found = one.incident
    silent = "" if one.silenced_until is None else "silenced"
    return (
        Cell(text=f"#{found.id}", plain=str(found.id), href=links.incident(model, found.id)),
        Cell(text=found.title, href=links.incident(model, found.id)),
        Cell(text=found.severity.value, tone=TONES[found.severity]),
        Cell(text=spaced(found.harm.value)),
        Cell(text=found.state.value, note=silent),
        tables.time(found.started_at, now),
        tables.time(found.opened_at, now),
        Cell(text=found.bundle),
        Cell(text="–" if one.mark is None else "yes" if one.mark.useful else "no"),
    )


def _precision(one: Precision) -> tuple[Cell, ...]:
    known = one.value is not None
    value = percent(one.value) if one.value is not None else "–"
    return (
        Cell(text=one.monitor),
        tables.count(one.incidents),
        tables.count(one.marked),
        tables.count(one.useful),
        Cell(text=value, note=f"{percent(one.low)} to {percent(one.high)}" if known else ""),
    )
