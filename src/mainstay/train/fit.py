"""From a pipeline's code and a snapshot's rows to a fitted estimator."""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import BadData, EnvironmentFault, ModelOutputInvalid, ProjectFileError
from mainstay.core.profiles import Profile
from mainstay.data.times import to_utc
from mainstay.models import streaming
from mainstay.models.inputs import ColumnSpec, FeatureCode, Form, Inputs, InputSpec
from mainstay.models.load import LoadedModel, class_name, load_features
from mainstay.stats.numbering import numbered
from mainstay.train import paths, used, weights
from mainstay.train.code import ProjectCode, guarded

if TYPE_CHECKING:
    import polars as pl

    from mainstay.config.settings import PipelineSettings

MOST_GRADE = 31
"""Of relevance; the gain of a grade is 2^grade − 1."""
ORIGIN, HAPPENED = "_origin", "_happened"
TRAFFIC = "traffic"
WEIGHT = "_weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One declared pipeline, its code loaded."""

    name: str
    build: Callable[[dict[str, Any]], Any]
    params: Mapping[str, Any]
    spec: InputSpec
    features: FeatureCode | None = None
    features_source: str | None = None
    feature_files: Mapping[str, str] = field(default_factory=dict)
    """Of declared features: the digest of each file that they stand in."""
    seed: int = 0
    labels: str = "text"
    """What the estimator is fitted to: class names as `text`, or read as `integer`, `boolean` or `number`."""
    weighing: weights.Weighing = weights.NONE
    """How much each row counts."""
    tuned: Mapping[str, Any] = field(default_factory=dict)
    """Parameters found by a search, by path, over those that are declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Checked rows with their truth, ready to be fitted or answered."""

    values: Sequence[Mapping[str, Any]]
    """Per row: every declared field but the target; None where missing."""
    truth: np.ndarray[Any, Any]
    """Class names as text, or floats for regression."""
    keys: Sequence[Any] | None = None
    """The unit of evidence per row; None where the contract or the data have none."""
    groups: Sequence[Any] | None = None
    """Of a ranking: whose candidates are ordered together, per row."""
    is_traffic: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Per row: it was seen in production (column `_origin`)."""
    happened: Sequence[datetime | None] | None = None
    """Per row: when the request was asked that it came with (column `_happened`); None of the project's own rows."""
    weights: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(0, dtype=np.float64))
    """Per row: how much it counts by how its answer was given (column `_weight`); empty: all alike."""

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: np.ndarray[Any, Any]) -> Rows:
        """Return the rows at those positions."""
        return Rows(
            values=[self.values[i] for i in index],
            truth=self.truth[index],
            keys=None if self.keys is None else [self.keys[i] for i in index],
            groups=None if self.groups is None else [self.groups[i] for i in index],
            is_traffic=self.is_traffic[index] if len(self.is_traffic) else self.is_traffic,
            happened=None if self.happened is None else [self.happened[i] for i in index],
            weights=self.weights[index] if len(self.weights) else self.weights,
        )

    def moments(self, contract: Contract) -> list[datetime | None]:
        """Return of each row when it happened: [data] time where it carries one, else when its request was asked.

        So the server has it too. What the model sees is not touched: where a request came without a time, the model
        that answered it saw none either.
        """
        own = [to_utc(row.get(contract.time)) if contract.time else None for row in self.values]
        return own if self.happened is None else [a or b for a, b in zip(own, self.happened, strict=True)]


def joined(first: Rows, second: Rows) -> Rows:
    """Return the rows of both, one after the other."""

    def both(name: str) -> list[Any] | None:
        a, b = getattr(first, name), getattr(second, name)
        return None if a is None or b is None else [*a, *b]

    return Rows(
        values=[*first.values, *second.values],
        truth=np.concatenate([first.truth, second.truth]),
        keys=both("keys"),
        groups=both("groups"),
        happened=None
        if first.happened is None and second.happened is None
        else [*(first.happened or [None] * len(first)), *(second.happened or [None] * len(second))],
    )


