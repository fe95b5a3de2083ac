"""What goes over the wire on the hot routes: types, strict decoding, encoding."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mainstay.core.errors import ContractViolation, MainstayError, Problem, TooLarge
from mainstay.core.events import Arm, Caveat, FeedbackStatus, Trust
from mainstay.data.times import to_utc
from mainstay.models.explained.records import Explanation
from mainstay.serve import strict

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[^\\u0000]*$")]
"""Without NUL, which a database may not be able to keep."""
Key = Annotated[str, Meta(min_length=1, max_length=256)]
Moment = Annotated[datetime, Meta(tz=True)]


MOST_EXPLAINED = 10
"""Most rows of one call for explanations."""


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


class Exploration(msgspec.Struct, kw_only=True):
    """How an answer was given that could have been drawn at random, of a model that explores."""

    drawn: bool
    """Whether it was drawn; a draw may give the model's own answer."""
    propensity: float
    """Chance with which this answer (of a ranking: this place) was given."""
    model_label: Any | UnsetType = UNSET
    """What the model itself says."""
    model_rank: int | UnsetType = UNSET
    """Of a ranking: the place that the model gives it."""


class Prediction(msgspec.Struct, kw_only=True):
    """The answer to one instance."""

    id: str
    label: Any
    probabilities: dict[str, float]
    confidence: float | None
    """Calibrated probability that the label is right; null for regression, for a fallback answer, and for one that was
    drawn in the place of the model's own."""
    trust: Trust
    fallback: bool
    """True when the declared fallback answered, as no model could, or as the model abstained: see `arm`. Without a
    label it says that a person has to answer."""
    warnings: Sequence[Caveat]
    bundle: str
    """`model@version` that answered."""
    arm: Arm
    duplicate: bool
    """True when this id was answered before; the answer is the one of then."""
    rank: int | UnsetType = UNSET
    """Of a ranking alone: place among the candidates of this call's group, 1 for the highest score."""
    exploration: Exploration | UnsetType = UNSET
    """Of a model that explores alone, and only where an answer could have been drawn."""


class PredictResponse(msgspec.Struct, kw_only=True):
    """The body of a 200 to …/predict: one prediction per instance, in order."""

    model: str
    predictions: list[Prediction]


class ExplainRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST …/explain: rows as in …/predict, or the id of a prediction that was recorded."""

    instances: Annotated[list[Instance], Meta(min_length=1, max_length=MOST_EXPLAINED)] | UnsetType = UNSET
    """Up to 10 rows. What is no input is taken, so that a body of …/predict can be sent again, and not used."""
    id: Name | UnsetType = UNSET
    """Of a recorded prediction; instead of `instances`."""
    label: Annotated[str, Meta(max_length=256)] | None = None
    """The class to explain; the one that is answered when absent."""
    top: Annotated[float, Meta(ge=1, le=100)] = 10
    """So many fields, and so many words, are listed; the others are summed up."""


class Explained(msgspec.Struct, kw_only=True):
    """The explanation of one row."""

    bundle: str
    """`model@version` that is explained."""
    id: str | None
    """Of the recorded prediction."""
    explanation: Explanation


class ExplainResponse(msgspec.Struct, kw_only=True):
    """The body of a 200 to …/explain: one explanation per instance, in order; of an id one."""

    model: str
    explanations: list[Explained]


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


class ExternalEvent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One prediction that another system made."""

    inputs: dict[str, Any]
    """What it was asked, fields by name."""
    label: str | int | float | bool
    """What it answered: a class, or a value."""
    probabilities: dict[str, float] | None = None
    """By class, each 0 to 1."""
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The chance that the label is right; the largest of the probabilities when absent."""
    id: Name | None = None
    """Feedback names it by this; sent again, the event is a duplicate. Made for you when absent."""
    key: Key | None = None
    """The unit of evidence (a customer, a device), where the contract declares no key field; only its hash is kept."""
    time: Moment | None = None
    """When it was asked, with a zone; arrival when absent."""
    version: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Which version answered there; `model@version` of ours where that bundle answered in another place."""


class EventsRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST …/events."""

    events: Annotated[list[ExternalEvent], Meta(min_length=1)]


class EventStatus(StrEnum):
    """What became of one event."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class EventResult(msgspec.Struct, kw_only=True):
    """What became of one event."""

    id: str
    status: EventStatus
    error: str | None = None
    """Why it was refused."""
    warnings: Sequence[Caveat] = ()
    """What of a stored event breaks or strains the contract; the watch counts it."""


class EventsResponse(msgspec.Struct, kw_only=True):
    """The body of a 200 to …/events: one result per event, in order."""

    results: list[EventResult]


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


