"""Processor time of one answered and of one turned-away request, in µs: `python bench/shed_cost.py`, 10 s, with wrk.

The word model of the tests, one row a request, 16 connections, nothing waits for a disk.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
SCRIPT = """wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"instances":[{"inputs":{"text":"snow day"}}]}'
"""


def cost_us(port: int, script: Path, seconds: int) -> float:
    """Return the processor time of this process for one request."""
    began = time.process_time()
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/v1/predict"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return 1e6 * (time.process_time() - began) / int(told.partition(" requests in")[0].split()[-1])


def main() -> None:
    """Measure and print."""
    from api_kit import listening
    from mainstay.serve.pending import Pending

    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "post.lua"
        script.write_text(SCRIPT)
        with listening(Path(name)) as port:
            cost_us(port, script, 1)
            print(f"answered     {cost_us(port, script, 4):6.1f} us")
            Pending.crowded = True  # type: ignore[assignment,method-assign]
            print(f"turned away  {cost_us(port, script, 4):6.1f} us")


if __name__ == "__main__":
    main()
