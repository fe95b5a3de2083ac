"""Evidence for routers elsewhere: both versions' answers to one request, told by two deployments, make a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from sqlalchemy import Connection

from mainstay.core.events import Event, Kind
from mainstay.core.releases import Release, Stage
from mainstay.core.routes import BundleRef, Route
from mainstay.release import ingest
from mainstay.store import pairs, releases
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

ROUTE = Route(model=make.MODEL, epoch=2, champion=BundleRef(version=1, digest="1" * 64))


@pytest.fixture
def tx() -> Iterator[Connection]:
    with closing(Store.open("sqlite://", clock=FakeClock())) as store, store.begin() as opened:
        yield opened


@pytest.fixture
def release(tx: Connection) -> Release:
    releases.add(tx, make.release(1, Stage.CERTIFIED))
    return releases.add(tx, make.release(2, Stage.SHADOW))


def told(number: int, version: int, *, unit: str = "", label: str = "a") -> Event:
    more = {"id": f"v{version}-{number}", "bundle": f"m@{version}", "unit": unit or f"u{number}", "label": label}
    return make.prediction(number, kind=Kind.EXTERNAL, served_arm=None, assigned_arm=None, **more)


def take(tx: Connection, release: Release, events: Sequence[Event]) -> int:
    return ingest.ingest(tx, events, release=release, champion="m@1", route=ROUTE, told=True)


def test_two_answers_to_one_request_make_a_pair_in_either_order(tx: Connection, release: Release) -> None:
    assert take(tx, release, [told(1, 1), told(2, 2, label="b")]) == 0
    assert take(tx, release, [told(1, 2, label="b"), told(2, 1)]) == 2
    found = pairs.rows(tx, make.MODEL, 2, 10)
    assert [(p.id, p.champion_label, p.challenger_label) for p in found] == [("v1-1", "a", "b"), ("v1-2", "a", "b")]


def test_answers_to_requests_that_one_version_alone_saw_are_no_evidence(tx: Connection, release: Release) -> None:
    assert take(tx, release, [*(told(n, 1) for n in range(50)), *(told(n, 2) for n in range(50, 100))]) == 0
    assert pairs.count(tx, make.MODEL, 2) == 0


def test_what_is_told_again_or_names_another_version_changes_nothing(tx: Connection, release: Release) -> None:
    events = [told(1, 1), told(1, 1), told(1, 3), told(1, 2), told(1, 2), told(1, 1)]
    assert take(tx, release, events) == 1
    assert take(tx, release, [told(1, 2)]) == 0
    assert pairs.count(tx, make.MODEL, 2) == 1
