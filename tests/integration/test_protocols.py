"""Others' clients, unchanged, against a real server: tritonclient, MLflow's client, a SageMaker-shaped caller."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton

from mainstay.core.events import Kind
from mainstay.journal.read import Journal
from server_kit import Server

TEXTS = ["snow day", "sun", "søl ☀", ""]
LABELS = ["cold", "warm", "warm", "warm"]
LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("protocols"))
    yield made
    made.stop()
    assert "Traceback" not in (made.run / "workers.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    made = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    yield made
    made.close()


def tensor(name: str, values: Any, datatype: str = "BYTES", *, binary: bool = True) -> triton.InferInput:
    array = np.array(values, dtype=object) if datatype == "BYTES" else np.asarray(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def texts(array: Any) -> list[str]:
    return [one.decode() if isinstance(one, bytes) else one for one in array.ravel()]


# Open Inference Protocol, by tritonclient


def test_tritonclient_finds_out_what_there_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("weather")
    assert client.is_model_ready("weather", "1")
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("weather", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = client.get_model_metadata("weather")
    assert told == client.get_model_metadata("weather", "1")
    assert (told["name"], told["versions"]) == ("weather", ["1"])
    assert {one["name"]: one["datatype"] for one in told["inputs"]} == {
        "text": "BYTES",
        "place": "BYTES",
        "degrees": "FP64",
        "station": "BYTES",
    }
    assert told["outputs"][1] == {
        "name": "probabilities",
        "datatype": "FP64",
        "shape": [-1, 2],
        "parameters": {"classes": ["warm", "cold"]},
    }


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_tritonclient_gets_what_our_own_route_answers(
    server: Server, client: triton.InferenceServerClient, binary: bool, wide: bool
) -> None:
    given = [[text] for text in TEXTS] if wide else TEXTS
    degrees = np.array([3.5, np.nan, -70, 20], dtype=np.float32)
    if wide:
        degrees = degrees.reshape(-1, 1)
    inputs = [tensor("text", given, binary=binary), tensor("degrees", degrees, "FP32")]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label", "id")]
    found = client.infer("weather", inputs, request_id="7", outputs=outputs)
    head = found.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == ("weather", "1", "7")
    assert [one["name"] for one in head["outputs"]] == ["probabilities", "label", "id"]
    assert texts(found.as_numpy("label")) == LABELS
    own = server.post("predict", {"instances": [{"inputs": {"text": text}} for text in TEXTS]}).json()["predictions"]
    expected = [[one["probabilities"][name] for name in ("warm", "cold")] for one in own]
    assert found.as_numpy("probabilities").tolist() == expected
    kept = server.inputs()
    rows = [kept[id_] for id_ in texts(found.as_numpy("id"))]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["degrees"] for row in rows] == [3.5, None, -70, 20]


def test_tritonclient_gets_all_outputs_as_bytes_when_it_names_none(client: triton.InferenceServerClient) -> None:
    found = client.infer("weather", [tensor("text", TEXTS)], model_version="1")
    assert all("binary_data_size" in one["parameters"] for one in found.get_response()["outputs"])
    assert texts(found.as_numpy("label")) == LABELS
    assert found.as_numpy("probabilities").shape == (4, 2)
    assert found.as_numpy("confidence").tolist() == [0.9] * 4
    assert texts(found.as_numpy("trust"))[0] == "ok"
    assert texts(found.as_numpy("bundle")) == ["weather@1"] * 4


def test_tritonclient_asks_many_at_once(client: triton.InferenceServerClient) -> None:
    asked = [client.async_infer("weather", [tensor("text", ["snow"])]) for _ in range(20)]
    assert [texts(one.get_result().as_numpy("label")) for one in asked] == [["cold"]] * 20


def test_tritonclient_takes_whole_numbers_for_names_and_numbers(client: triton.InferenceServerClient) -> None:
    inputs = [tensor("text", ["snow"]), tensor("station", np.array([17]), "INT64")]
    inputs.append(tensor("degrees", np.array([-3], dtype=np.int8), "INT8"))
    assert texts(client.infer("weather", inputs).as_numpy("label")) == ["cold"]


@pytest.mark.parametrize(
    ("inputs", "version", "status", "named"),
    [
        ([tensor("txt", ["a"])], "", 422, ["txt", "'text', 'place'", "did you mean 'text'"]),
        ([tensor("text", np.array([1.0]), "FP64")], "", 422, ["text", "FP64", "BYTES"]),
        ([tensor("degrees", np.array([1.0]), "FP64")], "", 422, ["text", "missing"]),
        ([tensor("text", ["a"]), tensor("place", ["fax"])], "", 422, ["place", "'fax'", "'north', 'south'"]),
        ([tensor("text", ["a"]), tensor("place", ["north", "south"])], "", 422, ["place", "2 rows", "1"]),
        ([tensor("text", [["a", "b"]])], "", 422, ["text", "[n] or [n, 1]"]),
        ([tensor("text", ["a"] * 1001)], "", 413, ["1001", "1000"]),
        ([tensor("text", ["a"])], "9", 404, ["'9'", "allowed: 1"]),
        ([tensor("text", [b"\xff"])], "", 422, ["text", "UTF-8"]),
    ],
    ids=["name", "datatype", "missing", "value", "rows", "shape", "many", "version", "bytes"],
)
def test_tritonclient_is_told_what_is_wrong(
    client: triton.InferenceServerClient, inputs: Any, version: str, status: int, named: list[str]
) -> None:
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer("weather", inputs, model_version=version)
    assert caught.value.status() == str(status)
    assert [part for part in named if part not in caught.value.message()] == []


def infer(server: Server, content: Any, raw: bytes = b"", **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return server.client.post("/v2/models/weather/infer", content=body + raw, headers=headers)


TEXT = {"name": "text", "datatype": "BYTES", "shape": [1]}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"inputs": [TEXT | {"data": ["snow"]}]}, 200),
        ({"inputs": [TEXT | {"shape": [1, 1], "data": [["snow"]]}]}, 200),
        ({"inputs": []}, 422),
        ({"inputs": {}}, 422),
        ({"inputs": [TEXT]}, 422),
        ({"inputs": ["text"]}, 422),
        ({"inputs": [TEXT | {"data": ["a", "b"]}]}, 422),
        ({"inputs": [TEXT | {"data": [1]}]}, 422),
        ({"inputs": [TEXT | {"data": ["a"]}, TEXT | {"data": ["a"]}]}, 422),
        ({"inputs": [TEXT | {"data": ["a"], "shape": [-1]}]}, 422),
        ({"inputs": [TEXT | {"data": [], "shape": [0]}]}, 422),
        ({"inputs": [TEXT | {"data": ["a"], "shape": "1"}]}, 422),
        ({"inputs": [TEXT | {"data": ["a"], "parameters": []}]}, 422),
        ({"inputs": [TEXT | {"parameters": {"binary_data_size": 99}}]}, 422),
        ({"inputs": [TEXT | {"data": ["a"]}], "outputs": [{"name": "nope"}]}, 422),
        ({"inputs": [TEXT | {"data": ["a"]}], "outputs": "label"}, 422),
        ({"inputs": [TEXT | {"data": ["a"]}], "id": 7}, 422),
        (
            {"inputs": [TEXT | {"data": ["a"]}], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            422,
        ),
        (b"{", 400),
        (b"[]", 422),
        (b'{"inputs":[],"inputs":[]}', 400),
    ],
)
def test_a_request_of_another_shape_is_refused_in_the_protocols_words(
    server: Server, content: Any, status: int
) -> None:
    response = infer(server, content)
    assert (response.status_code, set(response.json())) == (
        status,
        {"outputs", "model_name", "model_version"} if status == 200 else {"error"},
    )


def test_raw_tensors_that_do_not_fit_are_refused(server: Server) -> None:
    def ask(size: int, raw: bytes, length: str = "") -> int:
        head = json.dumps({"inputs": [TEXT | {"parameters": {"binary_data_size": size}}]}).encode()
        return infer(server, head, raw, **{LENGTH: length or str(len(head))}).status_code

    snow = struct.pack("<I", 4) + b"snow"
    assert ask(8, snow) == 200
    assert ask(8, snow + b"x") == 400
    assert ask(7, snow[:7]) == 422
    assert ask(9, snow + b"x") == 422
    assert ask(8, struct.pack("<I", 2**32 - 1) + b"snow") == 422
    assert ask(0, b"") == 422
    assert ask(8, snow, "99999") == 400
    assert ask(8, snow, "-1") == 400


# MLflow's and SageMaker's container contract


@pytest.fixture(scope="module")
def mlflow_client(server: Server) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints while it is imported
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    made = ScoringServerClient("127.0.0.1", server.port)
    made.wait_server_ready(timeout=120)
    return made


FRAME = pd.DataFrame({"text": ["snow", "sun"], "degrees": [1.5, np.nan], "place": ["north", None]})


def test_mlflows_client_asks_with_frames_arrays_and_lists(mlflow_client: Any) -> None:
    def labels(data: Any, **params: Any) -> list[Any]:
        return json.loads(mlflow_client.invoke(data, **params).to_json())["predictions"]

    assert labels(FRAME) == ["cold", "warm"]
    assert labels(np.array(["snow", "sun"])) == ["cold", "warm"]
    assert labels(np.array([["snow"], ["sun"]])) == ["cold", "warm"]
    assert labels([{"text": "snow"}, {"text": "sun"}]) == ["cold", "warm"]
    found = mlflow_client.invoke(FRAME, params={"returns": "records"}).get_predictions()
    assert list(found.columns) == ["label", "confidence", "trust", "probability_warm", "probability_cold"]
    assert found["label"].tolist() == ["cold", "warm"]
    shares = labels(FRAME, params={"returns": "probabilities"})
    assert shares[0] == pytest.approx({"warm": 0.1, "cold": 0.9})
    assert mlflow_client.get_version() == "0.1.0"


def test_mlflows_client_is_told_what_is_wrong(mlflow_client: Any) -> None:
    with pytest.raises(Exception, match=r"422.*txt.*did you mean 'text'"):
        mlflow_client.invoke(FRAME.rename(columns={"text": "txt"}))
    with pytest.raises(Exception, match=r"422.*params\.top_k.*returns"):
        mlflow_client.invoke(FRAME, params={"top_k": 3})


def invoke(server: Server, content: Any, kind: str = "application/json", query: str = "") -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return server.client.post(f"/invocations{query}", content=body, headers={"content-type": kind})


SPLIT = {"columns": ["text", "degrees"], "data": [["snow", 1], ["sun", None]]}


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": SPLIT | {"index": [5, 6]}},
        {"dataframe_records": [{"text": "snow", "degrees": 1}, {"text": "sun"}]},
        {"instances": [{"text": "snow"}, {"text": "sun", "degrees": None}]},
        {"instances": ["snow", "sun"]},
        {"instances": [["snow"], ["sun"]]},
        {"instances": [["snow", "north", 1, "s1"], ["sun", None, None, None]]},
        {"inputs": {"text": ["snow", "sun"], "degrees": [1, None]}},
        {"inputs": {"text": [["snow"], ["sun"]]}},
        {"inputs": ["snow", "sun"]},
        b'{"dataframe_split":{"columns":["text","degrees"],"data":[["snow",NaN],["sun",2]]}}',
    ],
)
def test_every_form_of_input_is_read(server: Server, content: Any) -> None:
    response = invoke(server, content)
    assert response.status_code == 200
    answer = response.json()
    assert answer["predictions"] == ["cold", "warm"]
    kept = server.inputs()
    assert [kept[id_]["text"] for id_ in answer["ids"]] == ["snow", "sun"]


def test_one_row_may_come_as_single_values(server: Server) -> None:
    assert invoke(server, {"inputs": {"text": "snow", "degrees": 3}}).json()["predictions"] == ["cold"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"instances": []},
        {"instances": [], "inputs": []},
        {"instances": [1, 2]},
        {"instances": [["a", "b"]]},
        {"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}},
        {"dataframe_split": {"columns": ["text", "text"], "data": [["a", "b"]]}},
        {"dataframe_split": {"data": [["a"]]}},
        {"dataframe_records": {"text": ["a"]}},
        {"inputs": {"text": ["a", "b"], "degrees": [1]}},
        {"inputs": {"text": ["a"], "degrees": 1}},
        {"messages": [{"role": "user", "content": "hi"}]},
        {"instances": ["a"], "params": []},
        {"instances": ["a"], "params": {"returns": "all"}},
        b'{"instances":[{"text":NaN}]}',
        b'{"instances":[{"text":"a","degrees":Infinity}]}',
    ],
)
def test_a_form_that_is_none_is_refused_in_mlflows_words(server: Server, content: Any) -> None:
    response = invoke(server, content)
    assert response.status_code == 422
    assert set(response.json()) == {"error_code", "message"}
    assert response.json()["error_code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "kind", ["text/csv", "text/csv; charset=utf-8", "text/csv;header=present", "Text/CSV; charset=UTF-8"]
)
def test_a_sagemaker_shaped_caller_pings_and_asks_with_csv(server: Server, kind: str) -> None:
    assert server.client.get("/ping").status_code == 200
    assert server.client.get("/health").text == "\n"
    for body in (FRAME.to_csv(), FRAME.to_csv(index=False), "\ufeff" + FRAME.to_csv(index=False)):
        answer = invoke(server, body.encode(), kind).json()
        assert answer["predictions"] == ["cold", "warm"]
        kept = server.inputs()
        assert [kept[id_]["degrees"] for id_ in answer["ids"]] == [1.5, None]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "text/csv", 400),
        (b"text\n", "text/csv", 422),
        (b"text,text\na,b\n", "text/csv", 400),
        (b"text,\na,b\n", "text/csv", 400),
        (b"text,degrees\na\n", "text/csv", 422),
        (b"text,degrees\na,b\n", "text/csv", 422),
        (b"text\n\xff\n", "text/csv", 400),
        (b'text\n"a\n', "text/csv", 400),
        (b"txt\na\n", "text/csv", 422),
        (b"text\n" + b"a\n" * 1001, "text/csv", 413),
        (b"text\na\n", "text/csv; charset=latin-1", 415),
        (b"text\na\n", "application/x-parquet", 415),
    ],
)
def test_csv_that_cannot_be_read_is_refused(server: Server, body: bytes, kind: str, status: int) -> None:
    response = invoke(server, body, kind)
    assert (response.status_code, set(response.json())) == (status, {"error_code", "message"})


def test_the_query_may_ask_for_probabilities(server: Server) -> None:
    response = invoke(server, b"text\nsnow\n", "text/csv", "?returns=probabilities")
    assert response.json()["predictions"][0] == pytest.approx({"warm": 0.1, "cold": 0.9})


def test_what_the_other_protocols_refuse_is_written_down(server: Server) -> None:
    infer(server, {"inputs": []})
    invoke(server, {"instances": [{"txt": "secret"}]})
    events, _ = Journal(server.folder / ".mainstay" / "journal").read({}, 1_000_000)
    refusals = [event for event in events if event.kind is Kind.REFUSAL]
    assert {event.reason for event in refusals} >= {"contract_violation", "malformed", "too_large"}
    assert "secret" not in str(refusals)


def test_lines_are_answered_by_a_real_server_in_their_order(server: Server, tmp_path: Path) -> None:
    del tmp_path
    body = b"\n".join(json.dumps({"id": f"l-{n}", "inputs": {"text": f"snow {n}"}}).encode() for n in range(3000))
    sent = server.client.post("/v1/predict", content=body, headers={"content-type": "application/x-ndjson"})
    answers = [json.loads(line) for line in sent.text.splitlines()]
    assert [answer["id"] for answer in answers] == [f"l-{n}" for n in range(3000)]
    kept = server.inputs()
    assert all(kept[f"l-{n}"]["text"] == f"snow {n}" for n in range(3000))


def test_what_the_model_cannot_answer_is_an_error_in_each_protocols_words(server: Server) -> None:
    found = infer(server, {"inputs": [TEXT | {"data": ["poison"]}]})
    assert (found.status_code, set(found.json())) == (500, {"error"})
    found = invoke(server, {"instances": ["poison"]})
    assert (found.status_code, found.json()["error_code"]) == (500, "INTERNAL_ERROR")
    body = b"\n".join(b'{"inputs":{"text":"%b"}}' % text for text in (b"snow", b"poison", b"sun"))
    sent = server.client.post("/v1/predict", content=body, headers={"content-type": "application/x-ndjson"})
    answers = [json.loads(line) for line in sent.text.splitlines()]
    assert [one.get("label") or one["error"]["code"] for one in answers] == ["cold", "model_output_invalid", "warm"]


@pytest.mark.parametrize("path", ["/ping", "/health", "/version", "/v2", "/v2/health/live", "/v2/models/weather/ready"])
def test_probes_answer_head_as_get_and_nothing_else(server: Server, path: str) -> None:
    assert server.client.get(path).status_code == 200
    head = server.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    wrong = server.client.post(path, json={})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
