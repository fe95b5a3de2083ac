"""Mainstay, asked by bench/watch.py what the others are asked: `python bench/watch_mainstay.py JOBS OUT`.

Windows go through what serves: a reference profile as a bundle carries it, observations, `watch.compare.update` with
default settings, one window an hour. Only the journal and the store are left out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))
sys.path.insert(0, str(HERE / "peers"))

import msgspec  # noqa: E402 - after the path
import polars as pl  # noqa: E402 - after the path
import watching  # noqa: E402 - after the path
from watching import data  # noqa: E402 - after the path

import mainstay  # noqa: E402 - after the path
from mainstay.config.settings import Settings, WatchSettings  # noqa: E402 - after the path
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Role, Task  # noqa: E402 - after the path
from mainstay.core.events import Arm, Event, Kind, Trust  # noqa: E402 - after the path
from mainstay.core.profiles import Profile  # noqa: E402 - after the path
from mainstay.models.answers import Answer  # noqa: E402 - after the path
from mainstay.models.profiles import build_profile  # noqa: E402 - after the path
from mainstay.models.signals import RowSignals, word_set  # noqa: E402 - after the path
from mainstay.stats import cbpe  # noqa: E402 - after the path
from mainstay.watch import compare, quality  # noqa: E402 - after the path
from mainstay.watch.compare import WatchState  # noqa: E402 - after the path
from mainstay.watch.window import Observation, observe  # noqa: E402 - after the path

NAMES = [f"x{i}" for i in range(data.COLUMNS)]
START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEFAULT_HOURS = 720.0
"""One false page in 30 days."""
NOTHING = Answer(label=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a bundle would hold."""

    contract: Contract
    profile: Profile
    signals: RowSignals


def known(contract: Contract, rows: Sequence[dict[str, Any]], vocabulary: dict[str, frozenset[str]]) -> Known:
    """Return the reference over rows, each of its own key, without answers."""
    answers = [NOTHING] * len(rows)
    profile = build_profile(contract, rows, answers, None, None, source="test", vocabulary=vocabulary)
    return Known(contract=contract, profile=profile, signals=RowSignals(contract, vocabulary))


def numbers(reference: data.Table) -> Known:
    """Return the reference of a table of numbers."""
    fields = tuple(Field(name=name, type=FieldType.NUMBER) for name in NAMES)
    contract = Contract(task=Task.REGRESSION, target="y", fields=fields, key="account")
    rows = [dict(zip(NAMES, row, strict=True)) for row in reference.tolist()]
    return known(contract, rows, {})


@lru_cache(maxsize=64)
def profile_of(number: int, rows: int) -> Profile:
    """Return the profile of one of the references; each serves several cases."""
    return numbers(data.reference(number, rows)).profile


def observed(table: data.Table, place: int) -> list[Observation]:
    """Return a window of rows, each of a key of its own."""
    at = START + place * HOUR
    return [
        Observation(
            id=f"{place}-{i}",
            key=f"{place}-{i}",
            occurred_at=at,
            received_at=at,
            arm="champion",
            signals=dict(zip(NAMES, row, strict=True)),
        )
        for i, row in enumerate(table.tolist())
    ]


def settings_of(bar_hours: float | None) -> WatchSettings:
    """Return default settings, or those of one false page in so many windows of an hour."""
    if bar_hours is None:
        return Settings().watch
    return WatchSettings.model_validate({"false_pages": {"expected": 1.0, "days": bar_hours / 24.0}})


def follow(
    windows: Iterator[list[Observation]], profile: Profile, settings: WatchSettings, *, forget: bool
) -> Iterator[tuple[float, bool]]:
    """Yield after each window the log evidence less its bar, and whether that is an incident; then it begins anew."""
    state = WatchState(model="m", bundle="m@1")
    for rows in windows:
        found = compare.update(state, rows, profile, settings)
        yield found.assessment.log_evidence - found.log_bar, found.alarm
        if found.alarm and forget:
            compare.reset(state)


def stationary(case: dict[str, Any]) -> dict[str, Any]:
    """Return the incidents over stationary windows for each bar, and at the lowest bar that few enough windows reach.

    That bar is found as the others' thresholds are, on the windows themselves: without beginning anew, the first
    crossing of each reference is where it would be with it. `tuned_log` is its logarithm, `tuned` the incidents at it.
    """
    counts = {str(bar): 0 for bar in case["bars"]}
    lowest_first = sorted(case["bars"], key=lambda bar: bar or DEFAULT_HOURS)
    highest = []
    for number in range(case["references"]):
        profile = profile_of(number, case["reference_rows"])
        windows = _stationary(case, number)
        highest.append(max(log for log, _ in follow(iter(windows), profile, settings_of(1.0), forget=False)))
        for bar in lowest_first:
            counts[str(bar)] += (alarms := _incidents(windows, profile, bar))
            if not alarms:  # what never reaches this bar reaches no higher one
                break
    for log in sorted(highest)[-1 - case["allowed"] :]:
        bar = math.exp(log) * (1.0 + 1e-6)
        crossing = [number for number, most in enumerate(highest) if most >= math.log(bar)]
        tuned = sum(_incidents(_stationary(case, n), profile_of(n, case["reference_rows"]), bar) for n in crossing)
        if tuned <= case["allowed"]:
            break
    return {"incidents": counts, "tuned_log": math.log(bar), "tuned": tuned}


def _stationary(case: dict[str, Any], number: int) -> list[list[Observation]]:
    tables = data.windows(data.STATIONARY, number, case["windows"], case["rows"])
    return [observed(table, place) for place, table in enumerate(tables)]


def _incidents(windows: list[list[Observation]], profile: Profile, bar: float | None) -> int:
    return sum(alarm for _, alarm in follow(iter(windows), profile, settings_of(bar), forget=True))


