"""The verdict on a rollout, for routers elsewhere: Argo Rollouts' `web` metric and Flagger's webhooks.

The supervisor writes down what the loop thinks (workers open no database); here it is read, and one that is old says
nothing any more: no data is never success. Argo reads the body of a 200: `verdict` is pass, fail or not_enough. Flagger
reads the status alone: up to 202 goes on, anything else halts; its `rollback` hook alone wants a 200 to roll back. A
halt is a 4xx, for Flagger's client tries again after a 5xx.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from mainstay.api.keys import Scope
from mainstay.api.operations import OF_MODEL, WITH_BODY, Content, Document, Operation, fixed
from mainstay.api.routes import Ask, HotRoute, Reply
from mainstay.core.contracts import Contract
from mainstay.core.errors import NotFound, UsageError
from mainstay.core.verdicts import Verdict
from mainstay.serve import plan as plans

STALE_S = 60.0
"""An opinion older than this counts for none."""
ON_ITS_WAY = frozenset({"gated", "checked", "shadow", "canary", "held", "probation", "certified"})
OUT = frozenset({"rolled_back", "refused", "quarantined", "retired"})
HOOKS = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
MARGIN_S = 5.0
"""Clocks of two processes on one machine differ by less."""


class RolloutVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is thought of a version."""

    model: str
    version: int | None
    """None: no version is on its way."""
    stage: str
    verdict: str
    """pass, fail or not_enough."""
    ok: bool
    """Whether the verdict is pass."""
    failed: bool
    """Whether the verdict is fail."""
    reason: str
    evidence: str = ""
    """Digest of what it rests on, as approvals name it."""
    judged_at: str = ""
    age_s: float | None = None
    """How long ago it was judged; beyond 60 seconds it counts for nothing."""
    checks: dict[str, str] = {}
    """Verdict of each guard."""


async def verdict(ask: Ask) -> Reply:
    """Answer in the form of a `web` metric: 200 whatever the verdict."""
    named = parse_qs(ask.query.decode("latin-1"), keep_blank_values=True).get("version")
    asked = "" if named is None else named[0]
    if named is not None and not asked:
        raise UsageError("The version is empty", remedy="Name one, or leave `version` out for the one on its way.")
    return Reply(body=msgspec.json.encode(_verdict(ask, asked)))


async def hook(ask: Ask) -> Reply:
    """Answer in the form of a webhook: by the status."""
    kind = ask.params["hook"]
    if kind not in HOOKS:
        raise NotFound(f"There is no hook {kind[:40]!r}; allowed: {', '.join(HOOKS)}")
    found = _verdict(ask, _version_of(ask.body))
    return Reply(body=msgspec.json.encode(found), status=200 if _goes(kind, found) else 409)


def _goes(kind: str, found: RolloutVerdict) -> bool:
    """Return whether a hook is answered with success."""
    if kind == "rollback":
        return found.failed
    if kind in ("confirm-rollout", "pre-rollout"):
        # Before its first request there is no evidence: it may begin unless something speaks against it.
        return found.age_s is not None and found.stage in ON_ITS_WAY and not found.failed
    return found.ok


def _version_of(body: bytes) -> str:
    """Return `metadata.version` of a webhook's payload, empty where it names none."""
    try:
        payload = msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError as error:
        raise UsageError(f"The body is no JSON: {error}") from error
    metadata = payload.get("metadata") if isinstance(payload, dict) else None
    named = metadata.get("version") if isinstance(metadata, dict) else None
    return "" if named is None else str(named)


def _verdict(ask: Ask, asked: str) -> RolloutVerdict:
    worker = ask.hall.of(ask.model)
    known = plans.read_json(worker.run / plans.ROLLOUT_FILE)
    return judged(known, model=ask.model, asked=asked, now=worker.clock.now())


