"""What a rollout showed of both versions, in the gate's own metrics: the online half of what the gate promised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.release import metrics, paired
from mainstay.release.metrics import Scored
from mainstay.stats import ordering
from mainstay.store.pairs import Pair

NEEDS_PROBABILITIES = frozenset({"log_loss"})
"""Of a pair the answers are kept and their confidence, not every class's probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric on the labelled pairs of a rollout."""

    metric: str
    challenger: float
    champion: float
    difference: float
    """Challenger's less champion's, with its sign turned so that more is better."""
    low: float
    high: float
    """Of the difference, one-sided 95 % each: one look, at the end; whole keys are drawn."""
    rows: int
    units: int
    """Different keys."""

    def document(self) -> dict[str, Any]:
        """Return plain values; what is not known is None."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def online_figures(
    pairs: Sequence[Pair], names: Sequence[str], *, by_key: bool, seed: int, draws: int = paired.DRAWS
) -> list[Figure]:
    """Return each of the gate's metrics on the labelled requests that both versions answered, with its interval.

    Accuracy by Tango's score interval, and by the wider of that and a bootstrap of whole keys where keys repeat, as in
    the gate; other metrics by that bootstrap (`release.paired`). Metrics that need probabilities, and those of a
    ranking, are left out. These intervals are for one look at the end; while a rollout runs the guards judge.
    """
    held = [p for p in pairs if p.label is not None and not p.champion_failed and not p.challenger_failed]
    mine, theirs = _scored(held, challenger=True), _scored(held, challenger=False)
    keys = [p.key_hash or p.unit for p in held] if by_key else None
    units = len(held) if keys is None else len(set(keys))
    found = []
    for name in names:
        if name in NEEDS_PROBABILITIES or name in ordering.METRICS or not held:
            continue
        both = metrics.value(name, mine), metrics.value(name, theirs)
        low, high = _interval(name, mine, theirs, keys, seed, draws)
        found.append(
            Figure(
                metric=name,
                challenger=both[0],
                champion=both[1],
                difference=metrics.goodness(name, both[0]) - metrics.goodness(name, both[1]),
                low=low,
                high=high,
                rows=len(held),
                units=units,
            )
        )
    return found


def _interval(
    name: str, mine: Scored, theirs: Scored, keys: Sequence[str] | None, seed: int, draws: int
) -> tuple[float, float]:
    n = len(mine.truth)

    def difference(rows: NDArray[np.intp]) -> float:
        return metrics.goodness(name, metrics.value(name, mine, rows)) - metrics.goodness(
            name, metrics.value(name, theirs, rows)
        )

    if name == "accuracy":
        gained = int(((mine.right == 1) & (theirs.right == 0)).sum())
        lost = int(((mine.right == 0) & (theirs.right == 1)).sum())
        low, high = paired.tango(gained, lost, n)
        if not paired.keys_repeat(keys):
            return low, high
        wide = paired.bootstrap(difference, n, keys=keys, rng=np.random.default_rng(seed), draws=draws)
        return min(low, wide[0]), max(high, wide[1])
    return paired.bootstrap(difference, n, keys=keys, rng=np.random.default_rng(seed), draws=draws)


def _scored(pairs: Sequence[Pair], *, challenger: bool) -> Scored:
    truth = np.array([p.label for p in pairs], dtype=object)
    said = np.array([p.challenger_label if challenger else p.champion_label for p in pairs], dtype=object)
    sure = [p.challenger_confidence if challenger else p.champion_confidence for p in pairs]
    return Scored(
        truth=truth,
        predicted=said,
        right=(said == truth).astype(np.float64),
        confidence=np.array([math.nan if c is None else c for c in sure], dtype=np.float64),
        true_probability=np.full(len(pairs), math.nan),
    )
