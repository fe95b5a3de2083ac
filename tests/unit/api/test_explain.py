"""POST /v1/explain: rows and recorded predictions, beside answering and never in its way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import api_kit
from api_kit import server
from mainstay.core.contracts import Contract, Field, FieldType, Pii
from mainstay.core.errors import Overloaded
from mainstay.core.routes import BundleRef
from mainstay.models.compiled.make import compile_model
from mainstay.models.explained.background import background_of
from mainstay.models.explained.records import Explanation, Part
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.serve import explaining
from mainstay.serve.live import Side
from mainstay.testing.models import PROFILE, WordModel, make_contract
from serve_kit import make_side

TEXTS = ["sun day", "sunny day", "snow day", "snow and ice", "sun", "ice"] * 3
KINDS = ["warm", "warm", "cold", "cold", "warm", "cold"] * 3


def compiled_side(ref: BundleRef, contract: Contract | None = None) -> Side:
    """A side whose model is compiled and knows what it was fitted on."""
    told, spec = contract or make_contract(), InputSpec(input="text")
    estimator = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, KINDS)
    fitted = LoadedModel(estimator=estimator, contract=told, classes=told.classes, spec=spec, profile=PROFILE)
    rows = [{"text": text} for text in TEXTS]
    made = compile_model(estimator, told, spec, classes=fitted.fitted, original=fitted.original, rows=rows)
    assert made.program is not None
    loaded = LoadedModel(
        estimator=None,
        contract=told,
        classes=told.classes,
        spec=spec,
        profile=PROFILE,
        program=made.program,
        background=background_of(made.program, rows),
        fitted=fitted.fitted,
    )
    return replace(make_side(ref, contract=told), loaded=loaded, twin=loaded)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_kit, "make_side", compiled_side)


async def explained(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/v1/explain", json=body)
    assert response.status_code == 200, response.text
    (found,) = response.json()["explanations"]
    return dict(found)


@pytest.mark.usefixtures("compiled")
def test_a_row_is_explained_by_its_words_and_a_recorded_prediction_likewise(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            row = {"inputs": {"text": "snow day", "place": "north"}}
            (answer,) = (await client.post("/v1/predict", json={"instances": [row]})).json()["predictions"]
            of_row = await explained(client, instances=[row])
            of_id = await explained(client, id=answer["id"])
            assert (of_id["id"], of_id["bundle"]) == (answer["id"], answer["bundle"])
            said = of_row["explanation"]
            assert {k: v for k, v in said.items() if k != "took_ms"} == {
                k: v for k, v in of_id["explanation"].items() if k != "took_ms"
            }
            assert (said["method"], said["exact"], said["label"]) == ("linear", True, answer["label"])
            assert [part["word"] for part in said["words"]] == ["snow", "day"]
            total = sum(part["contribution"] for part in said["fields"]) + said["others"] + said["base_value"]
            assert total == pytest.approx(said["value"])
            other = await explained(client, instances=[row], label="warm", top=1)
            assert other["explanation"]["value"] == pytest.approx(-said["value"])
            assert len(other["explanation"]["words"]) == 1

    asyncio.run(main())


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"instances": [{"inputs": {}}]}, 422, "text"),
        ({"instances": []}, 422, "instances"),
        ({"instances": [{"inputs": {"text": "a"}}], "id": "w0-1"}, 422, "beside an id"),
        ({"instances": [{"inputs": {"text": "a"}}], "top": 0}, 422, "top"),
        ({"instances": [{"inputs": {"text": "a"}}], "label": "mild"}, 400, "no class 'mild'"),
        ({"instances": [{"inputs": {"text": "a"}}] * 11}, 422, "length <= 10"),
        ({"id": "w0-99"}, 404, "holds no prediction"),
    ],
)
def test_what_cannot_be_explained_is_told(tmp_path: Path, body: dict[str, Any], status: int, says: str) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            response = await client.post("/v1/explain", json=body)
            assert response.status_code == status, response.text
            assert says in response.text

    asyncio.run(main())


def test_a_model_inside_the_worker_that_is_not_compiled_is_left_to_the_command(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            response = await client.post("/v1/explain", json={"instances": [{"inputs": {"text": "a"}}]})
            assert response.status_code == 400
            assert "mainstay explain" in response.json()["error"]["remedy"]

    asyncio.run(main())


def test_what_the_fallback_answered_and_what_the_record_does_not_hold_is_not_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = replace(make_contract().fields[0], pii=Pii.DROP)
    told = make_contract(fields=(hashed, *make_contract().fields[1:]))
    monkeypatch.setattr(api_kit, "make_side", lambda ref: compiled_side(ref, told))

    async def main() -> None:
        async with server(tmp_path) as client:
            row = {"inputs": {"text": "snow"}}
            (answer,) = (await client.post("/v1/predict", json={"instances": [row]})).json()["predictions"]
            response = await client.post("/v1/explain", json={"id": answer["id"]})
            assert response.status_code == 409
            assert "text (it was not kept)" in response.text

    asyncio.run(main())
    failing = lambda ref: make_side(ref, WordModel(always_fail=True), fallback_label="warm")  # noqa: E731 - one line
    monkeypatch.setattr(api_kit, "make_side", failing)

    async def fallback() -> None:
        async with server(tmp_path / "other") as client:
            row = {"inputs": {"text": "snow"}}
            (answer,) = (await client.post("/v1/predict", json={"instances": [row]})).json()["predictions"]
            response = await client.post("/v1/explain", json={"id": answer["id"]})
            assert response.status_code == 400
            assert "declared fallback" in response.text

    (tmp_path / "other").mkdir()
    asyncio.run(fallback())


@pytest.mark.usefixtures("compiled")
def test_explanations_beyond_a_few_at_a_time_are_turned_away_and_predictions_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "MOST_WAITING", 0)

    async def main() -> None:
        async with server(tmp_path) as client:
            row = {"inputs": {"text": "snow"}}
            response = await client.post("/v1/explain", json={"instances": [row]})
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            assert response.json()["error"]["code"] == Overloaded.code
            assert (await client.post("/v1/predict", json={"instances": [row]})).status_code == 200

    asyncio.run(main())


def test_of_an_encrypted_record_neither_value_nor_words_are_told() -> None:
    def part(word: str | None = None, field: str = "text") -> Part:
        return Part(field=field, value="secret", word=word, contribution=1.0)

    made = Explanation(
        method="linear",
        exact=True,
        label="warm",
        unit="log-odds",
        base_value=0.0,
        compared_with="",
        value=2.0,
        fields=[part(), part(field="place")],
        others=0.0,
        words=[part("a"), part("b")],
        other_words=0.5,
        absent_words=0.0,
        took_ms=1.0,
    )
    told = Contract(
        task=make_contract().task,
        fields=(Field(name="text", type=FieldType.TEXT, pii=Pii.ENCRYPT), Field(name="place", type=FieldType.CATEGORY)),
        target="y",
    )
    hidden = explaining._without(made, explaining._encrypted(told))
    assert [(one.field, one.value, one.contribution) for one in hidden.fields] == [
        ("text", None, 1.0),
        ("place", "secret", 1.0),
    ]
    assert (hidden.words, hidden.other_words) == ([], 2.5)
