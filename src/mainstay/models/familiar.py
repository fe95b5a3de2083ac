"""What training held, as far as an answer's warnings need it: rare categories, ends of numbers, scripts, distances.

Everything is chosen so that rows like those of training are warned of at a rate that is known beforehand, and measured
on rows that were left out.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Field, FieldType, Pii
from mainstay.models.scripts import scripts_of
from mainstay.models.signals import Signals, measured_fields

RARE_SHARE = 0.005
"""The rarest categories of a field, of so many of the rows together, are rare."""
MOST_VALUES = 2000
"""A field of more categories has no rare ones."""
SCRIPT_ROWS, SCRIPT_SHARE = 5, 0.001
"""A script is known when at least so many rows, and this share of them, have a letter of it."""
MARGIN, MARGIN_ROWS = 0.1, 10
"""A number may lie beyond the ends of training by 0.1 + 10/n of the range that n rows had: few rows show little."""
FAR_ROWS = 100
"""Fewer rows say nothing about distances."""
FAR_SHARE, NEW_WORDS_SHARE = 0.001, 0.01
"""This share of rows that were left out lies further, and has a larger share of never-seen words."""
MOST_NUMBERS = 100
"""A row of more numbers has no distance: it would cost too much."""
FOLDS = 5
NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest and the largest value of a number in training."""

    low: float
    high: float
    rows: int
    """How many rows had one."""

    @property
    def margin(self) -> float:
        """Return how far beyond them a value may lie."""
        return (MARGIN + MARGIN_ROWS / self.rows) * (self.high - self.low)


