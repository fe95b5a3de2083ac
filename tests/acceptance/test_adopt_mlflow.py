"""`mainstay adopt` as a user runs it: a registry, a file of rows, a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mainstay.cli.main import app
from mlflow_kit import INPUTS, Shelf, flowers, signature

FIT, HELD = flowers()
ENVIRON = {
    name: value for name, value in os.environ.items() if not name.startswith(("MAINSTAY", "MLFLOW_TRACKING", "COV"))
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    from sklearn.linear_model import LogisticRegression

    found = Shelf(root=tmp_path_factory.mktemp("shelf"))
    fitted = LogisticRegression(max_iter=500).fit(FIT[INPUTS], FIT.kind)
    said = signature(FIT[INPUTS], FIT.kind.to_numpy())
    found.log("sklearn", "flower", sk_model=fitted, signature=said, pip_requirements=["scikit-learn"])
    HELD.to_csv(found.root / "held.csv", index=False)
    return found


def run(shelf: Shelf, cwd: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "adopt", *arguments],
        cwd=cwd,
        env=ENVIRON | {"MLFLOW_TRACKING_URI": shelf.address},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def project(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mainstay", *arguments],
        cwd=folder,
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.slow
def test_a_registered_model_and_a_csv_file_become_a_project_that_answers(shelf: Shelf, tmp_path: Path) -> None:
    held = str(shelf.root / "held.csv")
    done = run(shelf, tmp_path, "models:/flower/1", "--reference", held, "--target", "kind", "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["flavor"], told["version"], told["stage"]) == ("sklearn", "flower@1", "certified")
    assert told["answers"]
    assert told["accuracy_known"]
    assert told["metrics"]["accuracy"]["value"] > 0.85
    assert "the same label as MLflow's own prediction on all 80 reference rows" in told["notes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flower"]
    assert project(tmp_path / "flower", "check").returncode == 0
    status = json.loads(project(tmp_path / "flower", "status", "--json").stdout)
    assert status["answering"]["name"] == "flower@1"


@pytest.mark.slow
def test_without_truth_the_way_on_is_printed_and_works(shelf: Shelf, tmp_path: Path) -> None:
    held = str(shelf.root / "held.csv")
    done = run(shelf, tmp_path, "models:/flower/1", "--reference", held, "--name", "blind")
    assert "how right it is, is not known" in done.stdout
    assert "mainstay promote 1 --force" in done.stdout
    blind = tmp_path / "blind"
    assert project(blind, "check").returncode == 0
    assert project(blind, "train").returncode == 2
    promoted = project(blind, "promote", "1", "--force", "--reason", "agreed with the owner")
    assert "blind@1 answers" in promoted.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["models:/flower/7", "--reference", "HELD"], 2, "versions that exist: 1"),
        (["models:/flowre/1", "--reference", "HELD"], 2, "Did you mean models:/flower?"),
        (["models:/flower/1", "--reference", "none.parquet"], 3, "there is no none.parquet"),
        (["models:/flower/1", "--reference", "empty.csv"], 3, "empty.csv is empty (0 bytes)"),
        (["models:/flower/1", "--reference", "other.csv"], 3, "petal_length: is an input of the model (float64)"),
        (["models:/flower/1", "--reference", "words.csv"], 3, "petal_width: is float64 in the model's signature"),
        (["models:/flower/1", "--reference", "HELD", "--target", "kidn"], 2, "did you mean 'kind'?"),
        (["models:/flower/1", "--reference", "HELD", "--target", "kind", "--classes", "a,a"], 2, "each once"),
        (["models:/flower/1", "--reference", "HELD", "--target", "kind", "--classes", "a,b,c"], 2, "the target holds"),
        (["nowhere", "--reference", "HELD"], 2, "there is no model at 'nowhere'"),
        (["taken", "--reference", "HELD"], 2, "holds no MLmodel file"),
        (["models:/flower/1", "--reference", "HELD", "--folder", "taken"], 2, "is there already"),
        (["models:/flower/1", "--reference", "HELD", "--tracking-uri", "sqlite:///no.db"], 6, "no MLflow registry at"),
        (["models:/flower/1", "--reference", "HELD", "--tracking-uri", "http://127.0.0.1:9"], 6, "127.0.0.1:9"),
        (["models:/flower/1", "--reference", "HELD", "--name", "a/b"], 2, "no name for a model"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    HELD.rename(columns={"petal_length": "petal_lenght"}).to_csv(tmp_path / "other.csv", index=False)
    HELD.assign(petal_width="wide").to_csv(tmp_path / "words.csv", index=False)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine", encoding="utf-8")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    given = [str(shelf.root / "held.csv") if one == "HELD" else one for one in arguments]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shelf.address)
    done = CliRunner().invoke(app, ["adopt", *given])
    assert done.exit_code == code, done.stderr
    assert told in done.stderr
    assert "Remedy: " in done.stderr
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_the_remedy_for_a_misspelled_column_names_the_nearest(shelf: Shelf, tmp_path: Path) -> None:
    HELD.rename(columns={"petal_length": "petal_lenght"}).to_csv(tmp_path / "other.csv", index=False)
    done = run(shelf, tmp_path, "models:/flower/1", "--reference", "other.csv", "--json", code=3)
    (problem,) = json.loads(done.stdout)["error"]["problems"]
    assert (problem["where"], problem["nearest"]) == ("petal_length", "petal_lenght")
