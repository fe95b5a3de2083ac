"""The shell holds for every route: limits, Host, keys, and one error shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api_kit import BODY, KIND, error_of, make_plan, server
from mainstay.api.app import make_app
from mainstay.api.routes import COLD
from mainstay.config.clocks import SystemClock
from mainstay.core.calls import LOAD_TEST
from mainstay.journal.read import Journal
from mainstay.serve.hall import Hall
from mainstay.serve.pending import Pending
from mainstay.serve.worker import Worker
from serve_kit import CHAMPION, make_side


def test_a_prediction_goes_the_whole_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            for path in ("/v1/predict", "/v1/models/weather/predict"):
                response = await client.post(
                    path, json=BODY, headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
                )
                assert response.status_code == 200
                assert response.json()["predictions"][0]["label"] == "cold"
                assert response.headers["x-trace-id"] == "a" * 32
        events, _ = Journal(tmp_path / "journal").read({}, 10)
        assert [event.trace_id for event in events] == ["a" * 32] * 2

    asyncio.run(main())


def test_every_hot_error_has_the_one_shape_and_its_status(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            post = client.post
            kind = {"content-type": "application/json"}
            long = json.dumps({"instances": [{"inputs": {"text": "a" * 5000}}]}).encode()

            async def parts() -> AsyncIterator[bytes]:
                for _ in range(100):
                    yield b" " * 100

            cases = [
                (await post("/v1/predict", content=b"{", headers=kind), 400, "malformed"),
                (
                    await post("/v1/predict", content=b'{"instances":[{"inputs":{"text":NaN}}]}', headers=kind),
                    400,
                    "malformed",
                ),
                (await post("/v1/predict", json={"instances": [{"inputs": {}}]}), 422, "contract_violation"),
                (await post("/v1/predict", json={"rows": []}), 422, "contract_violation"),
                (await post("/v1/models/other/predict", json=BODY), 404, "not_found"),
                (await client.get("/v1/predict"), 405, "method_not_allowed"),
                (await post("/v1/predict", content=long, headers=kind), 413, "too_large"),
                (await post("/v1/predict", content=parts(), headers=kind), 413, "too_large"),
                (await post("/v1/predict", json={"instances": BODY["instances"] * 6}), 413, "too_large"),
                (
                    await post("/v1/predict", content=b"a=1", headers={"content-type": "text/plain"}),
                    415,
                    "unsupported_media_type",
                ),
                (await post("/v1/predict", content=b"{}"), 415, "unsupported_media_type"),
                (
                    await post("/v1/predict", json=BODY, headers={"content-encoding": "gzip"}),
                    415,
                    "unsupported_media_type",
                ),
                (await post("/v1/feedback", json={"items": [{"id": "a"}]}), 422, "contract_violation"),
                (await client.get("/nothing"), 404, "not_found"),
                (await client.delete("/healthz"), 405, "method_not_allowed"),
                (await client.get("/v1/models/other"), 404, "not_found"),
                (await client.get("/healthz/"), 404, "not_found"),
                (await post("/v1/models/weathe%2572/predict", json=BODY), 404, "not_found"),
                (await post("/v1/predict", json=BODY, headers={"origin": "http://evil.example"}), 403, "refused"),
                (await post("/v1/predict", json=BODY, headers={"host": "evil.example"}), 403, "refused"),
                (await client.get("/healthz", headers={"host": "evil.example:80"}), 403, "refused"),
            ]
            for number, (response, status, code) in enumerate(cases):
                assert (number, response.status_code, error_of(response)["code"]) == (number, status, code)

    asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:80", "[::1]"])
def test_loopback_names_are_let_in(tmp_path: Path, host: str) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            assert (await client.get("/healthz", headers={"host": host})).status_code == 200

    asyncio.run(main())


def test_before_the_first_version_requests_are_told_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path, route=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            for response in (await client.get("/readyz"), await client.post("/v1/predict", json=BODY)):
                assert response.status_code == 503
                assert error_of(response)["code"] == "not_ready"
                assert response.headers["retry-after"] == "1"
            assert (await client.get("/v1/models")).json() == {"models": [{"model": "weather", "ready": False}]}

    asyncio.run(main())


def test_the_cold_routes_tell_what_they_should(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            await client.post("/v1/predict", json=BODY)
            await client.post("/v1/predict", json={"instances": [{"inputs": {}}]})
            assert (await client.get("/")).json()["models"] == ["weather"]
            assert (await client.get("/readyz")).json()["models"] == {"weather": "weather@1"}
            model = (await client.get("/v1/models/weather")).json()
            assert model["champion"]["digest"] == CHAMPION.digest
            assert {field["name"] for field in model["contract"]["fields"]} == {"text", "place", "degrees", "station"}
            text = (await client.get("/metrics")).text
            labels = 'arm="champion",bundle="weather@1",model="weather",trust="ok",worker="w0"'
            assert f"mainstay_predictions_total{{{labels}}} 1.0" in text
            assert 'mainstay_refusals_total{code="contract_violation",model="weather",worker="w0"} 1.0' in text
            assert "mainstay_request_seconds_count" in text

    asyncio.run(main())


def test_the_openapi_document_names_the_hot_routes_and_their_shapes(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            document = (await client.get("/openapi.json")).json()
        paths = document["paths"]
        assert {"/v1/predict", "/v1/feedback", "/v1/models/{model}/predict", "/v1/models/{model}/feedback"} <= set(
            paths
        )
        schemas = document["components"]["schemas"]
        assert schemas["Instance"]["required"] == ["inputs"]
        assert set(schemas["Prediction"]["required"]) >= {"id", "label", "trust", "fallback", "arm", "duplicate"}
        known = json.dumps(document)
        for name in json.loads(
            json.dumps(sorted(part.split('"')[0] for part in known.split("#/components/schemas/")[1:]))
        ):
            assert name in schemas

    asyncio.run(main())


def test_with_keys_every_route_but_the_probes_asks_for_one(tmp_path: Path) -> None:
    async def main() -> None:
        keys = [{"name": "app", "hash": sha256(b"app").hexdigest(), "scopes": ["predict"]}]
        (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
        async with server(tmp_path) as client:
            document = {"/", "/docs", "/openapi.json", "/metrics", "/v1/models", "/v1/models/weather", "/nothing"}
            for path in sorted(document):
                assert (path, (await client.get(path)).status_code) == (path, 401)
            for path in ("/v1/predict", "/v1/feedback", "/v1/models/weather/predict"):
                assert (path, (await client.post(path, json=BODY)).status_code) == (path, 401)
            for path in ("/healthz", "/readyz"):
                assert (await client.get(path)).status_code == 200
            mine = {"authorization": "Bearer app"}
            assert (await client.post("/v1/predict", json=BODY, headers=mine)).status_code == 200
            assert (await client.get("/metrics", headers=mine)).status_code == 403

    asyncio.run(main())


def test_refusals_are_written_down(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            await client.post("/v1/predict", json={"instances": [{"inputs": {"txt": "secret"}}]})
            await client.post("/v1/predict", content=b"{secret", headers={"content-type": "application/json"})
        events, _ = Journal(tmp_path / "journal").read({}, 10)
        assert [(event.kind.value, event.reason) for event in events] == [
            ("refusal", "contract_violation"),
            ("refusal", "malformed"),
        ]
        assert "secret" not in str(events)

    asyncio.run(main())


def test_a_body_of_one_piece_and_no_declared_length_is_limited_too(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b" " * 5000, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        async with server(tmp_path) as client:
            shell = client._transport.app  # type: ignore[attr-defined]
            scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": KIND}
            await shell(scope, receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 413


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_defect(tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        async with server(tmp_path) as client:
            shell = client._transport.app  # type: ignore[attr-defined]
            scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": KIND}
            await shell(scope, receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 400


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.api.shell.BODY_TIMEOUT_S", 0.05)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError("waited for too long")

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        async with server(tmp_path) as client:
            shell = client._transport.app  # type: ignore[attr-defined]
            await shell({"type": "http", "method": "POST", "path": "/v1/predict", "headers": KIND}, receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_every_answer_forbids_guessing_its_type_and_a_wrong_method_names_the_right_ones(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            answers = [await client.get(path) for path in ("/", "/docs", "/metrics", "/nothing", "/v1/predict")]
            answers.append(await client.post("/v1/predict", json=BODY))
            assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}
            assert answers[4].headers["allow"] == "POST"
            assert (await client.put("/metrics")).headers["allow"] == "GET, HEAD"
            assert (await client.head("/healthz")).status_code == 200
            page = await client.get("/docs")
            assert "script-src" not in page.headers["content-security-policy"]
            assert "/v1/models/{model}/predict" in page.text

    asyncio.run(main())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "a" * 32),
        ("00-" + "A" * 32 + "-" + "b" * 16 + "-01", None),
        ("00-" + "<" * 32 + "-" + "b" * 16 + "-01", None),
        ("00-" + "a" * 60, None),
    ],
)
def test_only_a_real_trace_id_is_written_down(tmp_path: Path, header: str, expected: str | None) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            await client.post("/v1/predict", json=BODY, headers={"traceparent": header})

    asyncio.run(main())
    [event], _ = Journal(tmp_path / "journal").read({}, 10)
    assert event.trace_id == expected


def test_every_response_of_the_hot_routes_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            await client.get("/v1/predict")
            await client.post("/v1/predict", content=b"{}")
            await client.post("/v1/feedback", json={"items": [{"id": "a", "value": "warm"}]})
            text = (await client.get("/metrics")).text
            for route, status in (("predict", 405), ("predict", 415), ("feedback", 200)):
                assert f'mainstay_responses_total{{route="{route}",status="{status}",worker="w0"}} 1.0' in text

    asyncio.run(main())


def test_a_worker_of_an_earlier_start_is_not_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as client:
            told = tmp_path / "worker-0.json"
            while not told.exists():
                await asyncio.sleep(0.01)
            state = json.loads(told.read_bytes())
            (tmp_path / "worker-7.json").write_text(json.dumps(state | {"worker": "w7"}))
            assert 'worker="w7"' not in (await client.get("/metrics")).text

    asyncio.run(main())


def test_every_route_of_the_app_stands_in_the_table(tmp_path: Path) -> None:
    worker = Worker(make_plan(tmp_path), clock=SystemClock(), load_side=lambda model, ref: make_side(ref))
    paths = {getattr(route, "path", "") for route in make_app(Hall([worker])).routes}
    assert paths == set(COLD)
    worker._writer.close()


def test_what_would_wait_too_long_is_turned_away_before_its_body_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pending, "crowded", True)

    async def main() -> None:
        async with server(tmp_path) as client:
            for path in ("/v1/predict", "/v1/feedback", "/v2/models/weather/infer", "/invocations"):
                shed = await client.post(path, content=b"{", headers={"content-type": "application/json"})
                assert (path, shed.status_code, shed.headers["retry-after"]) == (path, 503, "1")
            assert (await client.get("/v1/models")).status_code == 200
        assert Journal(tmp_path / "journal").read({}, 10)[0] == []

    asyncio.run(main())


def test_calls_that_fail_by_no_fault_of_the_caller_are_counted_for_the_error_budget_and_load_tests_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = {"content-type": "application/json"}
    test = kind | {"traceparent": f"00-{LOAD_TEST}{'0' * 15}1-{'1' * 16}-00"}

    async def misses(client: httpx.AsyncClient) -> dict[str, float]:
        families = text_string_to_metric_families((await client.get("/metrics")).text)
        samples = [s for family in families for s in family.samples if s.name == "mainstay_failed_calls_total"]
        return {sample.labels["code"]: sample.value for sample in samples}

    async def main() -> None:
        async with server(tmp_path) as client:
            for _ in range(3):
                assert (await client.post("/v1/predict", content=b"{", headers=kind)).status_code == 400
                assert (await client.post("/v1/predict", json={"instances": [{"inputs": {}}]})).status_code == 422
            assert await misses(client) == {}
            monkeypatch.setattr(Pending, "crowded", True)
            for path in ("/v1/predict", "/v1/models/weather/predict", "/v2/models/weather/infer", "/invocations"):
                assert (await client.post(path, content=b"{", headers=kind)).status_code == 503
            assert (await client.post("/v1/predict", content=b"{", headers=test)).status_code == 503
            assert (await client.post("/v1/feedback", content=b"{", headers=kind)).status_code == 503
            assert await misses(client) == {"overloaded": 4.0}

    asyncio.run(main())
