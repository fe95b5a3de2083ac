"""Predictions that another system made: one or many, as our own JSON or as CloudEvents.

A CloudEvent's `data` is one event; its `id` and `time` stand in where the data has none. Structured, batched and binary
mode are told apart as the HTTP binding says. Every event is judged by itself; of a single CloudEvent the refusal is the
status, as whoever delivers events looks at nothing else. Source: CloudEvents 1.0.2, JSON format and HTTP binding.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from mainstay.api import elsewhere, fields
from mainstay.api.keys import Scope
from mainstay.api.operations import WITH_BODY, Content, Operation, fixed
from mainstay.api.routes import JSON, Ask, HotRoute, Reply, media_of
from mainstay.attach import rows
from mainstay.core.contracts import Contract
from mainstay.core.errors import ContractViolation, Problem
from mainstay.core.events import FEEDBACK_AHEAD, Caveat, Event, Kind
from mainstay.data.times import to_utc
from mainstay.serve import strict, wire
from mainstay.serve.external import Sighting, Sightings

if TYPE_CHECKING:
    from mainstay.attach import rules

CLOUD, CLOUD_BATCH = b"application/cloudevents+json", b"application/cloudevents-batch+json"
ATTRIBUTES = ("specversion", "id", "source", "type")
"""What every CloudEvent has."""
SPEC = "1.0"


class _Refusal(Exception):
    """One event cannot be kept. Never leaves this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """One event as it came."""

    content: Any
    id: str = ""
    """Of its envelope."""
    time: Any = None
    """Of its envelope."""
    wrong: str | None = None
    """What is wrong with its envelope."""


async def tell(ask: Ask) -> Reply:
    """Keep what another system answered."""
    worker = ask.hall.of(ask.model)
    given, single = _given(ask)
    wire.limit(len(given), worker.plan.max_rows)
    await elsewhere.get_ready()
    how = elsewhere.rules_of(worker, ask.model)
    now = worker.clock.now()
    items = [_sighting(one, how, now, ask, here=not worker.plan.elsewhere) for one in given]
    if single and items[0].event is None:
        problem = Problem(where="event", what=items[0].wrong or "", row=0)
        raise ContractViolation(f"The event is refused: {problem.what}", remedy="See /docs.", problems=[problem])
    job = Sightings(model=ask.model, items=items, rows=len(items), size=len(ask.body), arrived=worker.clock.monotonic())
    return Reply(body=await worker.pending.ask(job))


def _given(ask: Ask) -> tuple[list[_Given], bool]:
    """Return the events of a request, and whether it is a single CloudEvent."""
    kind = media_of(ask.headers.get(b"content-type", b""))
    content = strict.content_of(ask.body)
    if kind == CLOUD_BATCH:
        if not isinstance(content, list) or not content:
            raise _shape("body", content, "a list of at least one CloudEvent")
        return [_enveloped(one) for one in content], False
    if kind == CLOUD:
        return [_enveloped(content)], True
    if b"ce-specversion" in ask.headers:
        attributes = {
            name[3:].decode("latin-1"): unquote(value.decode("latin-1"))
            for name, value in ask.headers.items()
            if name.startswith(b"ce-")
        }
        return [_enveloped(attributes | {"data": content})], True
    if not isinstance(content, dict) or not isinstance(content.get("events"), list) or not content["events"]:
        raise _shape("events", content.get("events") if isinstance(content, dict) else content, "a list of events")
    strange = next((name for name in content if name != "events"), None)
    if strange is not None:
        raise _shape(strange[:80], content[strange], ["events"])
    return [_Given(content=one) for one in content["events"]], False


def _enveloped(envelope: Any) -> _Given:
    """Return the event in a CloudEvent."""
    if not isinstance(envelope, dict):
        return _Given(content=None, wrong="a CloudEvent is an object")
    missing = [name for name in ATTRIBUTES if not isinstance(envelope.get(name), str) or not envelope[name]]
    if missing:
        return _Given(content=None, wrong=f"the CloudEvent has no {', '.join(missing)}; each is a text")
    if envelope["specversion"] != SPEC:
        return _Given(content=None, wrong=f"specversion is {envelope['specversion'][:20]!r}; allowed: {SPEC}")
    content = envelope.get("data")
    if "data_base64" in envelope:
        try:
            content = strict.content_of(base64.b64decode(envelope["data_base64"], validate=True))
        except (TypeError, ValueError, binascii.Error, strict.Malformed) as error:
            return _Given(content=None, wrong=f"data_base64 holds no JSON: {error}")
    return _Given(content=content, id=envelope["id"], time=envelope.get("time"))


def _sighting(given: _Given, how: rules.Rules, now: datetime, ask: Ask, *, here: bool) -> Sighting:
    named = given.content.get("id") if isinstance(given.content, dict) else None
    id_ = named if isinstance(named, str) else given.id
    try:
        if given.wrong is not None:
            raise _Refusal(given.wrong)
        event = _event(given, how, now, here=here)
    except (_Refusal, rows.Unusable) as error:
        return Sighting(id=id_[:128].encode("utf-8", "replace").decode(), event=None, wrong=str(error)[:500])
    event = msgspec.structs.replace(event, trace_id=ask.trace_id)
    return Sighting(id=event.id, event=event, warnings=event.warnings)


