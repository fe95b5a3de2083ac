from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mainstay.config.load import Loaded
from mainstay.config.settings import Settings
from mainstay.models.load import load
from mainstay.train import baselines, choose, run, runs
from mainstay.train.choose import PipelineScore, take
from mainstay.train.fit import read_rows
from mainstay.train.splits import comparison_splits, held_apart

from .conftest import TOML, MemorySnapshot, make_frame, write_project

TIMED = TOML.replace('key = "buyer"\n', 'key = "buyer"\ntime = "at"\n').replace(
    "[target]", '[fields.at]\ntype = "timestamp"\nrole = "ignored"\nrequired = false\n[target]'
)
BY_TIME = TIMED.replace('test = "test.csv"', 'test = { share = 0.2, by = "time" }')


def timed(frame: pl.DataFrame) -> pl.DataFrame:
    days = pl.Series("at", [f"2026-01-{1 + i % 28:02d}T00:00:00Z" for i in range(frame.height)])
    return frame.with_columns(days)


def choosing(rule: str, margin: float = 0.01) -> Settings:
    train = Settings().train.model_copy(update={"choose": rule, "choose_margin": margin})
    return Settings().model_copy(update={"train": train})


def score(name: str, value: float, *, worse: float = 0.0, error: float = 0.0, us: float = 1.0) -> PipelineScore:
    return PipelineScore(
        name=name,
        value=value,
        overall=value,
        folds=(value,),
        us_per_row=us,
        worse=worse,
        low=worse - 3 * error,
        high=worse + 3 * error,
        error=error,
    )


RANKED = [
    score("large", 0.90, us=50.0),
    score("middle", 0.895, worse=0.005, error=0.001, us=10.0),
    score("small", 0.89, worse=0.01, error=0.02, us=1.0),
    score("tiny", 0.80, worse=0.10, error=0.01, us=0.5),
]
ORDER = ["tiny", "small", "middle", "large"]


@pytest.mark.parametrize(
    ("rule", "margin", "taken"),
    [("best", 0.01, "large"), ("simplest", 0.01, "small"), ("cheapest", 0.01, "middle"), ("cheapest", 0.08, "small")],
)
def test_the_declared_rule_decides_and_says_so(rule: str, margin: float, taken: str) -> None:
    found, why = take(RANKED, ORDER, choosing(rule, margin))
    assert found == taken
    assert why.startswith(taken)
    assert "It is a tie: small is not shown to be worse." in why


def test_equal_speeds_leave_the_choice_to_the_order() -> None:
    ranked = [score("b", 0.9, us=1.0), score("a", 0.9, us=1.05)]
    assert take(ranked, ["a", "b"], choosing("cheapest"))[0] == "a"


def test_the_comparison_is_paired_corrected_and_told(project: Loaded, train: MemorySnapshot) -> None:
    from mainstay.stats.resampled import corrected

    choice = choose.choose_pipeline(project, train, ["blind", "words"])  # type: ignore[arg-type]
    best, other = choice.scores
    found = corrected(np.array(best.folds) - np.array(other.folds), test_to_train=0.25)
    assert (other.worse, other.low, other.high) == pytest.approx((found.mean, found.low, found.high))
    assert not other.ties
    document = choice.as_dict()
    assert (document["taken"], document["how"]) == ("words", "5 folds by buyer")
    assert [one["name"] for one in document["scores"]] == ["words", "blind"]
    children = runs.of_candidates(choice)
    assert [child.tags["mainstay.taken"] for child in children] == ["true", "false"]
    assert [len(child.steps["fold_accuracy"]) for child in children] == [5, 5]


def test_the_same_pipeline_twice_is_a_tie_that_the_sentence_names(tmp_path: Path, train: MemorySnapshot) -> None:
    toml = TOML.replace("lower =", 'again = { build = "model:build_words", input = "text" }\nlower =')
    choice = choose.choose_pipeline(write_project(tmp_path / "p", toml), train, ["words", "again"])  # type: ignore[arg-type]
    assert choice.best == "words"
    assert "It is a tie: again is not shown to be worse." in choice.text


