"""One turn of the wheel (read after serve/handle.py): tombstones → configuration → feedback → learn → watch → budget →
upkeep → rollout → retrain → online → jobs → aliases → alerts → retention.

A turn reads what is, compares it with what is declared, and does the next step. Every step is idempotent and writes its
result with its position in one transaction, so a turn can be killed at any instant and run again. A step that fails is
told in the heartbeat and does not keep the others from their work. Two loops do no harm: one holds the lease, every
write transaction of it asks first whether it holds it still (a process that was stopped may wake up too late), and
every transition is guarded besides. docs/rollout.md: what happens at each place where it may be killed or stopped.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING

import msgspec

from mainstay import alerting, aliases, artefacts, candidate, errands, ingest, retention, upkeep
from mainstay.attach import learn
from mainstay.config import failpoints
from mainstay.config import load as config
from mainstay.core import errors
from mainstay.core.events import Event, Kind
from mainstay.journal import seal
from mainstay.online import look
from mainstay.release import rollout
from mainstay.retrain import guard, trigger
from mainstay.store import blocks, heartbeats, jobs, leases
from mainstay.store import releases as rows
from mainstay.subjects import reconcile
from mainstay.watch import budget, configuration
from mainstay.watch import turn as watching

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.errands import Runner
    from mainstay.parts import Parts

log = logging.getLogger("mainstay.loop")
LEASE = "loop"
LEASE_S = 15.0
"""Without a renewal for so long, another loop takes over (seconds)."""
BUDGET_EVERY = timedelta(seconds=15)
"""How often error budgets are looked at."""
CHUNK = 5_000
"""Journal records that one step takes in one transaction."""
MOST_CHUNKS = 20
"""Chunks that one step takes in one turn; the rest waits for the next, so that no step starves the others."""


@dataclass(slots=True, kw_only=True)
class TurnReport:
    """What one turn did, one sentence each, and what failed."""

    at: datetime
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Step -> why."""


def turn(parts: Parts, runner: Runner | None = None) -> TurnReport:
    """Do everything that is due, once. Without a `runner` no long work begins (it stays queued for a running loop)."""
    report = TurnReport(at=parts.clock.now())
    runner = runner or errands.NoRunner()
    steps: Sequence[tuple[str, Callable[[Parts, Runner], list[str]]]] = (
        ("tombstones", _tombstones),
        ("configuration", _configuration),
        ("feedback", _feedback),
        ("learn", _learn),
        ("watch", _watch),
        ("budget", _budget),
        ("upkeep", _upkeep),
        ("rollout", _rollout),
        ("retrain", _retrain),
        ("online", _online),
        ("jobs", errands.turn),
        ("aliases", _aliases),
        ("alerts", _alerts),
        ("retention", _retention),
    )
    for name, step in steps:
        try:
            report.done += step(parts, runner)
        except errors.Superseded:
            raise
        except errors.StaleTransition as stale:
            report.done.append(f"{name}: somebody else was first ({stale.message}); the next turn looks again")
        except Exception as error:
            log.exception("step %s failed", name)
            report.failed[name] = f"{type(error).__name__}: {error}"
    with parts.store.begin() as tx:
        heartbeats.beat(tx, "loop", parts.clock.now(), {"failed": report.failed})
    failpoints.reach("turn.ended")
    return report


def run(parts: Parts, *, stop: Flag, runner: Runner | None = None) -> None:
    """Turn until told to stop; without the lease, wait for it."""
    failpoints.arm(parts.environ.get(failpoints.VARIABLE, ""))
    me = f"{socket.gethostname()}:{os.getpid()}"
    runner = runner or errands.ChildRunner(parts)
    waiting = False
    while not stop.is_set():
        try:
            with parts.store.begin() as tx:
                token = leases.acquire(tx, LEASE, me, LEASE_S, parts.clock.now())
            if token is None:
                if not waiting:
                    log.warning("another loop holds the lease; waiting for it")
                waiting = True
            else:
                waiting = False
                failpoints.reach("lease.taken")
                with parts.store.fenced(partial(_must_lead, parts, me, token)):
                    done = turn(parts, runner).done
                for line in done:
                    log.info("%s", line)
        except errors.Superseded as late:
            log.warning("the turn was not ended: %s", late.message)
        except errors.EnvironmentFault as fault:
            log.error("the turn could not be done: %s", fault.message)
        stop.wait(parts.settings.loop.interval_s)
    runner.stop()
    try:
        alerting.last(parts)
        errands.hand_back(parts, runner)
        with parts.store.begin() as tx:
            leases.release(tx, LEASE, me)
    except errors.EnvironmentFault as fault:
        log.error("the lease runs out by itself: %s", fault.message)


