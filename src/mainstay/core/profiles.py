"""The reference profile: what held-out rows looked like to a model, as mergeable counts; the watch compares with it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mainstay.core.quality import ReferenceQuality

PROFILE_VERSION = 1
BINS = 200
"""Most bins of a numeric signal."""


class SignalKind(StrEnum):
    """How a signal is compared."""

    NUMERIC = "numeric"
    CATEGORY = "category"


class SignalProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reference distribution of one signal (over all rows, or over one segment)."""

    name: str
    """`field.aspect`, e.g. `message.unseen`, or `answer.label`."""
    kind: SignalKind
    harm: str
    """A `core.incidents.Harm` value."""
    segment: str = ""
    """`field=value`, or empty for all rows."""
    rows: int
    """Rows counted (missing ones not among them)."""
    edges: list[float] = []
    """NUMERIC: ascending inner edges; bin i holds edges[i-1] <= x < edges[i] (first and last bins are open)."""
    counts: list[int] = []
    """NUMERIC: rows per bin, len(edges) + 1. CATEGORY: rows per value, the last one for every other value."""
    values: list[str] = []
    """CATEGORY: known values, len(counts) - 1; of what is so or not, `yes` alone."""
    defaults: list[float] = []
    """Of `field.default`: the values that are taken for one."""
    mean: float = 0.0
    sd: float = 0.0
    low: float | None = None
    """NUMERIC: smallest value of the reference or training rows; None in profiles of before it was kept."""
    high: float | None = None
    """NUMERIC: largest value of the reference or training rows."""
    longest_run: int = 0
    """NUMERIC: rows of the longest stretch at one value, in the order of the reference's times; 0 where it has none."""
    largest_step: float = 0.0
    """NUMERIC: the most that it went up or down within a few rows, in that order (`stats.steps.largest_step`)."""
    design_effect: float = 1.0
    """Variance of a mean over keys divided by that over independent rows, at least 1."""
    accuracy_slope: float | None = None
    """NUMERIC: by how much accuracy changes when the rows' mean rank moves by one σ, the relation of field and truth as
    on the reference rows; None where it was not measured."""
    accuracy_slope_error: float = 0.0
    """Its standard error."""
    week: list[list[float]] = []
    """What rows of each hour of the week had (168; UTC, Monday 0 h first), sums that can be added up; empty where the
    reference has no times. NUMERIC: rows, sums of the first two scores, of their squares, rows below and above the bin
    with most rows. CATEGORY: rows per value."""
    months: list[list[float]] = []
    """The same by month of the year (12)."""
    effects: list[list[float]] = []
    """How its hours vary beside the pattern, per scale of 1, 2, 4 … hours (`stats.window_effects.of_reference`)."""
    month_effects: list[list[float]] = []
    """The same beside a pattern with months; empty where the reference holds no whole year."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Some reference rows, coded: what rules that tell traffic from the reference are learned from and judged on.

    Packed arrays are compressed base64 text (`models.sample`). Fields that may not be kept are not among them.
    """

    rows: int
    learned: int
    """The first so many rows are for learning; the others, of other keys, for judging."""
    names: list[str]
    """Signals that are coded."""
    codes: str
    """uint8 (rows, names): the bin or category of each value, 255 where it is missing."""
    units: str
    """int32 (rows,): number of the unit of evidence."""
    more_words: dict[str, str] = {}
    """The same as `words` of the rows for learning, of fields whose rules learn from `Profile.trained` instead."""
    words: dict[str, str] = {}
    """Per text field, of the rows for judging: int32, for each row the number of words (-1: no text) and then these,
    each by its place among the sorted words of `Profile.words`."""


class TrainedWords(msgspec.Struct, frozen=True, kw_only=True):
    """How often rows that the model was fitted on hold the words of one text field."""

    rows: int
    """Rows with a text, of units of evidence that the reference does not hold."""
    words: dict[str, int]
    """Rows that hold the word, most frequent first, at most 20,000."""


class Reconstruction(msgspec.Struct, frozen=True, kw_only=True):
    """The directions in which the numbers of the reference rows vary together: principal components of their ranks."""

    names: list[str]
    """Numeric signals."""
    components: list[list[float]]
    """Shape (k, names): orthonormal rows."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """All signals of the reference rows of one bundle."""

    v: int = PROFILE_VERSION
    source: str
    """test, out_of_fold, recent or a snapshot id: which rows these are."""
    rows: int
    keys: int
    distinct: int = 0
    """Distinct rows by what the watch measures of them; 0: it was not counted."""
    signals: list[SignalProfile]
    accuracy: float | None = None
    """Share of right answers on the reference rows (for regression None)."""
    mean_confidence: float | None = None
    words: dict[str, dict[str, int]] = {}
    """Per text field: rows that hold the word, most frequent first, at most 20,000; only fields that are kept."""
    first_at: datetime | None = None
    """Time of the oldest reference row; None where rows carry no time."""
    last_at: datetime | None = None
    segment_accuracy: dict[str, Any] = {}
    """`field=value` -> {"rows": n, "accuracy": a}."""
    trained: dict[str, TrainedWords] = {}
    """Per text field that is kept; empty in profiles of before it was kept, and where the reference rows are training
    rows themselves."""
    sample: Sample | None = None
    """None in profiles of before it was kept, and where there are too few rows."""
    reconstruction: Reconstruction | None = None
    """None where too few numbers vary together."""
    quality: ReferenceQuality | None = None
    """What label-free estimates and attribution need; None in profiles of before it was kept, or without truth."""
