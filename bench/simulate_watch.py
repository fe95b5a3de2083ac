"""Simulate the watch's evidence: false incidents per 1,000 windows, and windows until a change is found.

Everything that judges is what serves: the plan of a profile (mainstay.watch.streams) and the evidence engine
(mainstay.stats.evidence). Only the rows are drawn here, straight into the bins of each field.

    python bench/simulate_watch.py                     # everything, about an hour on one core
    python bench/simulate_watch.py --only power        # cases whose name holds the word
    python bench/simulate_watch.py --write             # and keep the results in bench/results/simulate.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from mainstay.config.settings import FalsePagesSettings, MaterialSettings, WatchSettings
from mainstay.core.profiles import BINS, Profile, SignalKind, SignalProfile
from mainstay.models import seasons
from mainstay.models.profiles import design_effect
from mainstay.stats import evidence, season
from mainstay.stats.intervals import Floats
from mainstay.stats.scores import DEGREES
from mainstay.stats.window_effects import WindowEffects
from mainstay.watch import compare, streams

RESULTS = Path(__file__).parent / "results" / "simulate.json"
COLUMNS = 20
ROWS = 1_000
"""Of a window, an hour long."""
BUDGET = 1_000.0
"""One false incident is allowed in so many windows."""
START = 1_767_225_600.0
"""2026-01-01 00:00 UTC, a Thursday."""
HOUR = 3_600.0


@dataclass(frozen=True, kw_only=True)
class World:
    """How fields behave while nothing changes."""

    reference: int
    correlation: float = 0.0
    """Between fields."""
    effect_sd: float = 0.0
    """Of window effects, in σ, independent between fields."""
    lasting: float = 0.0
    """Correlation of a window's effect with the next one's."""
    hourly: float = 0.0
    """Amplitude of the daily cycle, in σ."""
    weekly: float = 0.0
    """Shift of weekends, in σ."""
    keys: tuple[int, int] = (1, 1)
    """Rows of a key within a window, from to, evenly."""
    icc: float = 0.0
    """Correlation of two rows of one key."""
    pool: int = 0
    """Keys that come again in later windows; 0: each comes once."""
    timed: bool = False
    """Whether reference rows carry their time."""
    segments: int = 0
    mix: tuple[float, ...] = ()
    """Shares of one category field beside the numbers."""
    fields: int = COLUMNS
    reference_days: float = 28.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of the first field, from some window on."""

    shift: float = 0.0
    """In σ, at once."""
    slope: float = 0.0
    """In σ for each window."""
    segment: bool = False
    """Whether only the first segment changes."""
    mix: tuple[float, ...] = ()


def wave(world: World, seconds: Floats) -> Floats:
    """Return the season's shift at these times: a daily cycle, and another level at weekends."""
    week, _ = season.cells(seconds)
    hour, weekday = week % season.HOURS, week // season.HOURS
    return world.hourly * np.sin(2 * np.pi * hour / season.HOURS) + world.weekly * (weekday >= 5)


