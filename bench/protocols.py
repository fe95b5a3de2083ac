"""What a row costs by each protocol: rows a second, and the worker's processor time per row; loopback, about 30 s.

`python bench/protocols.py [--rows 20000] [--mb 50]`

One client that sends one request after the other, 100 rows in each (NDJSON: all rows in one body), to one worker with a
compiled text model and durability fsync. Processor time is what compares: rows a second include this client. At the end
one NDJSON body of `--mb` MB, and what memory the worker had at most.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]
from serve_quick import WORDS, make_bundle  # noqa: E402

ROWS = 100


def texts(first: int, count: int) -> list[str]:
    return [" ".join(WORDS[(n * 7 + k * k) % len(WORDS)] for k in range(9)) for n in range(first, first + count)]


def own(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    body = {"instances": [{"inputs": {"text": text}} for text in rows]}
    return "/v1/predict", json.dumps(body).encode(), {"content-type": "application/json"}


def lines(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    body = b"\n".join(json.dumps({"inputs": {"text": text}}).encode() for text in rows)
    return "/v1/predict", body, {"content-type": "application/x-ndjson"}


def tensors(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(rows)], "data": rows}
    return "/v2/models/weather/infer", json.dumps({"inputs": [tensor]}).encode(), {"content-type": "application/json"}


def raw(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    data = b"".join(struct.pack("<I", len(one)) + one for one in (text.encode() for text in rows))
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(rows)], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return "/v2/models/weather/infer", head + data, {"inference-header-content-length": str(len(head))}


def split(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    body = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in rows]}}
    return "/invocations", json.dumps(body).encode(), {"content-type": "application/json"}


def sheet(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    return "/invocations", "\n".join(["text", *rows]).encode(), {"content-type": "text/csv"}


def events(rows: list[str]) -> tuple[str, bytes, dict[str, str]]:
    body = {"events": [{"inputs": {"text": text}, "label": "warm", "confidence": 0.7} for text in rows]}
    return "/v1/events", json.dumps(body).encode(), {"content-type": "application/json"}


WAYS = {
    "own JSON": own,
    "NDJSON": lines,
    "Open Inference, JSON": tensors,
    "Open Inference, raw": raw,
    "MLflow, dataframe_split": split,
    "SageMaker, CSV": sheet,
    "events": events,
}


def seconds_of(pid: int) -> float:
    """Return the processor time of a process so far (seconds)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def most_mb(pid: int) -> float:
    """Return the most memory that a process had so far (MB)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def told(folder: Path) -> Any:
    state = folder / ".mainstay" / "run" / "serve.json"
    while not (state.exists() and (found := json.loads(state.read_bytes()))["ready"]):
        time.sleep(0.05)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument("--mb", type=int, default=50)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "digest").write_text(make_bundle(folder / ".mainstay" / "bundles"))
        call = f"host(Path({name!r}), workers=1, durability='fsync')"
        code = f"from pathlib import Path; from serve_quick import host; {call}"
        environ = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'bench'}"}
        host = subprocess.Popen([sys.executable, "-c", code], env=environ)
        try:
            found = told(folder)
            pid = found["workers"][0]["pid"]
            with httpx.Client(base_url=f"http://127.0.0.1:{found['port']}", timeout=300) as client:
                for way, make in WAYS.items():
                    measure(client, pid, way, make, asked.rows)
                before = most_mb(pid)
                path, body, headers = lines([f"snow {'x' * 180} {n}" for n in range(asked.mb * 4800)])
                began = time.perf_counter()
                answers = client.post(path, content=body, headers=headers).content.count(b"\n")
                took = time.perf_counter() - began
                size = len(body) / 1e6
                memory = f"{before:.0f} -> {most_mb(pid):.0f} MB"
                print(f"one NDJSON body: {size:.0f} MB, {answers} lines in {took:.1f} s, most memory {memory}")
        finally:
            host.terminate()
            host.wait(30)


def measure(client: httpx.Client, pid: int, way: str, make: Any, rows: int) -> None:
    each = rows if make is lines else ROWS
    calls = [make(texts(first, each)) for first in range(0, rows, each)]
    client.post(calls[0][0], content=calls[0][1], headers=calls[0][2]).raise_for_status()
    cpu, began = seconds_of(pid), time.perf_counter()
    for path, body, headers in calls:
        client.post(path, content=body, headers=headers).raise_for_status()
    took = time.perf_counter() - began
    print(f"{way:<26} {rows / took:>8.0f} rows/s {(seconds_of(pid) - cpu) / rows * 1e6:>6.1f} µs/row")


if __name__ == "__main__":
    main()
