"""`mainstay cost`: what each version used, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.status import amount

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstay.status.records import CostReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "cost")(cost)


def cost(
    call: edge.Call,
    days: Annotated[float, typer.Option(min=0.04, max=400, help="Over how long, up to now (days).")] = 30.0,
) -> None:
    """Tell what each version used, and what that costs.

    Processor time, memory over time and GPU time are measured by the server, and shared out by the rows that each
    version computed; the prices are those of [cost]. What training and the loop use is not among it.

    \b
    Example:
      mainstay cost
      mainstay cost --days 7 --json | jq .total
    """
    from mainstay.project import Project

    found = Project.open(call.project).cost(days=days)
    call.out.document(found)
    call.out.say(*lines(found))


def lines(found: CostReport) -> list[RenderableType]:
    """Return the report for people."""
    if not found.lines:
        return [f"No server told of any use in the last {found.days:g} days."]
    rows = [
        (
            output.safe(one.bundle),
            f"{one.rows:,}",
            f"{one.cpu_s:,.1f}",
            f"{one.memory_gb_h:,.2f}",
            f"{one.gpu_s:,.1f}",
            f"{one.source_calls:,.0f}",
            amount(one.total, found.currency) if found.priced else "–",
            amount(one.per_1000_rows, found.currency) if found.priced else "–",
        )
        for one in found.lines
    ]
    head = ("version", "rows", "CPU s", "memory GB·h", "GPU s", "source calls", "cost", "per 1,000 rows")
    parts: list[RenderableType] = [output.table(f"Last {found.days:g} days", head, rows)]
    if found.priced:
        parts.append(f"In all {amount(found.total, found.currency)}.")
    else:
        parts.append("No price is declared; [cost] takes cpu_hour, memory_gb_hour, gpu_hour and sources.")
    return parts
