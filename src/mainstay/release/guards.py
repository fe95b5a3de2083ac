"""The guards of a rollout: each asks one question about the pairs so far and answers with figures.

A guard passes when its confidence sequence lies within the limit, and fails when an e-process against "within the limit
at all times" reaches 1/alpha_fail. Both hold at every look at once (STATISTICS of `stats.sequential`), one-sided each.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.core.events import Arm, Trust
from mainstay.core.verdicts import Check, Verdict
from mainstay.release.units import Floats, log_harm, unit_values
from mainstay.stats import sequential
from mainstay.store.pairs import Pair

SLOW_SHARE = 0.05
"""Part of the challenger's answers that may be slower than the latency limit."""
SLOW_FLOOR_US = 25_000
"""An answer that is this little slower than the champion's p99 is never called slow: a compiled champion takes a
fraction of a millisecond, one with feature code some, and nobody notices. What is too slow by itself, [gate] max_p99_ms
says."""
MIN_LATENCIES = 50
ENOUGH_LABELS = 20
"""From so many labelled units on, labels speak and confidence does not."""
CONFIDENCE_DROP = 0.10
"""Smallest drop in mean confidence that counts as harm while there are no labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """How sure a verdict must be."""

    passing: float
    """Largest chance, over all looks, that a guard passes beyond its limit."""
    failing: float
    """Largest chance, over all looks, that a guard fails within its limit."""
    by_key: bool = True
    """Rows of one key are one another's neighbours; False where the project declares no key."""

    def keys(self, pairs: Sequence[Pair]) -> Sequence[Hashable] | None:
        """Return each pair's key, or None when each distinct request counts for itself."""
        return [pair.key_hash or pair.unit for pair in pairs] if self.by_key else None


def error_rate(pairs: Sequence[Pair], limit: float, levels: Levels) -> Check:
    """Judge the share of requests on which the challenger failed (raised, timed out, gave no finite answer)."""
    # A limit of 0 allows no failure: any one then counts for all it is worth, and nothing short of it can pass.
    limit = max(limit, 1e-9)
    failed = unit_values([float(pair.challenger_failed) for pair in pairs], levels.keys(pairs))
    low, high = sequential.bernoulli_sequence(float(failed.sum()), len(failed), levels.passing)
    log_e, _ = log_harm(failed, lambda x: sequential.log_bernoulli_above(float(x.sum()), len(x), limit))
    return _judged(
        name="error_rate",
        question=f"Does the challenger fail on at most {limit:.1%} of the requests?",
        failed=_reached(log_e, levels),
        passed=high <= limit,
        reason=f"{failed.sum():.4g} failures on {len(failed)} units of evidence, rate between {low:.3f} and "
        f"{high:.3f}, limit {limit:.3f}",
        numbers={
            "failures": sum(pair.challenger_failed for pair in pairs),
            "requests": len(pairs),
            "units": len(failed),
            "low": low,
            "high": high,
            "limit": limit,
            "log_e_harm": log_e,
        },
    )


def abstain_rate(pairs: Sequence[Pair], limit: float, levels: Levels) -> Check:
    """Judge the paired difference in the share of answers that the models themselves do not trust."""
    both = _both(pairs)
    more = unit_values([_doubts(p.challenger_trust) - _doubts(p.champion_trust) for p in both], levels.keys(both))
    low, high = _interval(more, levels)
    log_e, _ = log_harm(more, lambda x: sequential.bounded_mean_above(x, limit))
    return _judged(
        name="abstain_rate",
        question=f"Does the challenger doubt at most {limit:.1%} more of its answers than the champion?",
        failed=_reached(log_e, levels),
        passed=len(more) > 0 and high <= limit,
        reason=f"low-trust answers {_mean(more):+.3f} against the champion on {len(more)} units of evidence, between "
        f"{low:+.3f} and {high:+.3f}, limit {limit:+.3f}",
        numbers={"units": len(more), "difference": _mean(more), "low": low, "high": high, "limit": limit}
        | {"log_e_harm": log_e},
    )


