"""The runner processes of a project on this machine, as its workers told of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mainstay.serve import plan as plans
from mainstay.status.records import RunnerProcess


def of(run: Path, model: str) -> tuple[RunnerProcess, ...]:
    """Return the runners that the workers' state files name, by worker and bundle; none while nobody serves."""
    found = []
    for path in sorted(run.glob("worker-*.json")):
        if path.name.endswith(".plan.json"):
            continue
        told = plans.read_json(path) or {}
        for runner in told.get("models", {}).get(model, {}).get("runners", ()):
            found += list(_seats(str(told.get("worker", "")), runner))
    return tuple(found)


def _seats(worker: str, runner: Mapping[str, Any]) -> Iterator[RunnerProcess]:
    for name, seat in runner["seats"].items():
        yield RunnerProcess(
            worker=worker,
            bundle=runner["bundle"],
            seat=name,
            state="left alone" if seat["circuit"] == "open" else seat["state"],
            pid=seat["pid"],
            rss_mb=seat["rss_mb"],
            ends=dict(seat["ends"]),
            last_end=seat["last_end"],
            python=runner["python"],
            differences=tuple(runner["differences"]),
        )
