"""Columns that may know the answer: too good alone, exact together, names of things, one word for a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mainstay.comparison import kinds, words
from mainstay.comparison.records import Kind
from mainstay.models.signals import words as words_of
from mainstay.profiling.records import Seen, Suspect
from mainstay.profiling.samples import NUMBERS, Rows, codes_of, floats_of
from mainstay.stats import alone
from mainstay.stats.intervals import Floats, wilson

TOO_GOOD = 0.9
"""A column by itself is suspect from this λ or R² on (lower limit)."""
MOST_UNIQUE = 0.5
"""A category is a name of things where so many of its rows have a value of their own."""
WORD_ROWS = 30
WORD_TELLS = 0.95
FOLDS = 5
LEAST_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The target beside the columns; the same rows in all."""

    truth: pl.Series
    classes: bool
    """Whether it is classes; else numbers."""
    keys: Rows | None = None
    """A number for each unit; rows of one depend."""
    rng: np.random.Generator
    time: str | None = None


def suspects(
    columns: Sequence[Seen],
    asked: Asked,
    *,
    least: float = TOO_GOOD,
    skills: Mapping[str, alone.Skill] | None = None,
) -> tuple[Suspect, ...]:
    """Return the columns that may know the answer, with why; `least`: the λ or R² from which on one is too good alone;
    `skills`: what `skills_of` said, where it was asked already.

    Each column alone: how much of the target it tells on rows held out (`stats.alone`), one-sided 95 %. Together: the
    target as an exact sum or product of numbers. Names of things, which can only be learned by heart. Texts: a word
    that stands for a class.
    """
    skills = skills_of(columns, asked) if skills is None else skills
    if skills is None:
        return ()
    rows = np.flatnonzero(asked.truth.is_not_null().to_numpy())
    columns = [Seen(name=one.name, kind=one.kind, cells=one.cells[rows]) for one in columns]
    truth = asked.truth[rows]
    found = [_too_good(name, skill, asked) for name, skill in skills.items() if skill.low >= least]
    told = {one.name for one in found}
    if not asked.classes:
        found += _identities(columns, floats_of(truth))
    found += [one for one in _names(columns, asked.time) if one.name not in told]
    if asked.classes:
        found += _words(columns, truth)
    return tuple(found)


def skills_of(columns: Sequence[Seen], asked: Asked) -> dict[str, alone.Skill] | None:
    """Return how well each column but texts tells the target by itself, on rows held out; None of too few rows."""
    kept = asked.truth.is_not_null()
    if int(kept.sum()) < LEAST_ROWS:
        return None
    rows = np.flatnonzero(kept.to_numpy())
    truth = asked.truth[rows]
    keys = None if asked.keys is None else asked.keys[rows]
    return {
        one.name: _skill_of(Seen(name=one.name, kind=one.kind, cells=one.cells[rows]), truth, asked, keys)
        for one in columns
        if one.kind not in (Kind.EMPTY, Kind.TEXT) and one.cells.null_count() < len(one.cells)
    }


def _skill_of(one: Seen, truth: pl.Series, asked: Asked, keys: Rows | None) -> alone.Skill:
    units = np.arange(len(truth)) if keys is None else keys
    fold = asked.rng.integers(0, FOLDS, int(units.max(initial=0)) + 1)[units]
    numeric = one.kind in NUMBERS or one.kind is Kind.TIMESTAMP
    codes = alone.bins_of(floats_of(one.cells)) if numeric else codes_of(one.cells)
    listed = None if keys is None else keys.tolist()
    if asked.classes:
        return alone.class_skill(codes, codes_of(truth) - 1, fold, keys=listed)
    return alone.number_skill(codes, floats_of(truth), fold, keys=listed)


def _too_good(name: str, skill: alone.Skill, asked: Asked) -> Suspect:
    measure = "λ" if asked.classes else "R²"
    return Suspect(
        name=name,
        kind="alone",
        why=f"tells the target by itself: {measure} {skill.value:.3f} ({skill.low:.3f} to {skill.high:.3f}) on rows "
        "held out; is it known before the answer?",
        value=skill.value,
        low=skill.low,
        high=skill.high,
    )


