"""What passed by, and how inputs, answer, confidence, id and key are found in it."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from mainstay.attach.paths import MISSING, Missing, compile_path
from mainstay.attach.rows import Row, Unusable, flat, id_of, label_of, share_of, shares_of
from mainstay.core.events import Kind

INPUTS = ("inputs", "features", "instances", "data", "rows")
"""Where inputs are looked for in a request, unless told; else the whole request holds them."""
LABELS = ("label", "prediction", "predictions", "predicted", "output", "outputs", "class", "result", "answer", "value")
CONFIDENCES = ("confidence",)
PROBABILITIES = ("probabilities", "probs")
IDS = ("id", "request_id", "prediction_id", "requestId")
REFUSALS = frozenset({400, 422})
"""Statuses by which a service says that the inputs are wrong; other 4xx speak of the caller, not of the data."""
SHOWN = 200
_decode = msgspec.json.Decoder().decode

Headers = Iterable[tuple[bytes, bytes]]


class Seen:
    """One request with its answer. The request's way only fills it; everything else is worked out later."""

    __slots__ = (
        "__dict__",
        "at",
        "encoding",
        "failure",
        "headers",
        "latency_us",
        "mapping",
        "path",
        "request_parts",
        "request_size",
        "response_parts",
        "response_size",
        "status",
        "too_large",
    )

    def __init__(self, mapping: Mapping, at: datetime, path: str, headers: Headers) -> None:
        self.mapping = mapping
        self.at = at
        self.path = path
        self.headers = headers
        """Of the request: pairs of bytes, names in lower case."""
        self.request_parts: list[bytes] = []
        self.response_parts: list[bytes] = []
        self.request_size = self.response_size = 0
        """Bytes that passed."""
        self.status = 0
        self.encoding = b""
        """Content-Encoding of the answer."""
        self.latency_us = 0
        self.too_large = False
        self.failure = ""
        """Name of the exception that the service raised."""

    @property
    def size(self) -> int:
        """Return the bytes that it holds, or a little more."""
        return 1000 + self.request_size + self.response_size

    def keep_request(self, body: bytes) -> None:
        """Keep a part of the request."""
        self.request_size += len(body)
        if self.request_size <= self.mapping.max_bytes:
            self.request_parts.append(body)
        else:
            self.give_up()

    def start(self, status: int, headers: Headers) -> bool:
        """Take the answer's status and headers; return whether its body is to be kept."""
        self.status = status
        if not 200 <= status < 300:
            return False
        content_type = b""
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-type":
                content_type = value
            elif lower == b"content-encoding":
                self.encoding = value.strip().lower()
        return is_json(content_type)

    def keep_response(self, body: bytes) -> None:
        """Keep a part of the answer."""
        self.response_size += len(body)
        if self.response_size <= self.mapping.max_bytes:
            self.response_parts.append(body)
        else:
            self.give_up()

    def give_up(self) -> None:
        """Let go of the bodies: too much passed, and counting that is all that is left to do."""
        self.too_large = True
        self.request_parts, self.response_parts = [], []
        self.request_size = self.response_size = self.mapping.max_bytes

    def is_told(self, *, kept: bool) -> bool:
        """Return whether the answer is one to be recorded; `kept`: its body was kept."""
        return kept or self.status >= 500 or self.status in REFUSALS

    @cached_property
    def request(self) -> Any:
        """Return the request's JSON document."""
        return _json(b"".join(self.request_parts), "request")

    @cached_property
    def response(self) -> Any:
        """Return the answer's JSON document."""
        body = b"".join(self.response_parts)
        if self.encoding:
            body = _unpacked(body, self.encoding, self.mapping.max_bytes)
        return _json(body, "answer")

    def header(self, name: str) -> Any:
        """Return a request header as text, or MISSING."""
        wanted = name.lower().encode("latin-1", "replace")
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), MISSING)

    def rows(self) -> list[Row]:
        """Return what is to be recorded: one row for each answer. Raises Unusable where nothing can be."""
        if self.too_large and self.status < 300:
            raise Unusable("too_large", f"a request or answer of {self.path} is above {self.mapping.max_bytes} bytes")
        if self.failure or self.status >= 500:
            return [self._failed()]
        if self.status in REFUSALS:
            reason = f"the service answered {self.status}"
            return [Row(kind=Kind.REFUSAL, at=self.at, status=self.status, reason=reason, latency_us=self.latency_us)]
        return self.mapping.rows(self)

    def _failed(self) -> Row:
        reason = self.failure or f"the service answered {self.status}"
        row = Row(kind=Kind.ERROR, at=self.at, status=self.status or 500, reason=reason, latency_us=self.latency_us)
        try:
            given = self.mapping.inputs(self)
            row.inputs = flat(given) if isinstance(given, dict) else {}
        except Unusable:
            pass  # an error is one whatever the request held
        return row


