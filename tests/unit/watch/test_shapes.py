"""Histograms of then and now: exact counts in few bins, held against counting the rows one by one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from mainstay.core.incidents import Finding, Harm
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.watch import shapes

AT = datetime(2026, 3, 9, tzinfo=UTC)


def finding(signal: str, segment: str = "") -> Finding:
    return Finding(
        signal=signal,
        segment=segment,
        harm=Harm.INPUT,
        since=AT,
        before=0.0,
        now=0.0,
        shift=0.0,
        evidence=1.0,
        text="",
    )


def number(x: np.ndarray, *, bins: int = 200, name: str = "size", segment: str = "") -> SignalProfile:
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1)
    return SignalProfile(
        name=name,
        kind=SignalKind.NUMERIC,
        harm="input",
        segment=segment,
        rows=len(x),
        edges=edges.tolist(),
        counts=counts.tolist(),
        low=float(x.min()),
        high=float(x.max()),
    )


def profile(*signals: SignalProfile) -> Profile:
    return Profile(source="test", rows=1, keys=1, signals=list(signals))


def rows(values, *, name: str = "size", segments: tuple[str, ...] = ()):
    return [SimpleNamespace(row=SimpleNamespace(signals={name: value}, segments=segments)) for value in values]


def counted(x: np.ndarray, edges: list[float]) -> list[int]:
    """Count one by one, by what the docstring says a bin holds."""
    bounds = [-np.inf, *edges, np.inf]
    return [sum(low <= value < high for value in x) for low, high in pairwise(bounds)]


@pytest.mark.parametrize("shape", ["normal", "uniform", "heavy", "heap", "few"])
def test_both_sides_are_counted_exactly_whatever_the_values_look_like(shape: str) -> None:
    rng = np.random.default_rng(7)
    draw = {
        "normal": lambda n: rng.normal(size=n),
        "uniform": lambda n: rng.uniform(size=n),
        "heavy": lambda n: rng.lognormal(sigma=2.5, size=n),
        "heap": lambda n: np.where(rng.uniform(size=n) < 0.8, 0.0, rng.exponential(size=n)),
        "few": lambda n: rng.integers(0, 4, size=n).astype(float),
    }[shape]
    before, now = draw(3000), draw(700)
    inside = now[(now >= before.min()) & (now <= before.max())]
    (told,) = shapes.shapes([finding("size")], rows(inside.tolist()), profile(number(before)))
    assert told["before"] == counted(before, told["edges"])
    assert told["now"] == counted(inside, told["edges"])
    assert len(told["before"]) <= shapes.BINS
    assert told["rows"] == len(inside)
    assert max(told["before"]) < 3000  # one bin that held all would tell nothing


def test_what_lies_beyond_all_of_the_reference_has_a_bin_of_its_own() -> None:
    before = np.linspace(0, 1, 1001)
    (told,) = shapes.shapes([finding("size")], rows([-3.0, 0.5, 1.0, 7.0, 8.0]), profile(number(before)))
    assert (told["below_all"], told["above_all"]) == (True, True)
    assert (told["before"][0], told["now"][0]) == (0, 1)
    assert (told["before"][-1], told["now"][-1]) == (0, 2)
    assert told["edges"] == sorted(told["edges"])
    assert (sum(told["before"]), sum(told["now"])) == (1001, 5)


def test_a_long_tail_does_not_press_everything_else_into_one_bin() -> None:
    before = np.random.default_rng(3).lognormal(sigma=3.0, size=5000)
    (told,) = shapes.shapes([finding("size")], rows([1.0]), profile(number(before)))
    assert max(told["before"]) <= 0.1 * 5000


def test_of_many_values_those_with_most_rows_then_or_now_are_named_and_the_others_summed() -> None:
    names = [f"v{i:03d}" for i in range(100)]
    before = {name: 100 - i for i, name in enumerate(names)}
    signal = SignalProfile(
        name="kind", kind=SignalKind.CATEGORY, harm="input", rows=5057, counts=[*before.values(), 7], values=names
    )
    values = ["v099"] * 50 + ["new"] * 20 + ["v000"] * 5
    (told,) = shapes.shapes([finding("kind")], rows(values, name="kind"), profile(signal))
    assert "v099" in told["values"]
    assert len(told["values"]) == shapes.BINS
    now = Counter(values)
    assert told["now"] == [*(now[name] for name in told["values"]), 20]
    assert told["before"][:-1] == [before[name] for name in told["values"]]
    assert (sum(told["before"]), sum(told["now"])) == (5057, 75)


def test_a_finding_of_a_segment_is_drawn_from_its_rows_alone_and_the_answers_are_told_beside() -> None:
    x = np.linspace(0, 1, 100)
    known = profile(number(x, segment="a=b"), number(x, name="answer.confidence"))
    seen = [*rows([0.2, 0.3], segments=("a=b",)), *rows([0.9]), *rows([0.5], name="answer.confidence")]
    told = shapes.shapes([finding("size", "a=b"), finding("size", "a=b"), finding("requests.failed")], seen, known)
    assert [(one["signal"], one["segment"], one["rows"]) for one in told] == [
        ("answer.confidence", "", 1),
        ("size", "a=b", 2),
    ]


def test_no_incident_keeps_more_than_a_dozen() -> None:
    signals = [number(np.linspace(0, 1, 50), name=f"f{i}") for i in range(40)]
    seen = [
        SimpleNamespace(row=SimpleNamespace(signals={signal.name: 0.5 for signal in signals}, segments=()))
        for _ in "ab"
    ]
    assert len(shapes.shapes([finding(s.name) for s in signals], seen, profile(*signals))) == shapes.MOST
