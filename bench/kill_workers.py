"""Kill workers under load, many times: is anything that was acknowledged missing, or there twice?

`python bench/kill_workers.py [--kills 1000] [--workers 3] [--clients 6]`

The real server (supervisor, workers, fsync). Clients predict and give feedback on connections of their own and
write down what was acknowledged; meanwhile one worker after the other gets SIGKILL as soon as it answers again, at a
random moment. At the end the journal is read: every acknowledged prediction and label must be there, every prediction
once, with the answer that its client got. Loopback only. The pause before a worker is started again, which grows with
every early death, is held at its shortest here.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from mainstay.core.events import Kind  # noqa: E402 - after the path
from mainstay.journal.read import Journal  # noqa: E402 - after the path
from mainstay.serve import control  # noqa: E402 - after the path

TEXTS = ("snow day", "sun", "rain and wind", "storm", "calm bright day", "never heard of", "")


def serve(folder: Path, workers: int) -> None:
    """Serve until SIGTERM; for a process of its own."""
    from dataclasses import replace

    import msgspec

    from mainstay.config.clocks import SystemClock
    from mainstay.config.settings import Settings
    from mainstay.core.routes import BundleRef, Route
    from mainstay.serve import children
    from mainstay.serve.member import Member
    from mainstay.serve.supervisor import Supervisor
    from mainstay.testing.models import make_bundle

    children.LONGEST_DELAY_S = children.FIRST_DELAY_S
    bundle = make_bundle(folder / ".mainstay" / "bundles")
    route = Route(model="weather", epoch=1, champion=BundleRef(version=1, digest=bundle.digest))
    settings = Settings.model_validate(
        {
            "project": {"name": "weather"},
            "serve": {"port": 0, "workers": workers, "runner": "never"},
            "log": {"segment_mb": 1},
        }
    )
    member = Member(
        settings=settings,
        root=folder,
        route_source=lambda: [route],
        on_override=lambda override: replace(msgspec.convert(override.route, Route), epoch=override.route.epoch + 1),
    )
    Supervisor([member], clock=SystemClock()).run()


@dataclass
class Ledger:
    """What clients were told."""

    answers: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """By id: label and probabilities."""
    labels: set[str] = field(default_factory=set)
    """Ids of feedback that was stored."""
    lost_connections: int = 0
    refused: Counter[int] = field(default_factory=Counter)


def ask(port: int, number: int, ledger: Ledger, stop: threading.Event) -> None:
    """Predict and tell labels until the end, over connections that may die at any moment."""
    luck = random.Random(number)
    line: http.client.HTTPConnection | None = None
    told = 0
    while not stop.is_set():
        try:
            line = line or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            body = {"instances": [{"key": f"k{luck.randrange(50)}", "inputs": {"text": luck.choice(TEXTS)}}]}
            answer = _post(line, "/v1/predict", body, ledger)
            for one in answer.get("predictions", ()):
                ledger.answers[one["id"]] = one["label"], one["probabilities"]
                if luck.random() < 0.2:
                    told += 1
                    item = {"id": one["id"], "feedback_id": f"f-{number}-{told}", "value": "warm"}
                    results = _post(line, "/v1/feedback", {"items": [item]}, ledger).get("results", ())
                    ledger.labels |= {r["feedback_id"] for r in results if r["status"] != "refused"}
        except (OSError, http.client.HTTPException):
            ledger.lost_connections += 1
            line = None
            time.sleep(0.005)


def _post(line: http.client.HTTPConnection, path: str, body: dict[str, Any], ledger: Ledger) -> dict[str, Any]:
    line.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = line.getresponse()
    content = answer.read()
    if answer.status != 200:
        ledger.refused[answer.status] += 1
        return {}
    found: dict[str, Any] = json.loads(content)
    return found


def kill(run: Path, kills: int) -> None:
    """Kill workers, each when it is ready again, at a random moment of the next tenth of a second."""
    luck = random.Random(0)
    dead: dict[str, int] = {}
    done = 0
    while done < kills:
        for worker in control.ask(run, {"do": "status"})["workers"]:
            pid = worker["pid"]
            if pid is None or not worker["ready"] or dead.get(worker["worker"]) == pid or done >= kills:
                continue
            time.sleep(luck.random() * 0.1)
            os.kill(pid, signal.SIGKILL)
            dead[worker["worker"]] = pid
            done += 1
            if done % 100 == 0:
                print(f"{done} kills", flush=True)
        time.sleep(0.01)


def main() -> None:
    """Play it and tell."""
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--clients", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT / "build" if (ROOT / "build").is_dir() else None) as name:
        folder = Path(name)
        run = folder / ".mainstay" / "run"
        command = [sys.executable, str(Path(__file__)), "--serve", name, str(arguments.workers)]
        server = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
        ledgers = [Ledger() for _ in range(arguments.clients)]
        stop = threading.Event()
        began = time.perf_counter()
        try:
            while not (control.running(run) or {}).get("ready"):
                time.sleep(0.05)
            port = int((control.running(run) or {})["port"])
            threads = [
                threading.Thread(target=ask, args=(port, number, ledger, stop)) for number, ledger in enumerate(ledgers)
            ]
            for thread in threads:
                thread.start()
            kill(run, arguments.kills)
            stop.set()
            for thread in threads:
                thread.join()
        finally:
            stop.set()
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        tell(ledgers, folder / ".mainstay" / "journal", arguments.kills, time.perf_counter() - began)


def tell(ledgers: list[Ledger], journal: Path, kills: int, seconds: float) -> None:
    """Hold what clients were told against the journal."""
    events = []
    cursor: dict[str, int] = {}
    while True:
        more, cursor = Journal(journal).read(cursor, 50_000)
        if not more:
            break
        events += more
    stored = {event.id: event for event in events if event.kind is Kind.PREDICTION}
    counts = Counter(event.id for event in events if event.kind is Kind.PREDICTION)
    labels = {event.feedback.feedback_id for event in events if event.feedback is not None}
    answers = {id_: answer for ledger in ledgers for id_, answer in ledger.answers.items()}
    found = {
        "kills": kills,
        "seconds": round(seconds),
        "acknowledged_predictions": len(answers),
        "missing_predictions": len(answers.keys() - stored.keys()),
        "predictions_stored_twice": sum(count > 1 for count in counts.values()),
        "answers_that_differ": sum(
            id_ in stored and (stored[id_].label, stored[id_].probabilities) != answer
            for id_, answer in answers.items()
        ),
        "stored_and_not_acknowledged": len(stored.keys() - answers.keys()),
        "acknowledged_feedback": sum(len(ledger.labels) for ledger in ledgers),
        "missing_feedback": len(set().union(*(ledger.labels for ledger in ledgers)) - labels),
        "connections_lost": sum(ledger.lost_connections for ledger in ledgers),
        "refused": dict(sum((ledger.refused for ledger in ledgers), Counter())),
    }
    print(json.dumps(found, indent=1))
    if found["missing_predictions"] or found["predictions_stored_twice"] or found["missing_feedback"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
