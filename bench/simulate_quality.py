"""Quality by simulation: `python bench/simulate_quality.py [PART …] [--runs N]`: cost, concept, few, causes, free.

concept: false alarms and delay on labelled answers, beside River's ADWIN and Page-Hinkley where their environment is
there (`python bench/peers/install.py river`). few: coverage and width with few labels. causes: a loss of known shares.
free: error of the label-free estimate. Fixed seeds; the tables of docs/quality.md are its output.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from mainstay.config.settings import WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.stats import additive, attribution, cbpe, cbpe_reference, evidence, ppi
from mainstay.stats.attribution import Cause, Labelled
from mainstay.watch import quality, streams
from mainstay.watch.window import Observation

RIVER = Path(__file__).parents[1] / "build" / "peers" / "river" / "bin" / "python"
PER_DAY, BLOCK, BAR = 1_000.0, 32, math.log(30.0)
REFERENCE, QUIET, AFTER, LENGTH = 2_000, 2_016, 4_000, 10_016
FIELDS = tuple(Field(name=f"x{i}", type=FieldType.NUMBER) for i in range(20))


T = TypeVar("T")


def sure(found: T | None) -> T:
    """Return what is there."""
    if found is None:
        raise SystemExit("nothing was told; the simulation is not as it was meant")
    return found


def chances(rng: np.random.Generator, n: int, *, told: bool) -> np.ndarray:
    """Return the chance of each answer to be wrong, a tenth on the average: all alike, or told by its confidence."""
    return rng.beta(0.3, 2.7, n) if told else np.full(n, 0.1)


def worse(p: np.ndarray, points: float) -> np.ndarray:
    """Return the chances with the odds of being wrong raised until the mean is larger by `points`."""
    low, high = 1.0, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        moved = middle * p / (1.0 - p + middle * p)
        low, high = (middle, high) if moved.mean() < p.mean() + points else (low, middle)
    return np.asarray(low * p / (1.0 - p + low * p))


def planned(
    rng: np.random.Generator, task: Task, losses: np.ndarray, p: np.ndarray | None, *, fields: int = 1
) -> streams.Plan:
    """Return the watch's plan of a model of some numeric fields and as many held-out rows as there are losses."""
    used = FIELDS[:fields]
    drawn = rng.normal(size=(len(losses), fields))
    rows = [{f.name: float(v) for f, v in zip(used, row, strict=True)} for row in drawn]
    if task is Task.REGRESSION:
        contract = Contract(task=task, target="y", fields=used)
        answers = [Answer(label=float(loss)) for loss in losses]
        return streams.plan(
            build_profile(contract, rows, answers, [0.0] * len(rows), None, source="test", vocabulary={}),
            WatchSettings(),
        )
    contract = Contract(task=Task.MULTICLASS, target="y", classes=("a", "b", "c"), fields=used)
    answers = [Answer(label="a", confidence=float(1.0 - x)) for x in sure(p)]
    truth = ["b" if loss else "a" for loss in losses]
    return streams.plan(
        build_profile(contract, rows, answers, truth, None, source="test", vocabulary={}), WatchSettings()
    )


def own_of(plan: streams.Plan) -> tuple[evidence.Stream, slice]:
    """Return the labels' stream of a plan, and its columns."""
    named = {item.name: item.stream for item in plan.watched}
    name = streams.ERROR if streams.ERROR in named else streams.GAP
    return named[name], sure(plan.columns(name))


def told_at(plan: streams.Plan, gaps: np.ndarray, *, weight: float) -> list[int]:
    """Return after how many labels the one budget alarmed, by the labels' stream with such a weight in it."""
    own, place = own_of(plan)
    own = replace(own, weight=weight)
    history = _fresh(own)
    found = []
    for end in range(BLOCK, len(gaps) + 1, BLOCK):
        block = [(f"k{end}-{i}", float(gap)) for i, gap in enumerate(gaps[end - BLOCK : end])]
        history.add(streams.count_gaps(plan, block)[place], BLOCK / PER_DAY)
        if evidence.assess([own], history, evidence.Material()).log_evidence >= BAR:
            found.append(end)
            history = _fresh(own)
    return found


