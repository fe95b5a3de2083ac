from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier

from mainstay.core.contracts import Contract
from mainstay.core.errors import EnvironmentFault, ModelOutputInvalid, ProjectFileError
from mainstay.core.profiles import Profile
from mainstay.models import environment, pickles
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.inputs import Inputs, InputSpec
from mainstay.models.load import LoadedModel, load

ROW = {"text": "apple", "shop": "north", "weight": 1.5, "fresh": True, "buyer": "b"}
FEATURES = "import polars as pl\ndef features(frame):\n    return frame.with_columns(text=pl.lit({word!r}))\n"


def test_a_loaded_model_predicts_what_was_written_in_declared_order(
    tmp_path: Path, parts: BundleParts, estimator: Any
) -> None:
    model = load(write_bundle(tmp_path, parts))
    rows = [{"text": text} for text in ("apple", "hammer", "nothing known")]
    expected = estimator.predict_proba([row["text"] for row in rows])[:, ::-1]
    assert estimator.classes_.tolist() == ["fruit", "tool"]
    assert model.classes == ("tool", "fruit")
    np.testing.assert_array_equal(model.predict(rows), expected)


def test_no_rows_give_no_probabilities(tmp_path: Path, parts: BundleParts) -> None:
    assert load(write_bundle(tmp_path, parts)).predict([]).shape == (0, 2)


def test_a_declared_class_that_training_never_held_has_probability_zero(
    tmp_path: Path, parts: BundleParts, contract: Contract
) -> None:
    wider = replace(contract, classes=("animal", "tool", "fruit"))
    model = load(write_bundle(tmp_path, replace(parts, contract=wider, classes=wider.classes)))
    output = model.predict([ROW])
    assert output[0, 0] == 0.0
    assert output.sum() == pytest.approx(1.0)


def test_a_class_that_is_not_declared_is_refused_at_loading(tmp_path: Path, parts: BundleParts) -> None:
    bundle = write_bundle(tmp_path, replace(parts, classes=("tool", "animal")))
    with pytest.raises(ModelOutputInvalid, match="fruit"):
        load(bundle)


def test_two_versions_of_feature_code_stay_apart_in_one_process(tmp_path: Path, parts: BundleParts) -> None:
    spec = InputSpec(input="text", features="features")
    texts = {"apple": 1, "hammer": 0}
    models = {
        word: load(write_bundle(tmp_path, replace(parts, spec=spec, features_source=FEATURES.format(word=word))))
        for word in texts
    }
    for word, column in texts.items():
        assert models[word].predict([ROW])[0].argmax() == column


def test_feature_code_that_does_not_load_is_an_environment_fault(tmp_path: Path, parts: BundleParts) -> None:
    spec = InputSpec(input="text", features="features")
    bundle = write_bundle(tmp_path, replace(parts, spec=spec, features_source="import not_there_at_all\n"))
    with pytest.raises(EnvironmentFault, match="not_there_at_all"):
        load(bundle)


def test_a_pickle_that_does_not_load_names_the_cause(tmp_path: Path, parts: BundleParts) -> None:
    bundle = write_bundle(tmp_path, replace(parts, pickle=b"cnot_there_at_all\nThing\n."))
    with pytest.raises(EnvironmentFault, match="not_there_at_all"):
        load(bundle)


def test_feature_code_that_drops_rows_is_refused(contract: Contract) -> None:
    inputs = Inputs(contract, InputSpec(input="text", features="f"), lambda frame: frame.head(1))
    with pytest.raises(ModelOutputInvalid, match="1 rows for 2"):
        inputs.build([ROW, ROW])


def test_feature_code_that_returns_no_frame_is_refused(contract: Contract) -> None:
    inputs = Inputs(contract, InputSpec(input="text", features="f"), lambda frame: frame["text"])  # type: ignore[arg-type,return-value]
    with pytest.raises(ProjectFileError, match="Series"):
        inputs.build([ROW])


def test_an_input_that_no_column_has_is_refused(contract: Contract) -> None:
    inputs = Inputs(contract, InputSpec(input="missing", features="f"), lambda frame: frame)
    with pytest.raises(ProjectFileError, match="missing"):
        inputs.build([ROW])


