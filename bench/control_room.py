"""How long the control room takes on a large store: 20 models, 30 days, blocks that stand for 10 million answers.

    python bench/control_room.py [--models 20] [--days 30] [--rows 10000000] [--folder DIR]
                                 [--store postgresql://… | --postgresql]

What is filled, by the store's own functions (tests/room_store.py): versions, blocks with a summary of the size that the
watch writes (one every ten minutes), labels, minutes and hours of counted calls, quarters of latency, rewards,
incidents, audit, reviews; for every fourth model a rollout with 20,000 pairs; for the first model the journal itself,
its share of the 10 million as sealed records. Times are of the whole answer (store, record, template) in this process,
without the network; `cold` is the first look, which opens the stores. With --postgresql each model's rows are
brought into a database of a PostgreSQL of this run's own, as it comes from its package; `server ms` is the processor
time of its processes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import httpx  # noqa: E402

import postgres_kit  # noqa: E402
import room_store  # noqa: E402
from mainstay.project import Project  # noqa: E402
from mainstay.store import blocks, releases  # noqa: E402
from mainstay.web import project_rooms  # noqa: E402
from mainstay.web.app import create_app  # noqa: E402

LOOKS = 5
LABELS = 20_000
PAIRS = 20_000
TURNING = 4
"""Every so manieth model has a rollout that turns."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill and measure; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="keep what is filled here, and use it where it is there")
    parser.add_argument("--store", default="", help="one store for all models, in the place of a file for each")
    parser.add_argument("--postgresql", action="store_true", help="in databases of a server of this run's own")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as scratch,
        postgres_kit.running() if given.postgresql else nullcontext() as server,
    ):
        environ = {**os.environ, **({"MAINSTAY_STORE__URL": given.store} if given.store else {})}
        root = given.folder or Path(scratch)
        if not (root / "model-00").exists():
            fill(root, environ, models=given.models, days=given.days, rows=given.rows)
        projects = [Project.open(path, environ=environ) for path in sorted(root.glob("model-*"))]
        if server:
            projects = [in_postgresql(project, server.new_database()) for project in projects]
        counted = 0
        for project in projects:
            with project.parts.store.read() as tx:
                counted += sum(b.rows for b in blocks.newest(tx, project.name, limit=10_000_000))
        files = [project.loaded.state / "store.db" for project in projects]
        size = sum(file.stat().st_size for file in files if file.exists())
        print(f"{len(projects)} models, {counted:,} answers in blocks, stores of {size / 1e6:.0f} MB")
        asyncio.run(measure(projects, server.busy if server else lambda: 0.0))
        for project in projects:
            project.parts.store.close()
    return 0


def in_postgresql(project: Project, url: str) -> Project:
    """Return the project with its rows in an empty database."""
    postgres_kit.fill(url, project.parts.store)
    project.parts.store.close()
    return Project.open(project.loaded.root, environ={**os.environ, "MAINSTAY_STORE__URL": url})


def fill(root: Path, environ: Mapping[str, str], *, models: int, days: int, rows: int) -> None:
    """Make the projects; one is trained, the others get its bundle."""
    root.mkdir(parents=True, exist_ok=True)
    first = Project.init(root / "seed", environ={})
    first.train()
    with first.parts.store.read() as tx:
        seed = releases.all_of(tx, first.name)[0]
    for number in range(models):
        name = f"model-{number:02}"
        folder = root / name
        Project.init(folder, environ={})
        file = folder / "mainstay.toml"
        file.write_text(file.read_text("utf-8").replace('name = "pump-check"', f'name = "{name}"'), "utf-8")
        project = Project.open(folder, environ=environ)
        project.parts.store  # noqa: B018 - made before there are bundles: those without their store would be refused
        shutil.copytree(first.loaded.state / "bundles", project.loaded.state / "bundles", dirs_exist_ok=True)
        size = room_store.Size(
            days=days,
            rows=rows // models,
            labels=LABELS,
            pairs=PAIRS if number % TURNING == 0 else 0,
            predictions=0 if number else rows // models,
            audit=200,
        )
        room_store.fill(project, seed, size, random.Random(number))
        print(f"{name} filled", file=sys.stderr)


async def measure(projects: Sequence[Project], busy: Callable[[], float]) -> None:
    """Look at every page and print how long each took; `busy` tells how many seconds a database server worked."""
    rooms = project_rooms.of(projects)
    app = create_app(rooms, host="127.0.0.1")
    model, now = projects[0].name, projects[0].clock.now()
    back = [(now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M") for days in (30, 1)]
    with projects[0].parts.store.read() as tx:
        number = max(one.id for one in room_store.incidents.list_(tx, model))
    of = f"/models/{model}"
    looks = {
        "/, nothing new": "/",
        "/, every model read anew": "/",
        "a model": of,
        "a model, read anew": of,
        "over time, 30 days": f"{of}/time?from={back[0]}",
        "its figures, 30 days": f"{of}/axis.json?from={back[0]}",
        "its figures, 1 day": f"{of}/axis.json?from={back[1]}",
        "incidents": f"{of}/incidents?all=1",
        "one incident": f"{of}/incidents/{number}",
        "rollout": f"{of}/rollout",
        "rollout, read anew": f"{of}/rollout",
        "versions": f"{of}/versions",
        "one version": f"{of}/versions/1",
        "its model card": f"{of}/versions/1/card",
        "two versions": f"{of}/compare?one=1&other=2",
        "predictions of a day": f"{of}/predictions?from={back[1]}",
        "predictions of a day that hold a text": f"{of}/predictions?from={back[1]}&text=47.1",
        "one prediction": f"{of}/predictions/w0-77",
        "review": f"{of}/review",
        "data": f"{of}/data",
        "scorecard": f"{of}/scorecard",
        "drills": f"{of}/drills",
        "settings, with the audit": f"{of}/settings",
    }
    print(f"{'page':40} {'cold ms':>8} {'median ms':>10} {'cpu ms':>8} {'server ms':>10} {'kB':>6}")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081", timeout=120) as client:
        for name, path in looks.items():
            walls, cpus, size, began = [], [], 0, 0.0
            for look in range(LOOKS + 1):
                began = busy() if look == 1 else began
                if "anew" in name:  # as if something had happened to every model
                    for room in rooms.values():
                        room._kept = None
                wall, cpu = time.perf_counter(), time.process_time()
                answer = await client.get(path, headers={"accept": "text/html"})
                walls.append(1000 * (time.perf_counter() - wall))
                cpus.append(1000 * (time.process_time() - cpu))
                size = len(answer.content)
            if answer.status_code != 200:  # the bundle is another project's, whose code may not run here
                print(f"{name:40} {answer.status_code}")
                continue
            wall, cpu = statistics.median(walls[1:]), statistics.median(cpus[1:])
            beside = 1000 * (busy() - began) / LOOKS
            print(f"{name:40} {walls[0]:8.0f} {wall:10.0f} {cpu:8.0f} {beside:10.0f} {size // 1000:6}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
