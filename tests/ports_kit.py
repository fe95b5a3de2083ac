"""Ports for programs that must be told one before they bind it, which nobody else on this machine is handed meanwhile.

The system hands out ports of its ephemeral range to every connection that is made and to every server that asks for
any: one found free there may be taken when the program binds it. These lie below, a stretch for each process of tests.
"""

from __future__ import annotations

import os
import re
import socket
from itertools import count

FIRST, STRETCH, STRETCHES = 12_000, 1_000, 20
_process = int((re.findall(r"\d+", os.environ.get("PYTEST_XDIST_WORKER", "")) or [os.getpid()])[0])
_numbers = count(os.getpid() % STRETCH)


def free_port() -> int:
    """Return a port of loopback that nobody listens on, another one with each call."""
    for _ in range(STRETCH):
        port = FIRST + _process % STRETCHES * STRETCH + next(_numbers) % STRETCH
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")
