"""A stored model (MLflow, a pickle) becomes one that Mainstay can ask; its output is recognised and checked on rows."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.adoption import river_kind, row_by_row
from mainstay.core.contracts import Task
from mainstay.core.errors import BadData, MainstayError, ModelOutputInvalid, ProjectFileError, UsageError, shorten
from mainstay.models import pickles, readings
from mainstay.models.load import class_name
from mainstay.models.readings import Kind, Reading, label_text
from mainstay.models.streaming import Gaps
from mainstay.models.wrapped import Backend, Layout, LightGBMBooster, Predicts, TorchModule, Wrapped, XGBoostBooster
from mainstay.registry import flavors, packed
from mainstay.registry.flavors import Signature, Stored

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

STEADY = 1e-9
"""How far a row's answer may be from itself, asked among other rows; the gate allows no more."""
SINGLES = 12
EQUAL = 1e-5
"""How far a probability may be from MLflow's own; single precision has seven digits."""
UNKNOWN = 0.5
"""Probability of a label where nothing is known about how often labels are right."""
MISNAMED = 0.2
"""Share of right answers by which another order of the classes must be better to say that they are misnamed."""
ANY_NUMBER, BLOCKS = (None, 32, 1), (32, 1)
"""How many rows are asked at once, tried in turn. The last digits of a network depend on the number, often unseen."""
_OBJECTIVE = re.compile(r"^objective=(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A model of another library that answers like an estimator."""

    estimator: Any
    """scikit-learn's own, or a Wrapped one."""
    task: Task
    classes: tuple[str, ...]
    """Empty for regression."""
    input: str | None = None
    """The one field that the estimator takes as an array; None: a frame."""
    own_modules: tuple[ModuleType, ...] = ()
    """Code that came with the model and has to travel by value."""
    can_be_fitted: bool = False
    """Whether it is an estimator that can be cloned and fitted again."""
    notes: tuple[str, ...] = ()
    """What was recognised and taken for granted, as sentences."""


def open_foreign(
    stored: Stored, frame: pd.DataFrame, *, truth: Sequence[Any] | None, classes: Sequence[str] = ()
) -> Foreign:
    """Open a fetched model and check it on `frame`, rows as serving will hand them over.

    `truth` are the target's values of these rows, where they are known; `classes` what a person says the classes are.
    Call it in `flavors.code_of(stored)`. Raises UsageError for a model that predicts nothing usable,
    EnvironmentFault where a library is missing.
    """
    try:
        found = _open(stored, frame, truth=truth, classes=tuple(classes))
        said = _beside_mlflow(stored, found, frame)
    except ModelOutputInvalid as error:  # a server's error elsewhere; here a model that cannot be taken
        raise UsageError(f"{stored.uri} cannot be adopted: {error.message}", remedy=error.remedy) from error
    return replace(found, own_modules=tuple(flavors.own_modules(stored)), notes=(*found.notes, *said))


def _open(stored: Stored, frame: pd.DataFrame, *, truth: Sequence[Any] | None, classes: tuple[str, ...]) -> Foreign:
    if stored.flavor == "pyfunc":
        return _packed(stored, frame, truth, classes)
    model = flavors.open_native(stored)
    if river_kind.is_learner(model):
        return _learner(model, frame, truth)
    if stored.flavor == flavors.PICKLE and not hasattr(model, "predict"):
        raise UsageError(
            f"{stored.uri} holds a {type(model).__name__}, which is no model that answers rows",
            remedy="Pickle a fitted estimator of scikit-learn's interface, or a model of River's.",
        )
    if stored.flavor == "pytorch":
        return _torch(stored, model, frame, truth, classes)
    if hasattr(model, "fit") or hasattr(model, "_estimator_type"):
        return _estimator(stored, model, frame, truth, classes)
    layout = _layout(stored.signature, frame, model)
    if stored.flavor == "xgboost":
        backend: Any = XGBoostBooster(booster=model, layout=layout)
        objective = str(json.loads(model.save_config())["learner"]["objective"]["name"])
    elif stored.flavor == "lightgbm":
        backend = LightGBMBooster(booster=model, layout=layout)
        named = _OBJECTIVE.search(model.model_to_string(num_iteration=1))
        objective = named.group(1) if named else ""
    else:
        return _packed(stored, frame, truth, classes)
    note = f"its objective is {objective}" if objective else "it names no objective"
    return _wrapped(stored, backend, frame, truth, classes, wants=_of_objective(objective), notes=[note])


def _learner(model: Any, frame: pd.DataFrame, truth: Sequence[Any] | None) -> Foreign:
    """Take a model that learns row by row (River): rows as dictionaries, or the one column as it is."""
    column = str(frame.columns[0]) if frame.shape[1] == 1 else None
    gappy = bool(frame.isna().to_numpy().any())
    ways: list[tuple[str | None, Gaps]] = [(None, Gaps.NONE)]
    ways += [(None, Gaps.ABSENT)] if gappy else []
    ways += [(column, Gaps.NONE)] if column is not None else []
    failed: MainstayError | None = None
    for name, gaps in ways:
        try:
            found = row_by_row.opened(model, frame, truth, column=name, gaps=gaps).estimator
        except MainstayError as error:
            failed = failed or error
            continue
        classes = tuple(found.classes_.tolist()) if found.classification else ()
        task = Task.REGRESSION if not classes else Task.BINARY if len(classes) == 2 else Task.MULTICLASS
        note = "a missing value is told to it " + ("as None" if gaps is Gaps.NONE else "by leaving its key out")
        notes = ("it learns row by row", *([note] if gappy and name is None else []))
        return Foreign(estimator=found, task=task, classes=classes, input=name, can_be_fitted=True, notes=notes)
    assert failed is not None  # noqa: S101 - there is one way at least
    raise failed


def _of_objective(objective: str) -> bool | None:
    """Return whether a booster's objective is a classification; None where its name says nothing."""
    if objective.startswith(("binary", "multi", "cross_entropy")):
        return True
    numbers = ("reg", "count", "survival", "rank", "lambdarank", "l1", "l2", "huber", "fair", "poisson", "quantile")
    return False if objective.startswith((*numbers, "mape", "gamma", "tweedie")) else None


def _estimator(
    stored: Stored, model: Any, frame: pd.DataFrame, truth: Sequence[Any] | None, classes: tuple[str, ...]
) -> Foreign:
    """Take an estimator of scikit-learn's interface as it is, where its classes are called as the target's are."""
    given, name = _handed_over(model, frame)
    fitted = getattr(model, "classes_", None)
    if isinstance(fitted, list):
        raise BadData(
            f"{stored.uri} answers several targets at once; one is allowed", remedy="Log one model for each target."
        )
    if not hasattr(model, "predict_proba") or fitted is None:
        if fitted is None and not _is_classifier(model):
            _require_values(stored, model.predict(given), len(frame))
            return Foreign(estimator=model, task=Task.REGRESSION, classes=(), input=name, can_be_fitted=True)
        layout = Layout(columns=tuple(frame.columns))
        return _wrapped(stored, Predicts(model=model, layout=layout), frame, truth, classes, wants=True)
    raw = tuple(label_text(value) for value in fitted)
    reading, notes = _named(Reading(kind=Kind.PROBABILITIES, raw=raw), truth, classes)
    task = Task.BINARY if len(raw) == 2 else Task.MULTICLASS
    if reading.classes == tuple(class_name(value) for value in np.asarray(fitted).tolist()):
        _require_answers(Reading(kind=Kind.PROBABILITIES, classes=raw), model.predict_proba(given), len(frame))
        return Foreign(
            estimator=model, task=task, classes=reading.classes, input=name, can_be_fitted=True, notes=tuple(notes)
        )
    backend = Predicts(model=model, layout=Layout(columns=tuple(frame.columns)), method="predict_proba")
    return _wrapped(stored, backend, frame, truth, classes, wants=True, raw=raw)


def _handed_over(model: Any, frame: pd.DataFrame) -> tuple[Any, str | None]:
    """Return what the estimator takes, and the field's name where it takes one column as an array."""
    if frame.shape[1] > 1:
        return frame, None
    name = str(frame.columns[0])
    texts = frame[name].to_numpy()
    for given, field in ((frame, None), (texts, name)):
        with contextlib.suppress(Exception):  # a vectorizer takes texts, a scaler a frame; asking is the only way
            if len(model.predict(given)) == len(frame):
                return given, field
    return frame, None


def _torch(
    stored: Stored, model: Any, frame: pd.DataFrame, truth: Sequence[Any] | None, classes: tuple[str, ...]
) -> Foreign:
    layout = _layout(stored.signature or Signature(is_array=True, type="float32"), frame, model)
    if not layout.is_array:
        layout = Layout(columns=layout.columns, types=("float32",), is_array=True)
    backend: Any = TorchModule(module=model, layout=layout)
    notes = []
    try:
        pickles.dump(backend, own_modules=flavors.own_modules(stored))
    except ProjectFileError:  # an exported or scripted program may refuse: its file travels instead
        backend = packed.PackedModel(packed.pack(stored.folder), layout)
        notes.append("the module cannot be pickled: its MLflow folder travels in the bundle")
    return _wrapped(stored, backend, frame, truth, classes, notes=notes)


def _packed(stored: Stored, frame: pd.DataFrame, truth: Sequence[Any] | None, classes: tuple[str, ...]) -> Foreign:
    flavors.open_pyfunc(stored)  # tells what is missing, with the line that installs it
    kind = packed.PackedKeras if _is_keras(stored) else packed.PackedModel
    backend = kind(packed.pack(stored.folder), _layout(stored.signature, frame, None))
    note = "its MLflow folder travels in the bundle; answering needs MLflow's library, and no server or store of it"
    return _wrapped(stored, backend, frame, truth, classes, notes=[note])


def _is_keras(stored: Stored) -> bool:
    if "tensorflow" not in stored.stored_as:
        return False
    signature = stored.signature
    return (signature is None or (signature.is_array and not signature.tensor)) and any(stored.folder.rglob("*.keras"))


def _layout(signature: Signature | None, frame: pd.DataFrame, model: Any) -> Layout:
    columns = [str(name) for name in frame.columns]
    if signature is None:
        names = getattr(model, "feature_names", None) or (
            model.feature_name() if hasattr(model, "feature_name") else None
        )
        known = names is None or set(names) <= set(columns)
        return Layout(columns=tuple(names or columns)) if known else Layout(columns=tuple(columns), is_array=True)
    layout = signature.layout(columns)
    if model is not None and getattr(model, "feature_names", columns) is None and not layout.is_array:
        return replace(layout, is_array=True, types=("float64",))  # fitted on an array without names
    return layout


def _wrapped(
    stored: Stored,
    backend: Backend,
    frame: pd.DataFrame,
    truth: Sequence[Any] | None,
    classes: tuple[str, ...],
    *,
    wants: bool | None = None,
    notes: Sequence[str] = (),
    raw: tuple[str, ...] = (),
) -> Foreign:
    """Recognise what `backend` puts out, name its classes, and make it answer each row by itself."""
    output = _asked(stored, backend, frame)
    if raw:
        reading = Reading(kind=Kind.PROBABILITIES, raw=raw)
    else:
        reading = readings.recognise(output, len(frame), truth=truth, classes=classes, classification=wants)
    told = [*notes, f"its output was read as {reading.kind.value}"]
    if reading.kind is Kind.VALUES:
        _require_values(stored, reading.numbers(output, len(frame)), len(frame))
        estimator = _steady(stored, Wrapped(backend=backend, reading=reading, flavor=stored.library), frame)
        return Foreign(estimator=estimator, task=Task.REGRESSION, classes=(), notes=tuple(told))
    width = np.asarray(readings.plain(output, reading.names)).shape[-1]
    reading, named = _named(reading, truth, classes, width=width)
    if reading.kind is Kind.LABELS:
        reading, how = _sure(reading, output, truth, len(frame))
        named.append(how)
    _require_answers(reading, output, len(frame))
    if truth is not None:
        _require_right_order(reading, output, truth, given=bool(classes or reading.raw))
    estimator = _steady(stored, Wrapped(backend=backend, reading=reading, flavor=stored.library), frame)
    task = Task.BINARY if len(reading.classes) == 2 else Task.MULTICLASS
    return Foreign(estimator=estimator, task=task, classes=reading.classes, notes=(*told, *named))


def _asked(stored: Stored, backend: Backend, frame: pd.DataFrame) -> Any:
    try:
        return backend(frame)
    except MainstayError:
        raise
    except Exception as error:  # edge: another library's code may raise anything
        raise ModelOutputInvalid(
            f"{stored.uri} cannot answer the reference rows: {type(error).__name__}: {shorten(str(error), 300)}",
            remedy="Give reference rows as the model was trained on: the same columns, types and order.",
        ) from error


def _named(
    reading: Reading, truth: Sequence[Any] | None, classes: tuple[str, ...], *, width: int = 0
) -> tuple[Reading, list[str]]:
    """Return the reading with the names of its classes, and how they were found."""
    known = _sorted_names(truth) if truth is not None else ()
    raw = reading.raw
    if reading.kind in (Kind.POSITIVE, Kind.LOG_ODDS):
        width = 2
    if reading.kind is Kind.LABELS and (not known or set(raw) <= set(known)) and not classes:
        names = known or raw
        note = "" if known else "only labels that it said for the reference rows are known as classes"
        return replace(reading, raw=names, classes=names), [note] if note else []
    if raw and not classes and (not known or set(known) <= set(raw)):
        return replace(reading, classes=raw), []
    if classes and not set(known) <= set(classes):
        raise _strangers(classes, known)
    count = len(raw) or width
    codes = tuple(str(number) for number in range(count))
    if classes:
        return _given(reading, classes, count), []
    if known and set(known) <= set(codes) and set(raw) <= set(codes):
        return replace(reading, raw=raw or codes, classes=codes), []
    if len(known) == count or (reading.kind is Kind.LABELS and set(raw) <= {str(n) for n in range(len(known))}):
        codes = tuple(str(number) for number in range(len(known)))
        if raw and not set(raw) <= set(codes):
            raise _strangers(raw, known)
        note = f"its classes have no names: 0 to {len(known) - 1} were taken for the target's in sorted order"
        return replace(reading, raw=codes, classes=known), [note]
    if known and raw:
        raise _strangers(raw, known)
    if known:
        raise UsageError(
            f"the model has {count} classes, and the target has {len(known)}: {shorten(list(known), 200)}",
            remedy="Name the model's classes in the order of its output: --classes A,B,C.",
        )
    return replace(reading, raw=codes, classes=codes), [f"its classes have no names: 0 to {count - 1} were given"]


def _given(reading: Reading, classes: tuple[str, ...], count: int) -> Reading:
    if reading.kind is Kind.LABELS:
        codes = tuple(str(number) for number in range(len(classes)))
        if set(reading.raw) <= set(classes):
            return replace(reading, raw=classes, classes=classes)
        if set(reading.raw) <= set(codes):
            return replace(reading, raw=codes, classes=classes)
        raise _strangers(reading.raw, classes)
    if len(classes) != count:
        raise UsageError(
            f"{len(classes)} classes are named, and the model's output has {count}: {shorten(list(classes), 200)}",
            remedy="Name each class once, in the order of the model's output.",
        )
    return replace(reading, classes=classes)


def _strangers(said: Sequence[str], known: Sequence[str]) -> UsageError:
    return UsageError(
        f"the model's classes are {shorten(list(said), 150)}, and the target holds {shorten(list(known), 150)}",
        remedy="Name the right column with --target, or the classes in the order of the model's codes: --classes A,B.",
    )


def _sorted_names(truth: Sequence[Any]) -> tuple[str, ...]:
    """Return the target's classes: numbers in their order, others by name."""
    distinct = set(truth)
    if all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in distinct):
        return tuple(dict.fromkeys(label_text(value) for value in sorted(distinct)))
    return tuple(sorted({label_text(value) for value in distinct}))


