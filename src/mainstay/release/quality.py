"""Gate checks on quality: floors, and not being worse than the champion on the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.models.segments import segment_names
from mainstay.release import metrics, paired
from mainstay.release.metrics import Labelled, Scored
from mainstay.stats import ordering
from mainstay.stats.intervals import normal_quantile

WHERE = {
    "not_worse": "frozen test rows",
    "not_worse_on_recent": "held-out rows of recent traffic",
    "not_worse_on_golden": "golden set",
    "not_worse_on_stress": "test rows as they come under stress",
    "segments_on_recent": "segments of recent traffic",
}
"""What a comparison was made on, by its name."""


def floors(scored: Scored, declared: Mapping[str, float]) -> Check:
    """Ask whether each metric reaches its declared floor (for an error: stays below its ceiling)."""
    question = "Does every metric on the frozen test rows reach its floor?"
    if not declared:
        return _silent("floors", question, "no floor is declared in [gate] floors: nothing was asked")
    found = {name: metrics.value(name, scored) for name in declared}
    short = [n for n, v in found.items() if not metrics.goodness(n, v) >= metrics.goodness(n, declared[n])]
    unknown = not len(scored.truth) or any(math.isnan(found[name]) for name in short)
    told = ", ".join(f"{name} {found[name]:.4f} (floor {declared[name]:g})" for name in declared)
    verdict = Verdict.PASS if not short else Verdict.NOT_ENOUGH if unknown else Verdict.FAIL
    return Check(
        name="floors",
        question=question,
        verdict=verdict,
        reason=f"{told}, on {_size(scored)}",
        numbers={"rows": len(scored.truth), **{n: {"value": found[n], "floor": declared[n]} for n in declared}},
    )


def not_worse(
    name: str,
    mine: Scored,
    theirs: Scored | None,
    data: Labelled | None,
    margins: Mapping[str, float],
    seed: int,
    *,
    confidence: float = 0.95,
) -> Check:
    """Ask whether the candidate is at most the declared margin worse than the champion, metric by metric.

    Accuracy by Tango's score interval, and where keys repeat by the wider of that and a bootstrap of whole keys; other
    metrics by that bootstrap. PASS when the one-sided limit at `confidence` lies within the margin, FAIL when the
    opposite limit lies beyond it, NOT_ENOUGH between.
    """
    question = f"Is the candidate hardly worse than the champion on the {WHERE.get(name, WHERE['not_worse'])}?"
    if theirs is None:
        return _silent(name, question, "there is no champion to compare with")
    if data is None:
        return _silent(name, question, "there is no labelled traffic to compare on")
    if not margins:
        return _silent(name, question, "no margin is declared in [gate] not_worse_by: nothing was asked")
    compared = {metric: _compare(metric, mine, theirs, data, seed, confidence) for metric in margins}
    verdicts = {metric: _verdict(compared[metric], margins[metric]) for metric in margins}
    told = "; ".join(
        f"{metric} {compared[metric]['difference']:+.4f} ({compared[metric]['low']:+.4f} to "
        f"{compared[metric]['high']:+.4f}), allowed {-margins[metric]:+g}"
        for metric in margins
    )
    checks = [Check(name=name, question=question, verdict=v, reason="") for v in verdicts.values()]
    return Check(
        name=name,
        question=question,
        verdict=combine(checks) if len(data) else Verdict.NOT_ENOUGH,
        reason=f"{told}, on {_size(mine)} (more is better, one-sided {confidence * 100:g} %)",
        numbers={"rows": len(data), **{m: compared[m] | {"margin": margins[m]} for m in margins}},
    )


def segments(
    mine: Scored,
    theirs: Scored | None,
    data: Labelled,
    contract: Contract,
    margins: Mapping[str, float],
    min_rows: int,
    seed: int,
    *,
    confidence: float = 0.95,
) -> Check:
    """Ask whether any declared segment is shown to be worse than the champion by more than the margin.

    Only a shown harm fails (both one-sided limits beyond the margin); segments with too few rows are named.
    """
    question = "Is no segment clearly worse off than with the champion?"
    if theirs is None:
        return _silent("segments", question, "there is no champion to compare with")
    places: dict[str, list[int]] = {}
    for position, row in enumerate(data.rows):
        for segment in segment_names(contract, row):
            places.setdefault(segment, []).append(position)
    judged = {s: rows for s, rows in sorted(places.items()) if len(rows) >= min_rows}
    few = sorted(set(places) - set(judged))
    if not judged or not margins:
        why = "no margin is declared" if places and not margins else f"no segment has {min_rows} rows"
        return _silent("segments", question, f"{why}; segments with fewer: {', '.join(few) or 'none'}")
    numbers = {}
    worse = []
    for segment, positions in judged.items():
        rows = np.array(positions, dtype=np.intp)
        part = _part(data, positions)
        for metric, margin in margins.items():
            found = _compare(metric, metrics.take(mine, rows), metrics.take(theirs, rows), part, seed, confidence)
            numbers[f"{segment} {metric}"] = found | {"rows": len(positions), "margin": margin}
            if found["high"] < -margin:
                worse.append(f"{segment}: {metric} {found['difference']:+.3f} on {len(positions)} rows")
    return Check(
        name="segments",
        question=question,
        verdict=Verdict.FAIL if worse else Verdict.PASS,
        reason=("; ".join(worse) or f"none of {len(judged)} segments is shown to be worse by more than its margin")
        + (f"; too few rows to judge: {', '.join(few)}" if few else ""),
        numbers={**numbers, "too_few_rows": few},
    )


def _compare(
    metric: str, mine: Scored, theirs: Scored, data: Labelled, seed: int, confidence: float
) -> dict[str, float]:
    n = len(mine.truth)

    def difference(rows: NDArray[np.intp]) -> float:
        ours, others = metrics.value(metric, mine, rows), metrics.value(metric, theirs, rows)
        return metrics.goodness(metric, ours) - metrics.goodness(metric, others)

    found = difference(np.arange(n, dtype=np.intp)) if n else math.nan
    if metric != "accuracy":
        low, high = paired.bootstrap(
            difference, n, keys=data.keys, rng=np.random.default_rng(seed), confidence=confidence
        )
        return {"difference": found, "low": low, "high": high}
    gained = int(((mine.right == 1) & (theirs.right == 0)).sum())
    lost = int(((mine.right == 0) & (theirs.right == 1)).sum())
    low, high = paired.tango(gained, lost, n, z=normal_quantile(2.0 * confidence - 1.0))
    if paired.keys_repeat(data.keys):
        rng = np.random.default_rng(seed)
        wide = paired.bootstrap(difference, n, keys=data.keys, rng=rng, confidence=confidence)
        low, high = min(low, wide[0]), max(high, wide[1])
    return {"difference": found, "low": low, "high": high, "gained": gained, "lost": lost}


def _size(scored: Scored) -> str:
    """Return how much was measured on, in words."""
    rows = f"{len(scored.truth)} rows"
    if scored.ranked is None:
        return rows
    return f"{rows} of {round(scored.ranked[ordering.WEIGHT].sum())} groups with a relevant candidate"


def _verdict(found: Mapping[str, float], margin: float) -> Verdict:
    if found["low"] >= -margin:
        return Verdict.PASS
    return Verdict.FAIL if found["high"] < -margin else Verdict.NOT_ENOUGH


def _part(data: Labelled, positions: list[int]) -> Labelled:
    return Labelled(
        rows=[data.rows[i] for i in positions],
        truth=[data.truth[i] for i in positions],
        keys=None if data.keys is None else [data.keys[i] for i in positions],
        groups=None if data.groups is None else [data.groups[i] for i in positions],
    )


def candidate_saw(declared: Mapping[str, float]) -> Check:
    """Return the check of floors for a candidate that was fitted on the test rows too: they prove nothing of it."""
    question = "Does every metric on the frozen test rows reach its floor?"
    if not declared:
        return _silent("floors", question, "no floor is declared in [gate] floors: nothing was asked")
    why = "the model was adopted without a holdout and saw these rows: they prove nothing; give it a holdout"
    return Check(name="floors", question=question, verdict=Verdict.NOT_ENOUGH, reason=why)


def champion_saw(name: str) -> Check:
    """Return the check of a candidate whose champion was fitted on the test rows too: they would flatter it."""
    why = "the champion was adopted without a holdout and saw these rows; live traffic compares the two"
    return _silent(name, "Is the candidate hardly worse than the champion on the frozen test rows?", why)


def unasked(name: str, why: str) -> Check:
    """Return a comparison that has no object, and why."""
    return _silent(name, f"Is the candidate hardly worse than the champion on the {WHERE[name]}?", why)


def _silent(name: str, question: str, why: str) -> Check:
    return Check(name=name, question=question, verdict=Verdict.NOT_ENOUGH, reason=why, applies=False)
