"""Since when: the likeliest start of a change, and between which moments it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from mainstay.stats import changepoint
from mainstay.stats.intervals import Floats
from mainstay.watch.compare import LEAST_DAYS, SECONDS_PER_DAY, Comparison, WatchState

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """An estimated start."""

    at: datetime
    """The likeliest start: the first request of a block."""
    low: datetime
    high: datetime
    """It began between `low` and `high`, with probability `level`."""
    level: float = LEVEL
    from_the_beginning: bool = False
    """Whether it may have been so from the first request that was ever compared."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "at": self.at.isoformat(),
            "low": self.low.isoformat(),
            "high": self.high.isoformat(),
            "level": self.level,
            "from_the_beginning": self.from_the_beginning,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Onset:
        """Return what `as_dict` gave."""
        at, low, high = (datetime.fromisoformat(str(value[name])) for name in ("at", "low", "high"))
        beginning = bool(value.get("from_the_beginning", False))
        return cls(at=at, low=low, high=high, level=float(value.get("level", LEVEL)), from_the_beginning=beginning)


def onset(state: WatchState, comparison: Comparison, *, now: datetime) -> Onset:
    """Return the likeliest start and its interval; call it before the evidence begins anew.

    Posterior over the candidates: the weighted likelihood ratio of all streams together, with a prior that is uniform
    over time. A change inside a block makes its own start or the next one the likeliest, so the interval reaches from
    the start before the first credible one to the start after the last: it is never finer than a block.
    """
    start, since = comparison.assessment.start, state.since
    if start < 0 or not since:
        return Onset(at=now, low=now, high=now)
    ratios = np.asarray(comparison.assessment.ratios, dtype=np.float64)
    joint = np.logaddexp.reduce(ratios + comparison.plan.bank.log_weights[:, None], axis=0)
    probabilities = changepoint.posterior(joint, log_prior(since, state.history.log_days[0]))
    first, last = changepoint.shortest_stretch(probabilities, level=LEVEL, including=start)
    end = state.last_at or now
    return Onset(
        at=since[start],
        low=since[max(first - 1, 0)],
        high=max(since[last + 1] if last + 1 < len(since) else end, since[start]),
        from_the_beginning=first == 0,
    )


def log_prior(since: Sequence[datetime], first_log_days: float) -> Floats:
    """Return the log prior of each candidate: it stands for the time since the one before it.

    Candidates are thinned out as they age; so each that is left stands for those that went.
    """
    days = [(b - a).total_seconds() / SECONDS_PER_DAY for a, b in pairwise(since)]
    return np.array([first_log_days, *np.log(np.maximum(days, LEAST_DAYS))])
