"""What every library is asked by bench/watch.py, in its own environment: `main(peer)` reads jobs, writes what it said.

A peer scores windows column by column: a statistic, larger where more is wrong, and whether its defaults raise a flag.
The driver needs no more: thresholds that give another false-alarm rate are set on the statistics afterwards.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import watch_data as data


class Peer(Protocol):
    """One library."""

    version: str

    def fit(self, reference: data.Table, rows: int) -> Any:
        """Return what the library makes of reference rows, for windows of `rows` rows."""

    def score(self, fitted: Any, windows: Sequence[data.Table]) -> tuple[data.Table, Any]:
        """Return for each window and column the statistic and the flag, shape (windows, columns)."""

    def text(self, reference: Sequence[str], windows: Sequence[Sequence[str]]) -> list[tuple[float, bool]] | None:
        """Return for each window of texts the statistic and the flag; None where texts are not looked at."""

    def report(self, reference: str, current: str) -> Any:
        """Return a function that makes the drift report of two Parquet files, which were loaded already."""

    def estimate(self, reference: str, analysis: str, rows: int) -> list[float] | None:
        """Return the estimated accuracy of each chunk of the analysis file; None where there is no such thing."""


def stationary(peer: Peer, case: dict[str, Any]) -> dict[str, Any]:
    """Return the largest statistic of each stationary window and whether it has a flag, over several references."""
    tops: list[float] = []
    flags: list[bool] = []
    for number in range(case["references"]):
        fitted = peer.fit(data.reference(number, case["reference_rows"]), case["rows"])
        given = list(data.windows(data.STATIONARY, number, case["windows"], case["rows"]))
        found, flagged = peer.score(fitted, given)
        tops += np.nanmax(found, axis=1).tolist()
        flags += np.asarray(flagged).any(axis=1).tolist()
    return {"top": tops, "flags": flags}


def shifted(peer: Peer, case: dict[str, Any]) -> dict[str, Any]:
    """Return the statistic and the flag of the shifted column, for each run and window after the change."""
    tops, flags = [], []
    for run in range(case["runs"]):
        fitted = peer.fit(data.reference(run, case["reference_rows"])[:, :1], case["rows"])
        given = [window[:, :1] + case["shift"] for window in data.windows(data.AFTER, run, case["most"], case["rows"])]
        found, flagged = peer.score(fitted, given)
        tops.append(found[:, 0].tolist())
        flags.append(np.asarray(flagged)[:, 0].tolist())
    return {"top": tops, "flags": flags}


AGAIN_BELOW_S = 20.0
"""What took longer the first time is not run again."""


def measured(run: Any) -> dict[str, float]:
    """Return what the first run in the process took, and as `warm_…` the quickest of three more."""
    first = _measured(run)
    more = [_measured(run) for _ in range(3 if first["seconds"] < AGAIN_BELOW_S else 0)]
    return first | {f"warm_{name}": min(one[name] for one in more) for name in first if more}


def _measured(run: Any) -> dict[str, float]:
    """Return seconds, processor seconds, and the peak of memory above what was held before (MB)."""
    before = resident()
    peak, spent, stop = [before], [0.0], Event()

    def look() -> None:
        while not stop.wait(0.002):
            peak[0] = max(peak[0], resident())
        spent[0] = time.thread_time()

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    began, busy = time.perf_counter(), time.process_time()
    run()
    took = time.perf_counter() - began
    peak[0] = max(peak[0], resident())
    stop.set()
    watcher.join()
    worked = time.process_time() - busy - spent[0]  # looking takes as long as others let it wait
    return {"seconds": took, "cpu_seconds": worked, "peak_mb": (peak[0] - before) / 1e6}


def resident() -> int:
    """Return the bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def answer(peer: Peer, job: dict[str, Any]) -> dict[str, Any]:
    """Return what the library says to one job."""
    case, began = job["case"], time.perf_counter()
    if job["what"] == "stationary":
        out: dict[str, Any] = stationary(peer, case)
    elif job["what"] == "shift":
        out = shifted(peer, case)
    elif job["what"] == "text":
        texts = json.loads(Path(case["texts"]).read_text(encoding="utf-8"))
        found = peer.text(texts["reference"], texts["windows"])
        out = {} if found is None else {"top": [one for one, _ in found], "flags": [bool(flag) for _, flag in found]}
    elif job["what"] == "estimate":
        told = peer.estimate(case["reference"], case["analysis"], case["rows"])
        out = {} if told is None else {"estimates": told}
    else:
        out = measured(peer.report(case["reference"], case["current"]))
    return {**out, "took_s": time.perf_counter() - began}


def main(peer: Peer) -> None:
    """Answer the jobs of the file named first; write one JSON line for each into the file named second."""
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with Path(sys.argv[2]).open("w", encoding="utf-8") as out:
        head = {"version": peer.version, "fingerprint": data.fingerprint()}
        out.write(json.dumps(head) + "\n")
        for job in jobs:
            try:
                told = answer(peer, job)
            except Exception as error:  # noqa: BLE001 - whatever a library raises is its answer
                told = {"failed": f"{type(error).__name__}: {error}"[:300]}
            out.write(json.dumps({"id": job["id"], **told}, default=float) + "\n")
            out.flush()
