"""A store in which something of everything happened, as large as asked for: for the pages' queries and their times."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from mainstay.core.calls import Minute
from mainstay.core.events import Arm, Event, Feedback, Kind, Trust
from mainstay.core.incidents import Finding, Harm, Incident, Severity, State
from mainstay.core.releases import IN_ROLLOUT, Move, Release, Stage
from mainstay.core.silences import Silence
from mainstay.core.usage import Pulse, Usage
from mainstay.core.verdicts import Verdict
from mainstay.journal.seal import seal_closed
from mainstay.journal.writer import SegmentWriter
from mainstay.release import moves, opinion, rollout
from mainstay.store import (
    audit,
    blocks,
    call_counts,
    feedback,
    heartbeats,
    incidents,
    jobs,
    marks,
    pairs,
    releases,
    reviews,
    reward_sums,
    silences,
    usage,
)
from mainstay.store.blocks import Block
from mainstay.store.feedback import Graded

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.project import Project

BLOCK = timedelta(minutes=10)
WORDS = [f"word{i}" for i in range(200)]
INPUTS = {"temperature_c": 50.0, "vibration_mm_s": 3.0, "hours_since_service": 120, "medium": "oil"}
AT_ONCE = 5_000
"""Records of the journal that are written in one commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of what."""

    days: int = 2
    rows: int = 20_000
    """Answers that the blocks stand for."""
    labels: int = 300
    incidents: int = 12
    pairs: int = 0
    """Of a rollout that turns; 0: none does."""
    predictions: int = 0
    """Records of the journal, sealed."""
    audit: int = 50


def fill(project: Project, seed: Release, size: Size, luck: random.Random) -> None:
    """Fill a project's store (and journal) with `size.days` that end now; `seed` is a release with a bundle's facts."""
    name, now = project.name, project.clock.now()
    start = now - timedelta(days=size.days)
    with project.parts.store.begin() as tx:
        _versions(tx, project, seed, start, now, turning=bool(size.pairs))
        heartbeats.beat(tx, "loop", now=now, detail={})
        heartbeats.beat(tx, "serve", now=now, detail={})
        _load(tx, name, start, size.days, now, luck)
        told = [_graded(name, i, now - timedelta(minutes=2 * i), luck) for i in range(size.labels)]
        feedback.keep_graded(tx, told)
        for i in range(20):
            item = Feedback(id=f"lost-{i}", feedback_id=f"lost-{i}", kind="label", name="state", value="worn", at=now)
            feedback.put(tx, name, item, received_at=now)
        _incidents(tx, name, size, now, luck)
        _people(tx, name, now, size.audit)
    each = max(1, size.rows * BLOCK // timedelta(days=size.days))
    with project.parts.store.begin() as tx:
        for number in range(timedelta(days=size.days) // BLOCK):
            blocks.put_block(tx, _block(name, number, start + BLOCK * number, each, luck))
    if size.pairs:
        _pairs(project, size.pairs, now, luck)
    if size.predictions:
        _journal(project, size, start, now, luck)


def _versions(
    tx: Connection, project: Project, seed: Release, start: datetime, now: datetime, *, turning: bool
) -> None:
    paths = [(Stage.GATED, Stage.CHECKED, Stage.CERTIFIED), (Stage.GATED, Stage.CHECKED, Stage.CERTIFIED)]
    paths.append((Stage.GATED, Stage.CHECKED, Stage.SHADOW, Stage.CANARY) if turning else (Stage.REFUSED,))
    for version, path in enumerate(paths, start=1):
        release = replace(
            seed, model=project.name, version=version, stage=Stage.REGISTERED, since=start, created_at=start
        )
        releases.add(tx, release)
        for stage in path:
            at = now if stage in IN_ROLLOUT else start
            share = 0.05 if stage is Stage.CANARY else 0.0
            if stage is Stage.REFUSED:
                releases.move(tx, release, stage, reason="filled", by="loop", evidence={}, now=at)
                continue
            act = moves.Act(by="loop", now=at, evidence={}, share=share, lease_until=now + timedelta(days=400))
            move = Move(to=stage, reason="filled", verdict=Verdict.PASS)
            release = moves.apply(tx, release, move, act)


def _load(tx: Connection, model: str, start: datetime, days: int, now: datetime, luck: random.Random) -> None:
    usage.put(
        tx,
        [_usage(model, start, i) for i in range(days * 24)],
        [_pulse(model, start, i, luck) for i in range(days * 96)],
    )
    fine = min(days, 4)
    call_counts.put(tx, [_minute(model, now - timedelta(minutes=i), "w0", luck) for i in range(fine * 1440)])
    hours = [now - timedelta(days=fine, hours=i) for i in range((days - fine) * 24)]
    call_counts.put(tx, [_minute(model, at, call_counts.HOURS, luck) for at in hours])
    told: dict[reward_sums.Place, tuple[int, float, float]] = {}
    for hour in range(min(days, 3) * 24):
        for bucket in range(8):
            at = reward_sums.hour_of(now - timedelta(hours=hour))
            place = reward_sums.Place(name="click", bundle=f"{model}@2", arm="champion", at=at, bucket=bucket)
            told[place] = (10, 3.0, 3.0)
    reward_sums.add(tx, model, told)


def _incidents(tx: Connection, model: str, size: Size, now: datetime, luck: random.Random) -> None:
    for i in range(size.incidents):
        opened = incidents.open_(
            tx, _incident(model, now - timedelta(days=size.days * i / size.incidents, hours=2), luck)
        )
        if i >= 4:  # the newest go on
            for to in (State.ACKNOWLEDGED, State.MITIGATED, State.RESOLVED):
                incidents.move(tx, opened.id, to, by="ada", note="filled", now=now)
            marks.add(
                tx,
                marks.Mark(
                    incident=opened.id,
                    model=model,
                    monitor="temperature_c",
                    useful=i % 2 == 0,
                    by="ada",
                    note="",
                    at=now,
                ),
            )
    quiet = Silence(model=model, monitor="medium", starts_at=now, until=now + timedelta(hours=1), reason="r", by="ada")
    silences.add(tx, quiet)


def _people(tx: Connection, model: str, now: datetime, entries: int) -> None:
    for i in range(entries):
        audit.append(tx, who="ada", what="label", subject=f"w0-{i}", detail={"value": "worn"}, now=now)
    picked = [
        reviews.Review(
            id=f"w0-{i}",
            batch=1,
            reason="random",
            chance=0.1,
            key_hash=f"k{i}",
            bundle=f"{model}@2",
            label="worn",
            confidence=0.7,
            occurred_at=now,
            drawn_at=now,
        )
        for i in range(50)
    ]
    reviews.add(tx, model, picked)
    made = jobs.enqueue(tx, model=model, kind="retrain", dedupe="incident:1", payload={}, now=now)
    claimed = jobs.claim(tx, kinds=["retrain"], owner="loop", lease_s=60, now=now) if made else None
    if claimed is not None:
        jobs.fail(tx, claimed, error="too few labels", now=now)


def _pairs(project: Project, count: int, now: datetime, luck: random.Random) -> None:
    """Write what both sides said, and what the loop thinks of it."""
    name, settings = project.name, project.settings
    with project.parts.store.begin() as tx:
        for i in range(count):
            pairs.add(
                tx,
                pairs.Pair(
                    model=name,
                    version=3,
                    unit=f"u{i}",
                    id=f"w0-{i}",
                    key_hash=f"k{i % 5000}",
                    arm=Arm.CHALLENGER if i % 20 == 0 else Arm.CHAMPION,
                    occurred_at=now - timedelta(seconds=count - i),
                    champion_label="fine",
                    challenger_label="worn" if luck.random() < 0.03 else "fine",
                    champion_confidence=0.9,
                    challenger_confidence=0.9,
                    champion_trust=Trust.OK,
                    challenger_trust=Trust.OK,
                    champion_latency_us=2000,
                    challenger_latency_us=2100,
                    label="fine" if i % 10 == 0 else None,
                    step=1,
                    segments=("medium=oil",),
                ),
            )
        release = rollout.current(tx, name)
        if release is not None:
            evidence = rollout.evidence_for(tx, release, settings)
            opinion.keep(tx, name, release, evidence, settings, rollout.policy_of(settings.rollout), now)


def _journal(project: Project, size: Size, start: datetime, now: datetime, luck: random.Random) -> None:
    folder = project.parts.journal.folder
    with SegmentWriter(folder, "w0", durability="os") as out:
        step = (now - start) / size.predictions
        waiting: Iterator[int] = iter(range(size.predictions))
        while numbers := list(islice(waiting, AT_ONCE)):
            first = out.next_seq
            out.commit([_event(project.name, n, first + at, start + step * n, luck) for at, n in enumerate(numbers)])
    seal_closed(folder)


def _event(model: str, number: int, seq: int, at: datetime, luck: random.Random) -> Event:
    return Event(
        model=model,
        worker="w0",
        seq=seq,
        id=f"w0-{number}",
        kind=Kind.PREDICTION,
        occurred_at=at,
        received_at=at,
        bundle=f"{model}@2",
        served_arm=Arm.CHAMPION,
        assigned_arm=Arm.CHAMPION,
        key_hash=f"k{number % 5000}",
        inputs=INPUTS | {"temperature_c": round(luck.gauss(50, 5), 2)},
        label=luck.choice(["fine", "worn"]),
        probabilities={"fine": 0.7, "worn": 0.3},
        confidence=round(luck.random(), 3),
        trust=Trust.OK,
        latency_us=luck.randrange(500, 5000),
        status=200,
    )


def _block(model: str, number: int, at: datetime, rows: int, luck: random.Random) -> Block:
    """Return a block with a summary of the size that the watch writes."""
    fields = ("temperature_c", "vibration_mm_s", "hours_since_service")
    means = {"answer.confidence": 0.9 + luck.gauss(0, 0.01)}
    means |= {name: luck.gauss(50, 2) for name in fields}
    means |= {f"{name}.missing": luck.random() / 20 for name in fields}
    means |= {f"signal_{i}": luck.gauss(0, 1) for i in range(30)}
    whole = {"rows": [rows, rows], "chance": [rows / 2, rows * 0.45, rows / 2, 1.0, 2.0], "loss": [1.0] * 3}
    whole |= {"bin_rows": [1.0] * 50, "bin_true": [1.0] * 50, "bin_var": [1.0] * 50, "columns": [1.0] * 60}
    segment = {"rows": [rows / 4, rows / 4], "chance": [rows / 8, rows / 9, rows / 8, 1.0, 1.0], "loss": [1.0] * 3}
    summary = {
        "estimate": {"value": 0.93, "low": 0.9, "high": 0.96, "n": rows, "reference": 0.93, "assumption": "a" * 160},
        "means": means,
        "outcomes": {"ok": rows - 1, "failed": 1},
        "segments": {f"medium=m{i}": rows // 8 for i in range(8)},
        "words": {"message": {word: luck.randrange(50) for word in WORDS}},
        "unsure": [[0.5, f"w0-{number}-{i}"] for i in range(10)],
        "quality": {"whole": whole, "segments": {f"medium=m{i}": segment for i in range(8)}, "repeats": 1.0},
        "outlook": {"text": "A drop of 4 points would be seen within 900 requests."},
        "repeats": 0,
    }
    return Block(
        model=model,
        bundle=f"{model}@2",
        number=number,
        first_at=at,
        last_at=at + BLOCK,
        rows=rows,
        keys=rows,
        summary=summary,
    )


def _usage(model: str, start: datetime, i: int) -> Usage:
    at = (start + timedelta(hours=i)).replace(minute=0, second=0, microsecond=0)
    return Usage(model=model, source="w0", bundle=f"{model}@2", at=at, rows=600, cpu_s=12.0, memory_gb_s=900.0)


def _pulse(model: str, start: datetime, i: int, luck: random.Random) -> Pulse:
    counts = [luck.randrange(50) for _ in range(13)]
    bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
    at = start + timedelta(minutes=15 * i)
    return Pulse(model=model, source="w0", at=at, calls=sum(counts), bounds=bounds, counts=counts)


def _minute(model: str, at: datetime, source: str, luck: random.Random) -> Minute:
    whole = at.replace(second=0, microsecond=0)
    return Minute(model=model, source=source, at=whole, calls=100, failed=luck.randrange(2), slow=luck.randrange(3))


def _graded(model: str, i: int, at: datetime, luck: random.Random) -> Graded:
    said, truth = luck.choice(["fine", "worn"]), luck.choice(["fine", "fine", "worn"])
    return Graded(
        model=model,
        id=f"w0-{i}",
        name="state",
        value=truth,
        at=at,
        feedback_id=f"f{i}",
        bundle=f"{model}@2",
        served_arm="champion",
        key_hash=f"k{i % 500}",
        unit=f"u{i}",
        occurred_at=at,
        label=said,
        confidence=luck.random(),
        inputs={"temperature_c": luck.gauss(50, 5), "vibration_mm_s": luck.gauss(3, 1), "medium": "oil"},
        correct=said == truth,
        probabilities={"fine": 0.7, "worn": 0.3},
    )


def _incident(model: str, at: datetime, luck: random.Random) -> Incident:
    finding = Finding(
        signal="temperature_c",
        harm=Harm.INPUT,
        since=at,
        before=50.0,
        now=52.0,
        shift=0.5,
        evidence=1e6,
        text="temperature_c rose by half a standard deviation",
    )
    return Incident(
        model=model,
        bundle=f"{model}@2",
        harm=Harm.INPUT,
        severity=luck.choice(list(Severity)),
        opened_at=at,
        started_at=at,
        title="temperature_c moved",
        story=["It moved.", "It moved by half a standard deviation."],
        findings=[finding] * 6,
        facts={"examples": [{"id": f"w0-{i}", "at": None, "shows": []} for i in range(20)]},
    )
