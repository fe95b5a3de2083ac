"""A real server under bodies, texts and requests that break programs: right status, never a 5xx, nothing altered."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mainstay.core.events import Kind
from mainstay.journal.read import Journal
from mainstay.journal.seal import seal_closed
from server_kit import Server

DATA = Path(__file__).parents[3] / "shared" / "data"
FUZZ = DATA / "fuzz" / "json"
NAUGHTY = DATA / "noise" / "blns.json"
OWN_NAUGHTY = [
    "\0",
    "a\0b",
    "\r\nX-Injected: 1",
    "\u202egnirts",
    "\u2028",
    "\ufeff",
    "\U0010ffff",
    "\ufdd0",
    "e\u0301" * 60,
]
REPEATED = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""Valid JSON that is refused on purpose: which of the two values is meant?"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("hostile"))
    yield made
    counts = re.findall(r'mainstay_responses_total\{.*status="(5\d\d)".*', made.client.get("/metrics").text)
    made.stop()
    log = (made.run / "workers.log").read_text(errors="replace")
    assert counts == []
    assert "Traceback" not in log


@pytest.fixture(scope="module")
def naughty() -> list[str]:
    if not NAUGHTY.exists():
        pytest.skip(f"the naughty strings are not there: {NAUGHTY}")
    return sorted({*json.loads(NAUGHTY.read_text(encoding="utf-8")), *OWN_NAUGHTY})


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) == {"code", "message", "remedy", "problems"}
    return str(error["code"])


JSON_TYPE, CLOUD_TYPE = "application/json", "application/cloudevents+json"
WAYS: dict[str, tuple[str, str, bytes]] = {
    "predict": ("/v1/predict", JSON_TYPE, b'{"instances":[{"inputs":{"text":%b}}]}'),
    "feedback": (
        "/v1/feedback",
        JSON_TYPE,
        b'{"items":[{"id":"a","kind":"reward","name":"clicks","value":%b}]}',
    ),
    "infer": (
        "/v2/models/weather/infer",
        JSON_TYPE,
        b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":%b}]}',
    ),
    "invocations": ("/invocations", JSON_TYPE, b'{"dataframe_records":[{"text":%b}]}'),
    "events": ("/v1/events", JSON_TYPE, b'{"events":[{"inputs":{"text":%b},"label":"warm"}]}'),
    "cloudevent": (
        "/v1/events",
        CLOUD_TYPE,
        b'{"specversion":"1.0","id":"f","source":"s","type":"t","data":{"inputs":{"text":%b},"label":"warm"}}',
    ),
}
"""Every way in for JSON: where, as what, and what stands around a value."""
SPELLED_AS_NUMBERS = {"n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json"}
"""No JSON, but how Python writes numbers: MLflow's route reads it, and refuses what it then finds."""


@pytest.mark.skipif(not FUZZ.exists(), reason=f"the fuzz bodies are not there: {FUZZ}")
@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("place", ["body", "value"])
def test_json_is_taken_as_json_and_nothing_else_is(server: Server, way: str, place: str) -> None:
    files = sorted(FUZZ.glob("*.json"))
    assert len(files) == 318
    path, kind, around = WAYS[way]
    wrong = []
    for file in files:
        content = file.read_bytes()
        body = content if place == "body" else around % content
        response = server.client.post(path, content=body, headers={"content-type": kind})
        expected = {"y": {200, 422}, "n": {400}, "i": {200, 400, 422}}[file.name[0]]
        if file.name in REPEATED and (place == "value" or way not in ("predict", "feedback")):
            expected = {400}
        if way == "invocations" and file.name in SPELLED_AS_NUMBERS:
            expected = {422}
        if response.status_code not in expected:
            wrong.append((file.name, response.status_code, response.text[:200]))
        elif response.status_code != 200 and way not in ("infer", "invocations"):
            assert code_of(response) == {400: "malformed", 422: "contract_violation"}[response.status_code]
    assert wrong == []


@pytest.mark.skipif(not FUZZ.exists(), reason=f"the fuzz bodies are not there: {FUZZ}")
@pytest.mark.parametrize("around", [b"%b", b'{"inputs":{"text":%b}}'], ids=["body", "value"])
def test_lines_that_are_no_json_are_refused_line_by_line(server: Server, around: bytes) -> None:
    judged: Counter[str] = Counter()
    for file in sorted(FUZZ.glob("*.json")):
        body = around % file.read_bytes()
        response = server.client.post("/v1/predict", content=body, headers={"content-type": "application/x-ndjson"})
        if not body.strip(b" \t\r\n"):
            assert (file.name, response.status_code) == (file.name, 422)
            continue
        assert (file.name, response.status_code) == (file.name, 200)
        answers = [json.loads(line) for line in response.text.splitlines()]
        assert len(answers) == sum(bool(line.strip(b" \t\r")) for line in body.split(b"\n"))
        codes = {answer["error"]["code"] if "error" in answer else "answered" for answer in answers}
        assert codes <= {"malformed", "contract_violation", "answered"}
        if file.name[0] == "n" or around == b"%b":
            assert (file.name, codes & {"answered"}) == (file.name, set())
        judged.update(codes)
    assert judged["malformed"] > 180


