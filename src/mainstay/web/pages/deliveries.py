"""What was asked of deliveries before anything was fitted to them: all, and one in full."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mainstay.viewing.deliveries import Asked, Delivered
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.data import Delivery
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import counted, moment, spaced

SAID = {"pass": ("holds", "good"), "fail": ("does not hold", "bad"), "not_enough": ("not enough", "open")}
MOST_CHARS = 200


def table(found: Sequence[Delivered], model: str, now: datetime) -> Table:
    """Return deliveries as a table, newest first."""
    return Table(
        id="deliveries",
        caption=f"Deliveries of {model}, each as it was looked at before training",
        columns=(
            Column(name="Delivery"),
            Column(name="Looked at"),
            Column(name="Verdict"),
            Column(name="Training rows", number=True),
            Column(name="Broken rows", number=True),
            Column(name="What does not hold", quiet=True),
        ),
        rows=tuple(_delivery(one, model, now) for one in found),
        empty="None was looked at yet: training does it first, mainstay check --data at any time.",
        csv=links.model(model, "data", csv="deliveries"),
    )


def _delivery(one: Delivered, model: str, now: datetime) -> tuple[Cell, ...]:
    word, tone = verdict_of(one)
    bad = [f"{spaced(check.name)}: {check.reason}" for check in one.checks if check.applies and check.verdict == "fail"]
    return (
        Cell(text=one.id[:12], plain=one.id, code=True, href=links.model(model, f"data/deliveries/{one.id}")),
        tables.time(one.at, now),
        Cell(text=word, tone=tone),
        _rows(one, "train"),
        _rows(one, "broken"),
        Cell(text=short("; ".join(bad)) or "–", plain="; ".join(bad)),
    )


def _rows(one: Delivered, name: str) -> Cell:
    return tables.count(one.rows[name]) if name in one.rows else Cell(text="–")


def verdict_of(one: Delivered) -> tuple[str, str]:
    """Return in a word how a delivery fared, and its tone."""
    told = [check.verdict for check in one.checks if check.applies]
    failed, open_ = told.count("fail"), told.count("not_enough")
    if failed:
        return f"{failed} of {len(told)} do not hold", "bad"
    return (f"{open_} of {len(told)} undecided", "open") if open_ else (f"all {len(told)} hold", "good")


def page(look: Look) -> Delivery:
    """Read what was asked of one delivery."""
    return build(look.model, look.room.delivery(look.params["delivery"]), look.now())


def build(model: str, found: Delivered, now: datetime) -> Delivery:
    """Return the page's context."""
    word, tone = verdict_of(found)
    names = {"train": "to train on", "test": "to test on", "last": "of the delivery before", "broken": "broken"}
    rows = ", ".join(f"{counted(found.rows[name])} {text}" for name, text in names.items() if name in found.rows)
    return Delivery(
        id=found.id,
        at=None if found.at is None else moment(found.at, now),
        verdict=word,
        tone=tone,
        told=f"Rows: {rows or 'not recorded'}.",
        checks=Table(
            id="checks",
            caption=f"What was asked of delivery {found.id[:12]}",
            columns=(
                Column(name="Check"),
                Column(name="Verdict"),
                Column(name="Question"),
                Column(name="Why", quiet=True),
            ),
            rows=tuple(
                (Cell(text=spaced(one.name)), _said(one), Cell(text=one.question), Cell(text=one.reason))
                for one in found.checks
            ),
            empty="Nothing was asked: [delivery] enabled is false.",
            csv=links.model(model, f"data/deliveries/{found.id}", csv="checks"),
        ),
        page=found.page,
    )


def _said(one: Asked) -> Cell:
    if not one.applies:
        return Cell(text="does not apply", tone="quiet")
    word, tone = SAID.get(one.verdict, (one.verdict, "quiet"))
    return Cell(text=word, tone=tone)


def short(text: str, most: int = MOST_CHARS) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
