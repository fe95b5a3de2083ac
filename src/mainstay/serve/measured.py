"""How a version fares in the real server: a worker process of its own, asked over HTTP with real rows.

The rule against noise: rounds of single-row requests, up to ROUNDS; the one with the least 99th percentile counts, as
what else runs on the machine can only slow an answer down. In between, requests that ask nothing of the model say how
slow machine and HTTP alone are. The journal waits for no disk here: that is no property of a version.
"""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstay.core.ports import Clock
from mainstay.core.routes import BundleRef
from mainstay.core.trials import Measured, Round
from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer
from mainstay.models.runner.process import memory_of
from mainstay.serve import trial

ROWS = 150
"""Requests of a round."""
ROUNDS = 3
WARM_UP = 20
ROUND_S = 20.0
"""A round of a slow version ends after this, with fewer requests."""
EVERY = 3
"""After so many requests one that asks nothing of the model."""
CONNECTIONS = 4
CROWD_S = 0.7
"""How long several connections ask at once."""
EMPTY = "/ping"


def in_server(
    model: str,
    version: BundleRef,
    rows: Sequence[Mapping[str, Any]],
    expected: Sequence[Answer],
    *,
    enough_ms: float,
    bundles: Path,
    environ: Mapping[str, str],
    clock: Clock,
    runner: Mapping[str, Any] | None = None,
) -> Measured:
    """Start a worker that serves `version`, compare its answers to the first rows with `expected`, and measure it.

    `enough_ms`: a round whose 99th percentile is within this is the last. Nothing is measured of a version that does
    not come up, or that answers otherwise.
    """
    if not rows:
        return Measured(answers=trial.unasked())
    with trial.a_worker(model, version, bundles=bundles, environ=environ, clock=clock, runner=runner or {}) as found:
        if isinstance(found, str):
            return Measured(answers=trial.failed(found))
        same = trial.compare(trial.ask(found.port, model, rows[: len(expected)]), expected)
        if same.verdict is not Verdict.PASS:
            return Measured(answers=same, cold_s=found.cold_s)
        path = f"/v1/models/{model}/predict"
        bodies = [_body(row) for row in rows]
        rounds: list[Round] = []
        _round(found.port, path, bodies, WARM_UP)
        while len(rounds) < ROUNDS and not (rounds and p99(rounds[-1].answered_ms) <= enough_ms):
            rounds.append(_round(found.port, path, bodies, ROWS))
        per_second = _crowd(found.port, path, bodies)
        empty = found.state.get("empty_mb")
        took = tree_mb(found.pid)
        return Measured(
            answers=same,
            rounds=rounds,
            per_second=per_second,
            memory_mb=None if empty is None or not took else max(0.0, took - float(empty)),
            empty_mb=empty,
            cold_s=found.cold_s,
        )


def p99(values: Sequence[float]) -> float:
    """Return the smallest value that 99 of 100 are within; inf where there is none."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else math.inf


def tree_mb(pid: int) -> float:
    """Return what a process and those that it started take in RAM (MB); 0 where that cannot be told."""
    return sum(memory_of(one) for one in (pid, *_children(pid)))


def _children(pid: int) -> list[int]:
    if sys.platform == "linux":
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):  # it ended meanwhile
                continue
    else:
        told = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=False, text=True)
        pairs = (line.split() for line in told.stdout.splitlines())
        parents = {int(pair[0]): int(pair[1]) for pair in pairs if len(pair) == 2}
    found, waiting = [], [pid]
    while waiting:
        own = waiting.pop()
        young = [child for child, parent in parents.items() if parent == own]
        found += young
        waiting += young
    return found


def _body(row: Mapping[str, Any]) -> bytes:
    inputs = {name: value for name, value in row.items() if value is not None}
    return json.dumps({"instances": [{"inputs": inputs, "key": "trial"}]}, default=str).encode()


def _round(port: int, path: str, bodies: Sequence[bytes], count: int) -> Round:
    answered, empty = [], []
    connection = _connected(port)
    began = time.perf_counter()
    try:
        for number in range(count):
            answered.append(_timed(connection, "POST", path, bodies[number % len(bodies)]))
            if number % EVERY == 0:
                empty.append(_timed(connection, "GET", EMPTY, None))
            if time.perf_counter() - began > ROUND_S:
                break
    finally:
        connection.close()
    return Round(answered_ms=answered, empty_ms=empty)


def _connected(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    return connection


def _timed(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None) -> float:
    """Return the milliseconds of one request; one that was not answered counts as endless."""
    start = time.perf_counter()
    connection.request(method, path, body, {"content-type": "application/json"} if body else {})
    with connection.getresponse() as response:
        response.read()
        took = (time.perf_counter() - start) * 1000.0
        return took if response.status == 200 else math.inf


def _crowd(port: int, path: str, bodies: Sequence[bytes]) -> float | None:
    """Return how many requests several connections at once get answered in a second; None where one failed."""
    counts, failed = [0] * CONNECTIONS, threading.Event()
    until = time.perf_counter() + CROWD_S

    def ask(number: int) -> None:
        try:
            connection = _connected(port)
            try:
                while time.perf_counter() < until:
                    if not math.isfinite(_timed(connection, "POST", path, bodies[counts[number] % len(bodies)])):
                        failed.set()
                    counts[number] += 1
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            failed.set()

    began = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return None if failed.is_set() else sum(counts) / (time.perf_counter() - began)
