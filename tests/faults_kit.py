"""Loops as real processes that die or stand still at a named place, and the effects of what they did, counted.

A zygote imports everything once and forks a process for each loop: a start costs milliseconds. Each is `loop.run` as
`mainstay loop` runs it, with a registry that writes each alias that it is told into a file, so that effects outside the
store are counted too. Simulated time runs `RATE` times as fast, so that a lease runs out in two seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "src"
RATE = 8.0
MOVES = ("gated", "checked", "shadow", "canary", "probation", "certified")
"""The way of version 2, from where it stands at the start."""
SETTLES_S = 1.0
"""After the last loop woke, what it told too late has been told anew."""
STANDS_S = 4.0
"""How long a loop that was stopped stands still, where others could take over (real seconds)."""


class FileRegistry:
    """Stands for MLflow: each alias that is told is a line in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _tell(self, **what: Any) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps({"pid": os.getpid(), **what}) + "\n")

    def number_of(self, model: str, *, version: int, digest: str) -> str | None:
        return str(version)

    def set_alias(self, model: str, alias: str, version: str) -> None:
        self._tell(alias=alias, version=version)

    def drop_alias(self, model: str, alias: str) -> None:
        self._tell(alias=alias, version=None)

    def aliases(self, model: str) -> dict[str, str]:
        return told_aliases(self._file)


