"""Models of other libraries, made to answer like an estimator: `predict`, `predict_proba`, `classes_`.

A wrapped model is stored by reference to this module and holds its own weights and code, so that a bundle needs the
library that made it and nothing else: no registry, no store of artefacts, no project code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mainstay.core.errors import BadData
from mainstay.models.readings import Reading

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

NUMBERS = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
"""Types a column can be cast to; others stay as they are."""


class Backend(Protocol):
    """Computes raw output for a pandas frame of the contract's fields."""

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return one answer per row, in any form that a Reading knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a frame of the contract's fields becomes what a model takes."""

    columns: tuple[str, ...]
    """In the order that the model was fitted with."""
    types: tuple[str, ...] = ()
    """NumPy type per column, empty: as it is; for an array the type of all of it."""
    is_array: bool = False
    """A two-dimensional array instead of a frame."""
    tensor: str = ""
    """The array's name, where the model wants a dictionary of arrays."""

    def given(self, frame: pd.DataFrame) -> Any:
        """Return the frame or array that the model takes."""
        chosen = frame[list(self.columns)]
        if self.is_array:
            array = np.ascontiguousarray(_matrix(chosen, self.types[0] if self.types else "float64"))
            return {self.tensor: array} if self.tensor else array
        cast = {
            name: kind
            for name, kind in zip(self.columns, self.types, strict=False)
            if kind and str(chosen[name].dtype) != kind
        }
        return _cast(chosen, cast) if cast else chosen


@dataclass(slots=True, kw_only=True)
class Wrapped:
    """A model of another library as Mainstay asks every model."""

    backend: Backend
    reading: Reading
    rows_at_once: int | None = None
    """Rows asked at once, filled up to that number; None: any. A network's last digits depend on how many rows it is
    asked at once; in blocks of one size they don't, and a row's answer depends on the row alone."""
    flavor: str = ""
    """What it was stored as."""

    @property
    def classes_(self) -> NDArray[np.str_]:
        """Return the class names, in the order of the probabilities."""
        return np.array(self.reading.classes, dtype=np.str_)

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return probabilities of shape (n, classes), float64, each row with the sum 1."""
        return self._numbers(frame)

    def predict(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Return labels or values of shape (n,)."""
        found = self._numbers(frame)
        return self.classes_[found.argmax(axis=1)] if self.reading.kind.is_classification else found

    def _numbers(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        size = self.rows_at_once
        if size is None or not len(frame):
            return self.reading.numbers(self.backend(frame), len(frame))
        parts = [self._block(frame.iloc[start : start + size], size) for start in range(0, len(frame), size)]
        return np.concatenate(parts)

    def _block(self, frame: pd.DataFrame, size: int) -> NDArray[np.float64]:
        rows = len(frame)
        if rows < size:
            frame = frame.iloc[[*range(rows), *[0] * (size - rows)]]
        return self.reading.numbers(self.backend(frame), size)[:rows]


@dataclass(slots=True, kw_only=True)
class Predicts:
    """Anything with `predict(frame)`: a scikit-learn model that gives labels and no probabilities."""

    model: Any
    layout: Layout
    method: str = "predict"

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return what the model says."""
        return getattr(self.model, self.method)(self.layout.given(frame))


@dataclass(slots=True, kw_only=True)
class XGBoostBooster:
    """XGBoost's own Booster, with its objective's output: probabilities, labels or values."""

    booster: Any
    layout: Layout

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return what `Booster.predict` does."""
        import xgboost

        given = self.layout.given(frame)
        if not self.layout.is_array:
            given = _as_categories(given)
        return self.booster.predict(xgboost.DMatrix(given, enable_categorical=True, nthread=1))


@dataclass(slots=True, kw_only=True)
class LightGBMBooster:
    """LightGBM's own Booster, with its objective's output: probabilities or values."""

    booster: Any
    layout: Layout

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return what `Booster.predict` does."""
        given = self.layout.given(frame)
        return self.booster.predict(given if self.layout.is_array else _as_categories(given), num_threads=1)


@dataclass(slots=True, kw_only=True)
class TorchModule:
    """A PyTorch module in evaluation mode, on the processor, in one thread."""

    module: Any
    layout: Layout

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return what the module does for a tensor of the rows."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                return self.module(torch.from_numpy(self.layout.given(frame)))
        finally:
            torch.set_num_threads(threads)


def _as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return texts as pandas categories: both boosters then use the codes that they were fitted with."""
    texts = [name for name in frame.columns if frame[name].dtype == object]
    return frame.astype(dict.fromkeys(texts, "category")) if texts else frame


def _matrix(frame: pd.DataFrame, kind: str) -> NDArray[Any]:
    try:
        return frame.to_numpy(dtype=np.dtype(kind))
    except (TypeError, ValueError) as error:
        raise BadData(f"columns {_odd(frame)} are not {kind} in every row: {error}") from error


def _cast(frame: pd.DataFrame, types: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    out = frame.copy()
    for name, kind in types.items():
        column = out[name]
        if kind == "str":
            out[name] = column.where(column.isna(), column.map(str)).astype(object)
        elif kind.startswith("datetime64"):
            out[name] = pd.to_datetime(column, utc=True).dt.tz_localize(None)
        elif column.isna().any() and not kind.startswith("float"):
            out[name] = column  # a whole number or boolean that is missing: the model's own check decides
        else:
            out[name] = column.astype(kind)
    return out


def _odd(frame: pd.DataFrame) -> Sequence[str]:
    return [str(name) for name in frame.columns if frame[name].dtype == object] or [str(n) for n in frame.columns]
