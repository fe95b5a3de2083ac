"""How often a good challenger is stopped, how soon a bad one, and how soon a good one has arrived: by simulation.

Reproduces published anchors first (repeated z-tests, point thresholds, an anytime-valid test on the canary's own
requests), then asks Mainstay's guards the same in the same worlds, and in worse ones: keys with up to 50 requests that
are alike, a challenger exactly at every limit, latency, labels, rewards, segments. Everything comes from fixed seeds.

    python bench/simulate_rollout.py [--runs 200] [--only WORD] [--write]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from mainstay.config.settings import GuardSettings
from mainstay.core.events import Arm, Trust
from mainstay.core.releases import Evidence, Policy, Release, Stage, advance
from mainstay.release.judge import judge, tripped
from mainstay.release.questions import Plan
from mainstay.stats import arms, quantile_sequence, stretches
from mainstay.stats.intervals import Floats
from mainstay.stats.sequential import BETS, log_bernoulli_above
from mainstay.store.pairs import Pair

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "simulate-rollout.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- rollout: written by bench/simulate_rollout.py -->", "<!-- end of rollout -->"
ALPHA = 0.01
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
STEPS = (0.05, 0.10, 0.25, 0.50, 1.0)
SHARES = dict(enumerate(STEPS))
Line = dict[str, Any]


def line(table: str, case: str, **figures: Any) -> Line:
    return {"table": table, "case": case, **figures}


def share_of(hits: int, runs: int) -> Line:
    """Return a share and the upper limit that is exceeded with 5 % (Clopper, Pearson)."""
    upper = 1.0 if hits == runs else float(special.betaincinv(hits + 1, runs - hits, 0.95))
    return {"runs": runs, "hits": hits, "share": hits / runs, "upper_95": upper}


def quantiles(found: Iterable[int | None], unit: str) -> Line:
    all_ = list(found)
    ends = np.array([math.inf if end is None else end for end in all_], dtype=float)
    median, ninety = (float(np.quantile(ends, q, method="higher")) for q in (0.5, 0.9))
    missed = sum(end is None for end in all_)
    shown = [None if math.isinf(x) else x for x in (median, ninety)]
    return {"runs": len(all_), f"median_{unit}": shown[0], f"ninety_{unit}": shown[1], "missed": missed}


# The anchors


def z_tests(runs: int) -> list[Line]:
    """Two-sided z-tests at 5 %, repeated; ours on the same values, both sides at 2.5 %."""
    out = []
    for looks in (5, 20, 100):
        rng = np.random.default_rng(looks)
        wrong = ours = 0
        for _ in range(runs):
            d = rng.choice([-1.0, 0.0, 1.0], 100 * looks, p=[0.1, 0.8, 0.1])
            at = np.arange(100, len(d) + 1, 100)
            total, square = np.cumsum(d)[at - 1], np.cumsum(d * d)[at - 1]
            wrong += bool((np.abs(total) > 1.959964 * np.sqrt(square)).any())
            up, down = evidence((d + 1) / 2, 0.5, at), evidence((1 - d) / 2, 0.5, at)
            ours += bool((np.maximum(up, down) >= math.log(40)).any())
        out.append(
            line("anchors", f"z-test at 5 %, {looks} looks, no difference", test="z-test", **share_of(wrong, runs))
        )
        out.append(line("anchors", f"z-test at 5 %, {looks} looks, no difference", test="ours", **share_of(ours, runs)))
    return out


def thresholds(runs: int) -> list[Line]:
    """True errors .5 %, limit 1 %, 50 canary requests a check, 10 checks."""
    rng = np.random.default_rng(50)
    failed = (rng.binomial(50, 0.005, (runs * 10, 10)) / 50 > 0.01).sum(axis=1)
    case = "errors .5 %, limit 1 %, 10 checks of 50 requests: a good release is aborted"
    ours = 0
    for one in rng.random((runs, 500)) < 0.005:
        ours += bool((evidence(one.astype(float), 0.01, np.arange(50, 501, 50)) >= math.log(1 / ALPHA)).any())
    return [
        *(
            line("anchors", case, test=f"point threshold, {most} failed checks allowed", **share_of(hits, runs * 10))
            for most in (0, 1, 2)
            for hits in [int((failed > most).sum())]
        ),
        line("anchors", case, test="ours", **share_of(ours, runs)),
    ]


def canary_only(runs: int) -> list[Line]:
    """A canary of 5 %, looked at every 800 requests (40 of its own), against the champion's .5 %."""
    out = []
    for often in (0.005, 0.02, 0.05, 0.2):
        known: list[int | None] = []
        mixed: list[int | None] = []
        paired: list[int | None] = []
        ratio: list[int | None] = []
        rng = np.random.default_rng(int(often * 1000))
        looks, good = 240, often < 0.01
        for number in range(5 * runs if good else runs):
            own = (rng.random(40 * looks) < often).astype(float)
            at = np.arange(40, len(own) + 1, 40)
            counts = np.cumsum(own)[at - 1]
            log_e = (log_bernoulli_above(float(s), float(n), 0.005) for s, n in zip(counts, at, strict=True))
            known.append(first(log_e, math.log(1 / ALPHA), 800))
            mixed.append(first(evidence(own, 0.005, at), math.log(1 / ALPHA), 800))
            # Mainstay asks both sides of every request: the same look, ten times as many answers of the challenger.
            if good and number >= runs // 4:
                continue
            n = 800 * (looks if good else 20)
            mine, theirs = rng.random(n) < often, rng.random(n) < 0.005
            ends = np.arange(800, n + 1, 800) if good else np.arange(100, n + 1, 100)
            paired.append(first(evidence(mine.astype(float), 0.01, ends), math.log(5 / ALPHA), int(ends[0])))
            z = (mine.astype(float) - theirs + 1.0) / 2.0
            ratio.append(first(evidence(z, 0.5, ends), math.log(5 / ALPHA), int(ends[0])))
        tests = {
            "anytime-valid, canary's own requests against .5 %": known,
            "ours on the same requests": mixed,
            "ours as it is: every request by both, limit 1 %, alpha / 5": paired,
            "ours as it is: every request by both, not more often than the champion, alpha / 5": ratio,
        }
        for test, ends_ in tests.items():
            name = f"errors {often:.1%} against .5 %, 240 looks" if good else f"errors {often:.0%} against .5 %"
            if good:
                out.append(line("anchors", name, test=test, **share_of(sum(e is not None for e in ends_), len(ends_))))
            else:
                out.append(line("anchors", name, test=test, **quantiles(ends_, "requests")))
    return out


