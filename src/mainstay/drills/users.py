"""A crowd of users as a process of its own: it knows an address and requests, and no truth.

Run as `python -m mainstay.drills.users URL FILE OUT --rate 40`: FILE holds one JSON object a line, `{"id", "key",
"inputs"}`; OUT gets one line an answer, `{"id", "status", "answer", "ms"}`, as it arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec

MOST_AT_ONCE = 16


async def send_all(url: str, requests: list[dict[str, Any]], out: Path, *, rate: float) -> int:
    """Send each request at its time (`rate` a second), write each answer down; return how many were not 200."""
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    loop = asyncio.get_running_loop()
    failed = 0
    with out.open("ab", buffering=0) as sink:
        async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
            began = loop.time()

            async def one(number: int, request: dict[str, Any]) -> None:
                nonlocal failed
                await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
                async with gate:
                    line = await _ask(client, url, request, loop)
                failed += line["status"] != 200
                sink.write(msgspec.json.encode(line) + b"\n")

            await asyncio.gather(*(one(number, request) for number, request in enumerate(requests)))
    return failed


async def _ask(
    client: httpx.AsyncClient, url: str, request: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> dict[str, Any]:
    start = loop.time()
    line: dict[str, Any] = {"id": request["id"], "status": 0, "answer": None}
    try:
        response = await client.post(url, json={"instances": [request]})
        line["status"] = response.status_code
        if response.status_code == 200:
            line["answer"] = response.json()["predictions"][0]
    except httpx.HTTPError as error:
        line["error"] = f"{type(error).__name__}: {error}"
    return line | {"ms": round((loop.time() - start) * 1000, 3)}


def main() -> int:
    """Read the arguments, send, return 0 also when answers failed: users report, they do not judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    arguments = parser.parse_args()
    requests = [msgspec.json.decode(line) for line in arguments.file.read_bytes().splitlines() if line.strip()]
    asyncio.run(send_all(arguments.url, requests, arguments.out, rate=arguments.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
