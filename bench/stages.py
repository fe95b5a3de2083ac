"""Where the time of a request goes inside a worker: `python bench/stages.py [--models text tree] [--write]`.

The worker's own code on real bodies, in one process without sockets: for batches of 1 and of 32 requests, the least of
several rounds, in µs of one processor for each request. What a whole server spends beside that is sockets, the event
loop and handing a batch to the disk's thread (bench/serving.py measures the whole). It measures, it is no test.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import serving  # noqa: E402 - beside this file
import serving_page  # noqa: E402 - beside this file

from mainstay.serve.worker import Worker  # noqa: E402 - after the path

BEGIN, END = "<!-- stages: written by bench/stages.py -->", "<!-- end of stages -->"
ROUNDS = 15


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


def make_worker(folder: Path, name: str) -> Worker:
    """Return a worker of the adopted project, loaded and not started."""
    from mainstay import Project
    from mainstay.config.clocks import SystemClock
    from mainstay.core.routes import BundleRef, Route
    from mainstay.serve.plan import WorkerPlan
    from mainstay.serve.route_file import RouteFile, route_path

    state = Project.open(folder / "project").loaded.state
    run = folder / name
    run.mkdir()
    (digest,) = (path.name for path in (state / "bundles").iterdir() if len(path.name) == 64)
    RouteFile(route_path(run, "bench")).write(
        Route(model="bench", epoch=1, champion=BundleRef(version=1, digest=digest))
    )
    plan = WorkerPlan(
        worker="w0",
        workers=1,
        models=["bench"],
        run=str(run),
        bundles=str(state / "bundles"),
        journal=str(run / "journal"),
        salt=str(state / "salt"),
        socket_fd=-1,
        parent_fd=-1,
        host="127.0.0.1",
    )
    worker = Worker(plan, clock=SystemClock())
    worker.slots["bench"].load_missing()
    return worker


def least(act: Callable[[], object], count: int) -> float:
    """Return the least µs for each of `count` requests that `act` works on."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        act()
        best = min(best, (time.perf_counter_ns() - began) / count)
    return best / 1e3


def stages(worker: Worker, bodies: Sequence[bytes]) -> dict[str, float]:
    """Return µs a request by stage, for one batch of `bodies`."""
    from mainstay.models.answers import from_output
    from mainstay.serve import wire
    from mainstay.serve.pending import Turn

    handler, n = worker.handler, len(bodies)
    side = handler.live("bench").champion
    turn = Turn(worker.pending)
    inputs = [wire.decode_predict(body, max_rows=10).instances[0].inputs for body in bodies]
    values = [side.check.check(one).values for one in inputs]
    measured = [side.loaded.signals.measure(one) for one in values]
    output = side.loaded.predict(values)

    def calls() -> list[Any]:
        return [handler.validate("bench", body, client="127.0.0.1") for body in bodies]

    made = calls()
    handler.begin(made, turn)
    events = [row.event for call in made for row in call.items]
    found = {
        "parse the request, check Host, key, type": 0.0,
        "decode strictly": least(lambda: [wire.decode_predict(body, max_rows=10) for body in bodies], n),
        "check the contract": least(lambda: [side.check.check(one) for one in inputs], n),
        "key, unit, row": 0.0,
        "the model": least(lambda: side.loaded.predict(values), n),
        "trust signals": least(lambda: [side.loaded.signals.measure(one) for one in values], n),
        "label, calibrated confidence, warnings": least(lambda: from_output(side.loaded, output, measured, values), n),
        "route, arm, record": 0.0,
        "encode the record": least(lambda: handler._log._writer.frames(events), n),
        "write and sync it (waiting)": 0.0,
        "encode the answer, count it": 0.0,
        "write the answer's bytes": 0.0,
    }
    validated = least(calls, n)
    found["key, unit, row"] = validated - found["decode strictly"] - found["check the contract"]
    begun = least(lambda: handler.begin(made, turn), n)
    answered = ("the model", "trust signals", "label, calibrated confidence, warnings", "encode the record")
    found["route, arm, record"] = begun - sum(found[name] for name in answered)
    found["write and sync it (waiting)"], found["encode the answer, count it"] = _written(handler, calls, turn, n)
    whole, out = _lane(worker, bodies)
    found["parse the request, check Host, key, type"] = whole - validated
    found["write the answer's bytes"] = out
    return found


