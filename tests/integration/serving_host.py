"""A supervisor over a "store" that is one JSON file: `serving_host.py FOLDER PORT WORKERS DURABILITY [KEY=VALUE…]`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from mainstay.config.clocks import SystemClock
from mainstay.config.settings import Settings
from mainstay.core.errors import StoreUnavailable
from mainstay.core.routes import Route
from mainstay.serve.route_keeper import Override
from mainstay.serve.supervisor import Supervisor


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


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    folder, port, workers, durability = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    more = dict(pair.split("=", 1) for pair in sys.argv[5:])
    store = FileStore(folder)
    settings = Settings.model_validate(
        {
            "project": {"name": "weather"},
            "serve": {"port": port, "workers": workers, "durability": durability, **more},
            "log": {"segment_mb": 1},
        }
    )
    Supervisor(settings, folder, route_source=store.routes, on_override=store.override, clock=SystemClock()).run()


if __name__ == "__main__":
    main()
