"""Window effects: how much more the means of windows vary than their rows alone explain, at every length of window.

Windows are paired with the next, pairs of windows with the next pair, and so on (Haar's wavelet; Allan 1966): at scale
j the squared difference of two neighbouring batches of 2^j windows, less what independent rows would give, is in the
mean an excess E_j. A batch's variance around the long-run mean is the sum over this scale and all longer ones,

    τ²(j) = Σ_{i ≥ j} E_i / 4 + E_J / 4      (J the longest scale known; independent windows give τ²(0) / 2^j),

which holds for independent window effects and for ones that last (autocorrelated hours) alike. Neighbours differ by
a change only once at each scale, and a single pair counts only within bounds, so that a change hides nothing.
Streams lend each other strength: a stream's own pairs, and BORROWED pairs of the average over streams of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import season
from mainstay.stats.bank import MATCHED, Bank, Mixes
from mainstay.stats.intervals import Floats
from mainstay.stats.packing import pack, unpack

SCALES = 12
"""Up to batches of 2^11 = 2,048 windows."""
BORROWED = 20.0
"""Pairs of the average stream that count beside a stream's own."""
PRIOR = 6.0
"""Pairs without any excess that count at each scale beside those seen: one pair of long batches, of which the later
holds a change, must not explain that change away."""
MARGIN, MARGIN_BESIDE_SEASON = 0.25, 1.0
"""Standard errors by which an estimate is taken higher than it is. A matched season takes more: its pattern varies in
ways that a few hours of a reference do not show. More than is needed makes changes found later."""
BOUND = 9.0
"""A squared difference counts for at most so many times what is usual so far (3 standard deviations)."""
LEAST_EXPECTED = 1.0
"""Categories that a batch would hold less often are counted together."""
HOLD = 2.0
"""Batches longer than any pair seen are taken to vary as those, up to so many times their length."""
REFERENCE_SCALES = 12
"""Hours are paired in the reference up to 2^11 hours, twelve weeks."""


