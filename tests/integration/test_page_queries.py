"""What pages ask the store and the journal: no statement of any page goes through a table that grows with traffic."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, event

import postgres_kit
import room_store
from mainstay.core.releases import Release, Stage
from mainstay.project import Project
from mainstay.testing.models import make_bundle
from mainstay.web import acts, project_rooms, routes
from mainstay.web.app import create_app

LARGE = (
    "blocks",
    "call_counts",
    "feedback",
    "half_pairs",
    "incident_events",
    "labels",
    "pairs",
    "pulled",
    "pulses",
    "reward_sums",
    "usage",
)
"""Tables that grow with traffic, labels or time. The audit, which grows with people's acts, is verified as a whole."""
DELIVERY = "ab" * 8
VALUES = {"number": "1", "id": "w0-77", "delivery": DELIVERY}
WITHOUT_STORE = {
    "/models/{model}/predictions",
    "/models/{model}/drills",
    "/models/{model}/data/deliveries/{delivery}",
}
SEARCHES = {"/models/{model}/predictions"}
"""May look into the journal beyond one id: a day at most, which their own tests hold."""


class Watched:
    """A journal that tells what is asked of it."""

    def __init__(self, journal: Any, asked: list[str]) -> None:
        self._journal, self._asked = journal, asked

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        if name in ("scan", "read", "matching"):
            self._asked.append(name)
        return found


@pytest.fixture(scope="module")
def of_file(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.init(tmp_path_factory.mktemp("rooms") / "pumps", environ={})
    made.parts.store  # noqa: B018 - made before there are bundles: those without their store would be refused
    at = datetime.now(UTC) - timedelta(days=2)
    seed = Release(
        model=made.name,
        version=1,
        digest=make_bundle(made.parts.bundles).digest,
        stage=Stage.REGISTERED,
        since=at,
        created_at=at,
        facts={"metrics": {"accuracy": {"value": 0.9, "low": 0.85, "high": 0.94}}, "evaluation": {"rows": 200}},
    )
    report = made.parts.loaded.state / "deliveries" / DELIVERY / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text('{"rows": {"train": 1}, "checks": []}')
    room_store.fill(made, seed, room_store.Size(pairs=200, predictions=200), random.Random(1))
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[postgres_kit.Postgres]:
    with postgres_kit.running() as found:
        yield found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, of_file: Project) -> Iterator[Project]:
    """Give the project with its store in a file, and with the same rows in PostgreSQL."""
    if request.param == "sqlite":
        yield of_file
        return
    url = request.getfixturevalue("server").new_database()
    postgres_kit.fill(url, of_file.parts.store)
    moved = Project.open(of_file.loaded.root, environ={**os.environ, "MAINSTAY_STORE__URL": url})
    yield moved
    moved.parts.store.close()


def scans(tx: Connection, statement: str, parameters: Any = ()) -> list[str]:
    """Return the steps of a statement's plan that go through a whole large table."""
    if tx.dialect.name == "postgresql":
        # Of few rows all are read at once, whatever indices there are: the plan is told as if that were dear.
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        tx.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        told = tx.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
        plan = json.loads(told) if isinstance(told, str) else told
        return [f"SCAN {node['Relation Name']}" for node in nodes(plan[0]["Plan"]) if goes_through(node)]
    steps = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return [row[3] for row in steps if re.match(rf"SCAN ({'|'.join(LARGE)})\b", row[3])]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def goes_through(node: dict[str, Any]) -> bool:
    """Return whether a step of PostgreSQL's reads a large table, or a whole index of it."""
    return node.get("Relation Name") in LARGE and "Index Cond" not in node


def test_a_statement_that_goes_through_a_large_table_is_found_out(project: Project) -> None:
    with project.parts.store.read() as tx:
        assert scans(tx, "SELECT count(*) FROM labels WHERE inputs IS NOT NULL") == ["SCAN labels"]
        assert scans(tx, "SELECT count(*) FROM labels WHERE model = 'pumps' AND at > '2026'") == []


def every_path() -> Iterator[str]:
    for page in (*routes.PAGES, *routes.DOCUMENTS):
        yield page.path
    yield from (f"/models/{{model}}/do/{act.name}?subject=3" for act in acts.ACTS if act.binds_evidence)


@pytest.mark.anyio
@pytest.mark.parametrize("path", list(every_path()))
async def test_no_page_goes_through_what_grows_with_traffic(project: Project, path: str) -> None:
    asked: list[str] = []
    statements: dict[str, Any] = {}
    room = project_rooms.of([project])
    engine, journal = project.parts.store.engine, project.parts.journal

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.setdefault(statement, parameters)

    event.listen(engine, "before_cursor_execute", note)
    project.parts.journal = Watched(journal, asked)
    try:
        app = create_app(room, host="127.0.0.1")
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8081")
        async with client:
            query = "?one=1&other=2" if path.endswith("compare") else ""
            answer = await client.get(path.replace(":path", "").format(model=project.name, **VALUES) + query)
    finally:
        event.remove(engine, "before_cursor_execute", note)
        project.parts.journal = journal
    assert answer.status_code == 200, answer.text
    assert statements or path in WITHOUT_STORE
    with project.parts.store.read() as tx:
        assert {text: lines for text, given in statements.items() if (lines := scans(tx, text, given))} == {}
    assert path in SEARCHES or asked == []