def csv_of(texts: list[str]) -> bytes:
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["text"])
    writer.writerows([text] for text in texts)
    return sheet.getvalue().encode()


def raw_tensor(texts: list[str]) -> tuple[bytes, dict[str, str]]:
    raw = b"".join(struct.pack("<I", len(one)) + one for one in (text.encode() for text in texts))
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "id"}]}).encode()
    return head + raw, {"inference-header-content-length": str(len(head))}


def test_naughty_texts_come_back_byte_for_byte_through_every_protocol_also_from_parquet(
    tmp_path: Path, naughty: list[str]
) -> None:
    server = Server(tmp_path)
    sent: dict[str, str] = {}

    def post(path: str, body: Any, kind: str = JSON_TYPE, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = server.client.post(path, content=content, headers={"content-type": kind, **headers})
        assert response.status_code == 200, response.text[:500]
        return response

    def note(ids: list[str], texts: list[str]) -> None:
        assert len(ids) == len(texts)
        sent.update(zip(ids, texts, strict=True))

    try:
        rows = [{"inputs": {"text": text}} for text in naughty]
        note([one["id"] for one in post("/v1/predict", {"instances": rows}).json()["predictions"]], naughty)
        lines = b"\n".join(json.dumps(row, ensure_ascii=False).encode() for row in rows)
        answers = post("/v1/predict", lines, "application/x-ndjson").text.splitlines()
        note([json.loads(line)["id"] for line in answers], naughty)
        tensor = {"name": "text", "datatype": "BYTES", "shape": [len(naughty)], "data": naughty}
        found = post("/v2/models/weather/infer", {"inputs": [tensor], "outputs": [{"name": "id"}]}).json()
        note(found["outputs"][0]["data"], naughty)
        body, headers = raw_tensor(naughty)
        note(
            post("/v2/models/weather/infer", body, "application/octet-stream", **headers).json()["outputs"][0]["data"],
            naughty,
        )
        frame = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in naughty]}}
        note(post("/invocations", frame).json()["ids"], naughty)
        cells = [text for text in naughty if text and "\0" not in text]
        note(post("/invocations", csv_of(cells), "text/csv").json()["ids"], cells)
        told = [row | {"id": f"e-{number}", "label": "warm"} for number, row in enumerate(rows)]
        results = post("/v1/events", {"events": told}).json()["results"]
        note([one["id"] for one in results if one["status"] == "stored"], naughty)
    finally:
        server.stop()
    assert len(sent) == 6 * len(naughty) + len(cells)
    folder = tmp_path / ".mainstay" / "journal"
    seal_closed(folder)
    assert not list(folder.rglob("*.seg"))
    events, _ = Journal(folder).read({}, 1_000_000)
    kept = {event.id: event.inputs["text"].encode() for event in events}
    assert kept == {id_: text.encode() for id_, text in sent.items()}


def test_naughty_texts_and_ids_are_answered_and_journalled_byte_for_byte(server: Server, naughty: list[str]) -> None:
    sent: dict[str, str] = {}
    for number, text in enumerate(naughty):
        takes_id = 0 < len(text) <= 128 and "\0" not in text
        response = server.predict(id=text, inputs={"text": text})
        assert (text, response.status_code) == (text, 200 if takes_id else 422)
        assert "x-injected" not in response.headers
        if takes_id:
            assert response.json()["predictions"][0]["id"] == text
            sent[text] = text
        else:
            assert response.json()["error"]["problems"][0]["field"] == "id"
        key = {"key": text} if 0 < len(text) <= 256 else {}
        assert server.predict(id=f"n-{number}", inputs={"text": text}, **key).status_code == 200
        sent[f"n-{number}"] = text
    kept = server.inputs()
    assert {id_: kept[id_]["text"].encode() for id_ in sent} == {id_: text.encode() for id_, text in sent.items()}


def test_naughty_values_are_refused_by_name(server: Server, naughty: list[str]) -> None:
    for text in naughty:
        for inputs in ({"text": "sun", "place": text}, {"text": "sun", "degrees": text}, {"text": "sun", text: 1}):
            response = server.predict(inputs=inputs)
            assert (text, response.status_code) == (text, 422)
            [problem] = response.json()["error"]["problems"]
            assert problem["instance"] == 0
            assert problem["field"][:60] == list(inputs)[1][:60]
            assert problem["allowed"]


