"""What a row is compared with in an explanation: means of columns, rows through each node of a tree. No row is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.models.compiled import program_file
from mainstay.models.compiled.heads import ForestHead, LinearHead
from mainstay.models.compiled.parts import Block, Floats, Program, Row
from mainstay.models.compiled.text import TextBlock

if TYPE_CHECKING:
    from mainstay.models.compiled.make import Made
    from mainstay.models.load import LoadedModel

MOST_ROWS = 20_000
"""More training rows than this are sampled evenly."""
CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Averages over training rows."""

    rows: int
    means: Floats | None = None
    """Of a linear model: the mean of each column, shape (columns,)."""
    cover: Floats | None = None
    """Of a forest: how many rows pass each node, shape (nodes,)."""


def background_of(program: Program, rows: Sequence[Row]) -> Background:
    """Return the averages of checked rows, as the program is handed them."""
    if isinstance(program.head, LinearHead):
        means = [_totals(block, rows) / max(1, len(rows)) for block in program.blocks]
        return Background(rows=len(rows), means=np.concatenate(means))
    if not isinstance(program.head, ForestHead):
        raise TypeError(f"no explanation knows a {type(program.head).__name__}")
    forest, width = program.head.forest, sum(block.width for block in program.blocks)
    counts = np.zeros(forest.nodes)
    at_once = max(1, CELLS_AT_ONCE // max(1, width, forest.trees))
    for at in range(0, len(rows), at_once):
        counts += np.bincount(forest.leaves(matrix_of(program, rows[at : at + at_once])).ravel(), minlength=len(counts))
    return Background(rows=len(rows), cover=forest.through(counts))


def background_of_made(model: LoadedModel, made: Made, rows: Sequence[Row]) -> bytes | None:
    """Return the bytes for a bundle whose model was compiled, None where it was not."""
    if made.program is None:
        return None
    step = max(1, -(-len(rows) // MOST_ROWS))
    return encode(background_of(made.program, model.program_rows(rows[::step])))


def encode(background: Background) -> bytes:
    """Return the bytes of a background."""
    parts = {"means": background.means, "cover": background.cover}
    held: dict[str, Any] = {name: array for name, array in parts.items() if array is not None}
    return program_file.encode({"v": program_file.VERSION, "rows": background.rows, **held})


def decode(data: bytes) -> Background:
    """Return the background; raise Damaged for bytes that are none."""
    found: Mapping[str, Any] = program_file.decode(data)
    return Background(rows=found["rows"], means=found.get("means"), cover=found.get("cover"))


def matrix_of(program: Program, rows: Sequence[Row]) -> Floats:
    """Return the columns that the head takes, shape (n, columns)."""
    matrix = np.zeros((len(rows), sum(block.width for block in program.blocks)))
    start = 0
    for block in program.blocks:
        block.fill(rows, matrix[:, start : start + block.width])
        start += block.width
    return matrix


def _totals(block: Block, rows: Sequence[Row]) -> Floats:
    if isinstance(block, TextBlock):
        return block.totals(rows)
    totals = np.zeros(block.width)
    at_once = max(1, CELLS_AT_ONCE // max(1, block.width))
    for at in range(0, len(rows), at_once):
        part = rows[at : at + at_once]
        matrix = np.zeros((len(part), block.width))
        block.fill(part, matrix)
        totals += matrix.sum(axis=0)
    return totals
