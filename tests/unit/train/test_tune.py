"""A search for parameters: pruned, gone on with after a kill, reproducible, and what it must not do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mainstay.config import crosscheck
from mainstay.config.load import Loaded
from mainstay.config.settings import SearchSettings, Settings
from mainstay.core.errors import EnvironmentFault, ProjectFileError
from mainstay.models.load import load
from mainstay.train import paths, run, runs
from mainstay.train.select import select
from mainstay.train.tune import DATABASE, LOCK, search

from .conftest import TOML, MemorySnapshot, make_frame, write_project

SEARCHED = TOML.replace(
    'words = { build = "model:build_words", input = "text" }',
    'words = { build = "model:build_words", input = "text", params = { C = 1e-4, words = { least = 1 } }, tune = { '
    'C = { low = 1e-4, high = 10.0, log = true }, "words.least" = { low = 1, high = 3 }, '
    "logisticregression__fit_intercept = { choices = [true, false] } } }",
).replace('pipeline = "words"', 'pipeline = "words"\ntune = { trials = 6 }')
FEW = SEARCHED.replace("trials = 6", "trials = 3")
MODEL = """
import os, signal
from pathlib import Path
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline


class Counted(LogisticRegression):
    def fit(self, given, truth):
        if "DIE_AT" in os.environ:
            with open(os.environ["FITS"], "a") as file:
                file.write("x")
            if Path(os.environ["FITS"]).stat().st_size == int(os.environ["DIE_AT"]):
                os.kill(os.getpid(), signal.SIGKILL)
        if self.C > 5:
            raise ValueError("too large")
        return super().fit(given, truth)


def build_words(params):
    vectors = CountVectorizer(min_df=params["words"]["least"])
    return Pipeline([("countvectorizer", vectors), ("logisticregression", Counted(C=params["C"]))])


def build_blind(params):
    return build_words({"C": 1e-4, "words": {"least": 1}})


def space(trial):
    return {"C": trial.suggest_float("C", 1e-4, 1.0, log=True), "words.least": 1}


def odd(trial):
    return {"C": object()}
"""


def searched(root: Path, toml: str = SEARCHED) -> Loaded:
    loaded = write_project(root, toml)
    (root / "model.py").write_text(MODEL)
    return loaded


@pytest.fixture(scope="module")
def rows() -> MemorySnapshot:
    return MemorySnapshot("train-1", make_frame(80, seed=1, noise=0.2))


SCRIPT = """
import sys
from pathlib import Path
from types import SimpleNamespace
import polars as pl
from mainstay.config import load
from mainstay.train.tune import search

