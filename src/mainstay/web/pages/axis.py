"""A model over time: the page around the plots, and the document that they are drawn from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mainstay.viewing.axis import Axis
from mainstay.viewing.plots import Line
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.axis import Drawn, Over
from mainstay.web.shown.parts import Cell, Column, Link, Table
from mainstay.web.words import counted, length

SPANS = (
    ("1 hour", timedelta(hours=1)),
    ("6 hours", timedelta(hours=6)),
    ("1 day", timedelta(days=1)),
    ("7 days", timedelta(days=7)),
    ("30 days", timedelta(days=30)),
)
HEAT = "heat"
HEAT_NOTE = "Mean of each signal against the version's reference, in its standard deviations; full colour from 2."


def page(look: Look) -> Over:
    """Read the stretch of time that the address names."""
    found = look.room.axis(look.moment("from"), look.moment("to"))
    return build(found, look.now(), given=look.query, with_series=look.query.get("csv") == "series")


def document(look: Look) -> dict[str, Any]:
    """Return what the plots are drawn from, JSON-ready."""
    return figures(look.room.axis(look.moment("from"), look.moment("to")))


def build(found: Axis, now: datetime, *, given: Any = (), with_series: bool = False) -> Over:
    """Return the page's context."""
    model, span = found.model, found.span
    chosen = {name: dict(given).get(name, "") for name in ("from", "to")}
    plots = [Drawn(id=plot.id, title=plot.title, note=plot.note) for plot in found.plots]
    if found.heat.names:
        place = next((i for i, plot in enumerate(plots) if plot.id == "confidence"), len(plots))
        plots.insert(place, Drawn(id=HEAT, title="Inputs against the reference", note=HEAT_NOTE))
    read = "each is read" if found.read == found.blocks else f"of which {counted(found.read)}, evenly picked, are read"
    return Over(
        model=model,
        told=f"{counted(found.rows)} answers in {counted(found.blocks)} blocks, {read}; "
        f"a point is {length(span.step)}.",
        spans=tuple(
            Link(
                text=text,
                href=links.model(model, "time", from_=_text(now - back)),
                here=not chosen["to"] and abs((span.end - span.begin) - back) < span.step * 2,
            )
            for text, back in SPANS
        ),
        begin_value=_text(span.begin),
        end_value=_text(span.end),
        document=links.model(model, "axis.json", from_=chosen["from"], to=chosen["to"]),
        requests=links.model(model, "predictions"),
        plots=tuple(plots),
        empty=""
        if plots
        else "Nothing was seen in this time. Choose another one, or send requests: a block closes after "
        "32 requests or more, or after a few minutes.",
        marks=_marks(found, now),
        series=_series(found if with_series else None, model, chosen),
    )


def figures(found: Axis) -> dict[str, Any]:
    """Return the document: times in seconds since 1970, one value for each point, null where nothing is known."""
    return {
        "from": found.span.begin.timestamp(),
        "to": found.span.end.timestamp(),
        "step": found.span.step.total_seconds(),
        "x": [start.timestamp() for start in found.span.starts()],
        "plots": [
            {
                "id": plot.id,
                "title": plot.title,
                "unit": plot.unit,
                "kind": plot.kind,
                "lines": [_line(line) for line in plot.lines],
            }
            for plot in found.plots
        ],
        "heat": {"names": found.heat.names, "rows": found.heat.rows, "far": found.heat.far},
        "marks": [
            {
                "kind": mark.kind,
                "at": mark.at.timestamp(),
                "until": None if mark.until is None else mark.until.timestamp(),
                "text": mark.text,
                "tone": mark.tone,
                "href": _href(found.model, mark.kind, mark.number),
            }
            for mark in found.marks
        ],
    }


def _line(line: Line) -> dict[str, Any]:
    return {"name": line.name, "values": line.values, "low": line.low or None, "high": line.high or None}


def _href(model: str, kind: str, number: int) -> str:
    return links.incident(model, number) if kind == "incident" else links.version(model, number)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def _marks(found: Axis, now: datetime) -> Table:
    return Table(
        id="marks",
        caption=f"What happened to {found.model}",
        columns=(Column(name="When"), Column(name="Until"), Column(name="What"), Column(name="")),
        rows=tuple(
            (
                tables.exact(mark.at, now),
                Cell(text="goes on")
                if mark.kind == "incident" and mark.until is None
                else tables.exact(mark.until, now),
                Cell(text=mark.kind, tone=mark.tone),
                Cell(text=mark.text, href=_href(found.model, mark.kind, mark.number)),
            )
            for mark in reversed(found.marks)
        ),
        empty="No incident and no release in this time.",
        csv=links.model(found.model, "time", from_=_text(found.span.begin), to=_text(found.span.end), csv="marks"),
    )


def _series(found: Axis | None, model: str, chosen: dict[str, str]) -> Table:
    lines = [(plot, line) for plot in found.plots for line in plot.lines] if found else []
    heat = list(zip(found.heat.names, found.heat.rows, strict=True)) if found else []
    names = [f"{plot.id}: {line.name}" for plot, line in lines] + [f"σ {name}" for name, _ in heat]
    values = [line.values for _, line in lines] + [row for _, row in heat]
    rows = []
    if found:
        for i, start in enumerate(found.span.starts()):
            cells = [Cell(text="" if one[i] is None else repr(one[i])) for one in values]
            rows.append((Cell(text=start.isoformat()), *cells))
    return Table(
        id="series",
        caption=f"{model} over time",
        columns=(Column(name="time"), *(Column(name=name, number=True) for name in names)),
        rows=tuple(rows),
        empty="",
        csv=links.model(model, "time", from_=chosen["from"], to=chosen["to"], csv="series"),
    )