@dataclass(kw_only=True)
class Source:
    """One watched model in a world, with a reference drawn anew."""

    world: World
    rng: np.random.Generator
    plan: streams.Plan = field(init=False)
    numbers: list[int] = field(init=False)
    effect: Floats = field(init=False)
    people: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Draw the reference and make the plan."""
        world, rng = self.world, self.rng
        self.effect = rng.standard_normal(world.fields) * world.effect_sd
        self.people = rng.standard_normal((world.pool, world.fields)) * math.sqrt(world.icc)
        values, seconds, groups = self._reference()
        self.plan = streams.plan(self._profile(values, seconds, groups), SETTINGS)
        self.numbers = [i for i, w in enumerate(self.plan.watched) if w.table is not None]
        found = [self.plan.watched[i] for i in self.numbers]
        bins = max(len(w.table) for w in found if w.table is not None)
        # A segment's reference has few rows, and now and then fewer bins: no value falls into those that are put on.
        self.edges, self.tables = np.full((len(found), bins - 1), np.inf), np.zeros((len(found), bins, DEGREES))
        for j, w in enumerate(found):
            if w.edges is not None and w.table is not None:
                self.edges[j, : len(w.edges)], self.tables[j, : len(w.table)] = w.edges, w.table[:, :DEGREES]

    def next_effect(self) -> Floats:
        """Return the next window's effects, shape (fields,)."""
        w = self.world
        fresh = self.rng.standard_normal(w.fields) * w.effect_sd
        self.effect = w.lasting * self.effect + math.sqrt(1.0 - w.lasting**2) * fresh
        return self.effect

    def rows(self, n: int, shift: Floats) -> tuple[Floats, np.ndarray]:
        """Return n rows (n, fields) of standard normal fields with `shift`, and the key of each row."""
        w, rng = self.world, self.rng
        if w.pool:
            keys = rng.integers(w.pool, size=n)
            common = self.people[keys]
        elif w.keys == (1, 1):
            keys, common = np.arange(n), 0.0
        else:
            sizes = rng.integers(w.keys[0], w.keys[1] + 1, size=n)
            keys = np.repeat(np.arange(n), sizes)[:n]
            common = (rng.standard_normal((n, w.fields)) * math.sqrt(w.icc))[keys]
        own = rng.standard_normal((n, w.fields)) * math.sqrt(1.0 - w.icc)
        if w.correlation:
            factor = rng.standard_normal((n, 1)) * math.sqrt(w.correlation)
            own = own * math.sqrt(1.0 - w.correlation) + factor
        return own + common + shift, keys

    def _reference(self) -> tuple[Floats, Floats, np.ndarray]:
        """Return the reference's rows, their times and keys: made of windows, like the traffic."""
        w, rng = self.world, self.rng
        if w.hourly or w.weekly or w.reference_days > 30:
            seconds = np.sort(START - rng.random(w.reference) * w.reference_days * 24 * HOUR)
            values, keys = self.rows(w.reference, np.zeros(w.fields))
            hours = np.floor(seconds / HOUR).astype(np.int64)
            _, place = np.unique(hours, return_inverse=True)
            effects = np.array([self.next_effect() for _ in range(int(place.max()) + 1)])
            return values + wave(w, seconds)[:, None] + effects[place], seconds, keys
        parts, groups = [], []
        for start in range(0, w.reference, ROWS):
            values, keys = self.rows(min(ROWS, w.reference - start), self.next_effect())
            parts.append(values)
            groups.append(keys + (0 if w.pool else start))
        seconds = START - HOUR * w.reference / ROWS + np.arange(w.reference) * HOUR / ROWS
        return np.concatenate(parts), seconds, np.concatenate(groups)

    def _profile(self, values: Floats, seconds: Floats, groups: np.ndarray) -> Profile:
        w = self.world
        week, month = season.cells(seconds)
        signals = []
        for k in range(w.fields):
            signal = numeric(f"x{k}", values[:, k], groups)
            if w.timed:
                measures = seasons.measures_of(signal, values[:, k])
                signal = seasons.summed(signal, measures, week, month, seconds)
            signals.append(signal)
        for s in range(w.segments):
            part = values[s :: w.segments]
            signals += [
                numeric(f"x{k}", part[:, k], groups[s :: w.segments], segment=f"s={s}") for k in range(w.fields)
            ]
        if w.mix:
            counts = self.rng.multinomial(w.reference, [*w.mix, 0.0])
            signals.append(
                SignalProfile(name="mix", kind=SignalKind.CATEGORY, harm="input", rows=w.reference,
                              counts=counts.tolist(), values=[f"v{i}" for i in range(len(w.mix))])
            )  # fmt: skip
        return Profile(source="simulated", rows=w.reference, keys=len(np.unique(groups)), signals=signals)

    def window(self, number: int, change: Change | None, age: int) -> tuple[Floats, float, np.ndarray]:
        """Return a window's columns, its units and its keys; `age` counts windows since the change."""
        w, rng = self.world, self.rng
        out = np.zeros(self.plan.width)
        seconds = START + number * HOUR
        shift = self.next_effect() + wave(w, np.array([seconds]))[0]
        moved = np.zeros(w.fields)
        if change is not None:
            moved[0] = change.shift + change.slope * age
        self.total = 0.0
        for segment in range(max(w.segments, 1)):
            here = shift + (moved if change is None or not change.segment or segment == 0 else 0.0)
            self._count(out, here, ROWS // max(w.segments, 1), segment)
        if w.mix:
            law = change.mix if change is not None and change.mix else w.mix
            place = self.plan.columns("mix")
            out[place] = rng.multinomial(ROWS, [*law, 0.0])
        for name in (streams.REFUSED, streams.FAILED):
            out[self.plan.columns(name)] = [0.0, self.total]
        self._season(out, seconds)
        out[-1] = ROWS
        return out, self.total, self.keys

    def _count(self, out: Floats, shift: Floats, rows: int, segment: int) -> None:
        w, rng = self.world, self.rng
        whole = range(w.fields)
        if w.correlation or w.pool or w.keys != (1, 1):
            values, keys = self.rows(rows, shift)
            _, place = np.unique(keys, return_inverse=True)
            weights = 1.0 / np.bincount(place)[place]
            sums = np.array(
                [weights @ self.tables[k][np.searchsorted(self.edges[k], values[:, k], "right")] for k in whole]
            )
            self.units, self.keys = float(weights.sum()), np.unique(keys)
        else:
            upper = special.ndtr(self.edges[: w.fields] - shift[:, None])
            shares = np.diff(upper, prepend=0.0, append=1.0, axis=1)
            counts = rng.multinomial(rows, np.maximum(shares, 0.0) / shares.sum(axis=1, keepdims=True))
            sums = np.einsum("kb,kbj->kj", counts, self.tables[: w.fields])
            self.units, self.keys = float(rows), np.zeros(0)
            if w.segments:
                self._in_segment(out, counts, segment, rows)
        self.total += self.units
        for k in whole:
            at = self.plan.offsets[self.numbers[k]]
            out[at] += self.units
            out[at + 1 : at + 5] += sums[k]

    def _in_segment(self, out: Floats, counts: np.ndarray, segment: int, rows: int) -> None:
        """Count the segment's own streams: its rows fall into its own bins as they do into the whole's."""
        w = self.world
        for k in range(w.fields):
            j = w.fields * (segment + 1) + k
            middle = np.concatenate([[self.edges[k][0] - 0.1], (self.edges[k][1:] + self.edges[k][:-1]) / 2,
                                     [self.edges[k][-1] + 0.1]])  # fmt: skip
            bins = np.searchsorted(self.edges[j], middle, "right")
            at = self.plan.offsets[self.numbers[j]]
            out[at] = rows
            out[at + 1 : at + 5] = counts[k] @ self.tables[j][bins]

    def _season(self, out: Floats, seconds: float) -> None:
        bank = self.plan.bank
        if bank.season is None:
            return
        week, month = season.cells(np.array([seconds]))
        out[bank.season + week[0]] = out[bank.season + season.WEEK + month[0]] = ROWS
        for i in self.numbers[: self.world.fields]:
            pattern = self.plan.watched[i].pattern
            if pattern is not None:
                at = self.plan.offsets[i]
                out[at + 1 : at + 3] -= self.total * season.residuals(pattern, week, month)[0]


def numeric(name: str, x: Floats, groups: np.ndarray, *, segment: str = "") -> SignalProfile:
    """Return the profile of a numeric field, binned as the reference profile is."""
    cuts = np.unique(np.quantile(x, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    counts = np.bincount(np.searchsorted(cuts, x, side="right"), minlength=len(cuts) + 1)
    return SignalProfile(
        name=name, kind=SignalKind.NUMERIC, harm="input", segment=segment, rows=len(x), edges=cuts.tolist(),
        counts=counts.tolist(), mean=float(x.mean()), sd=float(x.std()),
        design_effect=design_effect((x - x.mean())[:, None], groups),
    )  # fmt: skip


SETTINGS = WatchSettings(
    false_pages=FalsePagesSettings(expected=1.0, days=BUDGET),
    material=MaterialSettings(number_sigma=0.05, category_share=0.02),
)


def run(
    source: Source, *, windows: int, quiet: int, change: Change | None = None, stop: bool = False
) -> tuple[int, int | None]:
    """Return the alarms in `windows`, and the windows from the change (after `quiet`) to the first alarm since."""
    plan, bar = source.plan, compare.log_bar(SETTINGS)
    material = compare.material_of(SETTINGS)
    effects = WindowEffects.empty(plan.bank, plan.width)
    history = evidence.History(totals=np.zeros(plan.width), prefix=np.zeros((0, plan.width)), effects=effects)
    seen = np.zeros(max(source.world.pool, 1))
    alarms = 0
    for number in range(windows):
        after = number >= quiet
        columns, units, keys = source.window(number, change if after else None, number - quiet + 1)
        if source.world.pool:
            seen[keys] += 1.0
            history.repeats = float((seen**2).sum() / seen.sum())
        history.add(columns, 1.0)
        found = evidence.assess(plan.bank, history, material)
        effects.add(plan.bank, columns, rows=units, days=1.0 / 24.0)
        if found.log_evidence >= bar:
            if after and stop:
                return alarms, number - quiet + 1
            alarms += 1
            history = evidence.History(
                totals=np.zeros(plan.width), prefix=np.zeros((0, plan.width)), repeats=history.repeats, effects=effects
            )
    return alarms, None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the tables."""

    name: str
    world: World
    change: Change | None = None
    """None: false incidents are counted; else delays."""
    quiet: int = 0
    most: int = 60
    goal: str = ""
    runs: int = 60


REFERENCES = (2_000, 10_000, 100_000)
WORLDS: dict[str, dict[str, Any]] = {
    "independent fields": {},
    "correlated fields (.5)": {"correlation": 0.5},
    "hourly and weekly season": {"hourly": 0.5, "weekly": 0.25, "timed": True},
    "window effects .03 σ": {"effect_sd": 0.03},
    "window effects .03 σ, fields correlated": {"effect_sd": 0.03, "correlation": 0.5},
    "autocorrelated hours (.8), .03 σ": {"effect_sd": 0.03, "lasting": 0.8},
    "1 to 50 rows per key, ICC .5": {"keys": (1, 50), "icc": 0.5},
    "keys that come again (5,000 of them, ICC .5)": {"pool": 5_000, "icc": 0.5},
}
FOUR, FIVE = (0.25,) * 4, (0.30, 0.70 / 3, 0.70 / 3, 0.70 / 3)

MIXES = {
    "one field of 150 values alike": (1.0 / 150,) * 150,
    "one field of 150 values, the i-th 1/i² as often": tuple(i**-2.0 / sum(j**-2.0 for j in range(1, 151))
                                                          for i in range(1, 151)),
    "one field of four values and a hundred that never come": (0.25,) * 4 + (0.0,) * 100,
}  # fmt: skip


def cases() -> Iterator[Case]:
    """Return all cases."""
    for kind, how in WORLDS.items():
        for reference in REFERENCES:
            yield Case(name=f"false incidents: {kind}", world=World(reference=reference, **how))
    for kind, shares in MIXES.items():
        yield Case(name=f"false incidents: {kind}", world=World(reference=2_000, mix=shares, fields=COLUMNS - 1))
    for size, goal in ((0.02, ""), (0.025, "at most 1 per 1,000 windows at half the material size")):
        yield Case(
            name=f"false incidents: a true shift of {size} σ (material size .05 σ)",
            world=World(reference=100_000, timed=False), change=Change(shift=size), most=0, goal=goal,
        )  # fmt: skip
    two, ten, much = (World(reference=n) for n in REFERENCES)
    yield Case(name="power: .25 σ", world=two, change=Change(shift=0.25), goal="2")
    yield Case(name="power: .25 σ", world=two, change=Change(shift=0.25), quiet=10, goal="2")
    yield Case(name="power: .1 σ", world=two, change=Change(shift=0.1))
    yield Case(name="power: .1 σ", world=two, change=Change(shift=0.1), quiet=10, goal="6")
    yield Case(name="power: .1 σ", world=ten, change=Change(shift=0.1), goal="6")
    yield Case(name="power: .1 σ", world=much, change=Change(shift=0.1), goal="6")
    mixed = World(reference=2_000, mix=FOUR, fields=COLUMNS - 1)
    yield Case(
        name="power: five points of one of four categories", world=mixed, change=Change(mix=FIVE), quiet=10, goal="4"
    )
    halves = World(reference=2_000, mix=(0.5, 0.5), fields=COLUMNS - 1)
    yield Case(
        name="power: five points of one of two categories", world=halves, change=Change(mix=(0.55, 0.45)), quiet=10,
        goal="4",
    )  # fmt: skip
    parts = World(reference=2_000, segments=10)
    yield Case(name="power: a segment of 10 % by .5 σ", world=parts, change=Change(shift=0.5, segment=True), quiet=10,
               goal="3", runs=30)  # fmt: skip
    yield Case(name="power: a segment of 10 % by .25 σ", world=parts, change=Change(shift=0.25, segment=True), quiet=10,
               goal="6", runs=30)  # fmt: skip
    yield Case(name="power: slow drift of .01 σ a window", world=two, change=Change(slope=0.01), quiet=10, goal="20")
    yield Case(name="power: slow drift of .01 σ a window", world=ten, change=Change(slope=0.01), goal="20")
    noisy = World(reference=10_000, effect_sd=0.03)
    yield Case(name="power: .25 σ, window effects .03 σ", world=noisy, change=Change(shift=0.25), quiet=10)
    yield Case(name="power: .1 σ, window effects .03 σ", world=noisy, change=Change(shift=0.1), quiet=10)
    seasonal = World(reference=10_000, hourly=0.5, weekly=0.25, timed=True)
    yield Case(name="power: .25 σ, hourly and weekly season", world=seasonal, change=Change(shift=0.25), quiet=10)
    yield Case(name="power: .1 σ, hourly and weekly season", world=seasonal, change=Change(shift=0.1), quiet=10)


def judge(case: Case, *, references: int, windows: int) -> dict[str, Any]:
    """Run one case; return its line."""
    started = time.process_time()
    line: dict[str, Any] = {"case": case.name, "reference_rows": case.world.reference, "goal": case.goal}
    if case.change is None or case.most == 0:
        found = 0
        for seed in range(references):
            source = Source(world=case.world, rng=np.random.default_rng(1_000 + seed))
            found += run(source, windows=windows, quiet=0, change=case.change)[0]
        upper = float(stats.chi2.ppf(0.95, 2 * found + 2)) / 2.0
        line |= {
            "references": references, "windows": references * windows, "false_incidents": found,
            "per_1000": 1_000.0 * found / (references * windows),
            "upper_95": 1_000.0 * upper / (references * windows),
        }  # fmt: skip
    else:
        delays = []
        for seed in range(case.runs):
            source = Source(world=case.world, rng=np.random.default_rng(5_000 + seed))
            _, delay = run(source, windows=case.quiet + case.most, quiet=case.quiet, change=case.change, stop=True)
            delays.append(math.inf if delay is None else float(delay))
        ranked = sorted(delays)
        middle, ninety = ranked[(len(ranked) - 1) // 2], ranked[math.ceil(0.9 * len(ranked)) - 1]
        line |= {
            "runs": case.runs, "quiet_windows": case.quiet,
            "delay_windows_median": middle if math.isfinite(middle) else None,
            "delay_windows_90": ninety if math.isfinite(ninety) else None,
            "missed_share": sum(math.isinf(d) for d in delays) / len(delays), "missed_within": case.most,
        }  # fmt: skip
    return line | {"cpu_seconds": round(time.process_time() - started, 1)}


def tell(line: dict[str, Any]) -> None:
    """Print a line."""
    head = f"{line['case']}, reference {line['reference_rows']:,}"
    if "per_1000" in line:
        told = f"{line['false_incidents']} in {line['windows']:,} windows: {line['per_1000']:.2f} per 1,000"
        told += f", upper 95 % bound {line['upper_95']:.2f}"
    else:
        told = f"c = {line['quiet_windows']}: median {line['delay_windows_median']}, 90 % {line['delay_windows_90']} "
        told += f"windows, {line['missed_share']:.0%} missed in {line['missed_within']}"
    sys.stdout.write(f"{head:<84} {told}  [{line['cpu_seconds']:.0f} s]\n")
    sys.stdout.flush()


def keep(lines: list[dict[str, Any]]) -> None:
    """Write the lines, those of cases that were not run now as they were."""
    name = ("case", "reference_rows", "quiet_windows")
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    new = {tuple(line.get(part) for part in name): line for line in lines}
    old = {tuple(line.get(part) for part in name): line for line in held}
    order = [(c.name, c.world.reference, None if c.change is None or c.most == 0 else c.quiet) for c in cases()]
    merged = [{**old, **new}[key] for key in order if key in {**old, **new}]
    RESULTS.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name, with the reference's rows, holds this")
    parser.add_argument("--references", type=int, default=30, help="fresh references for each count of false incidents")
    parser.add_argument("--windows", type=int, default=1_000, help="windows for each of them")
    parser.add_argument("--write", action="store_true", help="keep the results in bench/results/simulate.json")
    chosen = parser.parse_args()
    lines = []
    for case in cases():
        if chosen.only in f"{case.name}, {case.world.reference}":
            lines.append(judge(case, references=chosen.references, windows=chosen.windows))
            tell(lines[-1])
            if chosen.write:
                keep(lines)


if __name__ == "__main__":
    main()
