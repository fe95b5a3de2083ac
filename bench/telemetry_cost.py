"""Processor time of a worker for one request: plain, with an objective, with telemetry, and with every request traced.

`python bench/telemetry_cost.py [--seconds 3] [--rounds 3]`. The four kinds take turns, so that what else the machine
does meets all of them; a collector that takes everything runs in this process. Prints the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mainstay.loadtest.client import Heads, Load
from server_kit import Server

TICKS = os.sysconf("SC_CLK_TCK")


class Taker(BaseHTTPRequestHandler):
    """A collector that takes everything."""

    def do_POST(self) -> None:
        """Read and say yes."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Traced(Heads):
    """Requests whose callers sample them."""

    def next(self) -> bytes:
        """Return the next request, sampled."""
        return super().next().replace(b"-00f067aa0ba902b7-00\r\n", b"-00f067aa0ba902b7-01\r\n")


def cpu_s(pid: int) -> float:
    """Return the processor time that a process took so far (seconds)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(server: Server, kind: type[Heads], seconds: float) -> float:
    """Return µs of the worker's processor time for one request, at 16 connections."""
    pid = json.loads((server.run / "worker-0.json").read_bytes())["pid"]
    bodies = [json.dumps({"instances": [{"inputs": {"text": f"snow {n}"}}]}).encode() for n in range(50)]

    async def load() -> int:
        heads = kind("/v1/predict", f"127.0.0.1:{server.port}", bodies)
        stage = await Load("127.0.0.1", server.port, heads, latency_ms=100).closed(16, seconds)
        return stage.answered

    before = cpu_s(pid)
    answered = asyncio.run(load())
    return (cpu_s(pid) - before) / answered * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    spans = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
    with tempfile.TemporaryDirectory() as folder:

        def server(name: str, *more: str, environ: dict[str, str] | None = None) -> Server:
            (place := Path(folder) / name).mkdir()
            return Server(place, *more, environ=environ or {})

        plain, promised = server("plain"), server("slo", 'slo={"availability": 0.999, "latency_ms": 80}')
        telemetry = server("spans", environ=spans)
        kinds = {
            "plain": (plain, Heads),
            "an objective": (promised, Heads),
            "telemetry, nobody traces": (telemetry, Heads),
            "telemetry, everybody traces": (telemetry, Traced),
        }
        try:
            found: dict[str, list[float]] = {name: [] for name in kinds}
            for _ in range(given.rounds):
                for name, (one, heads) in kinds.items():
                    found[name].append(measure(one, heads, given.seconds))
        finally:
            for one in (plain, promised, telemetry):
                one.stop()
    for name, values in found.items():
        print(f"{name:<28} {median(values):6.1f} µs a request ({', '.join(f'{one:.0f}' for one in values)})")


if __name__ == "__main__":
    main()
