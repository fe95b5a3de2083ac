"""How a version was trained, as a part of its card: candidates, search, weights, probabilities, decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainstay.modelcard.records import Part, Table


def training(facts: Mapping[str, Any]) -> Part:
    """Return what is held about how a version was trained."""
    evaluation: Mapping[str, Any] = facts.get("evaluation") or {}
    tables, lists = [], []
    compared = facts.get("comparison") or {}
    if compared.get("scores"):
        tables.append(_candidates(compared))
        lists.append(str(compared["why"]))
    for name, search in (facts.get("tuning") or {}).items():
        tables.append(_search(name, search))
        lists.append(str(search["told"]))
    if weights := evaluation.get("weights"):
        lists.append(_weights(weights))
    confidence = evaluation.get("confidence") or {}
    if confidence.get("measures"):
        tables.append(_measures("Confidence", confidence))
    if probabilities := evaluation.get("probabilities"):
        lists.append(f"Probabilities: {probabilities['method']}, as {probabilities['why']}.")
        if measures := probabilities.get("measures"):
            tables.append(_measures("Probabilities", {**probabilities, "measures": measures}))
    if decision := evaluation.get("decision"):
        lists.append(f"The answer: {decision['why']}.")
    if costs := evaluation.get("costs"):
        lists.append(
            f"By the declared costs an answer costs {costs['value']:.4g}{_limits(costs['low'], costs['high'])} on "
            f"{costs['rows']} test rows; the most probable class would have cost {costs['most_probable']:.4g}."
        )
    says = (
        [] if tables or lists else ["One pipeline was fitted to all rows alike, and the most probable class answers."]
    )
    return Part(title="Training", says=says, lists=lists, tables=tables)


def _candidates(compared: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(score["name"]) + (" (taken)" if score["name"] == compared["taken"] else ""),
            f"{score['value']:.4f}",
            f"{score['worse']:.4f}{_limits(score['low'], score['high'])}" if number else "",
            "" if score["us_per_row"] is None else f"{score['us_per_row']:.1f}",
        )
        for number, score in enumerate(compared["scores"])
    ]
    head = ("candidate", str(compared["metric"]), "worse than the best by (95 %)", "µs a row")
    return Table(head=head, rows=rows, caption=f"Candidates: {compared['how']}, {compared['rows']} rows")


def _search(name: str, search: Mapping[str, Any]) -> Table:
    rows = [(path, str(value)) for path, value in (search.get("best") or {}).items()]
    caption = f"Search of {name}: {search['finished']} tries, {search['pruned']} of them given up early"
    return Table(head=("parameter", "found"), rows=rows, caption=caption)


def _weights(found: Mapping[str, Any]) -> str:
    told = [f"{found['rows']} rows count as {found['effective_rows']:.0f} equal ones"]
    if found["half_life_days"] is not None:
        told.append(f"one that is {found['half_life_days']:g} days older counts half")
    for name, one in found["classes"].items():
        told.append(f"each of {one['rows']} rows of {name} counts {one['factor']:.3g}")
    return "Weights: " + "; ".join(told) + "."


def _measures(what: str, found: Mapping[str, Any]) -> Table:
    names = {"log_loss": "log loss", "brier": "Brier score", "ece": "calibration error"}
    told = [
        (
            names.get(name, name),
            f"{one['before']:.4f}",
            f"{one['after']:.4f}",
            f"{one['change']:+.4f}{_limits(one['low'], one['high'])}",
        )
        for name, one in found["measures"].items()
    ]
    caption = f"{what} on {found['rows']} rows that neither the model nor the map was fitted to"
    return Table(head=("less is better", "before", "after", "change (95 %)"), rows=told, caption=caption)


def _limits(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
