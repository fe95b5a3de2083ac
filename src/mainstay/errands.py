"""Long work beside the loop's turns: a training, a batch learned online, a pull of fresh rows, a version tried out.

One at a time. A job is claimed under a lease in the store and closed by whoever claimed it; the loop only begins it and
collects what came of it, so that a turn never waits.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event as Flag
from typing import TYPE_CHECKING, Protocol

from mainstay import candidate
from mainstay.core import errors, releases
from mainstay.core.verdicts import Check, Verdict
from mainstay.online import look
from mainstay.pulled import take
from mainstay.serve import trial
from mainstay.store import jobs
from mainstay.store import releases as rows
from mainstay.train import sandbox

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.parts import Parts

TRAIN, TRIAL, PULL, ONLINE = "train", "trial", "pull", look.KIND
"""Kinds of jobs."""
PULLS_KEPT = timedelta(days=7)
"""How long a pull that ended is kept: one comes every few minutes, for ever."""
MOST_ATTEMPTS = 3
RETRY_AFTER = timedelta(minutes=5)
LEAST_ADDRESS_SPACE_MB = 8_000
"""Libraries map far more address space than they use; a smaller bound stops training at its imports."""
TRIAL_AFTER = timedelta(minutes=1)
"""A version waits so long for the trial that belongs to its training; then the loop does it."""


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


def turn(parts: Parts, runner: Runner) -> list[str]:
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


def hand_back(parts: Parts, runner: Runner) -> None:
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
