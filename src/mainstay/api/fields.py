"""The contract's fields as JSON Schema, and examples of them."""

from __future__ import annotations

from typing import Any

from mainstay.core.contracts import Contract, Field, FieldType, Policy
from mainstay.data.rules import LARGEST_INTEGER, SMALLEST_INTEGER

Document = dict[str, Any]


def inputs_schema(contract: Contract) -> Document:
    """Return the JSON schema of one row's inputs. An undeclared field may be null, which is the same as absent."""
    return {
        "title": "Inputs",
        "description": "The declared fields of one row.",
        "type": "object",
        "properties": {field.name: _field(field) for field in contract.fields},
        "required": [field.name for field in contract.fields if field.required],
        "additionalProperties": {"type": "null"},
    }


def _field(field: Field) -> Document:
    schema = _plain_field(field)
    if not field.required:
        schema = {"anyOf": [schema, {"type": "null"}]}
    flagged = [
        word for word, policy in (("value", field.on_unknown), ("range", field.on_range)) if policy is Policy.FLAG
    ]
    if flagged:
        schema["description"] = f"An unknown {' or '.join(flagged)} is answered with a warning."
    return schema


def _plain_field(field: Field) -> Document:
    text: Document = {"type": "string"} | ({} if field.max_chars is None else {"maxLength": field.max_chars})
    bounds: Document = {}
    if field.on_range is Policy.REFUSE:
        pairs = (("minimum", field.min), ("maximum", field.max))
        bounds = {word: bound for word, bound in pairs if bound is not None}
    match field.type:
        case FieldType.TEXT:
            return text
        case FieldType.CATEGORY:
            closed = field.values and field.on_unknown is Policy.REFUSE
            return {"type": "string", "enum": list(field.values)} if closed else text
        case FieldType.IDENTIFIER:
            return {"anyOf": [text | {"minLength": 1}, _whole()]}
        case FieldType.NUMBER:
            return {"type": "number"} | bounds
        case FieldType.INTEGER:
            return _whole() | bounds
        case FieldType.BOOLEAN:
            return {"type": "boolean"}
        case FieldType.TIMESTAMP:
            return {"type": "string", "format": "date-time"}


def _whole() -> Document:
    return {"type": "integer", "minimum": SMALLEST_INTEGER, "maximum": LARGEST_INTEGER}


def example_inputs(contract: Contract | None) -> Document:
    """Return inputs that the contract takes: its required fields."""
    fields = contract.fields if contract is not None else ()
    return {field.name: _example(field) for field in fields if field.required}


def _example(field: Field) -> Any:
    low = field.min if field.min is not None else min(1.0, field.max if field.max is not None else 1.0)
    made = {
        FieldType.TEXT: "hello"[: field.max_chars],
        FieldType.CATEGORY: next(iter(field.values), "a"),
        FieldType.IDENTIFIER: "c-1042"[: field.max_chars],
        FieldType.NUMBER: low,
        FieldType.INTEGER: int(-(-low // 1)),
        FieldType.BOOLEAN: True,
        FieldType.TIMESTAMP: "2026-01-31T16:00:00Z",
    }
    return made[field.type]
