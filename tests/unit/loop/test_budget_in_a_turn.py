"""A turn looks at the error budget: it tells, it is told once, and drift and new versions leave it alone."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from loop_kit import MODEL, Shop
from mainstay.core.calls import Minute
from mainstay.core.incidents import BUDGET, Harm, Incident, State
from mainstay.store import call_counts, incidents
from mainstay.store.tables import alerts
from mainstay.testing.clock import FakeClock


def an_hour(shop: Shop, *, failed: int) -> None:
    """A server answered 100 calls in each minute of the last hour."""
    now = shop.clock.now()
    minutes = [
        Minute(
            model=MODEL,
            source="here",
            at=now - timedelta(minutes=n),
            calls=100,
            failed=failed,
            slow=0,
            reasons={"journal_full": failed} if failed else {},
        )
        for n in range(60)
    ]
    with shop.parts().store.begin() as tx:
        call_counts.put(tx, minutes)


def of_budgets(shop: Shop) -> list[Incident]:
    with shop.parts().store.read() as tx:
        return [one for one in incidents.list_(tx, MODEL) if BUDGET in one.facts]


def told(shop: Shop) -> list[str]:
    with shop.parts().store.read() as tx:
        return [row.title for row in tx.execute(select(alerts)) if "error budget" in row.title]


def test_a_burning_budget_is_an_incident_that_is_told_once_and_ends_with_the_burn(shop: Shop) -> None:
    assert isinstance(shop.clock, FakeClock)
    with (shop.folder / "mainstay.toml").open("a", encoding="utf-8") as file:
        file.write('\n[serve.slo]\navailability = 0.999\n[[alerts]]\nto = "log://"\n')
    an_hour(shop, failed=20)
    done = [line for report in shop.turns(3) for line in report.done]
    (incident,) = of_budgets(shop)
    assert (incident.harm, incident.state) == (Harm.OPERATIONS, State.OPEN)
    assert sum("error budget burns" in line for line in done) == 1
    assert len(told(shop)) == 1

    shop.customers(300)  # traffic like the reference: the watch finds nothing, which ends its own incidents alone
    shop.turns(2)
    assert of_budgets(shop)[0].state is State.OPEN

    shop.clock.advance(hours=1, minutes=1)
    an_hour(shop, failed=0)
    lines = [line for report in shop.turns(1) for line in report.done]
    assert of_budgets(shop)[0].state is State.MITIGATED
    assert any("the error budget lasts again" in line for line in lines)
    assert [title.partition(" ")[0] for title in told(shop)] == ["[page]", "[over]"]


def test_without_a_promise_nothing_is_looked_for(shop: Shop) -> None:
    an_hour(shop, failed=90)
    shop.turns(2)
    assert of_budgets(shop) == []
