"""Open Inference Protocol v2 over REST, with its binary tensor data extension: what `tritonclient.http` speaks.

Each declared field is an input by its name, one value a row; the outputs are those of `_OUTPUTS`. A request's `id` is
given back and is no idempotency key: clients count it up from 1. NaN in a number is a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mainstay import __version__
from mainstay.api import errors, fields, tensors
from mainstay.api.keys import Scope
from mainstay.api.operations import GENERAL, OF_MODEL, WITH_BODY, Content, Operation, fixed
from mainstay.api.routes import JSON, NO_TYPE, Ask, HotRoute, Reply
from mainstay.api.tensors import Tensor
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import ContractViolation, MainstayError, NotFound, NotReady, Problem
from mainstay.data.rules import nearest
from mainstay.serve import strict, wire
from mainstay.serve.live import Live

OCTETS = b"application/octet-stream"
HEADER = b"inference-header-content-length"
PLATFORM = "mainstay"
_TEXTS = frozenset({"BYTES"})
DATATYPES: Mapping[FieldType, tuple[str, frozenset[str]]] = {
    FieldType.TEXT: ("BYTES", _TEXTS),
    FieldType.CATEGORY: ("BYTES", _TEXTS),
    FieldType.TIMESTAMP: ("BYTES", _TEXTS),
    FieldType.IDENTIFIER: ("BYTES", _TEXTS | tensors.WHOLE),
    FieldType.NUMBER: ("FP64", tensors.NUMBERS),
    FieldType.INTEGER: ("INT64", tensors.NUMBERS),
    FieldType.BOOLEAN: ("BOOL", frozenset({"BOOL"})),
}
"""The datatype that the metadata names for a field, and those that are taken."""


async def server(ask: Ask) -> Reply:
    """Tell what this server is."""
    del ask
    return _json({"name": "mainstay", "version": __version__, "extensions": ["binary_tensor_data"]})


async def live(ask: Ask) -> Reply:
    """Say that the process lives."""
    del ask
    return _json({"live": True})


async def ready(ask: Ask) -> Reply:
    """Say whether every model answers."""
    if not ask.hall.ready:
        raise NotReady("Not every model has a version that answers")
    return _json({"ready": True})


async def model_ready(ask: Ask) -> Reply:
    """Say whether one model answers."""
    _live(ask)
    return _json({"name": ask.model, "ready": True})


async def metadata(ask: Ask) -> Reply:
    """Tell what a model takes and gives."""
    found = _live(ask)
    contract = found.champion.loaded.contract
    inputs = [{"name": f.name, "datatype": DATATYPES[f.type][0], "shape": [-1]} for f in contract.fields]
    outputs = [
        {"name": one.name, "datatype": one.datatype, "shape": [-1] if one.width is None else [-1, one.width]}
        | ({"parameters": {"classes": list(_classes(found))}} if one.width is not None else {})
        for one in _outputs([], found)
    ]
    told = {
        "name": ask.model,
        "versions": [str(found.champion.ref.version)],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"required": [field.name for field in contract.fields if field.required]},
    }
    return _json(told)


async def infer(ask: Ask) -> Reply:
    """Answer rows."""
    found = _live(ask)
    head, raw = _split(ask)
    request = _request(head)
    instances = _instances(request, raw, found.champion.loaded.contract, ask.hall.of(ask.model).plan.max_rows)
    wanted = _wanted(request, found)
    worker = ask.hall.of(ask.model)
    call = worker.handler.validate_instances(
        ask.model, instances, client=ask.client, trace_id=ask.trace_id, size=len(ask.body)
    )
    predictions: list[wire.Prediction] = await worker.pending.ask(call)
    made = {one.name: one for one in _outputs(predictions, found)}
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, binary in wanted.items():
        one = made[name]
        output: dict[str, Any] = {"name": name, "datatype": one.datatype, "shape": one.shape}
        if binary:
            parts.append(one.raw())
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = one.values
        outputs.append(output)
    told: dict[str, Any] = {"model_name": ask.model, "model_version": str(found.champion.ref.version)}
    if "id" in request:
        told["id"] = request["id"]
    return _answer(told | {"outputs": outputs}, parts)


def fail(error: MainstayError, status: int) -> Reply:
    """Return an error in the protocol's shape: one text, which names what is wrong and what is allowed."""
    return Reply(body=msgspec.json.encode({"error": errors.text_of(error)}), status=status)


