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
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mainstay import alerting, candidate, ingest, retention, upkeep
from mainstay.attach import learn
from mainstay.config import clocks, failpoints
from mainstay.config import load as config
from mainstay.core import errors, releases
from mainstay.core.events import Event, Kind
from mainstay.core.verdicts import Check, Verdict
from mainstay.journal import seal
from mainstay.online import place
from mainstay.pulled import take
from mainstay.release import rollout
from mainstay.retrain import guard, trigger
from mainstay.serve import trial
from mainstay.store import blocks, heartbeats, jobs, leases, routes, states
from mainstay.store import releases as rows
from mainstay.subjects import reconcile
from mainstay.train import sandbox
from mainstay.watch import budget, configuration
from mainstay.watch import turn as watching

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.core.routes import BundleRef, Route
    from mainstay.parts import Parts

log = logging.getLogger("mainstay.loop")
LEASE = "loop"
LEASE_S = 15.0
"""Without a renewal for so long, another loop takes over (seconds)."""
TRAIN, TRIAL, PULL, ONLINE = "train", "trial", "pull", "online"
"""Kinds of jobs."""
PULLS_KEPT = timedelta(days=7)
"""How long a pull that ended is kept: one comes every few minutes, for ever."""
MOST_ATTEMPTS = 3
RETRY_AFTER = timedelta(minutes=5)
LEAST_ADDRESS_SPACE_MB = 8_000
"""Libraries map far more address space than they use; a smaller bound stops training at its imports."""
TRIAL_AFTER = timedelta(minutes=1)
"""A version waits so long for the trial that belongs to its training; then the loop does it."""
ONLINE_EVERY = timedelta(seconds=10)
"""How often it is looked whether labels wait for the online learner."""
ONLINE_AGAIN_S = 300
"""A batch that a guard kept from being learned is tried again after so long (seconds)."""
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


class Runner(Protocol):
    """Does long work beside the turns."""

    def start(self, job: jobs.Job) -> None:
        """Begin a claimed job."""

    def running(self) -> int | None:
        """Return the number of the job under way, or None."""

    def ended(self) -> tuple[jobs.Job, str, str] | None:
        """Return (job, result, error) of the one that ended, until it is forgotten."""

    def forget(self) -> None:
        """Let go of the job that ended: what came of it stands in the store."""

    def stop(self) -> None:
        """End the work under way; it then counts as ended, with an error."""


def turn(parts: Parts, runner: Runner | None = None) -> TurnReport:
    """Do everything that is due, once. Without a `runner` no long work begins (it stays queued for a running loop)."""
    report = TurnReport(at=parts.clock.now())
    runner = runner or NoRunner()
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
        ("jobs", _jobs),
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
    runner = runner or ChildRunner(parts)
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
        _hand_back(parts, runner)
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
        jump = clocks.jumped(parts.clock, parts.clock_seen)
        seen = parts.clock.now(), parts.clock.monotonic()
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
                jump=jump,
            )
            blocks.set_cursor(tx, consumer, after)
            failpoints.reach("rollout.committing")
        failpoints.reach("rollout.committed")
        parts.clock_seen = seen
        told += done
        if jump:
            told.append(
                f"the clock was set by {jump.total_seconds():+.0f} s: this is no time that a version stood its trial"
            )
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
        job = jobs.enqueue(tx, model=parts.model, kind=TRAIN, dedupe=due[0].dedupe, payload=payload, now=now)
    return [f"retraining: {due[0].why}"] if job is not None else []


def _online(parts: Parts, _runner: Runner) -> list[str]:
    """Have what waits for the online learner learned, once it makes a batch; serving learns nothing by that."""
    now = parts.clock.now()
    looked = parts.looked_at.get(ONLINE)
    if not parts.settings.retrain.online or (looked is not None and abs(now - looked) < ONLINE_EVERY):
        return []
    parts.looked_at[ONLINE] = now
    try:
        where = place.read(parts)
    except errors.NotEnoughEvidence:
        return []
    waiting = place.count_waiting(parts, where, now)
    if waiting < parts.settings.retrain.online_batch:
        return []
    dedupe = f"online:{where.newest}:{where.live.version}:{int(now.timestamp() // ONLINE_AGAIN_S)}"
    with parts.store.begin() as tx:
        job = jobs.enqueue(tx, model=parts.model, kind=ONLINE, dedupe=dedupe, payload={"waiting": waiting}, now=now)
    return [f"{waiting} labels wait for the online learner"] if job is not None else []


