"""What two samples in one order tell of each other: from where the second one's rows are, or from how often each value
comes where values are tied."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.differences import Moments, moments_of
from mainstay.stats.intervals import Floats

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen."""

    peak: int
    """Place after which n_a n_b |F_a − F_b| is largest, among those where the next value is larger."""
    size: float
    """... and how large it is there: a whole number; 0 where all values are equal."""
    area: float
    """Σ of n_a n_b |F_a − F_b| times the step to the next value."""
    half_peaks: tuple[tuple[int, float], ...]
    """The same place for each half of the rows alone, those of `half` first, and the signed size; empty: no halves, or
    one that lacks a sample."""
    potential: tuple[Moments, Moments]
    """Rows, mean and variance (ddof 1) of Kantorovich's potential over each sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Equal values of a pooled order, taken together."""

    starts: Places
    """Place of the first one of each."""
    sizes: Places
    in_b: Places
    """How many of each are of the second sample."""


def groups_of(ends: Mask, from_b: Mask) -> Groups:
    """Return the groups of equal values; `ends` says for each value but the last whether the next one is larger."""
    n = len(from_b)
    starts = np.concatenate(([0], np.flatnonzero(ends) + 1))
    upto = np.flatnonzero(from_b)
    firsts = np.searchsorted(upto, starts)
    return Groups(starts=starts, sizes=np.diff(starts, append=n), in_b=np.diff(firsts, append=len(upto)))


def without_ties(a: Floats, b: Floats, places: Places, half: Mask | None) -> Look:
    """Return the look of two ascending samples of which no two values are equal, `places` where those of `b` are.

    A law peaks beside a row of the second sample, so that only those are looked at for the peaks. Between two places
    where F_a − F_b changes its sign the potential is a straight line, and there are about √n of these: it is written
    down from them at once. W₁ is then the difference of its means.
    """
    n = len(a) + len(b)
    before = _gaps_before(places, n)
    peak, excess = _peak_of(places, before, n)
    ours, theirs = (moments_of(h) for h in _lines(a, b, places, before))
    area = max(0.0, ours[1] - theirs[1]) * len(a) * len(b) if len(a) and len(b) else 0.0
    peaks = () if half is None else _half_peaks(places, half)
    return Look(peak=peak, size=abs(excess), area=area, half_peaks=peaks, potential=(ours, theirs))


def _gaps_before(places: Places, rows: int) -> Places:
    """Return n_a n_b (F_a − F_b) just before each row of the second sample: n_b i − n j before the j-th at place i."""
    before = places * len(places)
    before -= np.arange(0, rows * len(places), rows)
    return before


def _peak_of(places: Places, before: Places, rows: int) -> tuple[int, float]:
    """Return the first place of the largest gap and its signed size.

    The gap rises with every row of the first sample, so that it is highest just before a row of the second and lowest
    just after one.
    """
    of_b = len(places)
    high, low = int(before.argmax()), int(before.argmin())
    top, bottom = int(before[high]), int(before[low]) + of_b - rows
    above, below = int(places[high]) - 1, int(places[low])
    if top > -bottom or (top == -bottom and above < below):
        return above, float(top)
    return below, float(bottom)


def _half_peaks(places: Places, half: Mask) -> tuple[tuple[int, float], ...]:
    """Return the peak of each half; none where a half lacks a sample."""
    upto = np.cumsum(half, dtype=np.intp)
    with_b, own = half[places], int(upto[-1])
    out = []
    for in_half, rows in ((True, own), (False, len(half) - own)):
        mine = places[np.flatnonzero(with_b if in_half else ~with_b)]
        if len(mine) in (0, rows):
            return ()
        # The place of each among the rows of its half; the rows before it that are of the other one are left out.
        rank = upto[mine] - 1 if in_half else mine - upto[mine]
        found, size = _peak_of(rank, _gaps_before(rank, rows), rows)
        out.append((_row_of(found, upto, in_half=in_half), size))
    return tuple(out)


def _row_of(rank: int, upto: Places, *, in_half: bool) -> int:
    """Return the place of a half's row of that rank; `upto` counts the rows that are in the half `half`."""
    if in_half:
        return int(np.searchsorted(upto, rank + 1))
    return bisect_left(range(len(upto)), rank + 1, key=lambda place: place + 1 - int(upto[place]))


