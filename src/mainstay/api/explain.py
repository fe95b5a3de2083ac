"""Why an answer is as it is, for rows or for a recorded prediction.

The scope is `read`: an explanation tells how the model weighs its inputs, and of an id what a record holds, which is
more than whoever may ask for answers need know.
"""

from __future__ import annotations

import msgspec

from mainstay.api import fields
from mainstay.api.keys import Scope
from mainstay.api.operations import WITH_BODY, Content, Document, Operation
from mainstay.api.routes import Ask, HotRoute, Reply
from mainstay.core.contracts import Contract
from mainstay.serve import wire


async def explain(ask: Ask) -> Reply:
    """Explain rows, or a recorded prediction."""
    return Reply(body=await ask.hall.of(ask.model).explaining.answer(ask.model, ask.body))


def _example(contract: Contract | None) -> object:
    return {"instances": [{"inputs": fields.example_inputs(contract)}], "top": 5}


def _schema(contract: Contract | None) -> Document:
    _, known = msgspec.json.schema_components([wire.Instance])
    instance = known["Instance"]
    if contract is not None:
        instance["properties"]["inputs"] = fields.inputs_schema(contract)
    label: Document = {"description": "The class to explain; the one that is answered when absent."}
    classes = contract.classes if contract is not None else ()
    label |= {"enum": [*classes, None]} if contract is not None else {"type": ["string", "null"]}
    shared = {
        "label": label,
        "top": {"type": "number", "minimum": 1, "maximum": 100, "default": 10},
    }
    rows = {"type": "array", "minItems": 1, "maxItems": wire.MOST_EXPLAINED, "items": instance}
    id_ = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[^\\u0000]*$"}
    return {
        "title": "ExplainRequest",
        "description": "Rows as in …/predict, or the id of a prediction that was recorded.",
        "oneOf": [
            {"type": "object", "required": [name], "properties": {name: one, **shared}, "additionalProperties": False}
            for name, one in (("instances", rows), ("id", id_))
        ],
    }


ROUTES: tuple[HotRoute, ...] = (
    HotRoute(
        name="explain",
        paths=("/v1/explain", "/v1/models/{model}/explain"),
        answer=explain,
        scope=Scope.READ,
        operation=Operation(
            summary="Say why: what each field and word adds to the answer.",
            takes={"application/json": Content(schema=_schema, example=_example)},
            gives={"application/json": Content(schema=wire.ExplainResponse)},
            errors=(*WITH_BODY, 409),
        ),
    ),
)