def _jobs(parts: Parts, runner: Runner) -> list[str]:
    """Collect the job that ended, begin the next; one at a time, in a child with bounds."""
    told: list[str] = []
    now = parts.clock.now()
    ended = runner.ended()
    if ended is not None:
        told.append(_close(parts, *ended, now=now))
        runner.forget()
    if runner.running() is not None:
        return told
    with parts.store.begin() as tx:
        _ask_for_trial(tx, parts, now)
        _ask_for_pull(tx, parts, now)
        lease_s = parts.settings.train.timeout_s + 60.0
        claimed = jobs.claim(tx, kinds=(TRAIN, TRIAL, PULL, ONLINE), owner=str(os.getpid()), lease_s=lease_s, now=now)
    if claimed is not None:
        runner.start(claimed)
        told.append(f"job {claimed.id} ({claimed.kind}) begins")
    return told


def _close(parts: Parts, job: jobs.Job, result: str, error: str, *, now: datetime) -> str:
    try:
        with parts.store.begin() as tx:
            if not error:
                jobs.finish(tx, job, now=now, result=result)
            elif job.attempts < MOST_ATTEMPTS:
                jobs.fail(tx, job, error=error, now=now, retry_at=now + RETRY_AFTER)
            else:
                jobs.fail(tx, job, error=error, now=now)
                _give_up_trial(tx, parts, job, error)
    except errors.StaleTransition as stale:
        return f"job {job.id} ({job.kind}) was taken over meanwhile: {stale.message}"
    return f"job {job.id} ({job.kind}): {error or result}"


def _give_up_trial(tx: Connection, parts: Parts, job: jobs.Job, error: str) -> None:
    """A version that could not be asked in a server does not wait for ever in the way of others: the check failed."""
    if job.kind != TRIAL:
        return
    version = rows.get(tx, parts.model, int(job.payload["version"]))
    if version.stage is releases.Stage.GATED:
        reason = f"it could not be asked in a real server, {job.attempts} times: {error}"
        failed = Check(name="real_server", question=trial.QUESTION, verdict=Verdict.FAIL, reason=reason)
        candidate.keep_trial(tx, version, failed)


def _hand_back(parts: Parts, runner: Runner) -> None:
    """Queue the job again that ends with this loop, so that the next one need not wait for its lease."""
    ended = runner.ended()
    if ended is None:
        return
    job, result, error = ended
    now = parts.clock.now()
    if not error:
        _close(parts, job, result, error, now=now)
    else:
        with suppress(errors.StaleTransition), parts.store.begin() as tx:
            jobs.fail(tx, job, error=error, now=now, retry_at=now)
    runner.forget()


def _ask_for_trial(tx: Connection, parts: Parts, now: datetime) -> None:
    """Let a version be asked in the real server whose training was killed between the gate and that."""
    version = rows.on_its_way(tx, parts.model)
    if version is None or version.stage is not releases.Stage.GATED or "trial" in version.facts:
        return
    if now - version.since >= TRIAL_AFTER:
        payload = {"version": version.version}
        jobs.enqueue(tx, model=parts.model, kind=TRIAL, dedupe=f"trial:{version.version}", payload=payload, now=now)