def told_aliases(file: Path) -> dict[str, str]:
    """Return what each alias points at after all that was told."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    last = {one["alias"]: one["version"] for one in lines}
    return {alias: version for alias, version in last.items() if version is not None}


def loop_process(order: dict[str, str]) -> None:
    """Be one loop, until SIGTERM."""
    from mainstay import loop, wiring
    from mainstay.store import engine

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    engine._BOUNDS = "SET LOCAL lock_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '2s'"
    environ = {"MAINSTAY_CLOCK": order["clock"], "MAINSTAY_FAILPOINTS": order["failpoints"]}
    parts = wiring.assemble(Path(order["folder"]), environ=environ)
    parts.registry = FileRegistry(Path(order["aliases"]))  # type: ignore[assignment]
    loop.run(parts, stop=stop)
    parts.close()


def zygote() -> None:
    """Read one order a line, fork a loop for it, answer its process id; end with the input."""
    import logging

    import mainstay.loop
    import mainstay.wiring  # noqa: F401 - loaded once for all children

    logging.basicConfig(level=logging.INFO)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                loop_process(json.loads(line))
                code = 0
            finally:
                sys.stdout.flush()
                os._exit(code)
        print(pid, flush=True)


@dataclass
class Loop:
    """One loop process."""

    pid: int

    def state(self) -> str:
        """Return the letter of its state in /proc; empty when it is gone."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    @property
    def alive(self) -> bool:
        return self.state() not in ("", "Z")

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Zygote:
    """Starts loops."""

    def __init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environ | {"PYTHONPATH": str(SOURCES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, **order: str) -> Loop:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Loop(pid=int(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(120)
        self._process.stdout.close()


@dataclass
class Outcome:
    """What a rollout came to, whatever was done to its loops."""

    moves: list[str] = field(default_factory=list)
    """Stages of version 2, in the order of its record."""
    epochs: list[int] = field(default_factory=list)
    promotions: int = 0
    pairs: int = 0
    answered: int = 0
    """Distinct requests that both versions answered: so many pairs there must be."""
    problems: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    told: int = 0
    """How often an alias was told."""
    fell: int = 0
    """Loops that died or stood still at the place."""
    took_over: bool = False
    """Whether another loop led while one stood still."""
    seconds: float = 0.0

    def wrong(self) -> list[str]:
        """Return what is not as it must be; empty when each effect is there exactly once."""
        found = list(self.problems)
        if tuple(self.moves) != MOVES:
            found.append(f"moves {self.moves}")
        if self.epochs != list(range(1, len(self.epochs) + 1)) or len(self.epochs) != 5:
            found.append(f"epochs {self.epochs}")
        if self.promotions != 1:
            found.append(f"{self.promotions} promotions")
        if self.pairs != self.answered:
            found.append(f"{self.pairs} pairs of {self.answered}")
        if self.aliases.get("champion") != "2":
            found.append(f"aliases {self.aliases}")
        return found


def one_rollout(
    shop: Any, zygote: Zygote, folder: Path, *, place: str, action: str, nth: int, loops: int, patience_s: float = 300.0
) -> Outcome:
    """Bring version 2 of a shop to all users with `loops` loops, each of which meets `action` at `place` once."""
    from mainstay.config.clocks import SharedClock
    from mainstay.core.errors import StoreUnavailable
    from mainstay.core.events import Arm
    from mainstay.release import rollout as turning
    from mainstay.store import leases, pairs, promotions, releases, routes

    began = time.monotonic()
    clock = shop.clock
    assert isinstance(clock, SharedClock)
    parts, out = shop.parts(), Outcome()

    def start(failpoint: str) -> Loop:
        return zygote.start(
            folder=str(shop.folder),
            clock=str(folder / "clock.json"),
            failpoints=failpoint,
            aliases=str(folder / "aliases"),
            log=str(folder / "loops.log"),
        )

    running = [start(f"{place}={action}@{nth}" if place else "") for _ in range(loops)]
    armed, stood, woken = list(running) if place else [], {}, began
    fed: set[tuple[str, int]] = set()
    try:
        while True:
            if time.monotonic() - began > patience_s:
                raise AssertionError(f"{place} {action}: {(folder / 'loops.log').read_text()[-3000:]}")
            for one in list(armed):
                if action == "kill" and not one.alive:
                    armed.remove(one)
                    out.fell += 1
                    running.append(start(""))
                if action == "stop" and one.state() == "T":
                    armed.remove(one)
                    out.fell += 1
                    stood[one.pid] = time.monotonic()
            for pid, since in list(stood.items()):
                if time.monotonic() - since > (STANDS_S if loops > 1 else 0.5):
                    with contextlib.suppress(StoreUnavailable), parts.store.read() as tx:
                        holder = leases.holder(tx, "loop", clock.now())
                    leads = int(holder.owner.rpartition(":")[2]) if holder is not None else 0
                    out.took_over |= leads not in (0, *stood)
                    os.kill(pid, signal.SIGCONT)
                    del stood[pid]
                    woken = time.monotonic()
            try:
                with parts.store.read() as tx:
                    release, route = releases.get(tx, parts.model, 2), routes.current(tx, parts.model)
                    count = pairs.count(tx, parts.model, 2)
            except StoreUnavailable:
                time.sleep(0.05)  # whoever stands still within a commit keeps readers waiting on SQLite
                continue
            assert route is not None
            where = release.stage.value, route.epoch
            if release.stage.value == "certified":
                # Whoever wakes too late tells an old alias once more, and the leader finds that out: both take time.
                if not stood and time.monotonic() - woken > SETTLES_S and route_is_told(folder, "2"):
                    break
            elif where not in fed and release.stage in turning.COMPARED:
                fed.add(where)
                mine = 2 if release.stage.value == "probation" else 1
                shop.compare(shop.customers(13, version=mine, route_epoch=route.epoch), version=3 - mine)
                arms: dict[str, Any] = {"assigned_arm": Arm.CHALLENGER, "served_arm": Arm.CHALLENGER}
                mine, arms = (2, arms) if where[0] == "canary" else (mine, {})
                shop.compare(shop.customers(12, version=mine, route_epoch=route.epoch, **arms), version=3 - mine)
                out.answered += 25
            elif where[0] == "probation" and count == out.answered and ("late", 0) not in fed:
                fed.add(("late", 0))
                clock.advance(hours=2)
            time.sleep(0.02)
    finally:
        for one in running:
            one.send(signal.SIGCONT)
            one.send(signal.SIGTERM)
        deadline = time.monotonic() + 120
        while any(one.alive for one in running) and time.monotonic() < deadline:
            time.sleep(0.02)
        for one in running:
            one.send(signal.SIGKILL)
    with parts.store.read() as tx:
        out.moves = [move.to_stage for move in releases.events(tx, parts.model) if move.version == 2][1:]
        out.epochs = [change.route.epoch for change in routes.history(tx, parts.model)][::-1]
        out.promotions = len(promotions.all_of(tx, parts.model))
        out.pairs = pairs.count(tx, parts.model, 2)
    out.problems = parts.store.integrity()
    out.aliases = told_aliases(folder / "aliases")
    out.told = Counter(json.loads(line)["alias"] for line in (folder / "aliases").read_text().splitlines())["champion"]
    out.seconds = time.monotonic() - began
    return out


def route_is_told(folder: Path, version: str) -> bool:
    """Return whether the champion's alias points at a version."""
    return told_aliases(folder / "aliases").get("champion") == version


@contextlib.contextmanager
def zygotes() -> Iterator[Zygote]:
    """Give a zygote that ends with the block."""
    made = Zygote()
    try:
        yield made
    finally:
        made.close()


def prepared(shop: Any, folder: Path, *, url: str = "", fill: Callable[[str], None] | None = None) -> Any:
    """Return a copy of a shop in `folder` that shares its clock with loops, its store at `url` where one is given."""
    from mainstay.config.clocks import SharedClock

    clock = SharedClock.create(folder / "clock.json", base=shop.clock.now(), rate=RATE)
    made = shop.copy(folder / "shop", clock=clock)
    file = made.folder / "mainstay.toml"
    text = file.read_text().replace('on = ["rows:60"]', "on = []").replace("[rollout]", "[rollout]\nlease_s = 36000")
    if url:
        text += f'[store]\nurl = "{url}"\n'
        assert fill is not None
        fill(url)
    file.write_text(text)
    return made


if __name__ == "__main__":
    zygote()
