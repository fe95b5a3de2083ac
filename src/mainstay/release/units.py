"""From paired answers to evidence: rows of one key are not independent and do not count as if they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mainstay.stats import sequential, stretches
from mainstay.stats.numbering import numbered
from mainstay.stats.stretches import Places, Rows
from mainstay.store.pairs import Pair

TINY = 1e-9
"""In place of a limit of 0: any one failure then counts for all it is worth, and nothing short of it can pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """How sure a verdict must be."""

    passing: float
    """Largest chance, over all looks, that a guard passes beyond its limit."""
    failing: float
    """Largest chance, over all looks, that a guard fails within its limit."""
    prove: frozenset[str] = frozenset()
    """Guards that must be shown to be kept; any other stops a rollout only when it is shown to be broken."""

    def part(self, share: float) -> Levels:
        """Return levels of which this is a part: one of several ways to the same verdict."""
        return Levels(passing=self.passing * share, failing=self.failing * share, prove=self.prove)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Pairs that are judged together, and whose they are."""

    pairs: Sequence[Pair]
    """In the order in which they came."""
    keys: Places
    """Numbers of their keys."""
    at: Places
    """Their positions among all pairs of the rollout."""
    total: int
    """Number of all pairs of the rollout."""
    by_key: bool
    """False where the project declares no key: each distinct request counts for itself."""

    def rows(self, values: Sequence[float | None]) -> Rows:
        """Return what counts: the pairs with a value."""
        x = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
        held = np.isfinite(x)
        return Rows(values=x[held], keys=self.keys[held], at=self.at[held])

    def part(self, held: Sequence[int]) -> View:
        """Return the view of some of its pairs, given by their places in it, ascending."""
        places = np.array(held, dtype=np.intp)
        return View(
            pairs=[self.pairs[i] for i in held],
            keys=self.keys[places],
            at=self.at[places],
            total=self.total,
            by_key=self.by_key,
        )


def view_of(pairs: Sequence[Pair], *, by_key: bool) -> View:
    """Return all pairs of a rollout; a pair without a key is a key of its own."""
    keys = numbered([pair.key_hash or pair.unit for pair in pairs]) if by_key else np.arange(len(pairs), dtype=np.intp)
    return View(pairs=pairs, keys=keys, at=np.arange(len(pairs), dtype=np.intp), total=len(pairs), by_key=by_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a view says about a mean and its limit."""

    mean: float
    """Over keys, by their first rows; 0 without any."""
    low: float
    high: float
    """Each holds at every look with the level of passing."""
    keys: int
    """Units of evidence."""
    rows: int
    log_harm: float
    """log evidence that the limit is broken, from the likeliest moment on."""
    log_safe: float
    """log evidence that it is kept."""
    since: int
    """Position of the pair from which harm is most likely."""

    def failed(self, levels: Levels) -> bool:
        """Return whether the limit is broken for sure."""
        return self.log_harm >= math.log(1.0 / levels.failing)

    def passed(self, levels: Levels) -> bool:
        """Return whether the limit is kept for sure."""
        return self.log_safe >= math.log(1.0 / levels.passing)

    def numbers(self) -> dict[str, float]:
        """Return the figures, JSON-ready."""
        return {
            "units": self.keys,
            "rows": self.rows,
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "log_e_harm": self.log_harm,
            "log_e_safe": self.log_safe,
            "since": self.since,
        }


def weigh(
    view: View, values: Sequence[float | None], limit: float, levels: Levels, span: tuple[float, float] = (0.0, 1.0)
) -> Weighed:
    """Weigh "the mean is at most `limit`", of values within `span` (None: does not count), more is worse.

    Harm is sought from every start on (`stats.stretches`). That the limit is kept, and the interval, rest on each
    key's first row: for a share the mixture of likelihood ratios, which holds for any values from 0 to 1 (a^x ≤
    1 + x (a − 1)), else bets.
    """
    low, high = span
    found = view.rows(values)
    scaled = Rows(values=np.clip((found.values - low) / (high - low), 0.0, 1.0), keys=found.keys, at=found.at)
    level = min(max((limit - low) / (high - low), TINY), 1.0 - TINY)
    harm = stretches.log_harm(scaled, level, positions=view.total, by_key=view.by_key)
    first = stretches.first_values(scaled)
    if low == 0.0:
        log_safe = sequential.log_bernoulli_above(float(len(first) - first.sum()), len(first), 1.0 - level)
        lowest, highest = sequential.bernoulli_limits(float(first.sum()), len(first), levels.passing)
    else:
        log_safe = sequential.bounded_mean_above(1.0 - 2.0 * first, 1.0 - 2.0 * level)
        ends = sequential.bounded_mean_sequence(2.0 * first - 1.0, min(2.0 * levels.passing, 0.999))
        lowest, highest = (ends[0] + 1.0) / 2.0, (ends[1] + 1.0) / 2.0
    return Weighed(
        mean=low + (high - low) * float(first.mean()) if len(first) else 0.0,
        low=low + (high - low) * lowest,
        high=low + (high - low) * highest,
        keys=len(first),
        rows=len(found.values),
        log_harm=harm.log_e,
        log_safe=log_safe,
        since=harm.start,
    )
