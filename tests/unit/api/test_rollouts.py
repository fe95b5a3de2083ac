"""The verdict for routers elsewhere, asked as Argo Rollouts and Flagger ask."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_kit import server
from mainstay.api.rollouts import HOOKS
from mainstay.config.clocks import SystemClock
from mainstay.serve import keys as kept
from mainstay.serve import plan as plans
from mainstay.testing.clock import FakeClock

NOW = FakeClock().now()
ARGO = "/v1/models/weather/rollout/verdict"
FLAGGER = "/v1/models/weather/rollout/hooks/"


def opinion(verdict: str, *, age_s: float = 3.0, stage: str = "shadow") -> dict[str, Any]:
    checks = [
        {"name": "error_rate", "verdict": verdict, "applies": True},
        {"name": "accuracy", "verdict": "not_enough", "applies": False},
    ]
    current = {"name": "weather@3", "version": 3, "stage": stage, "digest": "3fa1c07b3fa1c07b", "verdict": verdict}
    return {
        "at": age_s,
        "current": current | {"reason": f"because it is {verdict}", "checks": checks},
        "stages": {
            "4": ["registered", ""],
            "3": [stage, ""],
            "2": ["certified", "probation passed"],
            "1": ["rolled_back", "error_rate"],
        },
    }


def asked(tmp_path: Path, do: Callable[[httpx.AsyncClient], Awaitable[Any]], known: Any = None, **plan: Any) -> Any:
    async def main() -> Any:
        async with server(tmp_path, **plan) as client:
            if known is not None:
                at = SystemClock().now() - timedelta(seconds=known["at"])
                plans.write_json(tmp_path / plans.ROLLOUT_FILE, known | {"at": at.isoformat()})
            return await do(client)

    return asyncio.run(main())


def argo(tmp_path: Path, known: Any, query: str = "") -> str:
    """Return the phase that Argo Rollouts' `web` provider comes to.

    It sends GET, takes a 2xx only, applies `jsonPath: "{$.verdict}"`, and evaluates `successCondition: result ==
    'pass'` and `failureCondition: result == 'fail'`; neither is Inconclusive, anything else is Error.
    """

    async def measure(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(f"{ARGO}{query}")

    answer = asked(tmp_path, measure, known)
    if not 200 <= answer.status_code < 300:
        return "Error"
    result = answer.json()["verdict"]
    return {"pass": "Successful", "fail": "Failed"}.get(result, "Inconclusive")


def flagger(tmp_path: Path, kind: str, known: Any, metadata: dict[str, str] | None = None, **plan: Any) -> bool:
    """Return whether Flagger takes a hook for successful: it posts its payload, and up to 202 is success."""
    payload = {"name": "desk", "namespace": "prod", "phase": "Progressing", "checksum": "85d557f47b"}

    async def call(client: httpx.AsyncClient) -> httpx.Response:
        body = json.dumps(payload | ({"metadata": metadata} if metadata else {})).encode()
        return await client.post(f"{FLAGGER}{kind}", content=body, headers={"content-type": "application/json"})

    status = asked(tmp_path, call, known, **plan).status_code
    assert status < 500, "Flagger's client would try again"
    return bool(status <= 202)


@pytest.mark.parametrize(
    ("known", "phase"),
    [
        (opinion("pass"), "Successful"),
        (opinion("fail"), "Failed"),
        (opinion("not_enough"), "Inconclusive"),
        (opinion("pass", age_s=61), "Inconclusive"),
        (opinion("pass", age_s=-600), "Inconclusive"),
        (None, "Inconclusive"),
        ({"at": 3.0, "current": None, "stages": {}}, "Inconclusive"),
    ],
)
def test_argos_measurement_follows_the_verdict_and_an_old_or_missing_one_is_inconclusive(
    tmp_path: Path, known: Any, phase: str
) -> None:
    assert argo(tmp_path, known) == phase


@pytest.mark.parametrize(
    ("query", "phase"),
    [
        ("?version=3", "Successful"),
        ("?version=weather@3", "Successful"),
        ("?version=2", "Successful"),
        ("?version=1", "Failed"),
        ("?version=4", "Inconclusive"),
        ("?version=9", "Error"),
        ("?version=latest", "Error"),
    ],
)
def test_a_version_may_be_named(tmp_path: Path, query: str, phase: str) -> None:
    assert argo(tmp_path, opinion("pass"), query) == phase


@pytest.mark.parametrize("verdict", ["pass", "fail", "not_enough"])
def test_flaggers_hooks_go_on_only_with_a_pass_and_roll_back_only_with_a_fail(tmp_path: Path, verdict: str) -> None:
    known = opinion(verdict)
    goes = {kind for kind in HOOKS if flagger(tmp_path, kind, known)}
    begins = {"confirm-rollout", "pre-rollout"}
    assert (
        goes
        == {
            "pass": set(HOOKS) - {"rollback"},
            "not_enough": begins,
            "fail": {"rollback"},
        }[verdict]
    )


def test_with_nobody_judging_no_hook_goes_on_and_none_rolls_back(tmp_path: Path) -> None:
    for known in (None, opinion("pass", age_s=100), opinion("fail", age_s=100)):
        assert not any(flagger(tmp_path, kind, known) for kind in HOOKS)


def test_flagger_names_a_version_in_its_metadata(tmp_path: Path) -> None:
    known = opinion("pass")
    assert flagger(tmp_path, "rollout", known, {"version": "3"})
    assert not flagger(tmp_path, "rollout", known, {"version": "1"})
    assert flagger(tmp_path, "rollback", known, {"version": "1"})
    assert not flagger(tmp_path, "rollout", known, {"version": "9"})


def test_a_strange_hook_and_a_body_that_is_no_json_halt(tmp_path: Path) -> None:
    async def call(client: httpx.AsyncClient) -> list[int]:
        head = {"content-type": "application/json"}
        strange = await client.post(f"{FLAGGER}event", content=b"{}", headers=head)
        broken = await client.post(f"{FLAGGER}rollout", content=b"{", headers=head)
        listed = await client.post(f"{FLAGGER}rollout", content=b"[]", headers=head)
        return [strange.status_code, broken.status_code, listed.status_code]

    assert asked(tmp_path, call, opinion("pass")) == [404, 400, 200]


def test_beyond_loopback_a_key_with_the_scope_read_is_needed_and_may_come_from_an_address(tmp_path: Path) -> None:
    """Argo sends `Authorization: Bearer`; Flagger sets no header, but Go's client makes Basic of what its URL holds."""

    async def call(client: httpx.AsyncClient) -> list[int]:
        none = await client.get(ARGO)
        good = kept.add(tmp_path, "router", scopes=["read"], rate=0, lifetime=None, now=NOW)
        other = kept.add(tmp_path, "app", scopes=["predict"], rate=0, lifetime=None, now=NOW)
        await asyncio.sleep(0.6)
        found = [none.status_code]
        for scheme in ("Bearer {}", "Basic {}"):
            for key in (good, other, "nonsense"):
                value = key if scheme.startswith("Bearer") else base64.b64encode(f"flagger:{key}".encode()).decode()
                answer = await client.get(ARGO, headers={"authorization": scheme.format(value)})
                found.append(answer.status_code)
        answer = await client.get(ARGO, headers={"authorization": "Basic ==="})
        return [*found, answer.status_code]

    assert asked(tmp_path, call, opinion("pass"), listens="0.0.0.0") == [401, 200, 403, 401, 200, 403, 401, 401]


def test_the_answer_says_what_it_rests_on(tmp_path: Path) -> None:
    async def call(client: httpx.AsyncClient) -> Any:
        return (await client.get("/v1/rollout/verdict")).json()

    found = asked(tmp_path, call, opinion("pass"))
    assert (found["version"], found["stage"], found["ok"], found["failed"]) == (3, "shadow", True, False)
    assert (found["evidence"], found["checks"]) == ("3fa1c07b3fa1c07b", {"error_rate": "pass"})
    assert 3.0 <= found["age_s"] < 60
