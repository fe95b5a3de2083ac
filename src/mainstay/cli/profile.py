"""`mainstay profile`: a look at the data before anything is trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "profile", on_project=False)(profile)


def profile(
    call: edge.Call,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A CSV, Parquet or NDJSON file, or a pattern of several.")
    ],
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="NAME", help="Column that is to be told; leaks are looked for then."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the page goes; else NAME-profile.html, here.")
    ] = None,
) -> None:
    """Look at a file before modelling: one page of what it holds.

    Needs no project. Types, distributions, missing and far-out values, what goes together, texts and their words, the
    target, columns that may know the answer, copies, identifiers, what looks personal. Counts are of all rows;
    whatever was looked at in a sample says so.

    \b
    Example:
      mainstay profile data/train.csv --target churned
      mainstay profile 'june/*.parquet' --out june.html --json | jq .findings
    """
    from mainstay.config.clocks import clock_from
    from mainstay.profiling import page, plain
    from mainstay.profiling.profile import profile as look

    with call.out.progress() as progress:
        found = look(data, target=target, now=clock_from(os.environ).now(), progress=progress)
    written = page.write(found, out if out is not None else Path(page.file_name(data)))
    call.out.document({"html": written, "profile": found})
    call.out.say(plain.report(found))
    call.out.note(f"The page is {written}.")