@dataclass(slots=True, kw_only=True)
class WindowEffects:
    """What the windows so far tell; kept when the evidence is spent anew, for it is no evidence of a change."""

    pending: Floats
    """Totals of the batch at each scale that waits for its neighbour, shape (SCALES, columns)."""
    filled: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(SCALES, dtype=np.bool_))
    excess: Floats
    """Σ (d²/h − 1) over pairs, shape (SCALES, contrasts): d² in variances of one row, h = 1/N + 1/N'."""
    precision: Floats
    """Σ 1/h."""
    pairs: Floats
    windows: float = 0.0
    rows: float = 0.0
    """Of all windows."""
    days: float = 0.0

    @classmethod
    def empty(cls, bank: Bank, columns: int) -> WindowEffects:
        """Return what is known before any window."""
        shape = (SCALES, len(bank.effects))
        return cls(
            pending=np.zeros((SCALES, columns)), excess=np.zeros(shape), precision=np.zeros(shape),
            pairs=np.zeros(shape),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        held = {name: pack(getattr(self, name)) for name in ("pending", "excess", "precision", "pairs")}
        return held | {
            "filled": self.filled.tolist(), "windows": self.windows, "rows": self.rows, "days": self.days
        }  # fmt: skip

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], columns: int) -> WindowEffects:
        """Return what `as_dict` gave; broken values raise KeyError, ValueError, TypeError or zlib.error."""
        return cls(
            pending=unpack(value["pending"]).reshape(SCALES, columns),
            filled=np.array(value["filled"], dtype=np.bool_),
            excess=unpack(value["excess"]).reshape(SCALES, -1),
            precision=unpack(value["precision"]).reshape(SCALES, -1),
            pairs=unpack(value["pairs"]).reshape(SCALES, -1),
            windows=float(value["windows"]),
            rows=float(value["rows"]),
            days=float(value["days"]),
        )

    @property
    def rows_per_window(self) -> float:
        """Return the mean number of rows of a window; 0 before any."""
        return self.rows / self.windows if self.windows else 0.0

    def add(self, bank: Bank, block: Floats, *, rows: float, days: float) -> None:
        """Add one window's columns: of so many units, `days` after the one before."""
        self.windows += 1.0
        self.rows += rows
        self.days += days
        carry = block
        for scale in range(SCALES):
            if not self.filled[scale]:
                self.pending[scale], self.filled[scale] = carry, True
                return
            self._compare(bank, scale, self.pending[scale], carry)
            carry, self.filled[scale] = self.pending[scale] + carry, False

    def _compare(self, bank: Bank, scale: int, one: Floats, two: Floats) -> None:
        square, h, free = contrast(bank, one, two)
        seen = np.isfinite(h) & (h > 0)
        safe = np.where(seen, h, 1.0)
        usual = 1.0 + np.maximum(np.maximum(self._pooled(bank)[scale], self._of_reference(bank, scale)), 0.0) / safe
        ratio = np.minimum(square / safe, BOUND * usual)
        self.excess[scale] += np.where(seen, free * (ratio - 1.0), 0.0)
        self.precision[scale] += np.where(seen, free / safe, 0.0)
        self.pairs[scale] += np.where(seen, free, 0.0)

    def _pooled(self, bank: Bank) -> Floats:
        """Return E_j averaged over the contrasts of each kind, shape (SCALES, contrasts)."""
        out = np.zeros_like(self.excess)
        for kind in bank.kinds:
            weight = self.precision[:, kind].sum(axis=1, keepdims=True)
            out[:, kind] = self.excess[:, kind].sum(axis=1, keepdims=True) / np.maximum(weight, 1e-300)
        return out

    def _of_reference(self, bank: Bank, scale: int) -> Floats:
        """Return E_j as the reference's own hours tell it, shape (contrasts,); 0 where they tell nothing."""
        hours = self._hours()[scale]
        if hours is None or hours >= bank.effects.shape[1]:
            return np.zeros(len(bank.effects))
        return np.asarray(bank.effects[:, hours, 2] / np.maximum(bank.effects[:, hours, 1], 1e-300), dtype=np.float64)

    def variance(self, bank: Bank, ages: Floats) -> Floats:
        """Return τ² of a mean over `ages` windows in variances of one row, shape (contrasts, len(ages)).

        It is the estimate, plus MARGIN standard errors (MARGIN_BESIDE_SEASON where one is matched), at least 0.
        """
        excess, precision, pairs = self.excess.copy(), self.precision.copy(), self.pairs.copy()
        for scale, hours in enumerate(self._hours()):
            if hours is not None and hours < bank.effects.shape[1]:
                pairs[scale] += bank.effects[:, hours, 0]
                precision[scale] += bank.effects[:, hours, 1]
                excess[scale] += bank.effects[:, hours, 2]
        for kind in bank.kinds:
            own = excess[:, kind], precision[:, kind], pairs[:, kind]
            others = [held.sum(axis=1, keepdims=True) - held for held in own]
            part = np.minimum(BORROWED / np.maximum(others[2], 1e-300), 1.0)
            excess[:, kind], precision[:, kind], pairs[:, kind] = (
                held + part * other for held, other in zip(own, others, strict=True)
            )
        usual = precision / np.maximum(pairs, 1e-300)
        precision, pairs = precision + PRIOR * usual, np.where(pairs > 0, pairs + PRIOR, 0.0)
        return _of_ages(excess, precision, pairs, ages, margin=MARGIN if bank.season is None else MARGIN_BESIDE_SEASON)

    def _hours(self) -> list[int | None]:
        """Return which scale of the reference (2^s hours) each scale of windows is, or None where it is shorter."""
        if self.windows < 1 or self.days <= 0:
            return [None] * SCALES
        first = float(np.log2(max(self.days * 24.0 / self.windows, 1e-12)))
        near = [round(first + scale) for scale in range(SCALES)]
        return [n if n >= 0 else None for n in near]


def _of_ages(excess: Floats, precision: Floats, pairs: Floats, ages: Floats, *, margin: float) -> Floats:
    known = pairs > 0
    mean = np.where(known, excess / np.maximum(precision, 1e-300), 0.0)
    error = np.where(known, np.sqrt(2.0 * pairs) / np.maximum(precision, 1e-300), 0.0)
    last = np.where(known.any(axis=0), known.shape[0] - 1 - np.argmax(known[::-1], axis=0), 0)
    at = np.arange(mean.shape[1])
    tail, tail_error = mean[last, at] / 4.0, error[last, at] / 4.0
    total = np.cumsum(mean[::-1], axis=0)[::-1] / 4.0 + tail
    # The longest scale counts twice, so its error does.
    squares = np.cumsum((error[::-1] / 4.0) ** 2, axis=0)[::-1] + 3.0 * tail_error**2
    upper = np.maximum(total + margin * np.sqrt(squares), 0.0)
    scale = np.floor(np.log2(np.maximum(ages, 1.0))).astype(np.intp)
    place = np.minimum(scale[None, :], last[:, None])
    beyond = np.maximum(np.maximum(ages, 1.0)[None, :] / (HOLD * 2.0 ** (last[:, None] + 1.0)), 1.0)
    out: Floats = upper[place, at[:, None]] / beyond
    return out