def test_repeats_draw_other_folds_and_keep_the_first_for_training(tmp_path: Path, train: MemorySnapshot) -> None:
    loaded = write_project(tmp_path / "p", TOML.replace('pipeline = "words"', "repeats = 3"))
    choice = choose.choose_pipeline(loaded, train, ["words", "blind"])  # type: ignore[arg-type]
    assert {len(one.folds) for one in choice.scores} == {15}
    once = choose.choose_pipeline(write_project(tmp_path / "q"), train, ["words", "blind"])  # type: ignore[arg-type]
    assert choice.held_out is not None
    assert once.held_out is not None
    assert np.array_equal(choice.held_out.output, once.held_out.output)


def test_latest_test_rows_are_compared_forward_in_time(tmp_path: Path) -> None:
    loaded = write_project(tmp_path / "p", BY_TIME)
    rows = read_rows(loaded.contract, timed(make_frame(120, seed=1)))
    splits = comparison_splits(loaded.settings, loaded.contract, rows, seed=1, repeats=4)
    at = np.array([row["at"] for row in rows.values])
    assert len(splits.parts) == 5
    assert splits.fold is None
    for part in splits.parts:
        assert max(at[part.fit]) < min(at[part.held])
        assert not set(part.fit.tolist()) & set(part.held.tolist())
    held = np.concatenate([part.held for part in splits.parts])
    assert len(set(held.tolist())) == len(held) > 90
    choice = choose.choose_pipeline(loaded, MemorySnapshot("t", timed(make_frame(120, seed=1))), ["words", "blind"])  # type: ignore[arg-type]
    assert (choice.best, choice.held_out) == ("words", None)


def test_declared_folds_are_those_that_compare_and_calibrate(tmp_path: Path, test: MemorySnapshot) -> None:
    toml = TOML.replace('key = "buyer"\n', 'key = "buyer"\nfolds = { by = "stratum", stratum = "shop", count = 3 }\n')
    loaded = write_project(tmp_path / "p", toml)
    train = MemorySnapshot("t", make_frame(120, seed=1))
    choice = choose.choose_pipeline(loaded, train, ["words", "blind"])  # type: ignore[arg-type]
    assert choice.how == "3 folds by stratum"
    assert choice.held_out is not None
    more: Any = {"folder_bundles": loaded.state / "bundles", "train": train, "test": test, "pipeline": "words"}
    alone, known = run.train_candidate(loaded, **more), run.train_candidate(loaded, held_out=choice.held_out, **more)
    assert alone.bundle.digest == known.bundle.digest


def test_rows_of_a_key_are_held_out_together(tmp_path: Path) -> None:
    loaded = write_project(tmp_path / "p")
    rows = read_rows(loaded.contract, make_frame(120, seed=1, per_key=4))
    splits = comparison_splits(loaded.settings, loaded.contract, rows, seed=1, repeats=2)
    for part in splits.parts:
        keys = [{rows.keys[i] for i in side.tolist()} for side in (part.fit, part.held)]  # type: ignore[index]
        assert not keys[0] & keys[1]


def test_rows_set_apart_calibrate_and_are_never_fitted_on(tmp_path: Path, test: MemorySnapshot) -> None:
    toml = TOML.replace('pipeline = "words"', 'pipeline = "words"\ncalibrate = "held_out"\ncalibrate_share = 0.5')
    loaded = write_project(tmp_path / "p", toml)
    train = MemorySnapshot("t", make_frame(400, seed=1, per_key=2))
    rows, apart = held_apart(loaded.settings, loaded.contract, read_rows(loaded.contract, train.data))
    assert apart is not None
    assert len(rows) + len(apart) == 400
    assert not set(rows.keys or ()) & set(apart.keys or ())
    trained = run.train_candidate(
        loaded,
        pipeline="words",
        train=train,  # type: ignore[arg-type]
        test=test,  # type: ignore[arg-type]
        folder_bundles=loaded.state / "bundles",
    )
    model = load(trained.bundle)
    assert (model.calibration.rows, model.calibration.source) == (len(apart), "holdout")
    assert "held-out rows" in model.calibration.why
    seen = {word for row in rows.values for word in row["text"].split()}
    assert model.vocabulary["text"] <= seen


def fitted(tmp_path: Path, toml: str, train: MemorySnapshot, test: MemorySnapshot, **more: Any) -> run.Trained:
    loaded = write_project(tmp_path, toml)
    folder = loaded.state / "bundles"
    return run.train_candidate(loaded, pipeline="words", train=train, test=test, folder_bundles=folder, **more)  # type: ignore[arg-type]