T = TypeVar("T", PredictRequest, FeedbackRequest, ExplainRequest, Instance)
_PREDICT = msgspec.json.Decoder(PredictRequest)
_FEEDBACK = msgspec.json.Decoder(FeedbackRequest)
_INSTANCE = msgspec.json.Decoder(Instance)
_EXPLAIN = msgspec.json.Decoder(ExplainRequest)
_ENCODER = msgspec.json.Encoder()
VALUE_CHARS = 200
MESSAGE_CHARS = 2000


def decode_predict(body: bytes, *, max_rows: int) -> PredictRequest:
    """Decode strictly; raise Malformed (no JSON, a key twice), ContractViolation (another shape) or TooLarge."""
    request = _decode(_PREDICT, body, Instance)
    limit(len(request.instances), max_rows)
    keys = 1
    for number, one in enumerate(request.instances):
        keys += _settle(one, number)
    # So many colons as keys: none stands in a text, and no key stands twice.
    if body.count(b":") != keys and strict.keys_in(body) != keys:
        raise strict.twice(body)
    return request


def decode_instance(line: bytes) -> Instance:
    """Decode one instance that stands alone, as strictly as `decode_predict` does."""
    instance = _decode(_INSTANCE, line, Instance)
    if strict.keys_in(line) != _settle(instance, 0):
        raise strict.twice(line)
    return instance


def _settle(one: Instance, number: int) -> int:
    """Bring an instance's time to UTC; return how many keys it has, at all its levels."""
    keys = 1 + (one.id is not UNSET) + (one.key is not UNSET) + (one.time is not UNSET) + len(one.inputs)
    if isinstance(one.time, datetime):
        one.time = _in_utc(one.time, "time", number)
    for value in one.inputs.values():
        if type(value) is dict or type(value) is list:
            keys += strict.nested_keys(value)
    return keys


def decode_feedback(body: bytes, *, max_rows: int) -> FeedbackRequest:
    """Decode strictly, as `decode_predict` does."""
    request = _decode(_FEEDBACK, body, FeedbackItem)
    limit(len(request.items), max_rows)
    for number, one in enumerate(request.items):
        strict.nested_keys(one.value)
        if isinstance(one.at, datetime):
            one.at = _in_utc(one.at, "at", number)
    if strict.repeated(body):
        raise strict.twice(body)
    return request


def decode_explain(body: bytes) -> ExplainRequest:
    """Decode strictly, as `decode_predict` does; raise ContractViolation without rows and id, or with both."""
    request = _decode(_EXPLAIN, body, Instance)
    rows = [] if request.instances is UNSET else request.instances
    for number, one in enumerate(rows):
        _settle(one, number)
    if strict.repeated(body):
        raise strict.twice(body)
    if bool(rows) == isinstance(request.id, str):
        what = "stands beside an id" if rows else "is missing"
        problem = Problem(where="instances", what=what, allowed="instances, or the id of a recorded prediction")
        raise ContractViolation(
            f"The request is not one for an explanation: {problem}",
            remedy='Send {"instances": [{"inputs": {…}}]}, or {"id": "…"} of a recorded prediction.',
            problems=[problem],
        )
    return request


def encode(response: msgspec.Struct) -> bytes:
    """Encode as JSON; numbers that are not finite become null."""
    return _ENCODER.encode(response)


def error_response(error: MainstayError) -> ErrorResponse:
    """Return the one error shape."""
    problems = [
        ErrorProblem(
            instance=p.row,
            field=_cut(p.where, VALUE_CHARS),
            what=p.what,
            value=_shown(p.value),
            allowed=_shown(p.allowed, limit=2000),
            nearest=p.nearest,
        )
        for p in error.problems[: strict.MAX_PROBLEMS]
    ]
    return ErrorResponse(
        error=ErrorBody(
            code=error.code, message=_cut(error.message, MESSAGE_CHARS), remedy=error.remedy, problems=problems
        )
    )


def _decode(decoder: msgspec.json.Decoder[T], body: bytes, row: type[msgspec.Struct]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        names = decoder.type.__struct_fields__
        raise strict.other_shape(body, str(error), known=names, known_in_row=row.__struct_fields__) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise strict.no_json(body, str(error)) from error
    except RecursionError as error:
        raise strict.too_deep() from error


def _in_utc(moment: datetime, field: str, number: int) -> datetime:
    """Return a time in UTC; one whose zone leads out of the calendar is refused."""
    found = to_utc(moment)
    if found is None:
        what = "is outside the years 1 to 9999 in UTC"
        problem = Problem(where=field, what=what, value=moment.isoformat(), allowed=strict.ALLOWED[field], row=number)
        raise ContractViolation(f"The request has a time that no calendar has: {problem}", problems=[problem])
    return found


def limit(rows: int, max_rows: int) -> None:
    """Raise TooLarge for a call of too many rows."""
    if rows > max_rows:
        raise TooLarge(f"The call has {rows} rows; at most {max_rows} are allowed ([serve] max_rows)")


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
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "replace").decode()