def _must_lead(parts: Parts, me: str, token: int, tx: Connection) -> None:
    leases.must_hold(tx, LEASE, me, token, ttl_s=LEASE_S, now=parts.clock.now())


def _tombstones(parts: Parts, _runner: Runner) -> list[str]:
    """See that what was erased stays so, whichever of store and keys came back from an older copy."""
    return reconcile.reconcile(parts)


def _configuration(parts: Parts, _runner: Runner) -> list[str]:
    """Note what the project file came to say otherwise since a loop last looked."""
    if parts.configuration_seen is parts.loaded:
        return []
    with parts.store.begin() as tx:
        told = configuration.note(tx, parts.model, parts.loaded.values, parts.clock.now())
    parts.configuration_seen = parts.loaded
    return told


def _learn(parts: Parts, _runner: Runner) -> list[str]:
    """Make of a service's first requests what its traffic is compared with; seal its segments, as no server does."""
    if not parts.settings.project.elsewhere:
        return []
    if not _reference_name(parts):
        # Whoever corrects the project file because learning cannot go on need not restart the loop.
        parts.loaded = config.load(parts.loaded.file, environ=parts.environ)
    try:
        seal.seal_closed(parts.journal.folder)
    except (OSError, errors.MainstayError) as error:
        log.warning("closed journal segments could not be sealed, later again: %s", error)
    step = learn.turn(parts, parts.clock.now(), watch=watching.consumer(parts.model))
    if step.file_changed:
        parts.loaded = config.load(parts.loaded.file, environ=parts.environ)
    return list(step.told)


def _reference_name(parts: Parts) -> str:
    """Return the name of what requests that a service answered are compared with, or an empty text."""
    with parts.store.read() as tx:
        live = rows.live(tx, parts.model)
    return live.name if live is not None else ""


def _recent(parts: Parts, place: Mapping[str, int], limit: int, name: str) -> list[Event]:
    """Return the newest records up to a place in the journal, at most about `limit` of each worker, opened."""
    back = {worker: max(0, seq - limit) for worker, seq in place.items()}
    events, _ = parts.journal.read(back, limit * max(len(back), 1))
    taken = [event for event in events if event.seq <= place.get(event.worker, 0)]
    return [parts.vault.opened_event(event) for event in _named(parts, taken, name)]


def _named(parts: Parts, events: Sequence[Event], name: str) -> list[Event]:
    """Say of requests that a service answered what they are compared with: the service knows no versions of ours."""
    theirs = learn.THEIRS if parts.settings.project.elsewhere else (Kind.EXTERNAL,)
    contract = parts.loaded.contract
    return [
        msgspec.structs.replace(event, bundle=name, label=learn.label_in(contract, event.label))
        if not event.bundle and event.kind in theirs
        else event
        for event in events
    ]


def _feedback(parts: Parts, _runner: Runner) -> list[str]:
    taken = ingest.take_feedback(
        parts.store,
        parts.journal,
        model=parts.model,
        contract=parts.loaded.contract,
        unnamed=_reference_name(parts),
    )
    return (
        [f"{taken.stored} new labels, {taken.graded} joined, {taken.waiting} wait"]
        if taken.stored or taken.graded
        else []
    )


def _watch(parts: Parts, _runner: Runner) -> list[str]:
    told: list[str] = []
    name = _reference_name(parts)
    if not name and parts.settings.project.elsewhere:
        return []  # what came before there is a reference is watched afterwards
    for _ in range(MOST_CHUNKS):
        events, after, more = _unread(parts, watching.consumer(parts.model))
        named = _named(parts, events, name)
        with parts.store.begin() as tx:
            upkeep.count(tx, parts, named, more=more)
            found = watching.watch_turn(
                tx,
                model=parts.model,
                journal_events=[parts.vault.opened_event(event) for event in named],
                loaded_model_provider=parts.open_version,
                settings=parts.settings,
                clock=parts.clock,
                cursor=after,
                recent=lambda place, limit: _recent(parts, place, limit, name),
            )
            if found.opened or found.escalated or found.mitigated:
                alerting.announce(tx, parts)  # here: what comes and goes within a backlog is told too
        told += [f"incident {i.id} ({i.severity.value}): {i.title}" for i in found.opened]
        if not more:
            break
    return told


