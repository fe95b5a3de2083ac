"""What goes over the wire on the hot routes: types, strict decoding, encoding."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mainstay.core.errors import ContractViolation, MainstayError, Problem, TooLarge, UsageError
from mainstay.core.events import Arm, Caveat, FeedbackStatus, Trust

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Key = Annotated[str, Meta(min_length=1, max_length=256)]
Moment = Annotated[datetime, Meta(tz=True)]


class Malformed(UsageError):
    """The body is not JSON as RFC 8259 has it."""

    code = "malformed"
    default_remedy = "Send one JSON object in UTF-8, each key once, without NaN or Infinity."


class Instance(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One row to answer."""

    inputs: dict[str, Any]
    """The declared fields."""
    id: Name | UnsetType | None = UNSET
    """Yours to choose; sent again with the same body it gives the same answer. Made for you when absent."""
    key: Key | UnsetType | None = UNSET
    """The unit of evidence (a customer, a device), where the contract declares no key field."""
    time: Moment | UnsetType | None = UNSET
    """When it happened, with a zone; arrival when absent."""


class PredictRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST …/predict."""

    instances: Annotated[list[Instance], Meta(min_length=1)]


class Prediction(msgspec.Struct, kw_only=True):
    """The answer to one instance."""

    id: str
    label: Any
    probabilities: dict[str, float]
    confidence: float | None
    """Calibrated probability that the label is right; null for regression and for a fallback answer."""
    trust: Trust
    fallback: bool
    """True when no model could answer and the declared fallback did."""
    warnings: Sequence[Caveat]
    bundle: str
    """`model@version` that answered."""
    arm: Arm
    duplicate: bool
    """True when this id was answered before; the answer is the one of then."""


class PredictResponse(msgspec.Struct, kw_only=True):
    """The body of a 200 to …/predict: one prediction per instance, in order."""

    model: str
    predictions: list[Prediction]


class FeedbackItem(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One label or reward for an id; late, twice or out of order as it may come."""

    id: Name
    value: Any
    feedback_id: Name | UnsetType | None = UNSET
    """Yours; the same one again is a duplicate. Made from the content when absent."""
    kind: str = "label"
    """label or reward."""
    name: Name | UnsetType | None = UNSET
    """The target's name by default."""
    at: Moment | UnsetType | None = UNSET
    """When it was known; arrival when absent. The latest one counts."""
    by: Annotated[str, Meta(max_length=128)] | None = ""
    supersedes: Name | None = None


class FeedbackRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST …/feedback."""

    items: Annotated[list[FeedbackItem], Meta(min_length=1)]


class FeedbackResult(msgspec.Struct, kw_only=True):
    """What became of one item."""

    id: str
    feedback_id: str
    status: FeedbackStatus
    error: str | None = None


class FeedbackResponse(msgspec.Struct, kw_only=True):
    """The body of a 200 to …/feedback: one result per item, in order."""

    results: list[FeedbackResult]


class ErrorProblem(msgspec.Struct, kw_only=True):
    """One thing wrong with a request."""

    instance: int | None
    field: str
    what: str
    value: Any
    allowed: Any
    nearest: str | None


class ErrorBody(msgspec.Struct, kw_only=True):
    """What went wrong, and the way out."""

    code: str
    message: str
    remedy: str
    problems: list[ErrorProblem]


class ErrorResponse(msgspec.Struct, kw_only=True):
    """The body of every error."""

    error: ErrorBody


T = TypeVar("T", PredictRequest, FeedbackRequest)
_PREDICT = msgspec.json.Decoder(PredictRequest)
_FEEDBACK = msgspec.json.Decoder(FeedbackRequest)
_ENCODER = msgspec.json.Encoder()
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?', re.DOTALL)
"""Every string of a JSON text, and whether a colon follows: then it is a key."""
_PATH = re.compile(r" - at `\$?\.?(.*)`$")
_ROW = re.compile(r"^(?:instances|items)\[(\d+)\]\.?")
MAX_PROBLEMS = 50
VALUE_CHARS = 200


def decode_predict(body: bytes, *, max_rows: int) -> PredictRequest:
    """Decode strictly; raise Malformed (no JSON, a key twice), ContractViolation (another shape) or TooLarge."""
    request = _decode(_PREDICT, body)
    _limit(len(request.instances), max_rows)
    keys = 1
    for one in request.instances:
        keys += 1 + (one.id is not UNSET) + (one.key is not UNSET) + (one.time is not UNSET) + len(one.inputs)
        for value in one.inputs.values():
            if type(value) is dict or type(value) is list:
                keys += _nested_keys(value)
    if _keys_in(body) != keys:
        raise _twice(body)
    return request


def decode_feedback(body: bytes, *, max_rows: int) -> FeedbackRequest:
    """Decode strictly, as `decode_predict` does."""
    request = _decode(_FEEDBACK, body)
    _limit(len(request.items), max_rows)
    if _repeated(body):
        raise _twice(body)
    return request


def encode(response: PredictResponse | FeedbackResponse | ErrorResponse) -> bytes:
    """Encode as JSON; numbers that are not finite become null."""
    return _ENCODER.encode(response)


def error_response(error: MainstayError) -> ErrorResponse:
    """Return the one error shape."""
    problems = [
        ErrorProblem(
            instance=p.row,
            field=p.where,
            what=p.what,
            value=_shown(p.value),
            allowed=_shown(p.allowed, limit=2000),
            nearest=p.nearest,
        )
        for p in error.problems[:MAX_PROBLEMS]
    ]
    return ErrorResponse(
        error=ErrorBody(code=error.code, message=error.message, remedy=error.remedy, problems=problems)
    )


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _other_shape(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The body is no valid JSON: {error}") from error
    except RecursionError as error:
        raise Malformed("The body is nested too deeply") from error


def _other_shape(text: str) -> ContractViolation:
    found = _PATH.search(text)
    path = found.group(1) if found else ""
    what = text[: found.start()] if found else text
    row = _ROW.match(path)
    where = path[row.end() :] if row else path
    problem = Problem(where=where or "body", what=what, row=int(row.group(1)) if row else None)
    return ContractViolation(
        f"The request has another shape than documented: {text}",
        remedy='See /docs for the shape, or send {"instances": [{"inputs": {…}}]}.',
        problems=[problem],
    )


def _limit(rows: int, max_rows: int) -> None:
    if rows > max_rows:
        raise TooLarge(f"The call has {rows} rows; at most {max_rows} are allowed ([serve] max_rows)")


def _keys_in(body: bytes) -> int:
    """Return how many keys a valid JSON text has, repeats counted."""
    colons = _STRINGS.findall(body)
    return len(colons) - colons.count(b"")


def _nested_keys(value: Any) -> int:
    stack, keys = [value], 0
    while stack:
        top = stack.pop()
        if type(top) is dict:
            keys += len(top)
            stack.extend(top.values())
        elif type(top) is list:
            stack.extend(top)
    return keys


def _repeated(body: bytes) -> list[str]:
    """Return the keys that stand twice in one object of a valid JSON text."""
    found: set[str] = set()

    def pairs(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        if len(set(names)) != len(names):
            found.update(name for name in names if names.count(name) > 1)

    try:
        json.loads(body, object_pairs_hook=pairs)
    except RecursionError as error:
        raise Malformed("The body is nested too deeply") from error
    return sorted(found)


def _twice(body: bytes) -> Malformed:
    names = _repeated(body)
    return Malformed(
        f"The body names {', '.join(repr(n) for n in names) or 'a key'} twice in one object",
        problems=[Problem(where=name, what="stands twice in one object") for name in names],
    )


def _shown(value: Any, *, limit: int = VALUE_CHARS) -> Any:
    """Return a value as the answer may show it: short, and of a type that JSON has."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else _cut(hex(value), limit)
    if isinstance(value, str):
        return _cut(value, limit)
    if isinstance(value, list | tuple | set | frozenset):
        items = [_shown(item) for item in list(value)[:100]]
        return items if len(str(items)) <= limit * 10 else _cut(repr(items), limit)
    return _cut(repr(value), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
