"""Explanations are Shapley values: held against the definition, by enumeration, and against sums that must come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import UsageError
from mainstay.core.profiles import Profile
from mainstay.models import pickles
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.compiled.heads import ForestHead
from mainstay.models.compiled.make import compile_model
from mainstay.models.compiled.trees import Forest
from mainstay.models.explained import background, paths
from mainstay.models.explained.explain import Explainer, explain
from mainstay.models.explained.records import Explanation
from mainstay.models.inputs import Form, InputSpec
from mainstay.models.load import LoadedModel, load

NAMES = ("a", "b", "c", "d")
RNG = np.random.default_rng(4)
NUMBERS = np.round(RNG.normal(size=(300, 4)), 2)
ROWS = [dict(zip(NAMES, row, strict=True)) for row in NUMBERS.tolist()]
SCORE = NUMBERS[:, 0] * NUMBERS[:, 1] + np.where(NUMBERS[:, 2] > 0, 2.0, -1.0)
KINDS = np.where(SCORE > 1, "high", np.where(SCORE > 0, "mid", "low"))
TEXTS = ["green apple pie", "red apple", "steel hammer", "red hammer head", "green pear", "steel nail"] * 4
THINGS = ["fruit", "fruit", "tool", "tool", "fruit", "tool"] * 4
PROFILE = Profile(source="none", rows=0, keys=0, signals=[])


def contract(task: Task, classes: Sequence[str], *fields: Field) -> Contract:
    return Contract(task=task, fields=fields, target="y", classes=tuple(classes))


def bundled(
    folder: Path, estimator: Any, told: Contract, rows: Sequence[Mapping[str, Any]], spec: InputSpec
) -> LoadedModel:
    """A fitted estimator, compiled, written and loaded as training does it."""
    model = LoadedModel(estimator=estimator, contract=told, classes=told.classes, spec=spec, profile=PROFILE)
    made = compile_model(estimator, told, spec, classes=model.fitted, original=model.original, rows=rows)
    parts = BundleParts(
        pickle=pickles.dump(estimator),
        contract=told,
        profile=PROFILE,
        classes=told.classes,
        spec=spec,
        parity=made.told,
        program=made.data,
        background=background.background_of_made(model, made, rows),
    )
    return load(write_bundle(folder, parts))


def of_numbers(folder: Path, estimator: Any) -> LoadedModel:
    is_class = hasattr(estimator, "predict_proba")
    estimator.fit(NUMBERS, KINDS if is_class else SCORE)
    fields = [Field(name=name, type=FieldType.NUMBER, required=False) for name in NAMES]
    told = (
        contract(Task.MULTICLASS, ("low", "mid", "high"), *fields)
        if is_class
        else contract(Task.REGRESSION, (), *fields)
    )
    return bundled(folder, estimator, told, ROWS, InputSpec(form=Form.ARRAY))


def of_texts(folder: Path, estimator: Any) -> LoadedModel:
    estimator.fit(TEXTS, THINGS)
    told = contract(Task.BINARY, ("tool", "fruit"), Field(name="text", type=FieldType.TEXT))
    return bundled(folder, estimator, told, [{"text": text} for text in TEXTS], InputSpec(input="text"))


def shapley(value: Callable[[frozenset[int]], float], players: int) -> list[float]:
    """The definition (Shapley 1953): the mean of what a player adds, over all orders."""
    out = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        total = 0.0
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            total += weight * sum(
                value(frozenset(chosen) | {player}) - value(frozenset(chosen)) for chosen in combinations(others, size)
            )
        out.append(total)
    return out


def expected_value(forest: Forest, cover: Any, row: Any, known: frozenset[int]) -> Any:
    """EXPVALUE of Lundberg, Erion, Lee 2018 (Algorithm 1), summed over the trees."""

    def walk(node: int) -> Any:
        left, right = int(forest.child[2 * node]), int(forest.child[2 * node + 1])
        if left == node:
            return forest.values[node]
        column = int(forest.feature[node])
        if column in known:
            x = row[column]
            goes_left = bool(forest.missing_left[node]) if math.isnan(x) else x <= forest.threshold[node]
            return walk(left if goes_left else right)
        return (walk(left) * cover[left] + walk(right) * cover[right]) / cover[node]

    return forest.start + sum(walk(root) for root in forest.roots.tolist())


def score_when_known(forest: Forest, cover: Any, row: Any, score: int, known: frozenset[int]) -> float:
    return float(expected_value(forest, cover, row, known)[score])


FORESTS = [
    RandomForestRegressor(n_estimators=3, max_depth=5, random_state=0),
    GradientBoostingRegressor(n_estimators=4, max_depth=4, random_state=0),
    RandomForestClassifier(n_estimators=3, max_depth=4, random_state=0),
    HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5),
]


def forest_of(model: LoadedModel) -> tuple[Forest, Any]:
    assert model.program is not None
    assert isinstance(model.program.head, ForestHead)
    assert model.background is not None
    return model.program.head.forest, model.background.cover


@pytest.mark.parametrize("estimator", FORESTS, ids=lambda one: type(one).__name__)
def test_what_a_number_adds_to_a_forest_is_its_shapley_value(tmp_path: Path, estimator: Any) -> None:
    model = of_numbers(tmp_path, estimator)
    forest, cover = forest_of(model)
    rows = [NUMBERS[3], NUMBERS[40] * 3, np.zeros(4)]
    if isinstance(estimator, HistGradientBoostingClassifier):
        rows.append(np.array([np.nan, 0.5, np.nan, 1.0]))
    ways = paths.ways_of(forest, cover)
    for row in rows:
        narrow = forest.narrowed(row[None, :])[0]
        found = np.zeros((4, len(forest.start)))
        for way in ways:
            way.contributions(narrow, found)
        for score in range(len(forest.start)):
            by_definition = shapley(partial(score_when_known, forest, cover, narrow, score), 4)
            assert found[:, score] == pytest.approx(by_definition, abs=1e-9)
        sums = forest.sums(row[None, :])[0]
        assert found.sum(axis=0) + paths.expected(forest, cover) == pytest.approx(sums, abs=1e-9)


def test_the_expected_output_of_a_forest_is_its_mean_over_the_rows_that_it_was_measured_on(tmp_path: Path) -> None:
    forest, cover = forest_of(of_numbers(tmp_path, FORESTS[1]))
    assert paths.expected(forest, cover) == pytest.approx(forest.sums(NUMBERS).mean(axis=0))
    assert cover[forest.roots].tolist() == [300.0] * forest.trees


def adds_up(found: Explanation) -> None:
    fields = sum(part.contribution for part in found.fields) + found.others
    assert found.base_value + fields == pytest.approx(found.value, abs=1e-9)
    assert [abs(p.contribution) for p in found.fields] == sorted(
        (abs(p.contribution) for p in found.fields), reverse=True
    )


@pytest.mark.parametrize("estimator", FORESTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("top", [1, 10])
def test_the_explanation_of_a_forest_adds_up_from_base_to_answer(tmp_path: Path, estimator: Any, top: int) -> None:
    model = of_numbers(tmp_path, estimator)
    found = explain(model, ROWS[5], top=top)
    adds_up(found)
    assert (found.method, found.exact, len(found.fields)) == ("tree_shap", True, min(top, 4))
    if isinstance(estimator, RandomForestClassifier):
        assert found.value == pytest.approx(max(model.predict([ROWS[5]])[0]))
        assert found.unit == "probability"


@pytest.mark.parametrize(
    ("estimator", "unit"),
    [
        (LogisticRegression(max_iter=500), "log-odds against the average class"),
        (Ridge(), "value"),
    ],
)
def test_what_a_number_adds_to_a_linear_model_is_its_shapley_value(tmp_path: Path, estimator: Any, unit: str) -> None:
    model = of_numbers(tmp_path, make_pipeline(StandardScaler(), estimator))
    found = explain(model, ROWS[7])
    adds_up(found)
    assert (found.method, found.unit, found.compared_with) == ("linear", unit, "the mean of 300 training rows")
    index = 0 if found.label is None else model.fitted.index(found.label)

    def value(known: frozenset[int]) -> float:
        """The mean score when the others are drawn from the training rows, each by itself."""
        row = np.where([number in known for number in range(4)], NUMBERS[7], NUMBERS.mean(axis=0))
        scaled = model_steps(tmp_path, estimator, row)
        return float(scaled[index] - scaled.mean()) if len(scaled) > 1 else float(scaled[0])

    by_definition = dict(zip(NAMES, shapley(value, 4), strict=True))
    assert {part.field: part.contribution for part in found.fields} == pytest.approx(by_definition, abs=1e-9)


def model_steps(folder: Path, estimator: Any, row: Any) -> Any:
    pipeline = make_pipeline(StandardScaler(), estimator).fit(
        NUMBERS, KINDS if isinstance(estimator, LogisticRegression) else SCORE
    )
    if isinstance(estimator, LogisticRegression):
        return pipeline.decision_function(row[None, :])[0]
    return np.atleast_1d(pipeline.predict(row[None, :]))


@pytest.mark.parametrize(
    "vectorizer",
    [CountVectorizer(), TfidfVectorizer(ngram_range=(1, 2)), CountVectorizer(analyzer="char", ngram_range=(1, 2))],
)
def test_the_words_of_a_text_add_up_to_its_field_and_are_weight_times_count_over_the_mean(
    tmp_path: Path, vectorizer: Any
) -> None:
    model = of_texts(tmp_path, make_pipeline(vectorizer, LogisticRegression()))
    found = explain(model, {"text": "green apple apple hammer quux"}, label="fruit", top=200)
    adds_up(found)
    (field,) = found.fields
    words = sum(part.contribution for part in found.words)
    assert field.contribution == pytest.approx(words + found.other_words + found.absent_words, abs=1e-9)
    pipeline = make_pipeline(vectorizer, LogisticRegression()).fit(TEXTS, THINGS)
    means = np.asarray(pipeline[0].transform(TEXTS).mean(axis=0)).ravel()
    own = pipeline[0].transform(["green apple apple hammer quux"]).toarray()[0]
    names = pipeline[0].get_feature_names_out()
    sign = 1.0 if pipeline.classes_[1] == "fruit" else -1.0
    weights = sign * pipeline[1].coef_[0]
    expected = {names[i]: weights[i] * (own[i] - means[i]) for i in np.flatnonzero(own)}
    assert {part.word: part.contribution for part in found.words} == pytest.approx(expected)
    assert found.unit == "log-odds"
    p = dict(zip(model.classes, model.predict([{"text": "green apple apple hammer quux"}])[0], strict=True))["fruit"]
    assert found.value == pytest.approx(math.log(p / (1 - p)))


def test_the_two_classes_of_a_text_model_are_explained_by_opposite_numbers(tmp_path: Path) -> None:
    model = of_texts(tmp_path, make_pipeline(CountVectorizer(), LogisticRegression()))
    explainer = Explainer(model)
    fruit, tool = (explainer.explain({"text": "red apple"}, label=label) for label in ("fruit", "tool"))
    assert [part.word for part in fruit.words] == [part.word for part in tool.words] == ["apple", "red"]
    assert [part.contribution for part in fruit.words] == [-part.contribution for part in tool.words]
    assert explainer.explain({"text": "red apple"}).label == "fruit"


def test_a_bundle_without_averages_is_explained_against_a_row_without_words(tmp_path: Path) -> None:
    model = of_texts(tmp_path, make_pipeline(CountVectorizer(), LogisticRegression()))
    model.background = None
    found = explain(model, {"text": "red apple"})
    adds_up(found)
    assert found.compared_with == "a row without words, of which every column is 0"
    assert found.absent_words == 0.0


def test_a_class_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    texts, numbers = (
        of_texts(tmp_path, make_pipeline(CountVectorizer(), LogisticRegression())),
        of_numbers(tmp_path, Ridge()),
    )
    with pytest.raises(UsageError, match="fitted to no class 'bread'"):
        explain(texts, {"text": "red"}, label="bread")
    with pytest.raises(UsageError, match="is a number"):
        explain(numbers, ROWS[0], label="bread")


class Rule:
    """A model of which the Shapley values are known: 0.2 for apple, 0.3 for apple and red together, 0.1 for big."""

    classes_ = np.array(["tool", "fruit"])

    def predict_proba(self, frame: Any) -> Any:
        texts, sizes = frame["text"].tolist(), frame["size"].tolist()
        p = [
            0.1 + 0.2 * ("apple" in t) + 0.3 * ("apple" in t and "red" in t) + 0.1 * (s > 5)
            for t, s in zip(texts, sizes, strict=True)
        ]
        return np.column_stack([1 - np.array(p), p])


def ruled() -> LoadedModel:
    told = contract(
        Task.BINARY,
        ("tool", "fruit"),
        Field(name="text", type=FieldType.TEXT),
        Field(name="size", type=FieldType.NUMBER, min=1.0),
    )
    return LoadedModel(estimator=Rule(), contract=told, classes=told.classes, spec=InputSpec(), profile=PROFILE)


def test_a_model_that_is_not_compiled_is_estimated_with_a_standard_error_that_covers_the_truth() -> None:
    found = explain(ruled(), {"text": "a red Apple of mine", "size": 9.0}, label="fruit", budget_s=30.0)
    adds_up(found)
    assert (found.method, found.exact, found.unit) == ("permutation", False, "probability")
    assert (found.base_value, found.value) == (pytest.approx(0.1), pytest.approx(0.2))
    found = explain(ruled(), {"text": "a red apple of mine", "size": 9.0}, label="fruit", budget_s=30.0)
    truth = {"apple": 0.35, "red": 0.15, "a": 0.0, "of": 0.0, "mine": 0.0}
    for part in found.words:
        assert part.standard_error is not None
        assert part.contribution == pytest.approx(truth[str(part.word)], abs=4 * part.standard_error + 1e-9)
    by_field = {part.field: part.contribution for part in found.fields}
    assert by_field == pytest.approx({"text": 0.5, "size": 0.1}, abs=0.05)
    assert found.note == "an estimate from 400 permutations"


def test_an_estimate_ends_when_its_time_is_up_but_not_before_one_pair() -> None:
    found = explain(ruled(), {"text": "a red apple", "size": 9.0}, label="fruit", budget_s=0.0)
    adds_up(found)
    assert found.note == "an estimate from 2 permutations"
    assert all(part.standard_error is None for part in found.words)


def test_the_same_row_has_the_same_estimate() -> None:
    first, second = (explain(ruled(), {"text": "red apple", "size": 9.0}, budget_s=30.0) for _ in range(2))
    assert (first.fields, first.words) == (second.fields, second.words)


def test_a_row_that_is_the_plain_one_has_nothing_to_explain() -> None:
    found = explain(ruled(), {"text": "", "size": 1.0})
    assert [part.contribution for part in found.fields] == [0.0, 0.0]
    assert found.words == []


def test_a_long_text_comes_in_by_its_first_words_and_one_rest() -> None:
    text = " ".join(f"w{number}" for number in range(40)) + " red apple"
    found = explain(ruled(), {"text": text, "size": 1.0}, label="fruit", top=100, budget_s=0.0)
    adds_up(found)
    assert len(found.words) == 30
    assert found.fields[0].contribution == pytest.approx(0.5)


def test_a_forest_that_is_too_large_to_be_laid_out_is_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of_numbers(tmp_path, RandomForestRegressor(n_estimators=3, max_depth=3, random_state=0))
    monkeypatch.setattr(paths, "MOST_CELLS", 5)
    found = explain(model, ROWS[0], budget_s=0.0)
    adds_up(found)
    assert found.method == "permutation"
    assert found.note.endswith("nodes is too large to be laid out")
