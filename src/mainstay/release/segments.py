"""Each declared segment by the limits of the whole: what helps most of the users may hurt some of them."""

from __future__ import annotations

from typing import Any

from mainstay.core.verdicts import Check, Verdict
from mainstay.release.questions import Plan, one_by_one
from mainstay.release.units import Levels, View
from mainstay.release.verdicts import silent

NAME = "segments"
QUESTION = "Is every declared segment served within the limits?"
MOST_NAMED = 5
"""Segments of one kind that a reason names."""


def segments(view: View, plan: Plan, levels: Levels) -> Check:
    """Judge the guards for each declared segment by itself, with the level shared among segments.

    The m-th segment that came has 1/(m (m+1)) of `levels.failing`: how many there are need not be known, and they sum
    to at most the whole. `told`: figures only. `veto`: one that is shown to be harmed stops the rollout. `prove`: those
    with at least `segment_min_share` of the requests must also be shown to be well; smaller ones are told as not
    enough, and only stop what is shown to harm them, for they would keep everybody waiting.
    """
    places: dict[str, list[int]] = {}
    for i, pair in enumerate(view.pairs):
        for name in pair.segments:
            places.setdefault(name, []).append(i)
    if plan.guards.segments == "told":
        return silent(NAME, QUESTION, _figures_told(view, places), _plain(view, places))
    found = {}
    for m, (name, held) in enumerate(places.items(), start=1):
        one = Levels(passing=levels.passing, failing=levels.failing / (m * (m + 1.0)), prove=levels.prove)
        found[name] = one_by_one(view.part(held), plan, one)
    harmed = {name: [c for c in checks if c.verdict is Verdict.FAIL] for name, checks in found.items()}
    harmed = {name: checks for name, checks in harmed.items() if checks}
    open_ = {
        name: [c.name for c in checks if c.applies and c.verdict is Verdict.NOT_ENOUGH]
        for name, checks in found.items()
    }
    open_ = {name: guards for name, guards in open_.items() if guards and name not in harmed}
    small = [name for name in open_ if len(places[name]) < plan.guards.segment_min_share * len(view.pairs)]
    waited = [name for name in open_ if name not in small] if plan.guards.segments == "prove" else []
    told = [f"{name}: {'; '.join(f'{c.name}, {c.reason}' for c in checks)}" for name, checks in harmed.items()]
    if waited:
        told.append(f"not enough evidence yet for {_named(waited)}")
    if small and plan.guards.segments == "prove":
        told.append(f"too small to wait for, not enough evidence: {_named(small)}")
    if open_ and plan.guards.segments == "veto":
        told.append(f"not enough evidence for {_named(list(open_))}; only shown harm stops a rollout")
    well = [name for name in places if name not in harmed and name not in open_]
    told.append(f"{len(well)} of {len(places)} segments are shown to be well")
    numbers = _plain(view, places)
    for name, checks in found.items():
        numbers[name]["verdicts"] = {c.name: c.verdict.value for c in checks if c.applies}
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=Verdict.FAIL if harmed else Verdict.NOT_ENOUGH if open_ else Verdict.PASS,
        reason="; ".join(told),
        numbers=numbers,
        applies=bool(harmed or waited or not open_),
    )


def _plain(view: View, places: dict[str, list[int]]) -> dict[str, Any]:
    """Return for each segment how much came of it, and what is seen at first sight."""
    out = {}
    for name, held in places.items():
        part = view.part(held)
        answered = [p for p in part.pairs if not p.challenger_failed and not p.champion_failed]
        labelled = [p for p in answered if p.label is not None]
        out[name] = {
            "requests": len(held),
            "units": len(set(part.keys.tolist())),
            "failures": sum(p.challenger_failed for p in part.pairs),
            "different_answers": sum(p.champion_label != p.challenger_label for p in answered),
            "labelled_requests": len(labelled),
            "right": sum(p.challenger_label == p.label for p in labelled),
            "champion_right": sum(p.champion_label == p.label for p in labelled),
        }
    return out


def _figures_told(view: View, places: dict[str, list[int]]) -> str:
    failing = {name: sum(view.pairs[i].challenger_failed for i in held) / len(held) for name, held in places.items()}
    worst = max(failing, key=lambda name: failing[name])
    return (
        f"{len(places)} segments; most failures in {worst} ({failing[worst]:.1%} of {len(places[worst])} requests); "
        '[rollout.guards] segments = "told": nothing is judged'
    )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
