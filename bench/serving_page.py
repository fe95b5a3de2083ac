"""What bench/serving.py measured, as the table in docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- serving: written by bench/serving.py -->", "<!-- end of serving -->"
CONNECTIONS = (1, 32, 256)
TITLES = {
    "mainstay": "**Mainstay**, everything on, fsync",
    "mainstay_os": "Mainstay, durability `os`",
    "mainstay_again": "Mainstay once more, at the end",
    "fastapi_async": "FastAPI by hand, async",
    "fastapi_sync": "FastAPI by hand, sync",
    "fastapi_sqlite": "FastAPI and one durable SQLite insert a request",
    "mlflow": "MLflow `models serve`",
    "mlserver": "MLServer",
    "mlserver_batching": "MLServer, adaptive batching",
    "bentoml": "BentoML",
    "bentoml_batching": "BentoML, batching",
    "litserve": "LitServe",
    "litserve_batching": "LitServe, batching",
    "ray_serve": "Ray Serve",
    "limit_asgi_model": "limit: bare ASGI with this model, batching, nothing kept",
    "limit_asgi": "limit: bare ASGI doing nothing",
    "limit_fastapi": "limit: FastAPI doing nothing",
}
Row = Mapping[str, Any]


def table(found: Sequence[Row], *, sync_ms: float, seconds: float) -> str:
    """Return Markdown: for each model one line for each server and number of workers."""
    lines = [f"Runs of {seconds:g} s; a bare fdatasync of 1 kB took {sync_ms:.2f} ms.", ""]
    for kind in dict.fromkeys(row["model"] for row in found):
        lines += [
            f"Model `{kind}`: requests/s, p50, p99; × how many times more Mainstay answers with one worker.",
            "",
            "| | workers | 1 connection | × | 32 connections | × | 256 connections | × | failed | memory | cold |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        mine = [row for row in found if row["model"] == kind]
        for name, workers in dict.fromkeys((row["name"], row["workers"]) for row in mine):
            lines.append(_line(name, workers, mine))
        lines.append("")
    return "\n".join(lines)


def _line(name: str, workers: int, rows: Sequence[Row]) -> str:
    its = {row["connections"]: row for row in rows if (row["name"], row["workers"]) == (name, workers)}
    ours = {row["connections"]: row for row in rows if (row["name"], row["workers"]) == ("mainstay", 1)}
    cells = [TITLES.get(name, name), str(workers)]
    for connections in CONNECTIONS:
        row, mine = its.get(connections), ours.get(connections)
        if row is None:
            cells += ["", ""]
            continue
        cells.append(f"{row['requests_per_s']:,.0f}/s, {_ms(row['p50_ms'])}, {_ms(row['p99_ms'])} ms")
        rate = row["requests_per_s"]
        cells.append(f"{mine['requests_per_s'] / rate:.1f}" if mine is not None and rate > 0 else "")
    last = list(its.values())[-1]
    failed = sum(int(row["errors"]) for row in its.values())
    cells += [str(failed), f"{last['rss_mb']:.0f} MB", f"{last['cold_start_s']:.1f} s"]
    return f"| {' | '.join(cells)} |"


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def write(page: Path, text: str, *, begin: str = BEGIN, end: str = END) -> None:
    """Put a table in its place in the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no place for the table: {begin} … {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