def _sure(reading: Reading, output: Any, truth: Sequence[Any] | None, rows: int) -> tuple[Reading, str]:
    """Give labels without probabilities the one probability that is known: the share of right ones."""
    least = 1.0 / len(reading.classes) + 1e-3
    if truth is None:
        text = "it gives labels and no probabilities: how sure an answer is, is not known (0.5 stands for that)"
        return replace(reading, sure=max(UNKNOWN, least)), text
    numbers = reading.numbers(output, rows)
    said = np.asarray(reading.classes)[numbers.argmax(axis=1)]
    right = int((said == np.array([label_text(value) for value in truth])).sum())
    sure = max((right + 1) / (rows + 2), least)
    text = (
        f"it gives labels and no probabilities: every answer gets the share of right labels on the reference rows, "
        f"{right} of {rows}"
    )
    return replace(reading, sure=sure), text


def _require_answers(reading: Reading, output: Any, rows: int) -> None:
    found = reading.numbers(output, rows)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        raise readings.unusable(f"no probabilities for {len(bad)} of {rows} rows, first row {int(bad[0])}")


def _require_values(stored: Stored, output: Any, rows: int) -> None:
    found = np.asarray(output)
    if found.shape not in ((rows,), (rows, 1)) or found.dtype.kind not in "fiub":
        raise readings.unusable(f"{stored.uri} gave an array of shape {found.shape} of {found.dtype} for {rows} rows")
    bad = int((~np.isfinite(found.astype(np.float64))).sum())
    if bad:
        raise readings.unusable(f"NaN or infinity for {bad} of {rows} rows")


