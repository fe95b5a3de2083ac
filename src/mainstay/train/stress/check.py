"""The gate's question about stress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.train.stress.measure import of_kind

NAME = "stress"
QUESTION = "Does the candidate keep enough of its metric when rows come as users and broken pipelines send them?"


def check(report: Mapping[str, Any], floors: Mapping[str, float]) -> Check:
    """Judge each kind that has a floor in [gate] stress, at the strength [stress] judged_at; report the others.

    Of a kind passes what is shown to keep its floor (one-sided 95 %), fails what is shown not to; what changed no row,
    or cannot happen to these rows, was not asked. A kind all of whose rows the contract refuses passes: nobody gets a
    wrong answer.
    """
    judged = {kind: _judge(report, kind, floor) for kind, floor in floors.items()}
    numbers = {
        "metric": report["metric"],
        "rows": report["rows"],
        "judged_at": report["judged_at"],
        "kept": {one["kind"]: one["kept"] for one in report["kept"] if one["strength"] == report["judged_at"]},
        "floors": dict(floors),
    }
    if not floors:
        worst = _worst(report)
        why = f"no floor is declared in [gate] stress: nothing was asked{worst}"
        return Check(
            name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, numbers=numbers, applies=False
        )
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=combine(Check(name=NAME, question="", verdict=verdict, reason="") for verdict, _ in judged.values()),
        reason="; ".join(text for _, text in judged.values())
        + f" (share of {report['metric']} kept at strength {report['judged_at']:g}, {report['rows']} rows, "
        "one-sided 95 %)",
        numbers=numbers,
    )


def unasked(why: str, *, applies: bool) -> Check:
    """Return the check where nothing was measured, because of `why`; it withholds the verdict where it `applies`."""
    return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=applies)


def _judge(report: Mapping[str, Any], kind: str, floor: float) -> tuple[Verdict, str]:
    found = of_kind(report, kind)
    if found is None:
        why = report.get("not_asked", {}).get(kind, "it was not measured")
        return Verdict.NOT_ENOUGH, f"{kind}: {why}"
    if found["error"]:
        return Verdict.FAIL, f"{kind}: the model raised {found['error']}"
    if not found["changed"]:
        return Verdict.NOT_ENOUGH, f"{kind}: no row was changed by it"
    if not found["rows"] and found["refused"] == 1.0:
        return Verdict.PASS, f"{kind}: the contract refuses every such row"
    kept, low, high = found["kept"], found["low"], found["high"]
    if kept is None or low is None or high is None:
        return Verdict.NOT_ENOUGH, f"{kind}: cannot be computed on {found['rows']} rows"
    verdict = Verdict.PASS if low >= floor else Verdict.FAIL if high < floor else Verdict.NOT_ENOUGH
    return verdict, f"{kind} {kept:.3f} ({low:.3f} to {high:.3f}), floor {floor:g}"


def _worst(report: Mapping[str, Any]) -> str:
    known = [(one["kept"], one["kind"]) for one in report["kept"] if one["strength"] == report["judged_at"]]
    told = sorted((kept, kind) for kept, kind in known if kept is not None)
    if not told:
        return ""
    return f"; least is kept of {report['metric']} under {told[0][1]}: {told[0][0]:.3f}"
