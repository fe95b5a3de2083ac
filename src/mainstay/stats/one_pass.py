"""What two samples in one order tell of each other, in one pass over blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.differences import Moments
from mainstay.stats.intervals import Floats

BLOCK = 8_192
"""Values at once: what is made of them on the way (64 kB each) is never written to memory. Products of vectors of this
length are also short enough for a linear-algebra library to leave them to one thread."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen on the way."""

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


@dataclass(slots=True, kw_only=True)
class _Law:
    """The running difference of two empirical laws: in whole numbers, which floats hold exactly below 2**53."""

    rise: float
    """Added for each row: rows of the second sample."""
    fall: float
    """Taken off for each row of the second sample: rows of both."""
    total: float = 0.0
    peak: int = 0
    size: float = -1.0
    excess: float = 0.0

    def follow(self, from_b: Floats, counts: Floats | None) -> Floats:
        """Return the excess after each row of a block, where only rows that `counts` (0 or 1) count."""
        moves = from_b * -self.fall
        moves += self.rise
        if counts is not None:
            moves *= counts
        excess = np.cumsum(moves, out=moves)
        excess += self.total
        self.total = float(excess[-1])
        return excess

    def note(self, excess: Floats, size: Floats, start: int) -> None:
        """Keep the first of the largest sizes, which are 0 where they do not count."""
        place = int(size.argmax())
        if size[place] > self.size:
            self.peak, self.size, self.excess = start + place, float(size[place]), float(excess[place])


def look(values: Floats, from_b: Mask, half: Mask | None) -> Look:
    """Return what ascending values tell, `from_b` saying of which sample and `half` of which half each is."""
    n, n_b = len(values), int(np.count_nonzero(from_b))
    whole = _Law(rise=float(n_b), fall=float(n))
    halves = () if half is None else _halves(from_b, half)
    if 0 < n_b < n and bool((values[1:] > values[:-1]).all()):
        return _without_ties(values, from_b, half if halves else None, whole)
    area, level, parts = 0.0, 0.0, []
    for start in range(0, n, BLOCK):
        steps = np.diff(values[start : start + BLOCK + 1])
        if start + BLOCK >= n:
            steps = np.append(steps, 0.0)
        ends = steps > 0.0
        of_b = from_b[start : start + BLOCK].astype(np.float64)
        excess = whole.follow(of_b, None)
        size = np.abs(excess)
        area += float(size @ steps)
        size *= ends
        whole.note(excess, size, start)
        if half is not None and halves:
            in_half = half[start : start + BLOCK].astype(np.float64)
            for law in halves:
                own = law.follow(of_b, in_half)
                law.note(own, np.abs(own) * ends, start)
                np.subtract(1.0, in_half, out=in_half)
        rises = np.sign(excess, out=excess)
        rises *= -steps
        part, level = _potential(rises, of_b, level)
        parts.append(part)
    return Look(
        peak=whole.peak,
        size=max(0.0, whole.size),
        area=area,
        half_peaks=tuple((law.peak, law.excess) for law in halves),
        potential=_merged(np.array(parts)),
    )


def _without_ties(values: Floats, from_b: Mask, half: Mask | None, whole: _Law) -> Look:
    """Return the look where no two values are equal: then a law peaks beside a row of the second sample.

    So that only those rows are looked at for the peaks, and the blocks give the rest.
    """
    peak, excess = _peak_at(np.flatnonzero(from_b), len(values))
    peaks = []
    for own in () if half is None else (half, ~half):
        rows = np.flatnonzero(own)
        place, size = _peak_at(np.flatnonzero(from_b[rows]), len(rows))
        peaks.append((int(rows[place]), size))
    area, level, parts = 0.0, 0.0, []
    for start in range(0, len(values), BLOCK):
        of_b = from_b[start : start + BLOCK].astype(np.float64)
        steps = np.diff(values[start : start + BLOCK + 1])
        if start + BLOCK >= len(values):
            steps = np.append(steps, 0.0)
        gap = whole.follow(of_b, None)
        signs = np.sign(gap)
        area += float(gap @ (signs * steps))
        part, level = _potential(signs * -steps, of_b, level)
        parts.append(part)
    return Look(peak=peak, size=abs(excess), area=area, half_peaks=tuple(peaks), potential=_merged(np.array(parts)))


def _peak_at(places: NDArray[np.intp], rows: int) -> tuple[int, float]:
    """Return the first place of the largest gap and its signed size, from where the second sample's rows are.

    The gap rises with every row of the first sample, so that it is highest just before a row of the second (n_b i − n j
    before the j-th at place i) and lowest just after one.
    """
    of_b = len(places)
    before = of_b * places.astype(np.int64) - rows * np.arange(of_b)
    high, low = int(before.argmax()), int(before.argmin())
    top, bottom = int(before[high]), int(before[low]) + of_b - rows
    above, below = int(places[high]) - 1, int(places[low])
    if top > -bottom or (top == -bottom and above < below):
        return above, float(top)
    return below, float(bottom)


def _halves(from_b: Mask, half: Mask) -> tuple[_Law, ...]:
    laws = []
    for own in (half, ~half):
        rows, of_b = int(np.count_nonzero(own)), int(np.count_nonzero(own & from_b))
        if of_b in (0, rows):
            return ()
        laws.append(_Law(rise=float(of_b), fall=float(rows)))
    return tuple(laws)


def _potential(rises: Floats, of_b: Floats, level: float) -> tuple[tuple[float, ...], float]:
    """Return (rows, mean, Σ of squares about it) of the potential for both samples in a block, and where it leads.

    The potential's slope is −sign(F_a − F_b). Within a block it is counted from its start, so that squares stay small.
    """
    h = np.empty(len(rises))
    h[0] = 0.0
    np.cumsum(rises[:-1], out=h[1:])
    after = level + float(h[-1]) + float(rises[-1])
    in_b = h * of_b
    k_b, s_b, q_b = float(of_b.sum()), float(in_b.sum()), float(in_b @ h)
    out: list[float] = []
    for k, s, q in ((len(h) - k_b, float(h.sum()) - s_b, float(h @ h) - q_b), (k_b, s_b, q_b)):
        mean = s / k if k else 0.0
        out += [k, level + mean, max(0.0, q - s * mean)]
    return tuple(out), after


def _merged(parts: Floats) -> tuple[Moments, Moments]:
    """Return rows, mean and variance of each sample from those of its blocks (Chan, Golub, LeVeque 1983)."""
    out = []
    for rows, means, squares in (parts[:, :3].T, parts[:, 3:].T):
        n = float(rows.sum())
        if n == 0:
            out.append((0, math.nan, math.inf))
            continue
        mean = float(rows @ means) / n
        about = float(squares.sum() + rows @ (means - mean) ** 2)
        out.append((int(n), mean, about / (n - 1.0) if n > 1 else math.inf))
    return out[0], out[1]
