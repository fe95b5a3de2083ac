"""Features as plain functions: what one is, and how it is declared.

    import mainstay

    @mainstay.feature(owner="payments", description="What one item of the order costs", cost_us=0.3)
    def price_per_item(amount: float, items: int) -> float | None:
        return amount / items if items else None

The parameters are the names of fields; the function is called with one row's values (None where missing), so it cannot
look at other rows, and it stays a function that a notebook or a test calls. With `over="columns"` it is called once
with a Polars Series for each field and returns a Series, for what is too slow row by row; it must still make of each
row what it makes of the row alone, which the gate and the watch look at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from mainstay.core.contracts import FieldType
from mainstay.core.errors import ProjectFileError

COLLECTED: ContextVar[list[Feature] | None] = ContextVar("collected", default=None)
"""Where declarations are noted while a file is run: of two of one name, Python itself would keep the last."""
MARK = "__mainstay_feature__"
"""Attribute of a declared function that holds its `Feature`."""
_TYPES = {
    "float": FieldType.NUMBER,
    "int": FieldType.INTEGER,
    "bool": FieldType.BOOLEAN,
    "str": FieldType.TEXT,
    "datetime": FieldType.TIMESTAMP,
}
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Over(StrEnum):
    """What a feature's function is called with."""

    ROW = "row"
    """The values of one row."""
    COLUMNS = "columns"
    """A Polars Series for each field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One declared feature."""

    name: str
    owner: str
    """Who answers for it."""
    description: str
    inputs: tuple[str, ...]
    """Names of the fields that it is made of, in the order of the parameters."""
    type: FieldType
    """What it gives: a number may be missing (None), a text too; an integer or boolean may not."""
    cost_us: float | None
    """What it is said to cost (microseconds a row); None: nobody said."""
    over: Over
    function: Callable[..., Any]
    line: int
    """Of its file."""


def feature(
    *,
    owner: str,
    description: str,
    dtype: str | None = None,
    cost_us: float | None = None,
    over: str = "row",
    name: str | None = None,
) -> Callable[[_Function], _Function]:
    """Declare a function as a feature and leave it as it is.

    `dtype` is number, integer, boolean, text, category or timestamp; without it the return annotation says it.
    `cost_us` is what it should cost (microseconds a row); `mainstay features` measures beside it. Raises
    ProjectFileError, with file and line, for a declaration that says too little.
    """

    def declare(function: _Function) -> _Function:
        code = getattr(function, "__code__", None)
        where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)
        if code is None or not function.__name__.isidentifier():
            raise ProjectFileError(f"{where} is no plain function, and cannot be a feature")
        if not owner.strip() or not description.strip():
            raise _wrong(where, function, "needs an owner and a description", "Say who answers for it and what it is.")
        if over not in set(Over):
            raise _wrong(where, function, f"is over {over!r}", 'over is "row" or "columns".')
        if cost_us is not None and not cost_us >= 0:
            raise _wrong(where, function, f"costs {cost_us!r} µs", "cost_us is 0 or more.")
        declared = Feature(
            name=name or function.__name__,
            owner=owner,
            description=description,
            inputs=_inputs(function, where),
            type=_type(function, dtype, where),
            cost_us=cost_us,
            over=Over(over),
            function=function,
            line=code.co_firstlineno,
        )
        setattr(function, MARK, declared)
        collected = COLLECTED.get()
        if collected is not None:
            collected.append(declared)
        return function

    return declare


def _inputs(function: Callable[..., Any], where: str) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or any(p.kind not in plain or p.default is not p.empty for p in parameters):
        raise _wrong(
            where,
            function,
            f"takes {inspect.signature(function)}",
            "Its parameters are the names of the fields that it is made of, without defaults, * and **.",
        )
    return tuple(p.name for p in parameters)


def _type(function: Callable[..., Any], dtype: str | None, where: str) -> FieldType:
    allowed = [kind.value for kind in FieldType if kind is not FieldType.IDENTIFIER]
    if dtype is not None:
        if dtype not in allowed:
            raise _wrong(where, function, f"is of dtype {dtype!r}", f"dtype is one of {', '.join(allowed)}.")
        return FieldType(dtype)
    said = function.__annotations__.get("return")
    text = said if isinstance(said, str) else getattr(said, "__name__", str(said))
    named = [part.strip().rpartition(".")[2] for part in text.split("|") if part.strip() != "None"]
    if len(named) != 1 or named[0] not in _TYPES:
        raise _wrong(
            where,
            function,
            f"gives {text!r}, which names no type",
            f"Annotate what it returns (float, int, bool, str, datetime), or give dtype: one of {', '.join(allowed)}.",
        )
    return _TYPES[named[0]]


def _wrong(where: str, function: Callable[..., Any], what: str, remedy: str) -> ProjectFileError:
    return ProjectFileError(f"{where}: the feature {function.__name__} {what}", remedy=remedy)
