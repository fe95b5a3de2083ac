"""A model of River's, taught in a notebook and pickled, is adopted, answers, and goes on learning from labels."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pandas as pd
import pytest
from river import feature_extraction, naive_bayes

from loop_kit import fared
from mainstay.adoption.from_mlflow import adopt_from_mlflow
from mainstay.config.clocks import CLOCK_VARIABLE
from mainstay.project import Project
from mainstay.serve import measured, trial
from mainstay.store import online

SOURCES = Path(__file__).parents[2] / "src"
pytestmark = pytest.mark.timeout(2_400)  # a busy machine gives it a twentieth of a core
PATIENCE = 300.0
"""Longest wait for what must come; a machine that is four times slower is no failure (seconds)."""
WORDS = {"fruit": ("apple", "pear", "plum", "fig"), "tool": ("nail", "saw", "hammer", "drill")}
NEW = {"fruit": ("kiwi", "mango", "papaya"), "tool": ("wrench", "chisel", "clamp")}
MORE = """
[serve]
port = 0
[watch]
skew_rows = 0
[retrain]
online = true
online_batch = 20
min_labels = 100000
[loop]
interval_s = 0.2
"""


def sentence(luck: random.Random, words: dict[str, tuple[str, ...]], number: int) -> tuple[str, str]:
    kind = luck.choice(sorted(words))
    return " ".join([*luck.choices(words[kind], k=3), f"n{number}"]), kind


def start(folder: Path, command: str, log: Path) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAINSTAY", CLOCK_VARIABLE))}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "mainstay", command, "--project", str(folder)],
            env=environ | {"PYTHONPATH": str(SOURCES)},
            stdout=out,
            stderr=out,
        )


def test_a_pickled_river_model_answers_and_goes_on_learning_from_where_the_notebook_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measured, "in_server", fared)
    monkeypatch.setattr(trial, "try_in_server", lambda *_, **__: fared().answers)
    luck = random.Random(5)
    model = feature_extraction.BagOfWords(on="message") | naive_bayes.MultinomialNB()
    for number in range(150):
        message, kind = sentence(luck, WORDS, number)
        model.learn_one({"message": message, "channel": "app"}, kind)
    (tmp_path / "desk.pkl").write_bytes(pickle.dumps(model))
    lines = [
        {"message": message, "channel": ("app", "web")[n % 2], "kind": kind}
        for n in range(160)
        for message, kind in [sentence(luck, WORDS, 1000 + n)]
    ]
    (tmp_path / "rows.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = adopt_from_mlflow("desk.pkl", reference=Path("rows.ndjson"), target="kind")

    assert found.answers
    assert found.can_retrain
    assert found.stored_as == "pickle"
    file = tmp_path / "desk" / "mainstay.toml"
    file.write_text(file.read_text().replace("[retrain]", "") + MORE)
    project = Project.open(tmp_path / "desk", environ={})
    running = [start(tmp_path / "desk", name, tmp_path / f"{name}.log") for name in ("serve", "loop")]
    try:
        deadline = time.monotonic() + PATIENCE
        while not (project.server() is not None and project.ready()):
            assert time.monotonic() < deadline, (tmp_path / "serve.log").read_text()[-3000:]
            time.sleep(0.05)
        at = project.addresses()[0] + "/v1/models/desk"
        with httpx.Client(timeout=60) as client:
            for number in range(60):
                message, kind = sentence(luck, NEW, number)
                row = {"message": message, "channel": "app"}
                sent = {"instances": [{"id": f"r{number}", "key": f"c{number}", "inputs": row}]}
                said = client.post(f"{at}/predict", json=sent).raise_for_status().json()["predictions"][0]
                own = max((chance, name) for name, chance in model.predict_proba_one(row).items())
                assert said["probabilities"][own[1]] == pytest.approx(own[0], abs=1e-9)
                told = {"id": f"r{number}", "feedback_id": f"f{number}", "kind": "label", "name": "kind"}
                told |= {"value": kind, "at": datetime.now(UTC).isoformat(), "by": "anna"}
                client.post(f"{at}/feedback", json={"items": [told]}).raise_for_status()
        states: list[online.State] = []
        while sum(state.learned for state in states) < 20:  # labels of some keys are held out, by a secret draw
            assert time.monotonic() < deadline, (tmp_path / "loop.log").read_text()[-3000:]
            time.sleep(0.1)
            with project.parts.store.read() as tx:
                states = online.states(tx, "desk")
    finally:
        for process in running[::-1]:
            process.send_signal(signal.SIGTERM)
        ended = [process.wait(PATIENCE) for process in running]
        project.parts.close()
    assert ended == [0, 0]
    learner = pickle.loads((tmp_path / "desk" / ".mainstay" / "online" / f"{states[-1].digest}.pkl").read_bytes())
    # What the notebook taught it and what it learned since are one model.
    assert learner.model_["MultinomialNB"].class_counts.keys() == {"fruit", "tool"}
    assert sum(learner.model_["MultinomialNB"].class_counts.values()) == 150 + sum(state.learned for state in states)
    said_new = learner.predict_proba(pd.DataFrame([{"message": "kiwi mango", "channel": "app"}]))
    assert said_new[0, learner.classes_.tolist().index("fruit")] > 0.9
