"""The examples of docs/rollout.md for routers elsewhere, taken from the page and asked of a server that listens.

What each client does with an answer is written down from its source. Argo Rollouts' `web` provider
(metricproviders/webmetric, utils/evaluate): what is no 2xx is an error; the JSON path's result, as a text, is `result`
in both conditions; where neither holds the measurement is inconclusive. Flagger's webhooks
(pkg/controller/webhook.go): a POST of name, namespace, phase and metadata, a status above 202 is a halt. Go's client
makes Basic of what stands before the `@`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mainstay.serve import keys
from mainstay.serve import plan as plans
from supervised_kit import Server

yaml = pytest.importorskip("yaml")
PAGE = Path(__file__).parents[2] / "docs" / "rollout.md"
KEY = "a-key-of-a-router-elsewhere-" + "k" * 16
ADDRESS, MODEL = "mainstay.prod:8080", "desk"
"""Whom and what the page's examples ask."""


def blocks() -> list[Any]:
    found = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in found]


METRIC = next(block for block in blocks() if block.get("kind") == "AnalysisTemplate")["spec"]["metrics"][0]
WEBHOOKS = next(block for block in blocks() if "analysis" in block)["analysis"]["webhooks"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("elsewhere"))
    made.route(made.bundle(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, keys.VARIABLE, f"router:read:{KEY}")
        made.start()
    yield made
    made.stop()
    made.client.close()


def judged(server: Server, verdict: str | None, *, age_s: float = 1.0, stage: str = "shadow") -> None:
    """Let the supervisor have written down what the loop thinks; None: nothing."""
    file = server.run / plans.ROLLOUT_FILE
    if verdict is None:
        file.unlink(missing_ok=True)
        return
    current = {"name": "weather@4", "version": 4, "stage": stage, "digest": "3fa1c07b3fa1c07b", "verdict": verdict}
    checks = [{"name": "error_rate", "verdict": verdict, "applies": True}]
    at = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    stages = {"4": [stage, ""], "3": ["certified", ""]}
    plans.write_json(file, {"at": at, "current": {**current, "reason": verdict, "checks": checks}, "stages": stages})


def here(server: Server, url: str) -> str:
    """Return the page's address at the server that listens here."""
    return url.replace(ADDRESS, urlsplit(server.url).netloc).replace(f"/{MODEL}/", "/weather/")


def argo(server: Server) -> str:
    """Return the phase of one measurement."""
    web = METRIC["provider"]["web"]
    headers = {one["key"]: one["value"].replace("{{ args.key }}", KEY) for one in web["headers"]}
    answer = httpx.get(here(server, web["url"].replace("{{ args.version }}", "4")), headers=headers, timeout=20)
    if not 200 <= answer.status_code < 300:
        return "Error"
    (field,) = re.fullmatch(r"\{\$\.(\w+)\}", web["jsonPath"]).groups()  # type: ignore[union-attr]
    result = str(answer.json()[field])

    def holds(condition: str) -> bool:
        (wanted,) = re.fullmatch(r"result == '(\w+)'", condition).groups()  # type: ignore[union-attr]
        return bool(result == wanted)

    if holds(METRIC["failureCondition"]):
        return "Failed"
    return "Successful" if holds(METRIC["successCondition"]) else "Inconclusive"


def flagger(server: Server) -> dict[str, bool]:
    """Return of each webhook whether it goes on (of `rollback`: whether it rolls back)."""
    found = {}
    for hook in WEBHOOKS:
        payload = {"name": "desk", "namespace": "prod", "phase": "Progressing", "metadata": hook.get("metadata", {})}
        address = here(server, hook["url"]).replace("flagger:KEY@", f"flagger:{KEY}@")
        found[hook["type"]] = httpx.post(address, json=payload, timeout=120).status_code <= 202
    return found


@pytest.mark.parametrize(
    ("verdict", "age_s", "phase", "goes"),
    [
        ("pass", 1.0, "Successful", ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion")),
        ("fail", 1.0, "Failed", ("rollback",)),
        ("not_enough", 1.0, "Inconclusive", ("confirm-rollout",)),
        ("pass", 61.0, "Inconclusive", ()),
        ("fail", 61.0, "Inconclusive", ()),
        (None, 0.0, "Inconclusive", ()),
    ],
)
def test_the_examples_of_the_page_come_to_what_it_says(
    server: Server, verdict: str | None, age_s: float, phase: str, goes: tuple[str, ...]
) -> None:
    judged(server, verdict, age_s=age_s)
    assert argo(server) == phase
    assert tuple(kind for kind, on in flagger(server).items() if on) == goes


def test_a_version_that_nobody_knows_is_an_error_for_one_and_a_halt_for_the_other(server: Server) -> None:
    judged(server, "pass")
    known = {"headers": {"authorization": f"Bearer {KEY}"}, "timeout": 20}
    base = f"{server.url}/v1/models/weather/rollout"
    assert httpx.get(f"{base}/verdict?version=9", **known).status_code == 404
    assert httpx.post(f"{base}/hooks/rollback", json={"metadata": {"version": "9"}}, **known).status_code == 404


def test_without_a_key_nothing_is_said_and_nothing_goes_on(server: Server) -> None:
    judged(server, "pass")
    base = f"{server.url}/v1/models/weather/rollout"
    assert httpx.get(f"{base}/verdict", timeout=120).status_code == 401
    assert httpx.post(f"{base}/hooks/confirm-promotion", json={}, timeout=120).status_code == 401
