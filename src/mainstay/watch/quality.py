"""What a block says about quality without labels, as sums that add up; and a window's estimate from such sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.quality import ReferenceQuality
from mainstay.stats import additive, cbpe
from mainstay.stats.numbering import numbered
from mainstay.watch.window import CONFIDENCE, LABEL, VALUE, Observation

WHOLE, SEGMENTS, REPEATS = "whole", "segments", "repeats"
NEWEST = ("rows", "chance", "right", "columns")
HALF_LIFE = 500.0
"""Rows after which an answer counts half for whether the estimate can be trusted now."""
DOUBT_ROWS = 100.0
OF_SEGMENTS = ("rows", "chance", "right", "loss")
"""Sums that are kept of a segment too: a few numbers each."""


def block_sums(
    rows: Sequence[Observation], reference: ReferenceQuality | None, *, repeats: float = 1.0
) -> dict[str, Any] | None:
    """Return the sums of a block's answers, JSON-ready: of all, and of each segment that the reference knows.

    None where the profile knows nothing of quality. `repeats`: in how many blocks a key comes, on the average.
    """
    if reference is None:
        return None
    needed = VALUE if reference.task == "regression" else CONFIDENCE
    answered = [row for row in rows if needed in row.signals]
    if not answered:
        return None
    keys = numbered(row.key or row.id for row in answered)
    count = _counter(answered, reference, keys)
    parts: dict[str, list[int]] = {}
    for i, row in enumerate(answered):
        for name in row.segments:
            if name in reference.segments:
                parts.setdefault(name, []).append(i)
    segments = {name: count(np.array(index, dtype=np.intp)) for name, index in sorted(parts.items())}
    return {
        WHOLE: cbpe.packed(count(np.arange(len(answered), dtype=np.intp))),
        SEGMENTS: {
            name: cbpe.packed({key: found[key] for key in OF_SEGMENTS if key in found})
            for name, found in segments.items()
        },
        REPEATS: round(repeats, 3),
    }


def _counter(
    rows: Sequence[Observation], reference: ReferenceQuality, keys: NDArray[np.intp]
) -> Callable[[NDArray[np.intp]], cbpe.Sums]:
    """Return what counts some of the rows."""
    columns = None
    if reference.error is not None:
        columns = additive.code(reference.error.steps, [row.signals for row in rows])
    if reference.task == "regression":
        design = np.ones((len(rows), 1)) if columns is None else columns
        return lambda index: cbpe.count_numbers(reference, design[index], keys[index])
    confidence = np.array([float(row.signals[CONFIDENCE]) for row in rows])
    places = {name: i for i, name in enumerate(reference.classes)}
    said = np.array([places.get(str(row.signals.get(LABEL)), -1) for row in rows], dtype=np.intp)
    if reference.task == "binary":
        told = all(row.chances for row in rows)
        score = np.array([row.chances[-1] for row in rows]) if told else np.where(said == 1, confidence, 1 - confidence)
        return lambda index: cbpe.count_binary(
            reference, score[index], said[index] == 1, keys[index], None if columns is None else columns[index]
        )
    told = all(len(row.chances) == len(places) for row in rows) and bool((said >= 0).all())
    chances = np.array([row.chances for row in rows]) if told else None
    return lambda index: cbpe.count_classes(
        reference,
        confidence[index],
        said[index],
        keys[index],
        None if chances is None else chances[index],
        None if columns is None else columns[index],
    )


def fade(newest: Mapping[str, Sequence[float]], sums: Mapping[str, Any] | None) -> dict[str, list[float]]:
    """Return the sums of the newest answers: those of before count half after HALF_LIFE rows, then this block's."""
    if not sums:
        return {name: list(values) for name, values in newest.items()}
    block = cbpe.unpacked({name: sums[WHOLE][name] for name in NEWEST if name in sums[WHOLE]})
    kept = 0.5 ** (float(block["rows"][0]) / HALF_LIFE)
    faded = {name: values * kept for name, values in cbpe.unpacked(newest).items()}
    same = {name: values for name, values in faded.items() if name in block and len(values) == len(block[name])}
    return cbpe.packed(cbpe.add([block, same]))


def doubts(reference: ReferenceQuality | None, newest: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Return what speaks against label-free estimates of the newest answers."""
    if reference is None or not newest or float(newest["rows"][0]) < DOUBT_ROWS:
        return ()
    return cbpe.estimate(reference, cbpe.unpacked(newest)).warnings


def window(blocks: Sequence[Mapping[str, Any]], segment: str = "") -> tuple[cbpe.Sums, float]:
    """Return the added sums of several blocks' `quality` summaries, and in how many of them a key comes."""
    found = [block for block in blocks if block]
    parts = [block.get(SEGMENTS, {}).get(segment, {}) if segment else block[WHOLE] for block in found]
    sums = cbpe.add([cbpe.unpacked(part) for part in parts if part])
    repeats = max((float(block.get(REPEATS, 1.0)) for block in found), default=1.0)
    return sums, min(max(repeats, 1.0), max(len(found), 1))
