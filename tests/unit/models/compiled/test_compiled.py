"""Compiled models answer as the estimators they were made of, or say why they were not made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Task
from mainstay.core.errors import Damaged
from mainstay.models.compiled import build, parity, program_file
from mainstay.models.compiled.known import NotKnown
from mainstay.models.compiled.parts import Program

WORDS = ["apple", "pear", "plum", "bread", "roll", "cake", "milk", "cheese", "butter", "the", "a", "of"]
WORDS += ["ÀÉ", "straße", "don't", "x_1", "ok", "okay", "42"]


def lr() -> LogisticRegression:
    return LogisticRegression(max_iter=200)


def sentences(n: int, seed: int) -> list[str]:
    luck = random.Random(seed)
    return [" ".join(luck.choices(WORDS, k=luck.randint(1, 12))) for _ in range(n)]


TEXTS = sentences(300, 1)
KINDS = [("fruit", "bakery", "dairy")[min(sum(w in t for w in ("bread", "milk", "cheese")), 2)] for t in TEXTS]
ASKED = [{"said": text} for text in [*sentences(200, 2), *parity.STRANGE_TEXTS]]


def array(texts: Sequence[str]) -> Any:
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out


def asking(estimator: Any) -> Any:
    return lambda rows: estimator.predict_proba(array([row["said"] for row in rows]))


def answers(estimator: Any, given: Any) -> Any:
    return estimator.predict_proba(given) if hasattr(estimator, "predict_proba") else estimator.predict(given)


def through_a_file(described: Any, program: Program | None) -> Program:
    assert program is not None
    data = program_file.encode(described)
    assert program_file.encode(program_file.decode(data)) == data
    return program_file.assemble(program_file.decode(data))


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(CountVectorizer(), lr()),
        make_pipeline(CountVectorizer(binary=True, lowercase=False, token_pattern=r"\S+"), MultinomialNB()),
        make_pipeline(CountVectorizer(ngram_range=(2, 3), max_features=50), TfidfTransformer(), ComplementNB()),
        make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, stop_words="english"), lr()),
        make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), strip_accents="unicode"), lr()),
        make_pipeline(CountVectorizer(analyzer="char", ngram_range=(1, 3), strip_accents="ascii"), lr()),
        make_pipeline(TfidfVectorizer(use_idf=False, norm=None), SGDClassifier(loss="log_loss", random_state=1)),
        GridSearchCV(make_pipeline(TfidfVectorizer(norm="l1"), lr()), {"logisticregression__C": [1.0, 2.0]}, cv=2),
        make_pipeline(
            FeatureUnion(
                [("w", TfidfVectorizer()), ("c", CountVectorizer(analyzer="char"))], transformer_weights={"w": 0.5}
            ),
            lr(),
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("several", [True, False], ids=["three classes", "two classes"])
def test_a_text_model_answers_as_scikit_learn_does_on_real_and_strange_texts(estimator: Any, several: bool) -> None:
    estimator.fit(array(TEXTS), KINDS if several else [kind == "dairy" for kind in KINDS])
    described = build.describe(estimator, fields=["said"], text="said")
    program, held = parity.hold(described, asking(estimator), ASKED)
    assert (held.holds, held.rows) == (True, len(ASKED)), held.why
    assert held.largest < 1e-12
    again = through_a_file(described, program)
    wanted = estimator.predict_proba(array([row["said"] for row in ASKED]))
    assert np.abs(again.predict(ASKED) - wanted).max() < 1e-12
    assert again.predict([]).shape == (0, wanted.shape[1])


TABLES = {"cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}


@pytest.mark.parametrize(
    ("table", "estimator"),
    [
        ("cancer", make_pipeline(SimpleImputer(), StandardScaler(), lr())),
        ("wine", make_pipeline(MinMaxScaler(), lr())),
        ("diabetes", make_pipeline(RobustScaler(), MaxAbsScaler(), Ridge())),
        ("diabetes", make_pipeline(MinMaxScaler(), PoissonRegressor())),
        ("cancer", DecisionTreeClassifier(random_state=1)),
        ("wine", RandomForestClassifier(20, random_state=1)),
        ("cancer", ExtraTreesClassifier(20, random_state=1)),
        ("diabetes", RandomForestRegressor(10, random_state=1)),
        ("cancer", GradientBoostingClassifier(n_estimators=20, random_state=1)),
        ("wine", GradientBoostingClassifier(n_estimators=20, subsample=0.7, random_state=1)),
        ("diabetes", GradientBoostingRegressor(n_estimators=20, random_state=1)),
        ("cancer", HistGradientBoostingClassifier(max_iter=20)),
        ("wine", HistGradientBoostingClassifier(max_iter=20)),
        ("diabetes", HistGradientBoostingRegressor(max_iter=20, loss="poisson")),
        ("cancer", xgboost.XGBClassifier(n_estimators=20, nthread=1)),
        ("wine", xgboost.XGBClassifier(n_estimators=20, nthread=1)),
        ("diabetes", xgboost.XGBRegressor(n_estimators=20, nthread=1)),
        ("cancer", lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1)),
        ("wine", lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1)),
        ("diabetes", lightgbm.LGBMRegressor(n_estimators=20, n_jobs=1, verbose=-1)),
    ],
    ids=str,
)
def test_a_model_of_numbers_answers_as_its_library_does_with_missing_values_too(table: str, estimator: Any) -> None:
    data = TABLES[table](as_frame=True)
    frame, names = data.data, list(data.data.columns)
    takes_missing = "Hist" in str(estimator) or "XGB" in str(estimator) or "LGBM" in str(estimator)
    if takes_missing:
        frame = frame.mask(np.random.default_rng(1).random(frame.shape) < 0.1)
    estimator.fit(frame, data.target)
    tolerance = parity.TOLERANCE_32 if "XGB" in str(estimator) else parity.TOLERANCE
    rows = [{k: None if v != v else v for k, v in row.items()} for row in frame.to_dict("records")]

    def original(asked: Sequence[Any]) -> Any:
        return answers(estimator, pd.DataFrame(asked, columns=names).astype(np.float64))

    described = build.describe(estimator, fields=names, text=None)
    program, held = parity.hold(described, original, rows, tolerance=tolerance)
    assert held.holds, held.why
    again = through_a_file(described, program)
    assert np.abs(again.predict(rows) - original(rows)).max() <= tolerance * max(1.0, np.abs(original(rows)).max())


def people(n: int, seed: int) -> tuple[pd.DataFrame, list[str]]:
    luck = random.Random(seed)
    rows = [
        {
            "age": luck.choice([None, 20.0, 33.0, 47.5, 61.0]),
            "hours": float(luck.randint(1, 60)),
            "work": luck.choice([None, "office", "field", "none"]),
            "town": luck.choice(["north", "south", "east"]),
        }
        for _ in range(n)
    ]
    frame = pd.DataFrame(rows)
    frame["work"] = pd.Series([row["work"] for row in rows], dtype=object)
    frame["town"] = pd.Series([row["town"] for row in rows], dtype=object)
    return frame, ["yes" if row["hours"] + luck.gauss(0, 9) > 30 else "no" for row in rows]


NUMBERS, NAMES = ["age", "hours"], ["work", "town"]


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(
            ColumnTransformer(
                [
                    ("n", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
                    ("c", OneHotEncoder(handle_unknown="ignore"), NAMES),
                ]
            ),
            lr(),
        ),
        make_pipeline(
            ColumnTransformer(
                [
                    ("n", SimpleImputer(), slice(0, 2)),
                    (
                        "c",
                        make_pipeline(
                            SimpleImputer(strategy="most_frequent", missing_values=None),
                            OneHotEncoder(drop="first", handle_unknown="error"),
                        ),
                        [False, False, True, True],
                    ),
                ]
            ),
            GradientBoostingClassifier(n_estimators=10),
        ),
        make_pipeline(
            ColumnTransformer(
                [("c", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [2, 3])],
                remainder="passthrough",
            ),
            HistGradientBoostingClassifier(max_iter=10),
        ),
        make_pipeline(
            ColumnTransformer([("t", TfidfVectorizer(), "town"), ("n", "passthrough", ["hours"])], remainder="drop"),
            lr(),
        ),
        make_pipeline(
            ColumnTransformer([("n", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS)]),
            lr(),
        ),
        make_pipeline(
            ColumnTransformer([("n", SimpleImputer(strategy="median", add_indicator=True), NUMBERS)]),
            RandomForestClassifier(5, random_state=1),
        ),
    ],
    ids=[
        "one-hot and scaled",
        "imputed and dropped",
        "codes and the rest",
        "words and numbers",
        "gaps",
        "gaps in trees",
    ],
)
def test_a_model_of_mixed_columns_answers_as_scikit_learn_does(estimator: Any) -> None:
    frame, truth = people(400, 1)
    estimator.fit(frame, truth)
    rows = [{k: None if v is None or v != v else v for k, v in r.items()} for r in people(300, 2)[0].to_dict("records")]
    if "ignore" in str(estimator) or "use_encoded" in str(estimator):
        rows += [rows[0] | {"town": "never seen"}, rows[1] | {"work": "never seen"}]

    def original(asked: Sequence[Any]) -> Any:
        given = pd.DataFrame({n: pd.Series([row[n] for row in asked], dtype=object) for n in frame.columns})
        return estimator.predict_proba(given.astype({"age": float, "hours": float}))

    described = build.describe(estimator, fields=list(frame.columns), text=None)
    program, held = parity.hold(described, original, rows)
    assert held.holds, held.why
    assert np.abs(through_a_file(described, program).predict(rows) - original(rows)).max() < 1e-12


class OwnVectorizer(CountVectorizer):
    def build_analyzer(self) -> Any:
        return str.split


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (make_pipeline(OwnVectorizer(), lr()), "OwnVectorizer"),
        (make_pipeline(CountVectorizer(tokenizer=str.split, token_pattern=None), lr()), "a function of its own"),
        (CalibratedClassifierCV(make_pipeline(CountVectorizer(), lr()), cv=2), "CalibratedClassifierCV"),
        (make_pipeline(CountVectorizer(), RandomForestClassifier(3)), "trees over words"),
    ],
    ids=["a subclass", "an own tokenizer", "an unknown head", "trees over words"],
)
def test_what_is_not_known_is_left_to_its_library_with_the_reason(estimator: Any, why: str) -> None:
    estimator.fit(array(TEXTS), KINDS)
    with pytest.raises(NotKnown, match=why):
        build.describe(estimator, fields=["said"], text="said")


def test_an_indicator_before_an_encoder_is_not_compiled() -> None:
    frame, truth = people(50, 1)
    chain = make_pipeline(SimpleImputer(add_indicator=True), OrdinalEncoder())
    estimator = make_pipeline(ColumnTransformer([("n", chain, ["age"])]), lr()).fit(frame, truth)
    with pytest.raises(NotKnown, match="OrdinalEncoder after a SimpleImputer with an indicator"):
        build.describe(estimator, fields=list(frame.columns), text=None)


def test_steps_that_mix_columns_are_not_compiled() -> None:
    data = load_wine(as_frame=True)
    estimator = make_pipeline(PolynomialFeatures(), StandardScaler(), lr()).fit(data.data, data.target)
    with pytest.raises(NotKnown, match="PolynomialFeatures"):
        build.describe(estimator, fields=list(data.data.columns), text=None)


def test_a_program_that_differs_is_not_believed() -> None:
    estimator = make_pipeline(CountVectorizer(), lr()).fit(array(TEXTS), KINDS)
    described = build.describe(estimator, fields=["said"], text="said")
    described["head"]["weights"] = described["head"]["weights"] * (1 + 1e-6)
    program, held = parity.hold(described, asking(estimator), ASKED)
    assert program is None
    assert not held.holds
    assert "answers differ by up to" in held.why


def test_a_program_that_fails_is_not_believed() -> None:
    estimator = make_pipeline(CountVectorizer(), lr()).fit(array(TEXTS), KINDS)
    described = build.describe(estimator, fields=["said"], text="said")
    described["head"]["weights"] = described["head"]["weights"][:3]
    program, held = parity.hold(described, asking(estimator), ASKED)
    assert (program, held.holds, "it fails where" in held.why) == (None, False, True)


def test_a_row_that_the_estimator_refuses_must_be_refused_by_the_program_too() -> None:
    frame, truth = people(200, 1)
    rows = [row | {"age": 1.0} for row in frame.to_dict("records")]
    odd = [rows[0] | {"town": "never seen"}, rows[0] | {"age": None}]
    encoder = ColumnTransformer([("c", OneHotEncoder(), ["town"])], remainder="drop")
    strict = make_pipeline(encoder, lr()).fit(frame, truth)
    described = build.describe(strict, fields=list(frame.columns), text=None)

    def original(asked: Sequence[Any]) -> Any:
        return strict.predict_proba(pd.DataFrame(list(asked), columns=list(frame.columns)))

    program, held = parity.hold(described, original, rows, strange=odd)
    assert (held.holds, held.rows) == (True, len(rows) + 1)
    with pytest.raises(KeyError):
        through_a_file(described, program).predict(odd[:1])
    described["blocks"][0]["refuses_unknown"] = False
    program, held = parity.hold(described, original, rows, strange=odd)
    assert (program, "refuses" in held.why) == (None, True)


@pytest.mark.parametrize("data", [b"", b"\x80", b"nonsense", program_file.encode({"v": 9})])
def test_bytes_that_are_no_program_are_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        program_file.decode(data)


def test_rows_to_compare_on_hold_every_strange_value_that_the_contract_allows() -> None:
    contract = Contract(
        task=Task.BINARY,
        target="y",
        fields=(
            Field(name="said", type=FieldType.TEXT, required=False, max_chars=10),
            Field(name="age", type=FieldType.INTEGER, min=0, max=99),
            Field(name="town", type=FieldType.CATEGORY, values=("a", "b"), on_unknown=Policy.FLAG),
            Field(name="on", type=FieldType.BOOLEAN),
        ),
    )
    real = [{"said": "x", "age": 3, "town": "a", "on": True, "left_out": 1}] * 3
    rows = [*parity.asked_rows(contract, real), *parity.strange_rows(contract, real)]
    assert {row["age"] for row in rows} == {0, 3, 99}
    assert {row["town"] for row in rows} == {"a", "b", "never seen"}
    assert {row["on"] for row in rows} == {True, False}
    texts = {row["said"] for row in rows}
    assert None in texts
    assert "" in texts
    assert max(len(text) for text in texts if text) == 10
    assert not any("left_out" in row for row in rows)
    assert parity.asked_rows(contract, []) == parity.strange_rows(contract, []) == []
