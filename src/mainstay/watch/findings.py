"""From streams that moved to findings: since when, from what to what, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from mainstay.core.incidents import Finding, Harm
from mainstay.core.profiles import SignalProfile
from mainstay.stats import domain, evidence
from mainstay.stats.intervals import Floats
from mainstay.watch import faults, learners, streams
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.streams import Watched
from mainstay.watch.window import field_of

MOST = 20
SURE = 20.0
"""A stream is named beside the strongest when its likelihood ratio is this many times the number of streams, and the
k-th look at one incident asks for k² times that: Σ 1/k² is finite, so however often one looks, little is named falsely.
"""
SAME = 0.05
"""A level that moved by less than so many standard deviations is called the same."""
MOST_EVIDENCE = 1e300
CAUSES = (Harm.DATA_FAULT, Harm.OPERATIONS)
BY_STEPS = ", step by step"
"""How a drift beyond the reference is told, by which a finding is known as one when it is told anew."""
_YES = (".outside", ".default", ".abstained")
"""Categories of yes and no, told as a share."""
_SHARES = (
    *_YES,
    ".digits",
    ".capitals",
    ".marks",
    ".future",
    ".midnight",
    ".entropy",
    ".score",
    ".unseen",
    ".non_ascii",
    ".emoji",
    ".missing",
    ".low_trust",
    ".confidence",
    ".refused",
    ".failed",
)
_SHARES_OF_FAULTS = (".missing", ".default", ".future", ".midnight")
"""Shares that tell how many values are at fault, where the others are as before."""
_RATES = (".missing", ".low_trust", ".future", ".midnight")
_ASPECTS = {
    "unseen": "the share of words in `{field}` that training never held",
    "length": "the length of `{field}` in characters",
    "words": "the number of words in `{field}`",
    "non_ascii": "the share of characters outside plain English in `{field}`",
    "emoji": "the share of emoji in `{field}`",
    "missing": "the share of requests without `{field}`",
    "digits": "the share of digits in `{field}`",
    "capitals": "the share of capital letters in `{field}`",
    "marks": "the share of punctuation and signs in `{field}`",
    "script": "the script of `{field}`",
    "language": "the language of `{field}`",
    "age": "the age of `{field}` in hours",
    "future": "the share of requests whose `{field}` lies in the future",
    "midnight": "the share of requests whose `{field}` is at midnight exactly",
    "hour": "the hour of `{field}`",
    "outside": "the share of `{field}` at or beyond the ends of what the reference held",
    "default": "the share of `{field}` at a usual default (0, -1, 99, … or its commonest value)",
}
_ANSWERS = {
    "answer.confidence": "the calibrated confidence",
    "answer.low_trust": "the share of answers with low trust",
    "answer.abstained": "the share of answers that abstained",
    "answer.entropy": "the entropy of the probabilities",
    "answer.score": "the probability of the class declared last",
    "answer.label": "the mix of answers",
    "answer.value": "the answered value",
    streams.REFUSED: "the share of refused requests (those that break the contract)",
    streams.FAILED: "the share of failed requests",
    streams.GAP: "the share of right answers among labelled ones",
    streams.ERROR: "the mean distance of the answer from its label",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A stream's level before and now."""

    before: float
    now: float
    shift: float
    category: str = ""
    """For a mix: the category that moved most."""
    same: bool = False
    """The level is as it was, and values are spread otherwise around it."""
    beside_season: bool = False
    """`shift` is against the same hours and months, in standard deviations of ranks; `before` is over all of them."""
    by_steps: bool = False
    """It came there step by step, beyond what the reference held."""


def columns_since(state: WatchState, start: int) -> Floats:
    """Return the counted columns from candidate start `start` on; before any candidate: all of them."""
    history = state.history
    if start < 0 or start >= len(history.prefix):
        return history.totals
    return np.asarray(history.totals - history.prefix[start], dtype=np.float64)


