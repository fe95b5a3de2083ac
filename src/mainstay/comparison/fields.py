"""One field at a time: what each kind of column is asked, and the small plot beside the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison import distinct, words
from mainstay.comparison.aspects import Asked, Samples, beyond_aspect, mix_aspect, scale, share_aspect, values_aspect
from mainstay.comparison.kinds import Column
from mainstay.comparison.records import Aspect, Bars, Kind
from mainstay.comparison.texts import text_measures
from mainstay.comparison.units import Mask
from mainstay.stats import mixes, two_sample
from mainstay.stats.differences import Codes, Difference, mean_difference, moments_difference
from mainstay.stats.intervals import Floats

BINS = 24
EDGE = 0.005
"""The plot of numbers shows all but so much on either end; what lies beyond is in the last bars."""
MOST_BARS = 8
MOST_NEW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The whole column on both sides, where only a sample is tested."""

    a: pl.Series
    b: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one field, not yet judged."""

    column: Column
    aspects: tuple[Aspect, ...] = ()
    numbers: dict[str, Any]
    notes: tuple[str, ...] = ()
    bars: Bars | None = None
    features: dict[str, tuple[Floats, Floats]]
    """What a classifier over all fields sees of it (NaN: missing)."""
    surprises: Mask | None = None
    """For each current row whether it holds something that the reference never held here; None: no row does."""


def measure(column: Column, whole: Whole, asked: Asked) -> Measured:
    """Return what is to be known about one field. Identifiers and times are described, not tested."""
    if column.changed_from is not None:
        return Measured(column=column, numbers={}, features={})
    own = _BY_KIND[column.kind](column, whole, asked)
    missing = _missing(column, whole, asked)
    surprises = own.surprises
    if column.a.null_count() == 0 and column.b.null_count():
        newly = gaps(column.b)
        surprises = newly if surprises is None else surprises | newly
    return Measured(
        column=column,
        aspects=(*own.aspects, *missing[0]),
        numbers={**own.numbers, **missing[1]},
        notes=own.notes,
        bars=own.bars,
        features=own.features,
        surprises=surprises,
    )


def gaps(cells: pl.Series) -> Mask:
    """Return for each cell whether it is missing."""
    return cells.is_null().to_numpy() if cells.null_count() else np.zeros(len(cells), dtype=np.bool_)


def _missing(column: Column, whole: Whole, asked: Asked) -> tuple[list[Aspect], dict[str, Any]]:
    """Return how many cells are missing, and how many are not of the field's kind."""
    numbers = {
        "missing_reference": whole.a.null_count() / len(whole.a),
        "missing_current": whole.b.null_count() / len(whole.b),
    }
    a, b = gaps(column.a), gaps(column.b)
    if column.spoiled == (0, 0):
        return ([share_aspect("missing", a, b, asked, called="missing")] if a.any() or b.any() else []), numbers
    numbers["unreadable_reference"] = column.spoiled[0] / len(a)
    numbers["unreadable_current"] = column.spoiled[1] / len(b)
    called = f"missing or no {column.kind}"
    return [share_aspect("missing", a, b, asked, called=called)], numbers


def _numbers(column: Column, whole: Whole, asked: Asked) -> Measured:
    a, b = as_floats(column.a), as_floats(column.b)
    samples = Samples.of(a, b, asked)
    if samples is None:
        return Measured(column=column, numbers={}, features={column.name: (a, b)})
    pooled = samples.pooled
    beyond = beyond_aspect(samples)
    return Measured(
        column=column,
        aspects=(values_aspect("values", samples), *([beyond] if beyond is not None else [])),
        numbers=_number_figures(samples, whole),
        bars=histogram(pooled.a, pooled.b, whole_numbers=column.kind is Kind.INTEGER),
        features={column.name: (a, b)},
        surprises=(b > pooled.a[-1]) | (b < pooled.a[0]) if pooled.from_b[0] or pooled.from_b[-1] else None,
        notes=_constant_note(samples.a, samples.b),
    )


def _constant_note(a: Floats, b: Floats) -> tuple[str, ...]:
    of_a, of_b = bool(a[0] == a[-1] and (a == a[0]).all()), bool(b[0] == b[-1] and (b == b[0]).all())
    if of_a and of_b:
        return (f"one value on each side: {words.number(float(a[0]))} and {words.number(float(b[0]))}",)
    if of_b:
        return (f"every current value is {words.number(float(b[0]))}",)
    if of_a:
        return (f"every value of the reference is {words.number(float(a[0]))}",)
    return ()


