from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mainstay.config.load import Loaded
from mainstay.core.errors import BadData, NotFound, ProjectFileError
from mainstay.models import answers
from mainstay.models.load import load
from mainstay.train import choose, run
from mainstay.train.run import Trained

from .conftest import TOML, MemorySnapshot, make_frame, write_project


def fit(
    project: Loaded, train: MemorySnapshot, test: MemorySnapshot, pipeline: str = "words", **more: object
) -> Trained:
    folder = project.state / "bundles"
    return run.train_candidate(project, pipeline=pipeline, train=train, test=test, folder_bundles=folder, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return write_project(tmp_path_factory.mktemp("shared") / "shop")


@pytest.fixture(scope="module")
def trained(shared: Loaded, train: MemorySnapshot, test: MemorySnapshot) -> Trained:
    return fit(shared, train, test)


def test_a_candidate_answers_from_its_bundle_alone(tmp_path: Path, trained: Trained) -> None:
    shutil.copytree(trained.bundle.path, tmp_path / "elsewhere")
    script = (
        "import sys\nfrom pathlib import Path\nfrom mainstay.models import answers, bundle, load\n"
        "model = load.load(bundle.open_bundle(Path(sys.argv[1]), sys.argv[2]))\n"
        "print(answers.answer(model, [{'text': 'ripe apple', 'shop': 'north'}])[0].label)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "elsewhere"), trained.bundle.digest],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "fruit", done.stderr


def test_training_in_another_process_gives_the_same_bundle(
    tmp_path: Path, trained: Trained, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    train.data.write_parquet(tmp_path / "train.parquet")
    test.data.write_parquet(tmp_path / "test.parquet")
    write_project(tmp_path / "shop")
    script = (
        "import sys\nfrom pathlib import Path\nfrom types import SimpleNamespace\nimport polars as pl\n"
        "from mainstay.config import load\nfrom mainstay.train import run\n"
        "here = Path(sys.argv[1])\n"
        "def snapshot(name):\n"
        "    frame = pl.read_parquet(here / f'{name}.parquet')\n"
        "    return SimpleNamespace(id=f'{name}-1', rows=frame.height, frame=lambda: frame)\n"
        "found = run.train_candidate(load.load(here / 'shop', environ={}), pipeline='words', train=snapshot('train'),\n"
        "    test=snapshot('test'), folder_bundles=here / 'bundles')\n"
        "print(found.bundle.digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        # The rest as here: a variable that names the processor's kernels (OPENBLAS_CORETYPE) changes last digits.
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "123"},
    )
    assert done.stdout.strip() == trained.bundle.digest, done.stderr


@pytest.mark.parametrize("pipeline", ["words", "lower", "forest"])
def test_training_twice_gives_the_same_bundle_in_another_folder_too(
    tmp_path: Path, train: MemorySnapshot, test: MemorySnapshot, pipeline: str
) -> None:
    first = fit(write_project(tmp_path / "a"), train, test, pipeline)
    second = fit(write_project(tmp_path / "b" / "c"), train, test, pipeline)
    assert first.bundle.digest == second.bundle.digest


def test_no_path_of_the_machine_is_in_the_bundle(shared: Loaded, trained: Trained) -> None:
    bundle = trained.bundle
    for name in bundle.files:
        assert str(shared.root).encode() not in bundle.read(name), name


def test_another_snapshot_or_seed_gives_another_bundle(
    tmp_path: Path, project: Loaded, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    other = write_project(tmp_path / "seeded", TOML.replace("seed = 3", "seed = 4"))
    digests = {
        fit(project, train, test).bundle.digest,
        fit(project, MemorySnapshot("train-2", train.data), test).bundle.digest,
        fit(other, train, test).bundle.digest,
    }
    assert len(digests) == 3


def test_metrics_have_intervals_around_them(trained: Trained, test: MemorySnapshot) -> None:
    assert set(trained.metrics) == {"accuracy", "macro_f1", "log_loss", "ece"}
    for found in trained.metrics.values():
        assert found["low"] <= found["value"] <= found["high"] or found["method"].startswith("bootstrap")
    truth = test.data["kind"].to_list()
    said = answers.answer(load(trained.bundle), test.data.drop("kind").to_dicts())
    right = np.mean([a.label == t for a, t in zip(said, truth, strict=True)])
    assert trained.metrics["accuracy"]["value"] == pytest.approx(right)
    assert np.sum(trained.evaluation["confusion"]) == len(truth)


def test_plots_are_pictures(trained: Trained) -> None:
    plots = trained.plots
    assert [path.name for path in plots] == ["confusion.png", "calibration.png", "stress.png", "explained.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)


def test_the_reference_is_the_test_rows_without_traffic(trained: Trained, test: MemorySnapshot) -> None:
    model = load(trained.bundle)
    assert (model.profile.source, model.profile.rows) == ("test", test.rows)


def with_traffic(rows: int, per_key: int = 1) -> MemorySnapshot:
    base = make_frame(120, seed=1).with_columns(_origin=pl.lit("base"))
    traffic = make_frame(rows, seed=9, noise=0.4, per_key=per_key).with_columns(_origin=pl.lit("traffic"))
    return MemorySnapshot(f"mixed-{rows}", pl.concat([base, traffic]))


def test_with_a_hundred_traffic_rows_their_held_out_answers_are_the_reference(
    project: Loaded, test: MemorySnapshot
) -> None:
    model = load(fit(project, with_traffic(100), test).bundle)
    assert (model.profile.source, model.profile.rows) == ("recent", 100)
    assert model.calibration.source == "traffic"
    assert model.profile.accuracy is not None
    assert model.profile.accuracy < 0.95
    assert model.profile.mean_confidence == pytest.approx(model.profile.accuracy, abs=0.02)


def test_words_of_a_held_out_row_are_unseen_unless_another_key_uses_them(project: Loaded, test: MemorySnapshot) -> None:
    model = load(fit(project, with_traffic(100, per_key=2), test).bundle)
    unseen = next(s for s in model.profile.signals if s.name == "text.unseen" and not s.segment)
    assert unseen.mean > 0.1


def test_with_fewer_traffic_rows_the_test_rows_stay_the_reference(project: Loaded, test: MemorySnapshot) -> None:
    model = load(fit(project, with_traffic(99), test).bundle)
    assert (model.profile.source, model.calibration.source) == ("test", "all")


def test_the_setting_decides_over_the_rule(tmp_path: Path, train: MemorySnapshot, test: MemorySnapshot) -> None:
    project = write_project(tmp_path / "set", TOML + '[watch]\nreference = "out_of_fold"\n')
    model = load(fit(project, train, test).bundle)
    assert (model.profile.source, model.profile.rows) == ("out_of_fold", train.rows)


def test_the_origin_column_is_never_a_feature(project: Loaded, test: MemorySnapshot) -> None:
    model = load(fit(project, with_traffic(100), test, "forest").bundle)
    assert not [name for name in model.estimator[0].feature_names_in_ if name.startswith("_")]


def test_recent_rows_are_evaluated_apart(project: Loaded, train: MemorySnapshot, test: MemorySnapshot) -> None:
    recent = MemorySnapshot("recent-1", make_frame(40, seed=5))
    trained = fit(project, train, test, recent=recent)
    assert trained.recent is not None
    assert trained.recent["rows"] == 40
    assert trained.lineage["recent"] == "recent-1"


def test_too_few_rows_to_cross_validate_leave_confidence_as_it_is(project: Loaded, test: MemorySnapshot) -> None:
    trained = fit(project, MemorySnapshot("few", make_frame(8, seed=1, noise=0.0)), test)
    assert trained.held_out is None
    assert load(trained.bundle).calibration.method == "identity"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.drop("kind"), "no column 'kind'"),
        (lambda f: f.with_columns(kind=pl.lit("tool")), "one class"),
        (lambda f: f.with_columns(kind=pl.lit("animal")), "animal"),
        (lambda f: f.with_columns(kind=pl.lit(None, dtype=pl.String)), "is empty in"),
    ],
)
def test_data_that_cannot_be_trained_on_are_told(
    project: Loaded, train: MemorySnapshot, test: MemorySnapshot, change: object, told: str
) -> None:
    with pytest.raises(BadData, match=told):
        fit(project, replace(train, data=change(train.data)), test)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def build_words(params):\n    return object()\n", "without fit and predict_proba"),
        ("def build_words(params):\n    pass\n", "its function returned None"),
        ("def build_words(params):\n    return dict\n", "builds the class dict itself"),
        ("def build_words(params):\n    return 1 / 0\n", r"model\.py:2: ZeroDivisionError"),
        (
            "from sklearn.svm import LinearSVC\ndef build_words(params):\n    return LinearSVC()\n",
            "LinearSVC without predict_proba",
        ),
        (
            "from sklearn.linear_model import LogisticRegression\n"
            "def build_words(params):\n    return LogisticRegression()\n",
            "cannot be fitted on 160 rows",
        ),
    ],
)
def test_a_model_that_cannot_be_built_or_fitted_is_the_projects_error(
    project: Loaded, train: MemorySnapshot, test: MemorySnapshot, code: str, told: str
) -> None:
    (project.root / "model.py").write_text(code)
    with pytest.raises(ProjectFileError, match=told):
        fit(project, train, test)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            "np.full((len(X), 2), np.nan)",
            r"cannot answer \d+ rows: it gave NaN or infinity for \d+ of them, first row 0",
        ),
        ("np.ones((len(X), 1))", r"cannot answer \d+ rows: The model returned an array of shape"),
        ("1 / 0", r"cannot answer \d+ rows: model\.py:5: ZeroDivisionError"),
    ],
)
def test_a_model_that_cannot_answer_is_the_projects_error(
    project: Loaded, train: MemorySnapshot, test: MemorySnapshot, answer: str, told: str
) -> None:
    (project.root / "model.py").write_text(
        "import numpy as np\nfrom sklearn.dummy import DummyClassifier\n"
        f"class Bad(DummyClassifier):\n    def predict_proba(self, X):\n        return {answer}\n"
        "def build_words(params):\n    return Bad()\n"
    )
    with pytest.raises(ProjectFileError, match=told) as caught:
        fit(project, train, test)
    assert "rollback" not in caught.value.remedy


