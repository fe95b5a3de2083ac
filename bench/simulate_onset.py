"""Simulate how often the interval of an incident's start holds the true one, and how wide it is.

A change at a row drawn at random (a row each minute), the watch's own evidence, its onset at the alarm. Width and
distance from the true start are medians.
"""

from __future__ import annotations

import argparse
import itertools
from datetime import timedelta

import numpy as np

from mainstay.stats.intervals import clopper_pearson
from mainstay.testing.changes import found_change

SHIFTS = (0.15, 0.25, 0.5, 1.0, 2.0)
REFERENCES = (2_000, 10_000)
ROWS = (32, 100, 1_000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print("| shift (σ) | reference | rows a block | found | in the interval | 95 % | width (blocks) | off (blocks) |")
    print("|---|---|---|---|---|---|---|---|")
    for shift, reference, rows in itertools.product(SHIFTS, REFERENCES, ROWS):
        rng = np.random.default_rng((given.seed, int(shift * 100), reference, rows))
        ran = [found_change(rng, shift=shift, reference=reference, rows=rows) for _ in range(given.runs)]
        found = [one for one in ran if one is not None]
        if not found:
            print(f"| {shift} | {reference:,} | {rows:,} | 0 of {given.runs} | | | | |")
            continue
        covered = sum(one.covered for one in found)
        low, high = clopper_pearson(covered, len(found))
        block = timedelta(minutes=rows)
        width = np.median([(one.onset.high - one.onset.low) / block for one in found])
        off = np.median([abs(one.onset.at - one.began) / block for one in found])
        print(
            f"| {shift} | {reference:,} | {rows:,} | {len(found)} of {given.runs} | {covered / len(found):.1%} | "
            f"{low:.1%} to {high:.1%} | {width:.1f} | {off:.2f} |"
        )


if __name__ == "__main__":
    main()