def test_naughty_feedback_is_judged_item_by_item(server: Server, naughty: list[str]) -> None:
    fits = [text for text in naughty if 0 < len(text) <= 128 and "\0" not in text]
    for extra, expected in (
        (lambda text: {"id": "a", "value": text}, "refused"),
        (lambda text: {"id": "a", "kind": text, "value": "warm"}, "refused"),
        (lambda text: {"id": "a", "kind": "reward", "value": text}, "refused"),
        (lambda text: {"id": f"z{text}"[:128], "value": "warm"}, "waiting_for_prediction"),
        (lambda text: {"id": "z", "feedback_id": text, "value": "warm", "by": text}, "waiting_for_prediction"),
        (lambda text: {"id": "z", "kind": "reward", "name": text, "value": 1}, "waiting_for_prediction"),
    ):
        results = server.post("feedback", {"items": [extra(text) for text in fits]}).json()["results"]
        assert Counter(result["status"] for result in results) == {expected: len(fits)}
    for field in ("id", "feedback_id", "name", "supersedes"):
        response = server.post("feedback", {"items": [{"id": "z", "value": "warm"} | {field: "a\0"}]})
        assert response.status_code == 422
        assert response.json()["error"]["problems"][0]["field"] == field


def test_an_id_stays_with_its_body_over_a_restart(server: Server) -> None:
    first = [server.predict(id=id_, inputs={"text": "snow"}) for id_ in ("kept\r\n", "kept\u202e")]
    assert [response.status_code for response in first] == [200, 200]
    server.stop()
    server.start()
    for before in first:
        [answer] = before.json()["predictions"]
        again = server.predict(id=answer["id"], inputs={"text": "snow"})
        assert again.json()["predictions"] == [answer | {"duplicate": True}]
        other = server.predict(id=answer["id"], inputs={"text": "sun"})
        assert (other.status_code, code_of(other)) == (409, "id_reused")


def request(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


GOOD = b'{"instances":[{"inputs":{"text":"snow"}}]}'
LENGTH = b"Content-Length: %d" % len(GOOD)
POST, TYPE, NAME = b"POST /v1/predict HTTP/1.1", b"Content-Type: application/json", b"Host: localhost"
CHUNKS = b"".join(b"1\r\n%c\r\n" % sign for sign in GOOD) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(POST, NAME, TYPE, LENGTH, body=GOOD), 200),
        (request(POST, NAME, TYPE, b"Transfer-Encoding: chunked", body=CHUNKS), 200),
        (request(POST, NAME, TYPE, b"Transfer-Encoding: chunked", body=b"zz\r\n"), 400),
        (request(POST, NAME, TYPE, LENGTH, b"Transfer-Encoding: chunked", body=CHUNKS), 400),
        (request(POST, NAME, TYPE, b"Content-Length: -1"), 400),
        (request(POST, NAME, TYPE, b"Content-Length: 99999999999"), 413),
        (request(POST, TYPE, LENGTH, body=GOOD), 400),
        (request(POST, b"Host: evil.example", NAME, TYPE, LENGTH, body=GOOD), 400),
        (request(POST, b"Host: evil.example", TYPE, LENGTH, body=GOOD), 403),
        (request(POST, b"Host: [localhost", TYPE, LENGTH, body=GOOD), 403),
        (request(POST, NAME, b"Origin: https://evil.example", TYPE, LENGTH, body=GOOD), 403),
        (request(POST, NAME, b"Origin: null", TYPE, LENGTH, body=GOOD), 403),
        (request(POST, NAME, LENGTH, body=GOOD), 415),
        (request(POST, NAME, b"Content-Type: text/plain", LENGTH, body=GOOD), 415),
        (request(b"PUT /v1/predict HTTP/1.1", NAME, TYPE, LENGTH, body=GOOD), 405),
        (request(b"POST /v1/models/weathe%2572/predict HTTP/1.1", NAME, TYPE, LENGTH, body=GOOD), 404),
        (request(b"POST /v1/models/..%2fweather/predict HTTP/1.1", NAME, TYPE, LENGTH, body=GOOD), 404),
        (request(b"POST /v1/models/x%0d%0aX-Injected:1/predict HTTP/1.1", NAME, TYPE, LENGTH, body=GOOD), 404),
        (request(b"GET /../../etc/passwd HTTP/1.1", NAME), 404),
        (request(b"HEAD /healthz HTTP/1.1", NAME), 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_strange_as_http_gets_its_status(server: Server, sent: bytes, status: int) -> None:
    head = server.raw(sent).partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\nX-Injected" not in head


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"inputs":{%b}}]}' % b",".join(b'"f%d":1' % number for number in range(20_000)),
        b'{"instances":[{"inputs":{"text":{%b}}}]}' % b",".join([b'"a":1'] * 40_000),
        b'{"instances":[%b]}' % b",".join([b'{"inputs":{"text":"a","place":"nort"}}'] * 1000),
        b'{"instances":%b}' % (b"[" * 100_000),
        b'{"instances":[{"inputs":{"text":%b}}]}' % (b'{"a":' * 900 + b"1" + b"}" * 900),
        b'{"instances":[{"inputs":{"degrees":%b}}]}' % (b"9" * 200_000),
    ],
    ids=["unknown fields", "one key often", "many bad rows", "open lists", "deep objects", "long number"],
)
def test_a_costly_body_is_refused(server: Server, body: bytes) -> None:
    assert server.post("predict", body).status_code in (400, 422)
    assert server.predict(inputs={"text": "snow"}).status_code == 200


