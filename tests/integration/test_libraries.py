"""XGBoost, LightGBM, PyTorch and River: trained, gated, bundled, served, the same answers at the end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mainstay.core.events import Trust
from mainstay.core.releases import Stage
from mainstay.models import answers
from mainstay.models.load import load
from mainstay.project import Project
from mainstay.store import releases as rows
from mlflow_kit import needs

EXAMPLE = Path(__file__).parents[2] / "examples" / "libraries"
NUMBERS = ["hours", "vibration", "heat"]
SITES = ["harbour", "plant", "quarry"]
BUILDS = {"xgboost": "xgboost", "lightgbm": "lightgbm", "pytorch": "torch", "river": "river"}
EXACT = {"pytorch": 0.0, "river": 0.0, "xgboost": 1e-6, "lightgbm": 1e-9}
"""Largest difference of a probability to the library's own: the boosters are compiled, the others answer themselves."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The example with fewer rows, and without the measures that have tests of their own."""
    folder = tmp_path / "pumps"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".mainstay", "__pycache__"))
    for name, count in (("train", 240), ("test", 100)):
        file = folder / "data" / f"{name}.csv"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[: count + 1]))
    return Project.open(folder, environ={**os.environ, "MAINSTAY_STRESS__ENABLED": "false"})


def given(pipeline: str, frame: pd.DataFrame) -> Any:
    """Rows as the library's own documentation hands them over."""
    if pipeline == "pytorch":
        return frame[NUMBERS].to_numpy("float64")
    if pipeline == "river":
        return frame
    return frame.assign(site=pd.Categorical(frame.site, SITES))


@pytest.mark.parametrize("pipeline", ["xgboost", "lightgbm", "river", pytest.param("pytorch", marks=needs("torch"))])
def test_a_library_s_model_answers_in_the_server_what_it_says_by_itself(project: Project, pipeline: str) -> None:
    result = project.train(pipeline=pipeline, by="test")
    assert result.passed, [check for check in result.checks if check.applies and check.verdict.value != "pass"]
    assert result.stage is Stage.CERTIFIED
    with project.parts.store.read() as tx:
        version = rows.get(tx, project.name, 1)
    assert version.facts["trial"]["verdict"] == "pass", version.facts["trial"]  # a real server, asked over HTTP
    bundle = project.parts.open_bundle(version.digest, original=True)
    lock = bundle.read("environment.lock").decode()
    assert any(line.startswith(BUILDS[pipeline]) for line in lock.splitlines())
    frame = pd.read_csv(project.parts.loaded.root / "data" / "test.csv")
    alone = load(bundle, original=True).estimator.predict_proba(given(pipeline, frame[[*NUMBERS, "site"]]))
    said = answers.answer(project.parts.open_model(version.digest), frame.drop(columns="fails").to_dict("records"))
    served = np.array([list(one.probabilities.values()) for one in said])
    assert served == pytest.approx(np.asarray(alone, dtype=np.float64), abs=EXACT[pipeline], rel=0)
    assert (np.array([one.label for one in said]) == frame.fails.astype(str)).mean() > 0.65


@needs("torch")
def test_a_network_that_is_trained_again_comes_out_to_the_last_byte(project: Project) -> None:
    project.train(pipeline="pytorch", by="test", release=False)
    again = project.reproduce(1)
    assert again.holds
    assert again.largest <= 1e-6
    assert again.identical, again.files


COSTLY = """
[decide]
costs = { "1" = { "0" = 9.0 } }
abstain = 0.8
"""


@pytest.mark.parametrize("pipeline", ["linear", "river"])
def test_what_mistakes_cost_decides_alike_in_gate_bundle_and_server(project: Project, pipeline: str) -> None:
    """Compiled in the worker, and by its own library in a runner."""
    file = project.file
    file.write_text(file.read_text().replace("[gate]\n", "[gate]\nmax_cost = 2.0\n") + COSTLY)
    project = Project.open(file.parent, environ=project.environ)
    result = project.train(pipeline=pipeline, by="test")
    assert result.passed, [check for check in result.checks if check.applies and check.verdict.value != "pass"]
    with project.parts.store.read() as tx:
        version = rows.get(tx, project.name, 1)
    assert version.facts["trial"]["verdict"] == "pass", version.facts["trial"]  # every label equal, over HTTP
    frame = pd.read_csv(project.parts.loaded.root / "data" / "test.csv")
    said = answers.answer(project.parts.open_model(version.digest), frame.drop(columns="fails").to_dict("records"))
    chance = np.array([one.probabilities["1"] for one in said])
    label, least = (chance > 0.1).astype(int), np.minimum(chance * 9, 1 - chance)
    assert [one.label for one in said] == label.astype(str).tolist()
    left = np.array([one.trust is Trust.ABSTAIN for one in said])
    assert (left == (least > 0.8)).all()
    paid = np.where(left, 0.8, np.array([[0.0, 1.0], [9.0, 0.0]])[frame.fails, label])
    (told,) = (check for check in result.checks if check.name == "costs")
    assert told.numbers["value"] == pytest.approx(paid.mean())
    assert (label != (chance > 0.5)).any()
