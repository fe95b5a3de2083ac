"""`mainstay review`: which requests to label next, and what the labels say of all traffic."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.release import who

HELP = "Label what teaches most, and know what the labels say of all.\n\n\b\nExample:\n  mainstay review draw 50"
SHOWN = 70
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the request.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Who says so; by default who is logged in.")]


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "draw")(draw)
    edge.command(group, "list")(list_)
    edge.command(group, "label")(label)
    edge.command(group, "unsure")(unsure)
    edge.command(group, "skip")(skip)
    edge.command(group, "undo")(undo)
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

    found = Project.open(call.project).review_draw(count, by=who(), random_share=random)
    call.out.document(found)
    call.out.say(f"{found.picked} of {found.of:,} requests were picked (draw {found.batch}): mainstay review list")


def list_(
    call: edge.Call,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="Most that are shown.")] = 20,
    by: Annotated[str, typer.Option("--for", metavar="NAME", help="As it is for one person.")] = "",
) -> None:
    """List picked requests without a label, those about which people disagree first.

    For one person without those of which they are not sure or had the last word, and what they skipped comes last.

    \b
    Example:
      mainstay review list --limit 50
      mainstay review list --for ada
      mainstay review list --json | jq -r '.[].id'
    """
    from mainstay.project import Project

    found = Project.open(call.project).review_queue(by=by, limit=limit).open
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
    id_: Id,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What was right.")],
    by: By = "",
) -> None:
    """Label one request; who said it and when is kept, and the newest of several counts.

    \b
    Example:
      mainstay review label 0f3a91 leak
    """
    from mainstay.project import Project

    call.out.document(Project.open(call.project).review_label(id_, value, by=by or who()))
    call.out.say(f"{id_} is {value}, says {by or who()}.")


def unsure(call: edge.Call, id_: Id, by: By = "") -> None:
    """Write down that you looked and can't tell.

    It does not wait for you any more, only for others; the estimate says between what limits the truth lies whatever
    is true of such requests.

    \b
    Example:
      mainstay review unsure 0f3a91
    """
    from mainstay.project import Project
    from mainstay.store.reviews import MarkKind

    Project.open(call.project).review_mark(id_, MarkKind.UNSURE, by=by or who())
    call.out.document({"id": id_, "by": by or who(), "mark": MarkKind.UNSURE})
    call.out.say(f"{by or who()} can't tell what {id_} is.")


def skip(call: edge.Call, id_: Id, by: By = "") -> None:
    """Put a request off: it comes again when nothing else waits for you.

    \b
    Example:
      mainstay review skip 0f3a91
    """
    from mainstay.project import Project
    from mainstay.store.reviews import MarkKind

    Project.open(call.project).review_mark(id_, MarkKind.SKIPPED, by=by or who())
    call.out.document({"id": id_, "by": by or who(), "mark": MarkKind.SKIPPED})
    call.out.say(f"{id_} comes again later.")


def undo(call: edge.Call, id_: Id, by: By = "") -> None:
    """Take back what you said last of a request: a label, that you are not sure, or that it comes later.

    What others said of it counts as before.

    \b
    Example:
      mainstay review undo 0f3a91
    """
    from mainstay.project import Project

    what = Project.open(call.project).review_undo(id_, by=by or who())
    call.out.document({"id": id_, "by": by or who(), "taken_back": what})
    call.out.say(f"Taken back: {what}.")


def estimate(
    call: edge.Call,
    version: Annotated[str, typer.Option("--version", metavar="NAME", help="Of one version, as name@3.")] = "",
) -> None:
    """Tell what the labels of picked requests say of all traffic.

    Weighed by one over the probability with which each was picked (Hájek's estimator, intervals by key), and beside it
    with the model's own confidence corrected by the labels; and between what limits it lies whatever is true of what
    nobody could tell.

    \b
    Example:
      mainstay review estimate
    """
    from mainstay.project import Project
    from mainstay.review import estimates

    found = Project.open(call.project).review_estimate(version)
    call.out.document(found)
    call.out.say(*estimates.sentences(found))
