"""Season is no drift: what a signal does over the hours of the week and the months, and how surely that is known.

The mean of a cell (an hour of the week) is m_hw = μ + α_h + β_w + γ_hw: hour of day, weekday, and what both do only
together; with two years or more also a month. Each part is shrunk towards 0 as far as it cannot be told from chance
(empirical Bayes with moments: Morris 1983), so that few rows give an additive pattern, or none. Traffic is compared
with the reference of its own cells: D = Σ q_h (x̄_h − base_h), q the cells' shares in the traffic. The pattern's own
uncertainty, Σ over parts of q² · variance, is part of the variance of D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats

HOURS, DAYS, MONTHS = 24, 7, 12
WEEK = HOURS * DAYS
CELLS = WEEK + MONTHS
"""Columns that count requests by hour of the week (UTC, Monday 0 h first) and by month of the year."""
ROUNDS = 6
"""Of fitting hours and weekdays against each other."""
BORROWED = 20.0
"""A cell's variance within counts as if so many rows of the pooled variance were among its own."""
SECONDS_PER_HOUR, SECONDS_PER_DAY = 3_600, 86_400
FIRST_WEEKDAY = 3
"""1970-01-01 was a Thursday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Which parts of a pattern are looked for."""

    hour: bool = True
    weekday: bool = True
    month: bool = False
    one_year: bool = False
    """The months are those of one year: what that year did by itself is not known, and allowed for."""

    @property
    def any(self) -> bool:
        """Return whether there is anything to match."""
        return self.hour or self.weekday or self.month


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What d measures of a signal do over the cells; variances are of one row (`inside`) or of the estimate."""

    grand: Floats
    """Mean over all reference rows, shape (d,)."""
    week: Floats
    """Mean of each hour of the week minus `grand`, shrunk, shape (168, d); over the reference it averages to 0."""
    months: Floats
    """The same by month, shape (12, d); zeros where months are not matched."""
    inside: Floats
    """Variance within each hour of the week, shape (168, d)."""
    hour_error: Floats
    """Variance of the estimated part, shape (24, d)."""
    weekday_error: Floats
    cell_error: Floats
    month_error: Floats


def cells(seconds: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the hour of the week (0 to 167; UTC, Monday 0 h is 0) and the month (0 to 11) of Unix times."""
    whole = np.floor(np.asarray(seconds, dtype=np.float64)).astype(np.int64)
    hour = (whole // SECONDS_PER_HOUR) % HOURS
    weekday = (whole // SECONDS_PER_DAY + FIRST_WEEKDAY) % DAYS
    month = whole.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % MONTHS
    return (weekday * HOURS + hour).astype(np.intp), month.astype(np.intp)


def sums_by(place: NDArray[np.intp], values: Floats, size: int) -> Floats:
    """Return the sums of `values` (n, d) by place, shape (size, d)."""
    out = np.zeros((size, values.shape[1]))
    np.add.at(out, place, values)
    return out


def fit(
    counts: Floats,
    sums: Floats,
    squares: Floats,
    *,
    parts: Parts = Parts(),
    effect: float = 1.0,
    months: tuple[Floats, Floats] | None = None,
) -> Pattern:
    """Return the pattern of a reference with `counts` (168,), `sums` and `squares` (168, d) by hour of the week.

    `effect` is the design effect: so many rows tell as much as one. `months` are counts (12,) and sums (12, d). No rows
    at all give no pattern.
    """
    rows, d = float(counts.sum()), sums.shape[1]
    if rows <= 0:
        zero = np.zeros(d)
        return Pattern(
            grand=zero, week=np.zeros((WEEK, d)), months=np.zeros((MONTHS, d)), inside=np.ones((WEEK, d)),
            hour_error=np.zeros((HOURS, d)), weekday_error=np.zeros((DAYS, d)), cell_error=np.zeros((WEEK, d)),
            month_error=np.zeros((MONTHS, d)),
        )  # fmt: skip
    n = counts[:, None]
    grand = sums.sum(axis=0) / rows
    mean = sums / np.maximum(n, 1.0)
    around = np.maximum(squares - n * mean**2, 0.0)
    used = float((counts > 0).sum())
    total = np.maximum(squares.sum(axis=0) / rows - grand**2, 0.0)
    pooled = np.where(rows > used, around.sum(axis=0) / max(rows - used, 1.0), total)
    inside = (around + BORROWED * pooled) / (np.maximum(n - 1.0, 0.0) + BORROWED)
    noise = pooled * max(effect, 1.0)
    grid = np.where(n > 0, mean - grand, 0.0).reshape(DAYS, HOURS, d)
    weight = counts.reshape(DAYS, HOURS, 1)
    alpha, beta = np.zeros((HOURS, d)), np.zeros((DAYS, d))
    hour_error, weekday_error = np.zeros((HOURS, d)), np.zeros((DAYS, d))
    for _ in range(ROUNDS):
        if parts.hour:
            alpha, hour_error = _part(weight.sum(axis=0), (weight * (grid - beta[:, None, :])).sum(axis=0), noise)
        if parts.weekday:
            beta, weekday_error = _part(weight.sum(axis=1), (weight * (grid - alpha[None, :, :])).sum(axis=1), noise)
    gamma, cell_error = np.zeros((WEEK, d)), np.zeros((WEEK, d))
    if parts.hour and parts.weekday:
        rest = (grid - alpha[None, :, :] - beta[:, None, :]).reshape(WEEK, d)
        lost = float((weight.sum(axis=0) > 0).sum() + (weight.sum(axis=1) > 0).sum()) - 1.0
        gamma, cell_error = _part(n, n * rest, noise, lost=lost)
    week = (alpha[None, :, :] + beta[:, None, :]).reshape(WEEK, d) + gamma
    by_month, month_error = np.zeros((MONTHS, d)), np.zeros((MONTHS, d))
    if months is not None and parts.month:
        held = months[0][:, None]
        by_month, month_error = _part(held, months[1] - held * grand, noise)
        by_month = by_month - (held * by_month).sum(axis=0) / max(float(held.sum()), 1.0)
        if parts.one_year:
            month_error = month_error + _own_year(held, months[1] / np.maximum(held, 1.0))
    return Pattern(
        grand=grand,
        week=week - (n * week).sum(axis=0) / rows,
        months=by_month,
        inside=inside,
        hour_error=hour_error,
        weekday_error=weekday_error,
        cell_error=cell_error,
        month_error=month_error,
    )


def _part(n: Floats, sums: Floats, noise: Floats, *, lost: float = 1.0) -> tuple[Floats, Floats]:
    """Return group means shrunk to 0, and the variance of what was estimated; shapes (groups, d).

    ω² = (Σ n m² − s² (G − lost)) / (N − Σ n²/N) is the variance between groups (DerSimonian, Laird 1986), at least 0;
    a mean keeps n/(n + s²/ω²) of itself and has the variance 1/(n/s² + 1/ω²). A group without rows has the variance ω².
    """
    mean = sums / np.maximum(n, 1e-12) * (n > 0)
    rows, groups = float(n.sum()), float((n > 0).sum())
    free = rows - float((n**2).sum()) / max(rows, 1e-12)
    if groups <= lost or free <= 0:
        return np.zeros_like(mean), np.zeros_like(mean)
    between = np.maximum(((n * mean**2).sum(axis=0) - noise * (groups - lost)) / free, 0.0)
    there = between > 0
    safe, held = np.where(there, between, 1.0), np.where(noise > 0, noise, 1e-300)
    error = np.where(there, 1.0 / (n / held + 1.0 / safe), 0.0)
    return np.where(there, mean * n / (n + held / safe), 0.0), error


def _own_year(held: Floats, mean: Floats) -> Floats:
    """Return the variance by which a month of another year may differ from one year's, shape (12, d).

    2 ω² + (b/2)²: ω² is the variance of the twelve means around a smooth year (two harmonics, seven degrees of freedom
    left), taken for how far a month is from its usual course by itself, in the reference's year and in the other; b is
    the year's slope through the month, which has part of the month behind its mean and part ahead. A year without rows
    in some month tells nothing: the variance of all means.
    """
    spread = mean[held[:, 0] > 0].var(axis=0) if (held > 0).any() else np.zeros(mean.shape[1])
    if not (held > 0).all():
        return np.broadcast_to(2.0 * spread, mean.shape)
    angle = 2.0 * np.pi * np.arange(MONTHS) / MONTHS
    smooth = np.column_stack([np.ones(MONTHS), *(f(k * angle) for k in (1, 2) for f in (np.cos, np.sin))])
    rest = mean - smooth @ np.linalg.lstsq(smooth, mean, rcond=None)[0]
    slope = (np.roll(mean, -1, axis=0) - np.roll(mean, 1, axis=0)) / 2.0
    own = (rest**2).sum(axis=0) / (MONTHS - smooth.shape[1])
    return np.asarray(2.0 * own + (slope / 2.0) ** 2, dtype=np.float64)


def stack(patterns: list[Pattern]) -> Pattern:
    """Return patterns side by side along the last axis."""
    return Pattern(
        **{name: np.concatenate([getattr(p, name) for p in patterns], axis=-1) for name in Pattern.__dataclass_fields__}
    )


def residuals(pattern: Pattern, week: NDArray[np.intp], month: NDArray[np.intp]) -> Floats:
    """Return what the pattern expects of rows in these cells, beside the grand mean, shape (n, d)."""
    return np.asarray(pattern.week[week] + pattern.months[month], dtype=np.float64)


def expected(pattern: Pattern, share: Floats) -> Floats:
    """Return the mean that traffic of these cell shares (…, 180) would have, shape (…, d)."""
    return np.asarray(pattern.grand + share[..., :WEEK] @ pattern.week + share[..., WEEK:] @ pattern.months)


def variance_inside(pattern: Pattern, share: Floats) -> Floats:
    """Return Σ q_h σ_h² for cell shares (…, 180), shape (…, d)."""
    return np.asarray(share[..., :WEEK] @ pattern.inside, dtype=np.float64)


def variance_of_pattern(pattern: Pattern, share: Floats, other: Floats | None = None) -> Floats:
    """Return the variance that the estimated pattern adds to Σ q_h (x̄_h − base_h), shape (…, d).

    With `other` the covariance of two such sums. It is bilinear: of a difference of shares q − w q' it is
    V(q, q) − 2 w V(q, q') + w² V(q', q'), an error that both sides have in common cancels.
    """
    two = share if other is None else other
    first, second = (s[..., :WEEK].reshape(*s.shape[:-1], DAYS, HOURS) for s in (share, two))
    return np.asarray(
        (first.sum(axis=-2) * second.sum(axis=-2)) @ pattern.hour_error
        + (first.sum(axis=-1) * second.sum(axis=-1)) @ pattern.weekday_error
        + (share[..., :WEEK] * two[..., :WEEK]) @ pattern.cell_error
        + (share[..., WEEK:] * two[..., WEEK:]) @ pattern.month_error,
        dtype=np.float64,
    )