def _fresh(stream: evidence.Stream) -> evidence.History:
    return evidence.History(totals=np.zeros(stream.width), prefix=np.zeros((0, stream.width)))


def concept_drift(runs: int) -> None:
    """Print false alarms per 10,000 labels, and the delay in labels."""
    cases = [("wrong answers", Task.MULTICLASS, False), ("wrong, confidence tells", Task.MULTICLASS, True)]
    cases.append(("distance of numbers", Task.REGRESSION, False))
    given: dict[str, np.ndarray] = {}
    ours: dict[str, list[list[int]]] = {}
    for name, task, told in cases:
        rng = np.random.default_rng(10)
        few = chances(rng, 100, told=told)
        large = planned(rng, task, (rng.random(100) < few).astype(float), few, fields=20)
        weight = own_of(large)[0].weight
        for kind, points in (("stationary", 0.0), (".25 sd", 0.25), (".5 sd", 0.5)):
            rng = np.random.default_rng(11)
            losses, found = [], []
            for _ in range(runs):
                length = LENGTH if points == 0.0 else QUIET + AFTER
                if task is Task.REGRESSION:
                    spread = math.sqrt(1.0 - 2.0 / math.pi)  # of a distance |N(0, 1)|
                    loss = np.abs(rng.normal(size=length))
                    loss[QUIET:] += points * spread
                    held = np.abs(rng.normal(size=REFERENCE))
                    found.append(told_at(planned(rng, task, held, None), loss, weight=weight))
                else:
                    p = chances(rng, length, told=told)
                    now = p.copy()
                    if points:
                        now[QUIET:] = worse(p[QUIET:], points * 0.3)
                    loss = (rng.random(length) < now).astype(float)
                    q = chances(rng, REFERENCE, told=told)
                    plan = planned(rng, task, (rng.random(REFERENCE) < q).astype(float), q)
                    found.append(told_at(plan, (1.0 - p) - (1.0 - loss), weight=weight))
                losses.append(loss)
            given[f"{name}, {kind}"], ours[f"{name}, {kind}"] = np.array(losses), found
    told_by = {name: {"Mainstay": found} for name, found in ours.items()}
    for name, found in _river(given).items():
        told_by[name] |= found
    for name, by in told_by.items():
        for who, found in by.items():
            _say(name, who, found, values=given[name].shape)


def _river(given: dict[str, np.ndarray]) -> dict[str, dict[str, list[list[int]]]]:
    if not RIVER.exists():
        print("River is not here: python bench/peers/install.py river")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "streams.npz"
        np.savez(path, **given)
        script = str(Path(__file__).parent / "peers" / "river_concept.py")
        done = subprocess.run([str(RIVER), script, str(path)], check=True, capture_output=True, text=True)
    told: dict[str, dict[str, list[list[int]]]] = json.loads(done.stdout)
    return told


