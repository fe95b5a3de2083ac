"""`mainstay score`: a file of rows in, a file of answers out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge
from mainstay.config.clocks import SystemClock

if TYPE_CHECKING:
    from mainstay.core.ports import Progress
    from mainstay.score.records import Pace, Report, Tell

ON_TERMINAL_S, IN_FILE_S = 0.3, 10.0
"""How often progress is shown (seconds)."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "score")(score)


def score(
    call: edge.Call,
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rows: .csv, .parquet, .ndjson or .jsonl.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Answers, by suffix; may be of another kind.")],
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Else the version that answers now.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Column that names each row; else run and row number.")
    ] = None,
    bad: Annotated[
        Path | None, typer.Option("--bad", metavar="FILE", help="Where bad rows go; else OUT.bad.ndjson.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="COLUMN", help="A column that is no field; again for more, '*' for all."),
    ] = None,
    watch: Annotated[
        bool | None,
        typer.Option("--watch/--no-watch", help="Write the rows into the journal; else if the version answers now."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew: forget an unfinished run, replace OUT if it is there.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Even by a version whose gate did not pass.")] = False,
) -> None:
    """Answer every row of a file.

    One row out for each row in, in order, with the answers that serving would give. A file may be larger than memory.
    Killed at any moment, the same command goes on where it stopped and ends with the same file. Rows that break the
    contract have no answer, a status that says so, and their reasons in the file of bad rows. The watch sees the rows
    like live traffic.

    \b
    Example:
      mainstay score july.csv july-answers.parquet --id order_id
      mainstay score july.csv again.csv --version 2 --no-watch
    """
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    number = None if version is None else version_number(version, model=project.name)
    with call.out.progress() as progress, _told_if_interrupted(call):
        report = project.score(
            source,
            target,
            version=number,
            id_column=id_column,
            bad=bad,
            ignore=tuple(ignore or ()),
            watch=watch,
            fresh=fresh,
            force=force,
            tell=_seldom(progress),
        )
    call.out.document(report)
    call.out.say(*_lines(report))


@contextmanager
def _told_if_interrupted(call: edge.Call) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        call.out.note("What is done is kept: the same command goes on with it.")
        raise


def _seldom(progress: Progress) -> Tell:
    """Return what shows how far a batch is, seldom enough to be read."""
    clock = SystemClock()
    every_s = ON_TERMINAL_S if sys.stderr.isatty() else IN_FILE_S
    shown_at = clock.monotonic()

    def tell(pace: Pace) -> None:
        nonlocal shown_at
        now = clock.monotonic()
        if pace.step == "scoring" and now - shown_at < every_s:
            return
        shown_at = now
        progress(str(pace), int(pace.share * 1000) if sys.stderr.isatty() else 0, 1000 if sys.stderr.isatty() else 0)

    return tell


def _lines(report: Report) -> list[str]:
    counts = ", ".join(f"{count:,} {status}" for status, count in report.counts.items() if count)
    lines = [f"{report.rows:,} rows answered by {report.bundle}: {counts}."]
    if report.resumed_at:
        lines.append(f"Went on at row {report.resumed_at:,}; an earlier run had done the rows before.")
    lines.append(f"answers    {report.target}")
    if report.bad is not None:
        lines.append(f"bad rows   {report.bad}, with their reasons")
    if report.ignored:
        lines.append(f"not read   {', '.join(report.ignored)}")
    lines.append(f"watch      {report.watched}")
    lines.append(f"time       {report.seconds:,.1f} s, {report.rows_per_s:,.0f} rows/s")
    return lines
