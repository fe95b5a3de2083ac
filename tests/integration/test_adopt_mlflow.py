"""Models of every flavor, logged in a real MLflow registry, become projects that answer as MLflow does."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mainstay.adoption.foreign import open_foreign
from mainstay.adoption.from_mlflow import FromMlflow, adopt_from_mlflow
from mainstay.core.errors import BadData, EnvironmentFault, NotFound, UsageError
from mainstay.models import answers, pickles
from mainstay.models.bundle import open_bundle
from mainstay.models.load import load
from mainstay.project import Project
from mainstay.registry import flavors
from mlflow_kit import INPUTS, KINDS, Shelf, addressed, codes_of, flowers, needs, patients, quiet, signature

FIT, HELD = flowers()


@pytest.fixture(scope="module", autouse=True)
def one_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Record every project's trainings in one MLflow database: making one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_REGISTRY__URL", f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db")
        yield


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = Shelf(root=tmp_path_factory.mktemp("shelf"))
    said = signature(FIT[INPUTS], FIT.kind.to_numpy())
    for strength in (1.0, 5.0):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(FIT[INPUTS], FIT.kind)
        found.log("sklearn", "flower", sk_model=fitted, signature=said, pip_requirements=["scikit-learn"])
    found.alias("flower", "best", "2")
    HELD.to_parquet(found.root / "held.parquet")
    HELD.to_csv(found.root / "held.csv", index=False)
    return found


def by_rule() -> Any:
    """Return a Python model that tells kinds by the length of the petal; it travels by value, as in a notebook."""
    with quiet():
        import mlflow.pyfunc

    class Rule(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        def load_context(self, context: Any) -> None:
            self.limits = json.loads(Path(context.artifacts["limits"]).read_text(encoding="utf-8"))

        def predict(self, context, model_input, params=None):  # MLflow reads annotations as a schema
            low, high = self.limits
            petal = model_input["petal_length"].to_numpy()
            return np.where(petal < low, "setosa", np.where(petal < high, "versicolor", "virginica"))

    return Rule()


def adopted(shelf: Shelf, uri: str, folder: Path, **more: Any) -> FromMlflow:
    given: dict[str, Any] = {"reference": shelf.root / "held.parquet", "target": "kind"}
    return adopt_from_mlflow(uri, folder=folder, tracking_uri=shelf.address, **(given | more))


def answered(result: FromMlflow, frame: pd.DataFrame) -> list[answers.Answer]:
    """Return what the bundle on disk says, loaded as a worker loads it."""
    project = Project.open(result.folder)
    (path,) = project.parts.bundles.glob("[0-9a-f]*")
    return answers.answer(load(open_bundle(path, path.name)), frame[INPUTS].to_dict("records"))


def mlflow_says(shelf: Shelf, uri: str, given: Any) -> Any:
    import mlflow

    with quiet(), addressed(shelf.address):
        return mlflow.pyfunc.load_model(uri).predict(given)


@pytest.mark.slow
def test_an_estimator_is_adopted_with_a_pipeline_to_fit_it_again(shelf: Shelf, tmp_path: Path) -> None:
    result = adopted(shelf, "models:/flower@best", tmp_path / "flower")
    assert (result.stored_as, result.version, result.answers) == ("sklearn", "flower@1", True)
    assert result.can_retrain
    assert [a.label for a in answered(result, HELD)] == mlflow_says(shelf, "models:/flower/2", HELD[INPUTS]).tolist()
    again = Project.open(result.folder).train(release=False)
    assert again.name in ("flower@1", "flower@2")
    assert result.metrics["accuracy"]["value"] > 0.85


@pytest.mark.slow
def test_a_python_model_answers_after_the_registry_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    root.mkdir()
    own = Shelf(root=root)
    (tmp_path / "limits.json").write_text("[2.5, 4.9]", encoding="utf-8")
    own.log(
        "pyfunc",
        "rule",
        python_model=by_rule(),
        artifacts={"limits": str(tmp_path / "limits.json")},
        signature=signature(FIT[INPUTS], FIT.kind.to_numpy()),
    )
    HELD.to_parquet(root / "held.parquet")
    expected = mlflow_says(own, "models:/rule/1", HELD[INPUTS]).tolist()
    result = adopted(own, "models:/rule/1", tmp_path / "rule")
    shutil.rmtree(root)
    (tmp_path / "limits.json").unlink()
    code = f"""
