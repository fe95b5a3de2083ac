"""Mainstay's serving beside what people use today, in one run on one machine, with wrk; loopback only.

`python bench/serving.py [--seconds 3] [--models text tree] [--only NAME …] [--write]`

The same fitted pipeline is served by each; one JSON instance for each request, label and probabilities back. Mainstay
has everything on: contract check, routing, durable log (fsync), metrics, trust signals. wrk takes its share of the same
cores. Mainstay is measured first and once more at the end, so that a machine that became faster or slower meanwhile
shows. Peers that are not installed (`make bench-peers`) or do not come up are told and left out. Writes
bench/results/serving.json, and with `--write` the table in docs/benchmarks.md; it measures, it is not a test.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pickle
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
sys.path.insert(0, str(ROOT / "src"))

import serving_page  # noqa: E402 - beside this file
from contestants import CONTESTANTS, Contestant  # noqa: E402 - beside this file
from serve_quick import bare_sync_ms  # noqa: E402 - beside this file

READY_S = 90.0
TREE_FIELDS = 20


def texts() -> tuple[list[dict[str, Any]], list[str]]:
    """Return the support desk's clean messages and their labels."""
    with (ROOT / "examples/support-desk/data/clean_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{"text": row["message"]} for row in rows], [row["intent"] for row in rows]


def numbers() -> tuple[list[dict[str, Any]], list[str]]:
    """Return made-up rows of twenty numbers and two classes."""
    luck = random.Random(1)
    rows = [{f"x{i}": round(luck.gauss(0, 1), 3) for i in range(TREE_FIELDS)} for _ in range(3000)]
    return rows, ["yes" if row["x0"] * row["x1"] + row["x2"] + luck.gauss(0, 0.5) > 0 else "no" for row in rows]


def prepare(kind: str, folder: Path) -> list[dict[str, Any]]:
    """Fit the pipeline, write it in every form that is served; return example inputs."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rows, truth = texts() if kind == "text" else numbers()
    os.environ["BENCH_MODEL"] = str(folder)
    sys.path.insert(0, str(HERE))
    (folder / "names.json").write_text(json.dumps(list(rows[0])))
    from peers import fitted

    fitted.FOLDER = folder
    model: Any = (
        make_pipeline(CountVectorizer(), LogisticRegression(max_iter=500))
        if kind == "text"
        else GradientBoostingClassifier(n_estimators=100, random_state=1)
    )
    given = fitted.given(rows)
    model.fit(given, truth)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    _for_mainstay(folder, model, kind, rows, truth)
    _for_mlflow(folder, model, kind)
    return rows


def _for_mainstay(folder: Path, model: Any, kind: str, rows: list[dict[str, Any]], truth: list[str]) -> None:
    """Adopt the pipeline, so that the bundle has what every bundle has: profile, calibration, thresholds, program."""
    import mainstay as product

    half = len(rows) * 4 // 5
    given = (lambda some: [row["text"] for row in some]) if kind == "text" else _frame
    product.adopt(
        model,
        given(rows[:half]),
        truth[:half],
        name="bench",
        holdout=(given(rows[half:]), truth[half:]),
        folder=folder / "project",
        settings={"gate": {"max_p99_ms": 1000.0}, "serve": {"max_rows": 1000}},
        say=None,
    )


def _frame(rows: list[dict[str, Any]]) -> Any:
    import numpy as np

    return np.array([list(row.values()) for row in rows])


def _for_mlflow(folder: Path, model: Any, kind: str) -> None:
    """Save the pipeline for MLflow's server, which hands over a frame."""
    import mlflow.pyfunc

    names = [f"x{i}" for i in range(TREE_FIELDS)]

    class Probabilities(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            del context, params
            given = model_input["text"].to_numpy() if kind == "text" else model_input[names].to_numpy()
            return [dict(zip(model.classes_.tolist(), row, strict=True)) for row in model.predict_proba(given).tolist()]

    mlflow.pyfunc.save_model(str(folder / "mlflow"), python_model=Probabilities(), pip_requirements=[])


def serve_mainstay(folder: Path, port: int, workers: int, durability: str) -> None:
    """Serve the adopted project until SIGTERM; for a process of its own."""
    from mainstay import Project

    flags = {"serve.port": port, "serve.workers": workers, "serve.durability": durability}
    Project.open(folder / "project", flags=flags).serve()


@contextmanager
def running(one: Contestant, folder: Path, workers: int, example: bytes) -> Iterator[tuple[int, float, int]]:
    """Start a service; give port, seconds until it answered, and its process; stop it and its children at the end."""
    port = free_port()
    environ = {**os.environ, "BENCH_MODEL": str(folder), "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT / 'src'}"}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"  # MLflow starts uvicorn by name
    environ |= {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLFLOW_LOGGING_LEVEL": "ERROR"}
    log = folder / f"{one.name}.log"
    began = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            one.command(port, folder, workers),
            cwd=HERE,
            env=environ,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            while not answers(one, port, example):
                if process.poll() is not None or time.perf_counter() - began > READY_S:
                    raise RuntimeError(f"{one.name} did not come up:\n{log.read_text(errors='replace')[-1500:]}")
                time.sleep(0.02)
            yield port, time.perf_counter() - began, process.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(one: Contestant, port: int, example: bytes) -> bool:
    """Return whether the service answers its example request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{one.path}", example, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


LUA = """
local bodies = {}
for line in io.lines(os.getenv("BENCH_BODIES")) do bodies[#bodies + 1] = line end
local headers = {["content-type"] = "application/json"}
local next = 0
request = function()
  next = next % #bodies + 1
  return wrk.format("POST", wrk.path, headers, bodies[next])
end
"""


def load(url: str, folder: Path, connections: int, seconds: float) -> dict[str, float]:
    """Return what wrk measured: requests a second, p50 and p99 in milliseconds, errors."""
    script = folder / "load.lua"
    script.write_text(LUA)
    # Two threads take more of the two cores than they give back.
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*command, url],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "BENCH_BODIES": str(folder / "bodies.txt")},
    )
    out = done.stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = int(bad[1]) if bad else 0
    errors += sum(map(int, socket_errors.groups())) if socket_errors else 0
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return {
        "requests_per_s": float(rate[1]) if rate else 0.0,
        "p50_ms": _quantile(out, "50%"),
        "p99_ms": _quantile(out, "99%"),
        "errors": errors,
    }


def _quantile(out: str, name: str) -> float:
    found = re.search(rf"^\s*{re.escape(name)}\s+([\d.]+)(us|ms|s)\s*$", out, re.MULTILINE)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]] if found else float("nan")


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process and all below it (MB)."""
    import psutil

    parent = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)]) / 1e6


def measure(one: Contestant, kind: str, folder: Path, rows: Sequence[dict[str, Any]], seconds: float) -> list[dict]:
    """Return one line for each number of workers and connections."""
    bodies = [json.dumps(one.body(row)) for row in rows[:500]]
    (folder / "bodies.txt").write_text("\n".join(bodies) + "\n")
    found = []
    os.sync()  # what was written before is not to be on the disk's hands now
    for workers in one.workers:
        with running(one, folder, workers, bodies[0].encode()) as (port, cold_start_s, pid):
            url = f"http://127.0.0.1:{port}{one.path}"
            load(url, folder, 8, min(2.0, seconds))  # warm
            for connections in one.connections:
                line = load(url, folder, connections, seconds)
                line |= {"rss_mb": round(rss_mb(pid)), "cold_start_s": round(cold_start_s, 2)}
                found.append({"name": one.name, "model": kind, "workers": workers, "connections": connections, **line})
                print(
                    f"{one.name:<18}{kind:<6}{workers} w {connections:>4} c {line['requests_per_s']:>9,.0f}/s  "
                    f"p50 {line['p50_ms']:>8.2f}  p99 {line['p99_ms']:>8.2f} ms  errors {line['errors']:.0f}  "
                    f"{line['rss_mb']:.0f} MB  cold {cold_start_s:.1f} s",
                    flush=True,
                )
    return found


def measured(one: Contestant, kind: str, folder: Path, rows: Sequence[dict[str, Any]], seconds: float) -> list[dict]:
    """Return what `measure` does; nothing, and why, for one that is not installed or does not come up."""
    if not one.is_installed():
        print(f"{one.name:<18}not installed: make bench-peers", flush=True)
        return []
    try:
        return measure(one, kind, folder, rows, seconds)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"{one.name:<18}left out: {str(error)[-800:]}", flush=True)
        return []