def _number_figures(samples: Samples, whole: Whole) -> dict[str, Any]:
    pooled, (before, now) = samples.pooled, samples.moments
    apart, sigma = two_sample.distances_of(pooled), scale(before)
    index, bins = two_sample.psi_of_sorted(pooled.a, pooled.b)
    figures: dict[str, Any] = {
        "mean_reference": before[1],
        "mean_current": now[1],
        "sd_reference": sigma,
        "sd_current": scale(now),
        "median_reference": _quantile(pooled.a, 0.5),
        "median_current": _quantile(pooled.b, 0.5),
        "ks_distance": apart.ks,
        "ks_at": apart.at,
        "psi": index,
        "psi_bins": bins,
        "psi_rule": f"{bins} bins between the reference's deciles, half a row added to each",
        "psi_by_chance": (bins - 1) * (1.0 / before[0] + 1.0 / now[0]),
    }
    if sigma > 0:
        moved = _moved(samples)
        figures["wasserstein_sigma"] = apart.wasserstein / sigma
        figures["wasserstein_sigma_low"] = max(0.0, moved.low / sigma)
        figures["wasserstein_sigma_high"] = moved.high / sigma
    for side, cells in (("reference", whole.a), ("current", whole.b)):
        read = cells if cells.dtype.is_numeric() else cells.cast(pl.Float64, strict=False)
        figures[f"min_{side}"], figures[f"max_{side}"] = _limit(read.min()), _limit(read.max())
    return figures


def _moved(samples: Samples) -> Difference:
    """Return the Wasserstein distance as a difference of means, with its interval."""
    keys = samples.asked.units.keys
    if keys is None:
        ours, theirs = two_sample.potential_moments(samples.pooled)
        return moments_difference(theirs, ours)
    of_a, of_b = two_sample.potentials(samples.pooled)
    return mean_difference(of_b, of_a, keys=(keys[1], keys[0]))


def _limit(value: Any) -> float | None:
    return None if value is None else float(value)


def as_floats(cells: pl.Series) -> Floats:
    """Return a column of numbers as floats, missing and infinite ones as NaN."""
    out = cells.cast(pl.Float64).to_numpy()
    infinite = np.isinf(out)
    return np.where(infinite, np.nan, out) if infinite.any() else out


def _quantile(ordered: Floats, share: float) -> float:
    """Return a quantile of values in ascending order, between two of them by a straight line (Hyndman, Fan type 7)."""
    place = share * (len(ordered) - 1)
    low = int(place)
    return float(ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (place - low))


def histogram(a: Floats, b: Floats, *, whole_numbers: bool) -> Bars:
    """Return shares of both sides, in ascending order, over equal bins that hold all but the ends of both."""
    limits = [_quantile(side, q) for side in (a, b) for q in (EDGE, 1.0 - EDGE)]
    low, high = min(limits), max(limits)
    ends_open = bool(min(a[0], b[0]) < low or max(a[-1], b[-1]) > high)
    if low == high:
        low, high = low - 0.5, high + 0.5
    if whole_numbers:
        width = max(1.0, np.ceil((high - low + 1) / BINS))
        edges = np.arange(low - 0.5, high + 0.5 + width, width)
    else:
        edges = np.linspace(low, high, BINS + 1)
    shares = []
    for side in (a, b):
        counts = np.diff(np.searchsorted(side, edges[1:-1], side="left"), prepend=0, append=len(side))
        shares.append(tuple(float(c) for c in counts / len(side)))
    return Bars(
        labels=tuple(f"{edge:.17g}" for edge in edges),
        reference=shares[0],
        current=shares[1],
        numeric=True,
        ends_open=ends_open,
    )