def _budget(parts: Parts, _runner: Runner) -> list[str]:
    """See whether an error budget burns too fast; the minutes that it is counted on come every few seconds."""
    now = parts.clock.now()
    if parts.settings.project.elsewhere or (parts.budget_at and abs(now - parts.budget_at) < BUDGET_EVERY):
        return []
    with parts.store.begin() as tx:
        live = rows.live(tx, parts.model)
        found = budget.budget_turn(
            tx, model=parts.model, bundle=live.name if live else "", slo=parts.settings.serve.slo, now=now
        )
    parts.budget_at = now
    told = [f"incident {i.id} ({i.severity.value}): {i.title}" for i in (*found.opened, *found.escalated)]
    return told + [f"incident {i.id} is over: the error budget lasts again" for i in found.mitigated]


def _upkeep(parts: Parts, _runner: Runner) -> list[str]:
    """Look at what is a plain fact: feeds, rewards, the machine, age, skew, and the watch itself."""
    return upkeep.turn(parts)


def _rollout(parts: Parts, _runner: Runner) -> list[str]:
    told: list[str] = []
    consumer = _rollout_reader(parts.model)
    for _ in range(MOST_CHUNKS):
        events, after, more = _unread(parts, consumer)
        failpoints.reach("rollout.read")
        with parts.store.begin() as tx:
            done = rollout.rollout_turn(
                tx,
                model=parts.model,
                journal_events=events,
                settings=parts.settings,
                clock=parts.clock,
                check_in_server=candidate.known_trial,
                damage_of=partial(artefacts.damage, parts),
            )
            blocks.set_cursor(tx, consumer, after)
            failpoints.reach("rollout.committing")
        failpoints.reach("rollout.committed")
        told += done
        if not more:
            break
    return told


def _rollout_reader(model: str) -> str:
    return f"rollout:{model}"


def _unread(parts: Parts, consumer: str) -> tuple[list[Event], dict[str, int], bool]:
    """Return a consumer's next chunk, its place afterwards, and whether there is more."""
    with parts.store.read() as tx:
        place = blocks.cursor(tx, consumer)
    events, after = parts.journal.read(place, CHUNK)
    return events, after, len(events) >= CHUNK


def _retrain(parts: Parts, _runner: Runner) -> list[str]:
    """Turn due triggers into a job, if every guard passes."""
    now = parts.clock.now()
    with parts.store.begin() as tx:
        due = trigger.due_triggers(tx, parts.model, parts.settings, now)
        if not due:
            return []
        facts = guard.gather(tx, parts.model, parts.settings, now, vault=parts.vault)
        checks = guard.allow(facts, parts.settings, now)
        if not guard.allowed(checks):
            return []
        payload = {"trigger": due[0].name, "why": due[0].why, "guards": guard.certificate(checks)}
        job = jobs.enqueue(tx, model=parts.model, kind=errands.TRAIN, dedupe=due[0].dedupe, payload=payload, now=now)
    return [f"retraining: {due[0].why}"] if job is not None else []


def _online(parts: Parts, _runner: Runner) -> list[str]:
    """Have what waits for the online learner learned, once it makes a batch."""
    return look.turn(parts)


def _aliases(parts: Parts, _runner: Runner) -> list[str]:
    """Keep MLflow's aliases where the route says."""
    return aliases.turn(parts)


def _alerts(parts: Parts, _runner: Runner) -> list[str]:
    """Send what is due."""
    return alerting.send(parts)


def _retention(parts: Parts, _runner: Runner) -> list[str]:
    """Delete what [log] says of the journal, but nothing that a step of this loop has still to read."""
    return retention.turn(parts, (ingest.CONSUMER, watching.consumer(parts.model), _rollout_reader(parts.model)))