def latency(pairs: Sequence[Pair], ratio: float, levels: Levels) -> Check:
    """Veto a challenger that answers late: too many of its answers beyond `ratio` times the champion's p99.

    Counts pairs that hold both latencies, for they were measured side by side on the same rows. The p99 is an estimate
    and is taken as it is; the 5 % that may lie beyond `ratio` times it leave room for that.
    """
    timed = [p for p in _both(pairs) if p.champion_latency_us > 0 and p.challenger_latency_us > 0]
    question = (
        f"Are at most {SLOW_SHARE:.0%} of the challenger's answers slower than {ratio:g} times the champion's p99?"
    )
    if len(timed) < MIN_LATENCIES:
        return _silent("latency", question, f"{len(timed)} requests timed on both sides, needed {MIN_LATENCIES}")
    p99 = float(np.quantile([p.champion_latency_us for p in timed], 0.99))
    limit_us = max(ratio * p99, p99 + SLOW_FLOOR_US)
    slow = unit_values([float(p.challenger_latency_us > limit_us) for p in timed], levels.keys(timed))
    low, high = sequential.bernoulli_sequence(float(slow.sum()), len(slow), levels.passing)
    log_e, _ = log_harm(slow, lambda x: sequential.log_bernoulli_above(float(x.sum()), len(x), SLOW_SHARE))
    return _judged(
        name="latency",
        question=question,
        failed=_reached(log_e, levels),
        passed=high <= SLOW_SHARE,
        reason=f"{slow.sum():.4g} of {len(slow)} units slower than {limit_us / 1000:.1f} ms (champion's p99 "
        f"{p99 / 1000:.1f} ms), share between {low:.3f} and {high:.3f}; a veto: only clear slowness counts",
        numbers={
            "units": len(slow),
            "limit_ms": limit_us / 1000,
            "champion_p99_ms": p99 / 1000,
            "low": low,
            "high": high,
        }
        | {"log_e_harm": log_e},
        veto=True,
    )


def accuracy(pairs: Sequence[Pair], margin: float, levels: Levels) -> Check:
    """Judge whether the challenger is right at most `margin` less often than the champion, on the same requests.

    Two ways to pass, each at half the level. `labelled`: the mean paired difference over labelled requests, which takes
    the labelled ones for a fair sample of all. `all`: over all requests with the least that is certain: equal answers
    are equally right whatever the truth (0), different ones without a label count −1; nothing is assumed, and a label
    that arrives later can only raise a value, so that the test stays valid. A challenger fails on labels alone.
    """
    both = _both(pairs)
    labelled = [p for p in both if p.label is not None]
    differences = unit_values([_difference(p) for p in labelled], levels.keys(labelled))
    least = unit_values([_least_difference(p) for p in both], levels.keys(both))
    half = Levels(passing=levels.passing / 2, failing=levels.failing)
    low, high = _interval(differences, half)
    certain, _ = _interval(least, half)
    log_e, _ = log_harm(differences, lambda x: sequential.bounded_mean_above(-x, margin))
    differ = sum(p.champion_label != p.challenger_label for p in both)
    reason = (
        f"right {_mean(differences):+.3f} against the champion on {len(differences)} labelled units of evidence, "
        f"between {low:+.3f} and {high:+.3f}; answers differ on {differ} of {len(both)} requests, so at least "
        f"{certain:+.3f} whatever the truth; limit {-margin:+.3f}"
    )
    return _judged(
        name="accuracy",
        question=f"Is the challenger right at most {margin:.1%} of the requests less often than the champion?",
        failed=_reached(log_e, levels),
        passed=max(low, certain) > -margin,
        reason=reason,
        numbers={
            "labelled_requests": len(labelled),
            "labelled_units": len(differences),
            "difference": _mean(differences),
            "low": low,
            "high": high,
            "different_answers": differ,
            "requests": len(both),
            "low_whatever_the_truth": certain,
            "limit": -margin,
            "log_e_harm": log_e,
        },
    )


