"""The contract as a check of one request's inputs, on the serving hot path: one precompiled closure for each field.

Imports neither Polars nor Pandera. `rules` says what is accepted; `frame_check` accepts the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy
from mainstay.core.errors import Problem
from mainstay.core.events import Caveat
from mainstay.data.rules import (
    LARGEST_EXACT_FLOAT,
    LARGEST_INTEGER,
    SMALLEST_INTEGER,
    CaveatCode,
    Limits,
    Rule,
    limits_of,
    nearest,
    shown,
    unknown_field_rule,
)
from mainstay.data.times import to_utc

FieldCheck = Callable[[Any, list[Problem], list[Caveat]], Any]
"""Takes a value that is not None, returns it normalised, and notes what is wrong with it."""
_INFINITY = float("inf")
_LARGEST = sys.float_info.max


class Checked(msgspec.Struct, frozen=True):
    """What became of one row."""

    values: dict[str, Any]
    """Every declared field in declared order, normalised, None where absent; meaningless if there are problems."""
    problems: tuple[Problem, ...]
    caveats: tuple[Caveat, ...]


class RequestCheck:
    """Checks rows of one contract. Thread-safe."""

    __slots__ = ("_contract", "_known", "_plan")

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._known = frozenset(field.name for field in contract.fields)
        self._plan = tuple((field.name, field.required, _compile(field)) for field in contract.fields)

    def check(self, inputs: Mapping[str, Any]) -> Checked:
        """Return the normalised values and everything that is wrong with the row; never raises for bad values."""
        problems: list[Problem] = []
        caveats: list[Caveat] = []
        values: dict[str, Any] = {}
        get = inputs.get
        for name, required, check in self._plan:
            value = get(name)
            if value is not None:
                values[name] = check(value, problems, caveats)
                continue
            values[name] = None
            if required:
                problems.append(self._missing(name))
        if not self._known.issuperset(inputs):
            problems += self._unknown(inputs)
        return Checked(values, tuple(problems), tuple(caveats))

    def _missing(self, name: str) -> Problem:
        field = self._contract.field(name)
        return Problem(where=name, what=Rule.MISSING, allowed=limits_of(field).type if field else None)

    def _unknown(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Name what is sent under a name that is not declared; null is the same as absent, so it is no problem."""
        sent = [name for name, value in inputs.items() if name not in self._known and value is not None]
        free = [field.name for field in self._contract.fields if inputs.get(field.name) is None]
        return [
            Problem(
                where=str(shown(name)),
                what=unknown_field_rule(self._contract, name),
                value=shown(inputs[name]),
                allowed=[field.name for field in self._contract.fields],
                nearest=nearest(name, free) or nearest(name, self._known),
            )
            for name in sent
        ]


def compile_request_check(contract: Contract) -> RequestCheck:
    """Return the check of one row's inputs."""
    return RequestCheck(contract)


def _compile(field: Field) -> FieldCheck:
    return _COMPILERS[field.type](field, limits_of(field))


def _wrong_type(field: Field, limits: Limits, value: Any) -> Problem:
    return Problem(where=field.name, what=Rule.TYPE, value=shown(value), allowed=limits.type)


def _text(field: Field, limits: Limits) -> FieldCheck:
    longest = field.max_chars if field.max_chars is not None else _INFINITY

    def check(value: Any, problems: list[Problem], _caveats: list[Caveat]) -> Any:
        if type(value) is str and value.isascii() and len(value) <= longest:
            return value
        if type(value) is not str or not _is_unicode(value):
            problems.append(_wrong_type(field, limits, value))
        elif len(value) > longest:
            problems.append(_too_long(field, limits, value))
        return value

    return check


def _category(field: Field, limits: Limits) -> FieldCheck:
    known = frozenset(field.values)
    closed = bool(known) and field.on_unknown is Policy.REFUSE
    text = _text(replace(field, max_chars=None) if closed else field, limits)

    def check(value: Any, problems: list[Problem], caveats: list[Caveat]) -> Any:
        if type(value) is str and value in known:
            return value
        before = len(problems)
        text(value, problems, caveats)
        if known and len(problems) == before:
            _note_unknown_value(field, limits, value, problems, caveats)
        return value

    return check


def _identifier(field: Field, limits: Limits) -> FieldCheck:
    text = _text(field, limits)
    longest = field.max_chars if field.max_chars is not None else _INFINITY

    def check(value: Any, problems: list[Problem], caveats: list[Caveat]) -> Any:
        if type(value) is str and value.isascii() and 0 < len(value) <= longest:
            return value
        if type(value) is float and abs(value) <= LARGEST_EXACT_FLOAT and value.is_integer():
            value = int(value)  # as JSON may spell it, and pandas a column of whole numbers where some are missing
        if type(value) is int and SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            value = str(value)
        elif not value:
            problems.append(_wrong_type(field, limits, value))
            return value
        return text(value, problems, caveats)

    return check