def test_feature_code_that_needs_another_project_file_is_refused(
    project: Loaded, train: MemorySnapshot, test: MemorySnapshot
) -> None:
    text = (project.root / "features.py").read_text()
    (project.root / "features.py").write_text("from own_words import tokens\n" + text)
    with pytest.raises(ProjectFileError, match="own_words"):
        fit(project, train, test, "lower")


def test_an_undeclared_pipeline_is_not_found(project: Loaded, train: MemorySnapshot, test: MemorySnapshot) -> None:
    with pytest.raises(NotFound, match="words"):
        fit(project, train, test, "wordz")


def test_the_better_pipeline_is_chosen_whatever_the_order(project: Loaded, train: MemorySnapshot) -> None:
    for names in (["words", "blind"], ["blind", "words"]):
        choice = choose.choose_pipeline(project, train, names)  # type: ignore[arg-type]
        assert choice.best == "words"
        assert choice.decided_on == "all"
        assert len({len(score.folds) for score in choice.scores}) == 1


def test_traffic_rows_decide_when_there_are_a_hundred(project: Loaded) -> None:
    choice = choose.choose_pipeline(project, with_traffic(100), ["words", "blind"])  # type: ignore[arg-type]
    assert (choice.decided_on, choice.rows) == ("traffic", 100)


