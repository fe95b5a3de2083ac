"""Learning online in real processes: a learner that is killed in mid-batch; a regression whose world changes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mainstay.config.clocks import CLOCK_VARIABLE
from mainstay.online import learn
from mainstay.project import Project
from mainstay.store import online
from mainstay.store import releases as rows
from online_kit import asked, labelled, learned, make_online_shop, states

SOURCES = Path(__file__).parents[2] / "src"
PATIENCE = 300.0
"""Longest wait for a state that must come; a machine that is four times slower is no failure (seconds)."""
TOML = """
mainstay = 1
[project]
name = "pumps"
task = "regression"
[data]
train = "train.csv"
test = "test.csv"
key = "pump"
[fields.pump]
type = "identifier"
role = "ignored"
[fields.hours]
type = "number"
[fields.load]
type = "number"
[fields.site]
type = "category"
values = ["harbour", "plant", "quarry"]
[target]
field = "heat"
[train]
[train.pipelines.river]
build = "model:build"
features = "features:features"
[evaluate]
primary = "mae"
metrics = ["mae", "rmse"]
[stress]
enabled = false
[gate]
compare_on = ["recent"]
max_p99_ms = 5000
[serve]
port = 0
[watch]
skew_rows = 0
[retrain]
online = true
online_batch = 40
min_labels = 80
cooldown_hours = 0
[rollout]
steps = [50, 100]
shadow_min_units = 20
step_min_units = 10
probation_hours = 0.0005
guards = { error_rate = 0.3, latency_p99_ratio = 1000.0 }
[loop]
interval_s = 0.2
"""
MODEL = """
from river import compose, linear_model, optim, preprocessing


def build(params):
    numbers = compose.Select("hours", "load", "work") | preprocessing.StandardScaler()
    words = compose.Select("site") | preprocessing.OneHotEncoder()
    return (numbers + words) | linear_model.LinearRegression(optim.SGD(0.02))
"""
FEATURES = """
import polars as pl


def features(frame):
    return frame.with_columns((pl.col("hours") * pl.col("load")).alias("work"))
"""
SLOW = """

class Slow:
    _multiclass = True

    def __init__(self, model):
        self.model, self.count = model, 0

    def learn_one(self, row, value):
        import os, pathlib, time
        if os.environ.get("LEARNING"):
            self.count += 1
            pathlib.Path(os.environ["LEARNING"]).write_text(str(self.count))
            time.sleep(0.05)
        self.model.learn_one(row, value)

    def predict_proba_one(self, row):
        return self.model.predict_proba_one(row)


def build_slow(params):
    return Slow(build_river(params))
