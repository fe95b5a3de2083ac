"""What a ranking asks of rows and estimators: groups stay whole, rankers are told their sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from lightgbm import LGBMRanker
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mainstay.config.settings import SplitBy
from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.core.errors import BadData
from mainstay.core.profiles import Profile
from mainstay.data.split import split_rows
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.train.fit import Pipeline, Rows, fit, group_sizes, read_rows, together
from mainstay.train.folds import assign_folds


def contract(**changes: Any) -> Contract:
    fields = (
        Field(name="q", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,)),
        Field(name="user", type=FieldType.IDENTIFIER, required=False, roles=(Role.IGNORED,)),
        Field(name="at", type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,)),
        Field(name="x", type=FieldType.NUMBER),
    )
    given: dict[str, Any] = {"task": Task.RANKING, "fields": fields, "target": "grade", "key": "q", "group": "q"}
    return Contract(**(given | changes))


def frame(groups: list[str], **more: list[Any]) -> pl.DataFrame:
    n = len(groups)
    return pl.DataFrame({"q": groups, "x": [float(i % 5) for i in range(n)], "grade": [i % 3 for i in range(n)]} | more)


def test_a_ranker_gets_its_rows_group_by_group_with_their_sizes() -> None:
    groups = ["b", "a", "b", "c", "a", "b"]
    order = together(groups)
    assert [groups[i] for i in order] == ["b", "b", "b", "a", "a", "c"]
    assert order.tolist() == [0, 2, 5, 1, 4, 3]
    sizes = [3, 2, 1]
    assert group_sizes(LGBMRanker(), [groups[i] for i in order]) == {"group": sizes}
    pipeline = make_pipeline(StandardScaler(), LGBMRanker())
    assert group_sizes(pipeline, [groups[i] for i in order]) == {"lgbmranker__group": sizes}
    for plain in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression()), object()):
        assert group_sizes(plain, groups) == {}


def test_a_pipeline_that_ends_in_a_ranker_is_fitted() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{i // 6}" for i in range(120)]
    x = rng.normal(size=120)
    rows = Rows(
        values=[{"q": g, "x": float(v)} for g, v in zip(groups, x, strict=True)],
        truth=np.clip(np.round(x + 1), 0, 3),
        keys=groups,
        groups=groups,
        is_traffic=np.zeros(120, dtype=bool),
    )
    ranker = LGBMRanker(n_estimators=10, min_child_samples=2, verbose=-1)
    plan = Pipeline(
        name="p", build=lambda _: make_pipeline(StandardScaler(), ranker), params={}, spec=InputSpec(takes=("x",))
    )
    fitted, _ = fit(plan, contract(), rows)
    model = loaded(fitted)
    low, high = model.predict([{"q": "g", "x": -1.0}, {"q": "g", "x": 2.0}])
    assert low < high


def test_a_classifiers_score_is_the_grade_that_it_expects() -> None:
    x = np.linspace(-2, 2, 60)
    grades = np.clip(np.round(x + 1), 0, 2)
    model = loaded(LogisticRegression().fit(pd.DataFrame({"x": x}), grades))
    rows = [{"q": "g", "x": value} for value in (-2.0, 0.0, 2.0)]
    expected = model.estimator.predict_proba(pd.DataFrame({"x": [-2.0, 0.0, 2.0]})) @ [0.0, 1.0, 2.0]
    assert model.predict(rows) == pytest.approx(expected)


def loaded(estimator: Any) -> LoadedModel:
    none = Profile(source="none", rows=0, keys=0, signals=[])
    spec = InputSpec(takes=("x",))
    return LoadedModel(estimator=estimator, contract=contract(), classes=(), spec=spec, profile=none)


def test_no_fold_parts_a_group() -> None:
    rows = read_rows(contract(), frame([f"g{i % 12}" for i in range(60)]))
    fold = assign_folds(contract(), rows, seed=0)
    assert all(
        len({int(f) for f, g in zip(fold, rows.groups or (), strict=True) if g == f"g{n}"}) == 1 for n in range(12)
    )


@pytest.mark.parametrize("by", [SplitBy.KEY, SplitBy.TIME])
def test_no_split_parts_a_group(by: SplitBy) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    groups = [f"g{i % 10}" for i in range(50)]  # the rows of a group lie far apart in time
    given = frame(groups, at=[start + timedelta(hours=i) for i in range(50)])
    train, test = split_rows(contract(time="at"), given, by=by, share=0.3, seed=1)
    assert not set(train["q"]) & set(test["q"])
    assert train["at"].to_list() == [at for g, at in zip(given["q"], given["at"], strict=True) if g in set(train["q"])]


def test_a_group_of_several_keys_is_refused_as_it_could_be_parted() -> None:
    rows = frame(["a", "a", "b"], user=["u1", "u1", "u2"])
    assert read_rows(contract(key="user"), rows).keys == ["u1", "u1", "u2"]
    with pytest.raises(BadData, match="q 'a' has rows of several user: 'u1' and 'u2'"):
        read_rows(contract(key="user"), frame(["a", "a", "b"], user=["u1", "u2", "u2"]))


def test_a_grade_below_zero_or_beyond_what_a_gain_can_be_is_refused() -> None:
    for grade in (-1, 32):
        with pytest.raises(BadData, match="a grade of relevance is 0 to 31"):
            read_rows(contract(), frame(["a", "a", "b"]).with_columns(grade=pl.Series([0, 1, grade])))
