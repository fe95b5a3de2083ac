"""What a rollout can see before it begins: at each step how small a harm, and by when, at today's traffic.

Growth of the evidence per key under an alternative, by the best of the bets that the guards mix: g = E log(1 + f (x/m −
1)) and its variance s². After n keys the evidence is about normal with n g and n s², so that harm is seen with 80 %
once n g − z √(n s²) reaches the bar (Wald 1945; the mixture costs the log of the number of bets). No promises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mainstay.config.settings import Settings
from mainstay.release import questions, window
from mainstay.release.judge import LEAST_SHARES
from mainstay.release.power_words import problems_of
from mainstay.stats import quantile_sequence, sequential, stretches
from mainstay.stats.arms import LEAST_KEYS, TIGHT_AT

SEEN = 0.8
"""Chance with which a harm that is named is seen by then."""
Z = 0.8416212335729143
"""Normal quantile of SEEN."""
BETS = tuple(float(bet) for bet in sequential.BETS)
MOST_KEYS = 10_000_000
DIFFERENT = 0.05
"""Share of the answers that is taken to differ, where no rollout has shown it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One reward as it came lately."""

    mean: float
    sd: float
    share: float
    """Part of the answers for which it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What comes, as far as it is known."""

    requests_per_day: float
    keys: float
    """Different keys that came in `hours` (without a declared key: different requests) ..."""
    half_keys: float
    """... and in the first half of that time: how fast new ones still come."""
    hours: float
    label_share: float = 0.0
    """Part of the requests that get a label."""
    error_rate: float = 0.0
    """Of the champion."""
    different: float = DIFFERENT
    """Part of the answers on which two versions differ."""
    rewards: Mapping[str, Paid] = field(default_factory=dict)

    def keys_after(self, hours: float) -> float:
        """Return how many different keys come in so many hours: K (t/T)^b, b from what came in half of T (Heaps)."""
        if self.keys <= 0 or self.hours <= 0 or hours <= 0:
            return 0.0
        b = math.log2(self.keys / self.half_keys) if self.half_keys > 0 else 1.0
        found = self.keys * math.pow(hours / self.hours, min(max(b, 0.05), 1.0))
        return min(found, self.requests_per_day * hours / 24.0)

    def requests_after(self, hours: float) -> float:
        """Return how many different requests come in so many hours; 0 for a time that never comes."""
        return self.requests_per_day * hours / 24.0 if math.isfinite(hours) else 0.0

    def hours_until(self, keys: float) -> float:
        """Return after how many hours so many different keys have come; inf where that takes over ten years."""
        low, high = 0.0, 24.0 * 3650
        if self.keys_after(high) < keys:
            return math.inf
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.keys_after(middle) < keys else (low, middle)
        return high


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step of the way."""

    name: str
    share: float
    hours: float
    """Since the beginning, at the earliest end of this step."""
    keys: float
    """Keys that both sides have answered by then."""
    error_rate: float | None
    """Smallest that is seen by then with 80 %; None: none."""
    quality_drop: float | None
    median_told: bool
    """Whether the medians of latency can be told apart by then ..."""
    p99_told: bool
    """... and whether the 99th percentiles can."""
    rewards: Mapping[str, float | None]
    """Smallest difference of each reward that is seen by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What one guard asks of the traffic before a good version has passed it."""

    guard: str
    keys: float
    labelled: bool
    """Whether keys with a label are meant."""
    hours: float
    in_time: bool
    """Before a person is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPlan:
    """What a rollout would see."""

    traffic: Traffic
    armed: Sequence[str]
    needed: Sequence[Needed]
    steps: Sequence[StepPlan]
    hold_after_hours: float
    problems: Sequence[str]
    """What will keep it from its end, one sentence each; none: it can arrive by itself."""


def power_plan(settings: Settings, traffic: Traffic) -> PowerPlan:
    """Return what a rollout with these settings can detect at this traffic."""
    rollout, plan = settings.rollout, questions.plan_of(settings)
    guards = rollout.guards
    asked = questions.armed(guards, numbers=plan.numbers)
    failing = spent(settings) * (0.5 if guards.segments != "told" else 1.0) / max(len(asked), LEAST_SHARES)
    bar = math.log(1.0 / failing) + math.log(2.0) + math.log(len(sequential.BETS))
    bar += math.log(1.0 / stretches.SIZE_WEIGHTS[0]) if plan.by_key else 0.0
    needed = [
        Needed(guard=name, keys=keys, labelled=labelled, hours=hours, in_time=hours <= rollout.hold_after_hours)
        for name, keys, labelled, hours in _needed(settings, traffic, asked)
    ]
    steps = _steps(settings, traffic, needed, asked, bar, failing)
    return PowerPlan(
        traffic=traffic,
        armed=asked,
        needed=needed,
        steps=steps,
        hold_after_hours=rollout.hold_after_hours,
        problems=problems_of(settings, traffic, asked, needed),
    )


def spent(settings: Settings) -> float:
    """Return the part of `alpha` that the judge spends on the first window of pairs; later ones get what is left."""
    return settings.rollout.alpha * window.FIRST


def keys_to_see(outcomes: Sequence[tuple[float, float]], limit: float, bar: float, *, chance: float = Z) -> float:
    """Return after how many keys evidence against "the mean is at most `limit`" reaches `bar`; inf where never.

    `outcomes` are (value, probability), values and limit in [0, 1]; the best bet of those that are mixed.
    """
    best = math.inf
    for bet in BETS:
        gains = [(p, math.log1p(bet * (x / limit - 1.0))) for x, p in outcomes if p > 0]
        growth = sum(p * gain for p, gain in gains)
        if growth <= 0:
            continue
        spread = math.sqrt(max(sum(p * gain * gain for p, gain in gains) - growth * growth, 0.0))
        root = (chance * spread + math.sqrt((chance * spread) ** 2 + 4 * growth * bar)) / (2 * growth)
        best = min(best, root * root)
    return best


def rate_outcomes(rate: float) -> list[tuple[float, float]]:
    """Return the outcomes of something that happens with this probability."""
    return [(1.0, rate), (0.0, 1.0 - rate)]


def drop_outcomes(drop: float, different: float) -> list[tuple[float, float]]:
    """Return the outcomes of a paired difference with this mean, from −1 to 1 mapped to 0 to 1."""
    different = max(different, abs(drop))
    lost, won = (different + drop) / 2, (different - drop) / 2
    return [(1.0, lost), (0.5, 1.0 - different), (0.0, won)]


def _needed(settings: Settings, traffic: Traffic, asked: Sequence[str]) -> list[tuple[str, float, bool, float]]:
    guards = settings.rollout.guards
    bar = math.log(1.0 / spent(settings))
    found: list[tuple[str, float, bool, float]] = []
    for name in asked:
        if name not in guards.prove:
            continue
        keys = math.inf
        of_labels = False
        if name == "error_rate":
            keys = _keys_to_show_rate(traffic.error_rate, guards.error_rate, bar)
        elif name == "disagreement":
            keys = _keys_to_show_rate(traffic.different, guards.disagreement or 0.0, bar)
        elif name == "abstain_rate":
            keys = _keys_to_show_difference(0.0, guards.abstain_rate, bar)
        elif name == "error_rate_difference":
            twice = 2 * traffic.error_rate
            keys = _keys_to_show_difference(twice, guards.error_rate_difference or 0.0, bar)
        elif name == "accuracy":
            margin, more = guards.accuracy_margin or 0.0, math.log(2.0)
            by_labels = _keys_to_show_difference(traffic.different, margin, bar + more)
            # Without labels answers that differ count as lost.
            certain = _keys_to_show_mean([(1.0, traffic.different), (0.5, 1 - traffic.different)], margin, bar + more)
            of_labels = traffic.label_share > 0 and by_labels / traffic.label_share < certain
            keys = by_labels if of_labels else certain
        else:
            continue
        hours = traffic.hours_until(keys / traffic.label_share if of_labels else keys)
        if traffic.requests_after(hours) > window.MOST:
            hours = math.inf
        found.append((name, keys, of_labels, hours))
    return found


def _keys_to_show_rate(rate: float, limit: float, bar: float) -> float:
    """Return after how many keys a rate is shown to be within its limit, by the mixture that the guards use."""

    def shown(n: float) -> bool:
        return sequential.log_bernoulli_above(n * (1.0 - rate), n, 1.0 - limit) >= bar

    return _smallest(shown) if 0.0 < limit < 1.0 and rate < limit else math.inf


def _keys_to_show_difference(different: float, limit: float, bar: float) -> float:
    return _keys_to_show_mean(drop_outcomes(0.0, different), limit, bar)


def _keys_to_show_mean(outcomes: Sequence[tuple[float, float]], limit: float, bar: float) -> float:
    """Return after how many keys the mixture of bets, each at its expected growth, shows a mean to be within a limit.

    `outcomes` from −1 to 1 mapped to 0 to 1, the limit from −1 to 1.
    """
    level = (1.0 - limit) / 2.0
    growths = [sum(p * math.log1p(bet * ((1.0 - x) / level - 1.0)) for x, p in outcomes if p > 0) for bet in BETS]

    def shown(n: float) -> bool:
        most = n * max(growths)
        return most + math.log(sum(math.exp(n * growth - most) for growth in growths) / len(growths)) >= bar

    return _smallest(shown) if max(growths) > 0 else math.inf


def _smallest(holds: Callable[[float], bool]) -> float:
    """Return the smallest whole number from which on it holds, found by doubling; inf beyond MOST_KEYS."""
    high = 1
    while not holds(high):
        high *= 2
        if high > MOST_KEYS:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return float(high)


def _steps(
    settings: Settings,
    traffic: Traffic,
    needed: Sequence[Needed],
    asked: Sequence[str],
    bar: float,
    failing: float,
) -> list[StepPlan]:
    rollout = settings.rollout
    distinct = max(traffic.requests_per_day, 1e-9) / 24.0
    shown = max((n.hours for n in needed), default=0.0)
    hours = max(rollout.shadow_min_units / distinct, shown if math.isfinite(shown) else rollout.hold_after_hours)
    shares = [percent / 100.0 for percent in rollout.steps if percent < 100]
    if rollout.plan.value == "ab":
        shares = [rollout.split / 100.0]
    if rollout.plan.value in ("shadow", "blue_green"):
        shares = []
    out, dealt = [], 0.0
    for name, share in [("shadow", 0.0), *((f"{share:.0%}", share) for share in shares), ("probation", 1.0)]:
        began = hours
        if name == "probation":
            hours += rollout.probation_hours
        elif share > 0:
            hours += rollout.step_min_units / (share * distinct)
            dealt += share * (1.0 - share) * max(traffic.keys_after(hours) - traffic.keys_after(began), 0.0)
        keys = traffic.keys_after(hours)
        out.append(
            StepPlan(
                name=name,
                share=share,
                hours=hours,
                keys=keys,
                error_rate=_smallest_rate(settings, keys, bar) if "error_rate" in asked else None,
                quality_drop=_smallest_drop(settings, traffic, keys, bar) if "accuracy" in asked else None,
                median_told=_told(0.5, keys, failing),
                p99_told=_told(0.99, keys, failing),
                rewards={
                    n: _smallest_reward(paid, dealt, failing)
                    for n, paid in traffic.rewards.items()
                    if n in rollout.guards.rewards
                },
            )
        )
    return out


def _smallest_rate(settings: Settings, keys: float, bar: float) -> float | None:
    limit = max(settings.rollout.guards.error_rate, 1e-9)
    return _bisected(lambda rate: keys_to_see(rate_outcomes(rate), limit, bar) <= keys, limit, 1.0)


def _smallest_drop(settings: Settings, traffic: Traffic, keys: float, bar: float) -> float | None:
    margin = settings.rollout.guards.accuracy_margin or 0.0
    labelled = keys * traffic.label_share

    def seen(drop: float) -> bool:
        return keys_to_see(drop_outcomes(drop, traffic.different), (margin + 1.0) / 2.0, bar) <= labelled

    return _bisected(seen, margin, 1.0)


def _told(p: float, keys: float, failing: float) -> bool:
    """Return whether a limit of the quantile exists on both sides: nothing can be told apart before."""
    few, many = quantile_sequence.quantile_ranks(round(keys), p, failing / 8.0)
    return few >= 0 and many <= round(keys)


def _smallest_reward(paid: Paid, dealt: float, failing: float) -> float | None:
    """Return the difference that is seen with 80 % between two arms with Σ keys · share · (1 − share) = `dealt`."""
    effective = dealt * paid.share
    if effective < LEAST_KEYS / 2 or paid.sd <= 0:
        return None
    v = paid.sd**2 / effective
    rho2 = (-2.0 * math.log(failing) + math.log(-2.0 * math.log(failing) + 1.0)) / TIGHT_AT
    scale = effective * rho2 + 1.0
    half = math.sqrt(v * 2.0 * scale / (effective * rho2) * math.log(math.sqrt(scale) / (2.0 * failing)))
    return half + Z * math.sqrt(v)


def _bisected(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    if not holds(high):
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
