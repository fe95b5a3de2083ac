"""How often a reward's floor is told as broken while it is just kept, and how soon when it is not: by simulation.

People come back hour after hour, each with a click rate of their own: the mean times twice a Beta variable of which
`alike` is the variance over that of a coin, so that some hardly click and some often. The floor is looked at every six
hours (false alarms) or every hour (delay), with the default budget of one false page in 30 days.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from mainstay.stats import groups
from mainstay.stats.groups import Sums

GROUPS = 64
FLOOR = 0.05
BAR = math.log(30.0)


def hours(rng: np.random.Generator, rates: np.ndarray, *, answers: int, alike: float) -> list[Sums]:
    """Return the sums of each hour."""
    people = answers * 5
    k = (1 - alike) / alike
    likes, deal = rng.beta(k, k, people), rng.integers(0, GROUPS, people)
    out = []
    for rate in rates:
        who = rng.integers(0, people, answers)
        clicks = (rng.random(answers) < np.clip(rate * 2 * likes[who], 0, 1)).astype(float)
        total = np.bincount(deal[who], weights=clicks, minlength=GROUPS)
        rows = np.bincount(deal[who], minlength=GROUPS).astype(float)
        out.append(Sums(rows=rows, total=total, square=total))
    return out


def first_alarm(blocks: list[Sums], *, step: int, begin: int = 0) -> int | None:
    """Return after how many hours it is told, or None."""
    for end in range(begin + step, len(blocks) + 1, step):
        log, _ = groups.log_below_since(blocks[:end], [1 / 24] * end, FLOOR, spread=0.0)
        if log >= BAR:
            return end
    return None


def main() -> None:
    """Print both tables."""
    runs = argparse.ArgumentParser(description=__doc__)
    runs.add_argument("--runs", type=int, default=150)
    count = runs.parse_args().runs
    rng = np.random.default_rng(99)
    days = 10
    for alike in (0.05, 0.2):
        rates = np.full(days * 24, FLOOR)
        found = [first_alarm(hours(rng, rates, answers=150, alike=alike), step=6) for _ in range(count)]
        false = sum(end is not None for end in found)
        print(f"kept exactly, alike {alike}: {false} alarms in {count * days} days (allowed: {count * days / 30:.0f})")
    for low in (0.04, 0.03):
        rates = np.concatenate([np.full(96, 0.055), np.full(96, low)])
        ends = [
            first_alarm(hours(rng, rates, answers=300, alike=0.2), step=1, begin=96) for _ in range(max(count // 4, 1))
        ]
        delays = [end - 96 for end in ends if end is not None]
        missed = f"{len(ends) - len(delays)} of {len(ends)} missed in 96 h"
        print(
            f"5.5 % to {low:.0%}, 300 answers an hour: median {np.median(delays):.0f} h, 90 % "
            f"{np.quantile(delays, 0.9):.0f} h; {missed}"
        )


if __name__ == "__main__":
    main()
