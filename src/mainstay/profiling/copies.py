"""Rows and texts that are the same, or nearly the same, as others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mainstay.comparison.records import Kind
from mainstay.profiling.records import Seen
from mainstay.profiling.samples import NUMBERS, Rows
from mainstay.stats import minhash

SIMILAR = 0.8
"""Jaccard similarity of shingles from which on two texts are near twins."""
STEP = 0.01
"""Numbers are rounded to so many standard deviations of the training rows."""
MOST_PAIRS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Texts of one side that have a near twin on the other."""

    rows: int
    """Texts that were looked at."""
    same: int
    """Those that are equal to one of the other side after normalisation."""
    near: int
    """Those with a near twin (the same ones included)."""
    pairs: tuple[tuple[int, int, float], ...]
    """Row of the other side, row of this side, similarity; the most similar that are not the same first."""


def exact(frame: pl.DataFrame) -> int:
    """Return how many rows are copies of an earlier row; by a 64-bit hash of each row."""
    return frame.height - frame.hash_rows().n_unique() if frame.width else 0


def conflicting(inputs: pl.DataFrame, truth: pl.Series) -> int:
    """Return how many rows have the same inputs as a row with another target."""
    if not inputs.width:
        return 0
    table = pl.DataFrame({"x": inputs.hash_rows(), "y": truth})
    groups = table.group_by("x").agg(pl.col("y").n_unique().alias("targets"), pl.len().alias("rows"))
    return int(groups.filter(pl.col("targets") > 1)["rows"].sum())


def normalised(texts: pl.Series) -> pl.Series:
    """Return texts in small letters of compatible form (NFKC), without signs, with single spaces."""
    plain = texts.str.normalize("NFKC").str.to_lowercase()
    return plain.str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()


def twins(others: pl.Series, texts: pl.Series | None, *, seed: int = 0) -> Twins:
    """Return which `texts` have a near twin among the `others`; None: which of the others have one among themselves.

    Candidates by MinHash of 5-byte shingles of the normalised texts (Broder 1997), kept where the Jaccard similarity
    that is then computed is SIMILAR or more. Blank texts are no twins.
    """
    theirs = normalised(others)
    mine = theirs if texts is None else normalised(texts)
    a, b = _held(theirs), _held(mine)
    if not len(a) or not len(b):
        return Twins(rows=len(b), same=0, near=0, pairs=())
    left, right = theirs[a].to_list(), mine[b].to_list()
    # Each different text once: many equal ones would fill every bucket.
    first: dict[str, int] = {}
    count: dict[str, int] = {}
    for i, text in enumerate(left):
        first.setdefault(text, i)
        count[text] = count.get(text, 0) + 1
    same = {text for text in right if (count.get(text, 0) > 1 if texts is None else text in first)}
    distinct, asked = list(first), list(dict.fromkeys(right))
    found = _near(distinct, asked, itself=texts is None, seed=seed)
    near = same | set(found)
    where = {text: i for i, text in reversed(list(enumerate(right)))}
    pairs = [
        (int(a[first[twin]]), int(b[where[text]]), similar)
        for text, (twin, similar) in found.items()
        if text not in same
    ]
    pairs.sort(key=lambda pair: -pair[2])
    return Twins(
        rows=len(b),
        same=sum(text in same for text in right),
        near=sum(text in near for text in right),
        pairs=tuple(pairs),
    )


def _held(texts: pl.Series) -> Rows:
    return np.flatnonzero((texts.fill_null("") != "").to_numpy())


def _near(others: Sequence[str], texts: Sequence[str], *, itself: bool, seed: int) -> dict[str, tuple[str, float]]:
    """Return for each text with a near twin the most similar one."""
    ours, theirs = [one.encode() for one in texts], [one.encode() for one in others]
    signed = minhash.signatures(theirs, seed=seed)
    pairs = minhash.candidates(signed, signed if itself else minhash.signatures(ours, seed=seed))
    if itself:
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    found: dict[str, tuple[str, float]] = {}
    shingles: dict[tuple[bool, int], minhash.Hashes] = {}
    for i, j in pairs[:MOST_PAIRS].tolist():
        sides = []
        for side, number, pool in ((True, i, theirs), (False, j, ours)):
            if (side, number) not in shingles:
                shingles[side, number] = minhash.shingles_of(pool[number])
            sides.append(shingles[side, number])
        similar = minhash.jaccard(sides[0], sides[1])
        if similar >= SIMILAR and similar > found.get(texts[j], ("", 0.0))[1]:
            found[texts[j]] = (others[i], similar)
    return found


def rounded(columns: Sequence[Seen], like: Sequence[Seen]) -> pl.Series:
    """Return one hash for each row: numbers rounded to STEP standard deviations of `like`, texts normalised.

    Rows whose hashes are equal are near twins. Identifiers and times are left out: they differ in any copy.
    """
    parts = {}
    for number, (one, model) in enumerate(zip(columns, like, strict=True)):
        if one.kind in NUMBERS:
            spread = float(model.cells.cast(pl.Float64).std() or 0.0) or 1.0  # type: ignore[arg-type]
            parts[str(number)] = (one.cells.cast(pl.Float64) / (STEP * spread)).round()
        elif one.kind in (Kind.CATEGORY, Kind.TEXT):
            parts[str(number)] = normalised(one.cells.cast(pl.String))
        elif one.kind is Kind.BOOLEAN:
            parts[str(number)] = one.cells
    height = len(columns[0].cells) if columns else 0
    if not parts:
        return pl.Series([None] * height, dtype=pl.UInt64)
    return pl.DataFrame(parts).hash_rows()
