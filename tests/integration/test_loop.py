"""The loop as real processes: killed, doubled, and with a training that does not end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from loop_kit import MODEL, Shop
from mainstay import errands, loop, wiring
from mainstay.config.clocks import CLOCK_VARIABLE, SharedClock
from mainstay.release import manual
from mainstay.store import blocks, heartbeats, jobs, leases, routes
from mainstay.store.jobs import JobState
from mainstay.testing.clock import FakeClock

SOURCES = Path(__file__).parents[2] / "src"
OF_THE_TRY = frozenset({"leases", "states.version"})


@pytest.fixture(scope="module")
def trained(trained_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a shop whose version 2 answers half of the users and stays there, and that is never retrained."""
    made = trained_shop.copy(tmp_path_factory.mktemp("canary") / "shop", clock=FakeClock(trained_shop.clock.now()))
    made.turns(2)
    made.compare(made.customers(30), version=2)
    made.turns(2)
    assert made.stages() == {1: "certified", 2: "canary"}
    edit(made, 'on = ["rows:60"]', "on = []")
    edit(made, "step_min_units = 10", "step_min_units = 1000000\nlease_s = 36000")
    yield made
    made.close()


def edit(shop: Shop, old: str, new: str) -> None:
    file = shop.folder / "mainstay.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def shop(trained: Shop, tmp_path: Path) -> Iterator[Shop]:
    clock = SharedClock.create(tmp_path / "clock.json", base=trained.clock.now(), rate=0)
    made = trained.copy(tmp_path / "shop", clock=clock)
    yield made
    made.close()


