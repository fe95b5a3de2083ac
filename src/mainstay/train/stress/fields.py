"""Harm to fields: what a broken pipeline upstream sends. Deterministic by the generator given.

At a strength of s that share of the rows is hit, each in one field drawn at random, so that what is kept can be told
per field; only `scale` touches all numbers of all rows, by a factor of 1 + s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.random import Generator

from mainstay.core.contracts import Contract, Field, FieldType, Policy
from mainstay.train.stress.records import Change, Kind, Row

UNITS: tuple[tuple[float, float], ...] = ((1000.0, 0.0), (0.001, 0.0), (2.54, 0.0), (100.0, 0.0), (1.8, 32.0))
"""Factor and offset: kilo and back, inches to centimetres, a share to percent, degrees Celsius to Fahrenheit."""
STRANGER = "never_seen_before"
"""A category that no training row held."""
_NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)


def kinds(contract: Contract, rows: Sequence[Row]) -> list[Kind]:
    """Return the kinds of harm to a contract's fields; `rows` show what categories there are."""
    features = contract.features
    numbers = [f for f in features if f.type in _NUMBERS]
    optional = [f.name for f in features if not f.required]
    categories = {f.name: known for f in features if f.type is FieldType.CATEGORY and (known := _values(f, rows))}
    return [
        Kind(
            name="missing",
            says="one optional field is missing in that share of the rows",
            change=_hit(optional, _missing),
            why_not="" if optional else "every feature is required: without it a request is refused",
        ),
        Kind(
            name="units",
            says="one number is in another unit in that share of the rows",
            change=_hit([f.name for f in numbers], _other_unit(numbers)),
            why_not="" if numbers else "no feature is a number",
        ),
        Kind(
            name="swapped",
            says="two numbers are in each other's place in that share of the rows",
            change=_hit([f.name for f in numbers], _swapped(numbers)),
            why_not="" if len(numbers) > 1 else "there are not two numbers",
        ),
        Kind(
            name="categories",
            says="one category is another one, or a new one where that is let in, in that share of the rows",
            change=_hit(list(categories), _other_category(categories)),
            why_not="" if categories else "no feature is a category of two values or more",
        ),
        Kind(
            name="scale",
            says="all numbers are larger by that share",
            change=_scale(numbers),
            why_not="" if numbers else "no feature is a number",
        ),
    ]


def _hit(names: Sequence[str], change: Callable[[Row, str, Generator], Mapping[str, Any]]) -> Change:
    def hit(row: dict[str, Any], strength: float, random: Generator) -> str | None:
        if random.random() >= strength:
            return None
        there = [name for name in names if row.get(name) is not None]
        if not there:
            return None
        name = there[int(random.integers(len(there)))]
        new = change(row, name, random)
        if all(row.get(one) == value for one, value in new.items()):
            return None
        row.update(new)
        return name

    return hit


def _missing(_row: Row, name: str, _random: Generator) -> Mapping[str, Any]:
    return {name: None}


def _other_unit(numbers: Sequence[Field]) -> Callable[[Row, str, Generator], Mapping[str, Any]]:
    fields = {f.name: f for f in numbers}

    def change(row: Row, name: str, random: Generator) -> Mapping[str, Any]:
        factor, offset = UNITS[int(random.integers(len(UNITS)))]
        return {name: _as(fields[name], float(row[name]) * factor + offset)}

    return change


def _swapped(numbers: Sequence[Field]) -> Callable[[Row, str, Generator], Mapping[str, Any]]:
    fields = {f.name: f for f in numbers}

    def change(row: Row, name: str, random: Generator) -> Mapping[str, Any]:
        others = [one for one in fields if one != name and row.get(one) is not None]
        if not others:
            return {}
        other = others[int(random.integers(len(others)))]
        return {name: _as(fields[name], float(row[other])), other: _as(fields[other], float(row[name]))}

    return change


def _other_category(categories: Mapping[str, Sequence[str]]) -> Callable[[Row, str, Generator], Mapping[str, Any]]:
    def change(row: Row, name: str, random: Generator) -> Mapping[str, Any]:
        others = [value for value in categories[name] if value != row[name]]
        return {name: others[int(random.integers(len(others)))]}

    return change


def _scale(numbers: Sequence[Field]) -> Change:
    def change(row: dict[str, Any], strength: float, _random: Generator) -> str | None:
        touched = None
        for field in numbers:
            value = row.get(field.name)
            if value is not None and (new := _as(field, float(value) * (1.0 + strength))) != value:
                row[field.name], touched = new, field.name
        return touched

    return change


def _as(field: Field, value: float) -> float | int:
    return round(value) if field.type is FieldType.INTEGER else value


def _values(field: Field, rows: Sequence[Row]) -> list[str]:
    """Return what a category may be taken for; empty where there is nothing else it could be."""
    seen = {row[field.name] for row in rows if isinstance(row.get(field.name), str)}
    known = sorted(seen | set(field.values))
    lets_in = not field.values or field.on_unknown is Policy.FLAG
    return [*known, STRANGER] if known and lets_in else known if len(known) > 1 else []
