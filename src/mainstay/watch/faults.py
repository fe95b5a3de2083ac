"""Tells a broken field from one that merely moved: beyond the reference's range, values never held, stuck at one.

A broken field is no drift: without labels its harm cannot be estimated (a model is often surer of a wrong zero than it
was of the right number), and a retraining would teach the fault.
"""

from __future__ import annotations

import math

import numpy as np

from mainstay.core.profiles import SignalProfile
from mainstay.stats.intervals import Floats
from mainstay.stats.scores import DEGREES
from mainstay.stats.steps import Ends, reached_by_steps
from mainstay.watch.streams import Watched

ENOUGH = 20
"""Fewer units of evidence (keys or requests) than this speak only where chance would not bring so many alike."""
FEWEST = 3
"""One or two requests of a kind that was never seen are news, and no broken field."""
NEW, STUCK = "looks broken, or is new to the model", "looks stuck"
END_RANK = 0.15
"""Mean reference rank from which nearly all traffic lies at that end (0 to 1)."""
FAR = 0.1
"""Of the reference's range: a mean beyond it by less (a summer, a price that rises) has moved, and is not broken."""
NEVER_HELD = 0.5
"""Share of values that the reference hardly held, from which a category is called broken (0 to 1)."""
RARE = 0.05
"""Share of reference rows up to which a category is rare (0 to 1)."""
RARE_TOGETHER = 0.2
"""Share of reference rows up to which all values without a count of their own are rare (0 to 1)."""
MANY_VALUES = 31
"""Fields of fewer values (weekday, season, a flag) are the same in all requests for good reasons too."""
EXACT = 1e-9
ASPECTS = frozenset(
    {
        *("unseen", "length", "words", "non_ascii", "emoji", "digits", "capitals", "marks", "script", "language"),
        *("missing", "outside", "default", "age", "future", "midnight", "hour"),
    }
)
"""What signals of a field are called that are not its own value."""


RUNS = 2
"""Times the longest stretch at one value among the reference rows, up to which such a stretch is nothing new."""


def drifted(item: Watched, since: Floats, *, reached: Ends | None = None) -> Ends | None:
    """Return how far a number went step by step beyond the reference and what it had `reached`, or None.

    Prices rise and sensors warm up: such a field moved, and is not broken.
    """
    ends = _ends(item.profile, reached)
    if ends is None or item.segment or item.profile is None or not _is_field(item.profile.name):
        return None
    return reached_by_steps(since, ends, known=reached is not None, step=item.profile.largest_step)


def _ends(profile: SignalProfile | None, reached: Ends | None) -> Ends | None:
    if profile is None or profile.low is None or profile.high is None:
        return None
    low, high = reached if reached is not None else (profile.low, profile.high)
    return min(low, profile.low), max(high, profile.high)


def fault(item: Watched, since: Floats, *, sure: float, reached: Ends | None = None) -> str:
    """Return what is broken about a field as the end of a sentence, or an empty text.

    `since` holds the stream's columns counted since each candidate start, shape (candidates, width). A fault may begin
    within a block, so the latest stretch of `ENOUGH` units or more that shows one speaks. A shorter one, of `FEWEST` or
    more, speaks only where so many units would not be so by chance, all of them. A stuck field is at one
    value in all of `ENOUGH` units or more, and needs a likelihood ratio q^(−n) of at least exp(`sure`): n units,
    at what the reference had with share q. What a number had `reached` step by step counts as if the reference held it.
    """
    profile = item.profile
    if profile is None or item.segment or not _is_field(profile.name):
        return ""
    units = _units(item, since)
    for i in np.lexsort((units, units < ENOUGH)).tolist():
        if units[i] <= 0:
            continue
        columns = since[i]
        if item.places is not None:
            told = _category(profile, columns, sure)
        else:
            told = _number(item, profile, columns, sure, ends=_ends(profile, reached))
        if told:
            return told
    return ""