def _live(ask: Ask) -> Live:
    """Return what answers; a version in the path must be that one."""
    found = ask.hall.of(ask.model).handler.live(ask.model)
    version = ask.params.get("version")
    now = str(found.champion.ref.version)
    if version is not None and version != now:
        raise NotFound(
            f"{ask.model!r} has no version {version[:40]!r} that answers; allowed: {now}",
            remedy="Leave the version out: the route says who answers.",
        )
    return found


def _split(ask: Ask) -> tuple[bytes, bytes]:
    """Return the JSON part of a body and the raw tensors behind it."""
    given = ask.headers.get(HEADER)
    if given is None:
        return ask.body, b""
    if not given.isdigit() or int(given) > len(ask.body):
        raise strict.Malformed(
            f"Inference-Header-Content-Length is {given.decode('latin-1')[:40]!r}; allowed: 0 to {len(ask.body)}, the "
            "length of the JSON part"
        )
    return ask.body[: int(given)], ask.body[int(given) :]


def _request(head: bytes) -> dict[str, Any]:
    content = strict.content_of(head)
    if not isinstance(content, dict):
        raise _shape("body", content, 'an object such as {"inputs": […]}')
    for name, kind, allowed in (
        ("id", str, "a text"),
        ("parameters", dict, "an object"),
        ("inputs", list, "a list of inputs"),
        ("outputs", list, "a list of outputs"),
    ):
        if name in content and not isinstance(content[name], kind):
            raise _shape(name, content[name], allowed)
    for name in ("inputs", "outputs"):
        for one in content.get(name, ()):
            if not isinstance(one, dict) or not isinstance(one.get("name"), str):
                raise _shape(name, one, "objects with a name")
            if not isinstance(one.get("parameters", {}), dict):
                raise _shape(f"{one['name']}.parameters", one["parameters"], "an object")
    if not content.get("inputs"):
        raise _shape("inputs", content.get("inputs"), "a list of at least one input")
    return content


def _instances(request: Mapping[str, Any], raw: bytes, contract: Contract, max_rows: int) -> list[wire.Instance]:
    inputs: list[dict[str, Any]] = request["inputs"]
    columns: dict[str, list[Any]] = {}
    place, rows = 0, None
    for one in inputs:
        field = _field(one, contract)
        if field.name in columns:
            raise tensors.wrong(field.name, "stands twice in this request")
        count = tensors.rows_in(field.name, one.get("shape"))
        if rows not in (None, count):
            raise tensors.wrong(field.name, f"has {count} rows", allowed=f"{rows}, as the inputs before it")
        rows = count
        wire.limit(count, max_rows)
        size = one.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = tensors.from_json(field.name, one.get("data"), count)
            _check_json(field.name, one["datatype"], values)
        else:
            if type(size) is not int or not 0 <= size <= len(raw) - place:
                raise tensors.wrong(
                    field.name,
                    "has a binary_data_size that the body does not have",
                    value=size,
                    allowed=len(raw) - place,
                )
            values = tensors.from_raw(field.name, one["datatype"], raw[place : place + size], count)
            place += size
        columns[field.name] = [_present(value) for value in values]
    if place != len(raw):
        raise strict.Malformed(f"The body has {len(raw)} bytes behind its JSON part, of which the inputs name {place}")
    if not rows:
        raise _shape("inputs", rows, "at least one row")
    return [
        wire.Instance(inputs={name: values[row] for name, values in columns.items() if values[row] is not None})
        for row in range(rows)
    ]


def _field(one: Mapping[str, Any], contract: Contract) -> Field:
    name = one["name"]
    field = contract.field(name)
    if field is None or name == contract.target:
        names = [known.name for known in contract.fields]
        problem = Problem(
            where=name[:200], what="is no input of this model", allowed=names, nearest=nearest(name, names)
        )
        raise ContractViolation(f"The input {problem}", problems=[problem])
    allowed = DATATYPES[field.type][1]
    datatype = one.get("datatype")
    if not isinstance(datatype, str) or datatype not in allowed:
        raise tensors.wrong(name, "has another datatype", value=datatype, allowed=sorted(allowed))
    return field