def load_pipeline(
    code: ProjectCode,
    name: str,
    settings: PipelineSettings,
    *,
    seed: int,
    contract: Contract,
    weighing: weights.Weighing = weights.NONE,
    tuned: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Load the code of one pipeline; raise ProjectFileError with file and line when it does not load."""
    where = f"train.pipelines.{name}"
    files: Mapping[str, str] = {}
    features, source = (None, None) if settings.uses else _features(code, settings.features, f"{where}.features")
    if settings.uses:
        features, source, files = used.load(code, settings, f"{where}.uses", contract)
    _, build = code.function(settings.build, setting=f"{where}.build")
    return Pipeline(
        name=name,
        build=build,
        params=dict(settings.params or {}),
        spec=input_spec(settings),
        features=features,
        features_source=source,
        feature_files=files,
        seed=seed,
        labels=settings.labels,
        weighing=weighing,
        tuned=dict(tuned or {}),
    )


def input_spec(settings: PipelineSettings) -> InputSpec:
    """Return how rows reach the estimator of a pipeline."""
    return InputSpec(
        input=settings.input,
        features=settings.features.partition(":")[2] if settings.features else used.NAME if settings.uses else None,
        form=Form(settings.form),
        takes=settings.takes,
        dtype=settings.dtype or "",
        columns={name: ColumnSpec(**dict(column)) for name, column in settings.columns.items()},
        features_form=Form(settings.features_form),
    )


def read_rows(contract: Contract, frame: pl.DataFrame) -> Rows:
    """Return the rows of a snapshot.

    Raises BadData without a row, without the target, with an empty target, or with a group that has several keys.
    """
    if contract.target not in frame.columns:
        raise BadData(f"The data have no column {contract.target!r} (the target); they have {frame.columns}")
    if frame.height == 0:
        raise BadData("The data have no rows.")
    target = frame.get_column(contract.target)
    if target.null_count():
        raise BadData(f"The target {contract.target!r} is empty in {target.null_count()} of {frame.height} rows.")
    declared = [f.name for f in contract.fields if f.name != contract.target]
    present = [name for name in declared if name in frame.columns]
    absent = dict.fromkeys(name for name in declared if name not in frame.columns)
    values = [{**absent, **row} for row in frame.select(present).to_dicts()] if present else [{**absent}] * frame.height
    keys = frame.get_column(contract.key).to_list() if contract.key in frame.columns else None
    groups = frame.get_column(contract.group).to_list() if contract.group in frame.columns else None
    if groups is not None and keys is not None:
        _refuse_parted(contract, groups, keys)
    origin = frame.get_column(ORIGIN).to_list() if ORIGIN in frame.columns else [""] * frame.height
    return Rows(
        values=values,
        truth=_truth(contract, target.to_list()),
        keys=keys,
        groups=groups,
        is_traffic=np.array([value == TRAFFIC for value in origin], dtype=bool),
        happened=frame.get_column(HAPPENED).to_list() if HAPPENED in frame.columns else None,
        weights=_weights(frame),
    )


def _weights(frame: pl.DataFrame) -> np.ndarray[Any, Any]:
    """Return what a retraining says of how much rows count; the project's own rows count 1."""
    if WEIGHT not in frame.columns:
        return np.zeros(0, dtype=np.float64)
    return np.asarray(frame.get_column(WEIGHT).fill_null(1.0).to_numpy(), dtype=np.float64)


def classes_of(contract: Contract, truth: np.ndarray[Any, Any]) -> tuple[str, ...]:
    """Return the declared classes, or those of the training rows in sorted order; empty for regression."""
    if not contract.task.is_classification:
        return ()
    found = sorted({str(value) for value in truth})
    strangers = [name for name in found if contract.classes and name not in contract.classes]
    if strangers:
        raise BadData(f"The target holds {strangers[:5]}; declared classes are {list(contract.classes)}")
    if len(found) < 2:
        raise BadData(f"The target has one class, {found}; two or more are needed to train.")
    return contract.classes or tuple(found)


def unfitted(pipeline: Pipeline, contract: Contract) -> Any:
    """Build the estimator, its unset seeds set. Raises ProjectFileError when the code fails or builds no estimator."""
    params, of_estimator = paths.laid_over(pipeline.params, pipeline.tuned)
    with guarded(f"Pipeline {pipeline.name!r} cannot be built"):
        estimator = streaming.as_estimator(pipeline.build(params), contract, pipeline.seed)
    _require_estimator(estimator, pipeline, contract)
    with guarded(f"Pipeline {pipeline.name!r} cannot be built"):
        if of_estimator:
            estimator.set_params(**of_estimator)
        _set_seeds(estimator, pipeline.seed)
    return estimator


def fit(pipeline: Pipeline, contract: Contract, rows: Rows) -> tuple[Any, list[str]]:
    """Build and fit the estimator, rows counting as declared; return it with the warnings that fitting gave, each once.

    Every `random_state` that is None gets the seed, numerical libraries use one thread: sums in another order would
    give other bytes. Raises ProjectFileError naming the file and line in the project, EnvironmentFault without memory.
    """
    inputs = Inputs(contract, pipeline.spec, pipeline.features)
    estimator = unfitted(pipeline, contract)
    more: dict[str, Any] = {}
    if rows.groups is not None:
        rows = rows.take(together(rows.groups))
        more = group_sizes(estimator, rows.groups or ())
    if (counted := weights.row_weights(pipeline.weighing, contract, rows)) is not None:
        more |= weights.argument(estimator, counted, name=pipeline.name)
    try:
        with (
            quiet() as heard,
            deterministic(pipeline.seed),
            guarded(f"Pipeline {pipeline.name!r} cannot be fitted on {len(rows)} rows"),
        ):
            estimator.fit(inputs.build(rows.values), _labels(pipeline, contract, rows.truth), **more)
    except MemoryError as error:
        raise EnvironmentFault(
            f"Fitting pipeline {pipeline.name!r} on {len(rows)} rows ran out of memory",
            remedy="Raise train.memory_mb, or make the model smaller.",
        ) from error
    return estimator, heard


def together(groups: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return the order that brings the rows of each group together, groups in the order in which they first came."""
    return np.argsort(numbered(groups), kind="stable")


def group_sizes(estimator: Any, groups: Sequence[Any]) -> dict[str, Any]:
    """Return what `fit` of a ranker is handed beside rows and truth: how many rows each group has, in order.

    A ranker is an estimator, or the last step of a scikit-learn Pipeline, whose `fit` takes `group` (LightGBM, XGBoost)
    or `group_id` (CatBoost); any other estimator is fitted to the grades as a regressor or classifier.
    """
    steps = getattr(estimator, "steps", None)
    head, prefix = (steps[-1][1], f"{steps[-1][0]}__") if steps else (estimator, "")
    try:
        takes = inspect.signature(head.fit).parameters
    except (TypeError, ValueError, AttributeError):
        return {}
    if "group" in takes:
        return {f"{prefix}group": [len(list(rows)) for _, rows in groupby(groups)]}
    if "group_id" in takes:
        return {f"{prefix}group_id": list(groups)}
    return {}


def as_model(
    pipeline: Pipeline, contract: Contract, estimator: Any, classes: tuple[str, ...], **parts: Any
) -> LoadedModel:
    """Return a fitted estimator as a model that answers, before it is written."""
    parts.setdefault("profile", Profile(source="none", rows=0, keys=0, signals=[]))
    return LoadedModel(
        estimator=estimator,
        contract=contract,
        classes=classes,
        spec=pipeline.spec,
        features=pipeline.features,
        **parts,
    )


def predicted(model: LoadedModel, rows: Sequence[Mapping[str, Any]], pipeline: Pipeline) -> np.ndarray[Any, Any]:
    """Return the model's output for rows, all finite. Raises ProjectFileError when its code fails or gives NaN."""
    with quiet(), guarded(f"Pipeline {pipeline.name!r} cannot answer {len(rows)} rows"):
        output = model.predict(rows)
        wrong = np.flatnonzero(~np.isfinite(output.reshape(len(rows), -1)).all(axis=1))
        if len(wrong):
            raise ModelOutputInvalid(
                f"it gave NaN or infinity for {len(wrong)} of them, first row {wrong[0]}: {output[wrong[0]].tolist()}"
            )
    return output


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect warnings instead of showing them: the texts, each once, are there after the block."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield texts
        finally:
            texts.extend(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed the global generators and use one thread; both are as before after the block."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _features(code: ProjectCode, reference: str | None, setting: str) -> tuple[FeatureCode | None, str | None]:
    """Load feature code as serving will: from its text alone."""
    if reference is None:
        return None, None
    module, _ = code.function(reference, setting=setting)
    others = code.imports_of(module)
    if others:
        raise ProjectFileError(
            f"{module.__name__}.py imports the project's own {', '.join(others)}; it must stand alone",
            remedy="Feature code travels in the bundle as one file: move what it needs into it.",
        )
    source = code.source(module)
    with guarded(f"{module.__name__}.py cannot be loaded by itself"):
        name = reference.partition(":")[2]
        shown = f"{module.__name__}.py"
        return load_features(source, name, module_name=f"{module.__name__}_alone", shown_as=shown), source


def _require_estimator(built: Any, pipeline: Pipeline, contract: Contract) -> None:
    needed = ("fit", "predict_proba" if contract.task.is_classification else "predict")
    what = f"Pipeline {pipeline.name!r} builds"
    allowed = f"an unfitted estimator with {needed[0]}() and {needed[1]}() is expected"
    if isinstance(built, type):
        raise ProjectFileError(
            f"{what} the class {built.__name__} itself; {allowed}", remedy=f"Call it: return {built.__name__}(…)."
        )
    missing = [method for method in needed if not callable(getattr(built, method, None))]
    if not missing:
        return
    remedy = "Return an estimator that gives probabilities, or wrap it in CalibratedClassifierCV."
    if built is None:
        remedy = "Let the build function return the estimator."
    elif "fit" in missing or not contract.task.is_classification:
        remedy = "Return an object with these methods, as those of scikit-learn have them."
    seen = "nothing: its function returned None" if built is None else f"a {type(built).__name__}"
    without = "" if built is None else f" without {' and '.join(missing)}()"
    raise ProjectFileError(f"{what} {seen}{without}; {allowed}", remedy=remedy)


def _set_seeds(estimator: Any, seed: int) -> None:
    if not hasattr(estimator, "get_params"):
        return
    params = estimator.get_params()
    unset = [key for key, value in params.items() if key.rpartition("__")[2] == "random_state" and value is None]
    if unset:
        estimator.set_params(**dict.fromkeys(unset, seed))


def _truth(contract: Contract, values: list[Any]) -> np.ndarray[Any, Any]:
    if contract.task.is_classification:
        return np.array([class_name(value) for value in values], dtype=np.str_)
    try:
        truth = np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadData(f"The target {contract.target!r} is not a number in every row: {error}") from error
    if contract.task is Task.RANKING and len(truth) and not 0 <= truth.min() <= truth.max() <= MOST_GRADE:
        raise BadData(
            f"The target {contract.target!r} runs from {truth.min():g} to {truth.max():g}; a grade of relevance is "
            f"0 to {MOST_GRADE}",
            remedy="Give 0 for a candidate that does not fit, and more the better it fits.",
        )
    return truth


def _refuse_parted(contract: Contract, groups: Sequence[Any], keys: Sequence[Any]) -> None:
    """Refuse a group whose rows have several keys: rows of a key stay on one side, and a group must not be cut."""
    owner: dict[Any, Any] = {}
    for group, key in zip(groups, keys, strict=True):
        if owner.setdefault(group, key) != key:
            raise BadData(
                f"{contract.group} {group!r} has rows of several {contract.key}: {owner[group]!r} and {key!r}",
                remedy=f"Leave [data] key out (then {contract.group} is the unit), or name groups within one key.",
            )


def _labels(pipeline: Pipeline, contract: Contract, truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the truth as the estimator wants it: class names, or the values that they stand for."""
    if not contract.task.is_classification or pipeline.labels == "text":
        return truth
    if pipeline.labels == "boolean":
        return np.array([name == "true" for name in truth.tolist()], dtype=bool)
    try:
        return truth.astype(np.int64 if pipeline.labels == "integer" else np.float64)
    except ValueError as error:
        raise ProjectFileError(
            f"Pipeline {pipeline.name!r} wants labels of kind {pipeline.labels}, and a class is none: {error}",
            remedy='Give the pipeline labels = "text", or the target classes that are numbers.',
        ) from error