def contrast(bank: Bank, one: Floats, two: Floats) -> tuple[Floats, Floats, Floats]:
    """Return d² in variances of one row, h = 1/N + 1/N' and the degrees of freedom for each contrast of two batches.

    Of a mix d² is the mean of (p_c − p'_c)²/p_c over its places but one, which tell as much as so many numbers. What
    the season explains is taken off. h is not finite where a batch holds nothing.
    """
    square, h = np.zeros(len(bank.effects)), np.full(len(bank.effects), np.inf)
    free = np.ones(len(bank.effects))
    shares = [_season_share(bank, batch) for batch in (one, two)]
    numbers = bank.numbers
    first, second = one[numbers.columns], two[numbers.columns]
    n = np.stack([first[:, 0], second[:, 0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = first[:, 1:5] / n[0][:, None] - second[:, 1:5] / n[1][:, None]
        inside = np.ones((2, *gap.shape))
        if numbers.pattern is not None and shares[0] is not None and shares[1] is not None:
            for side, share in enumerate((shares[0], shares[1])):
                # Of a score that hardly varies LEAST_VARIANCE is for cells, too: else one such stream, precise beyond
                # reason and of no excess, is all that the streams of its kind lend each other.
                held = season.variance_inside(numbers.pattern, share).reshape(-1, MATCHED)
                held = held + numbers.lacking[numbers.matched, :MATCHED]
                inside[side, numbers.matched, :MATCHED] = held / numbers.variances[numbers.matched, :MATCHED]
        square[numbers.contrasts] = np.where(np.isfinite(gap), gap, 0.0) ** 2 / numbers.variances
        h[numbers.contrasts] = inside[0] / n[0][:, None] + inside[1] / n[1][:, None]
    for mix in bank.mixes:
        square[mix.contrasts], h[mix.contrasts], free[mix.contrasts] = _mix_contrast(mix, one, two, shares)
    return square, h, free


def _season_share(bank: Bank, batch: Floats) -> Floats | None:
    if bank.season is None:
        return None
    counts = batch[bank.season : bank.season + season.CELLS]
    return counts / max(float(counts[: season.WEEK].sum()), 1.0)


def _mix_contrast(mix: Mixes, one: Floats, two: Floats, shares: list[Floats | None]) -> tuple[Floats, Floats, Floats]:
    used = mix.columns >= 0
    counts = np.stack([np.where(used, batch[mix.columns], 0.0) for batch in (one, two)])
    n = counts.sum(axis=2)
    held = np.maximum(n, 1e-12)[..., None]
    gap = counts[0] / held[0] - counts[1] / held[1]
    if shares[0] is not None and shares[1] is not None:
        for j, pattern in zip(mix.matched.tolist(), mix.patterns, strict=True):
            size = pattern.week.shape[1]
            gap[j, :size] -= season.expected(pattern, shares[0]) - season.expected(pattern, shares[1])
    base = np.where(used, mix.base + 0.5, 0.0)
    p = base / base.sum(axis=1, keepdims=True)
    often = p * n.min(axis=0)[:, None] >= LEAST_EXPECTED
    rare_p = np.where(often, 0.0, p).sum(axis=1)
    rare_gap = np.where(often, 0.0, gap).sum(axis=1)
    counted = rare_p * n.min(axis=0) >= LEAST_EXPECTED
    total = (np.where(often, gap, 0.0) ** 2 / np.where(often, p, 1.0)).sum(axis=1)
    total += np.where(counted, rare_gap**2 / np.where(counted, rare_p, 1.0), 0.0)
    free = often.sum(axis=1) + counted - 1.0
    seen = (n.min(axis=0) > 0) & (free > 0)
    with np.errstate(divide="ignore"):
        h = np.where(seen, (1.0 / n).sum(axis=0), np.inf)
    free = np.maximum(free, 1.0)
    return np.where(seen, total / free, 0.0), h, free


def of_reference(hours: NDArray[np.int64], values: Floats, inside: Floats) -> Floats:
    """Return what a reference's own hours tell: for each scale of 2^j hours pairs, Σ 1/h and Σ (d²/h − 1) per measure.

    `hours` number the hour of each row, `values` (n, m) are what is left of it beside the pattern, `inside` (n, m)
    their variance. Shape (scales, 2 + m). Scales without two pairs are left out.
    """
    first = int(hours.min()) if len(hours) else 0
    place = (hours - first).astype(np.intp)
    size = int(place.max()) + 1 if len(place) else 0
    n = np.bincount(place, minlength=size).astype(np.float64)
    sums = season.sums_by(place, values / np.sqrt(np.maximum(inside, 1e-300)), size)
    out = []
    for _ in range(REFERENCE_SCALES):
        even = len(n) // 2 * 2
        one, two = n[0:even:2], n[1:even:2]
        both = (one > 0) & (two > 0)
        if both.sum() < 2:
            break
        h = 1.0 / one[both] + 1.0 / two[both]
        d = sums[0:even:2][both] / one[both][:, None] - sums[1:even:2][both] / two[both][:, None]
        ratio = np.minimum(d**2 / h[:, None], BOUND * np.maximum((d**2 / h[:, None]).mean(axis=0), 1.0))
        out.append(np.concatenate([[both.sum(), (1.0 / h).sum()], (ratio - 1.0).sum(axis=0)]))
        n, sums = one + two, sums[0:even:2] + sums[1:even:2]
    return np.array(out, dtype=np.float64).reshape(-1, 2 + values.shape[1])
