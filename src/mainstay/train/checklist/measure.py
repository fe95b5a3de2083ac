"""What the model does with each case, and how many behave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.errors import ProjectFileError
from mainstay.models import answers
from mainstay.models.answers import Answer
from mainstay.models.load import LoadedModel
from mainstay.train.checklist.cases import Case, Maker, Row
from mainstay.train.checklist.declared import FILE, Declared, Direction, Invariance, Minimum
from mainstay.train.fit import quiet

EXAMPLES = 3
Table = Minimum | Invariance | Direction


def measure(model: LoadedModel, declared: Declared, test: Sequence[Row], *, seed: int) -> list[dict[str, Any]]:
    """Return for each table, JSON-ready: `kind`, `name`, `cases`, `right`, `at_least`, `examples` of what went wrong.

    Raises ProjectFileError for a table that cannot be asked; a model that raises on a table's rows has none right, and
    `error` says why.
    """
    maker = Maker(model.contract, test, declared, seed=seed)
    return [_asked(model, table, maker.cases(table)) for table in declared.tables]


def _asked(model: LoadedModel, table: Table, cases: Sequence[Case]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": type(table).__name__.lower(),
        "name": table.name,
        "cases": len(cases),
        "right": 0,
        "at_least": table.at_least,
        "examples": [],
        "error": "",
    }
    _require(table, model.contract)
    try:
        with quiet():
            before = answers.answer(model, [case.row for case in cases])
            after = answers.answer(model, [case.changed for case in cases if case.changed is not None])
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        return found | {"error": f"{type(error).__name__}: {error}"[:200]}
    changed = iter(after)
    for case, one in zip(cases, before, strict=True):
        other = next(changed) if case.changed is not None else None
        if _behaves(table, one, other):
            found["right"] += 1
        elif len(found["examples"]) < EXAMPLES:
            found["examples"].append(_example(table, case, one, other))
    return found


def _require(table: Table, contract: Contract) -> None:
    named = table.answer if isinstance(table, Minimum) else table.of if isinstance(table, Direction) else None
    if contract.task.is_classification:
        if isinstance(table, Direction) and named is None:
            raise _wrong(table, "does not say whose probability moves (`of`)", contract.classes)
        if named is not None and named not in contract.classes:
            raise _wrong(table, f"names the class {named!r}, which is not declared", contract.classes)
    elif isinstance(named, str):
        raise _wrong(table, f"names the class {named!r}, and answers are numbers", ("a number",))


def _behaves(table: Table, before: Answer, after: Answer | None) -> bool:
    if isinstance(table, Minimum) or after is None:
        wanted = table.answer if isinstance(table, Minimum) else None
        if isinstance(wanted, str):
            return bool(before.label == wanted)
        return wanted is not None and abs(float(before.label) - wanted) <= table.tolerance  # type: ignore[union-attr]
    if isinstance(table, Invariance):
        if not before.probabilities:
            return abs(float(after.label) - float(before.label)) <= table.tolerance
        moved = max(abs(after.probabilities[name] - p) for name, p in before.probabilities.items())
        return moved <= table.tolerance if table.tolerance else bool(after.label == before.label)
    move = _value(after, table.of) - _value(before, table.of)
    match table.expect:
        case "up":
            return move > table.least
        case "down":
            return -move > table.least
        case "not_up":
            return move <= table.least
        case _:
            return -move <= table.least


def _value(answer: Answer, of: str | None) -> float:
    return float(answer.label) if of is None else answer.probabilities.get(of, math.nan)


def _example(table: Table, case: Case, before: Answer, after: Answer | None) -> dict[str, Any]:
    of = table.of if isinstance(table, Direction) else None
    shown: dict[str, Any] = {
        "inputs": {k: str(v) for k, v in case.row.items() if v is not None},
        "answer": before.label if of is None else _value(before, of),
    }
    if isinstance(table, Minimum):
        return shown | {"expected": table.answer}
    if case.changed is not None and after is not None:
        new = {k: str(v) for k, v in case.changed.items() if v != case.row.get(k)}
        shown |= {"changed": new, "then": after.label if of is None else _value(after, of)}
    return shown


def _wrong(table: Table, what: str, allowed: Sequence[str]) -> ProjectFileError:
    return ProjectFileError(f"{FILE}: {table.name!r} {what}", remedy=f"Allowed: {', '.join(allowed)}.")
