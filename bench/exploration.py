"""What exploration costs a request, off and on; and how well the estimates from its logs hold.

Processor time of one worker's way from a validated call to its encoded answer, without files and sockets, taking turns
so that a busy machine slows all alike; the median of the rounds. With `--coverage RUNS` the estimates of a classifier,
with `--lists RUNS` those of a ranking.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from mainstay.core.exploration import How, Rule  # noqa: E402 - the tests' kit lies beside
from mainstay.serve.explorer import Explorer  # noqa: E402
from mainstay.stats import exploration, offpolicy  # noqa: E402
from serve_kit import Kit, one  # noqa: E402

ROWS, ROUNDS = 300, 60
CHOICES, SHARE = 4, 0.2


def worker(rule: Rule | None) -> Kit:
    """Return a worker that answers the tests' model."""
    kit = Kit()
    if rule is not None:
        kit.slot._explorer = Explorer(rule, model="weather", salt="5a" * 32)
        kit.slot.live = None
        kit.slot.load_missing()
    return kit


def ns_per_request(kit: Kit) -> float:
    """Return processor time per request, in ns, of calls with one row."""
    calls = [kit.call(one("snow day")) for _ in range(ROWS)]
    began = time.process_time_ns()
    for call in calls:
        kit.work(call)
    spent = time.process_time_ns() - began
    kit.writer.events.clear()
    return spent / ROWS


def costs() -> None:
    """Print what a request costs without exploration, with a share of 5 %, and by softmax."""
    kits = {
        "off": worker(None),
        "uniform, share 0.05": worker(Rule(share=0.05, how=How.UNIFORM)),
        "softmax, share 0.05": worker(Rule(share=0.05, how=How.SOFTMAX)),
    }
    took: dict[str, list[float]] = {name: [] for name in kits}
    for _ in range(ROUNDS):
        for name, kit in kits.items():
            took[name].append(ns_per_request(kit))
    off = statistics.median(took["off"])
    for name, rounds in took.items():
        middle = statistics.median(rounds)
        print(f"{name:<22} {middle:>9,.0f} ns a request  ({middle - off:+,.0f})")


def requests(number: int) -> None:
    """Answer so many requests with exploration off, for a tool that counts instructions."""
    kit = worker(None)
    for _ in range(50):
        kit.work(kit.call(one("snow day")))
    gc.collect()
    gc.disable()
    for _ in range(number):
        kit.work(kit.call(one("snow day")))
        kit.writer.events.clear()


def coverage(runs: int) -> None:
    """Print how often 95 % intervals held the truth, by share explored and rows."""
    print(f"{'share':>6} {'rows':>6} {'told':>6} {'SNIPS':>7} {'IPS':>7} {'DR':>7} {'ESS':>7}")
    for share in (0.05, 0.2, 0.5):
        for n in (1_000, 4_000, 16_000):
            _cell(np.random.default_rng(int(share * 100) + n), share, n, runs)


def _cell(rng: np.random.Generator, share: float, n: int, runs: int) -> None:
    held, told, effective = np.zeros(3), 0, []
    for _ in range(runs):
        users = n // 4
        taste = np.repeat(rng.integers(0, CHOICES, users), 4)
        mood = np.repeat(rng.normal(0, 0.1, users), 4)
        favourite = (taste + 1) % CHOICES
        shown = np.where(rng.random(n) < share, rng.integers(0, CHOICES, n), favourite)
        chance = np.clip(0.1 + 0.5 * (shown == taste) + mood, 0, 1)
        reward = (rng.random(n) < chance).astype(float)
        keys = np.repeat(np.arange(users), 4)
        p = offpolicy.epsilon_greedy(shown == favourite, share=share, choices=CHOICES)
        done, other = offpolicy.cross_guessed(np.eye(CHOICES)[shown], np.eye(CHOICES)[taste], reward, keys)
        found = offpolicy.value_of(
            offpolicy.Logged(reward=reward, propensity=p, keys=keys),
            offpolicy.Target(
                chance=(shown == taste).astype(float), unsupported=np.zeros(n), guess_done=done, guess_policy=other
            ),
        )
        effective.append(found.effective)
        ways = (found.snips, found.ips, found.doubly_robust)
        if not found.why_not:
            told += 1
            held += [one is not None and one.low <= 0.6 <= one.high for one in ways]
    shares = [f"{value / told:>7.1%}" if told else "      –" for value in held]
    print(f"{share:>6.0%} {n:>6,} {told / runs:>6.0%} {' '.join(shares)} {statistics.mean(effective):>7.0f}")