def test_two_hundred_connections_at_once_are_all_answered(server: Server) -> None:
    def ask(number: int) -> list[int]:
        body = b'{"instances":[{"id":"c-%d","inputs":{"text":"snow"}}]}' % (number // 2)
        sent = request(POST, NAME, TYPE, b"Content-Length: %d" % len(body), body=body)
        return [int(server.raw(sent, wait_s=20).split()[1]) for _ in range(3)]

    with ThreadPoolExecutor(200) as pool:
        statuses = [status for found in pool.map(ask, range(200)) for status in found]
    assert Counter(statuses) == {200: 600}
    events, _ = Journal(server.folder / ".mainstay" / "journal").read({}, 1_000_000)
    written = [event.id for event in events if event.kind is Kind.PREDICTION and event.id.startswith("c-")]
    assert sorted(written) == sorted({f"c-{number}" for number in range(100)})


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """Return whether a value is valid by the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        return fits(value, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "anyOf" in schema:
        return any(fits(value, one, document) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, dict) and schema.get("type", "object") == "object":
        known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        of_name = {name: known.get(name, {} if other is True else other) for name in value}
        return set(schema.get("required", ())) <= set(value) and all(
            one is not False and fits(value[name], one, document) for name, one in of_name.items()
        )
    if isinstance(value, list) and schema.get("type", "array") == "array":
        return len(value) >= schema.get("minItems", 0) and all(
            fits(v, schema.get("items", {}), document) for v in value
        )
    return fits_plainly(value, schema)


def fits_plainly(value: Any, schema: dict[str, Any]) -> bool:
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind is None:
        return True
    if kind not in kinds or not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    if isinstance(value, str):
        short = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return short and re.search(schema.get("pattern", ""), value) is not None
    if kind in ("number", "integer"):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def test_the_openapi_document_is_true_of_real_traffic(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    inputs = ({}, {"text": 1}, {"text": "a" * 5001}, {"text": "a", "place": "x"}, {"text": "a", "place": None})
    inputs += ({"text": "a", "degrees": "1"}, {"text": "a", "degrees": 99.5}, {"text": "a", "station": ""})
    inputs += ({"text": "a", "station": 2**63 - 1}, {"text": "a", "station": 2**63}, {"text": "a", "x": None})
    inputs += ({"text": "a", "x": 1}, {"text": None}, {"text": "snow", "place": "south", "degrees": -3})
    instances = [{"inputs": one} for one in inputs]
    instances += [
        {"inputs": {"text": "a"}} | more for more in ({"id": ""}, {"id": "\0"}, {"key": None}, {"z": 1}, {"id": 3})
    ]
    items = [
        {"id": "a", "value": 1},
        {"id": "a"},
        {"value": 1},
        {"id": "a", "value": None, "by": None},
        {"id": "a", "at": 3},
    ]
    calls = [("predict", {"instances": [one]}) for one in instances] + [("feedback", {"items": [one]}) for one in items]
    calls += [("predict", {"instances": []}), ("predict", {}), ("predict", []), ("feedback", {"items": [], "x": 1})]
    for verb, body in calls:
        operation = document["paths"][f"/v1/{verb}"]["post"]
        response = server.post(verb, body)
        valid = fits(body, operation["requestBody"]["content"]["application/json"]["schema"], document)
        assert (body, response.status_code) == (body, 200 if valid else 422)
        documented = operation["responses"][str(response.status_code)]["content"]["application/json"]["schema"]
        assert fits(response.json(), documented, document)
    for path, item in document["paths"].items():
        if "get" in item:
            response = server.client.get(path.replace("{model}", "weather").replace("{version}", "1"))
            content = item["get"]["responses"]["200"]["content"]
            assert response.headers["content-type"].split(";")[0] in content
            schema = content.get("application/json", {}).get("schema")
            assert schema is None or fits(response.json(), schema, document)