def main() -> None:
    """Measure everyone, write the result."""
    if sys.argv[1:2] == ["--serve"]:
        serve_mainstay(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--models", nargs="+", default=["text", "tree"], choices=["text", "tree"])
    parser.add_argument("--only", nargs="+", default=None, metavar="NAME")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "serving.json")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    found: list[dict[str, Any]] = []
    wanted = [one for one in CONTESTANTS if arguments.only is None or one.name in arguments.only]
    with tempfile.TemporaryDirectory(dir=ROOT / "build" if (ROOT / "build").is_dir() else None) as name:
        sync_ms = bare_sync_ms(Path(name))
        print(f"fdatasync of 1 kB here: {sync_ms:.2f} ms (median)", flush=True)
        for kind in arguments.models:
            folder = Path(name) / kind
            folder.mkdir()
            rows = prepare(kind, folder)
            for one in wanted:
                found += measured(one, kind, folder, rows, arguments.seconds)
            again = [replace(one, name="mainstay_again", workers=(1,)) for one in wanted if one.name == "mainstay"]
            for one in again:
                found += measured(one, kind, folder, rows, arguments.seconds)
    table = serving_page.table(found, sync_ms=sync_ms, seconds=arguments.seconds)
    print(table)
    if arguments.only is None:
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
        print(f"written: {arguments.out}")
    if arguments.write:
        serving_page.write(ROOT / "docs" / "benchmarks.md", table)


if __name__ == "__main__":
    main()
