"""What each version used and cost: amounts from the store, prices from the project file."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mainstay.cli.cost import lines
from mainstay.config.settings import CostSettings, CostSourceSettings
from mainstay.core.usage import Usage
from mainstay.status import cost
from mainstay.store import usage
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

CLOCK = FakeClock()
NOW = CLOCK.now()
PRICES = CostSettings(
    currency="EUR",
    cpu_hour=0.04,
    memory_gb_hour=0.005,
    sources={"geo": CostSourceSettings(call=0.001, calls_per_row=2)},
)


@pytest.fixture
def store() -> Store:
    made = Store.open("sqlite://", clock=CLOCK)
    with made.begin() as tx:
        usage.put(
            tx,
            [
                used("m@1", hours=1, rows=1_000, cpu_s=1_800.0, memory_gb_s=3_600.0),
                used("m@1", hours=2, rows=1_000, cpu_s=1_800.0, memory_gb_s=3_600.0),
                used("m@10", hours=1, rows=500, cpu_s=3_600.0, memory_gb_s=0.0),
                used("m@1", hours=31 * 24, rows=9_000, cpu_s=9_000.0, memory_gb_s=0.0),
                used("m@1", hours=1, rows=7, cpu_s=7.0, memory_gb_s=0.0, source="b"),
            ],
        )
    return made


def used(bundle: str, *, hours: int, source: str = "a", **amounts: float) -> Usage:
    at = (NOW - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    return Usage(model="m", source=source, bundle=bundle, at=at, **amounts)  # type: ignore[arg-type]


def test_amounts_are_summed_by_version_over_servers_and_hours_and_priced(store: Store) -> None:
    with store.read() as tx:
        found = cost.read(tx, "m", PRICES, days=30, now=NOW)
    new, old = found.lines
    assert (new.bundle, old.bundle) == ("m@10", "m@1")
    assert (old.rows, old.cpu_s, old.memory_gb_h, old.source_calls) == (2_007, 3_607.0, 2.0, 4_014)
    assert old.cpu == pytest.approx(3_607 / 3_600 * 0.04)
    assert old.total == pytest.approx(old.cpu + 2.0 * 0.005 + 4_014 * 0.001)
    assert old.per_1000_rows == pytest.approx(1_000 * old.total / 2_007)
    assert found.total == pytest.approx(new.total + old.total)


def test_the_same_hour_told_again_replaces_itself(store: Store) -> None:
    with store.begin() as tx:
        usage.put(tx, [used("m@1", hours=1, rows=1_500, cpu_s=2_000.0, memory_gb_s=3_600.0)])
        found = cost.read(tx, "m", PRICES, days=30, now=NOW)
    assert found.lines[1].rows == 2_507


def test_without_prices_amounts_are_told_and_no_money(store: Store) -> None:
    with store.read() as tx:
        found = cost.read(tx, "m", CostSettings(), days=30, now=NOW)
    assert (found.priced, found.total) == (False, 0.0)
    assert "No price is declared" in str(lines(found)[-1])


def test_a_project_without_a_server_has_no_lines() -> None:
    found = cost.report([], PRICES.prices, currency="EUR", days=7)
    assert found.lines == ()
    assert lines(found) == ["No server told of any use in the last 7 days."]