def _lines(a: Floats, b: Floats, places: Places, before: Places) -> tuple[Floats, Floats]:
    """Return Kantorovich's potential of both samples: its slope is −sign(F_a − F_b)."""
    n_a, n_b = len(a), len(b)
    cuts, of_b = _cuts(places, before, n_a)
    of_a = cuts - of_b
    # The value at each cut is the second sample's where its next row is there.
    at_b = np.append(places, -1)[of_b] == cuts
    middle = float(a[n_a // 2]) if n_a else 0.0
    at = np.where(at_b, b[np.minimum(of_b, n_b - 1)], a[np.minimum(of_a, n_a - 1)]) - middle
    signs = np.sign(n_b * (of_a + ~at_b) - n_a * (of_b + at_b)).astype(np.float64)
    levels = np.zeros(len(cuts))
    np.cumsum(-signs[:-1] * np.diff(at), out=levels[1:])
    levels += signs * at
    out = []
    for side, firsts in ((a, of_a), (b, of_b)):
        counts = np.diff(firsts, append=len(side))
        h = side - middle
        h *= np.repeat(-signs, counts)
        h += np.repeat(levels, counts)
        out.append(h)
    return out[0], out[1]


def _cuts(places: Places, before: Places, n_a: int) -> tuple[Places, Places]:
    """Return places, the first one 0, between which sign(F_a − F_b) stays, and the second sample's rows before each.

    The gap falls by n_a at a row of the second sample and rises by n_b at the others, up to the next one: it changes
    its sign at such a row, or at the rows between where it comes to nought and above.
    """
    n_b = len(places)
    low, high = before <= n_a, np.append(before >= 0, True)
    some = np.flatnonzero(low & (high[:-1] | high[1:]))
    rows = places[some]
    up = rows + np.maximum(0, -(-(n_a - before[some]) // n_b))
    found = np.sort(np.concatenate(([0], rows, up, up + 1)))
    found = found[np.append(True, found[1:] != found[:-1]) & (found < n_a + n_b)]
    return found, np.searchsorted(places, found)


def with_ties(values: Floats, from_b: Mask, half: Mask | None, groups: Groups) -> Look:
    """Return the look of ascending values of which some are equal, `groups` saying which."""
    n, n_b, starts = len(values), int(groups.in_b.sum()), groups.starts
    lasts = np.append(starts[1:], n) - 1
    excess = np.cumsum(n_b * groups.sizes - n * groups.in_b)
    peak, gap = _peak_among(excess, lasts)
    distinct = values[starts]
    steps = np.diff(distinct)
    h = np.zeros(len(distinct))
    np.cumsum(-np.sign(excess[:-1]) * steps, out=h[1:])
    return Look(
        peak=peak,
        size=abs(gap),
        area=float((np.abs(excess[:-1]) * steps).sum()),
        half_peaks=() if half is None else _tied_half_peaks(from_b, half, groups, lasts),
        potential=(_weighted(h, groups.sizes - groups.in_b), _weighted(h, groups.in_b)),
    )


def _peak_among(excess: Places, lasts: Places) -> tuple[int, float]:
    """Return the first place of the largest gap and its signed size; after the last value there is none."""
    if len(excess) == 1:
        return int(lasts[0]), 0.0
    place = int(np.abs(excess[:-1]).argmax())
    return int(lasts[place]), float(excess[place])


def _tied_half_peaks(from_b: Mask, half: Mask, groups: Groups, lasts: Places) -> tuple[tuple[int, float], ...]:
    which = np.repeat(np.arange(0, 4 * len(lasts), 4), groups.sizes)
    which += from_b
    which += half.view(np.uint8) << 1
    counts = np.bincount(which, minlength=4 * len(lasts)).reshape(-1, 4)
    out = []
    for of_a, of_b in ((counts[:, 2], counts[:, 3]), (counts[:, 0], counts[:, 1])):
        sizes, second = of_a + of_b, int(of_b.sum())
        if second in (0, int(sizes.sum())):
            return ()
        out.append(_peak_among(np.cumsum(second * sizes - int(sizes.sum()) * of_b), lasts))
    return tuple(out)


def _weighted(values: Floats, counts: Places) -> Moments:
    """Return rows, mean and variance (ddof 1) of values that come so often."""
    n = int(counts.sum())
    if n == 0:
        return 0, math.nan, math.inf
    mean = float((values * counts).sum()) / n
    about = float(((values - mean) ** 2 * counts).sum())
    return n, mean, about / (n - 1.0) if n > 1 else math.inf
