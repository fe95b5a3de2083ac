"""`mainstay quality`: how good the answers are over time, three ways side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstay.watch.quality_records import QualityReport, Value, Window

HEAD = ("window", "answers", "labels", "metric", "estimated", "few labels", "measured")


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "quality")(quality)


def quality(
    call: edge.Call,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="A scorer of scikit-learn, e.g. f1_macro; may be repeated."),
    ] = None,
    every: Annotated[str, typer.Option("--every", help="Length of a window: hour, day, week or month.")] = "day",
    since: Annotated[
        datetime | None,
        typer.Option("--since", metavar="DATE", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="From when on, UTC."),
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", help="Of which version; by default the one that answers.")
    ] = None,
    segments: Annotated[bool, typer.Option("--segments", help="Show the declared segments too.")] = False,
) -> None:
    """Tell how good answers were, with and without labels.

    For each window of time, three ways side by side.

    Estimated: from calibrated probabilities, while a score means the same as on the reference rows (regression: from
    the error learned there). Few labels: all traffic, corrected by the labelled part, which must be a random one.
    Measured: on the labels that came. Intervals are 95 %, by key. An estimate that is not to be trusted says why.

    \b
    Example:
      mainstay quality
      mainstay quality --every week --metric balanced_accuracy --metric roc_auc
      mainstay quality --segments --json | jq '.windows[-1]'
    """
    from mainstay.project import Project

    moment = None if since is None else since.replace(tzinfo=UTC)
    found = Project.open(call.project).quality(metrics=tuple(metric or ()), every=every, since=moment, version=version)
    call.out.document(found)
    call.out.say(*lines(found, segments=segments))


def lines(found: QualityReport, *, segments: bool) -> list[RenderableType]:
    """Return the report for people."""
    held = ", ".join(f"{name} {value:.3g}" for name, value in found.held_out.items())
    head = f"{output.safe(found.version)}, windows of a {found.every}" + (f"; held out: {held}" if held else "")
    parts: list[RenderableType] = [head]
    if not found.complete:
        parts.append(
            "There are too many requests to tell all: only the newest are. A later --since tells whole windows."
        )
    shown = list(found.windows)
    if segments:
        shown += found.segments
    if not shown:
        parts.append("No answers were seen by the watch yet, and no labels came.")
    else:
        parts.append(output.table("", HEAD, [row for window in (*shown, found.whole) for row in _rows(window)]))
    for window in shown:
        parts += [f"{output.safe(window.name)}: {warning}." for warning in window.warnings if window.rows]
    return [*parts, found.assumption, f"Not known: {found.unknown}"]


def _rows(window: Window) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    for number, line in enumerate(window.lines):
        first = (output.safe(window.name), f"{window.rows:,}", f"{window.labels:,}") if number == 0 else ("", "", "")
        mark = "" if window.trusted or line.estimated is None else " (!)"
        told = (text(line.estimated) + mark, text(line.few_labels), text(line.measured))
        out.append((*first, line.metric, *told))
    return out


def text(value: Value | None) -> str:
    """Return a number with its interval, or a dash."""
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return _short(value.value)
    return f"{_short(value.value)} ({_short(value.low)}–{_short(value.high)})"


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10.0 else f"{value:.4g}"
