"""A model behind feature code is compiled too: the feature code runs as it is, what comes after it as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Task
from mainstay.core.profiles import Profile
from mainstay.models.compiled import make
from mainstay.models.inputs import Form, InputSpec
from mainstay.models.load import LoadedModel

RNG = np.random.default_rng(5)
ROWS: list[dict[str, Any]] = [
    {
        "heat": None if RNG.random() < 0.1 else round(float(RNG.normal(20, 5)), 2),
        "shake": round(float(RNG.gamma(2)), 3),
        "medium": str(RNG.choice(["water", "oil", "air"])),
    }
    for _ in range(400)
]
KINDS = ["bad" if row["shake"] > 2.0 and row["medium"] != "air" else "good" for row in ROWS]
CONTRACT = Contract(
    task=Task.BINARY,
    target="kind",
    classes=("bad", "good"),
    fields=(
        Field(name="heat", type=FieldType.NUMBER, required=False),
        Field(name="shake", type=FieldType.NUMBER, min=0),
        Field(name="medium", type=FieldType.CATEGORY, values=("air", "oil", "water"), on_unknown=Policy.FLAG),
    ),
)
PROFILE = Profile(source="none", rows=0, keys=0, signals=[])


def per_degree(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(shake_per_degree=pl.col("shake") / (pl.col("heat") + 60.0))


def per_degree_in_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(shake_per_degree=frame["shake"] / (frame["heat"] + 60.0))


def columns(head: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    coded = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(
        make_column_transformer((numbers, ["heat", "shake", "shake_per_degree"]), (coded, ["medium"])), head
    )


def compiled(estimator: Any, spec: InputSpec, features: Callable[[Any], Any], rows: Any = ROWS) -> tuple[Any, Any]:
    """The fitted model as training makes it, and what came of compiling it."""
    model = LoadedModel(
        estimator=estimator, contract=CONTRACT, classes=("bad", "good"), spec=spec, profile=PROFILE, features=features
    )
    estimator.fit(model._inputs.build(rows), KINDS)
    model = LoadedModel(
        estimator=estimator, contract=CONTRACT, classes=("bad", "good"), spec=spec, profile=PROFILE, features=features
    )
    made = make.compile_model(
        estimator,
        CONTRACT,
        spec,
        classes=model.fitted,
        original=model.original,
        rows=rows,
        handed=model.program_rows,
    )
    return model, made


@pytest.mark.parametrize(
    "head", [LogisticRegression(), RandomForestClassifier(8, random_state=2)], ids=["line", "trees"]
)
@pytest.mark.parametrize(
    ("form", "features"), [(Form.POLARS, per_degree), (Form.PANDAS, per_degree_in_pandas)], ids=["polars", "pandas"]
)
def test_a_model_over_a_frame_of_features_answers_as_its_estimator_does(head: Any, form: Form, features: Any) -> None:
    model, made = compiled(columns(head), InputSpec(features="features", features_form=form), features)
    assert made.told["runtime"] == make.COMPILED, made.told["why"]
    strange = [*ROWS[:50], ROWS[0] | {"medium": "never seen"}, ROWS[1] | {"heat": -60.0}, ROWS[2] | {"heat": None}]
    wanted = model.original(strange[:-2] + strange[-1:])
    asked = model.program_rows(strange[:-2] + strange[-1:])
    assert np.abs(made.program.predict(asked) - wanted).max() < 1e-12


def test_a_model_over_a_text_that_feature_code_makes_answers_as_its_estimator_does() -> None:
    def said(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            said=pl.col("medium") + pl.when(pl.col("shake") > 2.0).then(pl.lit(" much")).otherwise(pl.lit(" little"))
        )

    spec = InputSpec(features="features", input="said")
    model, made = compiled(make_pipeline(CountVectorizer(), LogisticRegression()), spec, said)
    assert made.told["runtime"] == make.COMPILED, made.told["why"]
    assert np.abs(made.program.predict(model.program_rows(ROWS[:40])) - model.original(ROWS[:40])).max() < 1e-12


def test_feature_code_that_leaves_its_estimator_without_names_is_left_to_the_library() -> None:
    estimator = LogisticRegression().fit(np.array([[row["shake"]] for row in ROWS]), KINDS)
    spec = InputSpec(features="features")
    made = make.compile_model(
        estimator, CONTRACT, spec, classes=("bad", "good"), original=estimator.predict_proba, rows=ROWS
    )
    assert made.program is None
    assert "does not tell which columns" in made.told["why"]