def _check_json(name: str, datatype: str, values: Sequence[Any]) -> None:
    """Hold each value against the datatype that its tensor says it has."""
    for value in values:
        if value is None:
            continue
        if datatype == "BYTES":
            fits = type(value) is str
        elif datatype == "BOOL":
            fits = type(value) is bool
        elif datatype in tensors.WHOLE:
            fits = type(value) is int
        else:
            fits = type(value) in (int, float)
        if not fits:
            raise tensors.wrong(name, f"has a value that is no {datatype}", value=value, allowed=datatype)


def _present(value: Any) -> Any:
    return None if type(value) is float and math.isnan(value) else value


def _wanted(request: Mapping[str, Any], found: Live) -> dict[str, bool]:
    """Return the outputs to give, in order, and whether each goes as bytes."""
    known = [one.name for one in _outputs([], found)]
    default = request.get("parameters", {}).get("binary_data_output") is True
    asked = request.get("outputs")
    if not asked:
        return dict.fromkeys(known, default)
    wanted: dict[str, bool] = {}
    for one in asked:
        if one["name"] not in known:
            problem = Problem(
                where=one["name"][:200],
                what="is no output of this model",
                allowed=known,
                nearest=nearest(one["name"], known),
            )
            raise ContractViolation(f"The output {problem}", problems=[problem])
        parameters = one.get("parameters", {})
        if parameters.get("classification"):
            raise tensors.wrong(one["name"], "is asked for as classification", allowed="the output `probabilities`")
        wanted[one["name"]] = parameters.get("binary_data", default) is True
    return wanted


def _classes(found: Live) -> Sequence[str]:
    return found.champion.loaded.classes


def _outputs(predictions: Sequence[wire.Prediction], found: Live) -> list[Tensor]:
    """Return the outputs of this model, in order."""
    task = found.champion.loaded.contract.task
    is_class = task.is_classification
    labels = [("" if one.label is None else str(one.label)) if is_class else _number(one.label) for one in predictions]
    outputs = [Tensor(name="label", datatype="BYTES" if is_class else "FP64", values=labels)]
    if is_class:
        classes = _classes(found)
        shares = [one.probabilities.get(name, math.nan) for one in predictions for name in classes]
        outputs.append(Tensor(name="probabilities", datatype="FP64", values=shares, width=len(classes)))
    if task is Task.RANKING:
        places = [1 if one.rank is msgspec.UNSET else one.rank for one in predictions]  # a call's only candidate
        outputs.append(Tensor(name="rank", datatype="INT64", values=places))
    if found.explorer is not None:
        chances = [1.0 if (how := one.exploration) is msgspec.UNSET else how.propensity for one in predictions]
        outputs.append(Tensor(name="propensity", datatype="FP64", values=chances))
    return [
        *outputs,
        Tensor(name="confidence", datatype="FP64", values=[_number(one.confidence) for one in predictions]),
        Tensor(name="trust", datatype="BYTES", values=[one.trust.value for one in predictions]),
        Tensor(name="id", datatype="BYTES", values=[one.id for one in predictions]),
        Tensor(name="bundle", datatype="BYTES", values=[one.bundle for one in predictions]),
    ]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _shape(name: str, value: Any, allowed: str) -> ContractViolation:
    problem = Problem(where=name, what="has another shape than the protocol says", value=value, allowed=allowed)
    return ContractViolation(
        f"The request has another shape than documented: {problem}", remedy="See /docs for it.", problems=[problem]
    )


def _json(content: Any, status: int = 200) -> Reply:
    return Reply(body=msgspec.json.encode(content), status=status)


def _answer(told: Mapping[str, Any], parts: Sequence[bytes]) -> Reply:
    head = msgspec.json.encode(told)
    if not parts:
        return Reply(body=head)
    length = str(len(head)).encode()
    return Reply(body=b"".join((head, *parts)), media=OCTETS, headers=((b"inference-header-content-length", length),))


_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_OBJECT: dict[str, Any] = {"type": "object"}
_SHAPE = {
    "type": "array",
    "description": "[n] or [n, 1]",
    "prefixItems": [{"type": "integer", "minimum": 1}, {"const": 1}],
    "items": False,
    "minItems": 1,
}
_ERROR = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items} | more


