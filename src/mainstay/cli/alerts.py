"""`mainstay alerts`: where alerts go, whether they arrive, and the same for Prometheus and Grafana."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Try where alerts go; write rules for Prometheus, Grafana.\n\n\b\n"
        "Example:\n  mainstay alerts test\n  mainstay alerts export --prometheus --out rules.yml",
    )
    edge.command(group, "list")(list_)
    edge.command(group, "test")(test)
    edge.command(group, "export")(export)
    app.add_typer(group, name="alerts")


def list_(
    call: edge.Call,
    limit: Annotated[int, typer.Option(min=1, help="Most messages; the newest are shown.")] = 50,
) -> None:
    """List messages, newest first: delivered, waiting, and why they wait.

    \b
    Example:
      mainstay alerts list
    """
    from mainstay.project import Project

    found = Project.open(call.project).alerts(limit=limit)
    call.out.document(found)
    rows = [
        (
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            one.alert_id,
            one.to,
            f"sent {one.sent_at:%H:%M:%S}" if one.sent_at else f"waits until {one.due_at:%H:%M:%S}",
            f"{one.attempts} failed: {one.error}" if one.attempts and not one.sent_at else "",
        )
        for one in found
    ]
    call.out.say(output.table("", ("at (UTC)", "id", "to", "state", "why"), rows) if rows else "No alert was ever due.")


def test(call: edge.Call) -> None:
    """Send a trial message to every address of [[alerts]] and say what became of it.

    Leaves with 6 when one was not taken.

    \b
    Example:
      mainstay alerts test
    """
    from mainstay.project import Project

    found = Project.open(call.project).try_alerts()
    call.out.document(found)
    for one in found:
        call.out.say(output.safe(f"{one.to}: {one.error or 'taken'}"))
    if not found:
        call.out.say("No address is declared: [[alerts]] in mainstay.toml.")
    failed = [one for one in found if one.error]
    if failed:
        raise errors.EnvironmentFault(
            f"{len(failed)} of {len(found)} addresses took nothing", remedy="Correct `to` in [[alerts]]."
        )


def export(
    call: edge.Call,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Alert rules for Prometheus (YAML).")] = False,
    grafana: Annotated[bool, typer.Option("--grafana", help="A dashboard for Grafana (JSON).")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there; else to stdout.")] = None,
) -> None:
    """Write what this project alerts on for other tools: one definition, two formats.

    Error budgets become multiwindow burn rules with the figures of [serve.slo].

    \b
    Example:
      mainstay alerts export --prometheus --out /etc/prometheus/rules/mainstay.yml
      mainstay alerts export --grafana --out mainstay-dashboard.json
    """
    from mainstay.project import Project

    if prometheus == grafana:
        raise errors.UsageError("it is not said what to write; allowed: --prometheus or --grafana, one of them")
    project = Project.open(call.project)
    text = project.prometheus_rules() if prometheus else project.grafana_dashboard()
    if out is None:
        call.out.document({"text": text})
        call.out.say(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise errors.EnvironmentFault(f"{out} cannot be written: {error.strerror}") from error
    call.out.document({"file": out})
    call.out.say(f"Written: {out}")
