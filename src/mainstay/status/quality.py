"""How often answers are right: what was promised, what is estimated, what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainstay.stats import intervals
from mainstay.status.records import Estimate, Quality

if TYPE_CHECKING:
    from mainstay.core.releases import Release
    from mainstay.store.blocks import Block
    from mainstay.store.feedback import Graded

ACCURACY = "accuracy"


def of(champion: Release | None, seen: Sequence[Block], labels: Sequence[Graded]) -> Quality:
    """Return what is known of the champion's quality; everything speaks of that one version."""
    if champion is None:
        return Quality()
    estimated = latest_estimate([block for block in seen if block.bundle == champion.name])
    real = on_labels([item for item in labels if item.bundle == champion.name])
    return Quality(
        held_out=metric(champion, ACCURACY),
        estimated=estimated,
        real=real,
        unknown="" if real is not None else _unknown(estimated),
    )


def metric(release: Release, name: str) -> Estimate | None:
    """Return a held-out metric as the version's facts keep it: a number, or an object with value, low, high and n."""
    found = (release.facts.get("metrics") or {}).get(name)
    if isinstance(found, Mapping):
        rows = (release.facts.get("evaluation") or {}).get("rows", 0)
        return _estimate({"n": rows} | dict(found), note="on held-out rows, before the release")
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return Estimate(value=float(found), note="on held-out rows, before the release")
    return None


def latest_estimate(seen: Sequence[Block]) -> Estimate | None:
    """Return the newest estimate of the accuracy now that the watch left with a block."""
    for block in reversed(seen):
        found = block.summary.get("estimate")
        if isinstance(found, Mapping) and found.get("value") is not None:
            return _estimate(found, note=str(found.get("assumption", "")))
    return None


def on_labels(labels: Sequence[Graded]) -> Estimate | None:
    """Return the share of right answers among the labelled ones, with Wilson's 95 % interval."""
    judged = [item for item in labels if item.correct is not None]
    if not judged:
        return None
    right = sum(1 for item in judged if item.correct)
    low, high = intervals.wilson(right, len(judged))
    return Estimate(value=right / len(judged), low=low, high=high, n=len(judged), note="on the labels that came in")


def _estimate(found: Mapping[str, Any], *, note: str) -> Estimate | None:
    value = found.get("value")
    if not isinstance(value, (int, float)):
        return None
    low, high = found.get("low"), found.get("high")
    return Estimate(
        value=float(value),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        n=int(found.get("n") or found.get("rows") or 0),
        note=note,
    )


def _unknown(estimated: Estimate | None) -> str:
    if estimated is None:
        return "How often answers are right now: no labels came for this version, and no estimate is made yet."
    return (
        "Whether the estimate holds: no labels came for this version. "
        "A few hundred labelled random requests would tell."
    )
