"""The OpenAPI document says what the server does, and /docs shows it without help from elsewhere."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from mainstay.api import docs, openapi
from mainstay.core.contracts import Contract, Field, FieldType, Policy
from mainstay.data.request_check import compile_request_check
from mainstay.serve import wire
from mainstay.testing.models import make_contract

HOSTILE = """<script>alert(1)</script>"' onload="x" {{ 7 * 7 }} </style></code><img src=//x.invalid>"""


def document(contract: Contract | None = None, models: dict[str, Contract | None] | None = None) -> dict[str, Any]:
    cold = {"summary": "?", "operationId": "one", "responses": {"200": {"description": "?"}, "422": {}}}
    plain = {
        "info": {"title": "Mainstay", "version": "1", "description": "What it is."},
        "paths": {
            "/healthz": {"get": dict(cold)},
            "/v1/models/{model}": {"get": cold | {"parameters": [{"name": "model"}]}},
        },
    }
    return openapi.complete(plain, {"weather": contract} if models is None else models)


def everything(**changes: Any) -> Contract:
    fields = [
        Field(name="text", type=FieldType.TEXT, max_chars=4),
        Field(name="place", type=FieldType.CATEGORY, values=("north", "south")),
        Field(name="free", type=FieldType.CATEGORY, values=("a",), on_unknown=Policy.FLAG),
        Field(name="station", type=FieldType.IDENTIFIER),
        Field(name="degrees", type=FieldType.NUMBER, min=-3.5, max=-0.5),
        Field(name="count", type=FieldType.INTEGER, min=2.5, max=9, on_range=Policy.FLAG),
        Field(name="wet", type=FieldType.BOOLEAN),
        Field(name="at", type=FieldType.TIMESTAMP),
        Field(name="note", type=FieldType.TEXT, required=False),
    ]
    return replace(make_contract(), **({"fields": tuple(fields)} | changes))


def test_every_reference_leads_to_a_schema() -> None:
    for contract in (None, everything()):
        found = document(contract)
        named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(found)))
        assert named <= set(found["components"]["schemas"])
        assert "HTTPValidationError" not in named


def test_several_models_have_paths_of_their_own_each_with_its_own_inputs() -> None:
    found = document(models={"a-1": everything(), "b": make_contract(), "not-loaded": None})
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(found)))
    assert named <= set(found["components"]["schemas"])
    assert "/v1/predict" not in found["paths"]
    schemas = found["components"]["schemas"]
    for model in ("a-1", "b"):
        body = found["paths"][f"/v1/models/{model}/predict"]["post"]["requestBody"]["content"]["application/json"]
        request = schemas[body["schema"]["$ref"].rpartition("/")[2]]
        instance = schemas[request["properties"]["instances"]["items"]["$ref"].rpartition("/")[2]]
        inputs = schemas[instance["properties"]["inputs"]["$ref"].rpartition("/")[2]]
        assert set(body["example"]["instances"][0]["inputs"]) == set(inputs["required"])
    assert "station" in schemas["Inputs_a-1"]["properties"]
    plain = found["paths"]["/v1/models/not-loaded/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert plain["schema"]["$ref"].endswith("/PredictRequest")
    ids = [operation["operationId"] for item in found["paths"].values() for operation in item.values()]
    assert ids.count("predict_of_b") == 1
    assert "/v1/models/b/predict" in docs.page(found)


def test_cold_routes_promise_the_one_error_shape_and_no_422() -> None:
    paths = document()["paths"]
    assert set(paths["/healthz"]["get"]["responses"]) == {"200", "400", "403", "500"}
    assert paths["/healthz"]["get"]["security"] == []
    assert set(paths["/v1/models/{model}"]["get"]["responses"]) == {
        "200",
        "400",
        "401",
        "403",
        "404",
        "429",
        "500",
        "503",
    }
    assert paths["/v1/models/{model}"]["get"]["parameters"][0]["schema"]["enum"] == ["weather"]


def test_the_inputs_are_those_of_the_contract() -> None:
    schema = document(everything())["components"]["schemas"]["Inputs"]
    fields = schema["properties"]
    assert set(schema["required"]) == set(fields) - {"note"}
    assert schema["additionalProperties"] == {"type": "null"}
    assert fields["text"] == {"type": "string", "maxLength": 4}
    assert fields["place"] == {"type": "string", "enum": ["north", "south"]}
    assert fields["free"]["type"] == "string"
    assert "enum" not in fields["free"]
    assert (fields["degrees"]["minimum"], fields["degrees"]["maximum"]) == (-3.5, -0.5)
    assert fields["count"]["minimum"] == -(2**63)
    assert fields["note"]["anyOf"][1] == {"type": "null"}


def test_the_example_of_a_body_is_accepted() -> None:
    contract = everything()
    operation = document(contract)["paths"]["/v1/predict"]["post"]
    body = json.dumps(operation["requestBody"]["content"]["application/json"]["example"]).encode()
    [instance] = wire.decode_predict(body, max_rows=1).instances
    checked = compile_request_check(contract).check(instance.inputs)
    assert (checked.problems, checked.caveats) == ((), ())


def test_without_a_contract_the_inputs_are_any_object() -> None:
    instance = document()["components"]["schemas"]["Instance"]
    assert instance["properties"]["inputs"]["type"] == "object"


def test_what_stands_beneath_a_field_in_the_code_is_its_description() -> None:
    fields = document()["components"]["schemas"]["Prediction"]["properties"]
    assert fields["bundle"]["description"] == "`model@version` that answered."


def test_the_page_shows_every_route_and_schema() -> None:
    found = document(everything())
    page = docs.page(found)
    for path in found["paths"]:
        assert path in page
    for name in found["components"]["schemas"]:
        assert f'id="schema-{name}"' in page
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= set(re.findall(r' id="([^"]+)"', page))


def test_the_page_needs_no_script_and_no_other_host() -> None:
    page = docs.page(document(everything()))
    assert "<script" not in page
    assert re.findall(r'(?:src|href|action)="(?!#)([^"]+)"', page) == ["/openapi.json"]
    assert not re.search(r"url\(|@import|https?://", page)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = docs.headers()["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("place", ["name", "value"])
def test_hostile_names_and_values_of_a_contract_arrive_escaped(place: str) -> None:
    name, value = (HOSTILE, "a") if place == "name" else ("a", HOSTILE)
    fields = (Field(name=name, type=FieldType.CATEGORY, values=(value,)),)
    page = docs.page(document(everything(fields=fields, classes=(HOSTILE,))))
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("<style>") == page.count("</style>") == 1
    assert page.count("&lt;script&gt;") >= 2
