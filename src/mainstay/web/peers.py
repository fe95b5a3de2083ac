"""Whose process is at the other end of a connection on this machine: on Linux the kernel tells."""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def is_this_user(host: str, port: int) -> bool | None:
    """Return whether the peer of a loopback connection is a process of this user (or of root); None: not known.

    `host` and `port` are the peer's. Known on Linux, from the table of sockets; elsewhere every user of the machine
    counts as this one.
    """
    found = uid_of(host, port)
    return None if found is None else found in (os.getuid(), 0)


def uid_of(host: str, port: int, tables: tuple[str, ...] = TABLES) -> int | None:
    """Return the user whose socket has that local address, None where no table tells."""
    try:
        wanted = {f"{_hex(host)}:{port:04X}", f"{_hex('::ffff:' + host) if '.' in host else _hex(host)}:{port:04X}"}
    except ValueError:
        return None
    for table in tables:
        try:
            lines = Path(table).read_text("ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue
        for line in lines:
            parts = line.split()
            if len(parts) > 7 and parts[1] in wanted:
                return int(parts[7])
    return None


def _hex(host: str) -> str:
    """Return an address as the kernel's tables write it: words in the machine's own order of bytes."""
    packed = ipaddress.ip_address(host).packed
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))
