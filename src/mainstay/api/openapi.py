"""The OpenAPI document: the hot routes from their table and the types that decode and encode them, the fields from the
contract.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from textwrap import dedent
from typing import Any

import msgspec

from mainstay.api import fields, table
from mainstay.api.operations import Content, Operation
from mainstay.api.routes import HotRoute
from mainstay.core.contracts import Contract
from mainstay.core.events import Caveat
from mainstay.serve import wire

Document = dict[str, Any]

ERRORS = {
    400: "The request is malformed: no JSON, a key twice, not one Host.",
    401: "A key is needed, and none or an unknown one was sent.",
    403: "The key has another scope, or the server was called under a foreign name.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    409: "An id was used before with another key or other inputs.",
    413: "The body or the number of rows is larger than allowed.",
    415: "The body is of another type than named here, or it is compressed.",
    422: "The request breaks the contract: each problem names instance, field, value and what is allowed.",
    429: "More requests came than this key or address may send: send again after Retry-After.",
    500: "Something failed here, or the model gave no usable answer.",
    503: "Too much waits, no version is live yet, or the record cannot be written: send again after Retry-After.",
}
_PROBES = ("/healthz", "/readyz")
_SHARED = (wire.ErrorProblem, wire.ErrorBody, wire.ErrorResponse)
_DESCRIBED = (wire.Instance, wire.Prediction, wire.FeedbackItem, wire.ExternalEvent, wire.EventResult, Caveat)
_OWN_OF_MODEL = (wire.Instance.__name__, wire.PredictRequest.__name__)
"""Schemas that each of several models has for itself, as its inputs stand in them."""


def complete(
    document: Document, contracts: Mapping[str, Contract | None], hot: Sequence[HotRoute] = table.HOT
) -> Document:
    """Bring FastAPI's document of the cold routes to what this server does.

    `contracts`: each model's, None while it has none that is loaded: then the inputs are any object here, and what they
    must be is told by a 422. Of several models each has paths of its own, with its own inputs.
    """
    schemas = _schemas(hot)
    document["components"] = {"schemas": schemas}
    named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "enum": list(contracts)}}
    paths = document["paths"]
    for path, item in paths.items():
        _correct_cold(path, item["get"], named)
    alone = len(contracts) == 1
    for model, contract in contracts.items():
        suffix = "" if alone else f"_{model}"
        if contract is not None:
            _add_inputs(schemas, contract, suffix)
        own = suffix if contract is not None else ""
        for route in hot:
            if not route.about_a_model and model != next(iter(contracts)):
                continue  # it stands there already
            for path, name in _paths(route, model, alone=alone):
                made = _operation(route, path, name, contract, own)
                if "{model}" in path:
                    made["parameters"] = [named, *made.get("parameters", ())]
                if not alone and route.about_a_model:
                    made["tags"] = [model]
                _merge(paths.setdefault(path, {}), route.method.lower(), made)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"bearer": []}, {"header": []}, {}]
    return document


def _paths(route: HotRoute, model: str, *, alone: bool) -> Iterator[tuple[str, str]]:
    """Yield where a route is found for a model, and the name of each operation; what is about no model once."""
    for number, path in enumerate(route.paths):
        of_model = "{model}" in path and "{model}" not in route.paths[0]
        name = route.name + ("_of_version" if "{version}" in path else "")
        if alone or not route.about_a_model:
            twin = f"_{number + 1}" if number and not of_model and "{version}" not in path else ""
            yield path, f"{name}_of_model" if of_model else f"{name}{twin}"
        elif "{model}" in path:
            yield path.replace("{model}", model), f"{name}_of_{model}"


def _operation(route: HotRoute, path: str, name: str, contract: Contract | None, suffix: str) -> Document:
    says = route.operation
    if says is None:
        return {"summary": route.name, "operationId": name, "responses": {"200": {"description": "Done"}}}
    responses = {
        "200": {"description": "Done", "content": _contents(says.gives, contract, suffix)},
        **_errors(says.errors, _contents({"application/json": says.error}, contract, suffix)),
        **{
            str(status): {"description": "No", "content": _contents({"application/json": body}, contract, suffix)}
            for status, body in says.says_no.items()
        },
    }
    made: Document = {"summary": says.summary, "operationId": name, "responses": responses}
    if says.takes:
        made["requestBody"] = {"required": True, "content": _contents(says.takes, contract, suffix)}
    if says.parameters or "{version}" in path:
        made["parameters"] = [*([_VERSION] if "{version}" in path else []), *says.parameters]
    if route.scope is None:
        made["security"] = []
    return made


_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "The version that answers now.",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
    "example": "1",
}


def _merge(item: Document, method: str, made: Document) -> None:
    """Add an operation to a path; one that takes other bodies than those there is the same operation to a reader."""
    before = item.get(method)
    if before is None:
        item[method] = made
        return
    before["requestBody"]["content"].update(made["requestBody"]["content"])
    for status, response in made["responses"].items():
        there = before["responses"].setdefault(status, response)
        there["content"] = there["content"] | response["content"]


def _contents(contents: Mapping[str, Content], contract: Contract | None, suffix: str) -> Document:
    return {media: _content(one, contract, suffix) for media, one in contents.items()}


def _content(content: Content, contract: Contract | None, suffix: str) -> Document:
    if isinstance(content.schema, type):
        name = content.schema.__name__
        schema = _ref(name + suffix if name in _OWN_OF_MODEL else name)
    else:
        schema = content.schema(contract)
    made: Document = {"schema": schema}
    if content.example is not None:
        made["example"] = content.example(contract)
    return made


def _errors(statuses: Iterable[int], content: Document) -> Document:
    return {
        str(status): {"description": ERRORS[status], "content": content}
        | ({"headers": {"Retry-After": {"schema": {"type": "integer"}}}} if status in (429, 503) else {})
        for status in sorted(set(statuses))
    }


def _correct_cold(path: str, operation: Document, named: Document) -> None:
    statuses = [400, 403, 500]
    if path not in _PROBES:
        statuses += [401, 429, 503]
    if path == "/readyz":
        statuses.append(503)
    if operation.get("parameters"):
        operation["parameters"] = [named]
        statuses.append(404)
    own = {"application/json": {"schema": _ref(wire.ErrorResponse.__name__)}}
    operation["responses"] = {"200": operation["responses"]["200"], **_errors(statuses, own)}
    if path in _PROBES:
        operation["security"] = []


def _ref(schema: str) -> Document:
    return {"$ref": f"#/components/schemas/{schema}"}


def _types(says: Operation) -> Iterator[type[msgspec.Struct]]:
    for content in (*says.takes.values(), *says.gives.values(), says.error):
        if isinstance(content.schema, type):
            yield content.schema


def _schemas(hot: Sequence[HotRoute]) -> Document:
    told = [kind for route in hot if route.operation is not None for kind in _types(route.operation)]
    types = list(dict.fromkeys([*_SHARED, *told, *_DESCRIBED]))
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for kind in _DESCRIBED:
        for name, text in field_texts(kind).items():
            schemas[kind.__name__]["properties"][name]["description"] = text
    return schemas


def _add_inputs(schemas: Document, contract: Contract, suffix: str) -> None:
    """Say what the inputs of a model are; with a suffix in schemas of its own, from the request down."""
    schemas[f"Inputs{suffix}"] = fields.inputs_schema(contract)
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
