"""Simulate the watch's evidence: false incidents per 1,000 windows, and windows until a change is found.

The engine is the one that serves (mainstay.stats.evidence); only the counting of rows into bins is done here, by
drawing the bins' counts. Run with `--runs` larger for narrower figures; the default takes about two minutes.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mainstay.core.profiles import BINS
from mainstay.stats import evidence
from mainstay.stats.intervals import Floats
from mainstay.stats.scores import score_table, score_variances

COLUMNS = 20
DAYS = 1000.0
"""The budget: one false incident in so many windows."""


@dataclass(kw_only=True)
class Source:
    """One stream with the law that its values follow, before and after a change."""

    stream: evidence.Stream
    draw: Callable[[np.random.Generator, int, bool], Floats]
    """(rng, rows, changed) -> the block's columns."""


def numeric(
    rng: np.random.Generator, *, reference: int, weight: float, shift: float = 0.0, keys_of: int = 1, icc: float = 0.0
) -> Source:
    """A normal column, its reference drawn anew; `shift` in standard deviations after the change.

    With `keys_of` rows per key and intra-class correlation `icc`, a key's value is the mean of its rows' scores.
    """
    sample = np.sort(rng.standard_normal(reference))
    cuts = np.unique(np.quantile(sample, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    counts = np.bincount(np.searchsorted(cuts, sample, side="right"), minlength=len(cuts) + 1)
    table = score_table(counts)
    stream = evidence.NumericStream(weight=weight, rows=float(reference), variances=score_variances(counts))
    shares = [np.diff(stats.norm.cdf(cuts, loc=loc), prepend=0.0, append=1.0) for loc in (0.0, shift)]

    def draw(rng: np.random.Generator, rows: int, changed: bool) -> Floats:
        block = np.zeros(stream.width)
        if keys_of > 1:
            keys = rows // keys_of
            common = rng.standard_normal((keys, 1)) * math.sqrt(icc)
            x = common + rng.standard_normal((keys, keys_of)) * math.sqrt(1 - icc) + shift * changed
            block[0] = keys
            block[1:5] = table[np.searchsorted(cuts, x, side="right")].mean(axis=1).sum(axis=0)
            return block
        block[0] = rows
        block[1:5] = rng.multinomial(rows, shares[changed]) @ table
        return block

    return Source(stream=stream, draw=draw)


def category(
    rng: np.random.Generator, *, reference: int, weight: float, before: list[float], after: list[float] | None = None
) -> Source:
    """A category column with shares `before`, and `after` from the change on; nothing is in "other"."""
    laws = [np.array([*before, 0.0]), np.array([*(after or before), 0.0])]
    base = rng.multinomial(reference, laws[0]).astype(np.float64)
    stream = evidence.CategoryStream(weight=weight, base=base)

    def draw(rng: np.random.Generator, rows: int, changed: bool) -> Floats:
        return rng.multinomial(rows, laws[changed]).astype(np.float64)

    return Source(stream=stream, draw=draw)


def part(source: Source, share: float) -> Source:
    """Return the source over a segment that has `share` of the rows."""
    return Source(stream=source.stream, draw=lambda rng, rows, changed: source.draw(rng, int(rows * share), changed))


def run(
    rng: np.random.Generator,
    sources: list[Source],
    *,
    windows: int,
    quiet: int,
    rows: int,
    delta: float,
    bar: float = DAYS,
    stop: bool,
) -> tuple[int, int | None]:
    """Return the number of alarms in `windows`, and the windows from the change to the first alarm after it."""
    streams = [source.stream for source in sources]
    material = evidence.Material(number_sigma=delta, category_share=0.02 if delta else 0.0)
    width = evidence.offsets(streams)[-1]
    history = evidence.History(totals=np.zeros(width), prefix=np.zeros((0, width)))
    alarms = 0
    for window in range(windows):
        changed = window >= quiet
        history.add(np.concatenate([source.draw(rng, rows, changed) for source in sources]), 1.0)
        if evidence.assess(streams, history, material).log_evidence >= math.log(bar):
            if changed and stop:
                return alarms, window - quiet + 1
            alarms += 1
            history = evidence.History(totals=np.zeros(width), prefix=np.zeros((0, width)))
    return alarms, None


Maker = Callable[[np.random.Generator], list[Source]]


def columns(reference: int, shift: float = 0.0) -> Maker:
    """Return 20 independent numeric columns of which the first changes."""
    weight = 1.0 / COLUMNS

    def make(rng: np.random.Generator) -> list[Source]:
        return [
            numeric(rng, reference=reference, weight=weight, shift=shift if i == 0 else 0.0) for i in range(COLUMNS)
        ]

    return make


def mixed(reference: int, before: list[float], after: list[float] | None) -> Maker:
    """Return one category column that changes, beside 19 numeric ones."""
    weight = 1.0 / COLUMNS

    def make(rng: np.random.Generator) -> list[Source]:
        one = category(rng, reference=reference, weight=weight, before=before, after=after)
        return [one, *(numeric(rng, reference=reference, weight=weight) for _ in range(COLUMNS - 1))]

    return make


def rare(reference: int) -> Maker:
    """Return 20 category columns with rare values."""
    law = [0.9, 0.07, 0.02, 0.008, 0.002]
    return lambda rng: [category(rng, reference=reference, weight=1.0 / COLUMNS, before=law) for _ in range(COLUMNS)]


def segmented(reference: int, shift: float) -> Maker:
    """Return 20 whole columns and the same in ten segments of a tenth; one column of one segment changes."""

    def make(rng: np.random.Generator) -> list[Source]:
        whole = [
            numeric(rng, reference=reference, weight=0.5 / COLUMNS, shift=0.1 * shift if i == 0 else 0.0)
            for i in range(COLUMNS)
        ]
        weight = 0.5 / (10 * COLUMNS)
        parts = [
            part(numeric(rng, reference=reference // 10, weight=weight, shift=shift if i == 0 else 0.0), 0.1)
            for i in range(10 * COLUMNS)
        ]
        return [*whole, *parts]

    return make


def users(reference: int) -> Maker:
    """Return 20 columns with 10 rows per user, intra-class correlation ½, one mean per user."""
    return lambda rng: [
        numeric(rng, reference=reference, weight=1.0 / COLUMNS, keys_of=10, icc=0.5) for _ in range(COLUMNS)
    ]


def false_alarms(name: str, make: Maker, *, runs: int, windows: int, delta: float, rows: int = 1000) -> None:
    """Print the false incidents per 1,000 windows with their exact 95 % Poisson limits."""
    started, found = time.perf_counter(), 0
    for seed in range(runs):
        rng = np.random.default_rng(1_000 + seed)
        found += run(rng, make(rng), windows=windows, quiet=windows, rows=rows, delta=delta, stop=False)[0]
    total = runs * windows / 1000.0
    low = stats.chi2.ppf(0.025, 2 * found) / 2 / total if found else 0.0
    high = stats.chi2.ppf(0.975, 2 * found + 2) / 2 / total
    tell(f"{name:<66} {found / total:6.2f} per 1,000 ({low:.2f} to {high:.2f})", started)


def delays(name: str, make: Maker, *, runs: int, quiet: int, most: int = 60, delta: float = 0.05) -> None:
    """Print the median and 90 % windows until a change is found, and the share missed in `most` windows."""
    started, found = time.perf_counter(), []
    for seed in range(runs):
        rng = np.random.default_rng(5_000 + seed)
        _, delay = run(rng, make(rng), windows=quiet + most, quiet=quiet, rows=1000, delta=delta, stop=True)
        found.append(math.inf if delay is None else delay)
    ranked = np.sort(found)
    median, ninety = ranked[(len(ranked) - 1) // 2], ranked[math.ceil(0.9 * len(ranked)) - 1]
    missed = float(np.isinf(ranked).mean())
    tell(f"{name:<66} median {median:g}, 90 % {ninety:g} windows, {missed:.0%} missed in {most}", started)


def tell(line: str, started: float) -> None:
    """Print a line with the time it took."""
    sys.stdout.write(f"{line}   [{time.perf_counter() - started:.0f} s]\n")
    sys.stdout.flush()


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=12, help="runs per case")
    parser.add_argument("--windows", type=int, default=300, help="windows per run for the false incidents")
    chosen = parser.parse_args()
    runs, windows = chosen.runs, chosen.windows
    for reference in (2_000, 100_000):
        for delta in (0.05, 0.0):
            false_alarms(
                f"false incidents, reference {reference:,}, δ = {delta}",
                columns(reference), runs=runs, windows=windows, delta=delta,
            )  # fmt: skip
    few = max(2, runs // 2)
    false_alarms(
        "false incidents, reference 240, windows of 32 rows, δ = .05",
        columns(240), runs=runs, windows=windows, delta=0.05, rows=32,
    )  # fmt: skip
    false_alarms(
        "false incidents, rare categories, reference 2,000, δ = 0", rare(2_000), runs=runs, windows=windows, delta=0.0
    )
    false_alarms(
        "false incidents, 10 rows per user (ICC ½), means per user", users(2_000), runs=few, windows=windows, delta=0.05
    )
    delays("0.25 σ in one of 20, reference 2,000, c = 5", columns(2_000, 0.25), runs=4 * runs, quiet=5)
    delays("0.25 σ in one of 20, reference 2,000, c = 0", columns(2_000, 0.25), runs=4 * runs, quiet=0)
    delays("0.1 σ in one of 20, reference 2,000, c = 10", columns(2_000, 0.1), runs=2 * runs, quiet=10)
    delays("0.1 σ in one of 20, reference 2,000, c = 0", columns(2_000, 0.1), runs=few, quiet=0)
    delays("0.1 σ in one of 20, reference 100,000, c = 0", columns(100_000, 0.1), runs=2 * runs, quiet=0)
    four, five = [0.25] * 4, [0.30, 0.70 / 3, 0.70 / 3, 0.70 / 3]
    delays(
        "five points of one of four categories, reference 2,000, c = 10",
        mixed(2_000, four, five),
        runs=2 * runs,
        quiet=10,
    )
    delays(
        "five points of one of two categories, reference 2,000, c = 10",
        mixed(2_000, [0.5, 0.5], [0.55, 0.45]),
        runs=2 * runs,
        quiet=10,
    )
    delays("0.25 σ in a segment of 10 %, reference 2,000, c = 10", segmented(2_000, 0.25), runs=few, quiet=10, most=30)
    delays("0.5 σ in a segment of 10 %, reference 2,000, c = 10", segmented(2_000, 0.5), runs=few, quiet=10, most=30)


if __name__ == "__main__":
    main()
