"""What each version used and what that costs, from the hours that servers told and the declared prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.usage import Prices, Usage, cost_of
from mainstay.status.records import CostLine, CostReport
from mainstay.store import usage

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.config.settings import CostSettings


def read(tx: Connection, model: str, settings: CostSettings, *, days: float, now: datetime) -> CostReport:
    """Return what each version of a model used and cost in the last `days`, the newest version first."""
    since = now - timedelta(days=days)
    return report(usage.by_version(tx, model, since), settings.prices, currency=settings.currency, days=days)


def report(used: Sequence[Usage], prices: Prices, *, currency: str, days: float) -> CostReport:
    """Return usage summed up by version, and what it costs."""
    sums: dict[str, Usage] = {}
    for one in used:
        held = sums.get(one.bundle)
        sums[one.bundle] = one if held is None else _sum(held, one)
    calls = sum(per_row for _, per_row in prices.sources.values())
    lines = []
    for bundle in sorted(sums, key=_number, reverse=True):
        one, cost = sums[bundle], cost_of(sums[bundle], prices)
        lines.append(
            CostLine(
                bundle=bundle,
                rows=one.rows,
                cpu_s=one.cpu_s,
                memory_gb_h=one.memory_gb_s / 3600.0,
                gpu_s=one.gpu_s,
                source_calls=one.rows * calls,
                cpu=cost.cpu,
                memory=cost.memory,
                gpu=cost.gpu,
                sources=cost.sources,
                total=cost.total,
                per_1000_rows=1000.0 * cost.total / one.rows if one.rows else None,
            )
        )
    priced = bool(prices.cpu_hour or prices.memory_gb_hour or prices.gpu_hour or prices.sources)
    return CostReport(
        days=days, currency=currency, priced=priced, lines=tuple(lines), total=sum(line.total for line in lines)
    )


def _sum(held: Usage, one: Usage) -> Usage:
    return replace(
        held,
        rows=held.rows + one.rows,
        cpu_s=held.cpu_s + one.cpu_s,
        memory_gb_s=held.memory_gb_s + one.memory_gb_s,
        gpu_s=held.gpu_s + one.gpu_s,
    )


def _number(bundle: str) -> tuple[int, str]:
    number = bundle.rpartition("@")[2]
    return (int(number) if number.isdigit() else 0, bundle)
