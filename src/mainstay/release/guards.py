"""The guards on failures and doubts: each asks one question about the pairs so far and answers with figures.

A guard passes when the evidence that its limit is kept reaches 1/alpha_pass, and fails when the evidence that it is
broken, from whatever moment on, reaches 1/alpha_fail. Both hold at every look at once, however often one looks
(`stats.sequential`, `stats.stretches`), and keys are the unit of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mainstay.core.events import Arm, Trust
from mainstay.core.verdicts import Check, Verdict
from mainstay.release.units import Levels, View, Weighed, weigh
from mainstay.release.verdicts import judged, silent
from mainstay.stats import sequential
from mainstay.store.pairs import Pair


def error_rate(view: View, limit: float, levels: Levels) -> Check:
    """Judge the share of requests on which the challenger failed: it raised, passed its deadline, gave no finite answer
    or refused what the champion takes.
    """
    found = weigh(view, [float(pair.challenger_failed) for pair in view.pairs], limit, levels)
    failures = sum(pair.challenger_failed for pair in view.pairs)
    reason = (
        f"{failures} failures on {found.rows} requests of {found.keys} units of evidence, rate between "
        f"{found.low:.4f} and {found.high:.4f}, limit {limit:.4g}"
    )
    question = f"Does the challenger fail on at most {limit:.2%} of the requests?"
    return _of(found, "error_rate", question, reason, levels, {"failures": failures, "limit": limit})


def error_rate_difference(view: View, limit: float, levels: Levels) -> Check:
    """Judge how much more often than the champion it fails, on the same requests."""
    more = [float(p.challenger_failed) - float(p.champion_failed) for p in view.pairs]
    found = weigh(view, more, limit, levels, (-1.0, 1.0))
    reason = _compared("failures", found, limit)
    question = f"Does the challenger fail on at most {limit:.2%} more of the requests than the champion?"
    return _of(found, "error_rate_difference", question, reason, levels, {"limit": limit})


def error_rate_ratio(view: View, times: float, levels: Levels) -> Check:
    """Judge how many times as often as the champion it fails, on the same requests."""
    pairs = [(float(p.challenger_failed), float(p.champion_failed)) for p in view.pairs]
    return _ratio(view, "error_rate_ratio", "fail", pairs, times, levels)


def abstain_rate(view: View, limit: float, levels: Levels) -> Check:
    """Judge the paired difference in the share of answers that the models themselves do not trust."""
    both = [_both(pair) for pair in view.pairs]
    more = [_doubts(p.challenger_trust) - _doubts(p.champion_trust) if b else None for p, b in _zip(view, both)]
    found = weigh(view, more, limit, levels, (-1.0, 1.0))
    refused = sum(p.challenger_trust is Trust.ABSTAIN for p, b in _zip(view, both) if b)
    reason = _compared("low-trust answers", found, limit) + f"; it abstained from {refused} of them"
    question = f"Does the challenger doubt at most {limit:.1%} more of its answers than the champion?"
    return _of(found, "abstain_rate", question, reason, levels, {"limit": limit, "abstained": refused})


def abstain_rate_ratio(view: View, times: float, levels: Levels) -> Check:
    """Judge how many times as often as the champion it doubts its answers, on the same requests."""
    pairs = [(_doubts(p.challenger_trust), _doubts(p.champion_trust)) if _both(p) else None for p in view.pairs]
    return _ratio(view, "abstain_rate_ratio", "doubt its answers", pairs, times, levels)


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
        return silent("sample_ratio", question, "no key was split yet")
    log_e = sum(math.log(sequential.sample_ratio_e_value(sum(c), len(c), shares[s])) for s, c in counted.items())
    wrong = log_e >= math.log(1 / levels.failing)
    split = ", ".join(f"{sum(c)} of {len(c)} keys at {shares[s]:.0%}" for s, c in sorted(counted.items()))
    return Check(
        name="sample_ratio",
        question=question,
        verdict=Verdict.NOT_ENOUGH if wrong else Verdict.PASS,
        reason=f"{split}: {'not the declared split; the comparison is frozen' if wrong else 'as declared'}",
        numbers={
            "log_e": min(log_e, 1e6),
            "split": {str(s): [sum(c), len(c)] for s, c in sorted(counted.items())},
        },
        applies=wrong,
    )


def _ratio(
    view: View, name: str, verb: str, pairs: Sequence[tuple[float, float] | None], times: float, levels: Levels
) -> Check:
    """Judge E[mine] ≤ times · E[theirs] as the mean of mine − times · theirs, which lies between −times and 1."""
    values = [None if pair is None else pair[0] - times * pair[1] for pair in pairs]
    found = weigh(view, values, 0.0, levels, (-times, 1.0))
    mine, theirs = (sum(pair[side] for pair in pairs if pair is not None) for side in (0, 1))
    reason = (
        f"{mine:.0f} against the champion's {theirs:.0f} on {found.rows} requests of {found.keys} units of evidence; "
        f"mine less {times:g} times theirs {found.mean:+.4f}, between {found.low:+.4f} and {found.high:+.4f}, limit 0"
    )
    question = f"Does the challenger {verb} at most {times:g} times as often as the champion?"
    return _of(found, name, question, reason, levels, {"mine": mine, "theirs": theirs, "times": times})


def _of(found: Weighed, name: str, question: str, reason: str, levels: Levels, numbers: Mapping[str, float]) -> Check:
    return judged(
        name,
        question,
        failed=found.failed(levels),
        passed=found.passed(levels),
        reason=reason,
        numbers={**found.numbers(), **numbers},
        levels=levels,
    )


def _compared(what: str, found: Weighed, limit: float) -> str:
    return (
        f"{what} {found.mean:+.4f} against the champion on {found.keys} units of evidence, between {found.low:+.4f} "
        f"and {found.high:+.4f}, limit {limit:+.4g}"
    )


def _zip(view: View, flags: Sequence[bool]) -> list[tuple[Pair, bool]]:
    return list(zip(view.pairs, flags, strict=True))


def _both(pair: Pair) -> bool:
    return not pair.champion_failed and not pair.challenger_failed


def _doubts(trust: str | None) -> float:
    return float(trust in (Trust.LOW, Trust.ABSTAIN))
