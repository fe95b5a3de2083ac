"""`mainstay load-test`: how much a running server takes, and how fast it is then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output
from mainstay.core import errors

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstay.loadtest.records import LoadReport, Stage


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "load-test")(load_test)


def load_test(
    call: edge.Call,
    url: Annotated[str | None, typer.Option("--url", help="Instead of the running server of this project.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.1, help="Only this many requests/s, begun at a constant rate.")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, max=3600, help="Length of each stage.")] = 4.0,
    connections: Annotated[
        str, typer.Option("--connections", metavar="N,N", help="Connections of the stages that ask without a pause.")
    ] = "1,8,32,128",
    body: Annotated[
        Path | None, typer.Option("--body", metavar="FILE", help="A request as JSON, instead of the project's rows.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", envvar="MAINSTAY_API_KEY", help="API key of the scope predict.")
    ] = None,
    yes_really: Annotated[bool, typer.Option("--yes-really", help="Load another machine than this one.")] = False,
) -> None:
    """Load a running server and tell what it takes.

    Sends the project's own test rows, one in each request: first over some connections without a pause, which shows the
    most that it takes, then at constant rates, up to the highest that keeps the objective ([serve.slo], else 99.9 %
    answered and 99 % within 100 ms). Everything is real (contract, log, fsync) except that watch, rollout and error
    budget do not count these requests. Leaves with 4 when no rate kept the objective.

    \b
    Example:
      mainstay load-test
      mainstay load-test --rate 2000 --seconds 60 --json
    """
    from mainstay.project import Project

    try:
        numbers = [int(one) for one in connections.split(",")]
    except ValueError as error:
        raise errors.UsageError(f"{connections!r} is no list of numbers; allowed: 1,8,32") from error
    if not numbers or min(numbers) < 1 or max(numbers) > 1000:
        raise errors.UsageError(f"{connections!r} holds a number of connections that is not between 1 and 1000")
    with call.out.progress() as progress:
        report = Project.open(call.project).load_test(
            url=url,
            rate=rate,
            seconds=seconds,
            connections=numbers,
            body=body,
            key=key,
            elsewhere_too=yes_really,
            progress=progress,
        )
    call.out.document(report)
    call.out.say(*lines(report))
    if report.highest_rate is None:
        raise typer.Exit(int(errors.ExitCode.GATE_FAILED))


def lines(report: LoadReport) -> list[RenderableType]:
    """Return the report for people."""
    rows = [_row(stage) for stage in report.stages]
    head = ("load", "requests/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "not 200", "client")
    wanted = report.objective
    promise = (
        f"{wanted.availability:.4g} of requests answered and {wanted.latency_share:.4g} of answers within "
        f"{wanted.latency_ms:g} ms"
    )
    found = (
        f"Highest rate tried that keeps it: {report.highest_rate:g} requests/s."
        if report.highest_rate is not None
        else "No rate tried kept it."
    )
    told: list[RenderableType] = [output.table(f"{report.model} at {report.url}, {report.rows} rows", head, rows)]
    told.append(f"Objective: {promise}. {found}")
    if any(stage.client_limits for stage in report.stages):
        told.append(
            "Where `client` says limit, this client was the limit and not the server: load from another machine."
        )
    return told


def _row(stage: Stage) -> tuple[str, ...]:
    load = f"{stage.connections} connections" if stage.rate is None else f"{stage.rate:g} requests/s"
    bad = ", ".join(f"{count:,} × {code}" for code, count in stage.codes.items() if code != "200")
    return (
        load,
        f"{stage.requests_per_s:,.0f}",
        *(f"{value:.2f}" for value in (stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.p999_ms)),
        bad or "–",
        "limit" if stage.client_limits else f"{stage.client_cpu:.0%} CPU",
    )