def _say(name: str, who: str, found: list[list[int]], *, values: tuple[int, ...]) -> None:
    if name.endswith("stationary"):
        per = sum(map(len, found)) / (values[0] * values[1]) * 10_000
        print(f"{name}: {who}: {per:.3f} false alarms per 10,000 labels ({sum(map(len, found))} in all)")
        return
    early = sum(any(at <= QUIET for at in one) for one in found)
    delays = [next((at - QUIET for at in one if at > QUIET), math.inf) for one in found]
    missed = sum(math.isinf(delay) for delay in delays) / len(delays)
    ordered = sorted(delays)
    middle, late = ordered[len(ordered) // 2], ordered[int(0.9 * len(ordered))]
    print(
        f"{name}: {who}: median {middle:g}, 90 % {late:g} labels, {missed:.0%} missed in {AFTER:,}; before it {early}"
    )


def few_labels(runs: int) -> None:
    """Print coverage and width of the interval with few labels, and of labels alone."""
    for labels in (20, 50, 150, 500):
        rng = np.random.default_rng(12)
        hits, widths, alone = 0, [], []
        for _ in range(runs * 10):
            base = rng.beta(1.6, 0.4, 5_000)  # confidences that tell
            truth = np.clip(base - 0.1, 0.0, 1.0)
            pick = rng.choice(5_000, labels, replace=False)
            y, f = (rng.random(labels) < truth[pick]).astype(float), base[pick]
            found = sure(
                ppi.mean(y, f, np.arange(labels), of_all=base.mean(), variance_of_all=base.var() / 5_000, share=True)
            )
            by_labels = sure(ppi.labels_alone(y, np.arange(labels), share=True))
            hits += found.low <= truth.mean() <= found.high
            widths.append((found.high - found.low) / 2.0)
            alone.append((by_labels.high - by_labels.low) / 2.0)
        print(
            f"{labels} labels: covered {hits / (runs * 10):.1%}, ±{np.mean(widths) * 100:.1f} points; labels alone "
            f"±{np.mean(alone) * 100:.1f}"
        )


def causes(runs: int) -> None:
    """Print error and coverage of the parts of a loss whose shares are known."""
    for labels, per_key in ((300, 1), (1_000, 1), (1_000, 5), (3_000, 1)):
        for shift, changed in ((0.8, 0.0), (0.0, 0.2), (0.8, 0.2)):
            rng = np.random.default_rng(13)
            errors: dict[Cause, list[float]] = {Cause.INPUTS: [], Cause.LABELS: []}
            hits = dict.fromkeys(errors, 0)
            upper = float(np.mean(rng.normal(shift, 1.0, 400_000) > 0))
            real = {Cause.INPUTS: 0.4 * (upper - 0.5), Cause.LABELS: changed * 0.5}
            for _ in range(runs):
                rows, loss, _ = _losses(rng, 2_000, 1, 0.0, 0.0)
                steps = additive.steps_of(rows, loss)
                before = additive.fit(additive.code(steps, rows), loss, np.arange(2_000))
                rows, loss, keys = _losses(rng, labels, per_key, shift, changed)
                now = Labelled(design=additive.code(steps, rows), loss=loss, keys=keys)
                for part in attribution.attribute(before, now, rng=rng).parts:
                    errors[part.cause].append(part.value - real[part.cause])
                    hits[part.cause] += part.low <= real[part.cause] <= part.high
            told = "; ".join(
                f"{cause} {real[cause] * 100:.1f} points: bias {np.mean(e) * 100:+.2f}, off by "
                f"{np.mean(np.abs(e)) * 100:.1f}, covered {hits[cause] / runs:.0%}"
                for cause, e in errors.items()
            )
            print(f"{labels} labels, {per_key} a key: {told}")


def _losses(
    rng: np.random.Generator, n: int, per_key: int, shift: float, changed: float
) -> tuple[list[dict[str, float | str | None]], np.ndarray, np.ndarray]:
    """Return rows of people whose loss is .1, .4 more where x > 0, and `changed` more in depot b."""
    keys = np.repeat(np.arange(n // per_key), per_key)
    x, z = rng.normal(shift, 1.0, n // per_key)[keys], rng.choice(["a", "b"], n // per_key)[keys]
    loss = (rng.random(n) < 0.1 + 0.4 * (x > 0) + changed * (z == "b")).astype(float)
    return [{"x": float(a), "z": str(b)} for a, b in zip(x, z, strict=True)], loss, keys


def free(runs: int) -> None:
    """Print the error of the estimated accuracy of 1,000 rows under covariate shift, and under concept drift."""
    for shift, concept_shift in ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, 0.5), (0.0, 1.0)):
        rng = np.random.default_rng(14)
        errors, floor, hits, doubted = [], [], 0, 0
        for _ in range(runs):
            rows, score, truth, _ = _two_classes(rng, 4_000, 0.0, 0.0)
            said = score > 0.5
            reference = sure(
                cbpe_reference.learn_binary(score, said, truth, np.arange(4_000), classes=["no", "yes"], rows=rows)
            )
            rows, score, truth, p = _two_classes(rng, 1_000, shift, concept_shift)
            columns = additive.code(sure(reference.error).steps, rows)
            sums = cbpe.count_binary(reference, score, score > 0.5, np.arange(1_000), columns)
            found = cbpe.estimate(reference, sums)
            one = sure(found.get("accuracy"))
            real = float(((score > 0.5) == truth).mean())
            errors.append(abs(one.value - real))
            floor.append(abs(float(np.where(score > 0.5, p, 1.0 - p).mean()) - real))
            hits += one.low <= real <= one.high
            doubted += bool(found.warnings)
        print(
            f"inputs {shift} sd, relation {concept_shift}: off by {np.mean(errors) * 100:.2f} points (who knew every "
            f"chance: {np.mean(floor) * 100:.2f}), covered {hits / runs:.0%}, not to be trusted {doubted / runs:.0%}"
        )


def _two_classes(
    rng: np.random.Generator, n: int, shift: float, concept_shift: float
) -> tuple[list[dict[str, float | str | None]], np.ndarray, np.ndarray, np.ndarray]:
    x = rng.normal(shift, 1.0, n)
    p = 1.0 / (1.0 + np.exp(-(x - concept_shift)))
    return [{"x": float(v)} for v in x], 1.0 / (1.0 + np.exp(-1.6 * x)), rng.random(n) < p, p


def cost(runs: int) -> None:
    """Print what quality costs the watch for a block of 1,000 requests of 20 numbers, and a bundle."""
    rng = np.random.default_rng(15)
    contract = Contract(task=Task.BINARY, target="y", classes=("no", "yes"), fields=FIELDS)
    rows = [{f.name: float(v) for f, v in zip(FIELDS, row, strict=True)} for row in rng.normal(size=(5_000, 20))]
    chance = [1.0 / (1.0 + math.exp(-row["x0"])) for row in rows]
    answers = [
        Answer(label="yes" if p > 0.5 else "no", probabilities={"no": 1.0 - p, "yes": p}, confidence=max(p, 1.0 - p))
        for p in chance
    ]
    truth = ["yes" if rng.random() < p else "no" for p in chance]
    profile = build_profile(contract, rows, answers, truth, None, source="test", vocabulary={})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    seen = [
        Observation(
            id=str(i),
            key=str(i),
            occurred_at=now,
            received_at=now,
            signals={**row, "answer.confidence": said.confidence or 0.0, "answer.label": str(said.label)},
            chances=[said.probabilities["yes"]],
        )
        for i, (row, said) in enumerate(zip(rows[:1_000], answers, strict=False))
    ]
    started = time.process_time()
    for _ in range(runs):
        sums = quality.block_sums(seen, profile.quality)
        quality.doubts(profile.quality, quality.fade({}, sums))
    spent = (time.process_time() - started) / runs * 1e3
    block, own, whole = (len(msgspec.json.encode(held)) for held in (sums, profile.quality, profile))
    print(f"{spent:.1f} ms and {block:,} bytes a block; {own:,} of the profile's {whole:,} bytes")


PARTS = {"cost": cost, "concept": concept_drift, "few": few_labels, "causes": causes, "free": free}


def main() -> None:
    """Print the parts."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("parts", nargs="*", choices=[*PARTS, []])
    asked.add_argument("--runs", type=int, default=100)
    given = asked.parse_args()
    for name in given.parts or PARTS:
        print(f"# {name}")
        PARTS[name](given.runs)


if __name__ == "__main__":
    main()
