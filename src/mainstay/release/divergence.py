"""The guards on how far the challenger's answers lie from the champion's on the same requests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mainstay.core.verdicts import Check
from mainstay.release.units import Levels, View, Weighed, weigh
from mainstay.release.verdicts import judged, silent
from mainstay.stats import stretches
from mainstay.stats.numbering import numbered
from mainstay.store.pairs import Pair


def disagreement(view: View, limit: float, levels: Levels, *, tolerance: float | None = None) -> Check:
    """Judge the share of requests that the two answer differently (numbers: by more than `tolerance`)."""
    found = weigh(view, [_differs(pair, tolerance) for pair in view.pairs], limit, levels)
    how = "differ" if tolerance is None else f"differ by more than {tolerance:g}"
    return judged(
        "disagreement",
        f"Do the answers {how} on at most {limit:.1%} of the requests?",
        failed=found.failed(levels),
        passed=found.passed(levels),
        reason=f"they {how} on {found.mean:.4f} of {found.keys} units of evidence, between {found.low:.4f} and "
        f"{found.high:.4f}, limit {limit:g}",
        numbers={**found.numbers(), "limit": limit},
        levels=levels,
    )


def class_mix(view: View, limit: float, levels: Levels) -> Check:
    """Judge the total variation between the two sides' class mixes: ½ Σ_c |P_challenger(c) − P_champion(c)|.

    It is the largest difference P_challenger(A) − P_champion(A) over sets A of classes. Harm is weighed on the set of
    classes that the challenger gave more often in the pairs before: chosen before a pair is seen, so that no price is
    paid for choosing, and no set differs by more than the limit while that is kept. It passes when answers differ on
    less than the limit, or class by class, each way at half the level.
    """
    held = [i for i, pair in enumerate(view.pairs) if _both(pair)]
    question = f"Is the total variation between the two class mixes at most {limit:g}?"
    if not held:
        return silent("class_mix", question, "no pair of answers yet")
    part, half = view.part(held), levels.part(0.5)
    mine, theirs = _coded(part)
    more = mine - theirs
    before = np.cumsum(more, axis=0) - more
    found = weigh(part, ((before > 0) * more).sum(axis=1).tolist(), limit, levels, (-1.0, 1.0))
    differ = weigh(part, [_differs(pair, None) for pair in part.pairs], limit, half)
    apart = _class_by_class(part, more, half)
    first = _first_places(part)
    total = 0.5 * float(np.abs(more[first].mean(axis=0)).sum())
    return judged(
        "class_mix",
        question,
        failed=found.failed(levels),
        passed=differ.passed(half) or apart <= limit,
        reason=f"total variation {total:.4f} on {len(first)} units of evidence, at most {min(apart, differ.high):.4f} "
        f"for sure, limit {limit:g}",
        numbers={
            "total_variation": total,
            "high": min(apart, differ.high),
            "limit": limit,
            "units": len(first),
            "rows": len(held),
            "log_e_harm": found.log_harm,
            "since": found.since,
        },
        levels=levels,
    )


def mean_score(view: View, limit: float, levels: Levels, *, cap: float | None = None) -> Check:
    """Judge how far the mean score moved, either way: confidence, or with `cap` the answer itself (a number).

    Two differences of answers count at most `cap` each. To pass, both directions must be shown to lie within the limit;
    each has half of the level to fail.
    """
    span = 1.0 if cap is None else cap
    values = [_moved(pair, cap) for pair in view.pairs]
    half = Levels(passing=levels.passing, failing=levels.failing / 2)
    up = weigh(view, values, limit, half, (-span, span))
    down = weigh(view, [None if v is None else -v for v in values], limit, half, (-span, span))
    what = "confidence" if cap is None else "answer"
    return judged(
        "mean_score",
        f"Is the challenger's mean {what} within {limit:g} of the champion's?",
        failed=up.failed(half) or down.failed(half),
        passed=up.passed(half) and down.passed(half),
        reason=f"mean {what} {up.mean:+.4g} on {up.keys} units of evidence, between {up.low:+.4g} and {up.high:+.4g}, "
        f"limit ±{limit:g}",
        numbers={**_worse(up, down).numbers(), "mean": up.mean, "low": up.low, "high": up.high, "limit": limit},
        levels=levels,
    )


def told(view: View, *, tolerance: float | None = None) -> Check:
    """Return the figures where no limit is declared: told, and judging nothing."""
    question = "How far do the challenger's answers lie from the champion's?"
    held = [i for i, pair in enumerate(view.pairs) if _both(pair)]
    if not held:
        return silent("divergence", question, "no pair of answers yet")
    part = view.part(held)
    first = _first_places(part)
    pairs = [part.pairs[i] for i in first]
    differ = [d for d in (_differs(pair, tolerance) for pair in pairs) if d is not None]
    moved = [m for m in (_moved(pair, None) for pair in pairs) if m is not None]
    numbers: dict[str, Any] = {"units": len(pairs), "disagreement": sum(differ) / max(len(differ), 1)}
    words = [f"they differ on {numbers['disagreement']:.4f} of {len(pairs)} units of evidence"]
    if isinstance(pairs[0].champion_label, str | bool):
        mine, theirs = _coded(part)
        numbers["total_variation"] = 0.5 * float(np.abs((mine - theirs)[first].mean(axis=0)).sum())
        words.append(f"total variation of the class mixes {numbers['total_variation']:.4f}")
    if moved:
        numbers["mean_confidence"] = sum(moved) / len(moved)
        words.append(f"mean confidence {numbers['mean_confidence']:+.4f}")
    return silent("divergence", question, f"{'; '.join(words)}; no limit is declared: told only", numbers)


def _class_by_class(view: View, more: np.ndarray[Any, np.dtype[np.float64]], levels: Levels) -> float:
    """Return an upper limit of the total variation: the sum over classes of how much more at most there is of each."""
    classes = more.shape[1]
    one = levels.part(1.0 / max(classes, 1))
    highs = (weigh(view, column.tolist(), 0.0, one, (-1.0, 1.0)).high for column in more.T)
    return min(sum(max(high, 0.0) for high in highs), 1.0) if classes <= MOST_CLASSES else 1.0


MOST_CLASSES = 20
"""With more classes than this their limits are too wide together to pass on."""


def _coded(view: View) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Return one column for each class, of the challenger and of the champion, shape (n, classes)."""
    names = numbered([str(p.challenger_label) for p in view.pairs] + [str(p.champion_label) for p in view.pairs])
    eye = np.eye(int(names.max()) + 1)
    n = len(view.pairs)
    return eye[names[:n]], eye[names[n:]]


def _first_places(view: View) -> stretches.Places:
    found = stretches.windows(view.rows([0.0] * len(view.pairs)), 1)
    return np.searchsorted(view.at, np.sort(found.at[found.before < 0]))


def _worse(one: Weighed, other: Weighed) -> Weighed:
    return one if one.log_harm >= other.log_harm else other


def _differs(pair: Pair, tolerance: float | None) -> float | None:
    if not _both(pair):
        return None
    if tolerance is None:
        return float(pair.champion_label != pair.challenger_label)
    return float(not abs(pair.challenger_label - pair.champion_label) <= tolerance)


def _moved(pair: Pair, cap: float | None) -> float | None:
    """Return by how much the score is higher, to the nearest thousandth: few distinct values are judged quickly."""
    if not _both(pair):
        return None
    if cap is not None:
        difference = float(pair.challenger_label) - float(pair.champion_label)
        return round(max(-1.0, min(1.0, difference / cap)), 3) * cap if math.isfinite(difference) else None
    if pair.champion_confidence is None or pair.challenger_confidence is None:
        return None
    return round(pair.challenger_confidence - pair.champion_confidence, 3)


def _both(pair: Pair) -> bool:
    return not pair.champion_failed and not pair.challenger_failed
