"""Tails by closed forms: against SciPy's functions, over the range in which they are used."""

from __future__ import annotations

import math

import pytest
from scipy import special

from mainstay.stats import laws


@pytest.mark.parametrize("z", [0.0, 0.3, 1.96, 8.0, 30.0])
def test_the_normal_law_is_scipys(z: float) -> None:
    assert laws.normal_two_sided(-z) == pytest.approx(float(2.0 * special.ndtr(-z)), rel=1e-12)
    p = float(special.ndtr(min(z, 6.0)))
    assert laws.normal_point(p) == pytest.approx(float(special.ndtri(p)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("df", [1.0, 7.5, 199.0, 200.0, 431.7, 5_000.0, 199_998.0, 2e6])
def test_students_law_is_scipys(df: float) -> None:
    for t in (0.0, 0.01, 0.7, 1.96, 4.0, 9.0, 20.0):
        expected = float(2.0 * special.stdtr(df, -t))
        assert laws.student_two_sided(-t, df) == pytest.approx(expected, rel=1e-8)
    for p in (0.001, 0.3, 0.5, 0.9, 0.975, 0.9995):
        assert laws.student_point(p, df) == pytest.approx(float(special.stdtrit(df, p)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 7, 40, 99, 400, 900])
def test_the_chi_square_law_is_scipys(df: int) -> None:
    for x in (0.0, 1e-6, 0.2 * df, df, df + 3.0 * math.sqrt(2 * df), 4.0 * df + 60.0):
        assert laws.chi_square_tail(x, df) == pytest.approx(float(special.chdtrc(df, x)), rel=1e-10)


def test_kolmogorovs_law_is_scipys() -> None:
    for z in (0.0, 0.05, 0.2, 0.5, 0.99, 1.0, 1.01, 1.5, 3.0, 10.0):
        assert laws.kolmogorov_tail(z) == pytest.approx(float(special.kolmogorov(z)), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("n", [1, 2, 7, 141, 3_000, 50_000])
def test_smirnovs_law_is_scipys(n: int) -> None:
    for z in (0.3, 1.0, 1.5, 3.0, 8.0):
        d = min(z / math.sqrt(n), 0.999)
        assert laws.smirnov_tail(n, d) == pytest.approx(float(special.smirnov(n, d)), rel=1e-8)
    assert laws.smirnov_tail(n, 0.0) == 1.0
    assert laws.smirnov_tail(n, 1.0) == 0.0
