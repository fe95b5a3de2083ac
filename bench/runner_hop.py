"""What a runner costs: the same scikit-learn pipeline asked inside the process and outside, and how fast it starts.

    python bench/runner_hop.py

Prints one JSON object a line. Times of a call are the best seen, as others may use the machine; processor time counts
the worker's side and the runner's apart.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mainstay.config.clocks import SystemClock
from mainstay.core.errors import RunnerFailed
from mainstay.core.routes import BundleRef
from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer, answer
from mainstay.models.load import load
from mainstay.models.runner.outside import RunnerRules, load_pair
from mainstay.models.runner.runner import Limits
from mainstay.serve import trial
from mainstay.testing.models import make_bundle

WORDS = ("sun", "snow", "day", "night", "wind", "rain", "warm", "cold", "ice", "heat", "storm", "calm")
ROUNDS = 9
CALLS = {1: 300, 32: 150, 256: 40}


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return rows of a text of 3 to 12 words."""
    dice = random.Random(seed)
    return [{"text": " ".join(dice.choices(WORDS, k=dice.randint(3, 12)))} for _ in range(count)]


def measured(
    ask: Callable[[Sequence[Mapping[str, Any]]], Any], asked: list[dict[str, Any]], pid: int | None = None
) -> tuple[float, float, float]:
    """Return the best time of a call, and the processor time of a call here and in process `pid`, all in µs."""
    calls, best = CALLS[len(asked)], float("inf")
    here, there = time.process_time(), cpu_s(pid)
    for _ in range(ROUNDS * calls):
        began = time.perf_counter()
        ask(asked)
        best = min(best, time.perf_counter() - began)
    each = 1e6 / (ROUNDS * calls)
    return best * 1e6, (time.process_time() - here) * each, (cpu_s(pid) - there) * each


def cpu_s(pid: int | None) -> float:
    """Return the processor time of a process so far, in seconds; 0 for none."""
    if pid is None:
        return 0.0
    told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def started(digest: str, expected: list[Answer], bundles: Path) -> tuple[float, float]:
    """Return wall and processor time from starting a real worker to its first answers, its end included, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    version = BundleRef(version=1, digest=digest)
    check = trial.try_in_server(
        "weather", version, rows(1), expected, bundles=bundles, environ=os.environ, clock=SystemClock()
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if check.verdict is not Verdict.PASS:
        raise SystemExit(check.reason)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tell(**what: Any) -> None:
    """Write one object."""
    sys.stdout.write(json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in what.items()}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure one model."""
    learn = rows(2000, seed=2)
    texts = [row["text"] for row in learn]
    truth = ["cold" if "snow" in text or "ice" in text else "warm" for text in texts]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, truth)
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(Path(folder), model)
        rules = RunnerRules(limits=Limits(deadline_s=5.0, memory_mb=2000), environ=os.environ)
        loaded, twin = load_pair(bundle, "weather@1", rules)
        runner, beside = loaded.outside, twin.outside
        if runner is None or beside is None:
            raise SystemExit("the bundle did not run outside")
        beside.get_ready()
        seats = runner.state()["seats"]
        pid = seats["answers"]["pid"]
        loading_s = cpu_s(pid)
        here = load(bundle)
        for count in CALLS:
            asked = rows(count)
            inside, outside = measured(here.predict, asked), measured(loaded.predict, asked, pid)
            tell(
                rows=count,
                best_inside_us=inside[0],
                best_outside_us=outside[0],
                cpu_inside_us=inside[1],
                cpu_worker_us=outside[1],
                cpu_runner_us=outside[2],
                cpu_hop_us=outside[1] + outside[2] - inside[1],
            )
        os.kill(pid, signal.SIGKILL)
        began, lost = time.perf_counter(), 0
        while True:
            try:
                answer(loaded, rows(1))
                break
            except RunnerFailed:
                lost += 1
        tell(
            cpu_of_loading_s=loading_s,
            kill_to_next_answer_ms=(time.perf_counter() - began) * 1000,
            calls_lost=lost,
            rss_mb=[seat["rss_mb"] for seat in seats.values()],
        )
        runner.stop()
        wall_s, processor_s = started(bundle.digest, answer(here, rows(1)), Path(folder))
        tell(worker_to_answers_and_end_s=wall_s, cpu_of_it_s=processor_s)


if __name__ == "__main__":
    main()
