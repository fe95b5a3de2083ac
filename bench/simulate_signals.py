"""Simulate the rules that tell traffic from the reference: new topics in text, changed dependence in tables.

Everything goes through the code that serves: `build_profile`, `compare.update`. Windows of 1,000 requests, one a day, a
budget of one false incident in 1,000 windows. Texts are public data in ../shared/data (Banking77, CLINC150); reference
and traffic are drawn from one pool, so that "nothing changed" is exact.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.config.settings import FalsePagesSettings, WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.profiles import Profile, TrainedWords
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile, trained_words
from mainstay.models.signals import RowSignals, word_set, words
from mainstay.watch import compare, findings
from mainstay.watch.window import Observation

DATA = Path(__file__).parents[2] / "shared" / "data"
START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = WatchSettings(false_pages=FalsePagesSettings(expected=1, days=1000))
WINDOW = 1_000
TEXT = Contract(task=Task.MULTICLASS, target="intent", classes=(), fields=(Field(name="message", type=FieldType.TEXT),))


def banking77() -> dict[str, list[str]]:
    """Return the messages by intent."""
    out: dict[str, list[str]] = {}
    for name in ("train", "test"):
        with (DATA / "banking77" / f"{name}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                out.setdefault(row["category"], []).append(row["text"])
    return out


def clinc150() -> dict[str, list[str]]:
    """Return the queries by domain."""
    whole = json.loads((DATA / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads((DATA / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    of = {intent: domain for domain, intents in domains.items() for intent in intents}
    out: dict[str, list[str]] = {}
    for part in ("train", "val", "test"):
        for text, intent in whole[part]:
            out.setdefault(of[intent], []).append(text)
    return out


@dataclass(kw_only=True)
class Pool:
    """Rows to draw from, measured once."""

    rows: list[Observation]
    raw: list[dict[str, Any]]

    def draw(self, rng: np.random.Generator, n: int, window: int) -> list[Observation]:
        """Return n of them as requests of one window, each of a customer of its own."""
        at = START + timedelta(days=window)
        return [
            msgspec.structs.replace(
                self.rows[i], id=f"{window}-{k}", key=f"{window}-{k}", unit="", occurred_at=at, received_at=at
            )
            for k, i in enumerate(rng.integers(0, len(self.rows), n).tolist())
        ]


def pool(contract: Contract, raw: Sequence[dict[str, Any]], vocabulary: dict[str, frozenset[str]]) -> Pool:
    """Return rows as the watch sees them."""
    signals = RowSignals(contract, vocabulary)
    rows = []
    for row in raw:
        own = signals.measure(row) | signals.traits.measure(row)
        found = {f.name: sorted(set(words(row[f.name]))) for f in contract.fields if f.type is FieldType.TEXT}
        rows.append(
            Observation(
                id="",
                key="",
                occurred_at=START,
                received_at=START,
                signals={name: value for name, value in own.items() if value is not None},
                words=found,
            )
        )
    return Pool(rows=rows, raw=list(raw))


@dataclass(kw_only=True)
class World:
    """Where traffic comes from, before and after a change."""

    profile: Profile
    before: Pool
    after: Pool
    share: float
    """Of the rows that come from `after` once it changed."""


Maker = Callable[[np.random.Generator], World]


def profile_of(
    contract: Contract,
    raw: Sequence[dict[str, Any]],
    vocabulary: dict[str, frozenset[str]],
    trained: dict[str, TrainedWords] | None = None,
) -> Profile:
    """Return the reference profile of rows without answers."""
    answers = [Answer(label=None)] * len(raw)
    return build_profile(contract, raw, answers, None, None, source="test", vocabulary=vocabulary, trained=trained)


def topic(data: dict[str, list[str]], *, hidden: int, reference: int, share: float, trained: bool = True) -> Maker:
    """Return texts of which some groups, drawn at random, are a new topic from the change on.

    One half of the texts is what the model was fitted on, the other is what reference and traffic are drawn from.
    Without `trained` the profile does not know the training texts, as of a service that answers elsewhere.
    """

    def make(rng: np.random.Generator) -> World:
        names = sorted(data)
        new = set(rng.permutation(names)[:hidden].tolist())
        old = [{"message": text} for name in names if name not in new for text in data[name]]
        order = rng.permutation(len(old)).tolist()
        training, old = [old[i] for i in order[: len(old) // 2]], [old[i] for i in order[len(old) // 2 :]]
        known = {"message": word_set(row["message"] for row in training)}
        drawn = [old[i] for i in rng.integers(0, len(old), reference).tolist()]
        fresh = [{"message": text} for name in sorted(new) for text in data[name]]
        return World(
            profile=profile_of(TEXT, drawn, known, trained_words(TEXT, training) if trained else None),
            before=pool(TEXT, old, known),
            after=pool(TEXT, fresh, known),
            share=share,
        )

    return make


def run(
    rng: np.random.Generator, world: World, *, windows: int, quiet: int, only: str = "", stop: bool
) -> tuple[int, int | None, str]:
    """Return the alarms in `windows`, the windows from the change to the first alarm after it, and what it named."""
    state = compare.WatchState(model="m", bundle="m@1")
    alarms = 0
    for window in range(windows):
        late = int(rng.binomial(WINDOW, world.share)) if window >= quiet else 0
        rows = [*world.before.draw(rng, WINDOW - late, 2 * window), *world.after.draw(rng, late, 2 * window + 1)]
        found = compare.update(state, rows, world.profile, SETTINGS)
        log = found.assessment.log_evidence
        if only:
            log = max((found.assessment.by_stream[i] for i, w in enumerate(found.plan.watched) if w.name == only))
        if log >= found.log_bar:
            if window >= quiet and stop:
                named = findings.find(state, found)
                return alarms, window - quiet + 1, named[0].text if named else ""
            alarms += 1
            compare.reset(state)
    return alarms, None, ""


def false_alarms(name: str, make: Maker, *, runs: int, windows: int) -> None:
    """Print the false incidents per 1,000 windows with their exact 95 % Poisson limits."""
    from scipy import stats

    started, found = time.perf_counter(), 0
    for seed in range(runs):
        rng = np.random.default_rng(11_000 + seed)
        found += run(rng, make(rng), windows=windows, quiet=windows, stop=False)[0]
    total = runs * windows / 1000.0
    low = stats.chi2.ppf(0.025, 2 * found) / 2 / total if found else 0.0
    high = stats.chi2.ppf(0.975, 2 * found + 2) / 2 / total
    tell(f"{name:<66} {found / total:6.2f} per 1,000 ({low:.2f} to {high:.2f})", started)


def delays(name: str, make: Maker, *, runs: int, quiet: int, most: int = 20, only: str = "") -> None:
    """Print the median and 90 % windows until a change is found, and the share missed in `most` windows."""
    started, found, named = time.perf_counter(), [], ""
    for seed in range(runs):
        rng = np.random.default_rng(15_000 + seed)
        _, delay, text = run(rng, make(rng), windows=quiet + most, quiet=quiet, only=only, stop=True)
        found.append(math.inf if delay is None else delay)
        named = named or text
    ranked = np.sort(found)
    median, ninety = ranked[(len(ranked) - 1) // 2], ranked[math.ceil(0.9 * len(ranked)) - 1]
    missed = float(np.isinf(ranked).mean())
    tell(f"{name:<66} median {median:g}, 90 % {ninety:g} windows, {missed:.0%} missed in {most}; {named}", started)


def tell(line: str, started: float) -> None:
    """Print a line with the time it took."""
    sys.stdout.write(f"{line}   [{time.perf_counter() - started:.0f} s]\n")
    sys.stdout.flush()


COLUMNS = 20
TABLE = Contract(
    task=Task.REGRESSION,
    target="y",
    fields=tuple(Field(name=f"x{i:02d}", type=FieldType.NUMBER) for i in range(COLUMNS)),
)
Draw = Callable[[np.random.Generator, int], "np.ndarray[Any, np.dtype[np.float64]]"]


def independent(rng: np.random.Generator, n: int) -> Any:
    """Return independent normal columns."""
    return rng.standard_normal((n, COLUMNS))


def factors(r: float) -> Draw:
    """Return four groups of five columns, correlated by `r` within."""

    def draw(rng: np.random.Generator, n: int) -> Any:
        common = np.repeat(rng.standard_normal((n, COLUMNS // 5)), 5, axis=1)
        return math.sqrt(r) * common + math.sqrt(1.0 - r) * rng.standard_normal((n, COLUMNS))

    return draw


GROUPS = factors(0.5)


def pair(r: float) -> Draw:
    """Return independent columns of which the first two are correlated by `r`."""

    def draw(rng: np.random.Generator, n: int) -> Any:
        x = rng.standard_normal((n, COLUMNS))
        x[:, 1] = r * x[:, 0] + math.sqrt(1.0 - r * r) * x[:, 1]
        return x

    return draw


def broken(draw: Draw) -> Draw:
    """Return the same with the first column shuffled: its marginal as before, its dependence gone."""

    def shuffled(rng: np.random.Generator, n: int) -> Any:
        x = draw(rng, n)
        x[:, 0] = rng.permutation(x[:, 0])
        return x

    return shuffled


def moved(sigma: float) -> Draw:
    """Return independent columns of which the first moved."""

    def draw(rng: np.random.Generator, n: int) -> Any:
        x = rng.standard_normal((n, COLUMNS))
        x[:, 0] += sigma
        return x

    return draw


def fields_alone(profile: Profile) -> Profile:
    """Return the profile with the values of the fields and nothing derived of them: no aspect, no plane, no rule."""
    own = [signal for signal in profile.signals if "." not in signal.name]
    return msgspec.structs.replace(profile, signals=own, sample=None, reconstruction=None)


def table(
    before: Draw, after: Draw, *, reference: int, share: float = 1.0, pool_rows: int = 40_000, derived: bool = True
) -> Maker:
    """Return numeric rows whose law changes; the pools are drawn anew in each run and stand for the law itself."""

    def make(rng: np.random.Generator) -> World:
        names = [field.name for field in TABLE.fields]

        def rows(draw: Draw, n: int) -> list[dict[str, Any]]:
            return [dict(zip(names, row, strict=True)) for row in draw(rng, n).tolist()]

        old = rows(before, pool_rows)
        drawn = [old[i] for i in rng.integers(0, len(old), reference).tolist()]
        profile = profile_of(TABLE, drawn, {})
        return World(
            profile=profile if derived else fields_alone(profile),
            before=pool(TABLE, old, {}),
            after=pool(TABLE, rows(after, pool_rows // 4), {}),
            share=share,
        )

    return make


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4, help="runs per case")
    parser.add_argument("--windows", type=int, default=250, help="windows per run for the false incidents")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    chosen = parser.parse_args()
    runs, windows = chosen.runs, chosen.windows

    def wanted(name: str) -> bool:
        return chosen.only in name

    sets: dict[str, tuple[Callable[[], dict[str, list[str]]], int]] = {
        "Banking77": (banking77, 8),
        "CLINC150": (clinc150, 1),
    }
    for name, (read, hidden) in sets.items():
        if not DATA.is_dir():
            tell(f"{name}: ../shared/data is not beside the project", time.perf_counter())
            continue
        for reference in (3_000, 10_000):
            case = f"{name}, reference {reference:,}: false incidents"
            if wanted(case):
                false_alarms(
                    case, topic(read(), hidden=hidden, reference=reference, share=0.0), runs=runs, windows=windows
                )
            for share in (0.2, 0.1, 0.05):
                case = f"{name}, reference {reference:,}: new topic at {share:.0%}"
                if wanted(case):
                    delays(case, topic(read(), hidden=hidden, reference=reference, share=share), runs=3 * runs, quiet=3)
            case = f"{name}, reference {reference:,}, training texts not known: new topic at 10%"
            if wanted(case):
                maker = topic(read(), hidden=hidden, reference=reference, share=0.1, trained=False)
                delays(case, maker, runs=3 * runs, quiet=3)
    for quiet in (0, 3):
        for derived in (True, False):
            case = (
                f"0.25 σ in one of twenty, reference 2,000, after {quiet}, {'all' if derived else 'the fields alone'}"
            )
            if wanted(case):
                maker = table(independent, moved(0.25), reference=2_000, derived=derived)
                delays(case, maker, runs=3 * runs, quiet=quiet)
    cases = {
        "independent columns, reference 2,000": (independent, independent, 2_000),
        "groups of five (r = .5), reference 4,000": (GROUPS, GROUPS, 4_000),
        "one column of a group shuffled, reference 4,000": (factors(0.5), broken(factors(0.5)), 4_000),
        "a pair of r = .6 turns to -.6, reference 4,000": (pair(0.6), pair(-0.6), 4_000),
        "groups of five: r .5 to .4, reference 4,000": (factors(0.5), factors(0.4), 4_000),
        "independent columns, a pair gets r = .3, reference 4,000": (independent, pair(0.3), 4_000),
    }
    for case, (before, after, reference) in cases.items():
        if before is after and wanted(case):
            false_alarms(
                f"{case}: false incidents", table(before, after, reference=reference), runs=runs, windows=windows
            )
        elif wanted(case):
            for only in ("", "rows.apart", "rows.reconstruction"):
                world = table(before, after, reference=reference)
                delays(f"{case}{'; ' * bool(only)}{only}", world, runs=3 * runs, quiet=3, only=only)


if __name__ == "__main__":
    main()
