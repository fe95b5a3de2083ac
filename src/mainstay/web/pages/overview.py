"""Turn a model's status into what the page shows: pure, from record to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mainstay.core import incidents, releases, verdicts
from mainstay.status import records
from mainstay.viewing.load import Load
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown import overview as shown
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import counted, length, moment, percent, seconds

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


def page(look: Look) -> shown.Overview:
    """Read a model's status and load."""
    return build(*look.room.told())


def build(status: records.Status, load: Load | None = None) -> shown.Overview:
    """Return the page's context."""
    now = status.at
    return shown.Overview(
        model=status.model,
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
        load=_load(load, status.traffic),
        age=_age(status, now),
        incidents=tuple(_incident(incident, now) for incident in status.incidents),
        past_incidents=tuple(
            shown.PastIncident(
                id=i.id, href=links.incident(status.model, i.id), title=i.title, started=moment(i.started_at, now)
            )
            for i in status.recent_incidents
        ),
        rollout=_rollout(status.rollout, status.model, now),
        releases=releases_table(status.releases[:MOST_RELEASES], status.model, now),
        processes=_processes(status.beats, DOES_ELSEWHERE if status.elsewhere else DOES, now),
    )


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
        oldest=moment(blocks[0].first_at, now),
        newest=moment(found.last_at, now),
        bars=tuple(bars),
    )


def _incident(found: incidents.Incident, now: datetime) -> shown.Incident:
    return shown.Incident(
        id=found.id,
        href=links.incident(found.model, found.id),
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


def _rollout(found: records.Rollout | None, model: str, now: datetime) -> shown.Rollout | None:
    if found is None:
        return None
    return shown.Rollout(
        name=found.name,
        href=links.model(model, "rollout"),
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


def releases_table(lines: Sequence[records.ReleaseLine], model: str, now: datetime) -> Table:
    """Return versions as a table, the newest first."""
    metric = next((line.metric for line in lines if line.metric), "metric").replace("_", " ")
    return Table(
        id="versions",
        caption=f"Versions of {model}",
        columns=(
            Column(name="Version"),
            Column(name="Stage"),
            Column(name="Since"),
            Column(name=metric.capitalize(), number=True),
            Column(name="Pipeline"),
            Column(name="Trigger"),
            Column(name="Why", quiet=True),
        ),
        rows=tuple(
            (
                Cell(text=str(line.version), href=links.version(model, line.version)),
                Cell(text=_stage(line.stage), tone=STAGE_TONES.get(line.stage, "quiet")),
                tables.time(line.since, now),
                tables.number(line.value, "{:.3f}"),
                Cell(text=line.pipeline or "–"),
                Cell(text=line.trigger),
                Cell(text=line.reason),
            )
            for line in lines
        ),
        empty="None yet. mainstay train makes the first.",
        csv=links.model(model, "versions") + "?csv=versions",
    )


def _load(found: Load | None, traffic: records.Traffic) -> shown.Load:
    found = found or Load()
    return shown.Load(
        rows=counted(found.rows),
        p50="" if found.p50_s is None else seconds(found.p50_s),
        p99="" if found.p99_s is None else seconds(found.p99_s),
        bad=_bad(found, traffic),
    )


def _bad(found: Load, traffic: records.Traffic) -> str:
    """Return the share of bad calls: as the error budget counts them, else as the watch saw the newest blocks."""
    if found.calls:
        return f"{percent(found.bad / found.calls)} of {counted(found.calls)} broke the promise"
    if not traffic.rows:
        return ""
    failed, refused = traffic.failed / traffic.rows, traffic.refused / traffic.rows
    return f"{percent(failed)} failed, {percent(refused)} refused of {counted(traffic.rows)}"


def _age(status: records.Status, now: datetime) -> str:
    who = status.answering
    mine = [line for line in status.releases if who is not None and line.version == who.version]
    return length(now - mine[0].created_at) if mine else ""


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
