"""Who is measured in bench/serving.py, and how each is started and asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = HERE.parent / "build" / "peers"
CONNECTIONS = (1, 32, 256)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to serve."""

    name: str
    path: str
    command: Callable[[int, Path, int], list[str]]
    """(port, folder of the model, workers) -> what to start."""
    body: Callable[[dict[str, Any]], dict[str, Any]]
    """Inputs -> request body."""
    workers: tuple[int, ...] = (1,)
    ready: str = ""
    """Path that answers 200 when it is up; else the request itself is tried."""
    connections: tuple[int, ...] = CONNECTIONS
    peer: str | None = None
    """Its environment under build/peers; None: ours."""

    def is_installed(self) -> bool:
        """Return whether its environment is there."""
        return self.peer is None or (PEERS / self.peer / "bin" / "python").exists()


def uvicorn(app: str) -> Callable[[int, Path, int], list[str]]:
    """Return how to start an ASGI service."""
    fixed = ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log"]

    def command(port: int, _folder: Path, workers: int) -> list[str]:
        return [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--workers", str(workers), *fixed]

    return command


def mainstay(durability: str) -> Callable[[int, Path, int], list[str]]:
    """Return how to start Mainstay."""

    def command(port: int, folder: Path, workers: int) -> list[str]:
        return [sys.executable, str(HERE / "serving.py"), "--serve", str(folder), str(port), str(workers), durability]

    return command


def mlflow(port: int, folder: Path, workers: int) -> list[str]:
    """Return how to start MLflow's own server."""
    where = ["-m", str(folder / "mlflow"), "-p", str(port), "-w", str(workers), "--env-manager", "local"]
    return [sys.executable, "-m", "mlflow", "models", "serve", *where]


def python_of(peer: str) -> str:
    """Return the interpreter of a peer's environment."""
    return str(PEERS / peer / "bin" / "python")


def mlserver(batch: int) -> Callable[[int, Path, int], list[str]]:
    """Return how to start MLServer."""

    def command(port: int, folder: Path, workers: int) -> list[str]:
        from peers.mlserver_settings import write

        place = folder / f"mlserver-{batch}"
        write(place, port=port, workers=workers, batch=batch)
        return [str(PEERS / "mlserver" / "bin" / "mlserver"), "start", str(place)]

    return command


def bentoml(service: str) -> Callable[[int, Path, int], list[str]]:
    """Return how to start BentoML."""

    def command(port: int, _folder: Path, _workers: int) -> list[str]:
        where = ["--port", str(port), "--host", "127.0.0.1", "--do-not-track", "-q"]
        return [python_of("bentoml"), "-m", "bentoml", "serve", f"peers.bentoml_service:{service}", *where]

    return command


def litserve(batch: int) -> Callable[[int, Path, int], list[str]]:
    """Return how to start LitServe."""

    def command(port: int, _folder: Path, workers: int) -> list[str]:
        return [python_of("litserve"), str(HERE / "peers" / "litserve_service.py"), str(port), str(workers), str(batch)]

    return command


def ray(port: int, _folder: Path, workers: int) -> list[str]:
    """Return how to start Ray Serve."""
    return [python_of("ray"), str(HERE / "peers" / "ray_service.py"), str(port), str(workers)]


def open_inference(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the Open Inference Protocol's request for one row."""
    if "text" in inputs:
        tensor: dict[str, Any] = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [inputs["text"]]}
    else:
        values = list(inputs.values())
        tensor = {"name": "row", "shape": [1, len(values)], "datatype": "FP64", "data": values}
    return {"inputs": [tensor]}


def _own(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": inputs}


CONTESTANTS = (
    Contestant(
        name="mainstay",
        path="/v1/predict",
        command=mainstay("fsync"),
        body=lambda inputs: {"instances": [{"inputs": inputs}]},
        workers=(1, 2),
        ready="/readyz",
    ),
    Contestant(
        name="mainstay_os",
        path="/v1/predict",
        command=mainstay("os"),
        body=lambda inputs: {"instances": [{"inputs": inputs}]},
        ready="/readyz",
    ),
    Contestant(
        name="fastapi_async", path="/predict", command=uvicorn("peers.fastapi_async:app"), body=_own, workers=(1, 2)
    ),
    Contestant(name="fastapi_sync", path="/predict", command=uvicorn("peers.fastapi_sync:app"), body=_own),
    Contestant(name="fastapi_sqlite", path="/predict", command=uvicorn("peers.fastapi_sqlite:app"), body=_own),
    Contestant(
        name="mlflow",
        path="/invocations",
        command=mlflow,
        body=lambda inputs: {"dataframe_records": [inputs]},
        ready="/ping",
        workers=(1, 2),
    ),
    Contestant(
        name="mlserver",
        path="/v2/models/bench/infer",
        command=mlserver(1),
        body=open_inference,
        ready="/v2/models/bench/ready",
        peer="mlserver",
    ),
    Contestant(
        name="mlserver_batching",
        path="/v2/models/bench/infer",
        command=mlserver(64),
        body=open_inference,
        ready="/v2/models/bench/ready",
        peer="mlserver",
    ),
    Contestant(name="bentoml", path="/predict", command=bentoml("Plain"), body=_own, peer="bentoml"),
    Contestant(
        name="bentoml_batching",
        path="/predict",
        command=bentoml("Batching"),
        body=lambda inputs: {"inputs": [inputs]},
        peer="bentoml",
    ),
    Contestant(name="litserve", path="/predict", command=litserve(1), body=_own, peer="litserve"),
    Contestant(name="litserve_batching", path="/predict", command=litserve(64), body=_own, peer="litserve"),
    Contestant(name="ray_serve", path="/predict", command=ray, body=_own, peer="ray"),
    Contestant(name="limit_asgi_model", path="/predict", command=uvicorn("peers.limits:asgi_batching"), body=_own),
    Contestant(name="limit_asgi", path="/predict", command=uvicorn("peers.limits:asgi_nothing"), body=_own),
    Contestant(name="limit_fastapi", path="/predict", command=uvicorn("peers.limits:fastapi_nothing"), body=_own),
)
