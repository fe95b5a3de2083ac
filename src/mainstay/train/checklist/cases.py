"""From a table to rows: what is asked, and what it is compared with. Every row is held to the contract."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np

from mainstay.core.contracts import Contract, Field, FieldType
from mainstay.core.errors import ProjectFileError
from mainstay.data.request_check import RequestCheck, compile_request_check
from mainstay.train.checklist.declared import FILE, Declared, Direction, Invariance, Minimum
from mainstay.train.stress import fields, texts

Row = Mapping[str, Any]
_STEP = re.compile(r"([+\-*])\s*(\d+(?:\.\d+)?)")
_NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row that is asked, and one that its answer is compared with."""

    row: Row
    changed: Row | None = None
    """None: the answer is compared with the declared one."""


class Maker:
    """Makes cases for one contract. `test` are the frozen test rows, as checked values."""

    def __init__(self, contract: Contract, test: Sequence[Row], declared: Declared, *, seed: int) -> None:
        self._contract = contract
        self._check: RequestCheck = compile_request_check(contract)
        some = np.sort(np.random.default_rng(seed).permutation(len(test))[: declared.most_rows]).tolist()
        self._test = [test[i] for i in some]
        self._every_row = declared.every_row
        self._seed = seed

    def cases(self, table: Minimum | Invariance | Direction) -> list[Case]:
        """Return a table's cases. Raises ProjectFileError for a row that the contract refuses, and what cannot be."""
        if isinstance(table, Minimum):
            return [Case(row=row) for family in self._families(table) for row in family]
        if isinstance(table, Invariance) and table.harm is not None:
            return self._harmed(table, table.harm)
        if isinstance(table, Invariance) and not table.change:
            if not table.fill:
                raise _wrong(table.name, "changes nothing", "give it `change`, `harm` or `fill`")
            return [Case(row=family[0], changed=other) for family in self._families(table) for other in family[1:]]
        found = []
        for family in self._families(table):
            for row in family:
                found += [Case(row=row, changed=new) for new in self._changes(table, row)]
        return found

    def _families(self, table: Minimum | Invariance | Direction) -> Iterator[list[Row]]:
        """Yield each row with everything that its texts may be filled with."""
        if table.inputs is None:
            for row in self._test:
                yield [row]
            return
        for inputs in table.inputs:
            marks = [
                name for name in table.fill if any(f"{{{name}}}" in v for v in inputs.values() if isinstance(v, str))
            ]
            family = []
            for choice in product(*(table.fill[name] for name in marks)):
                filled = {**self._every_row, **inputs}
                for name, word in zip(marks, choice, strict=True):
                    filled = {k: v.replace(f"{{{name}}}", word) if isinstance(v, str) else v for k, v in filled.items()}
                family.append(self._checked(table.name, filled))
            yield family

    def _checked(self, table: str, inputs: Row, only: Collection[str] | None = None) -> Row:
        """Return the checked row; with `only` these fields of a row whose others were checked before."""
        found = self._check.check(inputs)
        problems = [one for one in found.problems if only is None or one.where in only]
        if problems:
            one = problems[0]
            raise ProjectFileError(
                f"{FILE}: {table!r} has a row that the contract refuses: {one.where} = {one.value!r} {one.what}",
                remedy="Correct the row; requests like it get no answer.",
                problems=problems,
            )
        return found.values if only is None else {**inputs, **{name: found.values[name] for name in only}}

    def _changes(self, table: Invariance | Direction, row: Row) -> Iterator[Row]:
        """Yield the row with its changes made; one of which each is a list gives as many rows."""
        known = {f.name: f for f in self._contract.fields}
        for name in table.change:
            if name not in known:
                raise _wrong(table.name, f"changes {name!r}, which is no declared field", f"one of {', '.join(known)}")
        options = [value if isinstance(value, list) else [value] for value in table.change.values()]
        for choice in product(*options):
            new = dict(row)
            for name, value in zip(table.change, choice, strict=True):
                new[name] = _changed(known[name], row.get(name), value)
            if any(new[name] != row.get(name) for name in table.change):
                yield self._checked(table.name, new, table.change)

    def _harmed(self, table: Invariance, harm: str) -> list[Case]:
        kinds = {kind.name: kind for kind in [*texts.kinds(self._contract), *fields.kinds(self._contract, self._test)]}
        kind = kinds.get(harm)
        if kind is None or kind.why_not:
            why = kind.why_not if kind else "it is no kind of stress"
            raise _wrong(table.name, f"asks for {harm!r}: {why}", f"one of {', '.join(kinds)}")
        random = np.random.default_rng([self._seed, crc32(table.name.encode())])
        found = []
        for row in (row for family in self._families(table) for row in family):
            new = dict(row)
            if kind.change(new, table.strength, random) is not None and not self._check.check(new).problems:
                found.append(Case(row=row, changed=new))
        return found


def _changed(field: Field, before: Any, value: Any) -> Any:
    """Return what a field becomes."""
    if field.type is FieldType.TEXT and isinstance(value, str) and "{}" in value:
        return value.replace("{}", before or "")
    step = _STEP.fullmatch(value) if isinstance(value, str) and field.type in _NUMBERS else None
    if step is None:
        return value
    if before is None:
        return None
    sign, size = step[1], float(step[2])
    new = before * size if sign == "*" else before + size if sign == "+" else before - size
    return round(new) if field.type is FieldType.INTEGER else new


def _wrong(table: str, what: str, allowed: str) -> ProjectFileError:
    return ProjectFileError(f"{FILE}: {table!r} {what}", remedy=f"Allowed: {allowed}.")
