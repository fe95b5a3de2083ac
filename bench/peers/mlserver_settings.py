"""The settings files that MLServer starts from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(folder: Path, *, port: int, workers: int, batch: int) -> None:
    """Write them; `batch` above 1 switches its adaptive batching on."""
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": workers if workers > 1 else 0,
        "debug": False,
    }
    model: dict[str, Any] = {"name": "bench", "implementation": "peers.mlserver_model.Model"}
    if batch > 1:
        model |= {"max_batch_size": batch, "max_batch_time": 0.01}
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
