"""The OpenAPI document: the hot routes from the types that decode and encode them, the fields from the contract."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import pairwise
from textwrap import dedent
from typing import Any

import msgspec

from mainstay.core.contracts import Contract, Field, FieldType, Policy
from mainstay.core.events import Caveat
from mainstay.data.rules import LARGEST_INTEGER, SMALLEST_INTEGER
from mainstay.serve import wire

Document = dict[str, Any]

VERBS: dict[str, tuple[type[Any], type[Any], str]] = {
    "predict": (wire.PredictRequest, wire.PredictResponse, "Answer rows, and say how far each answer can be trusted."),
    "feedback": (wire.FeedbackRequest, wire.FeedbackResponse, "Tell what was right, or what an answer was worth."),
}
ERRORS = {
    400: "The request is malformed: no JSON, a key twice, not one Host.",
    401: "A key is needed, and none or an unknown one was sent.",
    403: "The key has another scope, or the server was called under a foreign name.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    409: "An id was used before with another key or other inputs.",
    413: "The body or the number of rows is larger than allowed.",
    415: "The body is not `application/json`, or it is compressed.",
    422: "The request breaks the contract: each problem names instance, field, value and what is allowed.",
    500: "Something failed here, or the model gave no usable answer.",
    503: "Too much waits, no version is live yet, or the record cannot be written: send again after Retry-After.",
}
_HOT_ERRORS = {"predict": tuple(ERRORS), "feedback": tuple(status for status in ERRORS if status != 409)}
_PROBES = ("/healthz", "/readyz")
_SHARED = (wire.ErrorProblem, wire.ErrorBody, wire.ErrorResponse)
_DESCRIBED = (wire.Instance, wire.Prediction, wire.FeedbackItem, Caveat)


def complete(document: Document, contracts: Mapping[str, Contract | None]) -> Document:
    """Bring FastAPI's document of the cold routes to what this server does.

    `contracts`: each model's, None while it has none that is loaded: then the inputs are any object here, and what they
    must be is told by a 422. Of several models each has paths of its own, with its own inputs.
    """
    schemas = _schemas()
    document["components"] = {"schemas": schemas}
    named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "enum": list(contracts)}}
    for path, item in document["paths"].items():
        _correct_cold(path, item["get"], named)
    for model, contract in contracts.items():
        alone = len(contracts) == 1
        suffix = "" if alone else f"_{model}"
        if contract is not None:
            _add_inputs(schemas, contract, suffix)
        for verb in VERBS:
            operation = _hot(verb, contract, suffix if contract is not None else "")
            if alone:
                document["paths"][f"/v1/{verb}"] = {"post": operation | {"operationId": verb}}
                document["paths"][f"/v1/models/{{model}}/{verb}"] = {
                    "post": operation | {"operationId": f"{verb}_of_model", "parameters": [named]}
                }
            else:
                document["paths"][f"/v1/models/{model}/{verb}"] = {
                    "post": operation | {"operationId": f"{verb}_of_{model}", "tags": [model]}
                }
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"bearer": []}, {"header": []}, {}]
    return document


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


def _examples(verb: str, contract: Contract | None) -> Document:
    if contract is None:
        return {}
    if verb == "predict":
        inputs = {field.name: _example(field) for field in contract.fields if field.required}
        return {"example": {"instances": [{"inputs": inputs}]}}
    right = next(iter(contract.classes), 1.0)
    return {"example": {"items": [{"id": "ord-1", "value": right}]}}


def _hot(verb: str, contract: Contract | None, suffix: str) -> Document:
    request, response, summary = VERBS[verb]
    own = request.__name__ + (suffix if request is wire.PredictRequest else "")
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _content(own, **_examples(verb, contract))},
        "responses": {
            "200": {"description": "Done", "content": _content(response.__name__)},
            **_errors(_HOT_ERRORS[verb]),
        },
    }


def _correct_cold(path: str, operation: Document, named: Document) -> None:
    statuses = [400, 403, 500]
    if path not in _PROBES:
        statuses += [401, 503]
    if path == "/readyz":
        statuses.append(503)
    if operation.get("parameters"):
        operation["parameters"] = [named]
        statuses.append(404)
    operation["responses"] = {"200": operation["responses"]["200"], **_errors(sorted(statuses))}
    if path in _PROBES:
        operation["security"] = []


def _errors(statuses: Iterable[int]) -> Document:
    return {
        str(status): {"description": ERRORS[status], "content": _content(wire.ErrorResponse.__name__)}
        | ({"headers": {"Retry-After": {"schema": {"type": "integer"}}}} if status == 503 else {})
        for status in statuses
    }


def _content(schema: str, **more: Any) -> Document:
    return {"application/json": {"schema": _ref(schema)} | more}


def _ref(schema: str) -> Document:
    return {"$ref": f"#/components/schemas/{schema}"}


def _schemas() -> Document:
    types = [*_SHARED, *(kind for request, response, _ in VERBS.values() for kind in (request, response))]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for kind in _DESCRIBED:
        for name, text in field_texts(kind).items():
            schemas[kind.__name__]["properties"][name]["description"] = text
    return schemas


def _add_inputs(schemas: Document, contract: Contract, suffix: str) -> None:
    """Say what the inputs of a model are; with a suffix in schemas of its own, from the request down."""
    schemas[f"Inputs{suffix}"] = inputs_schema(contract)
    instance, request = deepcopy(schemas["Instance"]), deepcopy(schemas["PredictRequest"])
    instance["properties"]["inputs"] = _ref(f"Inputs{suffix}")
    request["properties"]["instances"]["items"] = _ref(f"Instance{suffix}")
    schemas[f"Instance{suffix}"], schemas[f"PredictRequest{suffix}"] = instance, request


def field_texts(kind: type[Any]) -> Mapping[str, str]:
    """Return what the docstrings beneath a class's fields say, nothing where its source is not there."""
    try:
        tree = ast.parse(dedent(inspect.getsource(kind))).body[0]
    except (OSError, SyntaxError):
        return {}
    found = {}
    for field, text in pairwise(tree.body if isinstance(tree, ast.ClassDef) else []):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            found[field.target.id] = " ".join(text.value.value.split())
    return found
