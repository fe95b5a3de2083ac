"""Rows in bins and rows of single values, ready to be drawn."""

from __future__ import annotations

import numpy as np
import polars as pl

from mainstay.profiling.records import Plot
from mainstay.stats.intervals import Floats

BINS = 40
BARS = 10
EXACT = 2.0**52
"""Beyond this, halves between whole numbers are no floats."""
TAILS = (0.005, 0.995)
"""A histogram spans these quantiles; what lies beyond is in its end bins."""


def histogram(ordered: Floats) -> Plot:
    """Return rows in equal bins between the TAILS of ascending values; whole numbers of few values get a bin each."""
    low, high = (float(np.quantile(ordered, q)) for q in TAILS)
    whole = bool((ordered == np.floor(ordered)).all())
    if whole and high - low < BINS and max(abs(low), abs(high)) < EXACT:
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
    else:
        low, high = (low, high) if high > low else (low - max(0.5, abs(low) / 2), low + max(0.5, abs(low) / 2))
        edges = np.linspace(low, high, BINS + 1)
    counts, _ = np.histogram(np.clip(ordered, edges[0], edges[-1]), edges)
    beyond = bool(ordered[0] < edges[0] or ordered[-1] > edges[-1])
    named = tuple(repr(float(edge)) for edge in edges)
    return Plot(labels=named, counts=tuple(float(c) for c in counts), ordered=True, ends_open=beyond)


def bars(held: pl.Series) -> Plot:
    """Return the commonest values with their rows, the others together."""
    table = held.cast(pl.String).value_counts(sort=True, name="rows")
    top = table.head(BARS)
    rest = int(table["rows"].sum()) - int(top["rows"].sum())
    labels, counts = [str(v) for v in top.to_series(0).to_list()], [float(c) for c in top["rows"].to_list()]
    if rest:
        labels.append(f"{table.height - top.height} others")
        counts.append(float(rest))
    return Plot(labels=tuple(labels), counts=tuple(counts), ordered=False, last_is_rest=bool(rest))
