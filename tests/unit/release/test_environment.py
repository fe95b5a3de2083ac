"""What a version stands on: the age of its data and the licences of its packages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mainstay.core.verdicts import Verdict
from mainstay.release import environment

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LOCK = ["numpy==2.4", "scikit-learn==1.9", "python==3.11"]
KNOWN = {"numpy": "BSD-3-Clause AND 0BSD", "scikit-learn": "BSD-3-Clause", "own": "", "copyleft": "GPL-3.0-only"}


@pytest.mark.parametrize(
    ("lock", "allowed", "verdict", "why"),
    [
        (LOCK, ["bsd"], Verdict.PASS, "2 packages"),
        ([*LOCK, "copyleft==1"], ["BSD", "MIT"], Verdict.FAIL, "copyleft (GPL-3.0-only)"),
        ([*LOCK, "own==1"], ["BSD"], Verdict.NOT_ENOUGH, "no licence is declared by own"),
        ([*LOCK, "own==1", "copyleft==1"], ["BSD"], Verdict.FAIL, "copyleft"),
        (["python==3.11"], ["BSD"], Verdict.NOT_ENOUGH, "no package is locked"),
    ],
)
def test_every_package_must_come_under_an_allowed_licence(
    lock: list[str], allowed: list[str], verdict: Verdict, why: str
) -> None:
    found = environment.licences(lock, allowed, of=KNOWN.__getitem__)
    assert found.applies
    assert found.verdict is verdict
    assert why in found.reason


def test_without_allowed_licences_they_are_told_and_nothing_is_judged() -> None:
    found = environment.licences(LOCK, [], of=KNOWN.__getitem__)
    assert not found.applies
    assert "numpy (BSD-3-Clause AND 0BSD)" in found.reason
    assert found.numbers == {"numpy": "BSD-3-Clause AND 0BSD", "scikit-learn": "BSD-3-Clause"}


def test_a_licence_is_read_from_an_installed_package_and_a_strange_one_has_none() -> None:
    assert "BSD" in environment.licence_of("numpy")
    assert "BSD" in environment.licence_of("scikit-learn")
    assert environment.licence_of("no-such-package-anywhere") == ""


@pytest.mark.parametrize(
    ("days_ago", "limit", "verdict"),
    [(3, 7, Verdict.PASS), (8, 7, Verdict.FAIL), (7, 7, Verdict.PASS), (None, 7, Verdict.NOT_ENOUGH)],
)
def test_the_newest_row_must_be_young_enough(days_ago: int | None, limit: float, verdict: Verdict) -> None:
    newest = None if days_ago is None else NOW - timedelta(days=days_ago)
    found = environment.staleness(newest, NOW, limit)
    assert found.applies
    assert found.verdict is verdict


def test_without_a_limit_the_age_is_told() -> None:
    found = environment.staleness(NOW, NOW, None)
    assert not found.applies
    assert "2026-06-01" in found.reason


def test_the_environment_is_told_by_a_digest_that_the_order_of_lines_does_not_change() -> None:
    one, other = environment.pinned(LOCK, ()), environment.pinned(LOCK[::-1], ("numpy 2.4, here 2.5",))
    assert one.numbers["sha256"] == other.numbers["sha256"]
    assert one.numbers["sha256"] != environment.pinned([*LOCK, "scipy==1"], ()).numbers["sha256"]
    assert "numpy 2.4, here 2.5" in other.reason
    assert not one.applies
    assert environment.pinned([], ()).numbers["sha256"] is None
