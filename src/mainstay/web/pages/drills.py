"""Drills: run one, watch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mainstay.web import links
from mainstay.web.drilling import Drill, Played
from mainstay.web.looks import Look
from mainstay.web.shown.drills import Drills, Offered, Run
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import spaced


def page(look: Look) -> Drills:
    """Read what can be run and what was."""
    known, played = look.room.drills()
    return build(look.model, known, played)


def build(model: str, known: Sequence[Drill], played: Sequence[Played]) -> Drills:
    """Return the page's context."""
    runs = any(one.is_running for one in played)
    here = links.model(model, "drills")
    return Drills(
        offered=tuple(
            Offered(
                name=one.name,
                title=one.title,
                question=one.question,
                expectations=one.expectations,
                href="" if runs else links.model(model, "do/drill", subject=one.name, back=here),
            )
            for one in known
        ),
        runs=tuple(_run(one, here) for one in played),
    )


def _run(one: Played, here: str) -> Run:
    word, tone = "broken off", "open"
    if one.is_running:
        word, tone = "runs", "open"
    elif one.report is not None:
        found = _list(one.report.get("found"))
        missed = [line for line in found if not line.get("held")]
        word, tone = (f"missed {len(missed)} of {len(found)}", "bad") if missed else ("passed", "good")
    return Run(name=one.name, word=word, tone=tone, found=_found(one, here), log="\n".join(one.lines))


def _list(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _found(one: Played, here: str) -> Table:
    id_ = f"drill-{one.name}"
    return Table(
        id=id_,
        caption=f"What had to happen in {one.name}",
        columns=(
            Column(name=""),
            Column(name="Expected"),
            Column(name="Deadline"),
            Column(name="Seen", quiet=True),
            Column(name="Verdict"),
        ),
        rows=tuple(
            (
                Cell(text=spaced(str(line.get("kind", "")))),
                Cell(text=str(line.get("text", ""))),
                Cell(text=str(line.get("deadline", ""))),
                Cell(text=str(line.get("seen", ""))),
                Cell(text="held", tone="good") if line.get("held") else Cell(text="missed", tone="bad"),
            )
            for line in _list(None if one.report is None else one.report.get("found"))
        ),
        empty="What it found is told at its end."
        if one.is_running
        else "It ended before it found anything: it was stopped or could not run. Read its last words; run it again.",
        csv=f"{here}?csv={id_}",
    )