here = Path(sys.argv[1])
frame = pl.read_parquet(here / "train.parquet")
train = SimpleNamespace(id="train-1", rows=frame.height, frame=lambda: frame)
search(load.load(here / "shop", environ={}), train, "words")
"""


def test_a_search_that_was_killed_goes_on_and_finds_what_one_that_was_not_would_have_found(
    tmp_path: Path, rows: MemorySnapshot
) -> None:
    rows.data.write_parquet(tmp_path / "train.parquet")
    loaded = searched(tmp_path / "shop")
    environ = os.environ | {"PYTHONPATH": ":".join(sys.path), "FITS": str(tmp_path / "fits"), "DIE_AT": "18"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environ, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    killed = search(loaded, rows, "words")  # type: ignore[arg-type]
    whole = search(searched(tmp_path / "other"), rows, "words")  # type: ignore[arg-type]
    assert killed.study == whole.study
    assert 0 < killed.known < 6
    assert whole.known == 0
    assert [(one.params, one.value, one.folds, one.state) for one in killed.tries] == [
        (one.params, one.value, one.folds, one.state) for one in whole.tries
    ]
    assert (killed.best, killed.value, killed.declared) == (whole.best, whole.value, whole.declared)
    assert f"{killed.known} of them from before" in killed.told


def test_a_finished_search_is_not_done_again_and_other_data_or_space_begin_another(
    tmp_path: Path, rows: MemorySnapshot
) -> None:
    first = search(searched(tmp_path / "shop", FEW), rows, "words")  # type: ignore[arg-type]
    again = search(searched(tmp_path / "shop", FEW), rows, "words")  # type: ignore[arg-type]
    assert (again.known, again.tries) == (3, first.tries)
    more = searched(tmp_path / "shop", FEW.replace("trials = 3", "trials = 4"))
    assert search(more, rows, "words").known == 3  # type: ignore[arg-type]
    other = MemorySnapshot("train-2", rows.data)
    assert search(more, other, "words").known == 0  # type: ignore[arg-type]
    narrow = searched(tmp_path / "shop", FEW.replace("high = 3", "high = 2"))
    assert search(narrow, rows, "words").known == 0  # type: ignore[arg-type]
    assert (tmp_path / "shop" / ".mainstay" / DATABASE).stat().st_mode & 0o077 == 0


def test_what_is_found_is_trained_kept_in_the_lineage_and_comes_out_again_without_a_search(
    tmp_path: Path, rows: MemorySnapshot, test: MemorySnapshot
) -> None:
    steps: list[str] = []
    loaded = searched(tmp_path / "shop")
    chosen = select(loaded, rows, ["words"], progress=lambda step, _done, _total: steps.append(step))  # type: ignore[arg-type]
    found = chosen.searches["words"]
    assert found.best
    assert found.value > found.declared
    assert any(step.startswith("tune words 6 of 6, best accuracy 0.") for step in steps)
    more: dict[str, Any] = {"pipeline": "words", "train": rows, "test": test}
    trained = run.train_candidate(loaded, tuned=found.best, folder_bundles=tmp_path / "a", **more)
    assert trained.lineage["tuned"] == found.best
    estimator = load(trained.bundle, original=True).estimator.named_steps["logisticregression"]
    assert found.best["C"] == estimator.C
    assert estimator.fit_intercept is found.best["logisticregression__fit_intercept"]
    kept = trained.bundle.json("lineage.json")["tuned"]
    (tmp_path / "shop" / ".mainstay" / DATABASE).unlink()
    again = run.train_candidate(loaded, tuned=kept, folder_bundles=tmp_path / "b", **more)
    assert again.bundle.digest == trained.bundle.digest


def test_every_try_is_a_run_below_the_versions_own(tmp_path: Path, rows: MemorySnapshot) -> None:
    chosen = select(searched(tmp_path / "shop"), rows, ["words", "blind"])  # type: ignore[arg-type]
    tries = [child for child in runs.below(chosen) if child.tags["mainstay.kind"] == "try"]
    assert len(tries) == 6
    for child, one in zip(tries, chosen.searches["words"].tries, strict=True):
        assert child.params == one.params
        assert child.status == {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}[one.state]
    assert "FAILED" in {child.status for child in tries} or all(
        one.params["C"] <= 5 for one in chosen.searches["words"].tries
    )
    assert chosen.scores[0].name == "words"


def test_poor_tries_are_given_up_before_their_last_fold(tmp_path: Path, rows: MemorySnapshot) -> None:
    toml = SEARCHED.replace("trials = 6", "trials = 10")
    found = search(searched(tmp_path / "a", toml), rows, "words")  # type: ignore[arg-type]
    early = [one for one in found.tries if one.state == "pruned"]
    assert early
    assert all(2 <= len(one.folds) < 5 for one in early)
    whole = search(searched(tmp_path / "b", toml.replace("trials = 10", "trials = 6, prune = false")), rows, "words")  # type: ignore[arg-type]
    assert whole.counted("pruned") == 0


def test_a_space_may_be_a_function_and_must_give_plain_values(tmp_path: Path, rows: MemorySnapshot) -> None:
    toml = (
        SEARCHED[: SEARCHED.index(", tune = { C")]
        + ', tune_by = "model:space" }'
        + SEARCHED[SEARCHED.index("\nblind") :]
    )
    found = search(searched(tmp_path / "shop", toml.replace("trials = 6", "trials = 3")), rows, "words")  # type: ignore[arg-type]
    assert [set(one.params) for one in found.tries] == [{"C", "words.least"}] * 3
    with pytest.raises(Exception, match="a text, a number"):
        search(searched(tmp_path / "odd", toml.replace("model:space", "model:odd")), rows, "words")  # type: ignore[arg-type]


def test_a_name_that_the_estimator_does_not_have_is_told_with_the_nearest(tmp_path: Path, rows: MemorySnapshot) -> None:
    wrong = SEARCHED.replace("logisticregression__fit_intercept", "logisticregression__fit_intercep")
    with pytest.raises(ProjectFileError, match="did you mean 'logisticregression__fit_intercept'"):
        search(searched(tmp_path / "shop", wrong), rows, "words")  # type: ignore[arg-type]


def test_no_try_begins_when_the_seconds_are_spent(tmp_path: Path, rows: MemorySnapshot) -> None:
    toml = SEARCHED.replace("trials = 6", "trials = 6, seconds = 1e-6")
    found = search(searched(tmp_path / "shop", toml), rows, "words")  # type: ignore[arg-type]
    assert len(found.tries) == 1


def test_one_training_searches_at_a_time(tmp_path: Path, rows: MemorySnapshot) -> None:
    import fcntl

    loaded = searched(tmp_path / "shop")
    loaded.state.mkdir(parents=True)
    with (loaded.state / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentFault, match="another training"):
            search(loaded, rows, "words")  # type: ignore[arg-type]


def test_without_optuna_the_line_that_installs_it_is_told(
    tmp_path: Path, rows: MemorySnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(EnvironmentFault) as caught:
        search(searched(tmp_path / "shop"), rows, "words")  # type: ignore[arg-type]
    assert "pip install 'mainstay[tuning]'" in caught.value.remedy


def test_parameters_go_where_their_path_leads() -> None:
    made, after = paths.laid_over(
        {"C": 1, "words": {"least": 1, "most": 9}}, {"C": 2, "words.least": 3, "new.deep.one": 4, "step__alpha": 5}
    )
    assert made == {"C": 2, "words": {"least": 3, "most": 9}, "new": {"deep": {"one": 4}}}
    assert after == {"step__alpha": 5}


@pytest.mark.parametrize(
    ("one", "told"),
    [
        ({}, "neither a range nor choices"),
        ({"low": 1}, "neither a range nor choices"),
        ({"low": 1, "high": 2, "choices": ["a"]}, "neither a range nor choices"),
        ({"low": 2.0, "high": 1.0}, "is not below high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "has no logarithm"),
        ({"low": 1.0, "high": 2.0, "log": True, "step": 0.5}, "means nothing for a logarithm"),
        ({"choices": ["a", "a"]}, "the same entry twice"),
        ({"choices": ["a", "b"], "log": True}, "no log and no step"),
    ],
)
def test_a_space_that_cannot_be_searched_is_named(one: dict[str, Any], told: str) -> None:
    given = SearchSettings.model_validate(one).model_dump()
    settings = Settings.model_validate(
        {
            "target": {"field": "kind", "classes": ("a", "b")},
            "fields": {"x": {"type": "number"}},
            "train": {"pipelines": {"p": {"build": "model:build", "tune": {"C": given}}}},
        }
    )
    found = [
        problem
        for path, problem in crosscheck.check_all(settings)
        if path[:5] == ("train", "pipelines", "p", "tune", "C")
    ]
    assert any(told in problem.what for problem in found)
