"""Declared features from the project file to a bundle that answers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mainstay.config.load import Loaded, load
from mainstay.core.errors import ProjectFileError
from mainstay.models.bundle import open_bundle
from mainstay.models.featured import sources_of
from mainstay.models.load import load as load_model
from mainstay.status.check import check
from mainstay.train.run import Trained, train_candidate

from .conftest import TOML, MemorySnapshot, write_project

SHARED = """
import mainstay


@mainstay.feature(owner="shared", description="How long the text is")
def length(text: str) -> int:
    return len(text or "")


@mainstay.feature(owner="shared", description="Never used here", dtype="number")
def other(no_field_here):
    return 1.0
"""
OWN = """
import mainstay
import polars as pl


@mainstay.feature(owner="shop", description="The text in lower case", dtype="text", over="columns")
def folded(text: pl.Series) -> pl.Series:
    return text.str.to_lowercase()
"""
MODEL = """

def build_folded(params):
    from sklearn.preprocessing import FunctionTransformer
    columns = make_column_transformer((CountVectorizer(), "folded"), ("passthrough", ["length"]))
    return make_pipeline(columns, LogisticRegression(max_iter=1000))
"""
PIPELINE = 'uses = { build = "model:build_folded", uses = ["length", "folded"], beside = [] }\n'


def project(tmp_path: Path, pipeline: str = PIPELINE) -> Loaded:
    paths = '[features]\npaths = ["features.py", "../shared"]\n'
    loaded = write_project(tmp_path / "shop", TOML.replace("[train]\n", f"{paths}[train]\n") + pipeline)
    (loaded.root / "features.py").write_text(OWN)
    (loaded.root / "model.py").write_text((loaded.root / "model.py").read_text() + MODEL)
    (tmp_path / "shared").mkdir(exist_ok=True)
    (tmp_path / "shared" / "texts.py").write_text(SHARED)
    return loaded


def run(loaded: Loaded, train: MemorySnapshot, test: MemorySnapshot) -> Trained:
    folder = loaded.state / "bundles"
    return train_candidate(loaded, pipeline="uses", train=train, test=test, folder_bundles=folder)  # type: ignore[arg-type]


def test_the_bundle_answers_with_the_features_it_was_trained_with(
    tmp_path: Path, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    loaded = project(tmp_path)
    trained = run(loaded, train, test)
    told = trained.lineage["features"]
    assert told["uses"] == ["length", "folded"]
    assert sorted(told["files"]) == ["../shared/texts.py", "features.py"]
    (tmp_path / "shared" / "texts.py").unlink()
    (loaded.root / "features.py").unlink()
    model = load_model(open_bundle(trained.bundle.path, trained.bundle.digest), original=True)
    rows = [{"text": "Apple JAM", "shop": "north", "buyer": "b"}, {"text": "nail saw", "shop": "south", "buyer": "c"}]
    assert model.features_of(rows).to_dicts() == [
        {"length": 9, "folded": "apple jam"},
        {"length": 8, "folded": "nail saw"},
    ]
    assert np.allclose(model.predict(rows), np.vstack([model.predict(rows[:1]), model.predict(rows[1:])]))
    assert trained.metrics["accuracy"]["value"] > 0.8


def test_another_text_of_a_shared_file_is_another_code(
    tmp_path: Path, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    loaded = project(tmp_path)
    first, again = run(loaded, train, test), run(loaded, train, test)
    assert first.bundle.digest == again.bundle.digest
    shared = tmp_path / "shared" / "texts.py"
    shared.write_text(SHARED.replace('len(text or "")', 'len(text or "") + 0'))
    later = run(loaded, train, test)
    assert later.lineage["code"] != first.lineage["code"]
    assert later.lineage["features"]["files"]["features.py"] == first.lineage["features"]["files"]["features.py"]
    assert sources_of(later.bundle.read("features.py").decode())["../shared/texts.py"] == shared.read_text()


def test_a_project_without_declared_features_has_the_lineage_it_had(
    project: Loaded, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    folder = project.state / "bundles"
    trained = train_candidate(project, pipeline="lower", train=train, test=test, folder_bundles=folder)  # type: ignore[arg-type]
    assert "features" not in trained.lineage


@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        (PIPELINE.replace('"folded"', '"foldde"'), "did you mean 'folded'"),
        (PIPELINE.replace('"folded"', '"other"'), "made of 'no_field_here', and no field of that name"),
        (PIPELINE.replace("beside", 'takes = ["shop"], beside'), "made of 'text'"),
    ],
)
def test_check_tells_what_is_wrong_with_the_features_of_a_pipeline(tmp_path: Path, pipeline: str, told: str) -> None:
    loaded = load(project(tmp_path, pipeline).root, environ={})
    assert any(told in str(problem) for problem in check(loaded).problems)


@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        (PIPELINE.replace("beside", 'features = "features:f", beside'), "stands beside `features`"),
        ('uses = { build = "model:build_words", beside = ["text"] }\n', "means nothing without `uses`"),
        (PIPELINE.replace("beside = []", 'beside = ["txet"]'), "is no declared field"),
        (PIPELINE.replace('"length", ', '"folded", '), "holds the same entry twice"),
    ],
)
def test_a_pipeline_that_contradicts_itself_is_told(tmp_path: Path, pipeline: str, told: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        project(tmp_path, pipeline)
    assert [told in problem.what for problem in caught.value.problems] == [True]