def first(log_e: Iterable[float], bar: float, step: int) -> int | None:
    """Return after how many requests the evidence reached the bar, or None."""
    for number, value in enumerate(log_e, start=1):
        if value >= bar:
            return number * step
    return None


def evidence(values: Floats, limit: float, looks: Sequence[int] | np.ndarray[Any, Any]) -> Floats:
    """Return the evidence of harm at each look where each row is a key: `stretches.log_harm`, all looks at once."""
    logs = np.log1p(BETS[:, None] * (values[None, :] / limit - 1.0))
    so_far = np.concatenate([np.zeros((len(BETS), 1)), np.cumsum(logs, axis=1)], axis=1)
    begins = stretches.starts(len(values))
    weights = stretches.start_log_weights(len(begins))
    out = []
    for n in looks:
        held = begins[: math.ceil(n / stretches.RESTART_EVERY)]
        growth = so_far[:, n][:, None] - so_far[:, held]
        out.append(float((special.logsumexp(growth, axis=0) - math.log(len(BETS)) + weights[: len(held)]).max()))
    return np.array(out)


# Keys that come again


def clustered(rng: np.random.Generator, keys: int, rate: float, alike: float) -> tuple[Floats, np.ndarray[Any, Any]]:
    """Return failures and keys of requests in random order: 1 to 50 of each key, `alike` of them as the key is."""
    who = rng.permutation(np.repeat(np.arange(keys), rng.integers(1, 51, keys)))
    bad = rng.random(keys) < rate
    own = rng.random(len(who)) < rate
    return np.where(rng.random(len(who)) < alike, bad[who], own).astype(float), who


def dyadic(values: Floats, keys: np.ndarray[Any, Any], looks: np.ndarray[Any, Any]) -> list[Floats]:
    """Return at each look one value for a key's first row, its next two, next four and so on: what was done before."""
    waiting: dict[int, list[float]] = {}
    wanted: dict[int, int] = {}
    out: list[float] = []
    sizes = []
    for value, key in zip(values, keys, strict=True):
        rows = waiting.setdefault(int(key), [])
        rows.append(float(value))
        if len(rows) == wanted.get(int(key), 1):
            out.append(float(np.mean(rows)))
            waiting[int(key)], wanted[int(key)] = [], 2 * len(rows)
        sizes.append(len(out))
    return [np.array(out[: sizes[n - 1]]) for n in looks]