def _is_field(name: str) -> bool:
    """Return whether the signal is a field's own value, not an aspect of a text, of the answer or of its label."""
    field, _, aspect = name.rpartition(".")
    return field not in ("answer", "rows", "labels") and not (field and aspect in ASPECTS)


def _units(item: Watched, since: Floats) -> Floats:
    return np.asarray(since.sum(axis=1) if item.places is not None else since[:, 0], dtype=np.float64)


def _category(profile: SignalProfile, columns: Floats, sure: float) -> str:
    counts, n = np.asarray(profile.counts, dtype=np.float64), float(columns.sum())
    before, now = counts / counts.sum(), columns / n
    rare = counts == 0
    rare[-1] = True
    was, came = float(before[rare].sum()), float(now[rare].sum())
    shown = n >= ENOUGH or (n >= FEWEST and came == 1.0 and _is_stuck(was, n, counts.sum(), sure))
    if came >= NEVER_HELD and was <= RARE_TOGETHER and shown:
        return f"{NEW}: {came:.0%} of its values are none that were usual in the reference rows ({was:.0%} then)"
    top = int(np.argmax(columns))
    if n - columns[top] > EXACT * n or top >= len(profile.values) or np.count_nonzero(counts) <= MANY_VALUES:
        return ""
    if n < ENOUGH or before[top] > RARE or not _is_stuck(before[top], n, counts.sum(), sure):
        return ""
    return f"{STUCK}: it is {profile.values[top]!r} in every request, which {before[top]:.1%} of the reference rows had"


def _number(item: Watched, profile: SignalProfile, columns: Floats, sure: float, *, ends: Ends | None) -> str:
    if ends is None or profile.low is None or profile.high is None or item.table is None or item.edges is None:
        return ""
    n = float(columns[0])
    mean, scores = float(columns[7]) / n, columns[1 : 1 + DEGREES] / n
    spread = math.sqrt(max(float(columns[8]) / n - mean * mean, 0.0))
    is_one = spread <= 1e-6 * abs(mean) + 1e-12
    rank = 0.5 * (1.0 + float(scores[0]) / math.sqrt(3.0))
    place = int(np.searchsorted(item.edges, mean, side="right"))
    # The scores lie on a curve of which no point is a mean of others: equal to one bin's means all are in that bin.
    together = bool(np.abs(scores - item.table[place, :DEGREES]).max() <= EXACT * n)
    total = float(sum(profile.counts))
    share = profile.counts[place] / total
    beyond = max(ends[0] - mean if rank <= END_RANK else 0.0, mean - ends[1] if rank >= 1 - END_RANK else 0.0)
    new_run = n > RUNS * profile.longest_run
    if n < ENOUGH:
        # Of a few requests one may lie out by chance: all must, where so many would not.
        usual = 0.0 if profile.low == profile.high else share
        far = FAR if is_one else 1.0
        broken = n >= FEWEST and beyond > far * (profile.high - profile.low) and together
        broken = broken and _is_stuck(usual, n, total, sure)
    else:
        broken = beyond > (0.0 if is_one and new_run else FAR * (profile.high - profile.low))
    if broken:
        where = "in every request" if is_one else "on average"
        held = "only " if profile.low == profile.high else f"{profile.low:.4g} to "
        return f"{NEW}: it is {mean:.4g} {where}, and the reference rows held {held}{profile.high:.4g}"
    if np.count_nonzero(profile.counts) <= MANY_VALUES:
        return ""
    # A series that moves slowly stays long in one bin; only what is at one value is stuck.
    if not (is_one and together and n >= ENOUGH and new_run and _is_stuck(share, n, total, sure)):
        return ""
    return f"{STUCK}: it is {mean:.4g} in every request, which {share:.1%} of the reference rows had"


def _is_stuck(share: float, n: float, rows: float, sure: float) -> bool:
    return -n * math.log((share * rows + 1.0) / (rows + 1.0)) >= sure