class Categories(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a category in training."""

    common: list[str]
    """Those that are not worth a word."""
    rare: dict[str, int]
    """The rows of the others; a value in neither had none."""
    rows: int


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of a field in training."""

    scripts: list[str]
    """Known ones."""
    unseen_share: float | None = None
    """At most 1 % of the rows that were left out have a larger share of never-seen words; None: too few rows."""


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a row's numbers lie from those of training: |asinh((x − centre)/scale) · whiten|².

    Mahalanobis' distance (1936) of numbers that are standardised by median and interquartile range and drawn in at the
    ends by asinh, with the covariance shrunk as Ledoit and Wolf (2004) do. A missing number lies in the centre.
    """

    fields: list[str]
    centre: list[float]
    scale: list[float]
    whiten: list[list[float]]
    """(d, d): one over the root of the shrunk covariance."""
    middle: list[float]
    """Means of the transformed numbers, subtracted before `whiten`."""
    limit: float
    """Squared; at most 0.1 % of the rows that were left out lie beyond it, with n < 1,000 rows at most 1 in n + 1."""


class Familiar(msgspec.Struct, frozen=True, kw_only=True):
    """What training held."""

    v: int = 1
    rows: int
    numbers: dict[str, Ends] = {}
    categories: dict[str, Categories] = {}
    texts: dict[str, Texts] = {}
    distance: Distance | None = None


def familiar(
    contract: Contract,
    rows: Sequence[Mapping[str, Any]],
    groups: NDArray[np.int64],
    left_out: Sequence[Signals] | None = None,
) -> Familiar:
    """Return what checked training rows held.

    `groups`: a number for each unit of evidence; rows of one unit are left out together. `left_out` are the rows'
    signals against the words of all other units' rows. Fields that the model does not see are left out, and of
    personal ones everything that would show what single rows held.
    """
    seen = {field.name for field in contract.features}
    fields = [field for field in measured_fields(contract) if field.name in seen]
    numbers = [field.name for field in fields if field.type in NUMBERS and field.pii is Pii.KEEP]
    columns = {name: _column(rows, name) for name in numbers}
    texts = [field.name for field in fields if field.type is FieldType.TEXT]
    values = {f.name: [row.get(f.name) for row in rows] for f in fields if f.type is FieldType.CATEGORY}
    categories = {name: _categories(contract.field(name), values[name]) for name in values}
    return Familiar(
        rows=len(rows),
        numbers={name: ends for name in numbers if (ends := _ends(columns[name])) is not None},
        categories={name: found for name, found in categories.items() if found is not None},
        texts={name: _texts(name, rows, left_out) for name in texts},
        distance=_distance(columns, groups),
    )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([row.get(name) for row in rows], dtype=np.float64)


def _ends(column: NDArray[np.float64]) -> Ends | None:
    held = column[~np.isnan(column)]
    if not len(held):
        return None
    return Ends(low=float(held.min()), high=float(held.max()), rows=len(held))


def _categories(field: Field | None, values: Sequence[str | None]) -> Categories | None:
    """Return the rare values of a field: the rarest ones, which together with those that training never held make up
    at most RARE_SHARE of the rows to come.

    The chance of a value that training never held is the share of rows whose value stands there once (Good 1953). Where
    that alone is more, values that are not declared are no news, and the field is left out.
    """
    counts = Counter(value for value in values if value is not None)
    rows = counts.total()
    if field is None or not rows or len(counts) > MOST_VALUES:
        return None
    if not field.values and field.pii is not Pii.KEEP:
        return None
    budget = RARE_SHARE * rows - sum(count == 1 for count in counts.values())
    if budget < 0 and not field.values:
        return None
    rare: dict[str, int] = {}
    for value, count in sorted(counts.items(), key=lambda one: (one[1], one[0])):
        budget -= count
        if budget < 0:
            break
        rare[value] = count
    return Categories(common=sorted(set(counts) - set(rare)), rare=rare, rows=rows)


def _texts(name: str, rows: Sequence[Mapping[str, Any]], left_out: Sequence[Signals] | None) -> Texts:
    given = [text for row in rows if (text := row.get(name))]
    counts = Counter(script for text in given for script in scripts_of(text))
    least = max(SCRIPT_ROWS, SCRIPT_SHARE * len(given))
    shares = [] if left_out is None else [s for row in left_out if isinstance(s := row[f"{name}.unseen"], float)]
    return Texts(
        scripts=sorted(script for script, count in counts.items() if count >= min(least, len(given))),
        unseen_share=_quantile(shares, NEW_WORDS_SHARE) if len(shares) >= FAR_ROWS else None,
    )


def _quantile(values: Iterable[float], share: float) -> float:
    """Return the limit that another such value passes with a chance of at most `share`, or of 1 in n + 1 where n values
    are too few for that: the ⌈(n + 1)(1 − share)⌉-th smallest one (Vovk, Gammerman and Shafer 2005, §2.2).
    """
    ordered = sorted(values)
    return float(ordered[min(len(ordered), ceil((len(ordered) + 1) * (1.0 - share))) - 1])


def _distance(columns: Mapping[str, NDArray[np.float64]], groups: NDArray[np.int64]) -> Distance | None:
    ends = {name: _ends(column) for name, column in columns.items()}
    names = [name for name, one in ends.items() if one is not None and one.low < one.high]
    units = int(groups.max(initial=-1)) + 1
    if len(groups) < FAR_ROWS or units < FOLDS or not 2 <= len(names) <= MOST_NUMBERS:
        return None
    matrix = np.column_stack([columns[name] for name in names])
    # Units are numbered as they come: every fifth one is in a fold, so each fold is of all times.
    fold = groups % FOLDS
    far = np.empty(len(matrix))
    for number in range(FOLDS):
        held = fold == number
        far[held] = _Fit(matrix[~held]).distances(matrix[held])
    fit = _Fit(matrix)
    return Distance(
        fields=names,
        centre=fit.centre.tolist(),
        scale=fit.scale.tolist(),
        whiten=fit.whiten.tolist(),
        middle=fit.middle.tolist(),
        limit=_quantile(far.tolist(), FAR_SHARE),
    )


class _Fit:
    """A distance, fitted."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        from sklearn.covariance import ledoit_wolf

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a number that is missing in all of these rows
            low, centre, high = np.nan_to_num(np.nanquantile(matrix, [0.25, 0.5, 0.75], axis=0))
            deviation = np.nan_to_num(np.nanstd(matrix, axis=0))
        self.centre, spread = centre, (high - low) / 1.349
        self.scale = np.where(spread > 0, spread, np.where(deviation > 0, deviation, 1.0))
        drawn = self._drawn(matrix)
        self.middle = drawn.mean(axis=0)
        covariance, _ = ledoit_wolf(drawn)
        values, vectors = np.linalg.eigh(covariance)
        # A number that follows from others has no spread of its own: it is not to count endlessly.
        values = np.maximum(values, 1e-6 * values.max())
        self.whiten = vectors / np.sqrt(values)

    def _drawn(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn: NDArray[np.float64] = np.nan_to_num(np.arcsinh((matrix - self.centre) / self.scale))
        return drawn

    def distances(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        white = (self._drawn(matrix) - self.middle) @ self.whiten
        found: NDArray[np.float64] = (white * white).sum(axis=1)
        return found
