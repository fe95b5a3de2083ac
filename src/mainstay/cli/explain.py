"""`mainstay explain`: why a journalled answer is as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from mainstay.cli import edge

if TYPE_CHECKING:
    from mainstay.models.explained.records import Part


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "explain")(explain)


def explain(
    call: edge.Call,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of a prediction, as its answer gave it.")],
    label: Annotated[str | None, typer.Option(help="The class to explain; the one that is answered otherwise.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="So many fields and words are listed.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.0, help="Longest time for an estimate.")] = 1.0,
) -> None:
    """Say why a journalled answer is as it is.

    Each field, and each word of a text, with what it adds to the answer. Exact for compiled linear models and forests
    (Shapley values); for others an estimate with its standard error. Exit code 5: the record does not hold what the
    model needs (hashed, dropped or erased fields, each named).

    \b
    Example:
      mainstay explain w0-17-9f2c4e01 --label yes
    """
    from mainstay.project import Project

    found = Project.open(call.project).explain(id_, label=label, top=top, seconds=seconds)
    call.out.document(msgspec.to_builtins(found))
    what = "the answer" if found.label is None else f"{found.label!r}"
    call.out.say(
        f"{what}: {found.value:.4g} ({found.unit}), from {found.base_value:.4g} of {found.compared_with} "
        f"({found.method}, {found.took_ms:.3g} ms)"
    )
    for part in found.fields:
        call.out.say(f"  {_added(part)}  {part.field} = {_short(part.value)}")
    if found.others:
        call.out.say(f"  {found.others:+10.4f}  all other fields")
    for part in found.words:
        call.out.say(f"    {_added(part)}  {part.word}")
    for added, text in ((found.other_words, "all other words"), (found.absent_words, "words that it has not")):
        if added:
            call.out.say(f"    {added:+10.4f}  {text}")
    if found.note:
        call.out.say(f"  {found.note}")


def _added(part: Part) -> str:
    error = "" if part.standard_error is None else f" ± {part.standard_error:.2g}"
    return f"{part.contribution:+10.4f}{error}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
