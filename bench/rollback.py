"""How long until every worker answers with the version before? Under load, with everything else up, away or stuck.

`python bench/rollback.py [--workers 3] [--clients 12] [--rounds 5] [--out bench/results/rollback.json]`

The real server and the real loop (`mainstay serve`, `mainstay loop`) on a small project. A version is promoted; when
all workers answer with it, something is taken away, and `rollback` is asked for through the control socket, as the
command does. Clients ask without a pause on connections of their own, and note when each answer was begun, by which
worker (an id names it) and by which version. Reported: from the moment before the rollback was asked for, the latest
begin of an answer that was still the bad version's, over all workers and rounds; and how long the command took. With
the disk full nothing can be recorded, so nothing is answered: there `GET /v1/models` tells, on many connections.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from live_kit import Running, until  # noqa: E402 - after the path
from loop_kit import MODEL, make_shop  # noqa: E402 - after the path
from mainstay.project import Project  # noqa: E402 - after the path
from mainstay.serve import control  # noqa: E402 - after the path

BODY = json.dumps({"instances": [{"inputs": {"text": "ripe apple jam", "buyer": "b1"}}]})
HEADERS = {"content-type": "application/json"}


class Client(threading.Thread):
    """Asks without a pause and notes (began, ended, worker, bundle)."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.stop, self.seen = port, threading.Event(), []
        self.failed = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stop.is_set():
            if len(self.seen) % 20 == 19:
                connection.close()  # the next one may lead to another worker
            began = time.monotonic()
            try:
                connection.request("POST", "/v1/predict", BODY, HEADERS)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.failed += 1
                continue
            if answer.status != 200:
                self.failed += 1
                self.stop.wait(0.01)
                continue
            said = json.loads(content)["predictions"][0]
            self.seen.append((began, time.monotonic(), said["id"].split("-")[0], said["bundle"]))


class Poll(threading.Thread):
    """Asks a worker who answers there, and notes (asked, champion)."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.stop, self.seen = threading.Event(), []

    def run(self) -> None:
        while not self.stop.wait(0.005):
            asked = time.monotonic()
            self.connection.request("GET", f"/v1/models/{MODEL}")
            said = json.loads(self.connection.getresponse().read())
            self.seen.append((asked, said["champion"]["bundle"]))


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the store's file exclusively."""
    with closing(sqlite3.connect(store, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def moved_away(*files: Path) -> Iterator[None]:
    """Move files away for a while."""
    there = [file for file in files if file.exists()]
    for file in there:
        file.rename(file.with_name(f"{file.name}.away"))
    yield
    for file in there:
        file.with_name(f"{file.name}.away").replace(file)


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a process stand still."""
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the disk that a folder lies on; only for a disk of its own."""
    fill = folder / "fill"
    with fill.open("wb") as out:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    os.write(out.fileno(), b"0" * size)
            except OSError:
                continue
    yield
    fill.unlink()


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, disk(Path(temporary)) as (folder, is_own):
        shop = make_shop(folder / "shop")
        shop.close()
        file = shop.folder / "mainstay.toml"
        text = file.read_text().replace("port = 0", f"port = 0\nworkers = {given.workers}")
        file.write_text(text.replace('on = ["rows:60"]', "on = []"))
        running = Running(shop.folder)
        try:
            results = measure(shop.folder, running, folder if is_own else None, given)
        finally:
            for process in running.processes:
                process.send_signal(signal.SIGCONT)
            running.kill()
    print("\n| what is away | rounds | workers | last bad answer begun, s (worst) | command, s (worst) |")
    print("|---|---|---|---|---|")
    for one in results:
        print(
            f"| {one['case']} | {one['rounds']} | {one['workers']} | {one['last_bad_s']:.3f} | {one['command_s']:.3f} |"
        )
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=1) + "\n")


