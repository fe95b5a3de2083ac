"""What a runner costs: the same scikit-learn pipeline asked inside the process and outside, and how fast it starts.

    python bench/runner_hop.py

Prints one JSON object a line: for 1, 32 and 256 rows the time of a call and this process's own share of processor time;
then from start to first answer, and from a kill to the next answer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mainstay.core.errors import RunnerFailed
from mainstay.models.answers import answer
from mainstay.models.load import load
from mainstay.models.runner.outside import RunnerRules, load_pair
from mainstay.models.runner.runner import Limits
from mainstay.testing.models import make_bundle

WORDS = ("sun", "snow", "day", "night", "wind", "rain", "warm", "cold", "ice", "heat", "storm", "calm")
ROUNDS = 9
CALLS = {1: 300, 32: 150, 256: 40}


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return rows of a text of 3 to 12 words."""
    dice = random.Random(seed)
    return [{"text": " ".join(dice.choices(WORDS, k=dice.randint(3, 12)))} for _ in range(count)]


def measured(ask: Callable[[Sequence[Mapping[str, Any]]], Any], asked: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the best round's time of a call and this process's processor time of it, both in µs."""
    calls, best = CALLS[len(asked)], (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        began, worked = time.perf_counter(), time.process_time()
        for _ in range(calls):
            ask(asked)
        took = (time.perf_counter() - began) / calls * 1e6, (time.process_time() - worked) / calls * 1e6
        best = min(best, took)
    return best


def tell(**what: Any) -> None:
    """Write one object."""
    sys.stdout.write(json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in what.items()}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure two models."""
    learn = rows(2000, seed=2)
    texts = [row["text"] for row in learn]
    truth = ["cold" if "snow" in text or "ice" in text else "warm" for text in texts]
    models = {
        "logistic": make_pipeline(TfidfVectorizer(), LogisticRegression()),
        "forest": make_pipeline(TfidfVectorizer(), RandomForestClassifier(100, random_state=0, n_jobs=None)),
    }
    for name, model in models.items():
        with tempfile.TemporaryDirectory() as folder:
            bundle = make_bundle(Path(folder), model.fit(texts, truth))
            rules = RunnerRules(limits=Limits(deadline_s=5.0, memory_mb=2000), environ=os.environ)
            began = time.perf_counter()
            loaded, twin = load_pair(bundle, "weather@1", rules)
            started_s = time.perf_counter() - began
            runner, beside = loaded.outside, twin.outside
            if runner is None or beside is None:
                raise SystemExit("the bundle did not run outside")
            beside.get_ready()
            here = load(bundle)
            for count in CALLS:
                asked = rows(count)
                inside, outside = measured(here.predict, asked), measured(loaded.predict, asked)
                tell(
                    model=name,
                    rows=count,
                    inside_us=inside[0],
                    outside_us=outside[0],
                    hop_us=outside[0] - inside[0],
                    hop_us_per_row=(outside[0] - inside[0]) / count,
                    own_cpu_inside_us=inside[1],
                    own_cpu_outside_us=outside[1],
                )
            seats = runner.state()["seats"]
            os.kill(seats["answers"]["pid"], signal.SIGKILL)
            began, lost = time.perf_counter(), 0
            while True:
                try:
                    answer(loaded, rows(1))
                    break
                except RunnerFailed:
                    lost += 1
            tell(
                model=name,
                start_to_first_answer_ms=started_s * 1000,
                kill_to_next_answer_ms=(time.perf_counter() - began) * 1000,
                calls_lost=lost,
                rss_mb=[seat["rss_mb"] for seat in seats.values()],
            )
            runner.stop()


if __name__ == "__main__":
    main()
