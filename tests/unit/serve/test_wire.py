"""Strict decoding: what is no request is told so, and never becomes another one."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.errors import ContractViolation, MainstayError, Problem, TooLarge
from mainstay.serve import strict, wire

GOOD = b'{"instances": [{"inputs": {"text": "a"}}]}'


def decode(body: bytes) -> wire.PredictRequest:
    return wire.decode_predict(body, max_rows=3)


def test_a_request_is_decoded() -> None:
    request = decode(b'{"instances":[{"id":"a","key":null,"time":"2026-01-05T09:00:00Z","inputs":{"text":"x"}}]}')
    assert request.instances[0].id == "a"
    assert request.instances[0].key is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf" + GOOD,
        GOOD + b" x",
        b'{"instances":[{"inputs":{"text":NaN}}]}',
        b'{"instances":[{"inputs":{"text":Infinity}}]}',
        b'{"instances":[{"inputs":{"text":"\xff"}}]}',
        b'{"instances":[{"inputs":{"text":"\\ud800"}}]}',
        b'{"instances":[{"inputs":{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}}]}",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(strict.Malformed):
        decode(body)


@pytest.mark.parametrize(
    ("body", "where", "row"),
    [
        (b"[]", "body", None),
        (b"{}", "instances", None),
        (b'{"instances":[]}', "instances", None),
        (b'{"instances":[{"inputs":{"text":"a"},"extra":1}]}', "extra", 0),
        (b'{"instances":[{"inputs":{"text":"a"},"time":"0001-01-01T00:00:00+14:00"}]}', "time", 0),
        (b'{"instances":[{"inputs":{"text":"a"},"id":"a\\u0000b"}]}', "id", 0),
        (b'{"instances":[{"inputs":{"text":"a"},"time":"2026-01-05T09:00:00"}]}', "time", 0),
        (b'{"instances":[{"inputs":{"text":"a"}},{"inputs":{"text":"a"},"id":""}]}', "id", 1),
        (b'{"instances":[{"inputs":{"n":1e400}}]}', "n", 0),
        (b'{"instances":[{"inputs":{"n":' + b"9" * 5000 + b"}}]}", "n", 0),
        (b'{"instances":[{"inputs":{"a":1,"n":[1,{"m":-1e999}]}}]}', "n", 0),
    ],
)
def test_another_shape_is_refused_with_its_place(body: bytes, where: str, row: int | None) -> None:
    with pytest.raises(ContractViolation) as caught:
        decode(body)
    assert (caught.value.problems[0].where, caught.value.problems[0].row) == (where, row)


@pytest.mark.parametrize(
    ("body", "value", "allowed", "nearest"),
    [
        (b'{"instance":[]}', [], ["instances"], "instances"),
        (b'{"instances":[{"input":{}}]}', {}, ["inputs", "id", "key", "time"], "inputs"),
        (b'{"instances":[{"inputs":{},"id":7}]}', 7, "a text of 1 to 128 characters without NUL", None),
        (b'{"instances":[{"inputs":[1]}]}', [1], "an object with the declared fields", None),
        (b'{"instances":[{}]}', None, "an object with the declared fields", None),
        (b'{"instances":{}}', {}, "a list of at least one object", None),
        (b'{"instances":[{"inputs":{"n":1e400}}]}', "1e400", "a number that a 64-bit float can hold", None),
        (b"7", 7, "one object, as /docs shows it", None),
    ],
)
def test_another_shape_is_told_with_the_value_seen_and_what_is_allowed(
    body: bytes, value: Any, allowed: Any, nearest: str | None
) -> None:
    with pytest.raises(ContractViolation) as caught:
        decode(body)
    problem = caught.value.problems[0]
    assert (problem.value, problem.allowed, problem.nearest) == (value, allowed, nearest)


@pytest.mark.parametrize("body", [b"[1 true]", b'{"a":', b'{"instances":[{"input":{}}', b'["\xff"]', b'{"x":NaN}'])
def test_a_body_that_is_no_json_is_malformed_even_where_its_start_has_another_shape(body: bytes) -> None:
    with pytest.raises(strict.Malformed):
        decode(body)


@pytest.mark.parametrize("depth", [65, 500, 900, 990, 100_000])
def test_a_value_that_is_nested_too_deeply_is_malformed_wherever_it_stands(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    bodies = (
        b'{"instances":[{"inputs":{"text":%b}}]}' % deep,
        b'{"instances":%b}' % deep,
        b'{"strange":%b}' % deep,
        deep,
    )
    for body in bodies:
        with pytest.raises(strict.Malformed):
            decode(body)
    with pytest.raises(strict.Malformed, match="too deeply"):
        wire.decode_feedback(b'{"items":[{"id":"a","value":%b}]}' % deep, max_rows=3)


def test_a_key_that_stands_very_often_is_found_in_one_pass() -> None:
    body = b'{"items":[{"id":"a","value":{%b}}]}' % b",".join([b'"a":1'] * 200_000)
    with pytest.raises(strict.Malformed) as caught:
        wire.decode_feedback(body, max_rows=3)
    assert caught.value.message == "The body names 'a' twice in one object"


def test_a_message_stays_short_and_writable_whatever_the_names_are() -> None:
    long, half = "q" * 100_000, "\\ud800"
    for body in (f'{{"{long}":1,"{long}":2}}', f'{{"{half}":"{half}"}}', f'{{"instances":[{{"{long}":"{half}"}}]}}'):
        with pytest.raises(MainstayError) as caught:
            decode(body.encode())
        assert len(wire.encode(wire.error_response(caught.value))) < 3000


def test_times_are_taken_in_utc() -> None:
    request = decode(b'{"instances":[{"inputs":{},"time":"2026-01-05T09:00:00+02:00"}]}')
    assert str(request.instances[0].time) == "2026-01-05 07:00:00+00:00"


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"inputs":{"text":"a","text":"b"}}]}',
        b'{"instances":[{"inputs":{"text":"a","\\u0074ext":"b"}}]}',
        b'{"instances":[{"inputs":{"text":"a"},"inputs":{"text":"b"}}]}',
        b'{"instances":[{"inputs":{"text":"a"},"id":"1","id" : "2"}]}',
        b'{"instances":[{"inputs":{"text":"a"}}],"instances":[{"inputs":{"text":"b"}}]}',
        b'{"instances":[{"inputs":{"text":{"x":1,"x":2}}}]}',
    ],
)
def test_a_key_that_stands_twice_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(strict.Malformed, match="twice"):
        decode(body)


def test_colons_and_quotes_inside_texts_are_no_keys() -> None:
    assert decode(msgspec.json.encode({"instances": [{"inputs": {'a":b': 'c": "d', "\\": '\\":'}}]})).instances


def test_more_rows_than_allowed_are_too_large() -> None:
    with pytest.raises(TooLarge, match="at most 3"):
        decode(msgspec.json.encode({"instances": [{"inputs": {}}] * 4}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_json_object_without_repeats_is_taken_as_it_is(inputs: dict[str, Any]) -> None:
    body = msgspec.json.encode({"instances": [{"inputs": inputs}]})
    assert msgspec.json.encode(decode(body).instances[0].inputs) == msgspec.json.encode(
        msgspec.json.decode(body)["instances"][0]["inputs"]
    )


@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_request_or_an_error_of_ours(noise: bytes, at: int) -> None:
    for body in (noise, GOOD[:at] + noise + GOOD[at:]):
        with contextlib.suppress(MainstayError):
            decode(body)


def test_feedback_with_a_key_twice_is_refused() -> None:
    with pytest.raises(strict.Malformed):
        wire.decode_feedback(b'{"items":[{"id":"a","value":1,"value":2}]}', max_rows=3)


def test_the_error_shape_shows_short_values_only() -> None:
    problems = [Problem(where="text", what="is too long", value="x" * 5000, allowed="at most 200", row=1)]
    body = wire.encode(wire.error_response(ContractViolation("one is wrong", problems=problems)))
    error = msgspec.json.decode(body)["error"]
    assert len(error["problems"][0]["value"]) == wire.VALUE_CHARS
    assert error["problems"][0]["instance"] == 1
    assert error["code"] == "contract_violation"


def test_values_of_any_kind_can_be_shown() -> None:
    problems = [
        Problem(where="x", what="?", value=value) for value in (10**400, {1: object()}, {"a"}, float("nan"), b"\xff")
    ]
    assert wire.encode(wire.error_response(ContractViolation("?", problems=problems)))


@pytest.mark.parametrize(
    ("decode", "body", "example"),
    [
        (wire.decode_predict, b'{"temperature": 1}', '{"instances": [{"inputs": {…}}]}'),
        (wire.decode_feedback, b'{"id": "a", "value": "worn"}', '{"items": [{"id": "…", "value": …}]}'),
    ],
)
def test_who_sends_another_shape_is_shown_that_of_the_route_that_was_called(
    decode: Any, body: bytes, example: str
) -> None:
    with pytest.raises(ContractViolation) as caught:
        decode(body, max_rows=10)
    assert example in caught.value.remedy


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"instances": []}'.encode("utf-16"), "UTF-16"),
        (b'{"instances": [{"inputs": {"text": "\\ud800"}}]}', r"\\ud800 at byte 36 is half of a surrogate pair"),
        (b'{"instances": [{"inputs": {"text": "\\ud83d\\ude00 \\ude00 "}}]}', r"\\ude00 at byte 49 is half"),
        (b'{"instances": [{"inputs": {"text": "\\ud83d\\ude00"}', "truncated"),
        (b'{"instances": [{"inputs": {"text": "\xed\xa0\x80"}}]}', r"byte 36 \(0xed\) is half of a surrogate pair"),
        (b'{"instances": [{"inputs": {"text": "\xe9t\xe9"}}]}', r"byte 36 \(0xe9\) is no UTF-8"),
        (b"temperature,medium\n1,water\n", "it looks like CSV, which POST /invocations takes"),
    ],
)
def test_a_body_that_is_no_json_for_a_usual_reason_is_told_so(body: bytes, why: str) -> None:
    with pytest.raises(strict.Malformed, match=why):
        wire.decode_predict(body, max_rows=10)
