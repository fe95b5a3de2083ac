"""A supervisor over a "store" that is one JSON file: `serving_host.py FOLDERS PORT WORKERS DURABILITY [KEY=VALUE…]`.

Folders are parted by commas; of several, each is a project whose model has the folder's name. However slow the
machine is, nobody is turned away and no model given up for it, unless a test says so by `max_wait_ms`, `deadline_ms`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mainstay.config.clocks import SystemClock
from mainstay.config.settings import Settings
from mainstay.core.calls import Minute
from mainstay.core.errors import StoreUnavailable
from mainstay.core.routes import Route
from mainstay.serve.member import Member
from mainstay.serve.route_keeper import Override
from mainstay.serve.supervisor import Supervisor
from mainstay.store import call_counts
from mainstay.store.engine import Store

PATIENT = {"max_wait_ms": "60000", "deadline_ms": "60000"}


class FileStore:
    """The routes in FOLDER/routes.json; away while FOLDER/away exists."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "routes.json"
        self.away = folder / "away"

    def routes(self) -> Sequence[Route]:
        if self.away.exists():
            raise StoreUnavailable("the store is away")
        return msgspec.json.decode(self.path.read_bytes(), type=list[Route]) if self.path.exists() else []

    def override(self, override: Override) -> Route:
        before = max((route.epoch for route in self.routes()), default=0)
        route = replace(override.route, epoch=max(before, override.route.epoch) + 1)
        draft = self.path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode([route]))
        draft.replace(self.path)
        return route


def member(folder: Path, name: str, serve: dict[str, Any]) -> Member:
    store = FileStore(folder)
    log = {"segment_mb": 1, **serve.pop("log", {})}
    settings = Settings.model_validate({"project": {"name": name}, "serve": serve, "log": log})
    return Member(
        settings=settings,
        root=folder,
        route_source=store.routes,
        on_override=store.override,
        keep_counts=partial(keep_counts, folder),
    )


def keep_counts(folder: Path, minutes: Sequence[Minute]) -> None:
    kept = Store.open(f"sqlite:///{folder}/store.db", clock=SystemClock())
    with kept.begin() as tx:
        call_counts.put(tx, minutes)
    kept.close()


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    folders, port, workers, durability = sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    given = (pair.split("=", 1) for pair in sys.argv[5:])
    more = {name: json.loads(value) if value.startswith("{") else value for name, value in given}
    serve = {"port": port, "workers": workers, "durability": durability, **PATIENT, **more}
    names = ["weather"] if len(folders) == 1 else [Path(folder).name for folder in folders]
    members = [member(Path(folder), name, dict(serve)) for folder, name in zip(folders, names, strict=True)]
    Supervisor(members, clock=SystemClock()).run()


if __name__ == "__main__":
    main()
