"""What follows from values and reference together: beyond the range, usual defaults, distance from the plane."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.core.incidents import Harm
from mainstay.core.profiles import Profile, SignalProfile
from mainstay.models import derived
from mainstay.models.answers import Answer
from mainstay.models.derived import NO, YES, fit_reconstruction, reconstruction_errors, with_derived
from mainstay.models.profiles import build_profile

NAMES = [f"x{i}" for i in range(6)]
CONTRACT = Contract(
    task=Task.REGRESSION,
    target="y",
    fields=(
        *(Field(name=name, type=FieldType.NUMBER, required=False) for name in NAMES),
        Field(name="rooms", type=FieldType.INTEGER, required=False),
        Field(name="income", type=FieldType.NUMBER, required=False, pii=Pii.ENCRYPT),
    ),
)


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 2)).repeat(3, axis=1)
    x = 10.0 + 0.8 * common + 0.6 * rng.standard_normal((n, 6))
    return [
        {**dict(zip(NAMES, row, strict=True)), "rooms": int(rooms), "income": float(money)}
        for row, rooms, money in zip(x.tolist(), rng.integers(0, 6, n), rng.lognormal(10, 1, n), strict=True)
    ]


def profile(n: int = 1_000) -> Profile:
    given = rows(n)
    return build_profile(CONTRACT, given, [Answer(label=1.0)] * n, None, None, source="test", vocabulary={})


def signal(found: Profile, name: str) -> SignalProfile:
    return next(s for s in found.signals if s.name == name and not s.segment)


def test_the_ends_of_the_reference_are_its_share_outside() -> None:
    found = signal(profile(), "x0.outside")
    assert (found.values, found.counts) == ([YES], [2, 998])


def test_a_value_at_or_beyond_an_end_is_outside_and_a_missing_one_is_nothing() -> None:
    made = profile()
    low, high = signal(made, "x0").low, signal(made, "x0").high
    values = [low, high, None, 10.0, 1e9, -1e9]
    told = [row.get("x0.outside") for row in with_derived(made, [{"x0": value} for value in values])]
    assert told == [YES, YES, None, NO, YES, YES]


def test_the_share_outside_of_later_rows_is_that_of_the_ends_of_a_sample() -> None:
    # Wilks (1941): the share beyond both ends of n values is Beta(2, n − 1), which the two counted rows stand for.
    n, shares = 200, []
    for seed in range(300):
        x = np.random.default_rng(seed).standard_normal(n)
        shares.append(stats.norm.cdf(x.min()) + stats.norm.sf(x.max()))
    assert np.mean(shares) == pytest.approx(2 / (n + 1), rel=0.2)
    assert stats.kstest(shares, stats.beta(2, n - 1).cdf).pvalue > 1e-6


def test_usual_defaults_and_the_commonest_value_are_told_from_others() -> None:
    given = [{"x0": 37.2 if i % 20 == 0 else row["x0"]} for i, row in enumerate(rows(1_000))]
    answers = [Answer(label=1.0)] * 1_000
    made = build_profile(CONTRACT, given, answers, None, None, source="test", vocabulary={})
    found = signal(made, "x0.default")
    assert found.counts == [50, 950]
    assert 37.2 in found.defaults
    told = [row.get("x0.default") for row in with_derived(made, [{"x0": v} for v in (0.0, -1, 999, 37.2, 9.3)])]
    assert told == [YES, YES, YES, YES, NO]
    assert found.harm == Harm.INPUT  # it was there before: more of it is no fault for sure


def test_a_default_that_the_reference_hardly_had_is_a_fault_when_it_comes() -> None:
    assert signal(profile(), "x0.default").harm == Harm.DATA_FAULT


def test_a_number_of_few_values_has_no_default() -> None:
    names = {s.name for s in profile().signals}
    assert "rooms.default" not in names
    assert "rooms.outside" in names


def test_personal_numbers_give_nothing() -> None:
    assert not [s.name for s in profile().signals if s.name.startswith("income") and s.name != "income.missing"]


def test_the_plane_is_that_of_principal_components() -> None:
    made = profile(4_000)
    plane = made.reconstruction
    assert plane is not None
    assert plane.names == [*NAMES, "rooms"]
    assert np.array(plane.components) @ np.array(plane.components).T == pytest.approx(
        np.eye(len(plane.components)), abs=1e-4
    )
    known = {s.name: s for s in made.signals if not s.segment}
    scores = derived._scores(plane.names, known, rows(2_000, seed=1))
    ours = reconstruction_errors(plane, known, rows(2_000, seed=1))
    other = PCA(len(plane.components), svd_solver="full").fit(derived._scores(plane.names, known, rows(4_000)))
    theirs = ((scores - other.inverse_transform(other.transform(scores))) ** 2).sum(axis=1)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97


def test_distances_from_the_plane_grow_when_dependence_breaks_and_are_counted_on_rows_that_did_not_make_it() -> None:
    made = profile(4_000)
    held = signal(made, derived.RECONSTRUCTION)
    assert held.rows == 2_000
    later = rows(2_000, seed=2)
    for row, other in zip(later, rows(2_000, seed=3), strict=True):
        row["x0"] = other["x0"]
    told = [row[derived.RECONSTRUCTION] for row in with_derived(made, later)]
    assert np.mean(told) > held.mean + 0.2 * held.sd
    same = [row[derived.RECONSTRUCTION] for row in with_derived(made, rows(2_000, seed=4))]
    assert np.mean(same) == pytest.approx(held.mean, abs=5 * held.sd / 1_000**0.5)


def test_a_row_that_lacks_a_number_has_no_distance() -> None:
    made = profile(1_000)
    assert with_derived(made, [{"x0": 1.0}])[0].get(derived.RECONSTRUCTION) is None


def test_numbers_that_follow_from_each_other_have_no_plane() -> None:
    given = [{"x0": float(i % 97), "x1": 2.0 * (i % 97), "x2": 3.0 * (i % 97)} for i in range(500)]
    found = build_profile(CONTRACT, given, [Answer(label=1.0)] * 500, None, None, source="test", vocabulary={})
    assert found.reconstruction is None
    assert fit_reconstruction(found.signals, given[:20], ["x0", "x1", "x2"]) is None


def test_a_profile_of_before_has_nothing_derived() -> None:
    old = msgspec.json.decode(msgspec.json.encode(profile()), type=dict)
    for name in ("sample", "reconstruction"):
        del old[name]
    old["signals"] = [s for s in old["signals"] if s["name"] == "x0"]
    read = msgspec.convert(old, Profile)
    assert read.sample is None
    assert with_derived(read, [{"x0": 1.0}]) == [{}]