class Loop:
    """`mainstay loop` in a process of its own."""

    def __init__(self, shop: Shop, clock: Path, log: Path) -> None:
        self.shop, self.log = shop, log
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mainstay", "loop", "--project", str(shop.folder)],
                env=environ | {"PYTHONPATH": str(SOURCES), CLOCK_VARIABLE: str(clock)},
                stdout=out,
                stderr=out,
            )

    def holds_the_lease(self) -> bool:
        with self.shop.parts().store.read() as tx:
            holder = leases.holder(tx, loop.LEASE, self.shop.clock.now())
        return holder is not None and holder.owner.endswith(f":{self.process.pid}")

    def until(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the loop did not come so far: {self.log.read_text()[-3000:]}")
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(120)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@pytest.fixture
def start(shop: Shop, tmp_path: Path) -> Iterator[Callable[[], Loop]]:
    begun: list[Loop] = []

    def start() -> Loop:
        begun.append(Loop(shop, tmp_path / "clock.json", tmp_path / f"loop-{len(begun)}.log"))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.kill()


def place(shop: Shop, consumer: str) -> int:
    with shop.parts().store.read() as tx:
        return sum(blocks.cursor(tx, consumer).values())


def end_of_the_journal(shop: Shop) -> int:
    _, behind = shop.parts().journal.read({}, 1_000_000)
    return sum(behind.values())


def done(shop: Shop, consumer: str = f"rollout:{MODEL}") -> bool:
    return place(shop, consumer) == end_of_the_journal(shop)


def beat(shop: Shop) -> dict[str, Any]:
    with shop.parts().store.read() as tx:
        return next((dict(one.detail) for one in heartbeats.all_(tx) if one.name == "loop"), {})


def test_killed_again_and_again_it_ends_where_an_undisturbed_loop_ends(
    shop: Shop, start: Callable[[], Loop], tmp_path: Path
) -> None:
    shop.label(["p900", "nobody"])
    asked = shop.customers(700)
    shop.compare(asked, version=2)
    shop.label([event.id for event in asked[:300]])
    calm = shop.copy(tmp_path / "calm", clock=FakeClock(shop.clock.now()))
    calm.turns(3)
    wanted = calm.dump(without=OF_THE_TRY)
    calm.close()
    luck = random.Random(3)
    kills: list[Callable[[Loop], bool]] = [
        Loop.holds_the_lease,
        lambda _: done(shop, "feedback"),
        lambda _: place(shop, f"watch:{MODEL}") > 60,
    ]
    for moment in kills:
        one = start()
        one.until(lambda moment=moment, one=one: moment(one))  # type: ignore[misc]
        time.sleep(luck.uniform(0, 0.1))
        one.kill()
        with shop.parts().store.begin() as tx:  # that a dead loop's lease runs out is shown below; here time stands
            holder = leases.holder(tx, loop.LEASE, shop.clock.now())
            assert holder is None or leases.release(tx, loop.LEASE, holder.owner)
    one = start()
    one.until(lambda: one.holds_the_lease() and done(shop) and beat(shop) == {"failed": {}})
    shop.turns(2)  # by hand, beside it: whatever is left is done once
    assert one.stop() == 0
    assert shop.dump(without=OF_THE_TRY) == wanted
    assert shop.parts().store.integrity() == []


def lease_left(shop: Shop) -> float:
    """Return for how long the challenger may answer if nobody judges (seconds)."""
    with shop.parts().store.read() as tx:
        route = routes.current(tx, MODEL)
    assert route is not None
    assert route.lease_until is not None
    return (route.lease_until - shop.clock.now()).total_seconds()


def test_of_two_loops_one_works_and_the_other_takes_over_when_it_dies(shop: Shop, start: Callable[[], Loop]) -> None:
    assert isinstance(shop.clock, SharedClock)
    shop.clock.set_rate(1.0)
    first = start()
    first.until(lambda: first.holds_the_lease() and bool(beat(shop)))
    second = start()
    second.until(lambda: "waiting for it" in second.log.read_text())
    shop.label([event.id for event in shop.customers(100)])
    first.until(lambda: done(shop))
    assert first.holds_the_lease()

    # The clock runs a day ahead, its loop dies, and the clock is set right again.
    shop.clock.advance(days=1)
    shop.customers(30)
    first.until(lambda: done(shop) and lease_left(shop) > 0)
    first.kill()
    shop.clock.advance(days=-1)
    assert lease_left(shop) > 36_000
    shop.compare(shop.customers(100), version=2)
    second.until(lambda: second.holds_the_lease() and done(shop) and lease_left(shop) <= 36_000)
    assert beat(shop) == {"failed": {}}
    assert second.stop() == 0
    with shop.parts().store.read() as tx:
        assert leases.holder(tx, loop.LEASE, shop.clock.now()) is None  # given back: the next one need not wait
    found = shop.dump()
    assert len(found["labels"]) == 100
    assert len(found["pairs"]) == 30 + 100
    for one in (first, second):
        assert "Traceback" not in one.log.read_text()


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of other processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_training_that_does_not_end_is_ended_alone_and_tried_again_later(shop: Shop, tmp_path: Path) -> None:
    edit(shop, "timeout_s = 600", "timeout_s = 4")
    edit(shop, "[[alerts]]", '[registry]\nurl = "sqlite:////proc/none/mlflow.db"\n[[alerts]]')
    (shop.folder / "slow").touch()
    with shop.parts().store.begin() as tx:
        manual.abort(tx, model=MODEL, by="anna", reason="another is to come", now=shop.clock.now())
    shop.turns(1)
    environ = dict(os.environ) | {"PYTHONPATH": str(SOURCES), CLOCK_VARIABLE: str(tmp_path / "clock.json")}
    with shop.parts().store.begin() as tx:
        job = jobs.enqueue(
            tx, model=MODEL, kind=errands.TRAIN, dedupe="t", payload={"trigger": "rows:60"}, now=shop.clock.now()
        )
    assert job is not None

    def found() -> jobs.Job:
        with shop.parts().store.read() as tx:
            return jobs.get(tx, job.id)

    with closing(wiring.assemble(shop.folder, environ=environ)) as parts:
        runner = errands.ChildRunner(parts)
        loop.turn(parts, runner)
        until(lambda: bool(processes_of(shop.folder)))
        began, turns = time.monotonic(), 0
        while found().state is JobState.RUNNING:
            assert time.monotonic() - began < 120
            shop.customers(1)
            assert loop.turn(parts, runner).failed == {}
            turns += 1
            time.sleep(0.1)
        assert turns > 2
        assert done(shop)
        left = found()
        assert (left.state, left.due_at) == (JobState.QUEUED, shop.clock.now() + errands.RETRY_AFTER)
        assert "ran longer than 4 s" in left.error
        assert processes_of(shop.folder) == []
        loop.turn(parts, runner)
        assert runner.running() is None
        runner.stop()

    (shop.folder / "slow").unlink()
    edit(shop, "timeout_s = 4", "timeout_s = 300")
    assert isinstance(shop.clock, SharedClock)
    shop.clock.advance(seconds=timedelta(minutes=6).total_seconds())
    with closing(wiring.assemble(shop.folder, environ=environ)) as parts:
        runner = errands.ChildRunner(parts)
        loop.turn(parts, runner)
        until(lambda: runner.ended() is not None)
        assert loop.turn(parts, runner).failed == {}
        runner.stop()
    assert (found().state, found().attempts) == (JobState.DONE, 2), found().error
    assert "not recorded in MLflow" in str(found().result)
    assert sorted(shop.releases()) == [1, 2, 3]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("held = b'x' * 900_000_000; import time; time.sleep(600)", "more than 600 MB"),
    ],
    ids=["crash", "kill", "memory"],
)
def test_a_training_that_dies_leaves_champion_and_store_as_they_were_and_its_runner_knows_why(
    shop: Shop, tmp_path: Path, ends: str, told: str
) -> None:
    edit(shop, "timeout_s = 600", "timeout_s = 600\nmemory_mb = 600")
    model = shop.folder / "model.py"
    model.write_text(model.read_text().replace("    return make_pipeline", f"    {ends}\n    return make_pipeline"))
    environ = dict(os.environ) | {"PYTHONPATH": str(SOURCES), CLOCK_VARIABLE: str(tmp_path / "clock.json")}
    before = shop.dump(without={"jobs", "leases"})
    with shop.parts().store.begin() as tx:
        job = jobs.enqueue(
            tx, model=MODEL, kind=errands.TRAIN, dedupe="t", payload={"trigger": "rows:60"}, now=shop.clock.now()
        )
    assert job is not None
    bundles = sorted(path.name for path in (shop.state / "bundles").iterdir())
    with closing(wiring.assemble(shop.folder, environ=environ)) as parts:
        runner = errands.ChildRunner(parts)
        runner.start(job)
        until(lambda: runner.ended() is not None)
        assert shop.dump(without={"jobs", "leases"}) == before
        assert sorted(path.name for path in (shop.state / "bundles").iterdir()) == bundles
        _, _, error = runner.ended() or (None, "", "")
        assert told in error
        runner.stop()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_loop_that_is_told_to_stop_ends_its_training_too(shop: Shop, start: Callable[[], Loop]) -> None:
    (shop.folder / "slow").touch()
    with shop.parts().store.begin() as tx:
        job = jobs.enqueue(
            tx, model=MODEL, kind=errands.TRAIN, dedupe="t", payload={"trigger": "rows:60"}, now=shop.clock.now()
        )
    assert job is not None
    one = start()
    one.until(lambda: any(" train " in line for line in processes_of(shop.folder)))
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < 60
    assert processes_of(shop.folder) == []
    with shop.parts().store.read() as tx:
        assert jobs.get(tx, job.id).state is JobState.QUEUED