@contextmanager
def disk(temporary: Path) -> Iterator[tuple[Path, bool]]:
    """Give a folder on a small disk of its own where this user may mount one, else any folder."""
    place = temporary / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield place, mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)


def measure(project: Path, running: Running, own_disk: Path | None, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the worst of each case."""
    state, port = project / ".mainstay", int(running.told()["port"])
    store = state / "store.db"
    cases: dict[str, Callable[[], Any]] = {
        "nothing": nullcontext,
        "the loop (stopped)": lambda: stopped(running.processes[1]),
        "the store (locked by another process)": lambda: locked(store),
        "the store (its file moved away)": lambda: moved_away(store),
        "MLflow (its database moved away)": lambda: moved_away(state / "mlflow.db"),
    }
    if own_disk is not None:
        cases["room on the disk (0 bytes left)"] = lambda: full(own_disk)
    results = []
    for case, away in cases.items():
        rounds = [one_round(project, port, away, given, disk_full="disk" in case) for _ in range(given.rounds)]
        worst = {key: max(one[key] for one in rounds) for key in ("last_bad_s", "command_s")}
        results.append({"case": case, "rounds": len(rounds), "workers": given.workers, **worst, "each": rounds})
        print(json.dumps(results[-1]), flush=True)
    return results


def one_round(
    project: Path, port: int, away: Callable[[], Any], given: argparse.Namespace, *, disk_full: bool
) -> dict[str, Any]:
    """Promote, take something away, roll back; return what was seen."""
    opened = Project.open(project, environ={})
    opened.promote(2, reason="measured", by="bench", force=True)
    names = {f"w{number}" for number in range(given.workers)}
    clients = [Client(port) for _ in range(given.clients)]
    for client in clients:
        client.start()

    def answering(bundle: str) -> bool:
        recent = sorted(one for client in clients for one in client.seen[-30:])
        newest = {worker: name for _, _, worker, name in recent}
        return set(newest) == names and set(newest.values()) == {bundle}

    until(lambda: answering(f"{MODEL}@2"), seconds=40)
    polls = [Poll(port) for _ in range(4 * given.workers if disk_full else 0)]
    for poll in polls:
        poll.start()
    with away():
        began = time.monotonic()
        told = control.ask(state_of(project), {"do": "rollback", "model": MODEL, "by": "bench", "reason": "measured"})
        took = time.monotonic() - began
        if told["route"]["champion"]["version"] != 1:
            raise SystemExit(f"the rollback led elsewhere: {told}")
        if disk_full:
            until(lambda: all(poll.seen[-1][1] == f"{MODEL}@1" for poll in polls), seconds=10)
            bad = [asked for poll in polls for asked, name in poll.seen if name == f"{MODEL}@2"]
            last_bad = max(max(bad) - began, 0.0)
        else:
            until(lambda: answering(f"{MODEL}@1"), seconds=10)
            time.sleep(0.3)
            bad = [start for client in clients for start, _, _, name in client.seen if name == f"{MODEL}@2"]
            last_bad = max(max(bad) - began, 0.0)
    for one in (*clients, *polls):
        one.stop.set()
    for one in (*clients, *polls):
        one.join(10)
    until(lambda: reconciled(opened), seconds=60)
    opened.parts.close()
    answers = sum(len(client.seen) for client in clients)
    return {"last_bad_s": round(last_bad, 4), "command_s": round(took, 4), "answers": answers}


def state_of(project: Path) -> Path:
    """Return the run folder."""
    return project / ".mainstay" / "run"


def reconciled(project: Project) -> bool:
    """Return whether the store has the rollback too, and it will not be judged again."""
    from mainstay.core.errors import EnvironmentFault
    from mainstay.store import releases

    try:
        with project.parts.store.read() as tx:
            stages = {one.version: one.stage.value for one in releases.all_of(tx, MODEL)}
    except EnvironmentFault:
        return False
    return stages == {1: "certified", 2: "rolled_back"}


if __name__ == "__main__":
    main()
