"""What a version's answers cost on the frozen test rows, by the declared costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.events import Trust
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.answers import Answer
from mainstay.stats import intervals
from mainstay.train import decide
from mainstay.train.fit import Rows
from mainstay.train.folds import group_codes

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

QUESTION = "Does an answer cost no more than is allowed?"
DRAWS = 500
CONFIDENCE = 0.9
"""Two-sided: each limit holds one-sided at 95 %."""


def measure(said: Sequence[Answer], rows: Rows, classes: tuple[str, ...], settings: Settings) -> dict[str, Any] | None:
    """Return the mean cost of answers as they are given, JSON-ready; None where no costs are declared.

    `value`, `low`, `high`: one-sided 95 % limits by drawing whole keys anew; `abstained`: share left to a person, each
    at the declared price (without one its label counts); `most_probable`: what the most probable class would have cost;
    `saved` with limits: that less this, paired.
    """
    costs = decide.matrix(settings, classes)
    if costs is None or not len(rows):
        return None
    price = settings.decide.abstain
    codes = decide.codes_of(classes, rows.truth)
    places = {name: number for number, name in enumerate(classes)}
    given = np.array([places[str(answer.label)] for answer in said])
    likely = np.array([int(np.argmax([answer.probabilities[name] for name in classes])) for answer in said])
    left = np.array([answer.trust is Trust.ABSTAIN for answer in said])
    paid = costs[codes, given]
    if price is not None:
        paid = np.where(left, price, paid)
    plain = costs[codes, likely]
    keys = group_codes(rows).tolist()
    value, low, high = _interval(paid, keys, settings.project.seed)
    saved, least, most = _interval(plain - paid, keys, settings.project.seed)
    return {
        "value": value,
        "low": low,
        "high": high,
        "rows": len(rows),
        "abstained": float(left.mean()),
        "most_probable": float(plain.mean()),
        "saved": saved,
        "saved_low": least,
        "saved_high": most,
    }


def check(report: Mapping[str, Any] | None, limit: float | None) -> Check | None:
    """Judge the mean cost by [gate] max_cost, or tell it; None where no costs are declared and none are asked for."""
    if report is None:
        if limit is None:
            return None
        why = "nothing was measured: the candidate was not trained here on rows of its own, or saw the test rows"
        return Check(name="costs", question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why)
    low, high = report["low"], report["high"]
    bounds = f" ({low:.4g} to {high:.4g}, one-sided 95 %)" if low is not None and high is not None else ""
    told = (
        f"an answer costs {report['value']:.4g}{bounds} on {report['rows']} test rows; the most probable class would "
        f"have cost {report['most_probable']:.4g}"
    )
    if report["abstained"]:
        told += f"; {report['abstained']:.1%} are left to a person"
    if limit is None:
        verdict, told = Verdict.NOT_ENOUGH, told + "; reported only: [gate] max_cost is not declared"
    elif high is None or low is None:
        verdict = Verdict.NOT_ENOUGH
    else:
        verdict = Verdict.PASS if high <= limit else Verdict.FAIL if low > limit else Verdict.NOT_ENOUGH
    if limit is not None:
        told += f"; allowed {limit:g}"
    return Check(
        name="costs", question=QUESTION, verdict=verdict, reason=told, numbers=dict(report), applies=limit is not None
    )


def _interval(values: Any, keys: Sequence[int], seed: int) -> tuple[float, float | None, float | None]:
    mean, low, high = intervals.bootstrap_by_key(
        values, keys, rng=np.random.default_rng(seed), draws=DRAWS, confidence=CONFIDENCE
    )
    known = math.isfinite(low) and math.isfinite(high)
    return mean, (low if known else None), (high if known else None)
