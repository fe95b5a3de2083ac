"""What a driver needs to play users against a running project: requests, processes, labels, scores."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from mainstay.core import errors
from mainstay.core.ports import Clock
from mainstay.stats import intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One request with its truth; the truth never leaves the driver but as feedback."""

    id: str
    key: str
    inputs: dict[str, Any]
    truth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Accuracy on one set of messages."""

    right: int
    total: int

    @property
    def accuracy(self) -> float:
        """Return the share of right answers."""
        return self.right / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson interval."""
        return intervals.wilson(self.right, self.total)

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        low, high = self.interval
        return {"accuracy": self.accuracy, "low": low, "high": high, "right": self.right, "total": self.total}


def read_messages(file: Path, *, target: str, prefix: str, key: str, whole: Collection[str]) -> list[Message]:
    """Read a CSV file of labelled messages; columns named in `whole` become integers."""
    messages = []
    with file.open(newline="", encoding="utf-8") as source:
        for number, row in enumerate(csv.DictReader(source)):
            inputs: dict[str, Any] = {
                name: int(value) if name in whole else value for name, value in row.items() if name != target and value
            }
            who = str(inputs.get(key, f"{prefix}-{number}"))
            messages.append(Message(id=f"{prefix}-{number}", key=who, inputs=inputs, truth=row[target]))
    return messages


class Crowd:
    """Starts crowds of users as processes of their own and collects what they were answered."""

    def __init__(self, folder: Path, url: str, *, clock: Clock, rate: float) -> None:
        self.folder, self.url, self.clock, self.rate = folder, url, clock, rate
        folder.mkdir(parents=True, exist_ok=True)

    def start(
        self, name: str, messages: Sequence[Message], *, rate: float | None = None
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start sending; the process is told ids, keys and inputs, and no truth."""
        requests, answers = self.folder / f"{name}.requests", self.folder / f"{name}.answers"
        lines = [msgspec.json.encode({"id": m.id, "key": m.key, "inputs": m.inputs}) for m in messages]
        requests.write_bytes(b"\n".join(lines) + b"\n")
        answers.write_bytes(b"")
        argv = [sys.executable, "-m", "mainstay.drills.users", self.url, str(requests), str(answers)]
        return subprocess.Popen([*argv, "--rate", str(rate or self.rate)]), answers

    def send(self, name: str, messages: Sequence[Message], *, rate: float | None = None) -> list[dict[str, Any]]:
        """Send all and return the answers."""
        process, answers = self.start(name, messages, rate=rate)
        process.wait(timeout=600)
        return read_answers(answers)


def read_answers(file: Path) -> list[dict[str, Any]]:
    """Return the complete lines written so far."""
    data = file.read_bytes()
    return [msgspec.json.decode(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def score(messages: Sequence[Message], answers: Sequence[Mapping[str, Any]]) -> Score:
    """Return the accuracy of the answers; an unanswered message counts as wrong."""
    truth = {m.id: m.truth for m in messages}
    right = sum(1 for a in answers if a["status"] == 200 and a["answer"]["label"] == truth.get(a["id"]))
    return Score(right=right, total=len(messages))


def give_labels(url: str, messages: Sequence[Message], *, target: str, by: str, clock: Clock) -> int:
    """Post the truth of these messages as feedback; return how many were taken (stored, duplicate or waiting)."""
    taken = 0
    with httpx.Client(timeout=30.0, trust_env=False) as client:
        for start in range(0, len(messages), 50):
            items = [
                {
                    "id": m.id,
                    "feedback_id": f"f-{m.id}",
                    "kind": "label",
                    "name": target,
                    "value": m.truth,
                    "at": clock.now().isoformat(),
                    "by": by,
                }
                for m in messages[start : start + 50]
            ]
            response = client.post(url, json={"items": items})
            response.raise_for_status()
            taken += sum(1 for result in response.json()["results"] if result["status"] != "refused")
    return taken


def wait_until(
    check: Callable[[], Any],
    *,
    seconds: float,
    clock: Clock,
    what: str,
    every: float = 0.25,
    tick: Callable[[], None] | None = None,
) -> Any:
    """Return the first true result of `check`.

    Raises:
        DrillMissed: it did not become true in time.
    """
    deadline = clock.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if clock.monotonic() >= deadline:
            raise errors.DrillMissed(f"{what} did not happen within {seconds:.0f} s")
        if tick is not None:
            tick()
        clock.sleep(every)


class Running:
    """A `mainstay up` of our own: started, watched, and ended by its process id."""

    def __init__(self, project: Path, environ: Mapping[str, str], log: Path) -> None:
        self._log = log.open("wb")
        argv = [sys.executable, "-m", "mainstay", "up", "--project", str(project)]
        self.process = subprocess.Popen(
            argv, env={**os.environ, **environ}, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Ask it to end, wait, and end it for good if it does not."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(timeout=10)
        self._log.close()
