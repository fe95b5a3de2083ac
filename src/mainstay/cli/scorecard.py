"""`mainstay scorecard`: how ready a model is for production, by evidence."""

from __future__ import annotations

from dataclasses import asdict

import typer

from mainstay.cli import edge, output


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "scorecard")(scorecard)


def scorecard(call: edge.Call) -> None:
    """Score how ready the model is, by evidence.

    All 28 tests of the ML Test Score (Breck et al. 2017), each 0, ½ or 1, and a practitioners' checklist, by what is
    held here: checks that passed, settings that are enforced, a watch that runs now. Nobody is asked, and nothing is
    believed. The score is the least of the four sections. Evidence about a version counts for 90 days, and each line
    says until when.

    \b
    Example:
      mainstay scorecard
      mainstay scorecard --json | jq '.tests[] | select(.score < 1) | .test'
    """
    from mainstay.project import Project
    from mainstay.scorecard.make import scorecard as make
    from mainstay.scorecard.records import Section

    card = make(Project.open(call.project))
    sections = {section.value: card.of(section) for section in Section}
    call.out.document(asdict(card) | {"sections": sections, "final": card.final, "reading": card.reading})
    rows = [
        (
            f"{one.section} {one.number}",
            one.test,
            f"{one.score:g}",
            one.evidence,
            f"{one.expires:%Y-%m-%d}" if one.expires else "",
        )
        for one in card.tests
    ]
    told = ", ".join(f"{name} {points:g}" for name, points in sections.items())
    call.out.say(
        f"{card.version or card.model}: ML Test Score {card.final:g} ({told}, of 7 each): {card.reading}.",
        output.table("ML Test Score", ("section", "test", "score", "evidence", "until"), rows),
        output.table(
            "Checklist",
            ("practice", "yes", "evidence"),
            [(one.what, "yes" if one.yes else "no", one.evidence) for one in card.practices],
        ),
    )