_OUTPUT = _object(
    ("name", "datatype", "shape"),
    name=_TEXT,
    datatype=_TEXT,
    shape=_list(_WHOLE),
    data={"type": "array"},
    parameters=_OBJECT,
)
_RESPONSE = _object(
    ("model_name", "model_version", "outputs"),
    model_name=_TEXT,
    model_version=_TEXT,
    id=_TEXT,
    outputs=_list(_OUTPUT),
)
_TENSOR = _object(("name", "datatype", "shape"), name=_TEXT, datatype=_TEXT, shape=_list(_WHOLE))
_METADATA = _object(
    ("name", "versions", "platform", "inputs", "outputs"),
    name=_TEXT,
    versions=_list(_TEXT),
    platform=_TEXT,
    inputs=_list(_TENSOR),
    outputs=_list(_TENSOR),
    parameters=_OBJECT,
)


def _request_schema(contract: Contract | None) -> Any:
    """Return the schema of a request; that data is as long as its shape says is not for a schema to say."""
    known = () if contract is None else contract.fields
    inputs = [
        _object(
            ("name", "datatype", "shape"),
            name={"const": field.name},
            datatype={"type": "string", "enum": sorted(DATATYPES[field.type][1])},
            shape=_SHAPE,
            data={"type": "array"},
            parameters=_OBJECT,
        )
        for field in known
    ]
    return _object(
        ("inputs",),
        id=_TEXT,
        parameters=_OBJECT,
        inputs=_list({"anyOf": inputs} if inputs else _TENSOR, minItems=1),
        outputs=_list(_object(("name",), name=_TEXT, parameters=_OBJECT)),
    )


def _example(contract: Contract | None) -> Any:
    types = {field.name: DATATYPES[field.type][0] for field in (contract.fields if contract is not None else ())}
    inputs = [
        {"name": name, "datatype": types[name], "shape": [1], "data": [value]}
        for name, value in fields.example_inputs(contract).items()
    ]
    return {"inputs": inputs, "outputs": [{"name": "label"}]}


_BYTES = Content(schema=fixed({"type": "string", "format": "binary", "description": "JSON, then raw tensors."}))
_SPLIT = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of the JSON part, where raw tensors follow it.",
    "schema": {"type": "integer", "minimum": 0},
}


def _get(
    name: str,
    *paths: str,
    answer: Any,
    summary: str,
    gives: dict[str, Any],
    scope: Scope | None = Scope.READ,
    about: bool = True,
) -> HotRoute:
    return HotRoute(
        name=name,
        paths=paths,
        answer=answer,
        scope=scope,
        method="GET",
        takes=frozenset(),
        about_a_model=about,
        fail=fail,
        operation=Operation(
            summary=summary,
            gives={"application/json": Content(schema=fixed(gives))},
            errors=OF_MODEL if about else (400, 403, 500, 503) if scope is None else GENERAL,
            error=Content(schema=fixed(_ERROR)),
        ),
    )


_FLAG = {"type": "boolean"}
ROUTES = (
    _get(
        "v2",
        "/v2",
        answer=server,
        about=False,
        summary="What this server is",
        gives=_object(("name", "version", "extensions"), name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    ),
    _get(
        "v2_live",
        "/v2/health/live",
        answer=live,
        scope=None,
        about=False,
        summary="Whether the process lives",
        gives=_object(("live",), live=_FLAG),
    ),
    _get(
        "v2_ready",
        "/v2/health/ready",
        answer=ready,
        scope=None,
        about=False,
        summary="Whether every model answers",
        gives=_object(("ready",), ready=_FLAG),
    ),
    _get(
        "v2_model",
        "/v2/models/{model}",
        "/v2/models/{model}/versions/{version}",
        answer=metadata,
        summary="What a model takes and gives",
        gives=_METADATA,
    ),
    _get(
        "v2_model_ready",
        "/v2/models/{model}/ready",
        "/v2/models/{model}/versions/{version}/ready",
        answer=model_ready,
        summary="Whether a model answers",
        gives=_object(("name", "ready"), name=_TEXT, ready=_FLAG),
    ),
    HotRoute(
        name="v2_infer",
        paths=("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"),
        answer=infer,
        scope=Scope.PREDICT,
        takes=frozenset({JSON, OCTETS, NO_TYPE}),  # tritonclient names no type
        refusals_are_kept=True,
        fail=fail,
        operation=Operation(
            summary="Answer rows that come as tensors.",
            takes={"application/json": Content(schema=_request_schema, example=_example), OCTETS.decode(): _BYTES},
            gives={"application/json": Content(schema=fixed(_RESPONSE)), OCTETS.decode(): _BYTES},
            errors=WITH_BODY,
            error=Content(schema=fixed(_ERROR)),
            parameters=(_SPLIT,),
        ),
    ),
)
