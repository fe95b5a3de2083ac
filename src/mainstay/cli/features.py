"""`mainstay features`: what features there are, what they cost, and whether they are served as trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output
from mainstay.core.errors import ContractViolation, UsageError

if TYPE_CHECKING:
    from mainstay.catalogue.records import Compared, Cost, Listing


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "features")(features)


def features(
    call: edge.Call,
    compare: Annotated[
        bool, typer.Option("--compare", help="Hold served values beside those that training would make.")
    ] = False,
    rows: Annotated[int, typer.Option("--rows", min=1, help="With --compare: so many of the newest rows.")] = 500,
    export_feast: Annotated[
        Path | None, typer.Option("--export-feast", metavar="DIR", help="Write a Feast repository into DIR.")
    ] = None,
) -> None:
    """List features, compare them as served and trained, export them.

    Costs are measured on training rows, as processor time: of a row alone, as serving asks, and of a row among 200.
    With --compare the newest served rows are computed again as training would: exit code 3 where values differ, 5 where
    the journal holds no row to compute again.

    \b
    Example:
      mainstay features
      mainstay features --compare --json | jq '.differing[] | .name, .share'
      mainstay features --export-feast build/feast
    """
    from mainstay.project import Project

    if compare and export_feast is not None:
        raise UsageError("--compare and --export-feast are two things; give one")
    project = Project.open(call.project)
    if export_feast is not None:
        made = project.export_feast(export_feast)
        call.out.document(made)
        call.out.say(f"{made.folder}: {made.rows} rows, {', '.join(made.features)} by {made.entity}")
        for note in made.notes:
            call.out.note(f"note: {note}")
        call.out.say(f"Next: cd {made.folder} && feast apply")
        return
    if compare:
        found = project.compare_features(rows=rows)
        call.out.document(found)
        _show_compared(call, found)
        return
    listed = project.features()
    call.out.document(listed)
    _show(call, listed)


def _show(call: edge.Call, found: Listing) -> None:
    if not found.features and not found.code:
        call.out.say("No feature is declared: write a function with @mainstay.feature into features.py.")
        return
    columns = ("feature", "owner", "what", "from", "gives", "said µs", "alone µs", "among 200", "used by", "place")
    lines = [
        (
            one.name,
            one.owner,
            one.description,
            ", ".join(one.inputs),
            one.dtype,
            "–" if one.cost_us is None else f"{one.cost_us:g}",
            *_costs(one.measured),
            ", ".join((*one.pipelines, *one.versions)) or "nobody",
            one.place,
        )
        for one in found.features
    ]
    if lines:
        call.out.say(output.table("", columns, lines))
    for code in found.code:
        alone, together = _costs(code.measured)
        made = ", ".join(code.columns) or "no column that differs from what came"
        call.out.say(f"{code.pipeline}: {code.function} makes {made}; {alone} µs a row alone, {together} among 200")
    for why, name in {(one.why_unmeasured, one.name) for one in found.features if one.why_unmeasured}:
        call.out.note(f"note: {name} was not measured: {why}")
    for code in found.code:
        if code.why_unmeasured:
            call.out.note(f"note: {code.function} was not measured: {code.why_unmeasured}")
    for one in found.features:
        if one.dearer and one.measured is not None:
            said = f"{one.measured.together_us:.2g} µs a row among others; {one.cost_us:g} were declared"
            call.out.note(f"note: {one.name} takes {said}")
    for text in found.changed:
        call.out.note(f"note: {text}")


def _costs(cost: Cost | None) -> tuple[str, str]:
    return ("–", "–") if cost is None else (f"{cost.alone_us:.2g}", f"{cost.together_us:.2g}")


def _show_compared(call: edge.Call, found: Compared) -> None:
    for note in found.notes:
        call.out.note(f"note: {note}")
    left = f", {found.left_out} left out, whose record does not hold what the model takes" if found.left_out else ""
    call.out.say(f"{found.version}: {found.rows} served rows, {len(found.compared)} fields and features{left}")
    if not found.differing:
        call.out.say("Training makes of them what was served.")
        return
    lines = [
        (one.name, one.what, f"{one.share:.1%}", f"{e.id}: served {e.served!r}, training {e.trained!r}")
        for one in found.differing
        for e in one.examples[:2]
    ]
    call.out.say(output.table("", ("name", "differs by", "share", "example"), lines))
    worst = found.differing[0]
    raise ContractViolation(
        f"training makes something else of {worst.share:.1%} of the served rows ({worst.name}, by {worst.what})",
        remedy="field: the contract reads it otherwise, please report it; company: the function looks at other rows, "
        "the clock or a file; code: the file changed since the version was trained, train a new one.",
    )