Source = Callable[[Seen], Any]
"""Finds one thing in what was seen; gives MISSING where it is not."""
Given = str | Source | None
"""A path, a function, or nothing: then the usual places are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Where things stand in the requests and answers of one service."""

    inputs: Source
    output: Source
    confidence: Source
    id: Source
    key: Source
    max_bytes: int
    """Requests and answers above this are not recorded."""

    def rows(self, seen: Seen) -> list[Row]:
        """Return one row for each answer: several where inputs and answers are lists of the same length."""
        given, answer = self.inputs(seen), self.output(seen)
        if given is MISSING:
            raise Unusable(
                "no_inputs", f"no inputs were found in the request {_shown(seen.request)}; name them: inputs="
            )
        if answer is MISSING:
            raise Unusable("no_output", f"no label was found in the answer {_shown(seen.response)}; name it: output=")
        if isinstance(given, list) and given and all(isinstance(one, dict | list) for one in given):
            return self._batch(seen, given, answer)
        return [_row(seen, given, answer, told=self.confidence(seen), id_=self.id(seen), key=self.key(seen))]

    def _batch(self, seen: Seen, given: Sequence[Any], answer: Any) -> list[Row]:
        if not isinstance(answer, list) or len(answer) != len(given):
            said = f"{len(answer)} answers" if isinstance(answer, list) else _shown(answer)
            raise Unusable("unequal", f"{len(given)} rows were asked and {said} came; one for each is expected")
        count = len(given)
        ids, keys = _each(self.id(seen), count, numbered=True), _each(self.key(seen), count, numbered=False)
        sure = _each(self.confidence(seen), count, numbered=False)
        rows = []
        for number, (one, said) in enumerate(zip(given, answer, strict=True)):
            wrapped = isinstance(one, dict) and isinstance(one.get("inputs"), dict)
            asked, id_ = (one["inputs"], one.get("id", ids[number])) if wrapped else (one, ids[number])
            rows.append(_row(seen, asked, said, told=sure[number], id_=id_, key=keys[number]))
        return rows


