"""How a model stands, as numbers for Prometheus: incidents, evidence, estimates, budgets, the loop, alerts that wait.

Read from the store alone. What workers count stands in their own /metrics (`serve.metrics`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core.incidents import SEVERITY_ORDER, Harm, State
from mainstay.core.silences import silenced_by
from mainstay.parts import Parts
from mainstay.store import alerts, blocks, heartbeats, incidents, silences
from mainstay.watch import budget

if TYPE_CHECKING:
    from sqlalchemy import Connection

HELP = {
    "incidents_open": "Incidents that are open or acknowledged and not silenced, by model, severity and harm.",
    "incidents_silenced": "Incidents that are open or acknowledged and silenced, by model.",
    "watch_log_evidence": "Log of the evidence of the newest block that traffic left its reference, by model, bundle.",
    "watch_log_bar": "Log of the evidence from which it is an incident, by model and bundle.",
    "watch_last_block_timestamp_seconds": "Time of the newest request that the watch has compared, by model.",
    "estimated_accuracy": "Share of right answers now, estimated without labels, by model and bundle.",
    "estimated_accuracy_low": "Lower end of its 95 % interval.",
    "estimated_accuracy_high": "Upper end of its 95 % interval.",
    "reference_accuracy": "Share of right answers on the reference rows, by model and bundle.",
    "error_budget_left": "What is left of an error budget (1: all of it; below 0: overspent), by model and objective.",
    "error_budget_burn": "How many times as fast as it may a budget burned in the last hour, by model and objective.",
    "loop_last_turn_timestamp_seconds": "Time of the last turn of the loop, by model.",
    "alerts_waiting": "Alert messages that nobody took yet, by model.",
    "alerts_oldest_waiting_seconds": "How long the oldest of them waits, by model.",
}
"""All are gauges; names are prefixed with `mainstay_`."""
OPEN = (State.OPEN, State.ACKNOWLEDGED)
LOOP = "loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One number."""

    name: str
    """A key of HELP."""
    labels: tuple[tuple[str, str], ...]
    value: float


def gauges(parts: Parts) -> list[Gauge]:
    """Return every number that can be told now; what is not known is left out, as Prometheus has it."""
    now = parts.clock.now()
    with parts.store.read() as tx:
        return [
            *_incidents(tx, parts.model, now),
            *_watch(tx, parts.model),
            *_budgets(tx, parts, now),
            *_loop(tx, parts.model),
            *_alerts(tx, parts.model, now),
        ]


def _of(model: str, name: str, value: float, **labels: str) -> Gauge:
    return Gauge(name=name, labels=(("model", model), *labels.items()), value=value)


def _incidents(tx: Connection, model: str, now: datetime) -> Iterable[Gauge]:
    quiet = silences.list_(tx, model, since=now)
    found = incidents.list_(tx, model, states=OPEN, limit=1_000)
    silent = [incident for incident in found if silenced_by(incident, quiet, now)]
    loud = [incident for incident in found if incident not in silent]
    for severity in SEVERITY_ORDER:
        for harm in Harm:  # also those of which there is none: a rule can tell 0 from unknown
            count = sum(incident.severity is severity and incident.harm is harm for incident in loud)
            yield _of(model, "incidents_open", count, severity=severity.value, harm=harm.value)
    yield _of(model, "incidents_silenced", len(silent))


def _watch(tx: Connection, model: str) -> Iterable[Gauge]:
    for block in blocks.blocks(tx, model, limit=1):
        summary = block.summary
        yield _of(model, "watch_last_block_timestamp_seconds", block.last_at.timestamp())
        yield from _numbers(
            model,
            block.bundle,
            {"watch_log_evidence": summary.get("log_evidence"), "watch_log_bar": summary.get("log_bar")},
        )
        known = summary.get("estimate") or {}
        yield from _numbers(
            model,
            block.bundle,
            {
                "estimated_accuracy": known.get("value"),
                "estimated_accuracy_low": known.get("low"),
                "estimated_accuracy_high": known.get("high"),
                "reference_accuracy": known.get("reference"),
            },
        )


def _numbers(model: str, bundle: str, found: dict[str, Any]) -> Sequence[Gauge]:
    return [
        _of(model, name, float(value), bundle=bundle)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _budgets(tx: Connection, parts: Parts, now: datetime) -> Iterable[Gauge]:
    for standing in budget.standings(tx, parts.model, parts.settings.serve.slo, now):
        name = standing.objective.name
        yield _of(parts.model, "error_budget_left", standing.left, objective=name)
        yield _of(parts.model, "error_budget_burn", standing.burn, objective=name)


def _loop(tx: Connection, model: str) -> Iterable[Gauge]:
    for beat in heartbeats.all_(tx):
        if beat.name == LOOP:
            yield _of(model, "loop_last_turn_timestamp_seconds", beat.at.timestamp())


def _alerts(tx: Connection, model: str, now: datetime) -> Iterable[Gauge]:
    count, oldest = alerts.waiting(tx)
    yield _of(model, "alerts_waiting", count)
    yield _of(model, "alerts_oldest_waiting_seconds", 0.0 if oldest is None else (now - oldest).total_seconds())