def _categories(column: Column, whole: Whole, asked: Asked) -> Measured:
    held_a, held_b = ~gaps(column.a), ~gaps(column.b)
    table, codes_a, codes_b = distinct.placed(column.a, column.b, column.different)
    place = {value: number for number, value in enumerate(table.to_list())}
    features = {column.name: (_with_gaps(codes_a, held_a), _with_gaps(codes_b, held_b))}
    if not held_a.any() or not held_b.any():
        return Measured(column=column, numbers={}, features=features)
    code_a, code_b = codes_a[held_a], codes_b[held_b]
    size = len(table)
    count_a = np.bincount(code_a, minlength=size).astype(np.float64)
    count_b = np.bincount(code_b, minlength=size).astype(np.float64)
    share_a, share_b = count_a / count_a.sum(), count_b / count_b.sum()
    new, gone, new_share = _new_values(column, whole, table, count_a, count_b)
    unseen = np.zeros(size + 1, dtype=np.bool_)
    unseen[[place[value] for value in new if value in place]] = True
    numbers: dict[str, Any] = {
        "values_reference": int((count_a > 0).sum()),
        "values_current": int((count_b > 0).sum()),
        "chi_square": mixes.chi_square(count_a, count_b),
        "g": mixes.log_likelihood(count_a, count_b),
        "jensen_shannon": mixes.jensen_shannon(count_a, count_b),
        "total_variation": mixes.total_variation(count_a, count_b),
        "psi": two_sample.psi_of_counts(count_a + two_sample.PSI_ADDED, count_b + two_sample.PSI_ADDED),
        "psi_rule": "one bin for each value, half a row added to each",
        "new_values": new[:MOST_NEW],
        "new_values_number": len(new),
        "new_values_share": new_share,
        "gone_values": gone[:MOST_NEW],
        "gone_values_number": len(gone),
    }
    return Measured(
        column=column,
        aspects=(mix_aspect(code_a, code_b, asked.where(held_a, held_b), says=_biggest(table, share_a, share_b)),),
        numbers=numbers,
        notes=_new_notes(new, gone, new_share),
        bars=_category_bars(table, share_a, share_b),
        features=features,
        surprises=held_b & unseen[np.where(held_b, codes_b, size)],
    )


