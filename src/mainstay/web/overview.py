"""Turn a model's status into what the page shows: pure, from record to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from mainstay.core import incidents, releases, verdicts
from mainstay.status import records
from mainstay.web import context as shown

REFRESH_S = 5
MOST_RELEASES = 12
DOES = {"serve": "answers requests", "loop": "watches, retrains, rolls out"}
DOES_ELSEWHERE = {"service": "answers by itself", "loop": "watches"}
MEANINGS = {
    "promised": "on rows held out before its release",
    "estimated": "on recent traffic, from calibrated confidence",
    "real": "on the labels that came for its answers",
}
LADDER = (
    releases.Stage.GATED,
    releases.Stage.CHECKED,
    releases.Stage.SHADOW,
    releases.Stage.CANARY,
    releases.Stage.PROBATION,
    releases.Stage.CERTIFIED,
)
GUARD_WORDS = {
    verdicts.Verdict.PASS: ("passes", "good"),
    verdicts.Verdict.FAIL: ("fails", "bad"),
    verdicts.Verdict.NOT_ENOUGH: ("undecided", "open"),
}
STAGE_TONES = {
    releases.Stage.CERTIFIED: "good",
    releases.Stage.PROBATION: "good",
    releases.Stage.REFUSED: "bad",
    releases.Stage.ROLLED_BACK: "bad",
    releases.Stage.QUARANTINED: "bad",
    releases.Stage.HELD: "open",
}


def build(status: records.Status) -> shown.Overview:
    """Return the page's context."""
    now = status.at
    return shown.Overview(
        model=status.model,
        read_at=moment(now, now),
        refresh_s=REFRESH_S,
        verdict=shown.Verdict(
            word=status.summary.health.value,
            since=None if status.summary.since is None else moment(status.summary.since, now),
            why=status.summary.why,
            next_step=status.summary.next_step,
        ),
        answering=_answering(status.answering, now),
        measures=_measures(status.quality),
        unmeasured=_unmeasured(status.quality),
        unknown=status.quality.unknown if status.answering is not None else "",
        detectable=status.quality.detectable if status.answering is not None else "",
        traffic=_traffic(status.traffic, now),
        incidents=tuple(_incident(incident, now) for incident in status.incidents),
        past_incidents=tuple(
            shown.PastIncident(id=i.id, title=i.title, started=moment(i.started_at, now))
            for i in status.recent_incidents
        ),
        rollout=_rollout(status.rollout, now),
        metric=next((line.metric for line in status.releases if line.metric), "metric").replace("_", " "),
        releases=tuple(_release(line, now) for line in status.releases[:MOST_RELEASES]),
        processes=_processes(status.beats, DOES_ELSEWHERE if status.elsewhere else DOES, now),
    )


def moment(at: datetime, now: datetime) -> shown.Moment:
    """Return a time as the page shows it; the year only where it is another one."""
    at = at.astimezone(UTC)
    pattern = "%-d %b, %H:%M UTC" if at.year == now.year else "%-d %b %Y, %H:%M UTC"
    return shown.Moment(iso=at.isoformat(timespec="seconds"), text=at.strftime(pattern), ago=ago(now - at))


def ago(age: timedelta) -> str:
    """Return an age in its largest fitting unit."""
    seconds = age.total_seconds()
    if seconds < 0:
        return "ahead of this clock"
    if seconds < 10:
        return "just now"
    for unit, size in (("s", 1), ("min", 60), ("h", 3600), ("days", 86400)):
        following = {"s": 60, "min": 3600, "h": 48 * 3600, "days": float("inf")}[unit]
        if seconds < following:
            return f"{int(seconds // size)} {unit} ago"
    raise AssertionError("the last unit takes every age")


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{share:.1%}".replace("%", " %")


def counted(number: int) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _answering(who: records.Answering | None, now: datetime) -> shown.Answering | None:
    if who is None:
        return None
    return shown.Answering(
        name=who.name,
        since=moment(who.since, now),
        why=who.why,
        previous=who.previous,
        share="" if who.share >= 1.0 else f"{who.share:.0%}".replace("%", " %"),
    )


def _named(quality: records.Quality) -> tuple[tuple[str, records.Estimate | None], ...]:
    return (("promised", quality.held_out), ("estimated", quality.estimated), ("real", quality.real))


def _measures(quality: records.Quality) -> tuple[shown.Measure, ...]:
    return tuple(_measure(name, value) for name, value in _named(quality) if value is not None)