def _event(given: _Given, how: rules.Rules, now: datetime, *, here: bool) -> Event:
    found = _converted(given)
    moment = now
    if found.time is not None:
        moment = to_utc(found.time) or now
        if moment - now > FEEDBACK_AHEAD:
            raise _Refusal(f"time {moment.isoformat()} lies in the future; allowed: at most a day ahead")
    shares = found.probabilities or {}
    if not all(0.0 <= share <= 1.0 for share in shares.values()):
        raise _Refusal("probabilities holds a share outside 0 to 1")
    sure = max(shares.values()) if found.confidence is None and shares else found.confidence
    row = rows.Row(
        kind=Kind.EXTERNAL,
        at=now,
        inputs=rows.flat(found.inputs),
        label=rows.label_of(found.label),
        confidence=sure,
        probabilities={rows.scalar(name): share for name, share in shares.items()},
        id=rows.id_of(found.id),
        key=found.key,
    )
    event = how.event(row)
    if event.label is None:
        raise _Refusal(f"label {found.label!r} is no value of a {how.contract.task.value} model")
    changes: dict[str, Any] = {}
    if found.time is not None and event.occurred_at == now:
        changes["occurred_at"] = moment
    if found.version is not None:
        ours = here and found.version.rpartition("@")[0] == how.model and found.version.rpartition("@")[2].isdigit()
        if ours:
            changes["bundle"] = found.version
        else:
            text = f"answered by version {found.version} there"
            changes["warnings"] = [*event.warnings, Caveat(code="version", field="", value=found.version, text=text)]
    return msgspec.structs.replace(event, **changes) if changes else event


def _converted(given: _Given) -> wire.ExternalEvent:
    content = given.content
    if not isinstance(content, dict):
        raise _Refusal("an event is an object with inputs and label")
    big = strict.too_big(content)
    if big is not None:
        raise _Refusal(f"{big[:40]} is no number that a 64-bit float can hold")
    content = {name: value for name, value in content.items() if value is not None}
    if given.id:
        content.setdefault("id", given.id)
    if "time" not in content and given.time is not None:
        content["time"] = given.time
    try:
        return msgspec.convert(content, wire.ExternalEvent)
    except msgspec.ValidationError as error:
        raise _Refusal(str(error)) from error


def _shape(where: str, value: Any, allowed: Any) -> ContractViolation:
    problem = Problem(where=where, what="has another shape than documented", value=value, allowed=allowed)
    return ContractViolation(
        f"The request has another shape than documented: {problem}",
        remedy='Send {"events": [{"inputs": {…}, "label": …}]}.',
        problems=[problem],
    )


def _judged_alone(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"description": "Whatever else it is, it is refused by itself, with the reason."}]}


def _own_schema(contract: Contract | None) -> Any:
    del contract
    events = {"type": "array", "minItems": 1, "items": _judged_alone(_EVENT)}
    return {
        "type": "object",
        "properties": {"events": events},
        "required": ["events"],
        "additionalProperties": False,
    }


def _example(contract: Contract | None) -> dict[str, Any]:
    label = next(iter(contract.classes if contract is not None else ()), 1.0)
    return {"id": "ord-1", "inputs": fields.example_inputs(contract) or {"amount": 12.5}, "label": label}


def _cloud_example(contract: Contract | None) -> dict[str, Any]:
    return {"specversion": SPEC, "id": "ord-2", "source": "/desk", "type": "prediction", "data": _example(contract)}


_EVENT = {"$ref": "#/components/schemas/ExternalEvent"}
_TEXT = {"type": "string", "minLength": 1}
_ENVELOPE = {
    "type": "object",
    "properties": {"specversion": {"const": SPEC}, "id": _TEXT, "source": _TEXT, "type": _TEXT, "data": _EVENT},
    "required": [*ATTRIBUTES, "data"],
}

ROUTES = (
    HotRoute(
        name="events",
        paths=("/v1/events", "/v1/models/{model}/events"),
        answer=tell,
        scope=Scope.FEEDBACK,
        takes=frozenset({JSON, CLOUD, CLOUD_BATCH}),
        operation=Operation(
            summary="Tell predictions that another system made; by `ce-` headers the body is a CloudEvent's data.",
            takes={
                "application/json": Content(
                    schema=_own_schema, example=lambda contract: {"events": [_example(contract)]}
                ),
                CLOUD.decode(): Content(schema=fixed(_ENVELOPE), example=_cloud_example),
                CLOUD_BATCH.decode(): Content(
                    schema=fixed({"type": "array", "minItems": 1, "items": _judged_alone(_ENVELOPE)}),
                    example=lambda contract: [_cloud_example(contract)],
                ),
            },
            gives={"application/json": Content(schema=wire.EventsResponse)},
            errors=WITH_BODY,
        ),
    ),
)