def _require_right_order(reading: Reading, output: Any, truth: Sequence[Any], *, given: bool) -> None:
    """Refuse classes that were taken in an order under which far fewer answers are right than under another one."""
    numbers = reading.numbers(output, len(truth))
    chosen = numbers.argmax(axis=1)
    names = np.array([label_text(value) for value in truth])
    right = float((np.asarray(reading.classes)[chosen] == names).mean())
    best = {
        column: max(set(group), key=group.count)
        for column in range(numbers.shape[1])
        if (group := names[chosen == column].tolist())
    }
    other = float(np.mean([best[column] == name for column, name in zip(chosen.tolist(), names, strict=True)]))
    if len(set(best.values())) < 2 or other - right < MISNAMED or (given and right > MISNAMED):
        return
    order = [best.get(column, "?") for column in range(numbers.shape[1])]
    raise UsageError(
        f"with its classes called {list(reading.classes)} the model is right in {right:.0%} of the reference rows; "
        f"called {order} it would be in {other:.0%}",
        remedy=f"Name the classes in the order of its output, for example --classes {','.join(order)}.",
    )


def _steady(stored: Stored, model: Wrapped, frame: pd.DataFrame) -> Wrapped:
    """Ask in such a way that a row's answer depends on the row alone: all at once, in blocks, or one by one."""
    gap = 0.0
    is_network = {"pytorch", "tensorflow", "keras", "onnx", "transformers"} & set(stored.stored_as)
    for size in BLOCKS if is_network else ANY_NUMBER:
        model.rows_at_once = size
        gap = _gap(model, frame)
        if gap <= STEADY:
            return model
    raise ModelOutputInvalid(
        f"{stored.uri} answers the same row differently when it is asked again, by up to {gap:.3g}; at most "
        f"{STEADY:g} is allowed",
        remedy="Log the model in evaluation mode, without dropout or other random parts.",
    )


