"""Inputs, answers, confidences, ids and keys are found where services put them, and nowhere else."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.attach.paths import MISSING, compile_path
from mainstay.attach.rows import Row, Unusable, flat, id_of, label_of, share_of
from mainstay.attach.seen import Seen, compile_mapping
from mainstay.core.errors import UsageError
from mainstay.core.events import Kind

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
DEFAULTS: dict[str, Any] = dict.fromkeys(("inputs", "output", "confidence", "id_", "key"))


def seen(request: Any, response: Any, *, status: int = 200, headers: tuple[Any, ...] = (), **places: Any) -> Seen:
    mapping = compile_mapping(**DEFAULTS | places, max_bytes=10_000)
    found = Seen(mapping, NOW, "/predict", headers)
    found.keep_request(request if isinstance(request, bytes) else json.dumps(request).encode())
    if found.start(status, [(b"content-type", b"application/json")]):
        found.keep_response(response if isinstance(response, bytes) else json.dumps(response).encode())
    return found


def row(request: Any, response: Any, **options: Any) -> Row:
    rows = seen(request, response, **options).rows()
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a.b", 1),
        ("a.b", 1),
        ("$.list[1].c", 3),
        ("list.1.c", 3),
        ("$.none", None),
        ("$.a.x", MISSING),
        ("$.a.b.c", MISSING),
    ],
)
def test_a_path_finds_what_stands_there(path: str, expected: Any) -> None:
    assert compile_path(path)({"a": {"b": 1}, "list": [2, {"c": 3}], "none": None}) == expected


@pytest.mark.parametrize("path", ["", "$..a", "a[b]", "a[", "[0]x["])
def test_what_is_no_path_is_refused_when_it_is_given(path: str) -> None:
    with pytest.raises(UsageError, match="no path"):
        compile_path(path)


@pytest.mark.parametrize(
    ("request_", "response", "inputs", "label"),
    [
        ({"amount": 3, "id": "r1"}, {"label": "ok"}, {"amount": 3}, "ok"),
        ({"inputs": {"amount": 3}}, {"prediction": "ok"}, {"amount": 3}, "ok"),
        ({"features": [1, 2.5]}, {"prediction": 0.5}, {"x0": 1, "x1": 2.5}, 0.5),
        ({"features": {"a": {"b": 1}, "c": [7, 8]}}, "fraud", {"a_b": 1, "c_0": 7, "c_1": 8}, "fraud"),
        ({"x": 1}, {"result": {"label": True}}, {"x": 1}, "true"),
        ({"x": 1}, {"prediction": [1]}, {"x": 1}, 1),
        ({"x": 1}, {"predictions": [{"label": "a"}]}, {"x": 1}, "a"),
        ({"x": 1}, 7, {"x": 1}, 7),
        ({"x": 1}, {"label": 0}, {"x": 1}, 0),
    ],
)
def test_usual_requests_and_answers_need_no_mapping(request_: Any, response: Any, inputs: Any, label: Any) -> None:
    found = row(request_, response)
    assert (found.inputs, found.label, found.kind) == (inputs, label, Kind.EXTERNAL)


def test_paths_name_other_places() -> None:
    found = row(
        {"body": {"f": {"x": 1}}, "who": {"id": 7}, "ref": "r-1"},
        {"out": {"class": "a", "p": 0.75}},
        inputs="$.body.f",
        output="$.out.class",
        confidence="$.out.p",
        id_="request.ref",
        key="$.who.id",
    )
    assert (found.inputs, found.label, found.confidence, found.id, found.key) == ({"x": 1}, "a", 0.75, "r-1", "7")


def test_a_header_can_be_the_id() -> None:
    assert row({"x": 1}, {"label": "a"}, headers=((b"x-request-id", b"h-9"),), id_="header.X-Request-Id").id == "h-9"


def test_a_function_gets_what_was_seen() -> None:
    found = row({"x": 1}, {"score": 0.2}, output=lambda s: "fraud" if s.response["score"] > 0.5 else "ok")
    assert found.label == "ok"


def test_a_function_that_fails_costs_its_request_alone() -> None:
    with pytest.raises(Unusable) as caught:
        row({"x": 1}, {"score": 0.2}, output=lambda s: s.response["nothing"])
    assert (caught.value.code, "KeyError" in caught.value.text) == ("mapping_failed", True)


def test_a_batch_becomes_one_row_for_each_answer() -> None:
    rows = seen({"instances": [{"x": 1}, {"x": 2}]}, {"id": "b", "predictions": ["a", "b"]}).rows()
    assert [(r.inputs, r.label, r.id) for r in rows] == [({"x": 1}, "a", "b-0"), ({"x": 2}, "b", "b-1")]


def test_a_batch_of_mainstays_own_form_keeps_ids_and_confidences() -> None:
    instances = [{"id": "i-1", "inputs": {"x": 1}}, {"id": "i-2", "inputs": {"x": 2}}]
    said = [{"label": "a", "confidence": 0.75}, {"label": "b", "probabilities": {"a": 0.25, "b": 0.75}}]
    rows = seen({"instances": instances}, {"predictions": said}).rows()
    assert [(r.id, r.label, r.confidence) for r in rows] == [("i-1", "a", 0.75), ("i-2", "b", 0.75)]


def test_a_batch_with_fewer_answers_is_not_guessed_at() -> None:
    with pytest.raises(Unusable, match="2 rows were asked and 1 answers came"):
        seen({"instances": [{"x": 1}, {"x": 2}]}, {"predictions": ["a"]}).rows()


@pytest.mark.parametrize(
    ("request_", "response", "code", "told"),
    [
        (b"{x", {"label": "a"}, "not_json", "request"),
        ({"x": 1}, b"nope", "not_json", "answer"),
        ({"x": 1}, {"verdict": {"deep": 1}}, "no_output", "verdict"),
        ([], {"label": "a"}, "no_inputs", "[]"),
        ({"x": 1}, {"label": "a", "confidence": 7}, "bad_confidence", "7"),
        ({"x": 1}, {"label": "a", "id": "y" * 200}, "bad_id", "yyy"),
    ],
)
def test_what_cannot_be_recorded_says_what_was_seen(request_: Any, response: Any, code: str, told: str) -> None:
    with pytest.raises(Unusable) as caught:
        seen(request_, response).rows()
    assert (caught.value.code, told in caught.value.text) == (code, True)


def test_a_mapping_that_fits_nothing_is_told_with_what_was_there() -> None:
    with pytest.raises(Unusable, match="amount"):
        row({"amount": 3}, {"label": "a"}, inputs="$.features")


def test_a_packed_answer_is_read() -> None:
    found = seen({"x": 1}, {})
    found.response_parts = [gzip.compress(b'{"label": "a"}')]
    found.encoding = b"gzip"
    assert found.rows()[0].label == "a"


def test_a_packed_answer_that_unpacks_to_too_much_is_not_kept() -> None:
    found = seen({"x": 1}, {})
    found.response_parts = [gzip.compress(b" " * 1_000_000)]
    found.encoding = b"gzip"
    with pytest.raises(Unusable, match="above"):
        found.rows()


def test_bodies_beyond_the_limit_are_let_go() -> None:
    found = seen({"x": "y" * 20_000}, {"label": "a"})
    assert (found.request_parts, found.response_parts) == ([], [])
    with pytest.raises(Unusable, match="above 10000 bytes"):
        found.rows()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Kind.REFUSAL), (422, Kind.REFUSAL), (500, Kind.ERROR), (503, Kind.ERROR)]
)
def test_refusals_and_errors_are_what_they_are(status: int, kind: Kind) -> None:
    assert (row({"x": 1}, {}, status=status).kind, row({"x": 1}, {}, status=status).status) == (kind, status)


def test_names_of_fields_never_look_like_signals_of_others() -> None:
    assert flat({"a.b": 1, "c=d": 2, "_x": 3, "": 4, "n\n": 5}) == {"a_b": 1, "c_d": 2, "f_x": 3, "f": 4, "n_": 5}


def test_the_number_of_fields_is_bounded() -> None:
    assert len(flat({f"f{n}": n for n in range(5_000)})) == 1_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (False, "false"),
        (3, 3),
        ("a", "a"),
        (float("nan"), None),
        (None, None),
        ("\ud800", "?"),
        (2**70, float(2**70)),
    ],
)
def test_a_label_is_text_or_a_number(value: Any, expected: Any) -> None:
    assert label_of(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.5, 0.5), (1, 1.0), (None, None), (True, None), ("high", None)])
def test_a_confidence_is_a_share_or_nothing(value: Any, expected: float | None) -> None:
    assert share_of(value) == expected


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_a_number_that_is_no_share_is_no_confidence(value: float) -> None:
    with pytest.raises(Unusable, match="0 to 1"):
        share_of(value)


@pytest.mark.parametrize("value", [{}, True, "a\0b", "x" * 129, [1]])
def test_what_feedback_could_not_name_is_no_id(value: Any) -> None:
    with pytest.raises(Unusable, match="an id is"):
        id_of(value)
