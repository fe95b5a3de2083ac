"""Ask a version in the real server before any user does: a worker of its own, a loopback port, a few real rows."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib import error as url_error
from urllib import request as url_request

from mainstay.core.ports import Clock
from mainstay.core.routes import BundleRef, Route
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.answers import Answer
from mainstay.serve import plan as plans
from mainstay.serve.keys import VARIABLE
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.route_file import RouteFile, route_path

QUESTION = "Does the real server load it and answer as the gate saw it answer?"
READY_S = 180.0
"""A version that loads in its time on an idle machine is not refused for a busy one; one that hangs is."""
STOP_S = 10.0
TOLERANCE = 1e-9
"""Largest difference of a probability between the server and the gate."""


def try_in_server(
    model: str,
    version: BundleRef,
    rows: Sequence[Mapping[str, Any]],
    expected: Sequence[Answer],
    *,
    bundles: Path,
    environ: Mapping[str, str],
    clock: Clock,
    runner: Mapping[str, Any] | None = None,
) -> Check:
    """Start a worker that serves `version` alone, ask `rows`, compare with `expected`, end the worker.

    PASS when every label is equal and every probability within `TOLERANCE`; FAIL otherwise, also when the worker does
    not come up. The worker has its own folders and port; live traffic does not meet it. `runner`: what its plan says of
    runners (`plan.runner_part`), so that the bundle is asked where it would answer.
    """
    if not rows:
        return unasked()
    with a_worker(model, version, bundles=bundles, environ=environ, clock=clock, runner=runner or {}) as found:
        return failed(found) if isinstance(found, str) else compare(ask(found.port, model, rows), expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process that serves one version."""

    port: int
    pid: int
    run: Path
    """Where it tells its state."""
    cold_s: float
    """Real time from its start until it was ready."""

    @property
    def state(self) -> Mapping[str, Any]:
        """Return what it tells of itself."""
        return plans.read_json(plans.state_path(self.run, "w0")) or {}


@contextmanager
def a_worker(
    model: str,
    version: BundleRef,
    *,
    bundles: Path,
    environ: Mapping[str, str],
    clock: Clock,
    runner: Mapping[str, Any],
) -> Iterator[Worker | str]:
    """Give a worker that is ready, or why none is, as a text; it is ended afterwards, and its folders are gone."""
    folder = Path(tempfile.mkdtemp(prefix="mainstay-trial-"))
    try:
        run = folder / "run"
        run.mkdir()
        (folder / "journal").mkdir()
        RouteFile(route_path(run, model)).write(Route(model=model, epoch=1, champion=version))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            plan = WorkerPlan(
                worker="w0",
                workers=1,
                models=[model],
                run=str(run),
                bundles=str(bundles),
                journal=str(folder / "journal"),
                salt=str(folder / "salt"),
                socket_fd=listening.fileno(),
                parent_fd=-1,
                host="127.0.0.1",
                durability="none",
                segment_mb=1,
                trusted=[version.digest],  # whoever tries it has loaded it already, where its signature was looked at
                **runner,
            )
            plans.write_json(plans.plan_path(run, "w0"), plan)
            (folder / "salt").write_text(os.urandom(32).hex(), encoding="ascii")
            with (folder / "worker.log").open("wb") as log:
                began = time.perf_counter()
                worker = subprocess.Popen(
                    [sys.executable, "-m", "mainstay.api.worker", str(plans.plan_path(run, "w0"))],
                    pass_fds=[listening.fileno()],
                    env={name: value for name, value in environ.items() if name != VARIABLE},  # asked without a key
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                try:
                    problem = _wait(worker, run, clock)
                    cold_s = time.perf_counter() - began
                    if problem:
                        yield f"{problem} {_tail(folder / 'worker.log')}".strip()
                    else:
                        yield Worker(port=port, pid=worker.pid, run=run, cold_s=cold_s)
                finally:
                    end(worker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unasked() -> Check:
    """Return the check where there is no row to ask."""
    return _check(Verdict.NOT_ENOUGH, "there is no row to ask")


def failed(why: str) -> Check:
    """Return the check of a version whose worker did not come up."""
    return _check(Verdict.FAIL, why)


def _wait(worker: subprocess.Popen[bytes], run: Path, clock: Clock) -> str:
    """Return an empty text once the worker is ready, else what is wrong."""
    deadline = clock.monotonic() + READY_S
    while clock.monotonic() < deadline:
        if worker.poll() is not None:
            return f"the worker ended with exit code {worker.returncode} while loading it."
        state = plans.read_json(plans.state_path(run, "w0")) or {}
        if state.get("failed"):
            return "the worker could not load it: " + "; ".join(map(str, state["failed"].values()))
        if state.get("ready"):
            return ""
        _pause(worker, 0.02)
    return f"the worker was not ready within {READY_S:.0f} s."


def _pause(worker: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait in real time, whatever clock the project runs on: a process has to start."""
    try:
        worker.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return


def ask(port: int, model: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | str:
    """Return the predictions of a server on this machine's `port` for `rows`, or what went wrong, as a text."""
    inputs = [{name: value for name, value in row.items() if value is not None} for row in rows]
    body = json.dumps({"instances": [{"inputs": one, "key": "trial"} for one in inputs]}, default=str).encode()
    ask = url_request.Request(
        f"http://127.0.0.1:{port}/v1/models/{model}/predict", body, {"content-type": "application/json"}
    )
    try:
        with url_request.build_opener(url_request.ProxyHandler({})).open(ask, timeout=120) as response:
            answer: list[dict[str, Any]] = json.load(response)["predictions"]
            return answer
    except url_error.HTTPError as error:
        return f"the server answered {error.code}: {error.read()[:500].decode('utf-8', 'replace')}"
    except (OSError, ValueError, KeyError) as error:
        return f"the server did not answer: {type(error).__name__}: {error}"


def compare(said: list[dict[str, Any]] | str, expected: Sequence[Answer]) -> Check:
    """Return PASS when every label is equal and every probability within `TOLERANCE`."""
    if isinstance(said, str):
        return _check(Verdict.FAIL, said)
    worst = 0.0
    for number, (one, other) in enumerate(zip(said, expected, strict=True)):
        if str(one["label"]) != str(other.label) and not _close(one["label"], other.label):
            return _check(Verdict.FAIL, f"row {number}: the server says {one['label']!r}, the gate saw {other.label!r}")
        gaps = [abs(one["probabilities"].get(name, 0.0) - p) for name, p in other.probabilities.items()]
        worst = max([worst, *gaps])
    if not worst <= TOLERANCE:
        return _check(Verdict.FAIL, f"a probability differs by {worst:.3g}; at most {TOLERANCE:g} is allowed", worst)
    return _check(Verdict.PASS, f"{len(expected)} rows answered equally by the real server", worst)


def _close(one: Any, other: Any) -> bool:
    return (
        isinstance(one, int | float) and isinstance(other, int | float) and math.isclose(one, other, rel_tol=TOLERANCE)
    )


def end(process: subprocess.Popen[bytes], *, patience_s: float = STOP_S) -> None:
    """Ask a process to stop; kill one that does not within `patience_s` of real time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(file: Path) -> str:
    return file.read_bytes()[-800:].decode("utf-8", "replace").strip()


def _check(verdict: Verdict, reason: str, worst: float = 0.0) -> Check:
    return Check(
        name="real_server", question=QUESTION, verdict=verdict, reason=reason, numbers={"largest_difference": worst}
    )