def test_one_name_is_chosen_without_fitting(project: Loaded, train: MemorySnapshot) -> None:
    (project.root / "model.py").unlink()
    assert choose.choose_pipeline(project, train, ["words"]).scores == ()  # type: ignore[arg-type]


def test_a_regression_is_trained_and_measured(tmp_path: Path, train: MemorySnapshot, test: MemorySnapshot) -> None:
    toml = TOML.replace('task = "binary"', 'task = "regression"').replace('classes = ["tool", "fruit"]\n', "")
    toml = toml.replace('[train]\n', '[evaluate]\nprimary = "rmse"\nmetrics = ["mae", "rmse", "r2"]\n'
                        '[gate]\nnot_worse_by = {}\nsegment_not_worse_by = {}\n[train]\n')  # fmt: skip
    project = write_project(tmp_path / "numbers", toml)
    (project.root / "model.py").write_text(
        "from sklearn.feature_extraction.text import CountVectorizer\nfrom sklearn.linear_model import Ridge\n"
        "from sklearn.pipeline import make_pipeline\n"
        "def build_words(params):\n    return make_pipeline(CountVectorizer(), Ridge())\n"
    )

    def numbers(snapshot: MemorySnapshot) -> MemorySnapshot:
        return replace(
            snapshot, data=snapshot.data.with_columns(kind=pl.col("text").str.count_matches("apple").cast(float))
        )

    trained = fit(project, numbers(train), numbers(test))
    assert trained.metrics["r2"]["value"] > 0.8
    assert [path.name for path in trained.plots] == ["stress.png", "explained.png"]
    model = load(trained.bundle)
    assert "answer.value" in {s.name for s in model.profile.signals}