def _number(field: Field, limits: Limits) -> FieldCheck:
    low, high = _range(field)

    def check(value: Any, problems: list[Problem], caveats: list[Caveat]) -> Any:
        if type(value) is float:
            number = value
        elif type(value) is int:
            try:
                number = float(value)
            except OverflowError:
                number = _INFINITY
        else:
            problems.append(_wrong_type(field, limits, value))
            return value
        if low <= number <= high:
            return number
        if not -_LARGEST <= number <= _LARGEST:
            problems.append(_wrong_type(field, limits, value))
        else:
            _note_range(field, limits, number, problems, caveats)
        return number

    return check


def _integer(field: Field, limits: Limits) -> FieldCheck:
    low, high = _range(field)

    def check(value: Any, problems: list[Problem], caveats: list[Caveat]) -> Any:
        if type(value) is float and -LARGEST_EXACT_FLOAT <= value <= LARGEST_EXACT_FLOAT and value.is_integer():
            value = int(value)
        if type(value) is not int or not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            problems.append(_wrong_type(field, limits, value))
        elif not low <= value <= high:
            _note_range(field, limits, value, problems, caveats)
        return value

    return check


def _boolean(field: Field, limits: Limits) -> FieldCheck:
    def check(value: Any, problems: list[Problem], _caveats: list[Caveat]) -> Any:
        if value is not True and value is not False:
            problems.append(_wrong_type(field, limits, value))
        return value

    return check


def _timestamp(field: Field, limits: Limits) -> FieldCheck:
    def check(value: Any, problems: list[Problem], _caveats: list[Caveat]) -> Any:
        moment = to_utc(value)
        if moment is None:
            problems.append(_wrong_type(field, limits, value))
        return moment

    return check


_COMPILERS: dict[FieldType, Callable[[Field, Limits], FieldCheck]] = {
    FieldType.TEXT: _text,
    FieldType.CATEGORY: _category,
    FieldType.IDENTIFIER: _identifier,
    FieldType.NUMBER: _number,
    FieldType.INTEGER: _integer,
    FieldType.BOOLEAN: _boolean,
    FieldType.TIMESTAMP: _timestamp,
}


def _range(field: Field) -> tuple[float, float]:
    """Return the bounds, within those of finite floats, so that one comparison refuses infinity and NaN too."""
    return (
        -_LARGEST if field.min is None else max(-_LARGEST, field.min),
        _LARGEST if field.max is None else min(_LARGEST, field.max),
    )


def _too_long(field: Field, limits: Limits, value: str) -> Problem:
    return Problem(where=field.name, what=Rule.LENGTH, value=f"{len(value)} characters", allowed=limits.length)


def _note_range(field: Field, limits: Limits, value: float, problems: list[Problem], caveats: list[Caveat]) -> None:
    if field.on_range is Policy.FLAG:
        seen = f"{value:g}" if field.pii is Pii.KEEP else "out of range"
        text = f"{field.name} is {seen}; the model knows {limits.range}"
        caveats.append(Caveat(code=CaveatCode.RANGE, field=field.name, value=_to_keep(field, value), text=text))
    else:
        problems.append(Problem(where=field.name, what=Rule.RANGE, value=value, allowed=limits.range))


def _note_unknown_value(
    field: Field, limits: Limits, value: str, problems: list[Problem], caveats: list[Caveat]
) -> None:
    if field.on_unknown is Policy.FLAG:
        seen = repr(shown(value)) if field.pii is Pii.KEEP else "this"
        text = f"{seen} is no known value of {field.name}"
        kept = _to_keep(field, shown(value))
        caveats.append(Caveat(code=CaveatCode.UNKNOWN_VALUE, field=field.name, value=kept, text=text))
    else:
        near = nearest(value, field.values)
        problems.append(
            Problem(where=field.name, what=Rule.UNKNOWN_VALUE, value=shown(value), allowed=limits.values, nearest=near)
        )


def _to_keep(field: Field, value: Any) -> Any:
    """Return the value as a warning may hold it, which is journalled: not where the field is personal."""
    return value if field.pii is Pii.KEEP else None


def _is_unicode(value: str) -> bool:
    """Return whether a text can be written as UTF-8: JSON can smuggle in half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
