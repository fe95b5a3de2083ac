"""`mainstay compare`: are two files of one population, and what moved?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "compare", on_project=False)(compare)


def compare(
    call: edge.Call,
    reference: Annotated[str, typer.Argument(metavar="A", help="The reference: a CSV, Parquet or NDJSON file.")],
    current: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.")],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one self-contained page.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="K", help="Column of the unit: its rows are not independent.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="T", help="Column with the truth.")] = None,
    prediction: Annotated[
        str | None, typer.Option("--prediction", metavar="P", help="Column with a class, probability or number.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", metavar="C", help="Column with the time of each row.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="F", help="A column to leave alone; may be repeated.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="F=KIND", help="What a column holds, if guessed wrongly; may be repeated."),
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="How often one population may be called different.")] = 0.05,
    fail: Annotated[
        bool, typer.Option("--fail-on-difference", help="Exit code 4 if different, 5 if there are too few rows.")
    ] = False,
) -> None:
    """Compare two files: the verdict first, then what moved.

    Needs no project and no configuration. Numbers, categories, texts, gaps, ranges and new values are compared field
    by field, and all fields together; identifiers and times are told apart and not called drift. A difference counts
    where it is no chance and large enough to matter (0.05 standard deviations, 2 points of share).

    With --target and --prediction it tells quality then and now. Exit code 0, also when different, unless
    --fail-on-difference is given.

    \b
    Example:
      mainstay compare march.parquet april.parquet
      mainstay compare reference.csv current.csv --key customer_id --html report.html
      mainstay compare train.csv live.ndjson --json | jq '.verdict'
    """
    from mainstay.comparison import plain
    from mainstay.comparison.compare import compare as compare_data

    with call.out.progress() as progress:
        result = compare_data(
            reference,
            current,
            target=target,
            prediction=prediction,
            key=key,
            time=time,
            ignore=tuple(ignore or ()),
            kinds=_kinds(kind or []),
            alpha=alpha,
            progress=progress,
        )
    written = result.html(html) if html is not None else None
    call.out.document({**result.as_dict(), "html": written})
    call.out.say(plain.report(result))
    if written is not None:
        call.out.note(f"The report is in {written}.")
    if fail and result.verdict != "same":
        different = result.verdict == "different"
        code = errors.ExitCode.GATE_FAILED if different else errors.ExitCode.NOT_ENOUGH_EVIDENCE
        raise typer.Exit(int(code))


def _kinds(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, sign, kind = text.rpartition("=")
        if not sign or not name:
            raise errors.UsageError(
                f"--kind {text!r} has no column and kind", remedy="Write it so: --kind zip_code=category."
            )
        found[name] = kind
    return found