def find(state: WatchState, comparison: Comparison, *, look: int = 1) -> list[Finding]:
    """Return the streams that moved, causes before effects, then by evidence; `look` counts from 1.

    The alarm rests on all streams together; named are those that pass the bar alone, and those whose ratio from the
    common start on is at least SURE × streams (an e-value against "this one did not move", Bonferroni over streams).
    An alarm to which several streams bring too little each is told by the one that brings most.
    """
    assessment, plan = comparison.assessment, comparison.plan
    if assessment.start < 0:
        return []
    sure = math.log(SURE * len(plan.watched)) + 2.0 * math.log(look)
    moved = (assessment.by_stream >= comparison.log_bar) | (assessment.ratios[:, assessment.start] >= sure)
    if comparison.alarm and not moved.any():
        moved[int(np.argmax(assessment.by_stream))] = True
    _follow(state, plan)
    found = []
    for i in np.flatnonzero(moved).tolist():
        item, alone = plan.watched[i], float(assessment.by_stream[i])
        ratio = float(assessment.ratios[i, assessment.start])
        own = int(assessment.starts[i])
        move = level(item, columns_since(state, own)[plan.offsets[i] : plan.offsets[i + 1]])
        if move is not None:
            part = slice(plan.offsets[i], plan.offsets[i + 1])
            since = state.history.totals[None, part] - state.history.prefix[:, part]
            move = replace(move, by_steps=item.name in state.reached)
            fault = faults.fault(item, since, sure=sure, reached=state.reached.get(item.name))
            found.append((max(alone, ratio), _finding(state, item, own, move, alone, fault)))
    ranked = sorted(found, key=lambda pair: (pair[1].harm not in CAUSES, not is_broken(pair[1]), -pair[0]))
    # Of several rules of one subject the surest speaks.
    once = {(finding.signal, finding.segment): finding for _, finding in reversed(ranked)}
    return [finding for _, finding in ranked if once[finding.signal, finding.segment] is finding][:MOST]


def _follow(state: WatchState, plan: streams.Plan) -> None:
    """Remember how far numbers went step by step: the evidence, and with it their way, is forgotten after an alarm."""
    history = state.history
    for i, item in enumerate(plan.watched):
        if item.table is None or item.segment:
            continue
        part = slice(plan.offsets[i], plan.offsets[i + 1])
        since = history.totals[None, part] - history.prefix[:, part]
        ends = faults.drifted(item, since, reached=state.reached.get(item.name))
        if ends is not None:
            state.reached[item.name] = ends


def is_broken(finding: Finding) -> bool:
    """Return whether a finding is a field's own values being broken."""
    name = finding.signal
    parts = (".missing", ".future", ".midnight")  # of a value at a default nobody knows what it should have been
    return finding.harm is Harm.DATA_FAULT and name not in _ANSWERS and not name.endswith(parts)


def broken_fields(found: Iterable[Finding]) -> list[str]:
    """Return the fields whose own values are broken, or that are missing more often than they were."""
    hurt = [one for one in found if one.harm is Harm.DATA_FAULT and one.signal not in _ANSWERS]
    return sorted({field_of(finding.signal) for finding in hurt})


def _harm(item: Watched, move: Move) -> Harm:
    """Return what is at stake: more values than before, or a smaller error, are no harm."""
    fewer = item.name.endswith(_SHARES_OF_FAULTS) or item.name == streams.ERROR
    better = move.now < move.before and fewer
    return Harm.INPUT if better else Harm(item.harm)


def _finding(state: WatchState, item: Watched, start: int, move: Move, alone: float, fault: str) -> Finding:
    return Finding(
        signal=item.name,
        segment=item.segment,
        harm=Harm.DATA_FAULT if fault else _harm(item, move),
        since=state.since[start],
        before=move.before,
        now=move.now,
        shift=move.shift,
        evidence=min(math.exp(min(alone, 690.0)), MOST_EVIDENCE),
        text=f"{describe(item.name)} {fault}" if fault else sentence(item, move),
    )


