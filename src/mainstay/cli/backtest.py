"""`mainstay backtest`: would you have told me?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mainstay.cli import edge
from mainstay.core import errors
from mainstay.core.incidents import Severity


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "backtest")(backtest)


def backtest(
    call: edge.Call,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="A CSV, Parquet or NDJSON file; without it, the project's own journal."),
    ] = None,
    time: Annotated[str | None, typer.Option("--time", metavar="C", help="Column with the time of each row.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="R",
            help="What the rest is compared with: a date (the rows before it), 30% (the first rows), or a file. By "
            "itself the first third.",
        ),
    ] = None,
    prediction: Annotated[
        str | None, typer.Option("--prediction", metavar="C", help="Column with what a model answered.")
    ] = None,
    probability: Annotated[
        str | None,
        typer.Option("--probability", metavar="C", help="Column with the probability of the prediction (0 to 1)."),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="C", help="Column with the truth.")] = None,
    label_after: Annotated[
        str | None,
        typer.Option("--label-after", metavar="T", help="How long after its row a label comes, such as 7d; else 24h."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="C", help="Column of the unit: its rows are not independent.")
    ] = None,
    segment: Annotated[
        list[str] | None, typer.Option("--segment", metavar="C", help="A column that divides traffic; may be repeated.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="C", help="A column to leave alone; may be repeated.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="C=KIND", help="What a column holds, if guessed wrongly; may be repeated."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", metavar="FILE", help="Known events (start, end, name): delay, precision and recall."),
    ] = None,
    min_severity: Annotated[
        Severity, typer.Option("--min-severity", help="With --truth: alerts below this severity are not counted.")
    ] = Severity.NOTE,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Replay nothing from before: 2026-11-20 or a time, UTC.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="T", help="Replay nothing from then on.")] = None,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="T", help="How often the watch looks: 6h, or live for after every block."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=V", help="A setting of the watch to try (watch.…); may be repeated."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one self-contained page.")
    ] = None,
) -> None:
    """Replay history through the watch: would you have told me?

    Tells which alerts there would have been and when; with known events (--truth) also how late, how many of the alerts
    were right and how many events were missed. The engine is that of the live watch, with its clock at the events'
    times. A file needs no project and no model. Without a file, the requests that the project served are replayed, each
    against the version that answered; --set tries other settings on them. Nothing is written but --html.

    \b
    Example:
      mainstay backtest history.csv --time timestamp
      mainstay backtest scored.parquet --time at --reference 2026-06-01 --prediction churn --probability p --label left
      mainstay backtest --set watch.material.number_sigma=0.1 --truth outages.csv
    """
    from mainstay.backtest import entry, times
    from mainstay.project import Project

    common: dict[str, Any] = {
        "known": truth,
        "least": min_severity,
        "since": None if since is None else times.moment_of(since, what="--since"),
        "until": None if until is None else times.moment_of(until, what="--until"),
        "every": every if every is None or every == "live" else times.lasting(every, what="--every"),
        "settings": settings_of(set_ or []),
    }
    of_a_file = {
        "--time": time,
        "--reference": reference,
        "--prediction": prediction,
        "--probability": probability,
        "--label": label,
        "--label-after": label_after,
        "--key": key,
        "--segment": segment,
        "--ignore": ignore,
        "--kind": kind,
    }
    if file is None and (given := [option for option, value in of_a_file.items() if value]):
        raise errors.UsageError(
            f"{given[0]} speaks of a file, and none is named; the journal knows its own times, keys and answers",
            remedy="Name the file first: mainstay backtest history.csv …",
        )
    with call.out.progress() as progress:
        if file is None:
            settings = common.pop("settings")
            result = Project.open(call.project, flags=settings).backtest(settings=settings, progress=progress, **common)
        else:
            result = entry.of_file(
                file,
                time=time,
                reference=reference,
                prediction=prediction,
                probability=probability,
                label=label,
                label_after=None if label_after is None else times.lasting(label_after, what="--label-after"),
                key=key,
                segments=segment or (),
                ignore=ignore or (),
                kinds=dict(_pair(text, "--kind", "zip_code=category") for text in kind or []),
                progress=progress,
                **common,
            )
    written = result.html(html) if html is not None else None
    call.out.document({**result.as_dict(), "html": written})
    call.out.say(str(result))
    if written is not None:
        call.out.note(f"The report is in {written}.")


def settings_of(given: list[str]) -> dict[str, str]:
    """Return `watch.…=value` texts as settings by dotted key."""
    found = dict(_pair(text, "--set", "watch.material.number_sigma=0.1") for text in given)
    for key in found:
        if not key.startswith("watch."):
            raise errors.UsageError(
                f"--set {key!r} is no setting of the watch; nothing else takes part in a replay",
                remedy="Write it so: --set watch.material.number_sigma=0.1",
            )
    return found


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, sign, value = text.partition("=") if option == "--set" else text.rpartition("=")
    if not sign or not name:
        raise errors.UsageError(f"{option} {text!r} has no name and value", remedy=f"Write it so: {option} {example}")
    return name, value
