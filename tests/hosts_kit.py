"""Project folders with a real server over them: bundles, the store that is a file, and what the server tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.events import Kind
from mainstay.core.routes import BundleRef, Route
from mainstay.journal.read import Journal
from mainstay.testing.models import WordModel, make_bundle

HOST = Path(__file__).parent / "integration" / "serving_host.py"
SOURCES = Path(__file__).parents[1] / "src"


class House:
    """One project's folder and the store that the server follows for it."""

    def __init__(self, folder: Path, model: str = "") -> None:
        folder.mkdir()
        self.folder, self.model = folder, model or folder.name
        self.state = folder / ".mainstay"
        self.run, self.journal = self.state / "run", self.state / "journal"
        self.epoch = 0

    def bundle(self, version: int, certainty: float = 0.9) -> BundleRef:
        made = make_bundle(self.state / "bundles", WordModel(certainty=certainty), lineage={"version": version})
        return BundleRef(version=version, digest=made.digest)

    def route(self, champion: BundleRef, **changes: Any) -> None:
        self.epoch += 1
        route = Route(model=self.model, epoch=self.epoch, champion=champion, **changes)
        draft = self.folder / "routes.draft"
        draft.write_bytes(msgspec.json.encode([route]))
        draft.replace(self.folder / "routes.json")

    def told(self) -> dict[str, Any]:
        path = self.run / "serve.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def ids(self) -> list[str]:
        found, _ = Journal(self.journal).read({}, 100_000)
        return sorted(event.id for event in found if event.kind is Kind.PREDICTION)
