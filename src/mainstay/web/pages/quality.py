"""How good the answers were by day and by segment: estimated, with few labels, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mainstay.watch.quality_records import QualityReport, Value, Window
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.data import Quality
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import spaced

SPAN = timedelta(days=14)


def page(look: Look) -> Quality:
    """Read how good the answers were of late."""
    return build(look.model, look.room.quality(look.now() - SPAN))


def build(model: str, found: QualityReport) -> Quality:
    """Return the page's context."""
    held = ", ".join(f"{spaced(name)} {value:.3g}" for name, value in found.held_out.items())
    part = "" if found.complete else " There is too much to tell all: the newest is."
    here = links.model(model, "quality")
    all_ = (*found.windows, found.whole)
    return Quality(
        told=f"{found.version} by {found.every}, two weeks at most{f'; held out: {held}' if held else ''}.{part}",
        windows=_windows("windows", f"Quality of {found.version} by {found.every}", all_, here),
        segments=_windows("segments", f"Quality of {found.version} by segment", found.segments, here),
        assumption=found.assumption,
        unknown=found.unknown,
    )


def _windows(id_: str, caption: str, found: Sequence[Window], here: str) -> Table:
    names = ("Rows", "Labels", "Estimated", "With few labels", "Measured")
    return Table(
        id=id_,
        caption=caption,
        columns=(
            Column(name="Window" if id_ == "windows" else "Segment"),
            Column(name="Metric"),
            *(Column(name=name, number=True) for name in names),
            Column(name="To be doubted", quiet=True),
        ),
        rows=tuple(
            (
                Cell(text=window.name),
                Cell(text=spaced(line.metric)),
                tables.count(window.rows),
                tables.count(window.labels),
                *(_value(value) for value in (line.estimated, line.few_labels, line.measured)),
                Cell(text="; ".join(window.warnings) if window.rows else ""),
            )
            for window in found
            for line in window.lines
        ),
        empty="Nothing was seen by the watch yet, and no labels came."
        if id_ == "windows"
        else "No segment is declared in the contract, or none has reference rows enough.",
        csv=f"{here}?csv={id_}",
    )


def _value(found: Value | None) -> Cell:
    if found is None:
        return Cell(text="–", plain=" ")
    known = found.low is not None and found.high is not None
    return Cell(
        text=f"{found.value:.3f}",
        plain=repr(found.value),
        note=f"{found.low:.3f} to {found.high:.3f}" if known else "",
    )