import json
from mainstay.models import answers
from mainstay.models.bundle import open_bundle
from mainstay.models.load import load
from mainstay.project import Project
(path,) = Project.open({str(result.folder)!r}).parts.bundles.glob("[0-9a-f]*")
rows = json.loads({json.dumps(HELD[INPUTS].to_dict("records"))!r})
print(json.dumps([a.label for a in answers.answer(load(open_bundle(path, path.name)), rows)]))
"""
    fresh = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=600
    )
    assert fresh.returncode == 0, fresh.stderr
    assert json.loads(fresh.stdout) == expected
    assert not result.can_retrain
    with pytest.raises(Exception, match="this project does not train"):
        Project.open(result.folder).train()


@pytest.mark.slow
def test_a_native_xgboost_booster_keeps_its_probabilities(shelf: Shelf, tmp_path: Path) -> None:
    import xgboost

    given = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3}
    booster = xgboost.train(given, xgboost.DMatrix(FIT[INPUTS], label=codes_of(FIT)), 15)
    said = signature(FIT[INPUTS], booster.predict(xgboost.DMatrix(FIT[INPUTS])))
    shelf.log("xgboost", "boosted", xgb_model=booster, signature=said)
    result = adopted(shelf, "models:/boosted/1", tmp_path / "boosted")
    expected = mlflow_says(shelf, "models:/boosted/1", HELD[INPUTS])
    found = np.array([list(a.probabilities.values()) for a in answered(result, HELD)])
    assert np.abs(found - expected).max() < 1e-6
    assert result.classes == tuple(KINDS)
    assert any("sorted order" in note for note in result.notes)
    assert result.answers


@pytest.mark.slow
def test_a_native_lightgbm_regression_gives_the_same_numbers(shelf: Shelf, tmp_path: Path) -> None:
    import lightgbm

    fit, held = patients()
    inputs = [name for name in fit.columns if name != "progress"]
    given = {"objective": "regression", "verbose": -1, "num_leaves": 7}
    booster = lightgbm.train(given, lightgbm.Dataset(fit[inputs], label=fit.progress), 30)
    shelf.log("lightgbm", "progress", lgb_model=booster, signature=signature(fit[inputs], booster.predict(fit[inputs])))
    held.to_csv(tmp_path / "held.csv", index=False)
    result = adopted(
        shelf, "models:/progress/1", tmp_path / "progress", reference=tmp_path / "held.csv", target="progress"
    )
    expected = mlflow_says(shelf, "models:/progress/1", held[inputs])
    (path,) = Project.open(result.folder).parts.bundles.glob("[0-9a-f]*")
    found = load(open_bundle(path, path.name)).predict(held[inputs].to_dict("records"))
    assert found == pytest.approx(expected, abs=1e-9)
    assert result.metrics["rmse"]["value"] < 75
    assert result.answers


@pytest.mark.slow
def test_rows_without_truth_leave_the_model_registered_until_a_person_says_why(shelf: Shelf, tmp_path: Path) -> None:
    result = adopted(shelf, "models:/flower/1", tmp_path / "flower", target=None)
    assert (result.verdict.value, result.answers, result.metrics) == ("not_enough", False, {})
    assert "nothing is known about accuracy" in " ".join(result.notes)
    assert any("--target kind" in note for note in result.notes)
    project = Project.open(result.folder)
    assert not project.has_version()
    assert project.promote(1, reason="the old system told us", by="a test", force=True).answering == "flower@1"
    assert project.has_version()
    (path,) = project.parts.bundles.glob("[0-9a-f]*")
    profile = load(open_bundle(path, path.name)).profile
    assert (profile.rows, profile.accuracy) == (len(HELD), None)


@needs("torch")
@pytest.mark.slow
@pytest.mark.parametrize("form", ["pickle", "pt2"])
def test_a_pytorch_module_answers_each_row_by_itself(shelf: Shelf, tmp_path: Path, form: str) -> None:
    import torch

    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.drop, self.outer = torch.nn.Linear(4, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 3)

        def forward(self, rows: Any) -> Any:
            return self.outer(self.drop(torch.relu(self.inner(rows))))

    net = Net()
    wanted = torch.tensor(codes_of(FIT))
    given = torch.tensor(FIT[INPUTS].to_numpy("float32"))
    steps = torch.optim.Adam(net.parameters(), 0.03)
    for _ in range(150):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(net(given), wanted).backward()
        steps.step()
    net.eval()
    example = FIT[INPUTS].to_numpy("float32")[:6]
    said = signature(example, net(torch.tensor(example)).detach().numpy())
    more = {"input_example": example} if form == "pt2" else {}
    shelf.log("pytorch", f"net-{form}", pytorch_model=net, signature=said, serialization_format=form, **more)
    uri = f"models:/net-{form}/1"
    result = adopted(shelf, uri, tmp_path / "net")
    logits = mlflow_says(shelf, uri, HELD[INPUTS].to_numpy("float32"))
    expected = torch.softmax(torch.tensor(logits, dtype=torch.float64), dim=1).numpy()
    found = np.array([list(a.probabilities.values()) for a in answered(result, HELD)])
    assert np.abs(found - expected).max() < 1e-5
    assert result.answers
    assert any("logits" in note for note in result.notes)


@needs("tensorflow")
@pytest.mark.slow
def test_a_keras_network_answers_each_row_by_itself(shelf: Shelf, tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    net.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    given = FIT[INPUTS].to_numpy("float32")
    net.fit(given, codes_of(FIT), epochs=60, verbose=0)
    said = signature(given, net.predict(given, verbose=0))
    shelf.log("tensorflow", "keras", model=net, signature=said)
    result = adopted(shelf, "models:/keras/1", tmp_path / "keras")
    expected = net.predict(HELD[INPUTS].to_numpy("float32"), verbose=0)
    found = np.array([list(a.probabilities.values()) for a in answered(result, HELD)])
    assert np.abs(found - expected).max() < 1e-5
    assert result.stored_as == "tensorflow"
    assert result.answers


def opened(shelf: Shelf, uri: str, folder: Path, frame: pd.DataFrame, truth: Any, **more: Any) -> Any:
    stored = flavors.fetch(uri, folder, tracking_uri=shelf.address)
    with flavors.code_of(stored):
        found = open_foreign(stored, frame, truth=truth, **more)
        return found, pickle.loads(pickles.dump(found.estimator, own_modules=found.own_modules))


def test_code_that_came_with_the_model_travels_by_value(shelf: Shelf, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    code = tmp_path / "petals.py"
    code.write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n\n\n"
        "class Petals(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        return self\n\n"
        "    def transform(self, X):\n        return X[['petal_length', 'petal_width']]\n",
        encoding="utf-8",
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import petals

        fitted = make_pipeline(petals.Petals(), LogisticRegression()).fit(FIT[INPUTS], FIT.kind)
        said = signature(FIT[INPUTS], FIT.kind.to_numpy())
        shelf.log(
            "sklearn",
            "own-code",
            sk_model=fitted,
            signature=said,
            code_paths=[str(code)],
            serialization_format="cloudpickle",
        )
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("petals", None)
    found, again = opened(shelf, "models:/own-code/1", tmp_path / "got", HELD[INPUTS], HELD.kind.tolist())
    assert "petals" not in sys.modules
    assert again.predict(HELD[INPUTS]).tolist() == fitted.predict(HELD[INPUTS]).tolist()
    assert found.classes == tuple(KINDS)


def test_an_estimator_without_probabilities_says_how_often_its_labels_are_right(shelf: Shelf, tmp_path: Path) -> None:
    from sklearn.svm import LinearSVC

    fitted = LinearSVC(random_state=0, max_iter=20_000).fit(FIT[INPUTS], FIT.kind)
    shelf.log("sklearn", "labels", sk_model=fitted, signature=signature(FIT[INPUTS], FIT.kind.to_numpy()))
    found, again = opened(shelf, "models:/labels/1", tmp_path, HELD[INPUTS], HELD.kind.tolist())
    right = int((fitted.predict(HELD[INPUTS]) == HELD.kind).sum())
    assert again.predict_proba(HELD[INPUTS]).max(axis=1) == pytest.approx((right + 1) / (len(HELD) + 2))
    assert again.predict(HELD[INPUTS]).tolist() == fitted.predict(HELD[INPUTS]).tolist()
    assert f"{right} of {len(HELD)}" in " ".join(found.notes)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosters_get_the_categories_that_they_were_fitted_with(shelf: Shelf, tmp_path: Path, library: str) -> None:
    luck = np.random.default_rng(0)
    city = luck.choice(["rome", "oslo", "lima"], 300)
    rows = pd.DataFrame({"age": luck.integers(18, 80, 300), "city": city})
    wanted = ((rows.city == "oslo") | (rows.age > 60)).astype(int)
    coded = rows.astype({"city": "category"})
    if library == "xgboost":
        import xgboost

        booster: Any = xgboost.train(
            {"objective": "binary:logistic"}, xgboost.DMatrix(coded, label=wanted, enable_categorical=True), 10
        )
        expected = booster.predict(xgboost.DMatrix(coded, enable_categorical=True))
        shelf.log("xgboost", "cities-x", xgb_model=booster)
    else:
        import lightgbm

        booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(coded, label=wanted), 10)
        expected = booster.predict(coded)
        shelf.log("lightgbm", "cities-l", lgb_model=booster)
    found, again = opened(shelf, f"models:/cities-{library[0]}/1", tmp_path, rows, wanted.tolist())
    assert found.classes == ("0", "1")
    assert again.predict_proba(rows)[:, 1] == pytest.approx(expected, abs=1e-7)
    lima = rows[rows.city == "lima"].head(1)
    assert again.predict_proba(lima)[0, 1] == pytest.approx(expected[lima.index[0]], abs=1e-7)
    assert any("could not be compared" in note for note in found.notes)


def test_classes_in_another_order_are_refused_and_can_be_named(shelf: Shelf, tmp_path: Path) -> None:
    import lightgbm

    order = ["virginica", "setosa", "versicolor"]
    given = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_leaves": 4}
    labels = [order.index(kind) for kind in FIT.kind]
    booster = lightgbm.train(given, lightgbm.Dataset(FIT[INPUTS], label=labels), 20)
    shelf.log("lightgbm", "turned", lgb_model=booster, signature=signature(FIT[INPUTS], booster.predict(FIT[INPUTS])))
    with pytest.raises(UsageError) as refused:
        opened(shelf, "models:/turned/1", tmp_path / "a", HELD[INPUTS], HELD.kind.tolist())
    assert "--classes virginica,setosa,versicolor" in refused.value.remedy
    found, again = opened(
        shelf, "models:/turned/1", tmp_path / "b", HELD[INPUTS], HELD.kind.tolist(), classes=tuple(order)
    )
    assert found.classes == tuple(order)
    assert (again.predict(HELD[INPUTS]) == HELD.kind).mean() > 0.85


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (lambda frame: [None] * len(frame), "answers such as None"),
        (lambda frame: np.full(len(frame), np.nan), "NaN or infinity for 80 of 80 rows"),
        (lambda frame: np.zeros(3), "3 answers for 80 rows"),
        (lambda frame: {"a": [1], "b": [2]}, "a dictionary of 2 parts"),
        (lambda frame: np.array(["daisy"] * len(frame)), "the model's classes are ['daisy']"),
    ],
)
def test_a_model_that_predicts_nothing_usable_is_refused(shelf: Shelf, tmp_path: Path, says: Any, told: str) -> None:
    import mlflow

    class Odd(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        def predict(self, context, model_input, params=None):  # MLflow reads annotations as a schema
            return says(model_input)

    with quiet():
        mlflow.pyfunc.save_model(str(tmp_path / "odd"), python_model=Odd(), pip_requirements=["numpy"])
    stored = flavors.fetch(str(tmp_path / "odd"), tmp_path)
    with flavors.code_of(stored), pytest.raises(UsageError, match=re.escape(told)):
        open_foreign(stored, HELD[INPUTS], truth=HELD.kind.tolist())


def test_a_model_with_chance_in_it_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    import mlflow

    class Dice(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        def predict(self, context, model_input, params=None):  # MLflow reads annotations as a schema
            return np.random.default_rng().dirichlet([1, 1, 1], len(model_input))

    with quiet():
        mlflow.pyfunc.save_model(str(tmp_path / "dice"), python_model=Dice(), pip_requirements=["numpy"])
    stored = flavors.fetch(str(tmp_path / "dice"), tmp_path)
    with flavors.code_of(stored), pytest.raises(UsageError, match=r"differently|called"):
        open_foreign(stored, HELD[INPUTS], truth=HELD.kind.tolist(), classes=tuple(KINDS))


def test_what_is_not_in_the_registry_is_told_with_what_is(shelf: Shelf, tmp_path: Path) -> None:
    for uri, told, remedy in (
        ("models:/flower/9", "versions that exist: 1, 2", "models:/flower/2"),
        ("models:/flowers/1", "the registry has no model 'flowers'", "models:/flower"),
        ("models:/flower@bets", "aliases that exist: best", "models:/flower@best"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "no run", "MLflow's pages"),
    ):
        with pytest.raises(NotFound) as refused:
            flavors.fetch(uri, tmp_path, tracking_uri=shelf.address)
        assert told in refused.value.message
        assert remedy in refused.value.remedy
    with pytest.raises(UsageError, match="names no version"):
        flavors.fetch("models:/flower", tmp_path, tracking_uri=shelf.address)


def test_a_run_is_adopted_by_its_model_and_told_what_it_has(shelf: Shelf, tmp_path: Path) -> None:
    from sklearn.dummy import DummyClassifier

    run = shelf.log("sklearn", "prior", sk_model=DummyClassifier().fit(FIT[INPUTS], FIT.kind))
    assert flavors.fetch(f"runs:/{run}/model", tmp_path, tracking_uri=shelf.address).flavor == "sklearn"
    with pytest.raises(NotFound) as refused:
        flavors.fetch(f"runs:/{run}/modle", tmp_path, tracking_uri=shelf.address)
    assert "model" in refused.value.message
    assert f"runs:/{run}/model" in refused.value.remedy


def test_a_registry_that_is_away_is_told_and_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentFault, match="there is no MLflow registry at"):
        flavors.fetch("models:/flower/1", tmp_path, tracking_uri=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(EnvironmentFault) as refused:
        flavors.fetch("models:/flower/1", tmp_path, tracking_uri="http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in refused.value.message
    assert "--tracking-uri" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_an_absent_library_is_told_with_the_line_that_installs_it(tmp_path: Path) -> None:
    folder = tmp_path / "prophet"
    folder.mkdir()
    (folder / "MLmodel").write_text(
        "flavors:\n  prophet: {}\n  python_function:\n    loader_module: mlflow.prophet\n", encoding="utf-8"
    )
    (folder / "requirements.txt").write_text("prophet==1.1.5\n", encoding="utf-8")
    with pytest.raises(EnvironmentFault) as refused:
        flavors.open_pyfunc(flavors.fetch(str(folder), tmp_path))
    assert refused.value.remedy == "pip install prophet==1.1.5"


def test_nothing_stays_when_the_gate_refuses(shelf: Shelf, tmp_path: Path) -> None:
    held = HELD.head(9)
    held.to_parquet(tmp_path / "few.parquet")
    with pytest.raises((BadData, UsageError)):
        adopted(shelf, "models:/flower/1", tmp_path / "few", reference=tmp_path / "few.parquet", target="sepal_lenght")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.parquet"]
