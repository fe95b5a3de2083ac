"""What answers are made of: fields and words by SHAP values, the same each time, and what changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mainstay.core.contracts import Pii
from mainstay.models.bundle import open_bundle
from mainstay.models.load import LoadedModel, load
from mainstay.train import explained
from mainstay.train.fit import Rows, read_rows
from mainstay.train.run import Trained, train_candidate
from unit.train.conftest import WORDS, MemorySnapshot, make_frame, write_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Trained, LoadedModel, Rows]:
    root: Path = tmp_path_factory.mktemp("explained")
    loaded = write_project(root / "shop")
    train, test = (MemorySnapshot(f"{n}-1", make_frame(rows, seed=n)) for n, rows in ((1, 160), (2, 80)))
    trained = train_candidate(loaded, pipeline="words", train=train, test=test, folder_bundles=root / "bundles")
    model = load(open_bundle(trained.bundle.path, trained.bundle.digest))
    return loaded, trained, model, read_rows(loaded.contract, test.frame())


def test_training_explains_its_test_rows_by_the_words_of_each_class_and_draws_them(made: Any) -> None:
    _, trained, _, _ = made
    report = trained.evaluation["explained"]
    assert set(report["classes"]) == {"fruit", "tool"}
    for name, found in report["classes"].items():
        assert {one["word"] for one in found["words"][:3]} <= set(WORDS[name])
    assert [one["field"] for one in report["fields"]] == ["text"]
    assert "explained.png" in {path.name for path in trained.plots}


def test_the_same_rows_and_seed_give_the_same_report(made: Any) -> None:
    loaded, _, model, rows = made
    asked = [explained.measure(model, rows, loaded.settings) for _ in range(2)]
    assert asked[0] == asked[1]


def test_words_of_a_personal_field_are_left_out(made: Any) -> None:
    loaded, _, model, rows = made
    hidden = replace(
        model,
        contract=replace(
            model.contract,
            fields=tuple(replace(f, pii=Pii.HASH) if f.name == "text" else f for f in model.contract.fields),
        ),
    )
    report = explained.measure(hidden, rows, loaded.settings)
    assert all(found["words"] == [] for found in report["classes"].values())
    assert report["fields"]


def test_what_changed_is_told_in_words() -> None:
    def report(share: float, words: list[str]) -> dict[str, Any]:
        return {
            "method": "linear",
            "exact": True,
            "rows": 9,
            "fields": [
                {"field": "text", "weight": share, "share": share},
                {"field": "shop", "weight": 1 - share, "share": 1 - share},
            ],
            "classes": {"fruit": {"rows": 4, "unit": "log-odds", "words": [{"word": w} for w in words], "fields": []}},
        }

    now, before = report(0.6, ["pear", "jam", "plum"]), report(0.9, ["apple", "jam", "pear"])
    told = explained.changes(now, before)
    assert "text bears 60% of the weight, before 90%" in told
    assert "fruit: new plum; gone apple" in told
    found = explained.check(now, before)
    assert not found.applies
    assert "Beside the champion" in found.reason
    assert "the same fields and words lead" in explained.check(now, now).reason
    assert "it was not measured" in explained.check(None, None).reason


def test_a_model_that_raises_or_no_row_says_so(made: Any) -> None:
    loaded, _, model, rows = made
    assert explained.measure(model, rows.take(np.zeros(0, dtype=np.int64)), loaded.settings)["why_not"]

    class Raising:
        def predict(self, rows: Any) -> Any:
            raise ValueError("no")

    broken = replace(model, estimator=None, program=None, fitted=model.classes, outside=Raising())
    found = explained.measure(broken, rows, loaded.settings)
    assert "ValueError" in found["why_not"]
    assert explained.check(found, None).applies is False
