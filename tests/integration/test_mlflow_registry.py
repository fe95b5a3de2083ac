"""The registry on a real MLflow database."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import EnvironmentFault
from mainstay.core.profiles import Profile
from mainstay.models import environment, pickles
from mainstay.models.bundle import Bundle, BundleParts, write_bundle
from mainstay.models.inputs import InputSpec
from mainstay.registry.mlflow_registry import ChildRun, Registry, RunFacts

TEXTS, KINDS = ["green apple", "ripe pear", "steel nail", "claw hammer"], ["fruit", "fruit", "tool", "tool"]


def make_bundle(folder: Path) -> Bundle:
    pickled = pickles.dump(make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, KINDS))
    fields = (Field(name="text", type=FieldType.TEXT), Field(name="size", type=FieldType.NUMBER, required=False))
    parts = BundleParts(
        pickle=pickled,
        contract=Contract(task=Task.BINARY, fields=fields, target="kind", classes=("fruit", "tool")),
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
        classes=("fruit", "tool"),
        spec=InputSpec(input="text"),
        environment=environment.lock_lines(pickled),
    )
    return write_bundle(folder, parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return make_bundle(folder / "bundles")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Registry:
    return Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


@pytest.fixture(scope="module")
def facts(folder: Path, bundle: Bundle) -> RunFacts:
    plot = folder / "calibration.png"
    plot.write_bytes(b"\x89PNG")
    return RunFacts(
        name="shop@1",
        params={"pipeline": "words", "C": 1.0},
        metrics={"accuracy": 0.9, "ece": float("nan")},
        tags={"snapshot": "abc"},
        bundle=bundle.path,
        bundle_pip=bundle.read("environment.lock").decode().splitlines(),
        plots=[plot],
    )


@pytest.fixture(scope="module")
def run_id(registry: Registry, facts: RunFacts) -> str:
    return registry.record("shop", facts)


def test_a_run_holds_params_metrics_tags_and_plots(registry: Registry, run_id: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(registry.url)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"pipeline": "words", "C": "1.0"}
    assert run.data.metrics == {"accuracy": 0.9}
    assert run.data.tags["snapshot"] == "abc"
    assert [found.path for found in client.list_artifacts(run_id, "plots")] == ["plots/calibration.png"]


def test_candidates_and_tries_are_runs_nested_below_it(registry: Registry, facts: RunFacts) -> None:
    import mlflow

    child = ChildRun(
        name="try 3 of words",
        params={"C": 0.5},
        metrics={"cv_accuracy": 0.75, "seconds": float("nan")},
        steps={"fold_accuracy": [0.5, 1.0]},
        tags={"mainstay.kind": "try"},
        status="KILLED",
    )
    parent = registry.record("nested", replace(facts, children=[child]))
    client = mlflow.MlflowClient(tracking_uri=registry.url)
    experiment = client.get_experiment_by_name("nested")
    assert experiment is not None
    assert registry.experiment_of(parent) == experiment.experiment_id
    (found,) = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    assert (found.info.run_name, found.info.status) == ("try 3 of words", "KILLED")
    assert found.data.params == {"C": "0.5"}
    assert found.data.metrics == {"cv_accuracy": 0.75, "fold_accuracy": 1.0}
    history = client.get_metric_history(found.info.run_id, "fold_accuracy")
    assert sorted((one.step, one.value) for one in history) == [(0, 0.5), (1, 1.0)]


def test_a_version_is_registered_once_and_found_by_alias(registry: Registry, run_id: str, bundle: Bundle) -> None:
    first = registry.register("shop", run_id, version=1, digest=bundle.digest)
    assert registry.register("shop", run_id, version=1, digest=bundle.digest) == first
    assert registry.register("shop", run_id, version=2, digest=bundle.digest) != first
    assert registry.number_of("shop", version=1, digest=bundle.digest) == first
    assert registry.number_of("shop", version=1, digest="another") is None
    assert registry.number_of("nobody", version=1, digest=bundle.digest) is None
    registry.set_alias("shop", "champion", first)
    assert registry.aliases("shop") == {"champion": first}
    registry.set_alias("shop", "challenger", first)
    registry.drop_alias("shop", "challenger")
    registry.drop_alias("shop", "challenger")
    assert registry.aliases("shop") == {"champion": first}
    assert registry.aliases("unknown") == {}


def test_mlflows_own_loader_answers_like_the_bundle_in_another_process(
    registry: Registry, run_id: str, bundle: Bundle
) -> None:
    registry.set_alias("shop", "champion", registry.register("shop", run_id, version=1, digest=bundle.digest))
    script = (
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri({registry.url!r})\n"
        "model = mlflow.pyfunc.load_model('models:/shop@champion')\n"
        "frame = pd.DataFrame({'text': ['green apple', 'nail'], 'size': [1.0, None]}, index=[7, 8])\n"
        "print(model.predict(frame)[['label', 'trust']].to_json())"
    )
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=False)
    assert done.stdout.strip() == '{"label":{"7":"fruit","8":"tool"},"trust":{"7":"ok","8":"ok"}}', done.stderr


def test_the_logged_requirements_are_the_bundles_lock_without_python(folder: Path, run_id: str, bundle: Bundle) -> None:
    (found,) = {path.read_text() for path in (folder / "artifacts").rglob("requirements.txt")}
    lock = bundle.read("environment.lock").decode().split()
    assert set(found.split()) - {line for line in found.split() if line.startswith("mlflow")} == set(lock) - {lock[-1]}
    assert lock[-1].startswith("python==")


def test_a_logged_bundle_that_was_changed_is_not_loaded(folder: Path) -> None:
    from mainstay.core.errors import Damaged
    from mainstay.models.pyfunc import _load_pyfunc

    bundle = make_bundle(folder / "others")
    assert _load_pyfunc(str(bundle.path)).predict(pd.DataFrame({"text": ["apple"]}))["label"].tolist() == ["fruit"]
    (bundle.path / "model/model.pkl").write_bytes(b"changed")
    with pytest.raises(Damaged):
        _load_pyfunc(str(bundle.path))


def test_a_notebook_that_is_inside_a_run_of_its_own_records_and_goes_on(
    tmp_path: Path, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.tracking import fluent

    monkeypatch.setattr(fluent, "_active_experiment_id", fluent._active_experiment_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/theirs.db")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_experiment("theirs")
        with mlflow.start_run() as theirs:
            own = Registry(f"sqlite:///{tmp_path}/ours.db", tmp_path / "artifacts")
            run_id = own.record("ours", facts)
            assert run_id != theirs.info.run_id
            assert own.register("ours", run_id, version=1, digest="d") == "1"
            mlflow.log_param("goes", "on")
        assert mlflow.get_run(theirs.info.run_id).data.params == {"goes": "on"}
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)


def test_nothing_is_printed(registry: Registry, facts: RunFacts, capfd: pytest.CaptureFixture[str]) -> None:
    run_id = registry.record("quiet", replace(facts, name="quiet@1"))
    registry.register("quiet", run_id, version=1, digest="d")
    assert capfd.readouterr() == ("", "")


def test_a_registry_that_cannot_be_reached_is_an_environment_fault(tmp_path: Path, facts: RunFacts) -> None:
    (tmp_path / "file").write_text("in the way")
    broken = Registry(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path / "artifacts")
    with pytest.raises(EnvironmentFault, match="MLflow could not record the run"):
        broken.record("shop", facts)


def test_no_other_address_is_touched_or_left_behind(
    registry: Registry, facts: RunFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    registry.register("here", registry.record("here", replace(facts, name="here@1")), version=1, digest="d")
    assert list(tmp_path.iterdir()) == []
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///elsewhere.db"


def test_opening_a_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys, mainstay.registry.mlflow_registry as r\n"
        "r.Registry('sqlite://', None)\nsys.exit('mlflow' in sys.modules)"
    )
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0


def test_the_ui_command_names_this_registry_on_this_machine_only(registry: Registry) -> None:
    command = registry.ui_command(port=5050)
    assert registry.url in command
    assert "--host 127.0.0.1 --port 5050" in command
