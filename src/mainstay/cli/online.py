"""`mainstay online`: what the model learned since it answers, and learning what waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge

if TYPE_CHECKING:
    from mainstay.online.told import Standing

HELP = "Let a model go on learning from labels, state after state.\n\n\b\nExample:\n  mainstay online status"


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "status")(status)
    edge.command(group, "learn")(learn)
    app.add_typer(group, name="online")


def status(call: edge.Call) -> None:
    """Tell what the online learner knows, how it did on each label before it learned it, and what waits.

    Beside its progressive score stands that of what was answered to the same requests. `newest` fades: about the last
    200 labels.

    \b
    Example:
      mainstay online status
      mainstay online status --json | jq .learner.newest
    """
    from mainstay.project import Project

    found = Project.open(call.project).online()
    call.out.document(found)
    call.out.say(*lines(found))


def lines(found: Standing) -> list[str]:
    """Return where a learner stands, as a person reads it."""
    off = "" if found.declared else " ([retrain] online is not set: the loop has it learn nothing)"
    mark = f", up to {found.mark:%Y-%m-%d %H:%M:%S} UTC" if found.mark is not None else ""
    told = [
        f"The learner {found.why}{off}.",
        f"{found.learned} labels learned since {found.root}, {found.since} of them since {found.version}{mark}; "
        f"{found.waiting} wait.",
    ]
    if found.aside:
        told.append(f"{found.aside} labels of what was taken back are set aside: mainstay online learn --again")
    if found.rows:
        told.append(
            f"{found.metric} over {found.rows} labels, each before it was learned: {_both(found.learner)}; "
            f"of what was answered: {_both(found.answered)}"
        )
    return told


def _both(score: Mapping[str, float | None]) -> str:
    every, newest = score["all"], score["newest"]
    return "not known" if every is None or newest is None else f"{every:.4g}, newest {newest:.4g}"


def learn(
    call: edge.Call,
    batch: Annotated[bool, typer.Option("--batch", help="Only if [retrain] online_batch labels wait.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also labels that were set aside with a version that was taken back.")
    ] = False,
) -> None:
    """Learn what waits, now: one batch, which becomes a state; nothing that answers changes.

    The guards of a retraining that say whether labels may be learned are asked first. Exit code 5: one of them has not
    enough to say yes, or says no.

    \b
    Example:
      mainstay online learn
      mainstay retrain          # have what was learned judged, and brought to users
    """
    from mainstay.core.errors import ExitCode
    from mainstay.project import Project

    found = Project.open(call.project).online_learn(batch=batch, again=again)
    state = found.state
    call.out.document(
        {
            "state": None if state is None else state.n,
            "learned": 0 if state is None else state.learned,
            "passed_over": {} if state is None else state.passed_over,
            "text": found.text,
        }
    )
    call.out.say(found.text)
    if found.against:
        raise typer.Exit(int(ExitCode.NOT_ENOUGH_EVIDENCE))
