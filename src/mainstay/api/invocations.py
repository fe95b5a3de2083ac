"""The container contract of MLflow and SageMaker: `POST /invocations` in all its input forms, `/ping` and the like.

What MLflow reads into a frame is read into rows here, and the contract decides instead of pandas' guesses. The answer
is `{"predictions": […]}` with the labels, as MLflow's own flavors answer; `returns` asks for more. Source: MLflow, the
scoring server's input forms and response; SageMaker, "Use your own inference code".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from mainstay import __version__
from mainstay.api import csv_body, errors, fields
from mainstay.api.keys import Scope
from mainstay.api.operations import GENERAL, WITH_BODY, Content, Operation, fixed, plain_text
from mainstay.api.routes import JSON, Ask, HotRoute, Reply, media_of
from mainstay.core.contracts import Contract
from mainstay.core.errors import ContractViolation, MainstayError, NotReady, Problem
from mainstay.serve import strict, wire

CSV = b"text/csv"
TEXT = b"text/plain; charset=utf-8"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
RETURNS = ("labels", "probabilities", "records")
CODES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's word for each status; BAD_REQUEST for the others."""
Row = dict[str, Any]


async def ping(ask: Ask) -> Reply:
    """Say whether every model answers."""
    if not ask.hall.ready:
        raise NotReady("Not every model has a version that answers")
    return Reply(body=b"\n", media=TEXT)


async def version(ask: Ask) -> Reply:
    """Tell which version of Mainstay answers."""
    del ask
    return Reply(body=__version__.encode(), media=TEXT)


async def invoke(ask: Ask) -> Reply:
    """Answer rows."""
    worker = ask.hall.of(ask.model)
    contract = worker.handler.live(ask.model).champion.loaded.contract
    kind = ask.headers.get(b"content-type", b"")
    _check_parameters(kind)
    asked: Any = parse_qs(ask.query.decode("latin-1")).get("returns", ["labels"])[-1]
    if media_of(kind) == CSV:
        rows = csv_body.rows_of(ask.body, contract, max_rows=worker.plan.max_rows)
    else:
        content = strict.content_of(ask.body, nan=True)
        rows = _rows(content, contract)
        asked = _params(content).get("returns", asked)
    if asked not in RETURNS:
        raise _wrong("returns", "is not known", value=asked, allowed=list(RETURNS))
    if not rows:
        raise _wrong("body", "holds no rows", allowed="at least one row")
    call = worker.handler.validate_instances(
        ask.model,
        [wire.Instance(inputs=row) for row in rows],
        client=ask.client,
        trace_id=ask.trace_id,
        size=len(ask.body),
    )
    predictions: list[wire.Prediction] = await worker.pending.ask(call)
    told = [_told(one, asked) for one in predictions]
    return Reply(body=msgspec.json.encode({"predictions": told, "ids": [one.id for one in predictions]}))


def fail(error: MainstayError, status: int) -> Reply:
    """Return an error in MLflow's shape."""
    content = {"error_code": CODES.get(status, "BAD_REQUEST"), "message": errors.text_of(error)}
    return Reply(body=msgspec.json.encode(content), status=status)


def _told(one: wire.Prediction, returns: str) -> Any:
    if returns == "labels":
        return one.label
    if returns == "probabilities":
        return one.probabilities
    shares = {f"probability_{name}": share for name, share in one.probabilities.items()}
    place = {"rank": rank} if (rank := one.rank) is not msgspec.UNSET else {}
    drawn = {} if (how := one.exploration) is msgspec.UNSET else {"propensity": how.propensity, "drawn": how.drawn}
    return {"label": one.label, **place, "confidence": one.confidence, "trust": one.trust.value, **drawn, **shares}


def _check_parameters(content_type: bytes) -> None:
    for part in content_type.decode("latin-1").split(";")[1:]:
        name, _, value = part.strip().lower().partition("=")
        if (name, value.strip('"')) not in {("charset", "utf-8"), ("charset", "utf8"), ("header", "present"), ("", "")}:
            raise errors.WrongType(f"The body is of {part.strip()[:80]!r}; charset=utf-8 is expected")


