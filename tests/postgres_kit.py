"""A real PostgreSQL server of the tests' own, which can be stopped, paused and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from mainstay.store.engine import Store
from mainstay.store.tables import METADATA
from mainstay.testing.clock import FakeClock
from ports_kit import free_port

INSTALL = "apt-get install postgresql"


class Postgres:
    """One server; it refuses to run as root, so it runs as nobody there."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        user = {"user": "nobody"} if os.geteuid() == 0 else {}
        self._quiet: dict[str, Any] = {
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "check": True,
            "timeout": 600,
        } | user
        if user:
            shutil.chown(folder, "nobody")
        self._data, self._log, self.port = folder / "data", folder / "log", free_port()
        self._control = [binaries / "pg_ctl", "-D", self._data, "-w", "-t", "300"]
        options = ["-U", "mainstay", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"]
        self.runs = False
        subprocess.run([binaries / "initdb", "-D", self._data, *options], **self._quiet)

    @property
    def address(self) -> str:
        """Return the URL of its first database."""
        return f"postgresql://mainstay@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        subprocess.run([*self._control, "-o", options, "-l", self._log, "start"], **self._quiet)
        self.runs = True

    def stop(self, how: str = "immediate") -> None:
        subprocess.run([*self._control, "-m", how, "stop"], **self._quiet)
        self.runs = False

    def pause(self) -> None:
        """Let it hang: connections are taken by the system, and nothing answers."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._processes():
            os.kill(pid, signal.SIGCONT)

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"t{uuid.uuid4().hex}"
        admin = create_engine(self.address.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        return f"{self.address.rpartition('/')[0]}/{name}"

    def busy(self) -> float:
        """Return the seconds of processor time of its processes so far, those that ended among them (Linux)."""
        first, *rest = (Path(f"/proc/{pid}/stat") for pid in self._processes())
        ticks = sum(int(part) for part in first.read_text().rsplit(")", 1)[1].split()[11:15])
        for stat in rest:
            try:
                ticks += sum(int(part) for part in stat.read_text().rsplit(")", 1)[1].split()[11:13])
            except OSError:
                continue  # it ended between; its time is in its parent's next
        return ticks / os.sysconf("SC_CLK_TCK")

    def _processes(self) -> list[int]:
        """Return the postmaster and its children."""
        first = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(first)], capture_output=True, text=True, check=False)
        return [first, *(int(pid) for pid in told.stdout.split())]


@contextmanager
def running() -> Iterator[Postgres]:
    """Give a server that runs; the test is skipped where PostgreSQL is not installed, except in CI."""
    binaries = _binaries()
    if binaries is None:
        message = f"PostgreSQL is not installed; install it with: {INSTALL}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="mainstay-pg-"))
    try:
        server = Postgres(binaries, folder)
        server.start()
        try:
            yield server
        finally:
            if server.runs:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(url: str, source: Store) -> None:
    """Bring every row of a store into one in an empty database."""
    with closing(Store.open(url, clock=FakeClock())) as to, source.read() as tx, to.begin() as out:
        for table in METADATA.sorted_tables:
            rows = [dict(row._mapping) for row in tx.execute(select(table))]
            if rows:
                out.execute(table.insert(), rows)
            if rows and (counted := table.autoincrement_column) is not None:
                last = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{counted.name}'), max({counted.name}))"
                out.execute(text(f"{last} FROM {table.name}"))


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return places[0].parent if places else Path(found).resolve().parent if found else None
