"""The list of all models: those that need somebody first, each with a verdict and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from mainstay.core import errors
from mainstay.status.records import Health, Status
from mainstay.viewing.load import Load
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.models import Models
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import counted, length, percent, seconds, whole_percent

WORST_FIRST = (Health.UNWELL, Health.WATCH, Health.UNKNOWN, Health.WELL)
TONES = {Health.UNWELL: "bad", Health.WATCH: "open", Health.UNKNOWN: "quiet", Health.WELL: "good"}
NAMES = (
    "Model",
    "",
    "Since",
    "Why",
    "Accuracy",
    "Promised",
    "Last day",
    "p99",
    "Bad",
    "Open",
    "Answers",
    "On its way",
    "Watch",
)
NUMBERS = frozenset({"Accuracy", "Promised", "Last day", "p99", "Bad", "Open"})


def page(look: Look) -> Models:
    """Read every model; one whose store is away keeps no other from being shown."""
    found: list[tuple[str, Status | None, Load, str]] = []
    for name, room in look.rooms.items():
        try:
            found.append((name, *room.told(), ""))
        except errors.MainstayError as error:
            found.append((name, None, Load(), error.message))
    return build(found)


def build(found: Sequence[tuple[str, Status | None, Load, str]]) -> Models:
    """Return the page's context."""
    order = sorted(found, key=lambda one: (WORST_FIRST.index(_health(one[1])), one[0]))
    counts = Counter(_health(status) for _, status, _, _ in found)
    told = ", ".join(f"{counts[health]} {health.value}" for health in WORST_FIRST if counts[health])
    return Models(
        word=_health(order[0][1]).value,
        told=f"{len(found)} models: {told}.",
        table=Table(
            id="models",
            caption="Models",
            columns=tuple(Column(name=name, number=name in NUMBERS, quiet=name == "Why") for name in NAMES),
            rows=tuple(_row(name, status, load, why) for name, status, load, why in order),
            empty="There is no model here. mainstay init makes one to try.",
            csv="/models?csv=models",
            note="Accuracy: on labels where some came, else estimated from confidence. Bad: calls that broke the error "
            "budget's promise in the last day; where none is declared, those of the newest blocks that failed.",
        ),
    )


def _health(status: Status | None) -> Health:
    return Health.UNKNOWN if status is None else status.summary.health


def _row(name: str, status: Status | None, load: Load, why: str) -> tuple[Cell, ...]:
    link = Cell(text=name, href=links.model(name))
    if status is None:
        none = Cell(text="–")
        return (link, Cell(text="unknown", tone="quiet"), none, Cell(text=why), *[none] * (len(NAMES) - 4))
    now, health, who, way = status.at, status.summary.health, status.answering, status.rollout
    return (
        link,
        Cell(text=health.value, tone=TONES[health]),
        tables.time(status.summary.since, now),
        Cell(text=status.summary.why),
        _accuracy(status),
        _share(None if status.quality.held_out is None else status.quality.held_out.value),
        Cell(text=counted(load.rows), plain=str(load.rows)),
        Cell(
            text="–" if load.p99_s is None else seconds(load.p99_s), plain="" if load.p99_s is None else str(load.p99_s)
        ),
        _bad(status, load),
        Cell(text=str(len(status.incidents)), href=links.model(name, "incidents") if status.incidents else ""),
        Cell(text="nobody" if who is None else f"version\N{NO-BREAK SPACE}{who.version}", note=_age(status, now)),
        Cell(
            text="–" if way is None else f"version\N{NO-BREAK SPACE}{way.version}",
            href="" if way is None else links.model(name, "rollout"),
            note="" if way is None else f"{way.stage.value.replace('_', ' ')}, {whole_percent(way.share)}",
        ),
        _watch(status, now),
    )


def _accuracy(status: Status) -> Cell:
    best = status.quality.real or status.quality.estimated
    if best is None:
        return Cell(text="–")
    interval = f"{percent(best.low)} to {percent(best.high)}" if best.low is not None and best.high is not None else ""
    return Cell(
        text=percent(best.value),
        plain=repr(best.value),
        note=f"{interval}, {'on labels' if status.quality.real else 'estimated'}".lstrip(", "),
    )


def _bad(status: Status, load: Load) -> Cell:
    """Return the share of bad calls: as the error budget counts them, else as the watch saw the newest blocks."""
    bad, of = (load.bad, load.calls) if load.calls else (status.traffic.failed, status.traffic.rows)
    return Cell(text=percent(bad / of), plain=repr(bad / of)) if of else Cell(text="–")


def _share(value: float | None) -> Cell:
    return Cell(text="–") if value is None else Cell(text=percent(value), plain=repr(value))


def _age(status: Status, now: datetime) -> str:
    who = status.answering
    mine = [line for line in status.releases if who is not None and line.version == who.version]
    return f"{length(now - mine[0].created_at)} old" if mine else ""


def _watch(status: Status, now: datetime) -> Cell:
    watching = status.watching
    if watching is None or watching.turn_at is None:
        return Cell(text="never ran", tone="open")
    if not watching.believable:
        return Cell(text="not to be believed", tone="open", note=watching.why_not)
    return tables.time(watching.turn_at, now)
