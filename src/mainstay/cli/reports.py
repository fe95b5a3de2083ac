"""Gate reports and tables that several commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainstay.cli import output
from mainstay.core import verdicts

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstay.selftest import Outcome


def gate_table(checks: Sequence[verdicts.Check], *, title: str = "Gate") -> RenderableType:
    """Return the gate's checks as a table, in order."""
    rows = [(c.name, c.verdict.value if c.applies else "–", c.reason) for c in checks]
    return output.table(title, ("check", "verdict", "why"), rows)


def candidates_table(compared: Mapping[str, Any]) -> list[RenderableType]:
    """Return the candidates that were compared as a table and why one was taken; nothing where none were."""
    if not compared.get("scores"):
        return []
    rows = []
    for number, score in enumerate(compared["scores"]):
        worse = f"{score['worse']:+.4f} ({score['low']:+.4f} to {score['high']:+.4f})" if number else ""
        if number and score["low"] is None:
            worse = f"{score['worse']:+.4f}"
        state = "taken" if score["name"] == compared["taken"] else "a tie" if number and score["ties"] else ""
        speed = "" if score["us_per_row"] is None else f"{score['us_per_row']:.1f}"
        rows.append((score["name"], f"{score['value']:.4f}", worse, speed, state))
    head = ("candidate", compared["metric"], "worse than the best by (95 %)", "µs a row", "")
    title = f"Candidates: {compared['how']}, {compared['rows']} {compared['decided_on']} rows"
    return [output.table(title, head, rows)]


def search_lines(searches: Mapping[str, Any]) -> list[str]:
    """Return what searches for parameters found, a line each."""
    return [str(one["told"]) for one in searches.values()]


def self_test_table(tried: Sequence[Outcome]) -> RenderableType:
    """Return what the gate said to each known-bad candidate."""
    rows = []
    for one in tried:
        if one.why_not:
            told = f"not asked: {one.why_not}"
        elif not one.meant:
            told = "passed" if one.holds else one.remedy
        else:
            by = ", ".join(one.refused_by) or "nothing"
            told = f"refused by {by}" if one.holds else f"refused by {by}. {one.remedy}"
        rows.append((one.name, one.what, " or ".join(one.meant) or "none", "yes" if one.holds else "NO", told))
    return output.table("Self-test", ("candidate", "what is wrong", "meant to refuse", "holds", "the gate"), rows)


def check_document(check: verdicts.Check) -> dict[str, Any]:
    """Return one check as the JSON document shows it."""
    return {
        "name": check.name,
        "question": check.question,
        "verdict": check.verdict.value,
        "applies": check.applies,
        "reason": check.reason,
        "numbers": dict(check.numbers),
    }


def metric_line(metrics: Mapping[str, Any]) -> str:
    """Return the metrics as one line, with intervals where they are known."""
    return ", ".join(f"{name} {_metric(value)}" for name, value in metrics.items() if _metric(value))


def _metric(value: Any) -> str:
    if isinstance(value, Mapping):
        if isinstance(value.get("low"), float) and isinstance(value.get("high"), float):
            return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f})"
        value = value.get("value")
    return f"{value:.3f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
