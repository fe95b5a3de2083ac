"""Which field, and which word of it, each column of a compiled model stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mainstay.models.compiled.columns import CodeBlock, FlagBlock, NumberBlock
from mainstay.models.compiled.parts import Floats, Ints, Program, Row
from mainstay.models.compiled.text import TextBlock
from mainstay.models.explained.records import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a program by field."""

    fields: tuple[str, ...]
    """Every field that the program takes, once."""
    field_of: Ints
    """Number of the field of each column, shape (columns,)."""
    texts: tuple[tuple[int, TextBlock], ...]
    """First column and block of each bag of words."""
    terms: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """First column of a block -> its words in order."""


def columns_of(program: Program) -> Columns:
    """Return what the columns of a program stand for."""
    names: list[str] = []
    texts: list[tuple[int, TextBlock]] = []
    for block in program.blocks:
        if isinstance(block, TextBlock):
            texts.append((len(names), block))
            names += [block.field] * block.width
        elif isinstance(block, FlagBlock | NumberBlock):
            names += block.names()
        elif isinstance(block, CodeBlock):
            names += block.fields
        else:
            raise TypeError(f"no explanation knows a {type(block).__name__}")
    fields = tuple(dict.fromkeys(names))
    number = {name: index for index, name in enumerate(fields)}
    return Columns(
        fields=fields,
        field_of=np.array([number[name] for name in names], dtype=np.int64),
        texts=tuple(texts),
        terms={at: block.terms() for at, block in texts},
    )


def by_field(columns: Columns, contributions: Floats) -> Floats:
    """Return the sum of each field's columns, shape (fields,)."""
    sums: Floats = np.bincount(columns.field_of, contributions, minlength=len(columns.fields)).astype(np.float64)
    return sums


def field_parts(columns: Columns, row: Row, contributions: Floats) -> list[Part]:
    """Return what each field adds."""
    sums = by_field(columns, contributions).tolist()
    return [
        Part(field=name, value=row.get(name), contribution=value)
        for name, value in zip(columns.fields, sums, strict=True)
    ]


def word_parts(columns: Columns, values: Floats, contributions: Floats) -> tuple[list[Part], float]:
    """Return what each word of the row adds, and what those add together that it has not."""
    parts: list[Part] = []
    absent = 0.0
    for at, block in columns.texts:
        own, given = values[at : at + block.width], contributions[at : at + block.width]
        held = np.flatnonzero(own)
        terms = columns.terms[at]
        parts += [
            Part(field=block.field, word=terms[i], value=float(own[i]), contribution=float(given[i]))
            for i in held.tolist()
        ]
        absent += float(given.sum() - given[held].sum())
    return parts, absent


def largest(parts: Sequence[Part], top: int) -> tuple[list[Part], float]:
    """Return the parts that add most, largest first, and what the others add together."""
    ordered = sorted(parts, key=lambda part: (-abs(part.contribution), part.field, part.word or ""))
    return ordered[:top], sum(part.contribution for part in ordered[top:])
