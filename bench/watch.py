"""The watch beside Evidently, NannyML and whylogs, all on the same data, in one run: `make bench-watch`.

`python bench/watch.py [--quick] [--data ../shared/data] [--only NAME …] [--resume] [--write]`

Each library has its own environment (`bench/peers/install.py`), draws the same windows from the same seeds, and is
asked with its defaults; then its threshold is set so that at most 1 in 1,000 stationary windows has a flag, on those
very windows. A window is 1,000 (or 250) rows of 20 independent normal columns; a detection is a flag on the column
that moved, for Mainstay an incident. Seconds and memory are of one process alone on the machine. Writes
bench/results/watch.json, and with `--write` the tables in docs/benchmarks.md; it measures, it is not a test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "src"))

import watch_cases  # noqa: E402 - beside this file
import watch_data  # noqa: E402 - beside this file
import watch_page  # noqa: E402 - beside this file
from serving_page import write  # noqa: E402 - beside this file

PEERS = ("evidently", "nannyml", "whylogs")
PLACE = ROOT / "build" / "peers"
WORK = ROOT / "build" / "watch"
Row = dict[str, Any]


def command(name: str) -> list[str]:
    """Return how a contestant is started; the two files follow."""
    if name == "mainstay":
        return [sys.executable, str(HERE / "watch_mainstay.py")]
    return [str(PLACE / name / "bin" / "python"), str(HERE / "peers" / f"{name}_watch.py")]


def is_here(name: str) -> bool:
    """Return whether a contestant can be asked."""
    return name == "mainstay" or (PLACE / name / "bin" / "python").exists()


def ask(name: str, jobs: Sequence[Mapping[str, Any]], label: str, *, again: bool = True) -> list[dict[str, Any]]:
    """Put the jobs to one contestant in a process of its own; return its lines, the head first.

    Without `again` the answers of an earlier run are taken, where it was asked the same and answered all.
    """
    question, answer = WORK / f"{name}-{label}.json", WORK / f"{name}-{label}.out"
    if not again and answer.exists() and question.exists() and json.loads(question.read_text()) == list(jobs):
        told = [json.loads(line) for line in answer.read_text().splitlines()]
        if len(told) == 1 + len(jobs):
            return told
    question.write_text(json.dumps(list(jobs)), encoding="utf-8")
    answer.unlink(missing_ok=True)
    # Two contestants at a time on two cores: one thread each. What is timed runs alone, as it likes.
    env = dict(os.environ)
    if label == "flags":
        env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    log = (WORK / f"{name}-{label}.log").open("wb")
    began = time.perf_counter()
    done = subprocess.run([*command(name), str(question), str(answer)], env=env, stdout=log, stderr=log, check=False)
    told = [json.loads(line) for line in answer.read_text().splitlines()] if answer.exists() else []
    if done.returncode or not told:
        print(f"{name} ({label}) ended with {done.returncode}; see {log.name}", flush=True)
    elif told[0]["fingerprint"] != watch_data.fingerprint():
        raise SystemExit(f"{name} draws other data than this environment: their NumPy versions differ too much")
    print(f"{name} ({label}): {len(jobs)} jobs in {time.perf_counter() - began:.0f} s", flush=True)
    return told


def run(names: Sequence[str], cases: watch_cases.Cases, *, again: bool, flags: bool) -> dict[str, dict[str, Any]]:
    """Return for each contestant its version and its answers by job; without `flags` only what is timed."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    with ThreadPoolExecutor(2) as pool:
        asked = names if flags else ()
        lines = pool.map(lambda name: ask(name, cases.jobs(name), "flags", again=again), asked)
        for name, told in zip(asked, lines, strict=True):
            found[name] = {"version": told[0]["version"] if told else "?"}
            found[name] |= {line["id"]: line for line in told[1:]}
    for job in cases.speed():
        for name in names:
            for line in ask(name, [job], job["id"].replace(" ", "-"), again=again):
                found[name] |= {line["id"]: line} if "id" in line else {"version": line["version"]}
    return found


def _with_speed(before: Row, now: Row) -> Row:
    """Return the results of before with the reports that were timed now in the places of theirs."""
    timed = {(row["name"], row["rows"]): row for row in now["rows"] if row["case"] == "report"}
    rows = [timed.get((row["name"], row["rows"]), row) if row["case"] == "report" else row for row in before["rows"]]
    return {**before, "versions": before["versions"] | now["versions"], "rows": rows}


def main() -> None:
    """Run, judge, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer windows and runs: a look, no figures to keep")
    parser.add_argument("--speed", action="store_true", help="only the drift report; the other rows stay as they are")
    parser.add_argument("--resume", action="store_true", help="take what build/watch holds of an earlier run")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the public data sets")
    parser.add_argument("--only", nargs="*", default=["mainstay", *PEERS], help="contestants")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    given = parser.parse_args()
    names = [name for name in given.only if is_here(name)]
    for name in set(given.only) - set(names):
        print(f"{name} is not installed and left out (bench/peers/install.py {name})", flush=True)
    WORK.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    cases = watch_cases.prepare(WORK, given.data, quick=given.quick)
    found = run(names, cases, again=not given.resume, flags=not given.speed)
    rows = watch_cases.judge(cases, found)
    print(f"{(time.perf_counter() - began) / 60.0:.0f} minutes", flush=True)
    out = HERE / "results" / ("watch-quick.json" if given.quick else "watch.json")
    told = {"versions": {name: found[name]["version"] for name in names}, "rows": rows}
    if given.speed:
        told = _with_speed(json.loads(out.read_text()), told)
    else:
        told["curves"] = watch_cases.curves(cases, found)
    out.write_text(json.dumps(told, indent=1) + "\n")
    page = watch_page.page(json.loads(out.read_text()))
    print(page)
    if given.write:
        write(ROOT / "docs" / "benchmarks.md", page, begin=watch_page.BEGIN, end=watch_page.END)


if __name__ == "__main__":
    main()
