"""How loud, by how much is lost: a row of the table each; and how many requests are unlike before, by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from mainstay.core.incidents import Harm, Severity
from mainstay.core.profiles import SignalKind, SignalProfile
from mainstay.stats import evidence
from mainstay.stats.scores import score_table, score_variances
from mainstay.watch import severity
from mainstay.watch.severity import Size, severity_of
from mainstay.watch.streams import Watched

PAGE, WATCH, NOTE = Severity.PAGE, Severity.WATCH, Severity.NOTE
ROWS: list[tuple[Harm, dict[str, Any], bool, Severity]] = [
    (Harm.DATA_FAULT, {"affected": 0.05}, False, PAGE),
    (Harm.DATA_FAULT, {"affected": 0.049}, False, WATCH),
    (Harm.DATA_FAULT, {"affected": 0.0}, True, PAGE),
    (Harm.DATA_FAULT, {"affected": 0.01, "points": 0.03}, False, PAGE),
    (Harm.QUALITY, {"points": 0.03}, False, PAGE),
    (Harm.QUALITY, {"points": 0.029}, False, WATCH),
    (Harm.QUALITY, {"error_rise": 0.1}, False, PAGE),
    (Harm.QUALITY, {"error_rise": 0.09}, False, WATCH),
    (Harm.OPERATIONS, {}, False, PAGE),
    (Harm.REWARD, {}, False, PAGE),
    (Harm.OUTPUT, {"affected": 1.0, "points": 0.5}, False, WATCH),
    (Harm.SKEW, {}, False, WATCH),
    (Harm.INPUT, {"affected": 1.0}, False, NOTE),
]


@pytest.mark.parametrize(("harm", "size", "broken", "expected"), ROWS)
def test_each_row_of_the_table(harm: Harm, size: dict[str, Any], broken: bool, expected: Severity) -> None:
    found = Size(**({"points": None, "basis": ""} | size))
    assert severity_of(harm, found, broken=broken, material=0.03) is expected


def test_every_harm_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(Harm)


def numeric(rng: np.random.Generator) -> tuple[Watched, np.ndarray]:
    """A number with a reference of 2,000 rows, and its edges."""
    sample = np.sort(rng.standard_normal(2_000))
    edges = np.unique(np.quantile(sample, np.arange(1, 200) / 200))
    counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1)
    stream = evidence.NumericStream(weight=1.0, rows=2_000.0, variances=score_variances(counts.tolist()))
    table = np.zeros((len(counts), 6))
    table[:, :4] = score_table(counts.tolist())
    profile = SignalProfile(name="x", kind=SignalKind.NUMERIC, harm="input", rows=2_000, sd=1.0)
    return Watched(name="x", segment="", harm=Harm.INPUT, stream=stream, profile=profile, table=table), edges


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_number_tells_at_least_how_many_moved_and_never_more_than_did(share: float) -> None:
    rng = np.random.default_rng(3)
    told = []
    for _ in range(200):
        item, edges = numeric(rng)
        moved = rng.random(500) < share
        values = rng.standard_normal(500) + 4.0 * moved
        columns = np.zeros(item.stream.width)
        assert item.table is not None
        columns[0] = 500
        columns[1:7] = item.table[np.searchsorted(edges, values, side="right")].sum(axis=0)
        told.append(severity.moved_share(item, columns))
    # One-sided, four scores at 2.5 standard errors and a reference that is drawn too: at most 1 in 20 says too much.
    too_much = sum(found > share for found in told)
    assert too_much <= stats.binom.isf(1e-6, 200, 0.05)
    if share >= 0.5:
        assert np.median(told) >= 0.3 * share


def test_a_share_and_a_rate_tell_what_moved_less_their_error() -> None:
    profile = SignalProfile(
        name="c", kind=SignalKind.CATEGORY, harm="input", rows=1_000, counts=[500, 500, 0], values=["a", "b"]
    )
    stream = evidence.CategoryStream(weight=1.0, base=np.array([500.0, 500.0, 0.0]))
    item = Watched(name="c", segment="", harm=Harm.INPUT, stream=stream, profile=profile, places={"a": 0, "b": 1})
    told = severity.moved_share(item, np.array([900.0, 100.0, 0.0]))
    assert 0.3 < told < 0.4
    rate = Watched(
        name="requests.refused",
        segment="",
        harm=Harm.DATA_FAULT,
        stream=evidence.RateStream(weight=1.0, limit=0.01),
    )
    assert 0.4 < severity.moved_share(rate, np.array([500.0, 1_000.0])) < 0.49
    assert severity.moved_share(rate, np.array([10.0, 1_000.0])) == 0.0
