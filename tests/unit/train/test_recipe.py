"""A version beside its own recipe: one that saw the test rows is told from one that did not, and one that is random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mainstay.config.load import Loaded
from mainstay.core.verdicts import Verdict
from mainstay.models.load import LoadedModel
from mainstay.train import recipe
from mainstay.train.fit import Rows, read_rows
from mainstay.train.run import Trained, train_candidate
from unit.train.conftest import MemorySnapshot, make_frame, write_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Trained, Rows, Rows]:
    """A model of words, of which some stand in one row alone."""
    root = tmp_path_factory.mktemp("made")
    loaded = write_project(root / "shop")
    train = MemorySnapshot("train-1", make_frame(400, seed=1, noise=0.3))
    test = MemorySnapshot("test-1", make_frame(400, seed=2, noise=0.3))
    trained = train_candidate(loaded, pipeline="words", train=train, test=test, folder_bundles=root / "bundles")
    rows = [read_rows(loaded.contract, one.frame()) for one in (train, test)]
    return loaded, trained, *rows


def opened(trained: Trained) -> LoadedModel:
    from mainstay.models.bundle import open_bundle
    from mainstay.models.load import load

    return load(open_bundle(trained.bundle.path, trained.bundle.digest))


def test_training_measures_the_gap_beside_its_fold_models_and_rules_out_that_test_rows_were_seen(made: Any) -> None:
    _, trained, _, _ = made
    report = trained.evaluation["seen"]
    assert report["seen"] > 0
    assert report["share"] < 0.5
    found = recipe.seen_check(report)
    assert (found.verdict, found.applies) == (Verdict.PASS, True)


def test_a_model_of_the_same_recipe_that_saw_the_test_rows_is_refused(made: Any) -> None:
    loaded, trained, train, test = made
    model = opened(trained)
    crossed = recipe.cross_fitted(loaded, model, train, test)
    taught = recipe.fitted_on(loaded, model, train, test, taught=True)
    assert isinstance(taught, LoadedModel)
    report = recipe.seen_by(taught, test, crossed, seed=1)
    found = recipe.seen_check(report)
    assert (found.verdict, found.applies) == (Verdict.FAIL, True)
    assert report["share"] > 0.7
    assert recipe.seen_check(recipe.seen_by(model, test, crossed, seed=1)).verdict is Verdict.PASS


def test_what_cannot_be_measured_says_why_and_never_passes(made: Any) -> None:
    loaded, trained, train, test = made
    model = opened(trained)
    none = recipe.seen(model, train, test, None, seed=1)
    for report in (None, none, {"why_not": "no"}):
        found = recipe.seen_check(report)
        assert (found.verdict, found.applies) == (Verdict.NOT_ENOUGH, False)
    model.lineage = {**model.lineage, "adopted": True}
    assert "not fitted here" in str(recipe.cross_fitted(loaded, model, train, test))
    model.lineage = {**model.lineage, "adopted": False, "code": "other"}
    assert "not the one" in str(recipe.cross_fitted(loaded, model, train, test))


@pytest.mark.parametrize(
    "numbers",
    [
        {"seen": 0.0, "held_out": float("nan"), "share": None, "low": None, "high": None, "gap_is_known": False},
        {"seen": -0.1, "held_out": 0.1, "share": None, "low": None, "high": -0.1, "gap_is_known": False},
    ],
)
def test_a_gap_that_is_not_known_never_passes(numbers: dict[str, Any]) -> None:
    assert recipe.seen_check({"folds": 5, "rows": 9} | numbers).verdict is Verdict.NOT_ENOUGH


def test_a_gap_that_would_flatter_nobody_refuses_nobody() -> None:
    sure = {"folds": 5, "rows": 300, "seen": 0.00096, "share": 0.77, "low": 0.0001, "high": 0.0009}
    small = recipe.seen_check(sure | {"held_out": 0.00074, "least": 0.005, "gap_is_known": True})
    assert (small.verdict, small.applies) == (Verdict.NOT_ENOUGH, False)
    assert "flatter nobody: less than 0.005" in small.reason
    large = recipe.seen_check(sure | {"held_out": 0.0074, "least": 0.005, "gap_is_known": True})
    assert (large.verdict, large.applies) == (Verdict.FAIL, True)


def test_the_same_recipe_comes_out_again_and_one_that_draws_lots_does_not(made: Any, tmp_path: Path) -> None:
    loaded, trained, train, test = made
    model = opened(trained)
    twin = recipe.fitted_on(loaded, model, train, test)
    same = recipe.again_check(recipe.again(model, twin, test), asked=True)
    assert (same.verdict, same.applies) == (Verdict.PASS, True)
    other = recipe.fitted_on(loaded, model, train.take(np.arange(len(train) - 40)), test)
    assert recipe.again_check(recipe.again(model, other, test), asked=True).verdict is Verdict.FAIL


def test_whether_it_comes_out_again_is_asked_only_where_it_is_declared() -> None:
    assert not recipe.again_check(None, asked=False).applies
    for report in (None, {"why_not": "adopted"}, {"rows": 0, "largest": 0.0}):
        found = recipe.again_check(report, asked=True)
        assert (found.verdict, found.applies) == (Verdict.NOT_ENOUGH, True)
    assert recipe.again_check({"rows": 3, "largest": None}, asked=True).verdict is Verdict.FAIL