def shifted(case: dict[str, Any]) -> dict[str, Any]:
    """Return the log evidence of each run after each window, the quiet ones first, without beginning anew."""
    out = []
    for run in range(case["runs"]):
        profile = profile_of(run, case["reference_rows"])

        def tables(run: int = run) -> Iterator[list[Observation]]:
            for place, table in enumerate(data.windows(data.QUIET, run, case["quiet"], case["rows"])):
                yield observed(table, place)
            for place, table in enumerate(data.windows(data.AFTER, run, case["most"], case["rows"])):
                table[:, 0] += case["shift"]
                yield observed(table, case["quiet"] + place)

        out.append([log for log, _ in follow(tables(), profile, settings_of(1.0), forget=False)])
    return {"log": out, "quiet": case["quiet"]}


def texts(case: dict[str, Any]) -> dict[str, Any]:
    """Return for each window of texts whether an incident opened in it; each run begins anew."""
    given = json.loads(Path(case["texts"]).read_text(encoding="utf-8"))
    fields = (Field(name="text", type=FieldType.TEXT, roles=(Role.FEATURE,), pii=Pii.KEEP),)
    contract = Contract(task=Task.MULTICLASS, target="intent", classes=("a", "b"), fields=fields, key="account")
    # A model learns from one part of what is known, the watch compares with the other.
    learned, held = given["reference"][::2], given["reference"][1::2]
    bundle = known(contract, [{"text": text} for text in held], {"text": word_set(learned)})
    tops: list[float] = []
    flags: list[bool] = []
    for runs in given["runs"]:
        windows = (
            [
                observe(_event({"text": text}, place, i), bundle.signals, bundle.contract)
                for i, text in enumerate(given["windows"][number])
            ]
            for place, number in enumerate(runs)
        )
        for log, alarm in follow(windows, bundle.profile, Settings().watch, forget=True):
            tops.append(log)
            flags.append(alarm)
    return {"top": tops, "flags": flags}


def _event(inputs: dict[str, Any], place: int, i: int) -> Event:
    at = START + place * HOUR
    return Event(
        model="m",
        worker="w0",
        seq=i + 1,
        id=f"{place}-{i}",
        kind=Kind.PREDICTION,
        occurred_at=at,
        received_at=at,
        bundle="m@1",
        served_arm=Arm.CHAMPION,
        key_hash=f"{place}-{i}",
        inputs=inputs,
    )


def estimates(case: dict[str, Any]) -> dict[str, Any]:
    """Return the accuracy estimated for each chunk, its interval's limits, and whether it is said not to be trusted."""
    a, b = pl.read_parquet(case["reference"]), pl.read_parquet(case["analysis"])
    fields = tuple(Field(name=name, type=FieldType.NUMBER) for name in a.columns if name.startswith("x"))
    contract = Contract(task=Task.BINARY, target="truth", classes=("0", "1"), fields=fields)
    rows = a.select(field.name for field in fields).to_dicts()
    answers = [
        Answer(label=str(said), confidence=max(p, 1.0 - p), probabilities={"0": 1.0 - p, "1": p}, trust=Trust.OK)
        for said, p in zip(a["pred"].to_list(), a["proba"].to_list(), strict=True)
    ]
    truth = [str(value) for value in a["truth"].to_list()]
    profile = build_profile(contract, rows, answers, truth, None, source="test", vocabulary={})
    bundle = Known(contract=contract, profile=profile, signals=RowSignals(contract, {}))
    out: dict[str, Any] = {"estimates": [], "low": [], "high": [], "doubted": []}
    for place in range(b.height // case["rows"]):
        part = b[place * case["rows"] : (place + 1) * case["rows"]]
        seen = [_answered(row, place, i, bundle) for i, row in enumerate(part.to_dicts())]
        sums = quality.block_sums(seen, profile.quality)
        if profile.quality is None or sums is None:
            raise SystemExit("the profile holds nothing of quality")
        found = cbpe.estimate(profile.quality, quality.window([sums])[0])
        accuracy = found.get("accuracy")
        for name, value in (("estimates", "value"), ("low", "low"), ("high", "high")):
            out[name].append(math.nan if accuracy is None else getattr(accuracy, value))
        out["doubted"].append(bool(found.warnings))
    return out


def _answered(row: dict[str, Any], place: int, i: int, bundle: Known) -> Observation:
    p = float(row["proba"])
    event = _event({name: row[name] for name in row if name.startswith("x")}, place, i)
    answered = msgspec.structs.replace(
        event,
        label=str(row["pred"]),
        confidence=max(p, 1.0 - p),
        probabilities={"0": 1.0 - p, "1": p},
        trust=Trust.OK,
    )
    return observe(answered, bundle.signals, bundle.contract)


def report(case: dict[str, Any]) -> dict[str, float]:
    """Time `mainstay compare`'s drift report of two frames that are loaded, HTML and all."""
    from mainstay.comparison.compare import compare as compare_data

    a, b = pl.read_parquet(case["reference"]), pl.read_parquet(case["current"])

    def run() -> None:
        compare_data(a, b).html(Path(case["reference"]).with_suffix(".html"))

    return watching.measured(run)


ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "stationary": stationary,
    "shift": shifted,
    "text": texts,
    "estimate": estimates,
    "speed": report,
}


def main() -> None:
    """Answer the jobs of the file named first, one JSON line for each into the file named second."""
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with Path(sys.argv[2]).open("w", encoding="utf-8") as out:
        out.write(json.dumps({"version": mainstay.__version__, "fingerprint": data.fingerprint()}) + "\n")
        for job in jobs:
            out.write(json.dumps({"id": job["id"], **ANSWERS[job["what"]](job["case"])}, default=float) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