PLACES, TOP = np.arange(1, 6), 3
LIKED, LOOKED = 0.2 + 0.1 * PLACES, 1.0 / PLACES
"""How often a candidate is clicked that is looked at, and how often one on a place is looked at."""


def of_lists(runs: int) -> None:
    """Print how often 95 % intervals of a ranking held the truth: five candidates, the first three places drawn."""
    print(f"{'how':<8} {'share':>5} {'lists':>6} {'told':>6} {'SNIPS':>7} {'IPS':>7} {'ESS':>6}")
    for how, share, sizes in (
        (How.SWAP, 0.1, (400, 1600, 6400)),
        (How.SWAP, 0.5, (150, 600)),
        (How.SHUFFLE, 0.5, (600,)),
    ):
        wanted = np.array([2, 1, 3, 4, 5] if how is How.SWAP else [3, 1, 2, 4, 5])
        for n in sizes:
            _lists(np.random.default_rng(int(share * 100) + n), how, share, n, wanted, runs)


def _lists(rng: np.random.Generator, how: How, share: float, n: int, wanted: np.ndarray, runs: int) -> None:
    first, held, told, effective = wanted <= TOP, np.zeros(2), 0, []
    truth = (LIKED * LOOKED[wanted - 1])[first].mean()
    chances = np.zeros((len(PLACES), len(PLACES) + 1))
    for row, own in enumerate(PLACES):
        for place, chance in exploration.places(how, int(own), len(PLACES), TOP, share).items():
            chances[row, place] = chance
    lists = np.repeat(np.arange(n), int(first.sum()))
    for _ in range(runs):
        shown, drawn = np.tile(PLACES, (n, 1)), np.flatnonzero(rng.random(n) < share)
        if how is How.SWAP:
            at = rng.integers(0, TOP - 1, n)[drawn]
            shown[drawn, at], shown[drawn, at + 1] = at + 2, at + 1
        else:
            shown[drawn, :TOP] = np.argsort(rng.random((len(drawn), TOP)), axis=1) + 1
        mood = rng.uniform(0.6, 1.4, (n, 1))  # of who looks at the list
        clicks = (rng.random(shown.shape) < mood * LIKED * LOOKED[shown - 1]).astype(float)
        p = chances[np.arange(len(PLACES)), shown]
        found = offpolicy.value_of(
            offpolicy.Logged(
                reward=clicks[:, first].ravel(), propensity=p[:, first].ravel(), keys=lists, together=lists
            ),
            offpolicy.Target(
                chance=(shown == wanted)[:, first].ravel().astype(float), unsupported=np.zeros(len(lists))
            ),
        )
        effective.append(found.effective)
        if not found.why_not:
            told += 1
            held += [one is not None and one.low <= truth <= one.high for one in (found.snips, found.ips)]
    shares = [f"{value / told:>7.1%}" if told else "      –" for value in held]
    print(f"{how:<8} {share:>5.0%} {n:>6,} {told / runs:>6.0%} {' '.join(shares)} {statistics.mean(effective):>6.0f}")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--coverage", type=int, default=0, metavar="RUNS")
    asked.add_argument("--lists", type=int, default=0, metavar="RUNS")
    asked.add_argument("--requests", type=int, default=0, metavar="N", help="for valgrind --tool=callgrind")
    given = asked.parse_args()
    if given.coverage:
        coverage(given.coverage)
    if given.lists:
        of_lists(given.lists)
    if given.requests:
        requests(given.requests)
    if not (given.coverage or given.lists or given.requests):
        costs()