def _row(seen: Seen, given: Any, answer: Any, *, told: Any, id_: Any, key: Any) -> Row:
    """Return one row; `told` is the confidence where the mapping told its place."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    label = _first(answer, LABELS) if isinstance(answer, dict) else answer
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    if isinstance(label, dict | list | Missing):
        raise Unusable("no_output", f"the answer {_shown(answer)} is no label; name it: output=")
    inside = answer if isinstance(answer, dict) else _document(seen.response)
    shares = shares_of(_first_of_any(inside, PROBABILITIES))
    confidence = share_of(_first_of_any(inside, CONFIDENCES) if told is MISSING else told)
    return Row(
        kind=Kind.EXTERNAL,
        at=seen.at,
        inputs=flat(given),
        label=label_of(label),
        confidence=max(shares.values()) if confidence is None and shares else confidence,
        probabilities=shares,
        id=id_of(None if id_ is MISSING else id_) or new_id(),
        key=None if key is MISSING or key is None else str(key),
        status=seen.status,
        latency_us=seen.latency_us,
    )


def compile_mapping(
    *, inputs: Given, output: Given, confidence: Given, id_: Given, key: Given, max_bytes: int
) -> Mapping:
    """Return the mapping. Paths are of the request for inputs and key, of the answer for output and confidence.

    `request.`, `response.` and `header.` at the beginning say otherwise. An id is looked for in the answer, then in the
    request. Raises UsageError for a path that is none, TypeError for what is neither path nor function.
    """
    return Mapping(
        inputs=_source(inputs, _request, _inputs),
        output=_source(output, _response, _output),
        confidence=_source(confidence, _response, _nothing),
        id=_source(id_, _response, _id),
        key=_source(key, _request, _nothing),
        max_bytes=max_bytes,
    )


def is_json(content_type: bytes) -> bool:
    """Return whether a content type says JSON."""
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.endswith(b"+json") and kind.startswith(b"application/"))


def new_id() -> str:
    """Return an id that cannot be guessed."""
    return f"x{secrets.token_hex(10)}"


def _source(given: Given, home: Callable[[Seen], Any], default: Source) -> Source:
    if given is None:
        return default
    if callable(given):
        return _careful(given)
    if not isinstance(given, str):
        raise TypeError(f"a place is a path such as '$.customer.id', or a function; seen: {given!r}")
    root, _, rest = given.partition(".")
    if root == "header":
        return lambda seen: seen.header(rest)
    where = {"request": _request, "response": _response}.get(root)
    if where is not None:
        home, given = where, f"$.{rest}"
    find = compile_path(given)
    return lambda seen: find(home(seen))


def _careful(function: Source) -> Source:
    def call(seen: Seen) -> Any:
        try:
            return function(seen)
        except Unusable:
            raise
        except Exception as error:  # edge: the user's function; it runs off the request's way and harms nobody
            raise Unusable(
                "mapping_failed", f"a function of the mapping failed: {type(error).__name__}: {error}"
            ) from error

    return call


def _request(seen: Seen) -> Any:
    return seen.request


def _response(seen: Seen) -> Any:
    return seen.response


def _nothing(seen: Seen) -> Any:
    del seen
    return MISSING


def _inputs(seen: Seen) -> Any:
    request = seen.request
    if isinstance(request, dict):
        for name in INPUTS:
            if isinstance(found := request.get(name), dict | list):
                return found or MISSING
        return {name: value for name, value in request.items() if name not in IDS} or MISSING
    return request if isinstance(request, list) else MISSING


def _output(seen: Seen) -> Any:
    response = seen.response
    if not isinstance(response, dict):
        return response
    found = _first(response, LABELS)
    return response if isinstance(found, dict) else found


def _id(seen: Seen) -> Any:
    for document in (seen.response, seen.request):
        if isinstance(document, dict):
            found = next((document[name] for name in IDS if isinstance(document.get(name), str | int | list)), MISSING)
            if found is not MISSING:
                return found
    return MISSING


def _first(document: Any, names: Sequence[str]) -> Any:
    """Return the first of the names that the document has; a table under it is looked into as well."""
    for name in names:
        if isinstance(document, dict) and document.get(name) is not None:
            found = document[name]
            return _first(found, names) if isinstance(found, dict) else found
    return MISSING


def _first_of_any(document: Any, names: Sequence[str]) -> Any:
    """Return what stands under one of the names, in the document or in the table that holds the answer."""
    found = next((document[name] for name in names if document.get(name) is not None), None)
    if found is None:
        inner = next((document[name] for name in LABELS if isinstance(document.get(name), dict)), None)
        return None if inner is None else _first_of_any(inner, names)
    return found


def _document(response: Any) -> Any:
    return response if isinstance(response, dict) else {}


def _each(value: Any, count: int, *, numbered: bool) -> list[Any]:
    if isinstance(value, list) and len(value) == count:
        return value
    if value is MISSING or value is None or isinstance(value, list):
        return [MISSING] * count
    return [f"{value}-{number}" if numbered else value for number in range(count)]


def _json(body: bytes, what: str) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable("not_json", f"the {what} is no JSON: {error}") from error


def _unpacked(body: bytes, encoding: bytes, most: int) -> bytes:
    if encoding not in (b"gzip", b"deflate"):
        raise Unusable("encoded", f"the answer is encoded as {encoding.decode('latin-1')!r}; gzip and deflate are read")
    try:
        unpacker = zlib.decompressobj(47)
        plain = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise Unusable("encoded", f"the answer cannot be unpacked: {error}") from error
    if len(plain) > most:
        raise Unusable("too_large", f"the unpacked answer is above {most} bytes")
    return plain


def _shown(document: Any) -> str:
    text = repr(document)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
