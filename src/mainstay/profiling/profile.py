"""A look at one data set, once. Read `profile` top to bottom: it is the whole way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison import words
from mainstay.comparison.frames import load, require_columns
from mainstay.comparison.records import Kind
from mainstay.core.errors import UsageError
from mainstay.core.ports import Progress, silent
from mainstay.profiling import copies as copying
from mainstay.profiling import leaks, texts
from mainstay.profiling.columns import look
from mainstay.profiling.plots import BARS, BINS
from mainstay.profiling.records import ColumnLook, Copies, Finding, Profile, Seen, Suspect, Tie, Weight
from mainstay.profiling.samples import CODED, NUMBERS, PAIRS_ROWS, TEXT_ROWS, TWIN_ROWS, drawn, seen_column
from mainstay.profiling.ties import MOST_COLUMNS, RANKS, RATIO, TABLE, ties

MANY_CLASSES = 100
THIN = 20
"""Classes with fewer rows are told."""
LEAST_SHARE = 0.1
"""A class with less of the rows makes accuracy a poor measure."""
STRONG = 0.95
"""Two inputs that go together so strongly say nearly the same."""
OWN, NOTHING = 0.5, 0.03
"""A whole number with so many values a row and so weak a tie to the target is hardly a measure."""
ORDER = {weight: i for i, weight in enumerate(Weight)}


def profile(
    data: Any, *, target: str | None = None, now: datetime, seed: int = 0, progress: Progress = silent
) -> Profile:
    """Look at one data set before anything is trained.

    Args:
        data: a path (CSV, Parquet, NDJSON, a pattern), a pandas or Polars frame, a mapping of columns, texts.
        target: the column that is to be told; then leaks, telling words and contradictions are looked for.
        now: what is later than a day after this is in the future.
        seed: of the samples; equal data give equal answers.

    Raises UsageError for a target that is no column or a single value, BadData for what cannot be read.
    """
    progress("read", 0, 0)
    given = load(data, side="given")
    frame = given.frame
    require_columns([("target", target)] if target is not None else [], frame, given.name)
    rng = np.random.default_rng(seed)
    rows = drawn(frame.height, PAIRS_ROWS, rng)
    looks: list[ColumnLook] = []
    sample: list[Seen] = []
    for number, name in enumerate(frame.columns):
        progress(f"look at {words.short(name)}", number, frame.width)
        cells = frame.get_column(name)
        seen, spoiled, why = seen_column(name, cells)
        dtype = "text" if given.spelled else str(cells.dtype)
        looks.append(look(seen, dtype=dtype, spoiled=spoiled, why=why, now=now, rng=rng))
        sample.append(Seen(name=name, kind=seen.kind, cells=seen.cells[rows]))
    truth = next((one for one in sample if one.name == target), None)
    if truth is not None and truth.cells.n_unique() < 2:
        raise UsageError(f"target = {target!r} is the same in every row", remedy="Name another column.")
    progress("look at columns together", frame.width, frame.width)
    found, tied, matrix = ties(sample)
    others = [one for one in sample if one.name != target]
    suspects = () if truth is None else leaks.suspects(others, _asked(truth, rng))
    progress("look for copies", frame.width, frame.width)
    copies = _copies(frame, target, others, rng)
    told = None if truth is None else next(one for one in looks if one.name == target)
    if truth is not None and told is not None:
        looks = [_with_words(one, sample, truth) if one.kind is Kind.TEXT else one for one in looks]
    return Profile(
        name=given.name,
        rows=frame.height,
        columns=tuple(looks),
        target=target,
        ties=found,
        tied=tied,
        matrix=matrix,
        suspects=suspects,
        copies=copies,
        findings=_ordered(
            [
                *_whole(frame, told, found, suspects, copies, {one.name for one in looks if "unread" in one.numbers}),
                *_of_columns(looks, suspects),
                *_weights(looks, found, target),
            ]
        ),
        notes=tuple(_notes(frame.height, target, suspects)),
    )


def is_classes(truth: Seen) -> bool:
    """Return whether a target holds classes; else it holds numbers."""
    return truth.kind not in NUMBERS


def _asked(truth: Seen, rng: np.random.Generator) -> leaks.Asked:
    return leaks.Asked(truth=truth.cells, classes=is_classes(truth), rng=rng)


def _with_words(one: ColumnLook, sample: Sequence[Seen], truth: Seen) -> ColumnLook:
    """Add the words that tell each class; of texts that look personal only their number."""
    if not is_classes(truth) or truth.cells.n_unique() > MANY_CLASSES:
        return one
    seen = next(other for other in sample if other.name == one.name)
    told = texts.telling(seen.cells, truth.cells)
    if one.personal:
        told = {label: [f"{len(found)} words, not shown: the texts look personal"] for label, found in told.items()}
    return replace(one, numbers={**one.numbers, "telling": told})


def _copies(frame: pl.DataFrame, target: str | None, others: Sequence[Seen], rng: np.random.Generator) -> Copies:
    hashable = frame.select([n for n, t in frame.schema.items() if t != pl.Object and not t.is_nested()])
    inputs = hashable.drop(target, strict=False) if target is not None else hashable
    near = {}
    for one in others:
        if one.kind is Kind.TEXT:
            some = one.cells.drop_nulls()
            twins = copying.twins(some[drawn(len(some), TWIN_ROWS, rng)], None)
            near[one.name] = {"texts": twins.rows, "same": twins.same, "near": twins.near}
    hashes = copying.rounded(others, others)
    return Copies(
        rounded=int(hashes.is_duplicated().sum()) if hashes.null_count() == 0 else 0,
        looked_at=len(hashes),
        exact=copying.exact(hashable),
        conflicting=None if target is None else copying.conflicting(inputs, frame.get_column(target)),
        near=near,
    )


def _whole(
    frame: pl.DataFrame,
    told: ColumnLook | None,
    found: Sequence[Tie],
    suspects: Sequence[Suspect],
    copies: Copies,
    unread: set[str],
) -> Iterator[Finding]:
    """Yield what was noticed beyond single columns."""
    for one in suspects:
        if one.kind == "identifier" and one.name in unread:
            continue  # that it is numbers or times in another spelling is told of the column
        weight = Weight.MEND if one.kind in ("identity", "alone") else Weight.LOOK
        yield Finding(where=one.name, what=f"may leak the target: {one.why}", weight=weight)
    if copies.exact:
        share = words.share(copies.exact / frame.height)
        what = f"{words.counted(copies.exact)} rows ({share}) are exact copies of others"
        yield Finding(where="rows", what=what, weight=Weight.LOOK)
    if copies.conflicting:
        what = f"{words.counted(copies.conflicting)} rows have the same inputs as another row with another target"
        yield Finding(where="rows", what=what, weight=Weight.LOOK)
    if copies.rounded > copies.exact and copies.looked_at:
        what = (
            f"{words.counted(copies.rounded)} of {words.counted(copies.looked_at)} rows have a twin but for rounding, "
            "case and signs, the target aside: split twins together"
        )
        yield Finding(where="rows", what=what, weight=Weight.KNOW)
    for name, twins in copies.near.items():
        if twins["near"]:
            what = (
                f"{words.counted(twins['near'])} of {words.counted(twins['texts'])} texts have a near twin, "
                f"{words.counted(twins['same'])} of them the same after normalisation: split twins together"
            )
            yield Finding(where=name, what=what, weight=Weight.KNOW)
    target = None if told is None else told.name
    for tie in found:
        if abs(tie.value) < STRONG:
            break
        if target not in (tie.a, tie.b):
            what = f"goes with {tie.b} so strongly that the two say nearly the same ({tie.measure} {tie.value:.2f})"
            yield Finding(where=tie.a, what=what, weight=Weight.KNOW)
    if told is not None:
        yield from _target(frame, told)


def _target(frame: pl.DataFrame, told: ColumnLook) -> Iterator[Finding]:
    if told.missing:
        share = words.share(told.missing / told.rows)
        yield Finding(where=told.name, what=f"the target is missing in {share} of the rows", weight=Weight.MEND)
    if told.kind not in CODED:
        return
    counts = frame.get_column(told.name).drop_nulls().value_counts(name="rows")["rows"]
    thin = int((counts < THIN).sum())
    if thin:
        what = f"{thin} of {len(counts)} classes have fewer than {THIN} rows"
        yield Finding(where=told.name, what=what, weight=Weight.LOOK)
    least = float(counts.min()) / float(counts.sum())  # type: ignore[arg-type]
    if len(counts) == 2 and least < LEAST_SHARE:
        what = f"the rarer class is {words.share(least)} of the rows: accuracy will say little"
        yield Finding(where=told.name, what=what, weight=Weight.KNOW)


def _of_columns(looks: Sequence[ColumnLook], suspects: Sequence[Suspect]) -> Iterator[Finding]:
    """Yield what was noticed of single columns; that a column names things is told once."""
    names = {one.name for one in suspects if one.kind == "identifier"}
    for one in looks:
        yield from (f for f in one.findings if one.name not in names or f.weight is not Weight.KNOW)


def _weights(looks: Sequence[ColumnLook], found: Sequence[Tie], target: str | None) -> Iterator[Finding]:
    """Yield whole numbers of which most rows have one of their own and that tell nothing: weights, counters, codes."""
    with_target = {tie.a if tie.b == target else tie.b: abs(tie.value) for tie in found if target in (tie.a, tie.b)}
    for one in looks:
        tie = with_target.get(one.name)
        if one.kind is Kind.INTEGER and tie is not None and one.distinct >= OWN * one.rows and tie < NOTHING:
            yield Finding(
                where=one.name,
                what=f"has {words.counted(one.distinct)} whole numbers in {words.counted(one.rows)} rows and does not "
                "go with the target: is it a weight, a counter or a code?",
                weight=Weight.LOOK,
            )


def _ordered(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda one: ORDER[one.weight]))


def _notes(rows: int, target: str | None, suspects: Sequence[Suspect]) -> Iterator[str]:
    yield (
        "Counts (missing, different values, smallest, largest, quantiles, outliers, copies, what looks personal) are "
        f"of all {words.counted(rows)} rows."
    )
    some = f"{words.counted(min(rows, PAIRS_ROWS))} rows" + (", drawn at random" if rows > PAIRS_ROWS else "")
    yield f"Ties between columns and leaks were looked for in {some}; words in {TEXT_ROWS:,} of them or fewer."
    yield f"Near twins of texts: MinHash, Jaccard similarity {copying.SIMILAR:g}, among {TWIN_ROWS:,} texts or fewer."
    yield (
        f"Ties: {RANKS} of two numbers, {TABLE} (Bergsma 2013) of two categories, {RATIO} (Kelley 1935) of a number "
        f"and a category; the first {MOST_COLUMNS} such columns."
    )
    yield f"Histograms: {BINS} bins from the .5 to the 99.5 % quantile, the rest in the end bins; {BARS} values."
    if target is None:
        yield "No target was named, so no leak, telling word or contradiction could be looked for: --target NAME."
    elif not suspects:
        yield (
            "No column tells the target alone beyond what is usual, none is a name of things. That is no proof: "
            "what is only known after the answer, only people know."
        )
    yield (
        "Personal: e-mail addresses, IBANs and card numbers by their check digits, phone numbers and IP addresses by "
        "their looks, names of fields. Names of people in texts are not recognised."
    )