def _measure(name: str, found: records.Estimate) -> shown.Measure:
    known = found.low is not None and found.high is not None
    low, high = (found.low, found.high) if known else (found.value, found.value)
    assert low is not None  # noqa: S101 - for the type checker: `known` says so
    assert high is not None  # noqa: S101
    unit = {"promised": "rows", "estimated": "units", "real": "labels"}[name]
    return shown.Measure(
        name=name,
        meaning=MEANINGS[name],
        value=percent(found.value),
        interval=f"{percent(low)} to {percent(high)}" if known else "",
        n=f"{counted(found.n)} {unit if found.n > 1 else unit.removesuffix('s')}" if found.n else "",
        at=_place(found.value),
        low=_place(low),
        high=_place(high),
    )


def _place(share: float) -> float:
    return round(100.0 * min(1.0, max(0.0, share)), 2)


def _unmeasured(quality: records.Quality) -> tuple[shown.Missing, ...]:
    why = {
        "promised": "no version is live",
        "estimated": "too little traffic for an estimate",
        "real": "no labels yet: mainstay feedback labels.csv",
    }
    return tuple(shown.Missing(name=name, why=why[name]) for name, value in _named(quality) if value is None)


def _traffic(found: records.Traffic, now: datetime) -> shown.Traffic | None:
    if found.last_at is None or not found.blocks:
        return None
    blocks = found.blocks
    most = max(block.rows for block in blocks) or 1
    slot = 100.0 / max(len(blocks), 12)
    bars = []
    for i, block in enumerate(blocks):
        height = round(max(0.6, 30.0 * block.rows / most), 2)
        bars.append(
            shown.Bar(
                x=round(100.0 - slot * (len(blocks) - i), 2),
                y=round(30.0 - height, 2),
                width=round(slot * 0.78, 2),
                height=height,
                title=f"{block.rows} rows, {moment(block.last_at, now).text}",
            )
        )
    return shown.Traffic(
        rows=counted(found.rows),
        blocks="1 block" if len(blocks) == 1 else f"{len(blocks)} blocks",
        span=f"{moment(blocks[0].first_at, now).text} to {moment(found.last_at, now).text}",
        newest=moment(found.last_at, now),
        bars=tuple(bars),
    )


def _incident(found: incidents.Incident, now: datetime) -> shown.Incident:
    return shown.Incident(
        id=found.id,
        title=found.title,
        severity=found.severity.value,
        harm=found.harm.value.replace("_", " "),
        state=found.state.value,
        bundle=found.bundle,
        started=moment(found.started_at, now),
        noticed=moment(found.opened_at, now),
        story=tuple(found.story),
        advice=str(found.facts.get("recommendation", "") or ""),
    )


def _rollout(found: records.Rollout | None, now: datetime) -> shown.Rollout | None:
    if found is None:
        return None
    return shown.Rollout(
        name=found.name,
        stage=_stage(found.stage),
        share=f"{found.share:.0%}".replace("%", " %"),
        since=moment(found.since, now),
        reason=found.reason,
        trigger=found.trigger,
        missing=found.missing,
        ladder=_ladder(found.stage),
        guards=tuple(_guard(check) for check in found.checks),
    )


def _ladder(stage: releases.Stage) -> tuple[shown.Rung, ...]:
    here = LADDER.index(stage) if stage in LADDER else -1
    states = ["done" if i < here else "here" if i == here else "ahead" for i in range(len(LADDER))]
    return tuple(shown.Rung(name=_stage(rung), state=state) for rung, state in zip(LADDER, states, strict=True))


def _guard(check: verdicts.Check) -> shown.Guard:
    word, tone = GUARD_WORDS[check.verdict] if check.applies else ("does not apply", "quiet")
    return shown.Guard(
        name=check.name.replace("_", " "), question=check.question, verdict=word, tone=tone, reason=check.reason
    )


def _release(line: records.ReleaseLine, now: datetime) -> shown.ReleaseLine:
    return shown.ReleaseLine(
        version=str(line.version),
        stage=_stage(line.stage),
        tone=STAGE_TONES.get(line.stage, "quiet"),
        since=moment(line.since, now),
        metric="–" if line.value is None else f"{line.value:.3f}",
        pipeline=line.pipeline or "–",
        trigger=line.trigger,
        reason=line.reason,
    )


def _stage(stage: releases.Stage) -> str:
    return stage.value.replace("_", " ")


def _processes(beats: Sequence[records.Beat], processes: Mapping[str, str], now: datetime) -> tuple[shown.Process, ...]:
    by_name = {beat.name: beat for beat in beats}
    found = []
    for name, does in processes.items():
        beat = by_name.get(name)
        seen = None if beat is None or beat.at is None else moment(beat.at, now)
        state = "never" if beat is None else "alive" if beat.alive else "stopped"
        found.append(shown.Process(name=name, does=does, state=state, seen=seen))
    return tuple(found)
