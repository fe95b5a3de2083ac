"""Whether a fitted estimator can be written as plain arrays, and how. Building imports scikit-learn; serving does not.

Only classes whose arithmetic is known are taken, by their exact type: a subclass may do something else. What comes out
is believed only after `parity.py` held it against the estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mainstay.models.compiled import describe_heads, describe_text
from mainstay.models.compiled.known import NotKnown, is_a
from mainstay.models.compiled.program_file import VERSION, Described


def describe(estimator: Any, *, fields: Sequence[str], text: str | None) -> Described:
    """Return a description with every link that its head may have (`links`), or raise NotKnown with the reason.

    `text` names the one field that the estimator takes as a 1-d array; else `fields` are the columns of its frame.
    """
    steps = _steps(estimator)
    head = steps.pop()
    if text is not None and not steps:
        raise NotKnown(f"{type(head).__name__} over texts")
    blocks, width = _blocks(steps, fields=list(fields), text=text)
    described, links = describe_heads.describe(head, width)
    if described["kind"] == "trees" and any(block["kind"] == "text" for block in blocks):
        raise NotKnown("trees over words are left to their library")
    return {"v": VERSION, "blocks": blocks, "head": described, "links": links}


def _steps(estimator: Any) -> list[Any]:
    """Return the steps of nested pipelines, in order; of a search, of its best estimator."""
    if is_a(estimator, "sklearn.model_selection", "GridSearchCV", "RandomizedSearchCV"):
        return _steps(estimator.best_estimator_)
    if not is_a(estimator, "sklearn.pipeline", "Pipeline"):
        return [estimator]
    inner = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return [one for step in inner for one in _steps(step)]


def _blocks(steps: list[Any], *, fields: list[str], text: str | None) -> tuple[list[Described], int]:
    if text is not None:
        blocks = describe_text.describe(steps, text)
        return blocks, sum(len(block["terms"]) for block in blocks)
    if steps and is_a(steps[0], "sklearn.compose", "ColumnTransformer"):
        if len(steps) > 1:
            raise NotKnown(f"{type(steps[1]).__name__} after a ColumnTransformer")
        blocks = _by_columns(steps[0], fields)
    else:
        blocks = [_chain(steps, fields)]
    return blocks, sum(_width(block) for block in blocks)


def _width(block: Described) -> int:
    if block["kind"] == "text":
        return len(block["terms"])
    if block["kind"] == "flags":
        return int(block["width"])
    return len(block["fields"]) + sum(len(v) for name, v in block.get("steps", ()) if name == "indicate")


def _by_columns(transformer: Any, fields: list[str]) -> list[Described]:
    blocks = []
    if transformer.transformer_weights:
        raise NotKnown("a ColumnTransformer with transformer_weights")
    for _, fitted, wanted in transformer.transformers_:
        names = _names(wanted, fields)
        if (isinstance(fitted, str) and fitted == "drop") or not names:
            continue
        steps = [] if isinstance(fitted, str) else _steps(fitted)
        if any(is_a(step, "sklearn.preprocessing", "FunctionTransformer") and step.func is not None for step in steps):
            raise NotKnown("a FunctionTransformer with a function of its own")
        steps = [step for step in steps if not is_a(step, "sklearn.preprocessing", "FunctionTransformer")]
        if steps and describe_text.is_text(steps[0]):
            if not isinstance(wanted, str | int):
                raise NotKnown("a text vectorizer over several columns")
            found = describe_text.describe(steps, names[0])
        else:
            found = [_chain(steps, names)]
        blocks += found
    return blocks


def _names(wanted: Any, fields: list[str]) -> list[str]:
    if isinstance(wanted, str | int | np.integer):
        wanted = [wanted]
    if isinstance(wanted, slice):
        wanted = fields[wanted] if not isinstance(wanted.start, str) else None
    found = np.asarray(list(wanted if wanted is not None else []), dtype=object)
    if len(found) and all(isinstance(one, bool | np.bool_) for one in found):
        return [name for name, taken in zip(fields, found, strict=True) if taken]
    return [one if isinstance(one, str) else fields[int(one)] for one in found]


def _chain(steps: list[Any], fields: list[str]) -> Described:
    """Describe what happens to columns that are treated one by one."""
    numbers: list[tuple[str, Any]] = []
    filled: list[Any] | None = None
    for at, step in enumerate(steps):
        if is_a(step, "sklearn.impute", "SimpleImputer"):
            indicated = list(step.indicator_.features_) if step.add_indicator else []
            if len(step.statistics_) != len(fields):
                raise NotKnown("a SimpleImputer with empty columns")
            if indicated and numbers:
                raise NotKnown("a SimpleImputer with an indicator after another step")
            if step.missing_values is not None and not _is_nan(step.missing_values):
                raise NotKnown(f"a SimpleImputer for {step.missing_values!r}")
            filled = step.statistics_.tolist()
            if all(isinstance(value, int | float) for value in filled):
                if indicated:
                    numbers.append(("indicate", np.array(indicated, dtype=np.int64)))
                numbers.append(("fill", np.array([*filled, *[0.0] * len(indicated)], dtype=np.float64)))
            elif indicated:
                raise NotKnown("a SimpleImputer with an indicator over texts")
            continue
        if is_a(step, "sklearn.preprocessing", "OneHotEncoder", "OrdinalEncoder"):
            if at + 1 != len(steps):
                raise NotKnown(f"{type(steps[at + 1]).__name__} after an encoder")
            if any(name == "indicate" for name, _ in numbers):
                raise NotKnown(f"{type(step).__name__} after a SimpleImputer with an indicator")
            if type(step).__name__ == "OneHotEncoder":
                return _flags(step, fields, filled)
            return _codes(step, fields, filled)
        numbers += _scaling(step)
    if filled is not None and not any(name == "fill" for name, _ in numbers):
        raise NotKnown("filled texts without an encoder")
    return {"kind": "numbers", "fields": fields, "steps": numbers}


def _scaling(step: Any) -> list[tuple[str, Any]]:
    if is_a(step, "sklearn.preprocessing", "StandardScaler"):
        return [
            *([("subtract", step.mean_)] if step.with_mean else []),
            *([("divide", step.scale_)] if step.with_std else []),
        ]
    if is_a(step, "sklearn.preprocessing", "MinMaxScaler") and not step.clip:
        return [("multiply", step.scale_), ("add", step.min_)]
    if is_a(step, "sklearn.preprocessing", "MaxAbsScaler"):
        return [("divide", step.scale_)]
    if is_a(step, "sklearn.preprocessing", "RobustScaler"):
        return [
            *([("subtract", step.center_)] if step.with_centering else []),
            *([("divide", step.scale_)] if step.with_scaling else []),
        ]
    raise NotKnown(f"{type(step).__name__} over columns")


def _flags(encoder: Any, fields: list[str], filled: list[Any] | None) -> Described:
    if encoder.handle_unknown not in ("ignore", "error") or getattr(encoder, "_infrequent_enabled", False):
        raise NotKnown("a OneHotEncoder with infrequent categories")
    dropped = encoder.drop_idx_ if encoder.drop_idx_ is not None else [None] * len(fields)
    places, start = [], 0
    for column, (categories, drop) in enumerate(zip(encoder.categories_, dropped, strict=True)):
        own: list[tuple[Any, Any]] = []
        for index, value in enumerate(categories.tolist()):
            is_dropped = drop is not None and index == int(drop)
            own.append((_plain(value), -1 if is_dropped else start))
            start += not is_dropped
        places.append(_with_filled(own, filled, column))
    return {
        "kind": "flags",
        "fields": fields,
        "places": places,
        "width": start,
        "refuses_unknown": encoder.handle_unknown == "error",
    }


def _codes(encoder: Any, fields: list[str], filled: list[Any] | None) -> Described:
    if getattr(encoder, "_infrequent_enabled", False):
        raise NotKnown("an OrdinalEncoder with infrequent categories")
    codes = []
    for column, categories in enumerate(encoder.categories_):
        # scikit-learn gives NaN the code for missing values, and None one like any other.
        missing = float(encoder.encoded_missing_value)
        numbers = [missing if _is_nan(value) else float(code) for code, value in enumerate(categories.tolist())]
        own = [(_plain(value), code) for value, code in zip(categories.tolist(), numbers, strict=True)]
        codes.append(_with_filled(own, filled, column))
    unknown = float(encoder.unknown_value) if encoder.handle_unknown == "use_encoded_value" else None
    return {"kind": "codes", "fields": fields, "codes": codes, "unknown": unknown}


def _with_filled(own: list[tuple[Any, Any]], filled: list[Any] | None, column: int) -> list[tuple[Any, Any]]:
    """Return the pairs with a missing value standing for what an imputer before filled in."""
    if filled is None:
        return own
    found = dict(own).get(filled[column])
    rest = [(value, place) for value, place in own if value is not None]
    return rest if found is None else [*rest, (None, found)]


def _plain(value: Any) -> Any:
    """Return a category as rows hold it: None for a missing value."""
    return None if value is None or _is_nan(value) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