def over(
    state: WatchState, comparison: Comparison, columns: Floats, *, since: datetime, material: evidence.Material
) -> list[Finding]:
    """Return the streams that left the reference over the counted `columns`, a fixed stretch, ranked by evidence.

    For telling an incident that was already noticed: those with a likelihood ratio of at least SURE × streams.
    """
    plan = comparison.plan
    history = evidence.History(
        totals=columns,
        blocks=1,
        candidates=[1],
        log_days=[0.0],
        prefix=np.zeros((1, plan.width)),
        repeats=1.0,
    )
    # Keys that came again weigh as in the state, whatever the number of blocks. Window effects are left out: what is
    # told here has passed the budget, and they have seen the change by now.
    history.repeats, history.blocks = state.history.repeats, max(1, math.ceil(state.history.repeats))
    ratios = evidence.log_ratios(plan.bank, history, material)[:, 0]
    sure = math.log(SURE * len(plan.watched))
    found: list[Finding] = []
    for i in np.argsort(-ratios).tolist():
        item = plan.watched[i]
        move = level(item, columns[plan.offsets[i] : plan.offsets[i + 1]])
        if ratios[i] < sure or move is None:
            continue
        if any((one.signal, one.segment) == (item.name, item.segment) for one in found):
            continue
        log = float(ratios[i]) + math.log(item.stream.weight)
        found.append(
            Finding(
                signal=item.name,
                segment=item.segment,
                harm=_harm(item, move),
                since=since,
                before=move.before,
                now=move.now,
                shift=move.shift,
                evidence=math.exp(min(log, 690.0)),
                text=sentence(item, move),
            )
        )
    return found[:MOST]


def refresh(known: Sequence[Finding], comparison: Comparison, columns: Floats) -> list[Finding]:
    """Return findings with their level over the counted `columns`; what was not counted stays as it was.

    What was said of a broken number stays too; which share of a category is new is told from all of them, as the first
    block may have held the fault in half of its requests only.
    """
    plan = comparison.plan
    places = {(item.name, item.segment): i for i, item in enumerate(plan.watched) if not item.subject}
    out = []
    for finding in known:
        i = places.get((finding.signal, finding.segment))
        move = None if i is None else level(plan.watched[i], columns[plan.offsets[i] : plan.offsets[i + 1]])
        if i is None or move is None:
            out.append(finding)
            continue
        text = sentence(plan.watched[i], replace(move, by_steps=BY_STEPS in finding.text))
        if is_broken(finding) and not finding.signal.endswith(_YES):
            part = columns[None, plan.offsets[i] : plan.offsets[i + 1]]
            still = faults.fault(plan.watched[i], part, sure=0.0) if plan.watched[i].places is not None else ""
            text = f"{describe(finding.signal)} {still}" if still else finding.text
        out.append(replace(finding, before=move.before, now=move.now, shift=move.shift, text=text))
    return out


def level_of(finding: Finding, plan: streams.Plan, columns: Floats) -> Move | None:
    """Return the level of a finding's stream over the counted `columns`; None where it was not counted."""
    for i, item in enumerate(plan.watched):
        if (item.name, item.segment) == (finding.signal, finding.segment):
            return level(item, columns[plan.offsets[i] : plan.offsets[i + 1]])
    return None


def spread(finding: Finding, plan: streams.Plan) -> float:
    """Return about the standard deviation of one unit in the unit of the finding's shift: 1 for numbers, else ½."""
    numbers = any(
        isinstance(item.stream, evidence.NumericStream)
        for item in plan.watched
        if (item.name, item.segment) == (finding.signal, finding.segment)
    )
    return 1.0 if numbers else 0.5


def level(item: Watched, columns: Floats) -> Move | None:
    """Return the level before and now, or None when nothing was counted."""
    stream = item.stream
    if isinstance(stream, evidence.RateStream):
        bad, n = float(columns[0]), float(columns[1])
        return None if n <= 0 else Move(before=stream.limit, now=bad / n, shift=bad / n - stream.limit)
    if isinstance(stream, evidence.GapStream):
        n, rows = float(columns[0]), float(stream.known[0])
        before = -float(stream.known[1]) / rows if rows > 0 else 0.0
        now = -float(columns[1]) / n if n > 0 else 0.0
        return None if n <= 0 else Move(before=before, now=now, shift=now - before)
    if isinstance(stream, evidence.RankStream):
        found, expected = columns[: stream.bins], columns[stream.bins :]
        area = domain.area(expected, found)
        return None if found.sum() <= 0 else Move(before=0.5, now=area, shift=area - 0.5)
    if item.profile is None:
        return None
    if isinstance(stream, evidence.CategoryStream):
        return _mix(item.profile, columns)
    n = float(columns[0])
    if n <= 0:
        return None
    now, sd = float(columns[7]) / n, item.profile.sd
    shift = (now - item.profile.mean) / sd if sd > 0 else float(columns[1]) / n
    # Where months are matched, what traffic of one of them is compared with is not the mean of the year.
    beside = item.pattern is not None and bool(item.pattern.months.any()) and sd > 0
    shift = float(columns[1]) / n if beside else shift
    same = sd > 0 and abs(shift) < SAME and not item.name.endswith(_RATES)
    return Move(before=item.profile.mean, now=now, shift=shift, same=same, beside_season=beside)


