"""The gate's question about who is served worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.train.audit.groups import TOGETHER

NAME = "fairness"
TOLD = 3
"""Comparisons that the reason names; all stand in the numbers."""
QUESTION = "Is no protected group clearly served worse?"


def check(report: Mapping[str, Any] | None, limits: Mapping[str, float]) -> Check:
    """Judge each limit of [gate] fairness in each protected field and each two of them together.

    A ratio passes when it is shown to reach its limit, a difference when it is shown to stay within (one-sided 95 %,
    whole keys drawn anew); one that is shown not to fails; between, or where a field has not two groups of enough rows,
    there is not enough evidence.
    """
    if report is None:
        return _silent("the contract declares no protected group")
    if report["favourable"] is None:
        return _silent("[audit] favourable does not say which answer is the favourable one: nothing was asked")
    if not limits:
        return _silent("no limit is declared in [gate] fairness: nothing was asked", report)
    judged: list[tuple[Verdict, str]] = []
    few: list[str] = []
    for name, found in report["protected"].items():
        few += found["too_few_rows"]
        for measure, limit in limits.items():
            verdict, text = _judge(found["measures"].get(measure), measure, limit)
            if TOGETHER in name and not found["measures"]:
                continue  # intersections are often small; each of their fields is judged by itself
            judged.append((verdict, f"{name}: {measure} {text}"))
    verdict = combine(Check(name=NAME, question="", verdict=one, reason="") for one, _ in judged)
    told = [text for one, text in judged if one is verdict]
    more = f"; and {len(told) - TOLD} more" if len(told) > TOLD else ""
    lacking = f"; too few rows to judge {len(few)} groups, {few[0]} among them" if few else ""
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=verdict,
        reason="; ".join(told[:TOLD]) + f"{more}{lacking} (favourable: {report['favourable']}; {report['rows']} rows, "
        "one-sided 95 %)",
        numbers={"protected": report["protected"], "limits": dict(limits)},
    )


def unasked(why: str, *, applies: bool) -> Check:
    """Return the check where nothing was measured, because of `why`; it withholds the verdict where it `applies`."""
    return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=applies)


def proxies(found: Mapping[str, Any] | None) -> Check:
    """Report how far features give each protected group away, and which of them do; judges nothing."""
    known = [(one["auc"], name, one["carried_by"]) for name, one in (found or {}).items() if one["auc"] is not None]
    told = []
    for auc, name, carried in sorted(known, reverse=True, key=lambda one: one[0]):
        by = f", by {' and '.join(one['feature'] for one in carried[:2])}" if carried else ""
        told.append(f"{name} with an AUC of {auc:.3f}{by}")
    why = f"features tell {'; '.join(told)} (0.5: not at all)" if told else "it was not measured"
    question = "Do features give a protected group away that the model should not go by?"
    return Check(
        name="proxies",
        question=question,
        verdict=Verdict.NOT_ENOUGH,
        reason=why,
        numbers=dict(found or {}),
        applies=False,
    )


def _judge(found: Mapping[str, Any] | None, measure: str, limit: float) -> tuple[Verdict, str]:
    if found is None or found["value"] is None:
        return Verdict.NOT_ENOUGH, "cannot be computed: it takes two groups of enough rows"
    low, high = found["low"], found["high"]
    text = f"{found['value']:.3f} ({found['least']} against {found['most']})"
    if low is None or high is None:
        return Verdict.NOT_ENOUGH, f"{text}, without an interval"
    text += f", {low:.3f} to {high:.3f}, limit {limit:g}"
    if measure == "selection_ratio":
        return (Verdict.PASS if low >= limit else Verdict.FAIL if high < limit else Verdict.NOT_ENOUGH), text
    return (Verdict.PASS if high <= limit else Verdict.FAIL if low > limit else Verdict.NOT_ENOUGH), text


def _silent(why: str, report: Mapping[str, Any] | None = None) -> Check:
    numbers = {} if report is None else {"protected": report["protected"]}
    return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, numbers=numbers, applies=False)