def test_costs_weights_and_maps_are_in_the_bundle_and_come_out_again(
    tmp_path: Path, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    toml = TIMED.replace(
        '[train]\npipeline = "words"\n',
        "[decide]\ncosts = { fruit = { tool = 8.0 } }\nabstain = 0.4\n"
        '[train]\npipeline = "words"\nclass_weight = "balanced"\nhalf_life_days = 7.0\nprobabilities = "sigmoid"\n',
    )
    days, later = replace(train, data=timed(train.data)), replace(test, data=timed(test.data))
    first = fitted(tmp_path / "a", toml, days, later)
    model = load(first.bundle)
    assert model.thresholds.decision is not None
    assert model.thresholds.decision.costs == ((0.0, 1.0), (8.0, 0.0))
    assert model.calibration.probabilities is not None
    assert len(model.calibration.probabilities.offsets) == 2
    evaluation = first.evaluation
    assert evaluation["weights"]["half_life_days"] == 7.0
    assert evaluation["probabilities"]["method"] == "sigmoid"
    assert evaluation["decision"]["rule"] == "bayes"
    for name in ("brier", "ece"):
        measured = evaluation["confidence"]["measures"][name]
        assert measured["low"] <= measured["change"] <= measured["high"]
    assert evaluation["costs"]["value"] <= evaluation["costs"]["most_probable"] + 0.2
    assert fitted(tmp_path / "b", toml, days, later).bundle.digest == first.bundle.digest
    plain = fitted(tmp_path / "c", TIMED, days, later)
    assert plain.bundle.digest != first.bundle.digest
    assert load(plain.bundle).thresholds.decision is None


def test_costs_compare_candidates_by_probabilities_that_other_folds_calibrated(
    tmp_path: Path, train: MemorySnapshot
) -> None:
    """The same pipeline whose probabilities are bent to certainty: by costs it is as good, once they are mapped."""
    model = """
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
import numpy as np


class Bent(LogisticRegression):
    def predict_proba(self, given):
        odds = np.exp(np.clip(6 * self.decision_function(given), -30, 30))
        return np.column_stack([1 / (1 + odds), odds / (1 + odds)])


def build_words(params):
    return make_pipeline(CountVectorizer(), LogisticRegression())


def build_blind(params):
    return make_pipeline(CountVectorizer(), Bent())
"""
    costly = TOML + "[decide]\ncosts = { tool = { fruit = 6.0 } }\n"
    found = {}
    for name, toml in (
        ("mapped", costly),
        ("raw", costly.replace("[train]\n", '[train]\nprobabilities = "as_they_are"\n')),
    ):
        loaded = write_project(tmp_path / name, toml)
        (loaded.root / "model.py").write_text(model)
        choice = choose.choose_pipeline(loaded, train, ["words", "blind"])  # type: ignore[arg-type]
        assert choice.metric == "cost"
        found[name] = {one.name: one.value for one in choice.scores}
    assert found["raw"]["blind"] != found["raw"]["words"]
    assert found["mapped"]["blind"] == pytest.approx(found["mapped"]["words"], abs=0.01)


def test_a_version_that_does_not_beat_a_simple_model_says_so() -> None:
    beaten = {"value": 0.5, "gain": 0.3, "low": 0.2, "high": 0.4}
    not_beaten = {"value": 0.9, "gain": -0.01, "low": -0.05, "high": 0.02}
    report = {"metric": "accuracy", "rows": 100, "trivial": beaten, "simple": not_beaten}
    told = baselines.shortfall(report)
    assert "worth its complexity" in told
    assert "is not shown to beat a simple model" in told
    assert "looks at nothing" not in told
    assert baselines.shortfall({**report, "simple": beaten}) == ""
    assert baselines.shortfall(None) == ""


def test_the_table_of_candidates_shows_what_is_taken_and_what_ties() -> None:
    from rich.console import Console

    from mainstay.cli import reports

    ranked = [score("large", 0.9), replace(score("small", 0.89, worse=0.01, error=0.02), us_per_row=float("nan"))]
    choice = choose.Choice(
        best="large", metric="accuracy", decided_on="all", rows=99, scores=tuple(ranked), how="5 folds by buyer"
    )
    console = Console(width=140, record=True, file=io.StringIO())
    for part in reports.candidates_table(choice.as_dict()):
        console.print(part)
    text = console.export_text()
    for wanted in ("5 folds by buyer, 99 all rows", "taken", "a tie", "+0.0100 (-0.0500 to +0.0700)"):
        assert wanted in text
    assert reports.candidates_table({}) == []