def test_column_types_do_not_depend_on_the_batch(contract: Contract) -> None:
    inputs = Inputs(contract, InputSpec(), None)
    full = inputs.build([ROW])
    holes = inputs.build([{**ROW, "weight": None, "fresh": None}])
    assert full.dtypes.tolist() == holes.dtypes.tolist()
    assert list(full.columns) == ["text", "shop", "weight", "fresh", "buyer"]


def test_a_polars_feature_function_gets_the_contracts_types(contract: Contract) -> None:
    seen: dict[str, pl.DataType] = {}

    def features(frame: pl.DataFrame) -> pl.DataFrame:
        seen.update(frame.schema)
        return frame

    Inputs(contract, InputSpec(features="f"), features).build([{**ROW, "weight": None, "fresh": None}])
    assert seen == {
        "text": pl.String,
        "shop": pl.String,
        "weight": pl.Float64,
        "fresh": pl.Float64,
        "buyer": pl.String,
    }


def test_a_missing_text_is_an_empty_text_to_a_vectorizer(contract: Contract) -> None:
    assert Inputs(contract, InputSpec(input="text"), None).build([{"text": None}]).tolist() == [""]


def test_an_estimator_of_another_shape_is_refused(tmp_path: Path, parts: BundleParts) -> None:
    class Narrow(DummyClassifier):
        def predict_proba(self, X: Any) -> Any:  # noqa: N803
            return np.ones((1, 2))

    fitted = Narrow().fit([["a"], ["b"]], ["tool", "fruit"])
    model = load(write_bundle(tmp_path, replace(parts, pickle=pickles.dump(fitted))))
    with pytest.raises(ModelOutputInvalid, match="shape"):
        model.predict([ROW, ROW])


def test_the_lock_names_what_the_pickle_imports_and_not_what_it_merely_holds(estimator: Any) -> None:
    data = pickles.dump({"model": estimator, "words": ["pytest", "rich", "fastapi"]})
    names = {line.partition("==")[0] for line in environment.lock_lines(data)}
    assert {"scikit-learn", "numpy", "python"} <= names
    assert not names & {"pytest", "rich", "fastapi"}


def test_another_version_or_an_absent_package_is_told() -> None:
    told = environment.differences(["numpy==0.1", "not-there-at-all==1.0", *environment.lock_lines()])
    assert len(told) == 2
    assert "0.1 in training" in told[0]
    assert "not installed" in told[1]


class Crowd(DummyClassifier):
    """Says with how many threads and jobs it is asked."""

    n_jobs = -1
    seen: ClassVar[list[int]] = []

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"n_jobs": self.n_jobs}

    def set_params(self, **params: Any) -> Crowd:
        self.n_jobs = params["n_jobs"]
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        from threadpoolctl import threadpool_info

        Crowd.seen += [pool["num_threads"] for pool in threadpool_info()]
        return np.tile([0.5, 0.5], (len(X), 1))


def test_answers_are_computed_on_one_thread_whatever_the_estimator_asks_for(contract: Contract) -> None:
    estimator = Crowd()
    estimator.classes_ = np.array(["tool", "fruit"])
    Crowd.seen.clear()
    empty = Profile(source="none", rows=0, keys=0, signals=[])
    model = LoadedModel(
        estimator=estimator,
        contract=contract,
        classes=("tool", "fruit"),
        spec=InputSpec(input="text"),
        profile=empty,
    )
    model.predict([ROW])
    assert estimator.n_jobs == 1
    assert set(Crowd.seen) == {1}


def test_where_libraries_are_on_one_thread_already_nothing_is_set_and_put_back(
    contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadpoolctl import threadpool_limits

    estimator = DummyClassifier(strategy="prior").fit([[0], [1]], ["fruit", "tool"])
    model = LoadedModel(
        estimator=estimator,
        contract=contract,
        classes=("tool", "fruit"),
        spec=InputSpec(input="text"),
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
    )
    with threadpool_limits(limits=1):
        monkeypatch.setattr(model._threads, "limit", None)
        assert model.predict([ROW]).tolist() == [[0.5, 0.5]]
