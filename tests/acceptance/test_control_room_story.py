"""An hour with a real project: an alarm seen, an incident read, labels, a rollout watched, a rollback pressed."""

from __future__ import annotations

import asyncio
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.core.events import Arm, Trust
from mainstay.core.incidents import Finding, Harm, Incident, Severity
from mainstay.core.releases import Move, Release, Stage
from mainstay.core.verdicts import Verdict
from mainstay.project import Project
from mainstay.release import moves
from mainstay.store import heartbeats, incidents, pairs, releases
from mainstay.web import app as pages
from mainstay.web import project_rooms
from mainstay.web import server as servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WAIT_MS = 20_000


def released(project: Project, version: int, *path: Stage) -> None:
    """Write a version and walk it along stages; no bundle is needed for what pages show."""
    now = project.clock.now()
    with project.parts.store.begin() as tx:
        release = Release(
            model=project.name,
            version=version,
            digest=f"{version:064x}",
            stage=Stage.REGISTERED,
            since=now,
            created_at=now,
            pipeline="forest",
            reason="made",
        )
        releases.add(tx, release)
        for stage in path:
            share = 0.05 if stage is Stage.CANARY else 0.0
            act = moves.Act(by="loop", now=now, evidence={}, share=share, lease_until=now + timedelta(hours=1))
            release = moves.apply(tx, release, Move(to=stage, reason=f"to {stage.value}", verdict=Verdict.PASS), act)


def alarm(project: Project) -> None:
    now = project.clock.now()
    finding = Finding(
        signal="medium",
        harm=Harm.QUALITY,
        since=now,
        before=0.1,
        now=0.4,
        shift=0.3,
        evidence=1e9,
        text="medium = brine is 40 % of the requests, 10 % before",
    )
    with project.parts.store.begin() as tx:
        incidents.open_(
            tx,
            Incident(
                model=project.name,
                bundle=f"{project.name}@2",
                harm=Harm.QUALITY,
                severity=Severity.PAGE,
                opened_at=now,
                started_at=now - timedelta(hours=2),
                title="Answers got worse where the medium is brine",
                story=["Estimated accuracy fell from 94 % to 80 %."],
                findings=[finding],
                facts={"recommendation": "Return to the version before."},
            ),
        )


def answered_by_both(project: Project, count: int) -> None:
    now = project.clock.now()
    with project.parts.store.begin() as tx:
        for i in range(count):
            pair = pairs.Pair(
                model=project.name,
                version=3,
                unit=f"u{count}-{i}",
                id=f"r{i}",
                key_hash=f"k{count}-{i}",
                arm=Arm.CHAMPION,
                occurred_at=now - timedelta(minutes=count - i),
                champion_label="fine",
                challenger_label="fine" if i % 7 else "worn",
                champion_confidence=0.9,
                challenger_confidence=0.9,
                champion_trust=Trust.OK,
                challenger_trust=Trust.OK,
                champion_latency_us=2000,
                challenger_latency_us=2100,
            )
            pairs.add(tx, pair)


def test_a_person_sees_the_alarm_reads_labels_watches_and_rolls_back(browser: Browser, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "pumps", environ={})
    released(project, 1, Stage.GATED, Stage.CHECKED, Stage.CERTIFIED)
    released(project, 2, Stage.GATED, Stage.CHECKED, Stage.PROBATION, Stage.CERTIFIED)
    with project.parts.store.begin() as tx:
        heartbeats.beat(tx, "loop", project.clock.now(), {})
        heartbeats.beat(tx, "serve", project.clock.now(), {})
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = servers.server_of(pages.create_app(project_rooms.of([project]), host="127.0.0.1"))
    thread = threading.Thread(target=asyncio.run, args=(servers.serve(server, bound),))
    thread.start()
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(f"http://127.0.0.1:{bound.getsockname()[1]}/")
        page.locator("h1", has_text="unknown").wait_for()
        page.wait_for_timeout(2500)  # the feed's first look

        alarm(project)  # the page tells it by itself
        page.locator("h1", has_text="unwell").wait_for(timeout=WAIT_MS)
        page.get_by_role("link", name="Answers got worse where the medium is brine").click()
        page.get_by_text("Estimated accuracy fell from 94 % to 80 %.").wait_for()
        page.get_by_label("What did you find, what did you do?").fill("brine since the new supplier")
        page.get_by_role("button", name="Add the note").click()
        page.locator(".timeline", has_text="brine since the new supplier").wait_for()
        page.get_by_role("link", name="Acknowledge").click()
        page.get_by_role("button", name="Acknowledge").click()
        page.locator(".timeline", has_text="acknowledged").wait_for()

        project.feedback([{"id": "r1", "label": "worn"}], by="ada")
        page.get_by_role("link", name="Data").click()
        page.get_by_role("row", name="r1").wait_for()

        released(project, 3, Stage.GATED, Stage.CHECKED, Stage.SHADOW)
        page.get_by_role("link", name="Rollout").click()
        page.get_by_text("0 distinct requests so far.").wait_for()
        page.wait_for_timeout(2500)
        answered_by_both(project, 60)  # and so does this one
        page.get_by_text("60 so far.").wait_for(timeout=WAIT_MS)
        assert page.locator("#table-arms tbody tr").count() == 2
        page.get_by_role("link", name=f"Abort {project.name}@3").click()
        page.get_by_label("Why").fill("the incident comes first")
        page.get_by_role("button", name="Abort the rollout").click()

        page.get_by_role("link", name=f"Roll back to {project.name}@1").click()
        page.get_by_label("Why").fill("wrong on brine")
        page.get_by_role("button", name="Roll back").click()
        page.locator("#table-events", has_text="wrong on brine").wait_for()
        page.get_by_role("link", name="Overview").click()
        page.locator(".who", has_text=f"{project.name}@1").wait_for()

        page.get_by_role("link", name="Settings").click()
        acts = page.locator("#table-audit tbody tr").all_inner_texts()
        assert [act.split("\t")[2] for act in acts if "incident" in act or "roll" in act][:2] == [
            "rollback",
            "rollback",
        ]
        assert page.locator(".tag", has_text="untouched").count() == 1
        assert complaints == []
    finally:
        page.close()
        server.should_exit = True
        thread.join(10)
        bound.close()
        project.parts.close()