def _params(content: Mapping[str, Any]) -> Mapping[str, Any]:
    params = content.get("params")
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise _wrong("params", "is no object", value=params, allowed='{"returns": …}')
    strange = [name for name in params if name != "returns"]
    if strange:
        raise _wrong(f"params.{strange[0][:80]}", "is not known", value=params[strange[0]], allowed=["returns"])
    return params


def _rows(content: Any, contract: Contract) -> list[Row]:
    """Return the rows of a JSON body, whatever its form."""
    if not isinstance(content, dict):
        raise _wrong("body", "is no object", value=content, allowed=f"an object with one of {', '.join(FORMS)}")
    strange = [name for name in content if name not in (*FORMS, "params")]
    given = [name for name in FORMS if name in content]
    if strange or len(given) != 1:
        where = strange[0][:80] if strange else "body"
        what = "is not known" if strange else f"has {len(given)} forms of input"
        raise _wrong(where, what, value=given or None, allowed=f"one of {', '.join(FORMS)}, and params")
    form, data = given[0], content[given[0]]
    if form == "dataframe_split":
        return _split(data)
    if form == "dataframe_records":
        return [_record(row, number) for number, row in enumerate(_list(form, data))]
    if form == "inputs" and isinstance(data, dict):
        return _columns(data)
    return [_instance(row, number, contract) for number, row in enumerate(_list(form, data))]


def _list(form: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise _wrong(form, "is no list", value=data, allowed="a list of rows")
    return data


def _split(data: Any) -> list[Row]:
    columns = data.get("columns") if isinstance(data, dict) else None
    lines = data.get("data") if isinstance(data, dict) else None
    if not isinstance(columns, list) or not isinstance(lines, list) or not set(data) <= {"columns", "index", "data"}:
        raise _wrong("dataframe_split", "has another shape", value=data, allowed='{"columns": […], "data": [[…], …]}')
    names = [name for name in columns if isinstance(name, str)]
    if len(set(names)) != len(columns):
        raise _wrong("dataframe_split.columns", "are not all different texts", value=columns, allowed="each name once")
    for number, line in enumerate(lines):
        if not isinstance(line, list) or len(line) != len(names):
            raise _wrong(
                "dataframe_split.data", "is not one value for each column", value=line, allowed=len(names), row=number
            )
    return [_kept(zip(names, line, strict=True)) for line in lines]


def _columns(data: Mapping[str, Any]) -> list[Row]:
    """Return the rows of columns by name; single values are one row."""
    columns = {
        name: [one[0] if type(one) is list and len(one) == 1 else one for one in column]
        for name, column in data.items()
        if isinstance(column, list)
    }
    if not columns:
        return [_kept(data.items())]
    lengths = {name: len(column) for name, column in columns.items()}
    rows = next(iter(lengths.values()))
    odd = next((name for name in data if lengths.get(name) != rows), None)
    if odd is not None:
        allowed = f"a list of {rows}, as the columns before it"
        raise _wrong(f"inputs.{odd[:80]}", "has another length", value=lengths.get(odd), allowed=allowed)
    return [_kept((name, column[row]) for name, column in columns.items()) for row in range(rows)]


def _instance(row: Any, number: int, contract: Contract) -> Row:
    """Return one row: an object by name, or values in the order in which the fields are declared."""
    if isinstance(row, dict):
        return _kept(row.items())
    values: Sequence[Any] = row if isinstance(row, list) else [row]
    names = [field.name for field in contract.fields]
    needed = [field.name for field in contract.fields if field.required] or names
    if len(values) not in (len(names), len(needed)):
        allowed = f"an object, or {len(names)} values in the order {', '.join(names)}, or the {len(needed)} needed ones"
        raise _wrong("instances", "is no row of this model", value=row, allowed=allowed, row=number)
    return _kept(zip(names if len(values) == len(names) else needed, values, strict=True))


def _record(row: Any, number: int) -> Row:
    if not isinstance(row, dict):
        raise _wrong("dataframe_records", "is no object", value=row, allowed="an object with the fields", row=number)
    return _kept(row.items())


def _kept(pairs: Any) -> Row:
    """Return a row without what is missing: pandas writes it as null or NaN."""
    return {
        name: value for name, value in pairs if value is not None and not (type(value) is float and math.isnan(value))
    }


def _wrong(where: str, what: str, *, value: Any = None, allowed: Any = None, row: int | None = None) -> MainstayError:
    problem = Problem(where=where, what=what, value=value, allowed=allowed, row=row)
    return ContractViolation(
        f"The request cannot be read: {problem}", remedy="See /docs for the forms.", problems=[problem]
    )


_ANSWER = {
    "type": "object",
    "properties": {
        "predictions": {"type": "array", "description": "Labels, or what `returns` asks for."},
        "ids": {"type": "array", "items": {"type": "string"}, "description": "By which feedback names the rows."},
    },
    "required": ["predictions", "ids"],
}
_ERROR = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}


