"""The pattern of a week: where rows belong, what is told from chance, and how surely it is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mainstay.stats import season

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def drawn(
    rng: np.random.Generator, rows: int, *, hour: float = 0.0, weekend: float = 0.0, both: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return counts, sums and squares by hour of the week of a seasonal series, and its true pattern."""
    week, _ = season.cells(START + rng.random(rows) * 28 * 86_400)
    cells = np.arange(season.WEEK)
    h, w = cells % 24, cells // 24
    truth = hour * np.sin(2 * np.pi * h / 24) + weekend * (w >= 5) + both * (w >= 5) * (h < 8)
    x = (truth[week] + rng.standard_normal(rows))[:, None]
    counts = np.bincount(week, minlength=season.WEEK).astype(float)
    return counts, season.sums_by(week, x, season.WEEK), season.sums_by(week, x**2, season.WEEK), truth


@pytest.mark.parametrize("days", [0, 3, 59, 200, 364, 800])
@pytest.mark.parametrize("hour", [0, 7, 23])
def test_a_moment_is_in_the_cell_of_its_weekday_hour_and_month(days: int, hour: int) -> None:
    moment = datetime(2011, 1, 1, hour, 59, 59, tzinfo=UTC) + timedelta(days=days)
    week, month = season.cells(np.array([moment.timestamp()]))
    assert week[0] == moment.weekday() * 24 + moment.hour
    assert month[0] == moment.month - 1


def test_a_pattern_is_found_with_what_hours_and_weekdays_do_only_together() -> None:
    counts, sums, squares, truth = drawn(np.random.default_rng(1), 100_000, hour=0.5, weekend=0.3, both=-0.6)
    found = season.fit(counts, sums, squares)
    centred = truth - (counts @ truth) / counts.sum()
    assert found.week[:, 0] == pytest.approx(centred, abs=0.16)
    assert np.sqrt(np.mean((found.week[:, 0] - centred) ** 2)) < 0.04
    assert counts @ found.week[:, 0] == pytest.approx(0.0, abs=1e-6)


def test_few_rows_give_an_additive_pattern_and_none_where_there_is_none() -> None:
    """2,000 rows are twelve a cell: their own means would be wrong by .29 σ, the shrunk ones are by a third of that."""
    errors, plain, flat = [], [], []
    for seed in range(10):
        counts, sums, squares, truth = drawn(np.random.default_rng(seed), 2_000, hour=0.5, weekend=0.3)
        centred = truth - (counts @ truth) / counts.sum()
        found = season.fit(counts, sums, squares)
        errors.append(np.mean((found.week[:, 0] - centred) ** 2))
        raw = sums[:, 0] / np.maximum(counts, 1.0) - sums.sum() / counts.sum()
        plain.append(np.mean((raw - centred)[counts > 0] ** 2))
        counts, sums, squares, _ = drawn(np.random.default_rng(100 + seed), 2_000)
        flat.append(np.mean(season.fit(counts, sums, squares).week ** 2))
    assert np.mean(errors) < 0.3 * np.mean(plain)
    assert np.mean(flat) < 0.1 * np.mean(plain)


def test_the_stated_variance_is_the_error_that_is_made() -> None:
    """Over 200 references the squared error of Σ q_h base_h, for an hour, a night and a week, is what it says."""
    shares = np.zeros((3, season.CELLS))
    shares[0, 30] = 1.0
    shares[1, [0, 1, 2, 3, 24, 25, 26, 27]] = 1.0 / 8.0
    shares[2, : season.WEEK] = 1.0 / season.WEEK
    squares, stated = np.zeros(3), np.zeros(3)
    for seed in range(200):
        counts, sums, second, truth = drawn(np.random.default_rng(seed), 5_000, hour=0.4, weekend=0.3)
        found = season.fit(counts, sums, second)
        mean = (counts @ truth) / counts.sum()
        error = season.expected(found, shares)[:, 0] - shares[:, : season.WEEK] @ truth - (found.grand[0] - mean)
        squares += error**2 / 200
        stated += season.variance_of_pattern(found, shares)[:, 0] / 200
    assert squares[0] == pytest.approx(stated[0], rel=0.5)
    assert squares[1] == pytest.approx(stated[1], rel=0.5)
    assert stated[2] < 0.02 * stated[0] + 1e-3