def _mix(profile: SignalProfile, columns: Floats) -> Move | None:
    n, base = float(columns.sum()), np.asarray(profile.counts, dtype=np.float64)
    if n <= 0:
        return None
    now, before = columns / n, base / base.sum()
    if profile.name.endswith(_YES):
        return Move(before=float(before[0]), now=float(now[0]), shift=float(now[0] - before[0]))
    top = int(np.argmax(np.abs(now - before)))
    name = repr(profile.values[top]) if top < len(profile.values) else "any value that was not usual"
    return Move(before=float(before[top]), now=float(now[top]), shift=float(now[top] - before[top]), category=name)


def describe(name: str) -> str:
    """Return a signal's name in words."""
    if name in _ANSWERS:
        return _ANSWERS[name]
    field, _, aspect = name.rpartition(".")
    if field and aspect in _ASPECTS:
        return _ASPECTS[aspect].format(field=field)
    return f"`{name}`"


def sentence(item: Watched, move: Move) -> str:
    """Return what moved, from what to what."""
    where = f" in {item.segment}" if item.segment else ""
    if item.name == streams.GAP:
        points = abs(move.shift) * 100
        return f"labelled answers of the same confidence are right {points:.0f} points less often than before"
    if item.subject:
        return _apart(item, move)
    what = describe(item.name)
    if move.category:
        mix = what if item.name == "answer.label" else f"the mix of {what}"
        return f"{mix}{where}: {move.category} went from {move.before:.0%} to {move.now:.0%}"
    if move.same:
        return f"{what}{where} is spread otherwise, around {show(item.name, move.now)} as before"
    if move.beside_season:
        way = "above" if move.shift >= 0 else "below"
        now = show(item.name, move.now)
        season = f"{abs(move.shift):.2g} standard deviations {way} what its season had"
        return f"{what}{where} is {now}, {season}{_by_steps(item, move)}"
    verb = "rose" if move.now >= move.before else "fell"
    if item.name in (streams.REFUSED, streams.FAILED):
        return f"{what} is {move.now:.0%}; up to {move.before:.0%} is expected"
    before, now = show(item.name, move.before), show(item.name, move.now)
    if before == now:
        before, now = show(item.name, move.before, more=True), show(item.name, move.now, more=True)
    return f"{what}{where} {verb} from {before} to {now}{_by_steps(item, move)}"


def _by_steps(item: Watched, move: Move) -> str:
    """Return that a number went beyond all that the reference held, and how, as the end of a sentence."""
    known = item.profile
    if not move.by_steps or known is None or known.low is None or known.high is None:
        return ""
    if known.low <= move.now <= known.high:
        return ""
    held = f"{show(item.name, known.low)} to {show(item.name, known.high)}"
    return f"{BY_STEPS} beyond what the reference held ({held})"


def _apart(item: Watched, move: Move) -> str:
    """Return what a rule that tells traffic from the reference goes by."""
    by = ", ".join(item.tells) or "nothing that stands out"
    area = f"area under the ROC curve {move.now:.2f}"
    if item.subject == learners.TOGETHER:
        return f"requests can be told from the reference by their fields together ({area}): {by}"
    return f"`{item.subject}` can be told from the reference by its words ({area}): {by}"


def show(name: str, value: float, *, more: bool = False) -> str:
    """Return a level with its unit: shares in percent, other numbers with three digits; `more` gives two more."""
    if name.endswith(_SHARES):
        digits = 1 if abs(value) < 0.1 else 0
        return f"{value:.{digits + 2 * more}%}"
    digits = 5 if more else 3
    return f"{value:.0f}" if 10.0 ** (digits - 1) <= abs(value) < 1e7 else f"{value:.{digits}g}"
