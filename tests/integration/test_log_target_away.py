"""PostgreSQL stopped, hanging and back, and a disk that is full: answers or 503, and nothing is lost or twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from live_kit import Customer, Running, acknowledged, check_journal, until
from loop_kit import MODEL, Shop
from mainstay.config import clocks
from mainstay.core import errors
from mainstay.store import blocks, feedback, heartbeats, states
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import turn as watching
from postgres_kit import Postgres, fill, running

CUSTOMERS = ("a", "b")


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    made = trained_shop.copy(tmp_path / "shop", clock=FakeClock(datetime.now(UTC)))
    file = made.folder / "mainstay.toml"
    file.write_text(file.read_text().replace('"rows:60"', "") + "[log]\nsegment_mb = 1\n")
    yield made
    made.close()


@contextmanager
def under_load(serving: Running) -> Iterator[list[Customer]]:
    customers = [Customer(name, serving.url, rows=50, pause_s=0.1) for name in CUSTOMERS]
    for customer in customers:
        customer.start()
    try:
        yield customers
        for customer in customers:
            customer.stop.set()
            customer.join()
        assert [customer.wrong for customer in customers] == [[], []]
    finally:
        for customer in customers:
            customer.stop.set()
            customer.join()
        serving.kill()


def goes_on(customers: list[Customer], *, answers: int = 300) -> None:
    """Wait until so many more answers were acknowledged, without one call that was refused."""
    before, refused = len(acknowledged(customers)[0]), [one.refused for one in customers]
    until(lambda: len(acknowledged(customers)[0]) >= before + answers or any(one.wrong for one in customers))
    assert [one.refused for one in customers] == refused
    assert [one.wrong for one in customers] == [[], []]


def all_taken(store: Store, labelled: set[str]) -> bool:
    with store.read() as tx:
        return labelled <= {one.feedback_id for one in feedback.labels(tx, MODEL, limit=1_000_000)}


def check_store(store: Store, labelled: set[str], predictions: int) -> None:
    """Check that every acknowledged label is in the store once, and each prediction in one block or waiting for one."""
    until(lambda: all_taken(store, labelled))
    until(lambda: summed(store) >= predictions)
    assert summed(store) == predictions
    with store.read() as tx:
        assert feedback.count(tx, MODEL) == len(labelled)
        numbers = [(one.bundle, one.number) for one in blocks.blocks(tx, MODEL, limit=100_000)]
    assert len(set(numbers)) == len(numbers)
    assert store.integrity() == []


def summed(store: Store) -> int:
    with store.read() as tx:
        head = states.get(tx, watching.consumer(MODEL))
        waiting = int(head[0]["waiting"]) if head is not None else 0
        return waiting + sum(one.rows for one in blocks.blocks(tx, MODEL, limit=100_000))


def failed(store: Store) -> dict[str, str]:
    with store.read() as tx:
        beat = next(one for one in heartbeats.all_(tx) if one.name == "loop")
    return dict(beat.detail["failed"])


@pytest.mark.slow
def test_answers_go_on_while_postgresql_is_stopped_or_hangs_and_everything_arrives_once(shop: Shop) -> None:
    with running() as server:
        url = server.new_database()
        fill(url, shop.parts().store)
        with (shop.folder / "mainstay.toml").open("a") as file:
            file.write(f'[store]\nurl = "{url}"\n')
        serving = Running(shop.folder)
        with under_load(serving) as customers:
            goes_on(customers)
            server.stop()
            until(lambda: serving.told()["store"] != "ok")
            goes_on(customers)
            server.start()
            until(lambda: serving.told()["store"] == "ok")
            goes_on(customers)
            hangs(server, customers)
            goes_on(customers)
            pids = [process.pid for process in serving.processes], workers(serving)
            for customer in customers:
                customer.stop.set()
                customer.join()
            answered, labelled = acknowledged(customers)
            count = check_journal(shop.state / "journal", answered)
            store = Store.open(url, clock=clocks.SystemClock())
            try:
                check_store(store, labelled, count)
                assert failed(store) == {}
            finally:
                store.close()
            assert sum(one.refused + one.cut_off for one in customers) == 0
            # Nothing was started again for it.
            assert pids == ([process.pid for process in serving.processes], workers(serving))
            assert [process.poll() for process in serving.processes] == [None, None]


def hangs(server: Postgres, customers: list[Customer]) -> None:
    server.pause()
    try:
        goes_on(customers)
        time.sleep(2)
        goes_on(customers)
    finally:
        server.resume()


def workers(serving: Running) -> list[tuple[int, int]]:
    return [(one["pid"], one["restarts"]) for one in serving.told()["workers"]]


def children(serving: Running) -> list[int]:
    """Return the worker processes as the system knows them: on a full disk the server cannot write what it says."""
    told = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(serving.processes[0].pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in told.stdout.split()]


class SmallDisk:
    """A disk of 48 MB over a state folder, in a mount namespace of its own; ext4 where loop devices can be used."""

    def __init__(self, state: Path, folder: Path) -> None:
        self._folder = folder
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(48_000_000)
        saved = folder / "saved"
        shutil.copytree(state, saved)
        script = (
            f"mkfs.ext4 -q -m 0 {image} 2>/dev/null && mount -o loop {image} {state} 2>/dev/null"
            f" || mount -t tmpfs -o size=48m tmpfs {state} || exit 9;"
            f" cp -a {saved}/. {state}/ && echo ready && exec sleep 600"
        )
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != "ready\n":
            self.close()
            pytest.skip("this user may not mount a small disk (unshare -m)")
        self.within = ["nsenter", "-t", str(self.holder.pid), "-m", f"--wd={folder}"]
        self.state = Path(f"/proc/{self.holder.pid}/root{state}")

    def fill(self) -> None:
        """Fill it to the last block."""
        handle = os.open(self.state / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        os.write(handle, b"x" * size)
        finally:
            os.close(handle)

    def free(self) -> None:
        (self.state / "ballast").unlink()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open a copy of the store: SQLite would follow the path out of the namespace."""
        copy = self._folder / "store.db"
        copy.write_bytes((self.state / "store.db").read_bytes())
        opened = Store.open(f"sqlite:///{copy}", clock=clocks.SystemClock())
        try:
            yield opened
        finally:
            opened.close()

    def all_taken(self, labelled: set[str], predictions: int) -> bool:
        """Return whether the loop has taken everything in; a copy made in the middle of a write says nothing."""
        with suppress(errors.EnvironmentFault), self.store() as store:
            return all_taken(store, labelled) and summed(store) >= predictions
        return False

    def close(self) -> None:
        self.holder.kill()
        self.holder.wait()
        assert self.holder.stdout is not None
        self.holder.stdout.close()


