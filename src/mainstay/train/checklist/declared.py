"""What `behaviour.toml` may say: small tables of what a model must do, must not mind, and must follow."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mainstay.core.errors import ProjectFileError

FILE = "behaviour.toml"
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Inputs = Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=10_000)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    """A sentence: what the model does, does not mind, or follows."""
    fill: dict[str, Annotated[list[str], Meta(min_length=1)]] = {}
    """What stands for `{name}` in texts: each text is asked with each."""


class Minimum(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model must get right: simple rows and their answer."""

    inputs: Inputs
    answer: str | float
    """The class, or the number."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """So far a number may be off."""
    at_least: Share = 1.0
    """Share of the rows that must be right."""


class Invariance(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model must not mind: the answer stays when this changes."""

    inputs: Inputs | None = None
    """None: the frozen test rows."""
    change: dict[str, Any] = {}
    """Field = what it becomes (a list: each of them); texts: `{}` stands for what it was; numbers: `+1`, `-1`, `*2`."""
    harm: str | None = None
    """Or a kind of stress, at `strength`."""
    strength: Share = 0.3
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """So far a number, or no class's probability where it is above 0, may move; else the class alone must stay."""
    at_least: Share = 1.0
    """Share of the rows whose answer must stay."""


class Direction(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model must follow: when this changes, the answer moves that way."""

    inputs: Inputs | None = None
    change: Annotated[dict[str, Any], Meta(min_length=1)]
    expect: Literal["up", "down", "not_up", "not_down"]
    of: str | None = None
    """The class whose probability moves; none for numbers."""
    least: Annotated[float, Meta(ge=0)] = 0.0
    """It must move by more than this, or (`not_…`) by no more."""
    at_least: Share = 1.0
    """Share of the rows that must follow."""


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    most_rows: Annotated[int, Meta(ge=1)] = 200
    """Test rows that a table without inputs is asked with at most."""
    every_row: dict[str, Any] = {}
    """What each row of inputs has that does not say otherwise: fields that must be there and do not matter."""
    minimum: list[Minimum] = []
    invariance: list[Invariance] = []
    direction: list[Direction] = []

    @property
    def tables(self) -> Sequence[Minimum | Invariance | Direction]:
        """Return all tables in order."""
        return (*self.minimum, *self.invariance, *self.direction)


def read(root: Path) -> Declared | None:
    """Return what a project declares, None where it has no such file. Raises ProjectFileError."""
    path = root / FILE
    if not path.is_file():
        return None
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8-sig")), Declared)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ProjectFileError(
            f"{FILE}: {error}", remedy=f"Correct {FILE}; docs/behaviour.md shows each table."
        ) from error
    names = [table.name for table in found.tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProjectFileError(f"{FILE} names {twice[0]!r} twice", remedy="Give each table a name of its own.")
    return found