def _forms_schema(contract: Contract | None) -> Any:
    row = {"type": "object"} if contract is None else fields.inputs_schema(contract)
    rows = {"type": "array", "minItems": 1}
    split = {
        "type": "object",
        "properties": {
            "columns": rows | {"items": {"type": "string"}, "uniqueItems": True},
            "index": {},
            "data": rows | {"items": {"type": "array"}, "description": "One value for each column."},
        },
        "required": ["columns", "data"],
        "additionalProperties": False,
    }
    lists = {"description": "Values in the order of the fields: all of them, or those that are needed."}
    columns = {"type": "object", "description": "Columns by name, all of one length; or single values of one row."}
    forms = {
        "dataframe_split": split,
        "dataframe_records": rows | {"items": row},
        "instances": rows | {"items": {"anyOf": [row, lists]}},
        "inputs": {"anyOf": [columns, rows]},
    }
    params = {
        "type": "object",
        "properties": {"returns": {"type": "string", "enum": list(RETURNS)}},
        "additionalProperties": False,
    }
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {name: form, "params": {"anyOf": [params, {"type": "null"}]}},
                "required": [name],
                "additionalProperties": False,
            }
            for name, form in forms.items()
        ]
    }


def _example(contract: Contract | None) -> Any:
    return {"dataframe_records": [fields.example_inputs(contract)]}


def _csv_example(contract: Contract | None) -> Any:
    inputs = fields.example_inputs(contract)
    return f"{','.join(inputs)}\n{','.join(str(value) for value in inputs.values())}\n"


def _probe(name: str, *paths: str, answer: Any, summary: str, scope: Scope | None = None) -> HotRoute:
    return HotRoute(
        name=name,
        paths=paths,
        answer=answer,
        scope=scope,
        method="GET",
        takes=frozenset(),
        about_a_model=False,
        fail=fail,
        operation=Operation(
            summary=summary,
            gives={"text/plain": plain_text(summary)},
            errors=(400, 403, 500, 503) if scope is None else GENERAL,
            error=Content(schema=fixed(_ERROR)),
        ),
    )


ROUTES = (
    HotRoute(
        name="invocations",
        paths=("/invocations", "/v1/models/{model}/invocations"),
        answer=invoke,
        scope=Scope.PREDICT,
        takes=frozenset({JSON, CSV}),
        refusals_are_kept=True,
        fail=fail,
        operation=Operation(
            summary="Answer rows as MLflow's scoring server and SageMaker's containers do.",
            takes={
                "application/json": Content(schema=_forms_schema, example=_example),
                "text/csv": Content(
                    schema=fixed({"type": "string", "description": "Names in the first line, then one row on each."}),
                    example=_csv_example,
                ),
            },
            gives={"application/json": Content(schema=fixed(_ANSWER))},
            errors=WITH_BODY,
            error=Content(schema=fixed(_ERROR)),
            parameters=({"name": "returns", "in": "query", "schema": {"type": "string", "enum": list(RETURNS)}},),
        ),
    ),
    _probe("ping", "/ping", "/health", answer=ping, summary="Whether every model answers"),
    _probe("version", "/version", answer=version, summary="Which version of Mainstay answers", scope=Scope.READ),
)
