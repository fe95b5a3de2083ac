"""Ten minutes of steady load on the real server and its loop: does anything grow, fall behind or slow down?

`python bench/soak.py [--minutes 10] [--rate 2000] [--write]`

Every ten seconds: requests/s, p50 and p99 as the client sees them, memory of each process, bytes of the journal, closed
segments that are not sealed yet, and how many records the watch is behind. The verdict compares the second minute with
the last one. Writes bench/results/soak.json, and with `--write` the table in docs/benchmarks.md. Loopback only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
sys.path.insert(0, str(ROOT / "src"))

import psutil  # noqa: E402 - after the path
import serving  # noqa: E402 - beside this file
import serving_page  # noqa: E402 - beside this file

BEGIN, END = "<!-- soak: written by bench/soak.py -->", "<!-- end of soak -->"


def processes(server: int, loop: int) -> dict[str, int]:
    """Return the process ids by what they do."""
    children = psutil.Process(server).children(recursive=True)
    workers = [one.pid for one in children if any("api.worker" in part for part in one.cmdline())]
    return {"supervisor": server, "worker": workers[0], "loop": loop}


def sample(project: Any, pids: Mapping[str, int]) -> dict[str, Any]:
    """Return memory, sizes and how far others are behind."""
    from mainstay.journal import files
    from mainstay.store import blocks
    from mainstay.watch import turn

    journal = project.parts.journal
    with project.parts.store.read() as tx:
        taken = blocks.cursor(tx, turn.consumer(project.name)).get("w0", 0)
    segments = files.segments(journal.folder)
    newest = journal.read({"w0": segments[-1].first - 1}, 1_000_000)[1].get("w0", 0) if segments else 0
    return {
        **{f"{name}_mb": round(psutil.Process(pid).memory_info().rss / 1e6, 1) for name, pid in pids.items()},
        "journal_mb": round(sum(path.stat().st_size for path in journal.folder.rglob("*") if path.is_file()) / 1e6, 1),
        "unsealed_segments": max(0, len(segments) - 1),
        "watch_behind": newest - taken,
    }


def run(folder: Path, rate: float, minutes: float) -> list[dict[str, Any]]:
    """Return one line for each ten seconds."""
    from mainstay import Project

    rows = serving.prepare("text", folder)
    bodies = [json.dumps({"instances": [{"key": f"c{i % 997}", "inputs": row}]}) for i, row in enumerate(rows)]
    (folder / "bodies.txt").write_text("\n".join(bodies) + "\n")
    port = serving.free_port()
    where = ["--project", str(folder / "project")]
    log = (folder / "soak.log").open("wb")
    start = {"env": {**os.environ, "PYTHONPATH": str(ROOT / "src")}, "stdout": log, "stderr": log}
    commands = [["serve", *where, "--port", str(port)], ["loop", *where]]
    started = [subprocess.Popen([sys.executable, "-m", "mainstay", *command], **start) for command in commands]
    project = Project.open(folder / "project")
    try:
        until = time.perf_counter() + 60
        while not _is_ready(port):
            if time.perf_counter() > until:
                sys.exit(f"the server did not come up:\n{(folder / 'soak.log').read_text()[-2000:]}")
            time.sleep(0.1)
        pids = processes(started[0].pid, started[1].pid)
        ask = [str(HERE / "steady.py"), str(port), "/v1/predict", str(folder / "bodies.txt"), str(rate)]
        client = subprocess.Popen([sys.executable, *ask, str(60 * minutes)], stdout=subprocess.PIPE, text=True)
        found = []
        for line in client.stdout or ():
            found.append(json.loads(line) | sample(project, pids))
            print(json.dumps(found[-1]), flush=True)
        client.wait()
        return found
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)


def _is_ready(port: int) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def verdict(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the second minute beside the last one, as Markdown."""
    early, late = found[6:12] or found, found[-7:-1] or found
    lines = ["| | second minute | last minute |", "|---|---|---|"]
    for name, text in (
        ("requests_per_s", "requests/s"),
        ("p50_ms", "p50 (ms)"),
        ("p99_ms", "p99 (ms)"),
        ("worker_mb", "worker's memory (MB)"),
        ("supervisor_mb", "supervisor's memory (MB)"),
        ("loop_mb", "loop's memory (MB)"),
        ("unsealed_segments", "closed segments not sealed"),
        ("watch_behind", "records that the watch is behind"),
    ):
        before, after = (statistics.median(row[name] for row in part) for part in (early, late))
        lines.append(f"| {text} | {before:,.1f} | {after:,.1f} |")
    total = sum(row["requests_per_s"] for row in found) * 10
    lines += ["", f"{sum(row['failed'] for row in found)} of about {total:,.0f} requests failed; "]
    lines[-1] += f"the journal grew to {found[-1]['journal_mb']:,.0f} MB."
    return "\n".join(lines)


def main() -> None:
    """Run, tell, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT / "build" if (ROOT / "build").is_dir() else None) as name:
        found = run(Path(name), arguments.rate, arguments.minutes)
    table = verdict(found)
    print(table)
    out = HERE / "results" / "soak.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.write:
        said = f"{arguments.minutes:g} minutes at {arguments.rate:,.0f} requests/s over 32 connections.\n\n{table}"
        serving_page.write(ROOT / "docs" / "benchmarks.md", said, begin=BEGIN, end=END)


if __name__ == "__main__":
    main()
