"""How long the control room takes on a large store: 20 models, 30 days, blocks that stand for 10 million rows.

    python bench/control_room.py [--models 20] [--days 30] [--rows 10000000] [--folder DIR]

What is filled, by the store's own functions: releases, blocks with a summary of the size that the watch writes (one
every ten minutes), labels, minutes and hours of counted calls, quarters of latency, incidents, one rollout with pairs.
The journal of predictions is not filled: no page but the search and one prediction reads it. Times are of the whole
answer (store, record, template) in this process, without the network; `cold` is the first look, which opens the stores.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from mainstay.core.calls import Minute
from mainstay.core.incidents import Finding, Harm, Incident, Severity
from mainstay.core.releases import Release, Stage
from mainstay.core.usage import Pulse
from mainstay.project import Project
from mainstay.store import blocks, call_counts, feedback, heartbeats, incidents, releases, usage
from mainstay.store.blocks import Block
from mainstay.store.feedback import Graded
from mainstay.web import project_rooms
from mainstay.web.app import create_app

BLOCK = timedelta(minutes=10)
LOOKS = 5
LABELS = 20_000
WORDS = [f"word{i}" for i in range(200)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill and measure; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="keep what is filled here, and use it where it is there")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        root = given.folder or Path(scratch)
        if not (root / "model-00").exists():
            fill(root, models=given.models, days=given.days, rows=given.rows)
        projects = [Project.open(path) for path in sorted(root.glob("model-*"))]
        size = sum((project.loaded.state / "store.db").stat().st_size for project in projects)
        counted = 0
        for project in projects:
            with project.parts.store.read() as tx:
                counted += sum(b.rows for b in blocks.blocks(tx, project.name, limit=10_000_000))
        print(f"{len(projects)} models, {counted:,} rows in blocks, stores of {size / 1e6:.0f} MB")
        asyncio.run(measure(projects))
    return 0


def fill(root: Path, *, models: int, days: int, rows: int) -> None:
    """Make the projects; one is trained, the others get its bundle."""
    root.mkdir(parents=True, exist_ok=True)
    first = Project.init(root / "seed")
    first.train()
    with first.parts.store.read() as tx:
        seed = releases.all_of(tx, first.name)[0]
    for number in range(models):
        name = f"model-{number:02}"
        folder = root / name
        Project.init(folder)
        file = folder / "mainstay.toml"
        file.write_text(file.read_text("utf-8").replace('name = "pump-check"', f'name = "{name}"'), "utf-8")
        project = Project.open(folder)
        project.parts.store  # noqa: B018 - made before there are bundles: those without their store would be refused
        shutil.copytree(first.loaded.state / "bundles", project.loaded.state / "bundles", dirs_exist_ok=True)
        fill_store(project, seed, days=days, rows=rows // models, luck=random.Random(number))
        print(f"{name} filled", file=sys.stderr)


def fill_store(project: Project, seed: Release, *, days: int, rows: int, luck: random.Random) -> None:
    """Fill one store."""
    name, now = project.name, project.clock.now()
    start = now - timedelta(days=days)
    count = int(timedelta(days=days) / BLOCK)
    with project.parts.store.begin() as tx:
        made = [_release(seed, name, version, start) for version in (1, 2)]
        for release in made:
            releases.add(tx, release)
        moved = made[0]
        for stage in (Stage.GATED, Stage.CHECKED, Stage.CERTIFIED):
            moved = releases.move(tx, moved, stage, reason="filled", by="bench", evidence={}, now=start)
        heartbeats.beat(tx, "loop", now=now, detail={})
        usage.put(tx, [], [_pulse(name, start, i, luck) for i in range(days * 96)])
        minutes = [now - timedelta(minutes=i) for i in range(4 * 1440)]
        hours = [now - timedelta(days=4, hours=i) for i in range((days - 4) * 24)]
        call_counts.put(tx, [_minute(name, at, "w0", luck) for at in minutes])
        call_counts.put(tx, [_minute(name, at, call_counts.HOURS, luck) for at in hours])
        feedback.keep_graded(tx, [_graded(name, i, now - timedelta(minutes=2 * i), luck) for i in range(LABELS)])
        for i in range(12):
            incidents.open_(tx, _incident(name, now - timedelta(days=days * i / 12 + 0.1), luck))
    each = rows // count
    with project.parts.store.begin() as tx:
        for number in range(count):
            blocks.put_block(tx, _block(name, number, start + BLOCK * number, each, luck))


def _release(seed: Release, model: str, version: int, at: datetime) -> Release:
    return replace(seed, model=model, version=version, stage=Stage.REGISTERED, since=at, created_at=at)


def _block(model: str, number: int, at: datetime, rows: int, luck: random.Random) -> Block:
    fields = ("temperature_c", "vibration_mm_s", "hours_since_service")
    means = {"answer.confidence": 0.9 + luck.gauss(0, 0.01)}
    means |= {name: luck.gauss(50, 2) for name in fields}
    means |= {f"{name}.missing": luck.random() / 20 for name in fields}
    means |= {f"signal_{i}": luck.gauss(0, 1) for i in range(30)}
    whole = {"rows": [rows, rows], "chance": [rows / 2, rows * 0.45, rows / 2, 1.0, 2.0], "loss": [1.0] * 3}
    whole |= {"bin_rows": [1.0] * 50, "bin_true": [1.0] * 50, "bin_var": [1.0] * 50, "columns": [1.0] * 60}
    segment = {"rows": [rows / 4, rows / 4], "chance": [rows / 8, rows / 9, rows / 8, 1.0, 1.0], "loss": [1.0] * 3}
    summary = {
        "estimate": {"value": 0.93, "low": 0.9, "high": 0.96, "n": rows, "reference": 0.93, "assumption": "a" * 160},
        "means": means,
        "outcomes": {"ok": rows - 1, "failed": 1},
        "segments": {f"medium=m{i}": rows // 8 for i in range(8)},
        "words": {"message": {word: luck.randrange(50) for word in WORDS}},
        "unsure": [[0.5, f"w0-{number}-{i}"] for i in range(10)],
        "quality": {"whole": whole, "segments": {f"medium=m{i}": segment for i in range(8)}, "repeats": 1.0},
        "outlook": {"text": "A drop of 4 points would be seen within 900 requests."},
        "repeats": 0,
    }
    return Block(
        model=model,
        bundle=f"{model}@1",
        number=number,
        first_at=at,
        last_at=at + BLOCK,
        rows=rows,
        keys=rows,
        summary=summary,
    )


def _pulse(model: str, start: datetime, i: int, luck: random.Random) -> Pulse:
    counts = [luck.randrange(50) for _ in range(13)]
    bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
    at = start + timedelta(minutes=15 * i)
    return Pulse(model=model, source="w0", at=at, calls=sum(counts), bounds=bounds, counts=counts)


def _minute(model: str, at: datetime, source: str, luck: random.Random) -> Minute:
    whole = at.replace(second=0, microsecond=0)
    return Minute(model=model, source=source, at=whole, calls=100, failed=luck.randrange(2), slow=luck.randrange(3))


def _graded(model: str, i: int, at: datetime, luck: random.Random) -> Graded:
    said, truth = luck.choice(["fine", "worn"]), luck.choice(["fine", "fine", "worn"])
    return Graded(
        model=model,
        id=f"w0-{i}",
        name="state",
        value=truth,
        at=at,
        feedback_id=f"f{i}",
        bundle=f"{model}@1",
        served_arm="champion",
        key_hash=f"k{i % 500}",
        unit=f"u{i}",
        occurred_at=at,
        label=said,
        confidence=luck.random(),
        inputs={"temperature_c": luck.gauss(50, 5), "vibration_mm_s": luck.gauss(3, 1), "medium": "oil"},
        correct=said == truth,
        probabilities={"fine": 0.7, "worn": 0.3},
    )


def _incident(model: str, at: datetime, luck: random.Random) -> Incident:
    finding = Finding(
        signal="temperature_c",
        harm=Harm.INPUT,
        since=at,
        before=50.0,
        now=52.0,
        shift=0.5,
        evidence=1e6,
        text="temperature_c rose by half a standard deviation",
    )
    return Incident(
        model=model,
        bundle=f"{model}@1",
        harm=Harm.INPUT,
        severity=luck.choice(list(Severity)),
        opened_at=at,
        started_at=at,
        title="temperature_c moved",
        story=["It moved.", "It moved by half a standard deviation."],
        findings=[finding] * 6,
        facts={"examples": [{"id": f"w0-{i}", "at": None, "shows": []} for i in range(20)]},
    )


async def measure(projects: Sequence[Project]) -> None:
    """Look at every page and print how long each took."""
    rooms = project_rooms.of(projects)
    app = create_app(rooms, host="127.0.0.1")
    model, now = projects[0].name, projects[0].clock.now()
    back = [(now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M") for days in (30, 1)]
    paths = [
        "/",
        "/?anew",
        f"/models/{model}",
        f"/models/{model}/time?from={back[0]}",
        f"/models/{model}/axis.json?from={back[0]}",
        f"/models/{model}/axis.json?from={back[1]}",
        f"/models/{model}/incidents",
        f"/models/{model}/incidents/1",
        f"/models/{model}/rollout",
        f"/models/{model}/versions",
        f"/models/{model}/versions/1",
        f"/models/{model}/data",
        f"/models/{model}/settings",
    ]
    print(f"{'page':44} {'cold ms':>8} {'median ms':>10} {'cpu ms':>8} {'kB':>6}")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081", timeout=120) as client:
        for path in paths:
            walls, cpus, size = [], [], 0
            for _ in range(LOOKS + 1):
                if path == "/?anew":  # as if something had happened to every model
                    for room in rooms.values():
                        room._kept = None
                wall, cpu = time.perf_counter(), time.process_time()
                answer = await client.get(path, headers={"accept": "text/html"})
                walls.append(1000 * (time.perf_counter() - wall))
                cpus.append(1000 * (time.process_time() - cpu))
                answer.raise_for_status()
                size = len(answer.content)
            name = (
                "/, all read anew"
                if path == "/?anew"
                else path.partition("?")[0] + (" 30 days" if back[0] in path else " 1 day" if back[1] in path else "")
            )
            wall, cpu = statistics.median(walls[1:]), statistics.median(cpus[1:])
            print(f"{name:44} {walls[0]:8.0f} {wall:10.0f} {cpu:8.0f} {size // 1000:6}")


if __name__ == "__main__":
    sys.exit(main())