def keys_again(runs: int) -> list[Line]:
    """Exactly at the limit (5 %): stopped wrongly; and passed wrongly at the limit, by how keys are counted."""
    out = []
    for alike in (0.0, 0.5, 1.0):
        rng = np.random.default_rng(int(alike * 10) + 1)
        stopped = {"each request": 0, "the logarithm of a key's requests (before)": 0, "each key once (now)": 0}
        passed = dict(stopped)
        count = max(runs // 2, 8)
        for _ in range(count):
            values, keys = clustered(rng, 240, 0.05, alike)
            n = len(values)
            looks = np.linspace(n // 30, n, 30).astype(int)
            codes = keys.astype(np.intp)
            ways = {
                "each request": [values[:k] for k in looks],
                "the logarithm of a key's requests (before)": dyadic(values, keys, looks),
            }
            for way, parts in ways.items():
                stopped[way] += any(evidence(p, 0.05, [len(p)])[0] >= math.log(1 / ALPHA) for p in parts)
                passed[way] += any(safe(p, 0.05) for p in parts)
            rows = [stretches.Rows(values=values[:k], keys=codes[:k], at=np.arange(k)) for k in looks]
            way = "each key once (now)"
            stopped[way] += any(
                stretches.log_harm(r, 0.05, positions=len(r.values)).log_e >= math.log(1 / ALPHA) for r in rows
            )
            passed[way] += any(safe(stretches.first_values(r), 0.05) for r in rows)
        for way in stopped:
            case = f"1 to 50 requests of a key, {alike:.0%} of them alike"
            out.append(line("keys", case, test=way, verdict="stopped", **share_of(stopped[way], count)))
            out.append(line("keys", case, test=way, verdict="passed", **share_of(passed[way], count)))
    for alike in (0.0, 0.5):
        rng = np.random.default_rng(77)
        found: dict[str, list[int | None]] = {
            "each key once, by its first request alone": [],
            "each key once (now)": [],
        }
        for _ in range(max(runs // 4, 8)):
            values, keys = clustered(rng, 240, 0.15, alike)
            stream = stretches.Rows(values=values, keys=keys.astype(np.intp), at=np.arange(len(values)))
            for way, by_key in (("each key once, by its first request alone", False), ("each key once (now)", True)):
                found[way].append(_keyed_end(stream, by_key=by_key))
        case = f"15 % against a limit of 5 %, {alike:.0%} alike"
        out += [line("keys", case, test=way, verdict="caught", **quantiles(e, "requests")) for way, e in found.items()]
    return out


def _keyed_end(rows: stretches.Rows, *, by_key: bool) -> int | None:
    for n in range(50, len(rows.values) + 1, 50):
        part = stretches.Rows(values=rows.values[:n], keys=rows.keys[:n], at=rows.at[:n])
        if not by_key:
            one = stretches.windows(part, 1)
            keep = np.sort(one.at[one.before < 0])
            part = stretches.Rows(values=part.values[keep], keys=np.arange(len(keep)), at=keep)
        if stretches.log_harm(part, 0.05, positions=n, by_key=by_key).log_e >= math.log(1 / ALPHA):
            return n
    return None


def safe(values: Floats, limit: float) -> bool:
    return log_bernoulli_above(len(values) - float(values.sum()), len(values), 1 - limit) >= math.log(1 / ALPHA)


# Latency, rewards


def latency(runs: int) -> list[Line]:
    """Quantiles at their limit (twice the champion's, no floor), and beyond, from any start; 60 looks."""
    out = []
    worlds: dict[str, tuple[float, float, float]] = {
        "p50 exactly twice the champion's": (0.5, 2.0, 0.0),
        "p99 exactly twice the champion's": (0.99, 2.0, 0.0),
        "p50 3 times": (0.5, 3.0, 0.0),
        "p99 4 times": (0.99, 4.0, 0.0),
        "a tail: 5 % of the answers 10 times as slow": (0.99, 1.0, 0.05),
    }
    for case, (p, times, tail) in worlds.items():
        rng = np.random.default_rng(int(100 * p + 10 * times))
        ends: list[int | None] = []
        for _ in range(runs):
            n = 3000
            champion = rng.lognormal(0.0, 0.5, n)
            mine = rng.lognormal(0.0, 0.5, n) * times * np.where(rng.random(n) < tail, 10.0, 1.0)
            ends.append(_too_slow(mine, champion, p))
        at_limit = "exactly" in case
        figures = share_of(sum(e is not None for e in ends), runs) if at_limit else quantiles(ends, "requests")
        out.append(line("harm", case, test="latency, twice the champion's is allowed", **figures))
    return out


def _too_slow(mine: Floats, champion: Floats, p: float) -> int | None:
    """Return when the ratio is called broken: half of the level for each side, from the beginning on."""
    for n in range(50, len(mine) + 1, 50):
        low, _ = quantile_sequence.quantile_limits(mine[:n], p, ALPHA / 2)
        _, high = quantile_sequence.quantile_limits(champion[:n], p, ALPHA / 2)
        if low > 2.0 * high:
            return n
    return None


def rewards(runs: int) -> list[Line]:
    """Clicks of 5 % and amounts with a long tail; keys of 1 to 10 answers; a split that goes up from 10 to 50 %."""
    out = []
    for kind in (
        "clicks, in a range",
        "clicks, no range",
        "amounts (lognormal), capped",
        "amounts (lognormal), no range",
    ):
        for lift in (0.0, -0.3, 0.3):
            rng = np.random.default_rng(9)
            ends: list[int | None] = []
            for _ in range(max(runs // 4, 8)):
                ends.append(_reward_end(rng, kind, lift))
            wrong = lift == 0.0
            figures = share_of(sum(e is not None for e in ends), len(ends)) if wrong else quantiles(ends, "keys")
            out.append(line("harm", f"reward {lift:+.0%}: {kind}", test="reward, either way at 1 %", **figures))
    return out


def _reward_end(rng: np.random.Generator, kind: str, lift: float) -> int | None:
    keys = 30_000
    rows = np.repeat(np.arange(keys), rng.integers(1, 11, keys))
    share = np.where(np.arange(keys) < keys // 5, 0.1, np.where(np.arange(keys) < keys // 2, 0.25, 0.5))
    mine = rng.random(keys) < share
    likes = rng.beta(1, 19, keys) * (1 + lift * mine)
    values = (rng.random(len(rows)) < likes[rows]).astype(float)
    if "amounts" in kind:
        values = values * rng.lognormal(0, 1, len(rows))
    ranged = "no range" not in kind
    if ranged and "amounts" in kind:
        values = np.minimum(values, 10.0) / 10.0
    dealt = arms.Dealt(values=values, first=mine[rows].astype(float), shares=share[rows], keys=rows)
    measure = arms.bets if ranged else arms.normal
    for last in np.linspace(keys // 15, keys, 15).astype(int):
        n = int(np.searchsorted(rows, last))
        part = arms.Dealt(values=dealt.values[:n], first=dealt.first[:n], shares=dealt.shares[:n], keys=dealt.keys[:n])
        found = measure(part, ALPHA / 2)
        if found.high < 0.0 or found.low > 0.0:
            return int(last)
    return None


# Whole rollouts


Draw = Callable[[random.Random, int], dict[str, Any]]
GUARDS = GuardSettings(error_rate=0.05, abstain_rate=0.05, accuracy_margin=0.05, latency_p99_ratio=3.0)


def pair(number: int, key: str, more: dict[str, Any]) -> Pair:
    base: dict[str, Any] = {
        "model": "m",
        "version": 2,
        "unit": f"u{number}",
        "id": f"p{number}",
        "key_hash": key,
        "arm": Arm.CHAMPION,
        "occurred_at": NOW,
        "champion_label": "a",
        "challenger_label": "a",
        "champion_confidence": 0.9,
        "challenger_confidence": 0.9,
        "champion_trust": Trust.OK,
        "challenger_trust": Trust.OK,
        "champion_latency_us": 3000,
        "challenger_latency_us": 3000,
        "step": -1,
    }
    return Pair(**(base | more))


def rollout(
    draw: Draw, seed: int, *, guards: GuardSettings, most: int, every: int, per_key: int = 1
) -> tuple[str, int]:
    """Play a rollout with the real judge and the real rule until it ends; return how, and after how many requests."""
    luck = random.Random(f"{seed}")
    plan = Plan(guards=guards, alpha=ALPHA, share_history=SHARES)
    policy = Policy(steps=STEPS, hold_after=timedelta(days=400))
    release = Release(
        model="m", version=2, digest="2" * 64, stage=Stage.SHADOW, since=NOW, created_at=NOW, salt="s", step=0
    )
    pairs: list[Pair] = []
    keys = max(most // max(per_key // 2, 1), 1)
    while len(pairs) < most:
        for _ in range(every):
            number = len(pairs)
            key = f"k{number}" if per_key == 1 else f"k{luck.randrange(keys)}"
            share = STEPS[release.step] if release.stage is Stage.CANARY else 0.0
            mine = random.Random(f"{seed}-{key}").random() < share
            step = release.step if release.stage is Stage.CANARY else -1
            more = draw(luck, number) | {"step": step, "arm": Arm.CHALLENGER if mine else Arm.CHAMPION}
            pairs.append(pair(number, key, more))
        answered = sum(p.step == release.step and p.arm is Arm.CHALLENGER for p in pairs)
        found = Evidence(checks=judge(pairs, plan), units=len(pairs), step_units=answered, trip=tripped(pairs))
        move = advance(release, found, policy, NOW)
        if move is None:
            continue
        if move.to is Stage.CANARY:
            release = replace(release, stage=Stage.CANARY, step=move.step)
            continue
        where = "in shadow" if release.stage is Stage.SHADOW else f"at {STEPS[release.step]:.0%}"
        return (str(move.to.value) if move.to is Stage.PROBATION else f"{move.to.value} {where}"), len(pairs)
    return "undecided", most


def same(luck: random.Random, _: int) -> dict[str, Any]:
    return {"label": "a" if luck.random() < 0.9 else "b"} if luck.random() < 0.5 else {}


def better(luck: random.Random, _: int) -> dict[str, Any]:
    return {
        "label": "a" if luck.random() < 0.5 else None,
        "champion_label": "a" if luck.random() < 0.6 else "b",
        "challenger_label": "a" if luck.random() < 0.87 else "b",
        "champion_trust": Trust.LOW if luck.random() < 0.3 else Trust.OK,
    }


def usual(luck: random.Random, _: int) -> dict[str, Any]:
    """Retrained on newer data: other answers on 6 % of the requests, more often right than not; half labelled."""
    if luck.random() > 0.06:
        return {"label": ("a" if luck.random() < 0.9 else "b") if luck.random() < 0.5 else None}
    right = luck.random() < 0.6
    return {"label": ("b" if right else "a") if luck.random() < 0.5 else None, "challenger_label": "b"}


def garbage(luck: random.Random, _: int) -> dict[str, Any]:
    label = "a" if luck.random() < 0.5 else None
    if luck.random() >= 0.3:
        return {"label": label}
    return {
        "label": label,
        "challenger_label": luck.choice(["a", "b"]),
        "challenger_confidence": luck.uniform(0.1, 0.39),
        "challenger_trust": Trust.LOW,
    }


def late(luck: random.Random, number: int) -> dict[str, Any]:
    return garbage(luck, number) if number >= 300 else {"label": "a" if luck.random() < 0.5 else None}


def wrong(luck: random.Random, _: int) -> dict[str, Any]:
    """Worse by 15 points, sure of itself, half labelled."""
    return {"label": "a" if luck.random() < 0.5 else None, "challenger_label": "b" if luck.random() < 0.15 else "a"}


def at_limits(luck: random.Random, _: int) -> dict[str, Any]:
    return {
        "label": "a",
        "challenger_failed": luck.random() < 0.05,
        "challenger_label": "b" if luck.random() < 0.05 else "a",
        "challenger_trust": Trust.LOW if luck.random() < 0.05 else Trust.OK,
        "champion_latency_us": int(30_000 * luck.lognormvariate(0, 0.5)),
        "challenger_latency_us": int(90_000 * luck.lognormvariate(0, 0.5)),
    }


def in_one_segment(luck: random.Random, _: int) -> dict[str, Any]:
    """A segment of 15 % in which every third request fails: 5 % over all, exactly at the limit of the whole."""
    app = luck.random() < 0.15
    failed = app and luck.random() < 1 / 3
    return {"segments": ("channel=app" if app else "channel=email",), "challenger_failed": failed, "label": "a"}


def whole(runs: int) -> list[Line]:
    out = []
    cases: list[tuple[str, Draw, GuardSettings, dict[str, int]]] = [
        ("identical answers", same, GUARDS, {"most": 3000}),
        ("better by 27 points", better, GUARDS, {"most": 4000}),
        ("other answers on 6 %, 1.2 points better", usual, GUARDS, {"most": 6000}),
        ("identical answers, default limits (errors 1 %)", same, GuardSettings(), {"most": 6000}),
        ("identical answers, up to 20 requests of a key", same, GUARDS, {"most": 6000, "per_key": 10}),
        ("garbage on 30 % from the start", garbage, GUARDS, {"most": 1500}),
        ("garbage on 30 % from request 300", late, GUARDS, {"most": 2000}),
        ("worse by 15 points, sure of itself", wrong, GUARDS, {"most": 3000}),
        (
            "every third request of a segment of 15 % fails",
            in_one_segment,
            GUARDS.model_copy(update={"segments": "veto"}),
            {"most": 3000},
        ),
    ]
    for case, draw, guards, more in cases:
        found = [rollout(draw, seed, guards=guards, every=20, **more) for seed in range(max(runs // 16, 8))]
        ways = sorted({way for way, _ in found})
        told = ", ".join(f"{way} {sum(w == way for w, _ in found)}" for way in ways)
        out.append(line("rollouts", case, outcome=told, **quantiles([n for w, n in found], "requests")))
    stopped = 0
    count = max(runs // 2, 8)
    for seed in range(count):
        way, _ = rollout(at_limits, seed, guards=GUARDS, most=600, every=50)
        stopped += way.startswith("rolled_back")
    out.append(line("rollouts", "exactly at every limit, 12 looks", outcome="rolled back", **share_of(stopped, count)))
    return out


def labels(runs: int) -> list[Line]:
    """Paired labelled answers: exactly at the margin of 2 points, and worse."""
    out = []
    for drop in (0.02, 0.05, 0.10):
        rng = np.random.default_rng(int(drop * 100))
        ends: list[int | None] = []
        for _ in range(runs):
            lost = rng.random(6000) < 0.05 + drop / 2
            won = ~lost & (rng.random(6000) < (0.05 - drop / 2) / (1 - 0.05 - drop / 2))
            worse = (lost.astype(float) - won + 1.0) / 2.0
            at = np.arange(50, 6001, 50)
            ends.append(first(evidence(worse, (0.02 + 1) / 2, at), math.log(1 / ALPHA), 50))
        case = f"{drop:.0%} less often right, margin 2 points, answers differ on 10 %"
        figures = share_of(sum(e is not None for e in ends), runs) if drop == 0.02 else quantiles(ends, "labels")
        out.append(line("harm", case, test="accuracy, labelled", **figures))
    return out


PARTS: dict[str, Callable[[int], list[Line]]] = {
    "z": z_tests,
    "thresholds": thresholds,
    "canary": canary_only,
    "keys": keys_again,
    "latency": latency,
    "labels": labels,
    "rewards": rewards,
    "whole": whole,
}


def told(found: Line) -> str:
    words = [found[k] for k in ("test", "verdict", "outcome") if k in found]
    if "share" in found:
        words.append(f"{found['share']:.1%} of {found['runs']:,} (below {found['upper_95']:.1%})")
    for unit in ("requests", "keys", "labels"):
        if f"median_{unit}" in found:
            shown = [found[f"{q}_{unit}"] for q in ("median", "ninety")]
            text = " / ".join("more than there were" if x is None else f"{x:,.0f}" for x in shown)
            words.append(f"{text} {unit}" + (f"; {found['missed']} missed" if found["missed"] else ""))
    return " | ".join([found["case"], *words])


def page(lines: Sequence[Line]) -> str:
    end = "wrongly called so, or how many until it is (median / 90 %)"
    heads = {
        "anchors": f"| world | test | {end} |\n|---|---|---|",
        "keys": "| exactly at the limit, or beyond it | a key counts | verdict | |\n|---|---|---|---|",
        "harm": f"| world | test | {end} |\n|---|---|---|",
        "rollouts": "| a challenger with | outcome | requests until then (median / 90 %) |\n|---|---|---|",
    }
    parts = []
    for table, head in heads.items():
        rows = [f"| {told(found)} |" for found in lines if found["table"] == table]
        parts.append("\n".join([head, *rows]))
    return "\n\n".join(parts)


def main() -> None:
    """Print every line; with --write keep the results and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    for name, part in PARTS.items():
        if asked.only and asked.only != name:
            continue
        began = time.process_time()
        found = part(asked.runs)
        for one in found:
            print(told(one), flush=True)
        print(f"  {name}: {time.process_time() - began:.1f} s of the processor", flush=True)
        if asked.write:
            keep(name, found)


def keep(name: str, found: list[Line]) -> None:
    """Put a part's lines in the place of its former ones, and all of them onto the page."""
    held = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    held = [one for one in held if one["part"] != name] + [{"part": name, **one} for one in found]
    order = list(PARTS)
    held.sort(key=lambda one: order.index(one["part"]))
    RESULTS.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{page(held)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
