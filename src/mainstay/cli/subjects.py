"""`mainstay erase` and `mainstay export`: one subject's records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.release import who
from mainstay.core import errors

if TYPE_CHECKING:
    from mainstay.subjects.erase import Erased

Key = Annotated[str, typer.Option("--key", metavar="KEY", help="What the key field ([data] key) calls the subject.")]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    edge.command(app, "erase")(erase)
    edge.command(app, "export")(export)


def erase(
    call: edge.Call,
    key: Key,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Kept with the tombstone; name nobody in it.")
    ] = "",
) -> None:
    """Make a subject's encrypted values unreadable.

    Its key is destroyed: in the journal, the store, snapshots and every backup, at once and for good; a running server
    needs no restart. There is no way back. A tombstone is left (a salted hash of the key, when, by whom, how many
    records), and wins over older copies of the keys. What is not encrypted cannot be erased so: the command lists what
    still holds something of the subject. Exit code 3: a text or an identifier of the subject is kept in plain.

    \b
    Example:
      mainstay erase --key c-1042 --reason "request 77 of 2026-11-20"
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    result = project.erase(key, by=who(), reason=reason)
    call.out.document(result)
    call.out.say(*_lines(result))
    if result.readable:
        fields = [left.field for left in result.readable]
        raise errors.ContractViolation(
            f"{', '.join(fields)}: kept in plain, so still readable in the records of this subject",
            problems=[
                errors.Problem(
                    where=f"fields.{left.field}.pii",
                    what=f"{left.records} records hold it in plain",
                    value="keep",
                    allowed="encrypt, hash or drop",
                )
                for left in result.readable
            ],
            remedy='Declare pii = "encrypt" for what comes; what is there goes when [log] keep_days lets it go.',
        )


def _lines(result: Erased) -> list[str]:
    key = "its key was destroyed" if result.destroyed else "it had no key to destroy"
    lines = [
        f"{result.records} records of the subject; {key}; {result.unreadable} records hold values that nobody can "
        f"open any more. Tombstone: {result.subject}"
    ]
    lines += [
        f"  {left.field}: {left.how} in {left.records} records"
        + ("" if left.free or left.how == "hashed" else " (no free text; linked to the subject by a salted hash alone)")
        for left in result.left
    ]
    for one in result.snapshots:
        rows = f"{one.rows} rows, {one.sealed} of them sealed" if one.sealed else f"{one.rows} rows"
        lines.append(f"  snapshot {one.id[:12]}: {rows}" + (f", from your file {one.source}" if one.source else ""))
        if one.versions:
            lines.append(
                f"    {', '.join(one.versions)} learned from it and may remember words; `mainstay train` makes one "
                + (
                    "that did not see the sealed rows"
                    if one.sealed
                    else "that did not, once your file holds them no more"
                )
            )
    if result.store != "ok":
        lines.append(f"  the store is away ({result.store}); the loop writes the tombstone there when it is back")
    return lines


def export(
    call: edge.Call,
    key: Key,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="NDJSON; must not be there yet.")],
) -> None:
    """Write a subject's records into a file.

    For the person: predictions with their inputs, opened, and all feedback on them, one JSON object on each line;
    `record` says which kind. A value that was erased is named under `gone`. The file is readable by this user alone.

    \b
    Example:
      mainstay export --key c-1042 --out c-1042.ndjson
    """
    from mainstay.project import Project

    result = Project.open(call.project).export(key, out, by=who())
    call.out.document(result)
    rows = [(name, str(count)) for name, count in result.records.items()]
    call.out.say(output.table("", ("record", "lines"), rows) if rows else "no record belongs to that key")
    if result.gone:
        told = ", ".join(f"{count} {why}" for why, count in result.gone.items())
        call.out.say(f"values that could not be opened: {told}")