def _ask_for_pull(tx: Connection, parts: Parts, now: datetime) -> None:
    """Queue a pull of each source whose time has come; one that was missed is made up for once."""
    for name, source in parts.settings.retrain.sources.items():
        if source.every_minutes is None:
            continue
        number = int(now.timestamp() // (60.0 * source.every_minutes))
        payload = {"source": name}
        dedupe = f"pull:{name}:{number}"
        if jobs.enqueue(tx, model=parts.model, kind=PULL, dedupe=dedupe, payload=payload, now=now) is not None:
            jobs.forget(tx, parts.model, kind=PULL, before=now - PULLS_KEPT)


def _aliases(parts: Parts, _runner: Runner) -> list[str]:
    """Keep MLflow's aliases a projection of the route: moved at each change of it, never in the way of anything.

    MLflow has no compare-and-set, so a loop that was stopped on its way there may point an alias at an older version
    after another loop pointed it at a newer one. The write that follows finds that out, and has all of it told again.
    """
    now = parts.clock.now()
    with parts.store.read() as tx:
        route = routes.current(tx, parts.model)
        kept = states.get(tx, f"aliases:{parts.model}")
    if route is None or (kept is not None and not _aliases_due(kept[0], route, now)):
        return []
    failpoints.reach("aliases.begin")
    why = ""
    try:
        for alias, bundle in (("champion", route.champion), ("challenger", route.challenger)):
            _point(parts, alias, bundle)
    except errors.EnvironmentFault as fault:
        why = fault.message
    failpoints.reach("aliases.told")
    value = {"epoch": route.epoch, "failed": why, "at": now.isoformat() if why else ""}
    try:
        with parts.store.begin() as tx:
            states.put(tx, f"aliases:{parts.model}", value, expected_version=kept[1] if kept else None)
    except errors.StaleTransition:
        _tell_aliases_again(parts)
        raise
    failpoints.reach("aliases.noted")
    return [f"MLflow's aliases were not moved: {why}"] if why else []


def _tell_aliases_again(parts: Parts) -> None:
    """Have the aliases told anew by whoever leads now: this process told them too late. Asks no fence."""
    with parts.store.fenced(_anybody), parts.store.begin() as tx:
        kept = states.get(tx, f"aliases:{parts.model}")
        if kept is not None:
            states.put(tx, f"aliases:{parts.model}", {**kept[0], "epoch": 0}, expected_version=kept[1])


def _anybody(_tx: Connection) -> None:
    """Fence nobody off."""


def _aliases_due(kept: Mapping[str, Any], route: Route, now: datetime) -> bool:
    if kept.get("epoch") != route.epoch:
        return True
    return bool(kept.get("failed")) and abs(now - datetime.fromisoformat(kept["at"])) >= RETRY_AFTER


def _point(parts: Parts, alias: str, bundle: BundleRef | None) -> None:
    """Point an alias at the version that MLflow holds of a bundle; none that it holds, no alias."""
    number = None
    if bundle is not None:
        number = parts.registry.number_of(parts.model, version=bundle.version, digest=bundle.digest)
    if number is not None:
        parts.registry.set_alias(parts.model, alias, number)
    elif alias in parts.registry.aliases(parts.model):
        parts.registry.drop_alias(parts.model, alias)


def _alerts(parts: Parts, _runner: Runner) -> list[str]:
    """Send what is due."""
    return alerting.send(parts)


def _retention(parts: Parts, _runner: Runner) -> list[str]:
    """Delete what [log] says of the journal, but nothing that a step of this loop has still to read."""
    return retention.turn(parts, (ingest.CONSUMER, watching.consumer(parts.model), _rollout_reader(parts.model)))


class NoRunner:
    """Begins nothing: for a single turn by hand."""

    def start(self, job: jobs.Job) -> None:
        """Never called: a job seems to be under way."""

    def running(self) -> int | None:
        """Return a number, so that no job is claimed."""
        return 0

    def ended(self) -> tuple[jobs.Job, str, str] | None:
        """Return nothing."""
        return None

    def forget(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


class ChildRunner:
    """Runs one job at a time: training in a bounded child process, so that its memory and its faults are its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job")
        self._job: jobs.Job | None = None
        self._future: Future[str] | None = None
        self._stop = Flag()

    def start(self, job: jobs.Job) -> None:
        """Begin a claimed job."""
        self._job = job
        self._future = self._pool.submit(self._do, job)

    def running(self) -> int | None:
        """Return the number of the job under way, or None."""
        return self._job.id if self._job is not None else None

    def ended(self) -> tuple[jobs.Job, str, str] | None:
        """Return (job, result, error) of the one that ended, until it is forgotten."""
        if self._job is None or self._future is None or not self._future.done():
            return None
        failure = self._future.exception()
        if failure is not None:
            return self._job, "", f"{type(failure).__name__}: {failure}"
        return self._job, self._future.result(), ""

    def forget(self) -> None:
        """Let go of the job that ended."""
        self._job = self._future = None

    def stop(self) -> None:
        """End a training under way, its child included; a trial is waited for."""
        self._stop.set()
        self._pool.shutdown(wait=True)

    def _do(self, job: jobs.Job) -> str:
        if job.kind == PULL:
            return self._pull(str(job.payload["source"]))
        if job.kind == ONLINE:
            return self._child("learning", "online", "learn", "--batch")
        return self._try(int(job.payload["version"])) if job.kind == TRIAL else self._train(str(job.payload["trigger"]))

    def _pull(self, name: str) -> str:
        taken = take.pull(self._parts, name)
        return f"{name}: {taken.kept} new, {taken.deleted} deleted, {taken.dead} dead letters" + (
            f"; held: {taken.held}" if taken.held else ""
        )

    def _train(self, trigger_name: str) -> str:
        return self._child("training", "train", "--trigger", trigger_name)

    def _child(self, what: str, *command: str) -> str:
        """Run a command of ours on this project in a bounded child; return what it told."""
        train = self._parts.settings.train
        argv = [sys.executable, "-m", "mainstay", *command, "--project", str(self._parts.loaded.file), "--json"]
        done = sandbox.run_bounded(
            argv,
            timeout_s=train.timeout_s,
            memory_mb=max(train.memory_mb, LEAST_ADDRESS_SPACE_MB),
            resident_mb=train.memory_mb,
            environ=self._parts.environ,
            stop=self._stop,
        )
        judged = (errors.ExitCode.DONE, errors.ExitCode.GATE_FAILED, errors.ExitCode.NOT_ENOUGH_EVIDENCE)
        if done.returncode not in judged:
            raise errors.EnvironmentFault(f"{what} ended with exit code {done.returncode}: {done.stderr[-1500:]}")
        return done.stdout[:2000]

    def _try(self, number: int) -> str:
        with self._parts.store.read() as tx:
            version = rows.get(tx, self._parts.model, number)
        check = candidate.try_version(self._parts, version, candidate.sample_of(self._parts, version))
        with self._parts.store.begin() as tx:
            candidate.keep_trial(tx, version, check)
        return check.reason
