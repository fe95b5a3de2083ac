"""How often answers are right: what was promised, what is estimated, what is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.stats import intervals, ordering
from mainstay.status.records import Estimate, Quality
from mainstay.watch.estimate import labels_needed
from mainstay.watch.grading import is_number

if TYPE_CHECKING:
    from mainstay.core.releases import Release
    from mainstay.store.blocks import Block
    from mainstay.store.feedback import Graded

ACCURACY = "accuracy"
NDCG = "ndcg"
WITHIN = 0.03
"""Half-width for which the needed labels are told."""
DRAWS = 500
UNGRADED = (
    "How well it orders now: no grades came for this version. Those of all candidates of random groups would tell."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What a ranking's labels are read by."""

    target: str
    group: str
    at: int


def of(
    champion: Release | None,
    seen: Sequence[Block],
    labels: Sequence[Graded],
    ranking: Ranking | None = None,
    *,
    number: str = "",
    counted: Mapping[str, tuple[int, int]] | None = None,
) -> Quality:
    """Return what is known of the champion's quality; everything speaks of that one version.

    Of a ranking it is the NDCG of its first candidates, a share too: 1 is the best order. `number` is the target of a
    regression, whose distances are no shares: they are told as a sentence. `counted`: of each version its right answers
    and its labels, where the database counted them in the place of `labels`.
    """
    if champion is None:
        return Quality()
    sight = detectable([block for block in seen if block.bundle == champion.name])
    if ranking is not None:
        found = _of_ranking(champion, [item for item in labels if item.bundle == champion.name], ranking)
        return replace(found, detectable=sight)
    if number:
        own = [block for block in seen if block.bundle == champion.name]
        mine = [item for item in labels if item.bundle == champion.name and item.name == number]
        return Quality(unknown=_of_numbers(own, mine), detectable=sight)
    estimated = latest_estimate([block for block in seen if block.bundle == champion.name])
    if counted is None:
        real = on_labels([item for item in labels if item.bundle == champion.name])
    else:
        real = of_counts(*counted.get(champion.name, (0, 0)))
    return Quality(
        held_out=metric(champion, ACCURACY),
        estimated=estimated,
        real=real,
        unknown="" if real is not None else _unknown(estimated),
        detectable=sight,
    )


def _of_numbers(seen: Sequence[Block], labels: Sequence[Graded]) -> str:
    """Return how far a regression's answers are from the truth, as far as that is known."""
    sums = [block.summary["quality"]["whole"] for block in seen if block.summary.get("quality")]
    rows = sum(one["rows"][0] for one in sums)
    off = [abs(float(i.label) - float(i.value)) for i in labels if is_number(i.label) and is_number(i.value)]
    told = []
    if rows:
        mean = sum(one["loss"][0] for one in sums) / rows
        told.append(f"estimated {mean:.3g} without labels, on the last {rows:.0f} requests")
    if off:
        told.append(f"{sum(off) / len(off):.3g} on {len(off)} labels")
    known = "; ".join(told) or "not known yet"
    return (
        f"Mean distance of answers from the truth: {known}. mainstay quality tells intervals and how many labels tell."
    )


def detectable(seen: Sequence[Block]) -> str:
    """Return what the watch could see now, as its newest block says."""
    found = seen[-1].summary.get("outlook") if seen else None
    return str(found.get("text", "")) if isinstance(found, Mapping) else ""


def _of_ranking(champion: Release, labels: Sequence[Graded], ranking: Ranking) -> Quality:
    held = metric(champion, NDCG)
    real = on_groups(labels, ranking)
    return Quality(
        held_out=None if held is None else replace(held, note=f"NDCG@{ranking.at}, {held.note}"),
        real=real,
        unknown="" if real is not None else UNGRADED,
    )


def on_groups(labels: Sequence[Graded], ranking: Ranking) -> Estimate | None:
    """Return the mean NDCG of the groups whose candidates were graded, each with those that were, and 95 % by key."""
    judged = [
        item for item in labels if item.name == ranking.target and is_number(item.value) and is_number(item.label)
    ]
    groups = [(item.key_hash, item.inputs.get(ranking.group)) for item in judged]
    grades, scores = (np.array(values, dtype=np.float64) for values in _two(judged))
    held = ordering.per_row(grades, scores, groups, at=ranking.at)
    firsts = {group: place for place, group in enumerate(groups) if held[ordering.WEIGHT][place] > 0}
    if not firsts:
        return None
    values = held[NDCG][list(firsts.values())]
    value, low, high = intervals.bootstrap_by_key(
        values, [key for key, _ in firsts], rng=np.random.default_rng(0), draws=DRAWS
    )
    note = f"NDCG@{ranking.at} of {len(firsts)} groups, on the grades that came in"
    counted = sum(weight > 0 for weight in held[ordering.WEIGHT].tolist())
    bounds = {"low": low, "high": high} if math.isfinite(low) else {}  # of one key nothing can be drawn
    return _estimate({"value": value, "n": counted, **bounds}, note=note)


def _two(judged: Sequence[Graded]) -> tuple[list[Any], list[Any]]:
    return [item.value for item in judged], [item.label for item in judged]


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
    return of_counts(sum(1 for item in judged if item.correct), len(judged))


def of_counts(right: int, n: int) -> Estimate | None:
    """Return the share of `right` among `n` labelled answers, with Wilson's 95 % interval; None without any."""
    if not n:
        return None
    low, high = intervals.wilson(right, n)
    return Estimate(value=right / n, low=low, high=high, n=n, note="on the labels that came in")


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
        return (
            "How often answers are right now: no labels came for this version, and no estimate is made yet. "
            f"{labels_needed(WITHIN)} labelled random requests would tell within ±{WITHIN * 100:.0f} points."
        )
    needed = labels_needed(WITHIN, accuracy=estimated.value)
    return (
        "Whether the estimate holds: no labels came for this version. "
        f"{needed} labelled random requests would tell within ±{WITHIN * 100:.0f} points."
    )