def _gap(model: Wrapped, frame: pd.DataFrame) -> float:
    asked = frame.iloc[: 4 * 32 + 5]
    ask = model.predict_proba if model.reading.kind.is_classification else model.predict
    whole = np.asarray(ask(asked), dtype=np.float64)
    turned = np.asarray(ask(asked.iloc[::-1]), dtype=np.float64)[::-1]
    half = np.asarray(ask(asked.iloc[: max(1, len(asked) // 3)]), dtype=np.float64)
    singles = np.concatenate([ask(asked.iloc[[i]]) for i in range(min(SINGLES, len(asked)))]).astype(np.float64)
    gaps = (whole - turned, whole[: len(half)] - half, whole[: len(singles)] - singles)
    return max(float(np.max(np.abs(gap), initial=0.0)) for gap in gaps)


def _beside_mlflow(stored: Stored, found: Foreign, frame: pd.DataFrame) -> list[str]:
    """Hold the answers against MLflow's own for the same rows; raise ModelOutputInvalid where they differ."""
    if stored.flavor == flavors.PICKLE:
        return []
    if "python_function" not in stored.stored_as:
        return ["MLflow itself has no prediction to compare with: it was stored without a pyfunc"]
    try:
        theirs = _quietly(lambda: _mlflow_says(stored, frame))
    except MainstayError:
        raise
    except Exception as error:  # noqa: BLE001 - edge: MLflow's schema check or the model's own code
        return [
            f"MLflow's own prediction could not be compared: {type(error).__name__}: "
            f"{shorten(str(error).partition(chr(10))[0], 160)}"
        ]
    return [_compared(stored, found, frame, theirs)]


def _mlflow_says(stored: Stored, frame: pd.DataFrame) -> Any:
    model = flavors.open_pyfunc(stored)
    with packed.quiet_mlflow():
        return model.predict(_layout(stored.signature, frame, None).given(frame))


def _compared(stored: Stored, found: Foreign, frame: pd.DataFrame, theirs: Any) -> str:
    rows = len(frame)
    ours = _numbers_of(found, frame)
    estimator = found.estimator
    if found.task.is_classification:
        reading = estimator.reading if isinstance(estimator, Wrapped) else None
        try:
            other = reading.numbers(theirs, rows) if reading is not None else None
        except (MainstayError, ValueError, TypeError):
            other = None
        if other is None:
            return _labels_compared(stored, found, ours, theirs)
    else:
        other = np.asarray(readings.plain(theirs), dtype=np.float64).reshape(rows)
    gap = float(np.max(np.abs(ours - other), initial=0.0))
    scale = 1.0 if found.task.is_classification else max(1.0, float(np.max(np.abs(other), initial=0.0)))
    if not gap <= EQUAL * scale:
        raise _differs(stored, f"by up to {gap:.3g} on {rows} reference rows; at most {EQUAL * scale:.3g} is allowed")
    return f"equal to MLflow's own prediction on {rows} reference rows (largest difference {gap:.2g})"


def _labels_compared(stored: Stored, found: Foreign, ours: NDArray[np.float64], theirs: Any) -> str:
    said = [label_text(value) for value in np.asarray(readings.plain(theirs)).reshape(len(ours), -1)[:, 0].tolist()]
    mine = [found.classes[column] for column in ours.argmax(axis=1).tolist()]
    codes = {str(number): name for number, name in enumerate(found.classes)}
    other = [name if name in found.classes else codes.get(name, name) for name in said]
    wrong = sum(a != b for a, b in zip(mine, other, strict=True))
    if wrong:
        raise _differs(stored, f"in {wrong} of {len(mine)} labels")
    return f"the same label as MLflow's own prediction on all {len(mine)} reference rows"


def _differs(stored: Stored, how: str) -> ModelOutputInvalid:
    return ModelOutputInvalid(
        f"the adopted model's answers differ from MLflow's own for {stored.uri} {how}",
        remedy="Give reference rows with the columns and types of the model's signature; or log a pyfunc and adopt it.",
    )


def _numbers_of(found: Foreign, frame: pd.DataFrame) -> NDArray[np.float64]:
    given = frame if found.input is None else frame[found.input].to_numpy()
    ask = found.estimator.predict_proba if found.task.is_classification else found.estimator.predict
    return np.asarray(ask(given), dtype=np.float64)


def _is_classifier(model: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(model))


def _quietly(ask: Callable[[], Any]) -> Any:
    """Ask without what a library prints while it answers (Keras draws a bar)."""
    with contextlib.redirect_stdout(io.StringIO()):
        return ask()