def estimated_quality(pairs: Sequence[Pair], margin: float, levels: Levels) -> Check:
    """Veto a challenger whose calibrated confidence drops far below the champion's, as long as labels cannot speak."""
    both = [p for p in _both(pairs) if p.champion_confidence is not None and p.challenger_confidence is not None]
    labelled = sum(p.label is not None for p in both)
    limit = max(CONFIDENCE_DROP, 2 * margin)
    question = (
        f"While labels are missing: is the challenger's mean confidence at most {limit:.1%} below the champion's?"
    )
    if labelled >= ENOUGH_LABELS:
        return _silent("estimated_quality", question, f"{labelled} labelled requests speak for themselves")
    # Rounded down to hundredths: the harm is never overstated, and few distinct values are judged quickly.
    drops = [math.floor(100.0 * _drop(p)) / 100.0 for p in both]
    drop = unit_values(drops, levels.keys(both))
    if not len(drop):
        return _silent("estimated_quality", question, "no pair with two confidences yet")
    low, high = _interval(drop, levels)
    log_e, _ = log_harm(drop, lambda x: sequential.bounded_mean_above(x, limit))
    return _judged(
        name="estimated_quality",
        question=question,
        failed=_reached(log_e, levels),
        passed=False,
        reason=f"mean confidence {-_mean(drop):+.3f} against the champion's on {len(drop)} units of evidence, between "
        f"{-high:+.3f} and {-low:+.3f}, limit {-limit:+.3f}; a veto: confidence alone never passes a version",
        numbers={"units": len(drop), "difference": -_mean(drop), "low": -high, "high": -low, "limit": -limit}
        | {"log_e_harm": log_e},
        veto=True,
    )


def sample_ratio(pairs: Sequence[Pair], shares: Mapping[int, float], levels: Levels) -> Check:
    """Freeze the rollout when keys were not split as declared: the two sides then differ for another reason.

    Each key counts once, in the step where it first came; the steps' e-values multiply. `shares` maps a step to its
    declared share. A wrong split says nothing about the challenger, so the verdict is NOT_ENOUGH, which stops the
    rollout where it stands until a person decides.
    """
    question = "Were the keys split between the two sides as declared?"
    counted: dict[int, list[int]] = {}
    seen: set[str] = set()
    for pair in pairs:
        key = pair.key_hash or pair.unit
        if pair.step in shares and key not in seen:
            seen.add(key)
            counted.setdefault(pair.step, []).append(int(pair.arm == Arm.CHALLENGER))
    if not counted:
        return _silent("sample_ratio", question, "no key was split yet")
    log_e = sum(math.log(sequential.sample_ratio_e_value(sum(c), len(c), shares[s])) for s, c in counted.items())
    wrong = log_e >= math.log(1 / levels.failing)
    split = ", ".join(f"{sum(c)} of {len(c)} keys at {shares[s]:.0%}" for s, c in sorted(counted.items()))
    return Check(
        name="sample_ratio",
        question=question,
        verdict=Verdict.NOT_ENOUGH if wrong else Verdict.PASS,
        reason=f"{split}: {'not the declared split; the comparison is frozen' if wrong else 'as declared'}",
        numbers={"log_e": log_e, "split": {str(s): [sum(c), len(c)] for s, c in sorted(counted.items())}},
        applies=wrong,
    )


def _judged(
    *, name: str, question: str, failed: bool, passed: bool, reason: str, numbers: dict[str, Any], veto: bool = False
) -> Check:
    verdict = Verdict.FAIL if failed else Verdict.PASS if passed else Verdict.NOT_ENOUGH
    applies = failed or passed or not veto
    return Check(name=name, question=question, verdict=verdict, reason=reason, numbers=numbers, applies=applies)


def _silent(name: str, question: str, why: str) -> Check:
    return Check(name=name, question=question, verdict=Verdict.NOT_ENOUGH, reason=why, applies=False)


def _interval(values: Floats, levels: Levels) -> tuple[float, float]:
    """Return the confidence sequence whose two sides hold at `levels.passing` each."""
    return sequential.bounded_mean_sequence(values, min(2 * levels.passing, 0.999))


def _reached(log_e: float, levels: Levels) -> bool:
    return log_e >= math.log(1 / levels.failing)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _both(pairs: Sequence[Pair]) -> list[Pair]:
    return [p for p in pairs if not p.champion_failed and not p.challenger_failed]


def _doubts(trust: str | None) -> float:
    return float(trust in (Trust.LOW, Trust.ABSTAIN))


def _difference(pair: Pair) -> float:
    return float(pair.challenger_label == pair.label) - float(pair.champion_label == pair.label)


def _drop(pair: Pair) -> float:
    return (pair.champion_confidence or 0.0) - (pair.challenger_confidence or 0.0)


def _least_difference(pair: Pair) -> float:
    if pair.champion_label == pair.challenger_label:
        return 0.0
    return _difference(pair) if pair.label is not None else -1.0
