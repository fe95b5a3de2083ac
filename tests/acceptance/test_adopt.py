"""A notebook's model is adopted, answers as it did there, is trained again, and is refused where it was tampered with.

The notebook is a process of its own, as its classes and functions are in its __main__; whoever asks afterwards is
another process that has seen none of its code.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

import mainstay
from mainstay import Project
from mainstay.adoption.adopt import Adopted
from mainstay.core.errors import GateFailed
from mainstay.core.releases import Stage
from ports_kit import free_port

ROOT = Path(__file__).parents[2]
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")}
ENVIRON["PYTHONPATH"] = str(ROOT / "src")
SAME = 1e-12
REGISTRY = "MAINSTAY_REGISTRY__URL"


def load_bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("adoptions", ROOT / "bench" / "adoptions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCH = load_bench()
needs_data = pytest.mark.skipif(
    not BENCH.DATA.is_dir(), reason="the public data sets are not beside the project (../shared/data)"
)


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mainstay", *arguments],
        cwd=cwd,
        env=ENVIRON | {REGISTRY: os.environ[REGISTRY]},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module", autouse=True)
def one_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Record every project's trainings in one MLflow database: making one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REGISTRY, f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db")
        yield


@pytest.fixture(scope="module")
def from_notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of a model whose transformer is a class of the notebook."""
    folder = tmp_path_factory.mktemp("notebook") / "custom"
    code, out, err = BENCH.adopt("custom", folder)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["stage"] == "certified"
    return folder


@pytest.fixture
def served(from_notebook: Path) -> Iterator[str]:
    port = free_port()
    run = [sys.executable, "-m", "mainstay", "serve", "--port", str(port)]
    server = subprocess.Popen(run, cwd=from_notebook, env=ENVIRON, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not Project.open(from_notebook).ready():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(120)


def test_the_server_answers_as_the_notebook_did(from_notebook: Path, served: str) -> None:
    own = np.load(f"{from_notebook}.own.npy")
    rows = pl.read_parquet(from_notebook / "data" / "test.parquet").drop("target").to_dicts()[:40]
    body = json.dumps({"instances": [{"inputs": row} for row in rows]}).encode()
    request = urllib.request.Request(f"{served}/v1/predict", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        found = json.loads(answer.read())["predictions"]
    said = np.array([[one["probabilities"][name] for name in ("0", "1")] for one in found])
    assert float(np.abs(said - own[:40]).max()) <= SAME


@pytest.mark.slow
def test_a_copy_is_trained_again_once_somebody_vouches_for_it(from_notebook: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(from_notebook, copy, ignore=shutil.ignore_patterns(".mainstay"))
    refused = command("train", "--json", cwd=copy)
    assert refused.returncode == 2
    error = json.loads(refused.stdout)["error"]
    assert "this project has no key of its own" in error["message"]
    assert "mainstay trust" in error["remedy"]
    assert command("trust", cwd=copy).returncode == 0
    trained = command("train", "--json", cwd=copy)
    assert trained.returncode == 0, trained.stderr
    estimator = copy / "adopted" / "estimator.pkl"
    estimator.write_bytes(estimator.read_bytes()[:-1] + b"..")
    altered = command("train", "--json", cwd=copy)
    assert altered.returncode == 2
    assert "it was altered" in json.loads(altered.stdout)["error"]["message"]


def memorised() -> tuple[Any, pd.DataFrame, pd.Series]:
    """Return a model that knows its rows by heart and can tell nothing: the labels are coin throws."""
    draw = np.random.default_rng(3)
    rows = pd.DataFrame(draw.normal(size=(300, 3)), columns=list("abc"))
    truth = pd.Series(draw.choice(["head", "tail"], 300), name="coin")
    return KNeighborsClassifier(1).fit(rows, truth), rows, truth


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    model, rows, truth = memorised()
    said: list[str] = []
    found = mainstay.adopt(
        model, rows, truth, name="coins", folder=tmp_path_factory.mktemp("coins") / "coins", say=said.append
    )
    assert "no holdout was given" in said[0]
    assert (found.difference, found.compared) == (0.0, 300)
    return found


def test_without_a_holdout_nothing_is_measured_on_rows_that_the_model_knows(by_heart: Adopted) -> None:
    metrics = by_heart.version.metrics
    assert 0.35 < metrics["accuracy"]["value"] < 0.65
    profile = json.loads(next(by_heart.folder.glob(".mainstay/bundles/*/profile/profile.json")).read_text())
    assert profile["source"] == "out_of_fold"
    assert 0.35 < profile["accuracy"] < 0.65
    assert 0.35 < profile["mean_confidence"] < 0.65  # the model itself is sure of everything
    assert "# Note: no holdout was given" in (by_heart.folder / "mainstay.toml").read_text()


def test_a_later_version_is_not_held_against_rows_that_the_adopted_one_knows(by_heart: Adopted) -> None:
    result = Project.open(by_heart.folder).train()
    checks = {check.name: check for check in result.checks}
    assert result.passed
    assert not checks["not_worse"].applies
    assert "saw these rows" in checks["not_worse"].reason
    assert Project.open(by_heart.folder).status().answering.name == "coins@1"  # type: ignore[union-attr]


def test_a_floor_cannot_be_shown_on_rows_that_the_model_knows(tmp_path: Path) -> None:
    model, rows, truth = memorised()
    settings = {"gate": {"floors": {"accuracy": 0.9}}}
    with pytest.raises(GateFailed, match="saw these rows"):
        mainstay.adopt(model, rows, truth, name="coins", folder=tmp_path / "coins", settings=settings, say=None)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_looks_at_other_rows_is_refused_by_the_gate_and_leaves_nothing(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(draw.normal(size=(200, 2)), columns=["a", "b"])
    truth = rows["a"] + draw.normal(size=200)
    model = Ridge().fit(rows - rows.mean(), truth)
    with pytest.raises(GateFailed, match="row_independence"):
        mainstay.adopt(
            model,
            rows,
            truth,
            name="means",
            folder=tmp_path / "means",
            features=lambda frame: frame - frame.mean(),
            holdout=(rows + 1, truth),
            say=None,
        )
    assert list(tmp_path.iterdir()) == []


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BENCH.PIPELINES if name not in ("custom", "multi-output")])
def test_a_real_pipeline_answers_as_its_notebook_did_and_is_trained_again(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    code, out, err = BENCH.adopt(name, folder)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["stage"] == Stage.CERTIFIED.value
    assert BENCH.answers(folder)["difference"] <= SAME
    if name in ("xgboost", "regression"):  # labels that are numbers; feature code of the notebook
        trained = command("train", "--json", cwd=folder)
        assert trained.returncode == 0, trained.stderr


def test_a_model_of_several_targets_is_refused(tmp_path: Path) -> None:
    code, _, err = BENCH.adopt("multi-output", tmp_path / "several")
    assert code == 1
    assert "multi-output" in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
