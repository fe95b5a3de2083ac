"""Whatever a notebook fits on, rows come back to the estimator as it had them, and its answers are the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from mainstay.adoption.folder import pipeline_table
from mainstay.adoption.look import Looked, Roles, look
from mainstay.config import load as config
from mainstay.config.write import project_toml
from mainstay.core.contracts import FieldType, Role, Task
from mainstay.data.frame_check import check_frame
from mainstay.models.inputs import Form, Inputs
from mainstay.train.fit import input_spec, read_rows

OWN_STEPS = """
import own_numbers
from sklearn.base import BaseEstimator, TransformerMixin


class Times(TransformerMixin, BaseEstimator):
    def fit(self, rows, truth=None):
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows):
        return rows * own_numbers.FACTOR
"""
ROWS = 240
DRAW = np.random.default_rng(5)
A, B = DRAW.normal(size=ROWS), DRAW.normal(size=ROWS)
FRAME = pd.DataFrame(
    {
        "a": A,
        "b": np.where(DRAW.random(ROWS) < 0.1, np.nan, B),
        "n": DRAW.integers(0, 50, ROWS),
        "shop": DRAW.choice(["north", "south", "west"], ROWS),
        "at": pd.date_range("2026-01-01", periods=ROWS, freq="37min"),
    }
)
TRUTH = np.where(A + 0.5 * np.nan_to_num(B) + DRAW.normal(size=ROWS) > 0, "yes", "no")
TEXTS = [f"{'good fine' if one == 'yes' else 'bad poor'} day number {i}" for i, one in enumerate(TRUTH)]
TRAIN, TEST = slice(0, 160), slice(160, ROWS)


def taken(rows: Any, part: slice) -> Any:
    return rows.iloc[part] if hasattr(rows, "iloc") else rows[part]


def looked(fitted: Any, rows: Any, truth: Any = TRUTH, *, holdout: bool = True, **more: Any) -> Looked:
    roles = {name: more.pop(name) for name in ("key", "time", "segments") if name in more}
    options = {"features": None, "column": None, **more}
    pair = (taken(rows, TEST), taken(truth, TEST)) if holdout else None
    return look(fitted, taken(rows, TRAIN), taken(truth, TRAIN), pair, roles=Roles(**roles), **options)


def hours(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"hour": frame["at"].dt.hour, "a": frame["a"]})


def mixed() -> tuple[Any, Any]:
    columns = ColumnTransformer(
        [
            ("names", OneHotEncoder(), ["shop"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b", "n"]),
            ("hour", FunctionTransformer(hours), ["at", "a"]),
        ]
    )
    rows = FRAME[["n", "shop", "a", "b", "at"]]
    return make_pipeline(columns, LogisticRegression(max_iter=400)).fit(rows[TRAIN], TRUTH[TRAIN]), rows


def on_polars() -> tuple[Any, Any]:
    rows = pl.from_pandas(FRAME[["a", "shop"]]).with_columns(
        pl.col("a").cast(pl.Float32), pl.col("shop").cast(pl.Enum(["north", "south", "west"]))
    )
    columns = ColumnTransformer([("names", OneHotEncoder(), ["shop"]), ("rest", "passthrough", ["a"])])
    return make_pipeline(columns, LogisticRegression()).fit(rows[TRAIN], TRUTH[TRAIN]), rows


def on_categories() -> tuple[Any, Any]:
    rows = pd.DataFrame(
        {
            "shop": pd.Categorical(FRAME["shop"], categories=["west", "north", "south", "east"]),
            "grade": pd.Categorical(FRAME["n"] % 4, categories=[3, 2, 1, 0], ordered=True),
            "b": FRAME["b"].astype("float32"),
            "flag": (FRAME["a"] > 0).astype("boolean").where(FRAME["b"].notna()),
            "small": FRAME["n"].astype("int8"),
        }
    )
    rows["flag"] = rows["flag"].astype("float32")
    model = HistGradientBoostingClassifier(max_iter=15, categorical_features="from_dtype")
    return model.fit(rows[TRAIN], TRUTH[TRAIN]), rows


def with_gaps_in_words() -> tuple[Any, Any]:
    rows = FRAME[["shop"]].astype(object).mask(FRAME["b"].isna().to_frame("shop"))
    steps = SimpleImputer(strategy="most_frequent"), OneHotEncoder(), LogisticRegression()
    return make_pipeline(*steps).fit(rows[TRAIN], TRUTH[TRAIN]), rows


def frame_for_a_nameless_model() -> tuple[Any, Any]:
    rows = FRAME[["n", "a"]]
    return LogisticRegression().fit(rows[TRAIN].to_numpy(), TRUTH[TRAIN]), rows


def array_for_a_named_model() -> tuple[Any, Any]:
    rows = FRAME[["n", "a"]]
    return LogisticRegression().fit(rows[TRAIN], TRUTH[TRAIN]), rows.to_numpy()


def columns_named_by_numbers() -> tuple[Any, Any]:
    rows = pd.DataFrame(FRAME[["n", "a"]].to_numpy())
    return LogisticRegression().fit(rows[TRAIN], TRUTH[TRAIN]), rows


def search() -> tuple[Any, Any]:
    rows = FRAME[["n", "a"]]
    return GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(rows[TRAIN], TRUTH[TRAIN]), rows


def vote() -> tuple[Any, Any]:
    rows = FRAME[["n", "a"]]
    parts = [("l", LogisticRegression()), ("f", RandomForestClassifier(5, random_state=0))]
    return VotingClassifier(parts, voting="soft").fit(rows[TRAIN], TRUTH[TRAIN]), rows


def texts() -> tuple[Any, Any]:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS[TRAIN], TRUTH[TRAIN]), TEXTS


def narrow_array() -> tuple[Any, Any]:
    rows = FRAME[["a", "n"]].to_numpy().astype("float32")
    return RandomForestClassifier(5, random_state=0).fit(rows[TRAIN], TRUTH[TRAIN]), rows


WAYS: dict[str, tuple[Callable[[], tuple[Any, Any]], Form]] = {
    "mixed columns with times": (mixed, Form.PANDAS),
    "a Polars frame": (on_polars, Form.POLARS),
    "categories, nullable and narrow types": (on_categories, Form.PANDAS),
    "words with gaps": (with_gaps_in_words, Form.PANDAS),
    "a frame for a model fitted on an array": (frame_for_a_nameless_model, Form.ARRAY),
    "an array for a model fitted on a frame": (array_for_a_named_model, Form.PANDAS),
    "columns named by numbers": (columns_named_by_numbers, Form.ARRAY),
    "a search": (search, Form.PANDAS),
    "a vote": (vote, Form.PANDAS),
    "texts": (texts, Form.PANDAS),
    "an array of narrow numbers": (narrow_array, Form.ARRAY),
}


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_the_notebooks_own(way: str) -> None:
    make, form = WAYS[way]
    found = looked(*make())
    assert found.difference == 0.0
    assert len(found.own) == ROWS - 160
    assert found.spec.form is form


@pytest.mark.parametrize("way", WAYS)
def test_served_rows_make_no_warning(way: str) -> None:
    make, _ = WAYS[way]
    found = looked(*make())
    rows = read_rows(found.contract, check_frame(found.contract, found.test, with_target=True).good).values
    given = Inputs(found.contract, found.spec, None).build(rows[:3])
    assert found.handed.estimator.predict_proba(given).shape == (3, 2)  # a warning is an error in these tests


@pytest.mark.parametrize("way", WAYS)
def test_the_project_file_says_how_rows_are_handed_over(way: str, tmp_path: Any) -> None:
    make, _ = WAYS[way]
    found = looked(*make())
    pipelines = {"adopted": pipeline_table(found.spec, found.kind.labels)}
    (tmp_path / "mainstay.toml").write_text(project_toml(found.contract, name="m", pipelines=pipelines))
    read = config.load(tmp_path, environ={})
    assert read.contract == found.contract
    assert input_spec(read.settings.train.pipelines["adopted"]) == found.spec


def test_one_column_of_texts_beside_others_is_named() -> None:
    rows = FRAME[["shop"]].assign(message=TEXTS)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(rows["message"][TRAIN], TRUTH[TRAIN])
    found = looked(model, rows, column="message", segments=("shop",))
    assert found.difference == 0.0
    assert found.spec.input == "message"
    assert [(f.name, f.roles) for f in found.contract.fields] == [
        ("shop", (Role.SEGMENT,)),
        ("message", (Role.FEATURE,)),
    ]


@pytest.mark.parametrize(
    ("truth", "classes", "labels"),
    [
        (TRUTH == "yes", ("false", "true"), "boolean"),
        ((TRUTH == "yes") + 3, ("3", "4"), "integer"),
        ((TRUTH == "yes") * 1.0, ("0", "1"), "number"),
        (pd.Series(TRUTH, name="answer").astype("category"), ("no", "yes"), "text"),
    ],
)
def test_classes_of_every_kind_have_names(truth: Any, classes: tuple[str, ...], labels: str) -> None:
    rows = FRAME[["n", "a"]]
    found = looked(LogisticRegression().fit(rows[TRAIN], truth[TRAIN]), rows, truth)
    assert (found.contract.classes, found.kind.labels, found.contract.task) == (classes, labels, Task.BINARY)
    assert found.difference == 0.0


def test_a_regression_answers_numbers() -> None:
    rows = FRAME[["n", "a"]]
    truth = A * 3 + DRAW.normal(size=ROWS)
    model = TransformedTargetRegressor(LinearRegression(), func=np.arcsinh, inverse_func=np.sinh)
    found = looked(model.fit(rows[TRAIN], truth[TRAIN]), rows, truth)
    assert (found.contract.task, found.contract.classes, found.difference) == (Task.REGRESSION, (), 0.0)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_columns_made_by_a_function_are_made_again_when_serving(kind: str) -> None:
    def by_pandas(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(ratio=frame["a"] / (1 + frame["n"]))[["ratio", "a"]]

    def by_polars(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select((pl.col("a") / (1 + pl.col("n"))).alias("ratio"), "a")

    rows = FRAME[["n", "a"]] if kind == "pandas" else pl.from_pandas(FRAME[["n", "a"]])
    make = by_pandas if kind == "pandas" else by_polars
    model = LogisticRegression().fit(make(taken(rows, TRAIN)), TRUTH[TRAIN])  # type: ignore[operator]
    found = looked(model, rows, features=make)
    assert found.difference == 0.0
    assert found.code is not None
    assert [f.name for f in found.contract.features] == ["n", "a"]


def test_ranges_and_categories_are_those_of_the_training_rows_and_gaps_of_all() -> None:
    rows = FRAME[["a", "shop"]].copy()
    rows.loc[200, "a"] = 99.0
    rows.loc[201, "a"] = np.nan
    rows.loc[202, "shop"] = "moon"
    encode = ColumnTransformer([("s", OneHotEncoder(handle_unknown="ignore"), ["shop"]), ("a", SimpleImputer(), ["a"])])
    found = looked(make_pipeline(encode, LogisticRegression()).fit(rows[TRAIN], TRUTH[TRAIN]), rows)
    a, shop = found.contract.fields
    assert (a.required, a.max) == (False, rows["a"][TRAIN].max())
    assert shop.values == ("north", "south", "west")


def test_key_and_time_need_not_be_seen_by_the_model_and_keep_rows_of_one_key_together() -> None:
    rows = FRAME[["a", "n", "at"]].assign(who=[f"c{i % 40}" for i in range(ROWS)])
    model = RandomForestClassifier(5, random_state=0).fit(rows[["n", "a"]][TRAIN], TRUTH[TRAIN])
    found = looked(model, rows, holdout=False, key="who", time="at")
    assert found.spec.takes == ("n", "a")
    who = found.contract.field("who")
    assert who is not None
    assert (who.type, who.roles) == (FieldType.IDENTIFIER, (Role.IGNORED,))
    assert not set(found.train["who"]) & set(found.test["who"])
    assert found.saw_test
    assert len(found.own) == 160


def test_a_class_of_a_file_beside_the_notebook_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_steps.py").write_text(OWN_STEPS)
    (tmp_path / "own_numbers.py").write_text("FACTOR = 3.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    steps = importlib.import_module("own_steps")
    rows = FRAME[["n", "a"]]
    found = looked(make_pipeline(steps.Times(), LogisticRegression()).fit(rows[TRAIN], TRUTH[TRAIN]), rows)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "unfitted.pkl").write_bytes(found.unfitted)
    ask = (
        "import pickle; step = pickle.load(open('unfitted.pkl', 'rb'))[0]; print(step.transform(2.0)); "
        "import sys; print('own_steps' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["6.0", "False"], done.stderr


def test_the_notebooks_estimator_is_left_as_it_was() -> None:
    rows = FRAME[["n", "a"]]
    model = RandomForestClassifier(5, n_jobs=2, random_state=0).fit(rows[TRAIN], TRUTH[TRAIN])
    found = looked(model, rows)
    assert model.n_jobs == 2
    assert found.handed.estimator is not model


def test_a_target_takes_its_name_from_y_unless_a_column_has_it() -> None:
    rows = FRAME[["n", "a"]]
    model = LogisticRegression().fit(rows[TRAIN], TRUTH[TRAIN])
    assert looked(model, rows, pd.Series(TRUTH, name="answer")).contract.target == "answer"
    assert looked(model, rows, pd.Series(TRUTH, name="a")).contract.target == "a_y"
    assert looked(model, rows).contract.target == "target"