def _with_gaps(codes: Codes, held: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats:
    return np.where(held, codes.astype(np.float64), np.nan)


def _new_values(
    column: Column, whole: Whole, table: pl.Series, count_a: Floats, count_b: Floats
) -> tuple[list[str], list[str], float]:
    """Return values of the current rows only (most frequent first), of the reference only, and the rows' share."""
    if all(_is_whole(*sides) for sides in ((column.a, whole.a), (column.b, whole.b))):
        found = []
        for mine, other in ((count_b, count_a), (count_a, count_b)):
            only = np.flatnonzero((mine > 0) & (other == 0))
            found.append(only[np.argsort(-mine[only], kind="stable")])
        names = [[table[int(place)] for place in places] for places in found]
        return names[0], names[1], float(count_b[found[0]].sum() / count_b.sum())
    known_a, known_b = (side.unique().cast(pl.String).drop_nulls() for side in (whole.a, whole.b))
    new = _often(whole.b, known_b.filter(~known_b.is_in(known_a.implode())))
    gone = _often(whole.a, known_a.filter(~known_a.is_in(known_b.implode())))
    total = len(whole.b) - whole.b.null_count()
    return [value for value, _ in new], [value for value, _ in gone], sum(n for _, n in new) / total if total else 0.0


def _is_whole(tested: pl.Series, whole: pl.Series) -> bool:
    """Return whether the tested cells are all there are, as they are."""
    return len(tested) == len(whole) and tested.dtype == whole.dtype and tested.null_count() == whole.null_count()


def _often(cells: pl.Series, some: pl.Series) -> list[tuple[str, int]]:
    """Return how often some values come, the most frequent first; usually there are none, and it costs nothing."""
    if not len(some):
        return []
    read = cells.cast(pl.String)
    counts = read.filter(read.is_in(some.implode())).value_counts(sort=True)
    return list(zip(counts.to_series(0).to_list(), counts.to_series(1).to_list(), strict=True))


def _new_notes(new: list[str], gone: list[str], share: float) -> tuple[str, ...]:
    notes = []
    if new:
        shown = words.listed([words.short(value, 24) for value in new], 4)
        notes.append(f"{len(new)} new value{'s' * (len(new) > 1)} in {words.share(share)} of the current rows: {shown}")
    if gone:
        shown = words.listed([words.short(value, 24) for value in gone], 4)
        notes.append(f"{len(gone)} value{'s' * (len(gone) > 1)} no longer seen: {shown}")
    return tuple(notes)


def _biggest(table: pl.Series, share_a: Floats, share_b: Floats) -> str:
    order = np.argsort(-np.abs(share_b - share_a), kind="stable")[:2]
    parts = [
        f"{words.short(table[int(i)], 24)}: {words.share(share_a[i])} → {words.share(share_b[i])}"
        for i in order
        if share_a[i] != share_b[i]
    ]
    return "; ".join(parts) or "the same shares"


def _category_bars(table: pl.Series, share_a: Floats, share_b: Floats) -> Bars:
    """Return the most frequent values and those that moved most; the rest as one."""
    weight = np.maximum(share_a, share_b) + 2.0 * np.abs(share_b - share_a)
    kept = np.sort(np.argsort(-weight, kind="stable")[:MOST_BARS])
    numerals = [table[int(i)].removeprefix("-").isdecimal() for i in kept]
    # Codes stand in their own order, words by how frequent they are.
    rank = [int(table[int(i)]) for i in kept] if all(numerals) else -np.maximum(share_a, share_b)[kept]
    kept = kept[np.argsort(np.asarray(rank), kind="stable")]
    labels = [words.short(table[int(i)], 28) for i in kept]
    ours, theirs = [float(share_a[i]) for i in kept], [float(share_b[i]) for i in kept]
    if len(table) > MOST_BARS:
        labels.append(f"{len(table) - MOST_BARS} others")
        ours.append(max(0.0, 1.0 - sum(ours)))
        theirs.append(max(0.0, 1.0 - sum(theirs)))
    rest = len(table) > MOST_BARS
    return Bars(labels=tuple(labels), reference=tuple(ours), current=tuple(theirs), numeric=False, last_is_rest=rest)


def _texts(column: Column, whole: Whole, asked: Asked) -> Measured:
    del whole
    found = text_measures(column.a, column.b, asked)
    lengths = found.features[0][1]
    bars = (
        histogram(*(np.sort(side[np.isfinite(side)]) for side in lengths), whole_numbers=True)
        if np.isfinite(lengths[0]).any() and np.isfinite(lengths[1]).any()
        else None
    )
    return Measured(
        column=column,
        aspects=found.aspects,
        numbers=found.numbers,
        notes=found.notes,
        bars=bars,
        features={f"{column.name} ({name})": values for name, values in found.features},
    )


def _times(column: Column, whole: Whole, asked: Asked) -> Measured:
    """Describe when the rows are from: range and rate. That time went on is no drift."""
    del whole, asked
    numbers: dict[str, Any] = {}
    spans = []
    for side, cells in (("reference", column.a), ("current", column.b)):
        first, last = cells.min(), cells.max()
        numbers[f"first_{side}"], numbers[f"last_{side}"] = first, last
        if first is None or last is None:
            spans.append("no times")
            continue
        days = (last - first).total_seconds() / 86400.0  # type: ignore[operator, union-attr]
        held = len(cells) - cells.null_count()
        rate = held / days if days > 0 else None
        numbers[f"rows_per_day_{side}"] = rate
        pace = "" if rate is None else f", {words.number(rate)} rows a day"
        spans.append(f"{words.moment(first)} to {words.moment(last)}{pace}")  # type: ignore[arg-type]
    return Measured(
        column=column,
        numbers=numbers,
        notes=(f"{spans[0]} → {spans[1]}", "time moving on is no drift: only range and rate are shown"),
        features={},
    )


def _names(column: Column, whole: Whole, asked: Asked) -> Measured:
    del asked
    a, b = whole.a.cast(pl.String).drop_nulls(), whole.b.cast(pl.String).drop_nulls()
    known = a.unique().implode()
    seen = float(b.is_in(known).mean() or 0.0) if len(b) else 0.0  # type: ignore[arg-type]
    numbers = {"values_reference": a.n_unique(), "values_current": b.n_unique(), "seen_share": seen}
    why = f" ({column.why})" if column.why else ""
    return Measured(
        column=column,
        numbers=numbers,
        notes=(
            f"an identifier{why}: it differs by nature and is not compared; "
            f"{words.share(seen)} of the current values are in the reference too",
        ),
        features={},
    )


def _nothing(column: Column, whole: Whole, asked: Asked) -> Measured:
    del whole, asked
    return Measured(column=column, numbers={}, notes=("empty on both sides",), features={})


_BY_KIND: dict[Kind, Callable[[Column, Whole, Asked], Measured]] = {
    Kind.NUMBER: _numbers,
    Kind.INTEGER: _numbers,
    Kind.CATEGORY: _categories,
    Kind.BOOLEAN: _categories,
    Kind.TEXT: _texts,
    Kind.TIMESTAMP: _times,
    Kind.IDENTIFIER: _names,
    Kind.EMPTY: _nothing,
}
