"""One id on two hosts: two supervisors over two state folders, and a real Redis between them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from hosts_kit import HOST, SOURCES, House
from mainstay.serve import control
from ports_kit import free_port

IDS = 200


class Redis:
    """A Redis on a loopback port, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait(self.answers)

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


class Host:
    """One host's server."""

    def __init__(self, house: House, redis: Redis, *, workers: int) -> None:
        self.house = house
        address = f"ids=redis://127.0.0.1:{redis.port}/0"
        command = [sys.executable, str(HOST), str(house.folder), "0", str(workers), "os", address]
        self.process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(SOURCES)})
        wait(lambda: house.told().get("ready"))
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{house.told()['port']}", timeout=120)

    def ask(self, id_: str, text: str = "snow") -> httpx.Response:
        return self.client.post("/v1/predict", json={"instances": [{"id": id_, "key": "k", "inputs": {"text": text}}]})

    def ids_state(self) -> list[str]:
        return [worker["ids"] for worker in control.ask(self.house.run, {"do": "status"})["workers"]]

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(120)


def wait(holds: Callable[[], Any], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    made = Redis(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def hosts(tmp_path: Path, redis: Redis) -> Iterator[tuple[Host, Host]]:
    houses = [House(tmp_path / name, "weather") for name in ("one", "two")]
    for house in houses:
        house.route(house.bundle(1))
        (house.state / "salt").write_text("5a" * 32, encoding="ascii")  # what whoever has several hosts gives them
    made = [Host(houses[0], redis, workers=2), Host(houses[1], redis, workers=1)]
    yield made[0], made[1]
    for host in made:
        host.stop()


def records(hosts: tuple[Host, Host]) -> list[str]:
    return sorted(id_ for host in hosts for id_ in host.house.ids())


def at_once(hosts: tuple[Host, Host], ids: list[str]) -> list[list[httpx.Response]]:
    """Send every id to both hosts at the same moment."""
    with ThreadPoolExecutor(16) as pool:
        sent = [[pool.submit(host.ask, id_) for host in hosts] for id_ in ids]
        return [[one.result() for one in pair] for pair in sent]


def test_an_id_sent_to_two_hosts_at_once_is_answered_once_and_written_once(hosts: tuple[Host, Host]) -> None:
    ids = [f"id-{number:03}" for number in range(IDS)]
    pairs = at_once(hosts, ids)
    assert {response.status_code for pair in pairs for response in pair} == {200}
    for pair in pairs:
        one, other = (response.json()["predictions"][0] for response in pair)
        assert one | {"duplicate": None} == other | {"duplicate": None}
        assert sorted([one["duplicate"], other["duplicate"]]) == [False, True]
    assert records(hosts) == ids
    assert all(host.house.ids() for host in hosts)  # both answered some
    assert [host.ask(ids[0], text="sun").status_code for host in hosts] == [409, 409]


def test_redis_killed_in_the_middle_fails_no_request_and_comes_back(hosts: tuple[Host, Host], redis: Redis) -> None:
    assert hosts[0].ids_state() == ["ok", "ok"]
    with ThreadPoolExecutor(1) as pool:
        during = pool.submit(lambda: [hosts[0].ask(f"during-{number}") for number in range(300)])
        time.sleep(0.05)
        redis.kill()
        assert {response.status_code for response in during.result()} == {200}
    assert hosts[0].house.ids() == sorted(f"during-{number}" for number in range(300))

    began = time.monotonic()
    assert hosts[1].ask("away").status_code == 200
    assert hosts[0].ask("away").status_code == 200
    assert hosts[0].ask("away").json()["predictions"][0]["duplicate"] is True  # within a host as ever
    assert time.monotonic() - began < 30  # three times the patience with a Redis that is there
    assert "away" in hosts[1].house.ids()

    redis.start()
    wait(lambda: hosts[0].ids_state() == ["ok", "ok"] and hosts[1].ids_state() == ["ok"])
    assert hosts[0].ask("back").json()["predictions"][0]["duplicate"] is False
    assert hosts[1].ask("back").json()["predictions"][0]["duplicate"] is True
    assert records(hosts).count("back") == 1
