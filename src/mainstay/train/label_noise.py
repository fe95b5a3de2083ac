"""Whether labels of traffic are to be believed, by models that saw neither them nor their keys.

Cross-validation gives every row an answer of a model that was fitted without it and without its key. A label that such
models confidently find another's is a suspect (stats.confident). Some are found among the project's own rows too; what
counts is how much more there are among labels of traffic. Wrong labels that were flipped here and there stand alone;
what the world changed is said by many keys alike, and the models learn it. Labels that are all wrong in one way look
like a changed world from inside: those the gate must find on rows whose truth is trusted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.verdicts import Check, Verdict
from mainstay.stats import confident, suspects
from mainstay.train.fit import Rows
from mainstay.train.folds import OutOfFold, group_codes

LEAST = 50
"""Labels of traffic, and rows of the project's own, from which on their noise is told."""
SHOWN = 5
QUESTION = "Do models that did not see the labels of traffic find them about as right as the project's own?"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNoise:
    """What held-out models say of the labels."""

    facts: Mapping[str, Any]
    """JSON-ready: shares of suspects, the excess with its interval, loud keys, commonest flips."""
    keep: NDArray[np.bool_]
    """Per row: not one of the least believable labels of traffic, and no row of a loud key.

    Of the suspects of each class as many go as there are more of than among trusted rows (Northcutt et al. 2021, §3.2,
    prune by class), and none while that may be chance: a model that is often unsure suspects many that are right.
    """


def measure(rows: Rows, held_out: OutOfFold, classes: Sequence[str]) -> LabelNoise | None:
    """Return what out-of-fold answers say of the labels; None for fewer than LEAST rows of either kind."""
    number = {name: code for code, name in enumerate(classes)}
    given = np.array([number.get(str(value), -1) for value in rows.truth.tolist()], dtype=np.int64)
    traffic = rows.is_traffic if len(rows.is_traffic) else np.zeros(len(rows), dtype=bool)
    usable = np.isfinite(held_out.output).all(axis=1) & (given >= 0)
    own = usable & ~traffic
    if int((usable & traffic).sum()) < LEAST or int(own.sum()) < LEAST:
        return None
    at = confident.thresholds(given[own], held_out.output[own])
    found = confident.confident(np.where(given < 0, 0, given), held_out.output, at=at)
    suspect = np.zeros(len(rows), dtype=bool)
    suspect[found.suspects] = True
    suspect &= usable
    counted = found.counted & usable
    likely = np.full(len(rows), -1, dtype=np.int64)
    likely[found.suspects] = found.suggested
    mine, theirs = suspect & traffic, suspect & own
    gap, low, high = suspects.excess(
        int(mine.sum()), int((counted & traffic).sum()), int(theirs.sum()), int((counted & own).sum())
    )
    keys = group_codes(rows)
    usual = max(float(theirs.sum() / own.sum()), 0.02)
    loud = suspects.loud_keys(suspect[traffic], keys[traffic], usual=usual)
    of_loud = traffic & np.isin(keys, np.array(list(loud), dtype=keys.dtype))
    facts = {
        "labels": int((counted & traffic).sum()),
        "suspects": int(mine.sum()),
        "own_rows": int((counted & own).sum()),
        "own_suspects": int(theirs.sum()),
        "excess": gap,
        "low": low,
        "high": high,
        "loud_keys": len(loud),
        "loud_labels": int(of_loud.sum()),
        "flips": _commonest(given[mine], likely[mine], classes),
    }
    keep = ~of_loud
    ranked = found.suspects[mine[found.suspects]]
    share = suspects.surplus(
        np.bincount(given[mine], minlength=len(classes)),
        np.bincount(given[counted & traffic], minlength=len(classes)),
        np.bincount(given[theirs], minlength=len(classes)),
        np.bincount(given[counted & own], minlength=len(classes)),
        everywhere=low > 0.0,
    )
    for code in np.flatnonzero(share):
        of_class = usable & traffic & (given == code)
        if share[code] > suspects.MOST:
            keep[of_class] = False
        keep[ranked[given[ranked] == code][: round(share[code] * of_class.sum())]] = False
    return LabelNoise(facts=facts, keep=keep)


def is_better_without(rows: Rows, learned: OutOfFold, kept: Rows, without: OutOfFold, classes: Sequence[str]) -> bool:
    """Return whether models that did not learn the suspects know the project's own rows better than those that did.

    Out-of-fold share of right answers on own rows, whose labels are trusted; `kept` are `rows` without suspects. Rows
    that look wrong are often merely hard, and a model that takes no harm from a few wrong labels needs them.
    """
    return _known(kept, without, classes) > _known(rows, learned, classes)


def _known(rows: Rows, held_out: OutOfFold, classes: Sequence[str]) -> float:
    own = ~rows.is_traffic & np.isfinite(held_out.output).all(axis=1)
    said = np.asarray(classes)[held_out.output[own].argmax(axis=1)]
    return float((said == rows.truth[own]).mean()) if own.any() else float("nan")


def check(facts: Mapping[str, Any] | None, allowed: float | None) -> Check:
    """Return whether the labels of traffic are surely worse than allowed; told and not judged without a limit."""
    if facts is None:
        reason = f"fewer than {LEAST} labels of traffic, or of the project's own rows, were held out"
        return Check(name="label_noise", question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=reason, applies=False)
    told = (
        f"{facts['suspects']} of {facts['labels']} labels of traffic look wrong, {facts['own_suspects']} of "
        f"{facts['own_rows']} of the project's own: {facts['excess']:+.1%} "
        f"({facts['low']:+.1%} to {facts['high']:+.1%})"
    )
    if facts["flips"]:
        told += "; most often " + ", ".join(f"{a} for {b} ({count})" for a, b, count in facts["flips"][:3])
    if facts["loud_keys"]:
        told += f"; {facts['loud_keys']} keys are wrong too often for chance, with {facts['loud_labels']} labels"
    if facts.get("left_out"):
        told += f"; {facts['left_out']} labels were left out"
    if allowed is None:
        reason = f"{told}; [retrain] max_label_noise is not declared"
        return Check(
            name="label_noise",
            question=QUESTION,
            verdict=Verdict.NOT_ENOUGH,
            reason=reason,
            numbers=facts,
            applies=False,
        )
    verdict = Verdict.FAIL if facts["low"] > allowed else Verdict.PASS
    return Check(
        name="label_noise", question=QUESTION, verdict=verdict, reason=f"{told}, allowed {allowed:.1%}", numbers=facts
    )


def _commonest(
    given: NDArray[np.int64], likely: NDArray[np.int64], classes: Sequence[str]
) -> list[tuple[str, str, int]]:
    """Return (label given, class it looks like, how often), the commonest first."""
    counts = Counter(zip(given.tolist(), likely.tolist(), strict=True))
    return [(classes[a], classes[b], count) for (a, b), count in counts.most_common(SHOWN)]
