"""A model over time."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Link, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One plot, which the browser draws from the document."""

    id: str
    title: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """Everything on one axis of time."""

    model: str
    told: str
    """How much the plots rest on, in a sentence."""
    spans: tuple[Link, ...]
    """Lengths of time to choose from."""
    begin_value: str
    """Of the form's fields, without a zone: UTC."""
    end_value: str
    document: str
    """Address of the figures."""
    requests: str
    """Address of the requests of a stretch of time, which `from` and `to` are added to."""
    plots: tuple[Drawn, ...]
    empty: str
    """What is said where nothing was seen, else empty."""
    marks: Table
    series: Table
    """The figures as a table: for its download, and filled for that alone."""
