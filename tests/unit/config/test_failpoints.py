"""Failpoints: named in one list, armed by one variable, each once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.config import failpoints
from mainstay.core.errors import EnvironmentFault, UsageError

PACKAGE = Path(failpoints.__file__).parents[1]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_every_place_of_the_list_is_reached_somewhere_and_no_other() -> None:
    said = [
        name for file in PACKAGE.rglob("*.py") for name in re.findall(r'failpoints\.reach\("([^"]+)"', file.read_text())
    ]
    assert sorted(said) == sorted(failpoints.PLACES)


def test_unarmed_places_do_nothing() -> None:
    for place in failpoints.PLACES:
        failpoints.reach(place)


def test_an_armed_place_acts_at_the_time_that_was_said_and_once() -> None:
    failpoints.arm("move.staged=fail@2, move.routed=fail")
    failpoints.reach("move.staged")
    with pytest.raises(EnvironmentFault, match=r"failpoint move\.staged"):
        failpoints.reach("move.staged")
    failpoints.reach("move.staged")
    with pytest.raises(EnvironmentFault):
        failpoints.reach("move.routed")


@pytest.mark.parametrize("text", ["nowhere=kill", "move.staged", "move.staged=burn", "move.staged=kill@x", "=kill"])
def test_what_is_no_failpoint_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match=r"allowed: PLACE=ACTION"):
        failpoints.arm(text)
