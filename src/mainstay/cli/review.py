"""`mainstay review`: which requests to label next, and what the labels say of all traffic."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.release import who

HELP = "Label what teaches most, and know what the labels say of all.\n\n\b\nExample:\n  mainstay review draw 50"
SHOWN = 70


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "draw")(draw)
    edge.command(group, "list")(list_)
    edge.command(group, "label")(label)
    edge.command(group, "estimate")(estimate)
    app.add_typer(group, name="review")


def draw(
    call: edge.Call,
    count: Annotated[int, typer.Argument(metavar="N", help="About so many requests.")],
    random: Annotated[float, typer.Option("--random", metavar="SHARE", help="Part that is a random one of all.")] = 0.5,
) -> None:
    """Pick requests of the last seven days to be labelled.

    Part of them is a random part of all, the rest those that the model is least sure of. With what probability each was
    picked is kept, so that estimates stay unbiased.

    \b
    Example:
      mainstay review draw 50
      mainstay review draw 200 --random 1
    """
    from mainstay.project import Project

    found = Project.open(call.project).review_draw(count, random_share=random)
    call.out.document(found)
    call.out.say(f"{found.picked} of {found.of:,} requests were picked (draw {found.batch}): mainstay review list")


def list_(
    call: edge.Call, limit: Annotated[int, typer.Option("--limit", metavar="N", help="Most that are shown.")] = 20
) -> None:
    """List picked requests without a label, those about which people disagree first.

    \b
    Example:
      mainstay review list --limit 50
      mainstay review list --json | jq -r '.[].id'
    """
    from mainstay.project import Project

    found = Project.open(call.project).review_open(limit=limit)
    call.out.document(found)
    rows = [
        (
            one.id,
            one.reason,
            str(one.answered),
            "" if one.confidence is None else f"{one.confidence:.2f}",
            "; ".join(f"{by or 'somebody'}: {value}" for by, value in one.said)
            or ", ".join(f"{name}={value}" for name, value in one.inputs.items())[:SHOWN],
        )
        for one in found
    ]
    titles = ("id", "why", "answered", "confidence", "inputs, or who said what")
    call.out.say(output.table("", titles, rows) if rows else "Nothing waits: mainstay review draw N picks more.")


def label(
    call: edge.Call,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the request.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What was right.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so; by default who is logged in.")] = "",
) -> None:
    """Label one request; who said it and when is kept, and the newest of several counts.

    \b
    Example:
      mainstay review label 0f3a91 leak
    """
    from mainstay.core import errors
    from mainstay.project import Project

    told = Project.open(call.project).feedback([{"id": id_, "label": value}], by=by or who())
    call.out.document(told)
    if told.refused:
        raise errors.ContractViolation(f"the label for {id_} was refused", problems=told.refused)
    call.out.say(f"{id_} is {value}, says {by or who()}.")


def estimate(
    call: edge.Call,
    version: Annotated[str, typer.Option("--version", metavar="NAME", help="Of one version, as name@3.")] = "",
) -> None:
    """Tell what the labels of picked requests say of all traffic.

    Weighed by one over the probability with which each was picked (Hájek's estimator, intervals by key), and beside it
    with the model's own confidence corrected by the labels.

    \b
    Example:
      mainstay review estimate
    """
    from mainstay.project import Project

    found = Project.open(call.project).review_estimate(version)
    call.out.document(found)
    lines = [f"{found.labelled} of {found.picked} picked requests have a label; {found.disagreed} in different ways."]
    if found.weighted is None:
        lines.append("Too few to tell how many answers are right.")
    else:
        w = found.weighted
        lines.append(f"Right, of all traffic: {w.value:.1%} ({w.low:.1%} to {w.high:.1%}).")
        lines.append(f"As they came, of what was picked: {found.plain:.1%}: that speaks for nothing but itself.")
    if found.assisted is not None:
        value, low, high = found.assisted
        lines.append(f"With confidence, corrected: {value:.1%} ({low:.1%} to {high:.1%}).")
    if found.unlabelled:
        lines.append(
            f"Nobody labelled an answer {', '.join(found.unlabelled)}: labels may exist only for what was chosen so."
        )
    call.out.say(*lines)
