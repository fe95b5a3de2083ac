"""Read how a model stands from the store, in one consistent view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.attach import learn
from mainstay.core import incidents as incident_words
from mainstay.core import routes as route_words
from mainstay.core import verdicts
from mainstay.core.contracts import Task
from mainstay.core.releases import LIVE, Evidence, Policy, Release, Stage
from mainstay.release import opinion, rollout
from mainstay.retrain import selective
from mainstay.serve import control
from mainstay.stats.prequential import Score, as_metric
from mainstay.status import cost, journal, quality, runners, service
from mainstay.status.records import (
    Answering,
    Beat,
    BlockLine,
    Budget,
    ReleaseLine,
    Reward,
    Rollout,
    Status,
    Traffic,
    Watching,
)
from mainstay.status.verdict import summarise
from mainstay.store import blocks, feedback, heartbeats, incidents, kept, releases, routes, silences, states
from mainstay.watch import budget, heartbeat, rewards

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.config.settings import Settings

BLOCKS = 48
"""Blocks of traffic shown."""
LABELS = 5000
"""Newest labels that real quality is counted on."""
RECENT = 5
COST_DAYS = 30.0
SERVE = "serve"
WORST_FIRST = {severity: -rank for rank, severity in enumerate(incident_words.SEVERITY_ORDER)}
ONGOING = (incident_words.State.OPEN, incident_words.State.ACKNOWLEDGED)
OVER = (incident_words.State.MITIGATED, incident_words.State.RESOLVED)


def read(
    tx: Connection,
    *,
    settings: Settings,
    run: Path,
    now: datetime,
    alive_within: timedelta,
    turned_within: timedelta | None = None,
) -> Status:
    """Return the status of the project's model.

    `run` is the folder of what runs on this machine. A process is alive when its last sign in the store is at most
    `alive_within` old, or, for serving, when its process lives here. The watch lives while the loop's last turn is at
    most `turned_within` old ([watch] heartbeat_s).
    """
    turned_within = turned_within or timedelta(seconds=settings.watch.heartbeat_s)
    model = settings.project.name
    history = releases.outlines(tx, model)
    live = releases.latest(history, LIVE)
    on_its_way = rollout.turning(history)
    compared = on_its_way is not None and on_its_way.stage in rollout.COMPARED
    evidence = _evidence(tx, on_its_way, settings) if on_its_way and compared else Evidence()
    route = routes.current(tx, model)
    changes = routes.history(tx, model, limit=1)
    seen = blocks.newest(tx, model, limit=BLOCKS)
    open_ = incidents.list_(tx, model, states=ONGOING)
    over = incidents.list_(tx, model, states=OVER, limit=RECENT)
    quiet = [one for one in silences.list_(tx, model, since=now) if one.holds(now)]
    ended = incidents.last_moves(tx, [i.id for i in over])
    signs = heartbeats.all_(tx)
    # Of classes the database counts; decoding 5,000 labels would cost more than all the rest.
    whole = _ranking(settings) is not None or bool(_number(settings))
    labels = feedback.labels(tx, model, limit=LABELS) if whole else []
    counted = None if whole else feedback.right_of_newest(tx, model, limit=LABELS)
    learned = states.get(tx, learn.progress_name(model))
    recorded = kept.get(tx, model)
    stands = budget.standings(tx, model, settings.serve.slo, now)
    vital = heartbeat.read(tx, model, within=turned_within, now=now)
    means = rewards.means(tx, model, settings.watch, now)
    covered = selective.look(tx, model, settings, seen, route) if settings.target.classes else None
    costs = cost.read(tx, model, settings.cost, days=COST_DAYS, now=now)
    elsewhere = settings.project.elsewhere
    learning = service.learning(learned) if elsewhere and live is None else None
    processes = service.processes(run, now, alive_within) if elsewhere else ()
    if elsewhere:
        answering = service.answering(model, live, learning)
    else:
        answering = None if route is None else _answering(route, live, changes, now)
    way = None
    if on_its_way is not None:
        way = _rollout(on_its_way, route, evidence, rollout.policy_of(settings.rollout))
    traffic = _traffic(seen)
    beats = (
        _beats(signs, run, now, alive_within) if not elsewhere else service.beats(signs, processes, now, alive_within)
    )
    worst_first = tuple(sorted(open_, key=lambda i: (WORST_FIRST[i.severity], i.started_at)))
    champion = next((r for r in history if answering is not None and r.version == answering.version), None)
    return Status(
        model=model,
        at=now,
        summary=summarise(
            answering=answering,
            open_incidents=worst_first,
            rollout=way,
            traffic=traffic,
            beats=beats,
            well_since=max([answering.since, *ended.values()]) if answering is not None else None,
            enough_rows=settings.watch.block_min_rows,
            now=now,
            elsewhere=elsewhere,
            learning=learning,
            watching=_watching(vital),
        ),
        answering=answering,
        quality=quality.of(champion, seen, labels, _ranking(settings), number=_number(settings), counted=counted),
        traffic=traffic,
        budgets=tuple(_budget(one) for one in stands),
        incidents=worst_first,
        silences=tuple(quiet),
        recent_incidents=tuple(over),
        rollout=way,
        releases=tuple(_line(release, settings.evaluate.primary) for release in history),
        beats=beats,
        elsewhere=elsewhere,
        learning=learning,
        service=processes,
        runners=runners.of(run, model) if control.running(run) is not None else (),
        journal=journal.held(recorded, run),
        watching=_watching(vital),
        rewards=tuple(_reward(mean) for mean in means),
        cost=costs if costs.lines else None,
        selective="" if covered is None else covered.text,
    )


def _evidence(tx: Connection, release: Release, settings: Settings) -> Evidence:
    return opinion.evidence_on(tx, release, settings) or rollout.evidence_for(tx, release, settings)


def _watching(vital: heartbeat.Vital) -> Watching:
    return Watching(
        believable=vital.believable,
        why_not=vital.why_not,
        turn_at=vital.turn_at,
        probe_at=None if vital.probe is None else vital.probe.at,
        probe_passed=vital.probe is not None and vital.probe.passed,
    )


def _reward(mean: rewards.Mean) -> Reward:
    return Reward(**{name: getattr(mean, name) for name in Reward.__dataclass_fields__})


def _number(settings: Settings) -> str:
    return settings.target.field if settings.project.task is Task.REGRESSION else ""


def _ranking(settings: Settings) -> quality.Ranking | None:
    group = settings.data.group
    if group is None:
        return None
    return quality.Ranking(target=settings.target.field, group=group, at=settings.evaluate.at)


def _answering(
    route: route_words.Route, live: Release | None, changes: Sequence[routes.RouteChange], now: datetime
) -> Answering:
    change = changes[0] if changes else None
    told_by_release = live is not None and live.version == route.champion.version
    if live is not None and told_by_release:
        since, why = live.since, live.reason
    else:
        since, why = (now, "") if change is None else (change.at, change.reason)
    runtime = live.facts.get("runtime") if live is not None and told_by_release else None
    told = runtime if isinstance(runtime, dict) else {}
    return Answering(
        name=f"{route.model}@{route.champion.version}",
        version=route.champion.version,
        since=since,
        why=why,
        share=1.0 - _share(route),
        previous=f"{route.model}@{route.previous.version}" if route.previous is not None else "",
        runtime=str(told.get("runtime", "")),
        runtime_why=str(told.get("why", "")),
    )


def _share(route: route_words.Route | None) -> float:
    return route.share if route is not None and route.challenger is not None else 0.0


def _beats(
    signs: Sequence[heartbeats.Heartbeat], run: Path, now: datetime, alive_within: timedelta
) -> tuple[Beat, ...]:
    beats = {sign.name: Beat(name=sign.name, at=sign.at, alive=now - sign.at <= alive_within) for sign in signs}
    if control.running(run) is not None:
        beats[SERVE] = Beat(name=SERVE, at=now, alive=True)
    elif SERVE not in beats and (run / "serve.json").exists():
        beats[SERVE] = Beat(name=SERVE, at=None, alive=False)
    return tuple(beats[name] for name in sorted(beats))


def _traffic(seen: Sequence[blocks.Block]) -> Traffic:
    lines = tuple(BlockLine(first_at=b.first_at, last_at=b.last_at, rows=b.rows) for b in seen)
    return Traffic(
        rows=sum(b.rows for b in lines),
        repeats=sum(int(b.summary.get("repeats", 0)) for b in seen),
        failed=sum(int(b.summary.get("outcomes", {}).get("failed", 0)) for b in seen),
        refused=sum(int(b.summary.get("outcomes", {}).get("refused", 0)) for b in seen),
        last_at=max((b.last_at for b in lines), default=None),
        blocks=lines,
    )


def _budget(one: budget.Standing) -> Budget:
    promised = one.objective
    return Budget(
        name=promised.name,
        what=promised.what,
        objective=promised.share,
        days=promised.days,
        calls=one.calls,
        bad=one.bad,
        left=one.left,
        burn=one.burn,
    )


def _rollout(release: Release, route: route_words.Route | None, evidence: Evidence, policy: Policy) -> Rollout:
    return Rollout(
        name=release.name,
        version=release.version,
        stage=release.stage,
        since=release.since,
        share=1.0 if release.stage is Stage.PROBATION else _share(route),
        reason=release.reason,
        trigger=release.trigger,
        checks=tuple(evidence.checks),
        missing=waits_for(release, evidence, policy),
    )


def waits_for(release: Release, evidence: Evidence, policy: Policy) -> str:
    """Return what a version on its way waits for, in words."""
    if release.stage is Stage.HELD:
        return "a person's decision"
    if release.stage in (Stage.GATED, Stage.CHECKED):
        return "the next turn of the loop"
    if release.stage is Stage.PROBATION:
        if evidence.step_units < policy.step_min_units:
            return f"requests scored in reverse on probation: {evidence.step_units} of {policy.step_min_units}"
        return f"the end of its probation, {policy.probation} after it began"
    undecided = [c.name for c in evidence.checks if c.applies and c.verdict is verdicts.Verdict.NOT_ENOUGH]
    if undecided:
        return "evidence on " + ", ".join(undecided)
    if release.stage is Stage.SHADOW and evidence.units < policy.shadow_min_units:
        return f"requests scored by both: {evidence.units} of {policy.shadow_min_units}"
    if release.stage is Stage.CANARY and evidence.step_units < policy.step_min_units:
        return f"requests answered by it in this step: {evidence.step_units} of {policy.step_min_units}"
    return ""


def _line(release: Release, primary: str) -> ReleaseLine:
    measured = quality.metric(release, primary)
    return ReleaseLine(
        version=release.version,
        stage=release.stage,
        since=release.since,
        created_at=release.created_at,
        pipeline=release.pipeline,
        trigger=release.trigger,
        reason=release.reason,
        metric=primary,
        value=None if measured is None else measured.value,
        online=learned_online(release),
    )


def learned_online(release: Release) -> str:
    """Return of a version that was learned online from which one it went on and how many labels it learned since."""
    told = release.facts.get("online")
    if not isinstance(told, dict):
        return ""
    text = f"from {told['from']['version']}, {told['since']} labels"
    learner, answered = (_progressive(told, side) for side in ("learner", "answered"))
    return f"{text}; {told['metric']} {learner} on each before it learned it, answered {answered}" if learner else text


def _progressive(told: Mapping[str, Any], side: str) -> str:
    """Return a progressive score as the metric that people know, or an empty text."""
    score = Score(**((told.get("score") or {}).get(side) or {}))
    return f"{as_metric(score.mean, told['metric']):.3f}" if score.n and "metric" in told else ""