def _identities(columns: Sequence[Seen], truth: Floats) -> Iterator[Suspect]:
    """Look whether the target is an exact sum of numbers, or where all are positive an exact product."""
    numbers = [one for one in columns if one.kind in (*NUMBERS, Kind.CATEGORY) and one.cells.dtype.is_numeric()]
    numbers += [
        Seen(name=one.name, kind=Kind.NUMBER, cells=read)
        for one in columns
        if one.kind is Kind.CATEGORY and (read := _as_numbers(one.cells)) is not None
    ]
    if not numbers:
        return
    table = np.column_stack([floats_of(one.cells) for one in numbers])
    sums = alone.identity_of(table, truth)
    if sums is not None:
        signed = (f"{'−' if factor < 0 else '+'} {abs(factor):.6g}·{numbers[j].name}" for j, factor in sums)
        terms = " ".join(signed).removeprefix("+ ")
        yield Suspect(
            name=" + ".join(numbers[j].name for j, _ in sums),
            kind="identity",
            why=f"the target is exactly {terms}{_constant(table, truth, sums)}",
            value=1.0,
        )
        return
    positive = [j for j in range(table.shape[1]) if (table[:, j][np.isfinite(table[:, j])] > 0).all()]
    if positive and (truth[np.isfinite(truth)] > 0).all():
        products = alone.identity_of(np.log(table[:, positive]), np.log(truth))
        if products is not None and (len(products) > 1 or abs(products[0][1] - 1) > 1e-6):
            terms = " · ".join(f"{numbers[positive[j]].name}^{factor:.6g}" for j, factor in products)
            yield Suspect(
                name=" · ".join(numbers[positive[j]].name for j, _ in products),
                kind="identity",
                why=f"the target is exactly {terms} times a constant",
                value=1.0,
            )


def _constant(table: Floats, truth: Floats, sums: Sequence[tuple[int, float]]) -> str:
    left = float(np.nanmean(truth - sum(factor * table[:, j] for j, factor in sums)))
    return f" {'−' if left < 0 else '+'} {abs(left):.6g}" if abs(left) > 1e-6 * float(np.nanstd(truth)) else ""


def _as_numbers(cells: pl.Series) -> pl.Series | None:
    """Return codes that are spelled as numbers as numbers."""
    if cells.dtype != pl.String:
        return None
    read = cells.cast(pl.Float64, strict=False)
    return read if read.null_count() == cells.null_count() else None


def _names(columns: Sequence[Seen], time: str | None) -> Iterator[Suspect]:
    for one in columns:
        held = one.cells.drop_nulls()
        if not len(held) or one.name == time:
            continue
        named = one.kind is Kind.IDENTIFIER
        distinct = held.n_unique()
        if one.kind is Kind.INTEGER and len(held) >= LEAST_ROWS:
            named = kinds.finer(one.kind, held, held)[0] is Kind.IDENTIFIER
        if not named and one.kind is Kind.CATEGORY and len(held) >= LEAST_ROWS:
            once = held.value_counts(name="rows")["rows"]
            named = int((once == 1).sum()) >= MOST_UNIQUE * len(held)
        if named:
            yield Suspect(
                name=one.name,
                kind="identifier",
                why=f"names things ({words.counted(distinct)} values in {words.counted(len(held))} rows): it can be "
                "learned by heart and says nothing of a new one",
            )


def _words(columns: Sequence[Seen], truth: pl.Series) -> Iterator[Suspect]:
    """Look for a word that stands in nearly every text of a class and in nearly no other: a label in the text."""
    labels = [str(label) for label in truth.to_list()]
    sizes = Counter(labels)
    for one in (one for one in columns if one.kind is Kind.TEXT):
        per_class: Counter[tuple[str, str]] = Counter()
        every: Counter[str] = Counter()
        for text, label in zip(one.cells.to_list(), labels, strict=True):
            for word in set(words_of(text)) if text else ():
                per_class[word, label] += 1
                every[word] += 1
        told = []
        for (word, label), rows in per_class.items():
            if rows < max(WORD_ROWS, WORD_TELLS * sizes[label]) or rows < WORD_TELLS * every[word]:
                continue
            low = min(wilson(rows, every[word], confidence=0.9)[0], wilson(rows, sizes[label], confidence=0.9)[0])
            if low >= TOO_GOOD and sizes[label] < 0.9 * len(labels):
                told.append((low, word, label, rows))
        if told:
            low, word, label, rows = max(told)
            yield Suspect(
                name=one.name,
                kind="words",
                why=f"the word {words.short(word)!r} stands in {words.counted(rows)} of {words.counted(sizes[label])} "
                f"texts of {words.short(label)!r} and in {words.counted(every[word] - rows)} others"
                + (f"; {len(told) - 1} more such words" if len(told) > 1 else ""),
                value=rows / every[word],
                low=low,
                high=1.0,
            )
