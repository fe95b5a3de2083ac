"""`mainstay incidents`: what the watch told, what became of it, and whether it was useful."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstay.cli import edge, output
from mainstay.cli.release import who
from mainstay.core import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from mainstay.oncall.incidents import Precision, Shown

Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The incident's number.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; kept with the incident and in the audit.")]
SHOWN_LABELS = 10


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="See incidents, who looks after them, if they were useful.\n\n\b\nExample:\n"
        "  mainstay incidents list\n  mainstay incidents show 7",
    )
    edge.command(group, "list")(list_)
    edge.command(group, "show")(show)
    edge.command(group, "ack")(ack)
    edge.command(group, "resolve")(resolve)
    edge.command(group, "reopen")(reopen)
    edge.command(group, "mark")(mark)
    edge.command(group, "precision")(precision)
    app.add_typer(group, name="incidents")


def list_(
    call: edge.Call,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most incidents; the newest are shown.")] = 100,
) -> None:
    """List incidents, newest first: those that are not resolved, or all.

    \b
    Example:
      mainstay incidents list
      mainstay incidents list --all --json | jq -r '.[].incident.title'
    """
    from mainstay.project import Project

    found = Project.open(call.project).incidents(all_=all_, limit=limit)
    call.out.document(found)
    if not found:
        call.out.say("There is no incident." if all_ else "No incident is open. `--all` shows those that were.")
        return
    rows = [
        (
            str(one.incident.id),
            one.incident.severity.value,
            one.incident.state.value + (" (silenced)" if one.silenced_until else ""),
            f"{one.incident.started_at:%Y-%m-%d %H:%M}",
            one.monitor,
            "" if one.mark is None else "useful" if one.mark.useful else "not useful",
            one.incident.title,
        )
        for one in found
    ]
    call.out.say(output.table("", ("id", "severity", "state", "began (UTC)", "monitor", "marked", "what"), rows))


def show(
    call: edge.Call,
    number: Number,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="Also what the example requests held, as far as the journal may hold it.")
    ] = False,
) -> None:
    """Show one incident: since when, how bad, where, what shows it, what else changed, what to do.

    \b
    Example:
      mainstay incidents show 7
      mainstay incidents show 7 --json | jq -r '.incident.facts.to_label.random[]' > to_label.txt
    """
    from mainstay.project import Project

    found = Project.open(call.project).incident(number, inputs=inputs)
    call.out.document(found)
    call.out.say(*lines(found))


def ack(call: edge.Call, number: Number, note: Note = "") -> None:
    """Say that you look after an incident.

    \b
    Example:
      mainstay incidents ack 7 --note "asked the warehouse team"
    """
    from mainstay.core.incidents import State

    _move(call, number, State.ACKNOWLEDGED, note)


def resolve(call: edge.Call, number: Number, note: Note) -> None:
    """Say that an incident is over; the watch opens it again if the same is found within a week.

    \b
    Example:
      mainstay incidents resolve 7 --note "the form was put right"
    """
    from mainstay.core.incidents import State

    _move(call, number, State.RESOLVED, note)


def reopen(call: edge.Call, number: Number, note: Note) -> None:
    """Open an incident again that was called over.

    \b
    Example:
      mainstay incidents reopen 7 --note "customers still complain"
    """
    from mainstay.core.incidents import State

    _move(call, number, State.OPEN, note)


def mark(
    call: edge.Call,
    number: Number,
    useful: Annotated[
        bool | None, typer.Option("--useful/--not-useful", help="Whether you were glad to be told.")
    ] = None,
    note: Note = "",
) -> None:
    """Say whether an incident was useful to you: the precision of its monitor is kept by that.

    The newest word on an incident counts.

    \b
    Example:
      mainstay incidents mark 7 --useful
      mainstay incidents mark 8 --not-useful --note "a load test that nobody announced"
    """
    from mainstay.project import Project

    if useful is None:
        raise errors.UsageError("it is not said whether it was useful; allowed: --useful or --not-useful")
    said = Project.open(call.project).mark_incident(number, useful=useful, by=who(), note=note)
    call.out.document(said)
    call.out.say(f"Incident {number} is marked as {'useful' if useful else 'not useful'}, for monitor {said.monitor}.")


def precision(call: edge.Call) -> None:
    """Show of each monitor which share of its marked incidents was useful, with a 95 % interval.

    \b
    Example:
      mainstay incidents precision
    """
    from mainstay.project import Project

    found = Project.open(call.project).precision()
    call.out.document(found)
    rows = [(p.monitor, str(p.incidents), str(p.marked), str(p.useful), _share(p)) for p in found]
    call.out.say(output.table("", ("monitor", "incidents", "marked", "useful", "precision"), rows))


def _share(found: Precision) -> str:
    if found.value is None:
        return "not known: none is marked"
    return f"{found.value:.0%} ({found.low:.0%} to {found.high:.0%})"


def _move(call: edge.Call, number: int, to: Any, note: str) -> None:
    from mainstay.project import Project

    moved = Project.open(call.project).move_incident(number, to, by=who(), note=note)
    call.out.document(moved)
    call.out.say(f"Incident {number} is {moved.state.value}.")


def lines(found: Shown) -> list[RenderableType]:
    """Return an incident for people."""
    incident, facts = found.incident, found.incident.facts
    parts: list[RenderableType] = [
        f"#{incident.id} {incident.title}",
        f"{incident.severity.value}, {incident.state.value}; {incident.harm.value.replace('_', ' ')} of "
        f"{incident.bundle}; monitor {found.monitor}",
        "",
        *incident.story,
    ]
    action = facts.get("action")
    if action:
        parts += ["", f"Do: {action['action'].replace('_', ' ')}. {action['reason']}"]
    if facts.get("fields"):
        rows = [(one["field"], one["signal"], f"{one['nats']:.0f}", _points(one)) for one in facts["fields"]]
        parts.append(output.table("Fields", ("field", "signal", "evidence (nats)", "would give back"), rows))
    if incident.findings:
        told = [(f.signal, f.segment, f.harm.value, f.text) for f in incident.findings]
        parts.append(output.table("Findings", ("signal", "segment", "harm", "what"), told))
    if facts.get("changes"):
        changed = [(one["kind"], (one["at"] or "")[:19].replace("T", " "), one["text"]) for one in facts["changes"]]
        parts.append(output.table("What else changed then", ("kind", "at (UTC)", "what"), changed))
    parts += _examples(found, facts)
    parts += _labels(facts)
    parts.append(output.table("History", ("at (UTC)", "by", "to", "note"), _history(found)))
    for silence in found.silences:
        parts.append(f"Silenced until {silence.until:%Y-%m-%d %H:%M} UTC by {silence.by}: {silence.reason}")
    if found.mark is not None:
        word = "useful" if found.mark.useful else "not useful"
        parts.append(f"Marked as {word} by {found.mark.by}" + (f": {found.mark.note}" if found.mark.note else ""))
    return parts


def _points(one: Mapping[str, Any]) -> str:
    if one["points"] is None:
        return "not known"
    return f"{one['points'] * 100:+.1f} points ± {2 * one['error'] * 100:.1f}"


def _examples(found: Shown, facts: Mapping[str, Any]) -> list[RenderableType]:
    rows = [
        (str(one["id"]), str(one["at"])[:19].replace("T", " "), f"{one['score']:.1f}", _shows(found, one))
        for one in facts.get("examples", ())
    ]
    return [output.table("Requests that show it", ("id", "at (UTC)", "score", "shows"), rows)] if rows else []


def _shows(found: Shown, one: Mapping[str, Any]) -> str:
    text = "; ".join(one["shows"])
    held = found.inputs.get(str(one["id"]))
    return output.safe(f"{text}\n{dict(held)}" if held else text)


def _labels(facts: Mapping[str, Any]) -> list[RenderableType]:
    wanted = facts.get("to_label") or {}
    parts: list[RenderableType] = []
    for name, text in (("random", "To know how good it is, label"), ("least_certain", "To teach a model, label")):
        ids = wanted.get(name) or []
        if ids:
            more = f" … and {len(ids) - SHOWN_LABELS} more (--json)" if len(ids) > SHOWN_LABELS else ""
            parts.append(output.safe(f"{text}: {', '.join(ids[:SHOWN_LABELS])}{more}"))
    return parts


def _history(found: Shown) -> list[tuple[str, str, str, str]]:
    return [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.by, one.to_state, one.note) for one in found.changes]