@pytest.mark.slow
def test_a_full_disk_is_503_with_retry_after_and_what_was_acknowledged_is_there_once(
    shop: Shop, tmp_path: Path
) -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root alone")
    (tmp_path / "disk").mkdir()
    disk = SmallDisk(shop.state, tmp_path / "disk")
    try:
        serving = Running(shop.folder, within=disk.within, state=disk.state)
        with under_load(serving) as customers:
            goes_on(customers)
            for killed in (False, True):
                disk.fill()
                # First the room that the journal took beforehand is used up.
                until(lambda: all(refused_lately(customer) for customer in customers))
                before = len(acknowledged(customers)[0])
                time.sleep(1)
                disk.fill()
                until(lambda: all(refused_lately(customer) for customer in customers))
                assert len(acknowledged(customers)[0]) >= before
                if killed:
                    # A worker that dies now is started again on the full disk, and refuses like the one before.
                    [pid] = children(serving)
                    os.kill(pid, signal.SIGKILL)
                    until(lambda: children(serving) not in ([], [pid]))  # noqa: B023 - at once
                    until(lambda: all(refused_lately(customer) for customer in customers))
                pids = children(serving)
                disk.free()
                goes_on_after_all(customers)
                assert children(serving) == pids
            for customer in customers:
                customer.stop.set()
                customer.join()
            answered, labelled = acknowledged(customers)
            count = check_journal(disk.state / "journal", answered)
            until(lambda: disk.all_taken(labelled, count))
            assert [process.poll() for process in serving.processes] == [None, None]
            serving.stop()
            with disk.store() as store:
                check_store(store, labelled, count)
                assert failed(store) == {}
    finally:
        disk.close()


def refused_lately(customer: Customer) -> bool:
    """Return whether a customer is refused now: three times and no answer in between."""
    answers, before = len(customer.answered), customer.refused
    until(lambda: customer.refused >= before + 3 or len(customer.answered) > answers or bool(customer.wrong))
    assert customer.wrong == []
    return len(customer.answered) == answers


def goes_on_after_all(customers: list[Customer]) -> None:
    before = len(acknowledged(customers)[0])
    until(lambda: len(acknowledged(customers)[0]) >= before + 500 or any(one.wrong for one in customers))
    assert [one.wrong for one in customers] == [[], []]