def judged(known: Mapping[str, Any] | None, *, model: str, asked: str, now: datetime) -> RolloutVerdict:
    """Return the verdict on the version `asked` (a number, or model@number; empty: the one on its way).

    Raises UsageError for what is no version, NotFound for an unknown one.
    """
    number = asked.removeprefix(f"{model}@")
    if asked and not number.isdecimal():
        raise UsageError(f"{asked[:60]!r} is no version; allowed: a number, or {model}@NUMBER")
    current: Mapping[str, Any] = (known or {}).get("current") or {}
    stages: Mapping[str, Any] = (known or {}).get("stages") or {}
    if known is not None and number and number not in stages:
        raise NotFound(f"{model} has no version {number} among the newest; there are: {', '.join(stages) or 'none'}")
    version = int(number) if number else current.get("version")
    stage, why = stages.get(str(version), ("", ""))
    told = {"model": model, "version": version, "stage": stage}
    age_s = None if known is None else (now - datetime.fromisoformat(known["at"])).total_seconds()
    if known is None or age_s is None or not -MARGIN_S <= age_s <= STALE_S:
        seen = "nothing was judged yet" if age_s is None else f"judged last {age_s:.0f} s ago: the loop may be down"
        return _said(Verdict.NOT_ENOUGH, seen, **told)
    told |= {"judged_at": known["at"], "age_s": round(max(age_s, 0.0), 3)}
    if version is not None and current.get("version") == version:
        checks = {one["name"]: one["verdict"] for one in current["checks"] if one["applies"]}
        told |= {"evidence": current["digest"], "checks": checks}
        return _said(Verdict(current["verdict"]), current["reason"], **told)
    if stage in OUT:
        return _said(Verdict.FAIL, f"it is {stage}: {why}", **told)
    if stage == "certified":
        return _said(Verdict.PASS, f"it answers everybody: {why}", **told)
    return _said(Verdict.NOT_ENOUGH, "no version is on its way" if version is None else f"it is {stage}", **told)


def _said(found: Verdict, reason: str, **told: Any) -> RolloutVerdict:
    passed, failed = found is Verdict.PASS, found is Verdict.FAIL
    return RolloutVerdict(verdict=found.value, ok=passed, failed=failed, reason=reason, **told)


_PAYLOAD: Document = {
    "type": "object",
    "description": "A webhook's payload; `metadata.version` names the version that is asked about.",
    "properties": {
        "metadata": {"type": "object", "properties": {"version": {"type": "string", "pattern": "^[0-9]+$"}}}
    },
}
_VERSION: Document = {
    "name": "version",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
    "description": "Which version; the one on its way when absent.",
}


_HOOK: Document = {
    "name": "hook",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": list(HOOKS)},
    "description": "Which of Flagger's hooks asks.",
}


def _example(contract: Contract | None) -> Document:
    del contract
    return {"name": "desk", "namespace": "prod", "phase": "Progressing", "metadata": {}}


ROUTES: tuple[HotRoute, ...] = (
    HotRoute(
        name="rollout_verdict",
        paths=("/v1/rollout/verdict", "/v1/models/{model}/rollout/verdict"),
        answer=verdict,
        scope=Scope.READ,
        method="GET",
        takes=frozenset(),
        operation=Operation(
            summary="Say what is thought of a rollout, for a router elsewhere (Argo Rollouts' web metric).",
            gives={"application/json": Content(schema=RolloutVerdict)},
            errors=OF_MODEL,
            parameters=(_VERSION,),
        ),
    ),
    HotRoute(
        name="rollout_hook",
        paths=("/v1/rollout/hooks/{hook}", "/v1/models/{model}/rollout/hooks/{hook}"),
        answer=hook,
        scope=Scope.READ,
        operation=Operation(
            summary="Go on or halt, by the status (Flagger's webhooks): 200 goes on, 409 halts.",
            takes={"application/json": Content(schema=fixed(_PAYLOAD), example=_example)},
            gives={"application/json": Content(schema=RolloutVerdict)},
            errors=WITH_BODY,
            parameters=(_HOOK,),
            says_no={409: Content(schema=RolloutVerdict)},
        ),
    ),
)