def test_an_error_that_both_sides_have_cancels() -> None:
    counts, sums, squares, _ = drawn(np.random.default_rng(3), 5_000, hour=0.4)
    found = season.fit(counts, sums, squares)
    rng = np.random.default_rng(4)
    one, two = rng.dirichlet(np.ones(season.CELLS), 2)
    direct = season.variance_of_pattern(found, one - 0.3 * two)
    parts = (
        season.variance_of_pattern(found, one)
        - 0.6 * season.variance_of_pattern(found, one, two)
        + 0.09 * season.variance_of_pattern(found, two)
    )
    assert parts == pytest.approx(direct)
    assert season.variance_of_pattern(found, one - one) == pytest.approx(0.0)


def test_a_cell_that_the_reference_never_held_is_as_uncertain_as_cells_differ() -> None:
    counts, sums, squares, _ = drawn(np.random.default_rng(5), 50_000, hour=0.8)
    night = np.isin(np.arange(season.WEEK) % 24, range(6))
    for part in (counts, sums, squares):
        part[night] = 0.0
    found = season.fit(counts, sums, squares)
    seen, unseen = found.hour_error[12, 0], found.hour_error[2, 0]
    assert unseen > 50 * seen
    assert unseen == pytest.approx(np.var(0.8 * np.sin(2 * np.pi * np.arange(6, 24) / 24)), rel=0.5)


def test_months_are_matched_when_asked() -> None:
    rng = np.random.default_rng(6)
    seconds = START + rng.random(40_000) * 730 * 86_400
    week, month = season.cells(seconds)
    x = (np.cos(2 * np.pi * month / 12) + rng.standard_normal(len(month)))[:, None]
    counts = np.bincount(week, minlength=season.WEEK).astype(float)
    months = (np.bincount(month, minlength=12).astype(float), season.sums_by(month, x, 12))
    sums, squares = season.sums_by(week, x, season.WEEK), season.sums_by(week, x**2, season.WEEK)
    found = season.fit(counts, sums, squares, parts=season.Parts(month=True), months=months)
    assert found.months[:, 0] == pytest.approx(np.cos(2 * np.pi * np.arange(12) / 12), abs=0.1)
    without = season.fit(counts, sums, squares, months=months)
    assert not without.months.any()


def test_of_one_year_the_stated_variance_holds_what_another_year_does_by_itself() -> None:
    """Months depart from a smooth year by ω in each year; the mean squared error in units of the stated variance."""
    rng, own = np.random.default_rng(8), 0.2
    month = np.repeat(np.arange(12), 700)
    week = np.tile(np.arange(season.WEEK), 50)
    smooth = np.cos(2 * np.pi * np.arange(12) / 12)
    share = np.zeros((12, season.CELLS))
    share[:, : season.WEEK], share[np.arange(12), season.WEEK + np.arange(12)] = 1.0 / season.WEEK, 1.0
    squares = []
    for _ in range(60):
        mean, other = (smooth + own * rng.standard_normal(12) for _ in range(2))
        x = (mean[month] + rng.standard_normal(len(month)))[:, None]
        months = (np.bincount(month, minlength=12).astype(float), season.sums_by(month, x, 12))
        counts = np.bincount(week, minlength=season.WEEK).astype(float)
        sums, square = season.sums_by(week, x, season.WEEK), season.sums_by(week, x**2, season.WEEK)
        found = season.fit(counts, sums, square, parts=season.Parts(month=True, one_year=True), months=months)
        error = other - season.expected(found, share)[:, 0]
        squares.append(error**2 / season.variance_of_pattern(found, share)[:, 0])
    # 720 squares, of months whose slope adds what whole months do not show: between half of it and a fifth above.
    assert 0.4 < np.mean(squares) < 1.2


def test_no_rows_are_no_pattern() -> None:
    nothing = np.zeros((season.WEEK, 2))
    found = season.fit(np.zeros(season.WEEK), nothing, nothing)
    assert not found.week.any()
    assert not season.variance_of_pattern(found, np.ones(season.CELLS)).any()