"""


def start(folder: Path, *command: str, log: Path, **more: str) -> subprocess.Popen[bytes]:
    hidden = ("MAINSTAY", CLOCK_VARIABLE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "mainstay", *command, "--project", str(folder)],
            env=environ | {"PYTHONPATH": str(SOURCES)} | more,
            stdout=out,
            stderr=out,
        )


def until(holds: Callable[[], bool], what: str | Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.05)


def test_a_learner_that_is_killed_in_mid_batch_has_learned_nothing_and_the_next_one_does_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("online_kit.RIVER", __import__("online_kit").RIVER + SLOW)
    shop = make_online_shop(tmp_path / "shop", "build_slow")
    labelled(shop, asked(shop, 120))
    calm = shop.copy(tmp_path / "calm", clock=shop.clock)
    count = tmp_path / "count"
    child = start(shop.folder, "online", "learn", log=tmp_path / "killed.log", LEARNING=str(count))
    until(lambda: count.exists() and count.read_text() not in ("", *map(str, range(10))), "it never learned ten labels")
    child.send_signal(signal.SIGKILL)
    assert child.wait(120) == -signal.SIGKILL
    assert states(shop) == []
    again = start(shop.folder, "online", "learn", "--json", log=tmp_path / "again.log")
    assert again.wait(PATIENCE) == 0, (tmp_path / "again.log").read_text()
    assert learn.batch(calm.parts()).state is not None
    (state,), (other,) = states(shop), states(calm)
    assert (state.digest, state.rows, state.learned) == (other.digest, other.rows, other.learned)
    assert len(set(learned(shop, 1))) == state.learned == 120 - sum(state.passed_over.values())
    assert json.loads((tmp_path / "again.log").read_text())["learned"] == state.learned
    shop.close()
    calm.close()


def heat(row: dict[str, Any], *, changed: bool) -> float:
    """What is true: after the pumps of the quarry got other bearings it is another world."""
    site = {"harbour": 0.0, "plant": 3.0, "quarry": 6.0}[row["site"]]
    base = 20.0 + 0.4 * row["hours"] + site + 0.05 * row["hours"] * row["load"]
    return base + (15.0 if row["site"] == "quarry" else -6.0) * changed


def make_row(luck: random.Random) -> dict[str, Any]:
    site = luck.choice(["harbour", "plant", "quarry"])
    return {"hours": round(luck.uniform(0, 30), 2), "load": round(luck.uniform(0, 4), 2), "site": site}


class Pumps:
    """The project in real processes, and those who ask it and tell it the truth."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.luck, self.count = folder, random.Random(3), 0
        folder.mkdir()
        for name, text in (("mainstay.toml", TOML), ("model.py", MODEL), ("features.py", FEATURES)):
            (folder / name).write_text(text)
        for name, size in (("train", 300), ("test", 120)):
            lines = ["pump,hours,load,site,heat"]
            for number in range(size):
                row = make_row(self.luck)
                truth = heat(row, changed=False) + self.luck.gauss(0, 0.5)
                lines.append(f"{name}{number},{row['hours']},{row['load']},{row['site']},{truth:.3f}")
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
        self.project = Project.open(folder, environ={})
        self.client = httpx.Client(timeout=120)

    def ask(self, count: int) -> dict[str, float]:
        """Ask in the changed world and tell the truth; return the mean absolute error by version."""
        address = self.project.addresses()[0]
        lost: dict[str, list[float]] = {}
        for _ in range(count):
            self.count += 1
            row, id_ = make_row(self.luck), f"r{self.count}"
            sent = {"id": id_, "key": f"p{self.count}", "inputs": {**row, "pump": f"p{self.count}"}}
            said = self.client.post(f"{address}/v1/models/pumps/predict", json={"instances": [sent]})
            assert said.status_code == 200, said.text
            one = said.json()["predictions"][0]
            truth = heat(row, changed=True) + self.luck.gauss(0, 0.5)
            lost.setdefault(one["bundle"], []).append(abs(one["label"] - truth))
            told = {"id": id_, "feedback_id": f"f{self.count}", "kind": "label", "name": "heat", "value": truth}
            told |= {"at": datetime.now(UTC).isoformat(), "by": "gauge"}
            self.client.post(f"{address}/v1/models/pumps/feedback", json={"items": [told]}).raise_for_status()
        return {name: sum(found) / len(found) for name, found in lost.items()}

    def versions(self) -> dict[int, str]:
        with self.project.parts.store.read() as tx:
            return {one.version: one.stage.value for one in rows.all_of(tx, "pumps")}


@pytest.fixture
def pumps(tmp_path: Path) -> Iterator[Pumps]:
    made = Pumps(tmp_path / "pumps")
    with made.client:
        yield made


def test_a_regression_learns_the_changed_world_and_reaches_all_users_by_itself(tmp_path: Path, pumps: Pumps) -> None:
    first = pumps.project.train(by="test")
    assert first.passed
    assert pumps.versions() == {1: "certified"}
    running = [start(pumps.folder, name, log=tmp_path / f"{name}.log") for name in ("serve", "loop")]
    try:
        until(lambda: pumps.project.server() is not None and pumps.project.ready(), "no server")
        before = pumps.ask(200)
        assert before["pumps@1"] > 6.0

        def on_its_way() -> bool:
            pumps.ask(2)
            return max(pumps.versions()) > 1

        until(on_its_way, lambda: (tmp_path / "loop.log").read_text()[-3000:])

        def won() -> bool:
            pumps.ask(10)
            return any(stage == "certified" for version, stage in pumps.versions().items() if version > 1)

        until(won, lambda: f"{pumps.versions()} {(tmp_path / 'loop.log').read_text()[-3000:]}")
        best = next(version for version, stage in pumps.versions().items() if stage == "certified")
        after = pumps.ask(100)
        assert after[max(after)] < 0.5 * before["pumps@1"]
    finally:
        for process in running[::-1]:
            process.send_signal(signal.SIGTERM)
        ended = [process.wait(PATIENCE) for process in running]
    assert ended == [0, 0]
    # Learned by a child of the loop, each label once; what won comes out again from its chain.
    with pumps.project.parts.store.read() as tx:
        every = online.states(tx, "pumps")
        version = rows.get(tx, "pumps", best)
        line = [one.n for one in every if one.n <= version.facts["online"]["state"]]
        seen = [one.id for _, one in online.seen(tx, "pumps", [(n, n) for n in line])]
    assert len(seen) == len(set(seen))
    assert version.trigger == "rows:80"
    assert b"work" in pumps.project.parts.open_bundle(version.digest, original=True).read("features.py")
    found = pumps.project.reproduce(best)
    # The loop's children have a fixed hash seed, this process none: River's Select sums in the order of a set of names.
    assert found.holds
    assert found.largest < 1e-9
    standing = pumps.project.online()
    assert standing.metric == "mae"
    assert standing.learner["newest"] < standing.answered["all"]  # type: ignore[operator]
