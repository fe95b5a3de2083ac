"""Made-up statuses for the tests of what shows them: an empty project, and one where everything happens at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mainstay.core.incidents import Harm, Incident, Severity, State
from mainstay.core.releases import Stage
from mainstay.core.verdicts import Check, Verdict
from mainstay.status.records import (
    Answering,
    Beat,
    BlockLine,
    Estimate,
    Health,
    Quality,
    ReleaseLine,
    Rollout,
    Status,
    Summary,
    Traffic,
    Watching,
)

NOW = datetime(2026, 3, 9, 14, 5, tzinfo=UTC)


def before(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def empty() -> Status:
    return Status(
        model="pump-check",
        at=NOW,
        summary=Summary(health=Health.UNKNOWN, since=None, why="No version is live.", next_step="mainstay up"),
    )


def watching() -> Watching:
    return Watching(
        believable=True, why_not="", turn_at=before(seconds=4), probe_at=before(minutes=20), probe_passed=True
    )


def well() -> Status:
    return Status(
        model="pump-check",
        at=NOW,
        summary=Summary(
            health=Health.WELL, since=before(days=2), why="pump-check@1 answers and nothing that does harm was found."
        ),
        answering=Answering(
            name="pump-check@1",
            version=1,
            since=before(days=2),
            why="first version: there is no champion to compare with",
        ),
        quality=Quality(held_out=Estimate(value=0.9375, low=0.909, high=0.957, n=400)),
        traffic=traffic(9),
        releases=(release(1, Stage.CERTIFIED, 0.9375),),
        beats=beats(),
        watching=watching(),
    )


def unwell(text: str = "") -> Status:
    """Return a status where every part of the page has something to say; `text` is put into every free text."""
    return Status(
        model="pump-check",
        at=NOW,
        summary=Summary(
            health=Health.UNWELL,
            since=before(hours=5),
            why=f"Answers got worse: estimated accuracy 79.0 %, 93.8 % before{text}",
            next_step=f"Label 200 random requests, or return to pump-check@2{text}",
        ),
        answering=Answering(
            name="pump-check@3",
            version=3,
            since=before(days=12),
            why=f"probation of 24 h passed without a failed guard{text}",
            share=0.75,
            previous="pump-check@2",
        ),
        quality=Quality(
            held_out=Estimate(value=0.9375, low=0.909, high=0.957, n=400),
            estimated=Estimate(value=0.79, low=0.752, high=0.828, n=1840, note="confidence stays calibrated"),
            real=Estimate(value=0.774, low=0.701, high=0.834, n=155),
            unknown=f"Whether the estimate holds for brine{text}",
        ),
        traffic=traffic(40),
        incidents=(
            incident(17, Severity.PAGE, text),
            incident(15, Severity.NOTE, text, title="hours_since_service moved, with no harm to be seen"),
        ),
        recent_incidents=(incident(12, Severity.WATCH, text, title="medium is missing in 6 % of the requests"),),
        rollout=Rollout(
            name="pump-check@4",
            version=4,
            stage=Stage.CANARY,
            since=before(minutes=25),
            share=0.25,
            reason=f"guards pass; 25 % of the keys next{text}",
            trigger="incident:17",
            checks=guards(text),
            missing="evidence on accuracy",
        ),
        releases=(
            release(4, Stage.CANARY, 0.951, trigger="incident:17", reason=f"guards pass; 25 % of the keys next{text}"),
            release(3, Stage.CERTIFIED, 0.9375, reason="probation passed without a failed guard"),
            release(2, Stage.RETIRED, 0.93, reason="pump-check@3 took over"),
            release(1, Stage.ROLLED_BACK, None, reason=f"error_rate: 12 of 80 answers failed{text}"),
        ),
        watching=watching(),
        beats=(
            Beat(name="loop", at=before(seconds=2), alive=True),
            Beat(name="serve", at=before(minutes=9), alive=False),
        ),
    )


def traffic(count: int) -> Traffic:
    lines = tuple(
        BlockLine(
            first_at=before(minutes=10 * (count - i)),
            last_at=before(minutes=10 * (count - i) - 9),
            rows=40 + (i * 37) % 90 + (60 if 20 < i < 30 else 0),
        )
        for i in range(count)
    )
    return Traffic(rows=sum(line.rows for line in lines), failed=3, refused=1, last_at=lines[-1].last_at, blocks=lines)


def incident(
    number: int, severity: Severity, text: str, *, title: str = "Answers got worse where the medium is brine"
) -> Incident:
    return Incident(
        id=number,
        model="pump-check",
        bundle="pump-check@3",
        harm=Harm.QUALITY,
        severity=severity,
        state=State.OPEN,
        opened_at=before(hours=4, minutes=40),
        started_at=before(hours=5),
        rows_to_detect=212,
        title=title + text,
        story=(
            "Estimated accuracy fell from 93.8 % to 79.0 % (75.2 to 82.8).",
            f"It began about 09:05 UTC; 212 requests later it was noticed{text}.",
            "Most of it comes from medium = brine, 34 % of the requests now and 10 % before.",
        ),
        facts={"recommendation": f"Label 200 random requests, or return to pump-check@2{text}"},
    )


def guards(text: str) -> tuple[Check, ...]:
    return (
        Check(
            name="error_rate",
            question="Does it fail in at most 1 % of the requests?",
            verdict=Verdict.PASS,
            reason=f"0 of 412 answers failed; at most 0.8 % at any look{text}",
        ),
        Check(
            name="accuracy",
            question="Is it at most 3 points worse?",
            verdict=Verdict.NOT_ENOUGH,
            reason="96 labelled pairs; difference between −4.1 and +12.0 points",
            numbers={"units": 96, "mean": 0.04, "low": -0.041, "high": 0.12, "limit": 0.03},
        ),
        Check(
            name="sample_ratio",
            question="Did it get its share?",
            verdict=Verdict.FAIL,
            reason="61 of 412 keys, 25 % declared",
        ),
        Check(
            name="latency",
            question="Is it slow?",
            verdict=Verdict.NOT_ENOUGH,
            reason="the champion's p99 is not known yet",
            applies=False,
        ),
    )


def release(
    version: int, stage: Stage, value: float | None, *, trigger: str = "manual", reason: str = "first version"
) -> ReleaseLine:
    return ReleaseLine(
        version=version,
        stage=stage,
        since=before(days=12 - 3 * version + 1),
        created_at=before(days=14 - 3 * version + 1),
        pipeline="forest",
        trigger=trigger,
        reason=reason,
        metric="accuracy",
        value=value,
    )


def beats() -> tuple[Beat, ...]:
    return (Beat(name="loop", at=before(seconds=1), alive=True), Beat(name="serve", at=before(seconds=3), alive=True))
