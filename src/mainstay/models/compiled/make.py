"""From a fitted model to its compiled form, with what the bundle says about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.core.contracts import Contract, FieldType, Task
from mainstay.models.compiled import build, parity, program_file
from mainstay.models.compiled.known import NotKnown
from mainstay.models.compiled.parts import Floats, Program, Row
from mainstay.models.inputs import InputSpec

COMPILED = "compiled"
"""Name of this runtime."""
_TEXTS = (FieldType.TEXT, FieldType.CATEGORY, FieldType.IDENTIFIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of the attempt."""

    told: dict[str, Any]
    """parity.json: which runtime serves, why, and how the comparison went."""
    program: Program | None = None
    data: bytes | None = None
    """The program as it lies in the bundle."""
    tolerance: float = 0.0
    """How far its answers may lie from the estimator's."""


def compile_model(
    estimator: Any,
    contract: Contract,
    spec: InputSpec,
    *,
    classes: Sequence[str],
    original: Callable[[Sequence[Row]], Floats],
    rows: Sequence[Row],
    handed: parity.Handed = parity.as_they_are,
) -> Made:
    """Compile a fitted estimator if its arithmetic is known and the result answers `rows` as it does.

    `classes` names the estimator's classes in its own order. `original` answers checked rows as it does: shape
    (n, classes), in that order, or (n,). `handed` makes of checked rows what the program takes: where there is feature
    code, its columns.
    """
    try:
        if contract.task is Task.RANKING and hasattr(estimator, "predict_proba"):
            raise NotKnown("a score made of a classifier's probabilities")
        text, fields = _form(contract, spec, estimator)
        described = build.describe(estimator, fields=fields, text=text)
    except NotKnown as reason:
        own = getattr(estimator, "flavor", "") or "sklearn"
        return Made(told={"runtime": own, "why": f"the estimator itself answers: {reason} is not compiled"})
    tolerance = parity.TOLERANCE_32 if described["head"].get("sums_in_32_bits") else parity.TOLERANCE
    asked, strange = parity.asked_rows(contract, rows), parity.strange_rows(contract, rows)
    program, held = parity.hold(described, original, asked, strange=strange, tolerance=tolerance, handed=handed)
    told = {"rows": held.rows, "largest_difference": held.largest, "tolerance": tolerance}
    if program is None:
        why = f"the estimator itself answers: compiled, {held.why}"
        return Made(told={"runtime": "sklearn", "why": why, "rows": held.rows, "tolerance": tolerance})
    described["classes"] = list(classes)
    data = program_file.encode(described)
    return Made(told={"runtime": COMPILED, "why": held.why, **told}, program=program, data=data, tolerance=tolerance)


def _form(contract: Contract, spec: InputSpec, estimator: Any) -> tuple[str | None, list[str]]:
    """Return the one text field that the estimator takes, or None and the names of its columns."""
    if spec.input is None:
        if spec.features is not None:
            names = getattr(estimator, "feature_names_in_", None)
            if names is None:
                raise NotKnown("an estimator that does not tell which columns of the feature code it takes")
            return None, [str(name) for name in names]
        return None, list(spec.takes) or [field.name for field in contract.features]
    field = contract.field(spec.input)
    if spec.features is None and (field is None or field.type not in _TEXTS):
        raise NotKnown(f"a one-dimensional input that is no text ({spec.input})")
    return spec.input, []