def _written(handler: Any, calls: Callable[[], list[Any]], turn: Any, n: int) -> tuple[float, float]:
    """Return the median µs a request of writing and syncing, and the least of making the answers."""
    written, finished = [], []
    for _ in range(ROUNDS * 4):
        group = handler.begin(calls(), turn)
        began = time.perf_counter_ns()
        handler.write(group)
        between = time.perf_counter_ns()
        handler.finish(group)
        written.append((between - began) / n / 1e3)
        finished.append((time.perf_counter_ns() - between) / n / 1e3)
    return sorted(written)[len(written) // 2], min(finished)


def _lane(worker: Worker, bodies: Sequence[bytes]) -> tuple[float, float]:
    """Return µs a request from its bytes to the queue, and from its outcome to the answer's bytes."""
    import asyncio

    import uvicorn
    from uvicorn.server import ServerState

    from mainstay.api.app import make_app
    from mainstay.api.keys import Keys
    from mainstay.api.lane import lane_for
    from mainstay.api.shell import Shell
    from mainstay.serve.hall import Hall

    async def run() -> tuple[float, float]:
        hall = Hall([worker])
        shell = Shell(make_app(hall), hall, Keys(worker.run / "keys.json", worker.clock))
        kind = lane_for(shell)
        config = uvicorn.Config(shell, loop="none", http=kind, log_config=None, server_header=False, date_header=False)
        config.load()
        config.reset_contextvars = getattr(config, "reset_contextvars", False)
        head = "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
        queued: list[Any] = []
        worker.pending.put = queued.append  # type: ignore[method-assign]
        protocols = []
        for _ in bodies:
            protocol = kind(config, ServerState(), {}, asyncio.get_running_loop())
            protocol.connection_made(Transport())
            protocols.append(protocol)
        answer = b"x" * 400
        into, out = float("inf"), float("inf")
        for _ in range(ROUNDS):
            queued.clear()
            began = time.perf_counter_ns()
            for protocol, request in zip(protocols, requests, strict=True):
                protocol.data_received(request)
            into = min(into, (time.perf_counter_ns() - began) / len(bodies))
            began = time.perf_counter_ns()
            for job in queued:
                job.future.set_result(answer)
            out = min(out, (time.perf_counter_ns() - began) / len(bodies))
        if len(queued) != len(bodies):
            raise SystemExit("a request did not take the lane")
        return into / 1e3, out / 1e3

    return asyncio.run(run())


def table(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Return Markdown."""
    columns = [(kind, n) for kind, sizes in found.items() for n in sizes]
    lines = ["| µs a request | " + " | ".join(f"{kind}, {n} at once" for kind, n in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    names = list(next(iter(next(iter(found.values())).values())))
    for name in names:
        lines.append(f"| {name} | " + " | ".join(f"{found[kind][n][name]:.1f}" for kind, n in columns) + " |")
    lines.append("| together | " + " | ".join(f"{sum(found[kind][n].values()):.0f}" for kind, n in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, tell, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["text", "tree"], choices=["text", "tree"])
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=ROOT / "build" if (ROOT / "build").is_dir() else None) as name:
        for kind in arguments.models:
            folder = Path(name) / kind
            folder.mkdir()
            rows = serving.prepare(kind, folder)
            bodies = [json.dumps({"instances": [{"inputs": row}]}).encode() for row in rows[:32]]
            found[kind] = {}
            for n in (1, 32):
                worker = make_worker(folder, f"stages-{n}")
                found[kind][n] = stages(worker, bodies[:n])
                worker._writer.close()
    print(table(found))
    if arguments.write:
        serving_page.write(ROOT / "docs" / "benchmarks.md", table(found), begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
