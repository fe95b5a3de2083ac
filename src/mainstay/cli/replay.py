"""`mainstay replay`: a journalled answer, computed again."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "replay")(replay)


def replay(
    call: edge.Call,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of a prediction, as its answer gave it.")],
) -> None:
    """Compute a journalled answer again from its bundle.

    The bundle is opened by digest and verified, and asked the recorded inputs in a batch of the recorded size, where
    the answer is equal to the last bit; elsewhere label, trust and warnings must be equal and numbers within 1e-6. Exit
    code 5: the record does not hold what the model needs (hashed, dropped or erased fields, each named). 6: the answer
    came out otherwise.

    \b
    Example:
      mainstay replay w0-17-9f2c4e01
    """
    from mainstay import replay as replaying
    from mainstay.project import Project

    found = Project.open(call.project).replay(id_)
    call.out.document(found)
    how = "to the last bit" if found.equal_bytes else f"within {found.largest:.3g}"
    batch = f"in a batch of {found.batch}" if found.batch else "alone (the record does not tell its batch)"
    if found.same:
        call.out.say(f"{found.id}: {found.bundle} answers the same {how}, asked {batch} ({found.runtime})")
    if found.original is not None:
        said = found.original
        differs = (
            f"could not be asked: {said.why}" if said.largest is None else f"differs by at most {said.largest:.3g}"
        )
        call.out.say(f"  the estimator that {found.runtime} stands for {differs}")
    for name, why in found.missing.items():
        call.out.say(f"  {name}: {why}; the model does not use it")
    for text in (*found.environment, *filter(None, [found.note])):
        call.out.say(f"  {text}")
    replaying.refuse_difference(found)
