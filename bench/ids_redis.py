"""What ids across hosts cost: the two round trips of a batch, over a Redis on loopback.

    .venv/bin/python bench/ids_redis.py        # needs redis-server

For batches of 1, 32 and 256 new ids: median wall time and processor time of this process, µs for the batch and per id.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time

from mainstay.serve.shared_ids import RedisPipes

ROUNDS = 300


def main() -> None:
    """Measure and print a table."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not _listens(port):
                time.sleep(0.02)
            pipes = RedisPipes(f"redis://127.0.0.1:{port}/0", "bench")
            sys.stdout.write("ids  wall µs  processor µs  wall µs per id\n")
            for count in (1, 32, 256):
                wall, own = _measure(pipes, count)
                sys.stdout.write(f"{count:3}  {wall:7.0f}  {own:12.0f}  {wall / count:14.1f}\n")
        finally:
            server.terminate()
            server.wait()


def _measure(pipes: RedisPipes, count: int) -> tuple[float, float]:
    walls, owns = [], []
    for number in range(ROUNDS):
        keys = [f"bench:{count}:{number}:{place}" for place in range(count)]
        claims = dict.fromkeys(keys, b"c" * 90)
        began, used = time.perf_counter(), time.process_time()
        pipes.claim(keys, claims, 10_000)
        pipes.settle([(key, claims[key], b"a" * 400) for key in keys], 60_000)
        walls.append(time.perf_counter() - began)
        owns.append(time.process_time() - used)
    return 1e6 * statistics.median(walls), 1e6 * statistics.median(owns)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
