"""The guards on quality: labels where they are, what is certain without them, and confidence while they are missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from mainstay.core.verdicts import Check
from mainstay.release.units import Levels, View, weigh
from mainstay.release.verdicts import judged, silent
from mainstay.store.pairs import Pair

ENOUGH_LABELS = 20
"""From so many labelled requests on, labels speak and confidence does not."""
CONFIDENCE_DROP = 0.10
"""Smallest drop in mean confidence that counts as harm while there are no labels."""

Worse = Callable[[Pair], float | None]
"""How much worse the challenger was on a pair; None where that is not known."""


def accuracy(view: View, margin: float, levels: Levels, *, label_wait: timedelta | None = None) -> Check:
    """Judge whether the challenger is right at most `margin` less often than the champion, on the same requests.

    Two ways to pass, each at half the level. `labelled`: the mean paired difference over labelled requests, which takes
    the labelled ones for a fair sample of all. `all`: over all requests with the worst that is possible: equal answers
    are equally right whatever the truth (0), different ones without a label count 1; nothing is assumed, and a label
    that arrives later can only make a value smaller, so that the test stays valid. It fails on labels alone.
    """
    return _not_worse(
        view,
        "accuracy",
        f"Is the challenger right at most {margin:.1%} of the requests less often than the champion?",
        "wrong",
        worse=_lost,
        at_worst=lambda p: 0.0 if p.champion_label == p.challenger_label else 1.0,
        cap=1.0,
        margin=margin,
        levels=levels,
        label_wait=label_wait,
    )


def loss(view: View, margin: float, cap: float, levels: Levels, *, label_wait: timedelta | None = None) -> Check:
    """Judge whether the challenger's mean absolute error is at most `margin` above the champion's (a regression).

    Each error counts at most `cap` (winsorised, so that no single truth decides). Without a label the difference of two
    errors is at most the difference of the two answers (triangle inequality): that is the worst that is possible.
    """
    return _not_worse(
        view,
        "loss",
        f"Is the challenger's mean absolute error (at most {cap:g} each) at most {margin:g} above the champion's?",
        "off by",
        worse=lambda p: _more_off(p, cap),
        at_worst=lambda p: _in_steps(min(abs(_number(p.challenger_label) - _number(p.champion_label)), cap), cap),
        cap=cap,
        margin=margin,
        levels=levels,
        label_wait=label_wait,
    )


def estimated_quality(view: View, margin: float, levels: Levels) -> Check:
    """Stop a challenger whose calibrated confidence drops far below the champion's, as long as labels cannot speak."""
    limit = max(CONFIDENCE_DROP, 2 * margin)
    question = (
        f"While labels are missing: is the challenger's mean confidence at most {limit:.1%} below the champion's?"
    )
    labelled = sum(p.label is not None for p in view.pairs if _both(p))
    if labelled >= ENOUGH_LABELS:
        return silent("estimated_quality", question, f"{labelled} labelled requests speak for themselves")
    # Rounded down to hundredths: the harm is never overstated, and few distinct values are judged quickly.
    drops = [None if drop is None else math.floor(100.0 * drop) / 100.0 for drop in map(_drop, view.pairs)]
    found = weigh(view, drops, limit, levels, (-1.0, 1.0))
    if not found.keys:
        return silent("estimated_quality", question, "no pair with two confidences yet")
    return judged(
        "estimated_quality",
        question,
        failed=found.failed(levels),
        passed=False,
        reason=f"mean confidence {-found.mean:+.3f} against the champion's on {found.keys} units of evidence, between "
        f"{-found.high:+.3f} and {-found.low:+.3f}, limit {-limit:+.3f}; confidence alone never passes a version",
        numbers={**found.numbers(), "limit": limit},
        levels=levels,
    )


def _not_worse(
    view: View,
    name: str,
    question: str,
    how: str,
    *,
    worse: Worse,
    at_worst: Worse,
    cap: float,
    margin: float,
    levels: Levels,
    label_wait: timedelta | None,
) -> Check:
    both = [_both(pair) for pair in view.pairs]
    told = [worse(p) if b and p.label is not None else None for p, b in zip(view.pairs, both, strict=True)]
    possible = [
        None if not b else at_worst(p) if known is None else known
        for p, b, known in zip(view.pairs, both, told, strict=True)
    ]
    half = levels.part(0.5)
    labelled = weigh(view, told, margin, Levels(passing=half.passing, failing=levels.failing), (-cap, cap))
    certain = weigh(view, possible, margin, half, (-cap, cap))
    differ = sum(b and p.champion_label != p.challenger_label for p, b in zip(view.pairs, both, strict=True))
    stopped = "" if certain.passed(half) else _labels_stopped(view, label_wait)
    reason = (
        f"{how} {labelled.mean:+.4g} against the champion on {labelled.keys} labelled units of evidence, between "
        f"{labelled.low:+.4g} and {labelled.high:+.4g}; answers differ on {differ} of {sum(both)} requests, so at most "
        f"{certain.high:+.4g} whatever the truth; limit {margin:+.4g}{stopped}"
    )
    numbers: dict[str, Any] = {
        "labelled_requests": labelled.rows,
        "labelled_units": labelled.keys,
        "units": labelled.keys,
        "difference": -labelled.mean,
        "low": -labelled.high,
        "high": -labelled.low,
        "different_answers": differ,
        "requests": sum(both),
        "low_whatever_the_truth": -certain.high,
        "limit": -margin,
        "log_e_harm": labelled.log_harm,
        "log_e_safe": labelled.log_safe,
        "since": labelled.since,
    }
    return judged(
        name,
        question,
        failed=labelled.failed(levels),
        passed=not stopped and (labelled.passed(half) or certain.passed(half)),
        reason=reason,
        numbers=numbers,
        levels=levels,
    )


def _labels_stopped(view: View, label_wait: timedelta | None) -> str:
    """Return that labels no longer come, or an empty text: of the present step none, though they are due by now.

    What older labels proved was about fewer users and another time.
    """
    if label_wait is None or not view.pairs:
        return ""
    latest = view.pairs[-1]
    step = [p for p in view.pairs if p.step == latest.step]
    due = [p for p in step if latest.occurred_at - p.occurred_at > label_wait]
    if not due or any(p.label is not None for p in step):
        return ""
    hours = label_wait.total_seconds() / 3600
    return f"; no label for {len(due)} requests of this step that are older than {hours:g} hours: labels stopped"


def _lost(pair: Pair) -> float:
    return float(pair.champion_label == pair.label) - float(pair.challenger_label == pair.label)


def _more_off(pair: Pair, cap: float) -> float | None:
    truth, mine, theirs = (_number(v) for v in (pair.label, pair.challenger_label, pair.champion_label))
    return _in_steps(min(abs(mine - truth), cap) - min(abs(theirs - truth), cap), cap)


def _in_steps(value: float, cap: float) -> float | None:
    """Return the value to the nearest thousandth of the cap: few distinct values are judged quickly. NaN: None."""
    return round(value / cap, 3) * cap if math.isfinite(value) else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _drop(pair: Pair) -> float | None:
    if not _both(pair) or pair.champion_confidence is None or pair.challenger_confidence is None:
        return None
    return pair.champion_confidence - pair.challenger_confidence


def _both(pair: Pair) -> bool:
    return not pair.champion_failed and not pair.challenger_failed
