"""Requests per second of one worker with a linear text model and durability fsync; loopback only, about 20 s.

`python bench/serve_quick.py [--seconds 4] [--connections 1 32] [--durability fsync] [--workers 1] [--model trivial]`

The client is a process of its own on the same machine and takes part of the same cores: the figures are lower bounds.
The time of a bare fdatasync of the same disk is printed beside them, since every answer waits for one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
WORDS = ("sun", "snow", "day", "rain", "wind", "cloud", "storm", "calm", "bright", "dry", "heat", "frost", "hail")


def make_bundle(folder: Path) -> str:
    """Fit a word model on made-up texts; return the digest of its bundle."""
    import random

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from mainstay.models import pickles
    from mainstay.models.bundle import BundleParts, write_bundle
    from mainstay.models.compiled.make import compile_model
    from mainstay.models.inputs import InputSpec
    from mainstay.models.thresholds import Thresholds
    from mainstay.testing.models import PROFILE, make_contract

    dice = random.Random(1)
    texts = [" ".join(dice.choices(WORDS, k=9)) for _ in range(2000)]
    truth = ["cold" if text.count("snow") + text.count("frost") > text.count("sun") else "warm" for text in texts]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=300)).fit(texts, truth)
    rows = [{"text": text} for text in texts]
    made = compile_model(
        model,
        make_contract(),
        InputSpec(input="text"),
        classes=[str(name) for name in model.classes_],
        original=lambda asked: model.predict_proba([row["text"] for row in asked]),
        rows=rows,
    )
    print(f"model: {made.told['runtime']}, {made.told['why']}", file=sys.stderr)
    parts = BundleParts(
        pickle=pickles.dump(model),
        program=made.data,
        parity=made.told,
        contract=make_contract(),
        profile=PROFILE,
        classes=("warm", "cold"),
        spec=InputSpec(input="text"),
        thresholds=Thresholds(low_unseen_share=0.5, low_confidence=0.4),
        vocabulary={"text": frozenset(WORDS)},
    )
    return write_bundle(folder, parts).digest


def make_trivial_bundle(folder: Path) -> str:
    """Write a bundle whose model does next to nothing; return its digest."""
    from mainstay.testing import models

    return models.make_bundle(folder).digest


def host(folder: Path, *, workers: int, durability: str) -> None:
    """Serve the bundle until SIGTERM."""
    from mainstay.config.clocks import SystemClock
    from mainstay.config.settings import Settings
    from mainstay.core.routes import BundleRef, Route
    from mainstay.serve.member import Member
    from mainstay.serve.supervisor import Supervisor

    digest = (folder / "digest").read_text()
    route = Route(model="weather", epoch=1, champion=BundleRef(version=1, digest=digest))
    wait = {"max_wait_ms": float(os.environ["BENCH_MAX_WAIT_MS"])} if "BENCH_MAX_WAIT_MS" in os.environ else {}
    settings = Settings.model_validate(
        {"project": {"name": "weather"}, "serve": {"port": 0, "workers": workers, "durability": durability} | wait}
    )
    member = Member(settings=settings, root=folder, route_source=lambda: [route], on_override=lambda held: held.route)
    Supervisor([member], clock=SystemClock()).run()


def request(number: int, *, with_id: bool) -> bytes:
    """Return one request's bytes."""
    text = " ".join(WORDS[(number * 7 + k * k) % len(WORDS)] for k in range(9))
    instance: dict[str, Any] = {"inputs": {"text": text, "place": "north", "station": f"s{number % 500}"}}
    if with_id:
        instance["id"] = f"b-{os.getpid()}-{number}"
    body = json.dumps({"instances": [instance]}).encode()
    head = (
        "POST /v1/predict HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


class Client(asyncio.Protocol):
    """Sends the next request when an answer is there."""

    def __init__(self, until: float, times: list[float], failed: list[bytes], numbers: Any, *, with_id: bool) -> None:
        self.until, self.times, self.failed, self.numbers, self.with_id = until, times, failed, numbers, with_id
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer, self.began = b"", 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.buffer, self.began = b"", time.perf_counter()
        self.transport.write(request(next(self.numbers), with_id=self.with_id))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        now = time.perf_counter()
        if head.startswith(b"HTTP/1.1 200"):
            self.times.append(now - self.began)
        else:
            self.failed.append(self.buffer[:200])
        if now < self.until:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.failed.append(repr(error).encode())
        if not self.closed.done():
            self.closed.set_result(None)


async def load(port: int, connections: int, seconds: float, *, with_id: bool) -> dict[str, float]:
    """Return requests per second and times of one run."""
    import itertools

    loop = asyncio.get_running_loop()
    times: list[float] = []
    failed: list[bytes] = []
    began = time.perf_counter()
    numbers = itertools.count(int(began * 1000) % 10_000_000 * 1000)
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(began + seconds, times, failed, numbers, with_id=with_id), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.closed for client in clients))
    took = time.perf_counter() - began
    if failed:
        print(f"  {len(failed)} failed, e.g. {failed[0]!r}")
    times.sort()
    at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
    return {"requests_s": len(times) / took, "p50_ms": at(0.5), "p99_ms": at(0.99), "failed": len(failed)}


def bare_sync_ms(folder: Path) -> float:
    """Return the median time of a fdatasync after 1 kB."""
    file = os.open(folder / "probe", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, 1_000_000)
    took = []
    for number in range(200):
        began = time.perf_counter()
        os.pwrite(file, b"x" * 1000, number * 1000)
        os.fdatasync(file)
        took.append(time.perf_counter() - began)
    os.close(file)
    return sorted(took)[100] * 1000


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--durability", default="fsync")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--model", choices=["linear", "trivial"], default="linear", help="trivial: what serving itself costs"
    )
    parser.add_argument("--ids", action="store_true", help="send an id with each request")
    parser.add_argument("--host", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.host:
        host(arguments.host, workers=arguments.workers, durability=arguments.durability)
        return
    import uvloop

    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        folder = Path(name)
        make = make_bundle if arguments.model == "linear" else make_trivial_bundle
        (folder / "digest").write_text(make(folder / ".mainstay" / "bundles"))
        more = ["--workers", str(arguments.workers), "--durability", arguments.durability]
        began = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        server = subprocess.Popen([sys.executable, __file__, "--host", str(folder), *more], env=environment)
        try:
            state: dict[str, Any] = {}
            while not state.get("ready"):
                if time.perf_counter() - began > 30:
                    sys.exit((folder / ".mainstay" / "run" / "workers.log").read_text()[-2000:])
                time.sleep(0.02)
                path = folder / ".mainstay" / "run" / "serve.json"
                state = json.loads(path.read_text()) if path.exists() else {}
            print(f"ready after {time.perf_counter() - began:.2f} s; bare fdatasync {bare_sync_ms(folder):.2f} ms")
            runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
            runner.run(load(state["port"], 8, 1.0, with_id=False))
            print(f"{'connections':>12} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8}")
            for connections in arguments.connections:
                got = runner.run(load(state["port"], connections, arguments.seconds, with_id=arguments.ids))
                print(f"{connections:>12} {got['requests_s']:>11.0f} {got['p50_ms']:>8.2f} {got['p99_ms']:>8.2f}")
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
