"""What the gate asks of the data: the answers that a project lets decide, as one check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mainstay.config.settings import DeliveryQuestion
from mainstay.core.verdicts import Check, Verdict, combine

NAME = "delivery"
QUESTION = "Are the data fit to be learned from?"


REMEDY = 'give what is not known before the answer role = "ignored", or let it decide: [gate] delivery = ["leakage"]'
"""What to do about a feature that may know the answer."""


def suspected(report: Mapping[str, Any]) -> str:
    """Return which features may know the answer and why, or an empty text."""
    found = next((one for one in report["checks"] if one["name"] == DeliveryQuestion.LEAKAGE.value), None)
    if found is None or not found["applies"]:
        return ""
    numbers = found["numbers"] or {}
    suspect = found["verdict"] == Verdict.FAIL.value or numbers.get("stands_out")
    return str(found["reason"]) if suspect else ""


def check(report: Mapping[str, Any] | None, judged: Sequence[str], *, page: str = "") -> Check:
    """Judge the questions that [gate] delivery names; without any, tell what was found and judge nothing.

    `report` is a delivery's (`DeliveryReport.as_dict`), None where the data were not looked at. A question without an
    object (the first delivery has no last one) does not count; where none of those named has one, nothing is judged.
    """
    if report is None:
        why = "the data were not looked at: [delivery] enabled is false"
        return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=bool(judged))
    found = {one["name"]: Check(**{**one, "verdict": Verdict(one["verdict"])}) for one in report["checks"]}
    numbers = {name: one.verdict.value if one.applies else "no object" for name, one in found.items()}
    where = f" ({page})" if page else ""
    if not judged:
        open_ = [one for one in found.values() if one.applies and one.verdict is not Verdict.PASS]
        told = "; ".join(f"{one.name} ({one.verdict}): {one.reason}" for one in open_) or "nothing was found"
        why = f"[gate] delivery names no question, so nothing is judged; {told}{where}"
        if leak := suspected(report):
            why = f"not judged: a feature may know the answer: {leak}; {REMEDY}. {why}"
        return Check(
            name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, numbers=numbers, applies=False
        )
    asked = [found[name] for name in judged]
    applying = [one for one in asked if one.applies]
    if not applying:
        why = "; ".join(f"{one.name}: {one.reason}" for one in asked)
        return Check(
            name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, numbers=numbers, applies=False
        )
    verdict = combine(applying)
    decided = [one for one in applying if one.verdict is verdict]
    reason = "; ".join(f"{one.name}: {one.reason}" for one in decided)
    if verdict is Verdict.PASS:
        reason = f"{', '.join(one.name for one in applying)} hold"
    return Check(name=NAME, question=QUESTION, verdict=verdict, reason=f"{reason}{where}", numbers=numbers)
