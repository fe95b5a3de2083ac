"""The facade: one project, and everything that can be done with it.

Each method opens what it needs and no more: `status` and `config` work without MLflow, the journal or a running
process.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.config import clocks
from mainstay.config import load as config
from mainstay.core import errors, events, releases, verdicts
from mainstay.core.incidents import Severity
from mainstay.core.ports import Clock, Progress, silent

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from mainstay.backtest.records import Report as Backtest
    from mainstay.backup.make import Made
    from mainstay.backup.restore import Restored
    from mainstay.candidate import Delivered
    from mainstay.catalogue.export import Exported as FeastExported
    from mainstay.catalogue.records import Compared as FeaturesCompared
    from mainstay.catalogue.records import Listing as FeatureListing
    from mainstay.config.settings import Settings
    from mainstay.container.context import Context
    from mainstay.core.incidents import Incident, State
    from mainstay.core.silences import Silence
    from mainstay.delivery.entry import Looked
    from mainstay.exploring.estimates import Estimate as Brought
    from mainstay.exploring.show import Shown as Drawings
    from mainstay.goldenset import Frozen as GoldenFrozen
    from mainstay.goldenset import Shown as GoldenShown
    from mainstay.loadtest.records import LoadReport
    from mainstay.loop import TurnReport
    from mainstay.models.explained.records import Explanation
    from mainstay.oncall.alerts import Tried
    from mainstay.oncall.gauges import Gauge
    from mainstay.oncall.incidents import Listed, Precision, Shown
    from mainstay.online.learn import Learned
    from mainstay.online.told import Standing
    from mainstay.parts import Parts
    from mainstay.pulled.take import Taken
    from mainstay.replay import Fed, Replayed
    from mainstay.reproduce import Reproduced
    from mainstay.retraining import Outlook
    from mainstay.review.draws import Drawn
    from mainstay.review.estimates import Estimate
    from mainstay.review.queue import Queue
    from mainstay.running.together import Together
    from mainstay.score.records import Pace, Report
    from mainstay.selftest import Outcome
    from mainstay.serve.keys import Key
    from mainstay.status.check import CheckReport
    from mainstay.status.records import CostReport, Status
    from mainstay.store.alerts import Alert
    from mainstay.store.audit import Entry
    from mainstay.store.marks import Mark
    from mainstay.store.pulled import Letter
    from mainstay.store.reviews import MarkKind
    from mainstay.subjects.erase import Erased
    from mainstay.subjects.export import Exported
    from mainstay.watch.quality_records import QualityReport

MANUAL = "manual"
WEB_FILE = "web.json"
"""In the run folder: process and port of the pages while they are shown."""
ALIVE_WITHIN = timedelta(seconds=30)
"""A process that gave no sign for so long is taken for stopped."""
LOAD_ROWS = 2_000
"""Most different rows of a load test."""
FEEDBACK_AT_ONCE = 1000
"""Items stored in one transaction."""
LOOKED_UP = 20
"""Items of which it is said whether their prediction is known; of a file it would take long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A version and what the gate said about it."""

    name: str
    stage: releases.Stage
    verdict: verdicts.Verdict
    checks: tuple[verdicts.Check, ...]
    metrics: Mapping[str, Any]
    """On the frozen test rows."""
    comparison: Mapping[str, Any] = field(default_factory=dict)
    """The candidates that were compared, and which was taken why; empty where one alone was asked for."""
    tuning: Mapping[str, Any] = field(default_factory=dict)
    """By pipeline: what a search for parameters found."""
    notes: tuple[str, ...] = ()
    """What should be known and stopped nothing."""

    @property
    def passed(self) -> bool:
        """Return whether the gate passed; missing evidence is no pass."""
        return self.verdict is verdicts.Verdict.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting."""

    key: str
    value: Any
    origin: str
    """default, mainstay.toml, the environment variable, or the flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Who answers after a change by hand."""

    answering: str
    """`model@version`."""
    text: str
    """What was done, as a sentence."""
    through: str
    """serve (at once, by its control socket) or store (serving follows when it runs)."""
    missing: int = 0
    """How many more people must agree before anything changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of feedback."""

    counts: Mapping[str, int]
    refused: tuple[errors.Problem, ...] = ()
    unknown: tuple[str, ...] = ()
    """Ids of which the journal holds no prediction yet; looked up for a few items only."""


def version_number(text: str, *, model: str) -> int:
    """Return the number in `3` or `model@3`."""
    name, separator, digits = text.rpartition("@")
    if separator and name != model:
        raise errors.UsageError(
            f"{text!r} is of another model; this project's model is {model!r}",
            remedy=f"Name a version of {model}, or the other project with --project.",
        )
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 2**31):
        raise errors.UsageError(
            f"{text!r} is no version; allowed: a number such as 3, or {model}@3",
            remedy="`mainstay status` lists the versions.",
        )
    return int(digits)


class Project:
    """One project folder."""

    def __init__(self, loaded: config.Loaded, *, environ: Mapping[str, str], flags: Mapping[str, Any]) -> None:
        self.loaded = loaded
        self._environ = environ
        self._flags = flags

    @classmethod
    def open(
        cls, path: str | Path, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
    ) -> Project:
        """Open the project in folder `path` (or whose mainstay.toml it is).

        `environ` is the process's own by default. Raises ProjectFileError with everything that is wrong in the file.
        """
        environ = os.environ if environ is None else environ
        return cls(config.load(Path(path), environ=environ, flags=flags or {}), environ=environ, flags=flags or {})

    @classmethod
    def open_several(
        cls,
        paths: Sequence[str | Path],
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> list[Project]:
        """Open projects that are to run together; `flags` are for the first one, whose port and limits count.

        Raises UsageError when two are the same folder or have models of one name.
        """
        from mainstay.serve import supervisor

        projects = [cls.open(path, environ=environ, flags={} if number else flags) for number, path in enumerate(paths)]
        files = [project.file.resolve() for project in projects]
        if len(set(files)) < len(files):
            twice = next(file for file in files if files.count(file) > 1)
            raise errors.UsageError(f"{twice.parent} is named twice", remedy="Name each project once.")
        supervisor.refuse_same_names([project.name for project in projects])
        return projects

    @classmethod
    def init(cls, folder: str | Path, *, environ: Mapping[str, str] | None = None) -> Project:
        """Write a small project that runs as it is into `folder`, and open it; nothing there is overwritten."""
        from mainstay.starter import example

        example.write(Path(folder))
        return cls.open(folder, environ=environ)

    @property
    def settings(self) -> Settings:
        """Return the settings."""
        return self.loaded.settings

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.settings.project.name

    @property
    def elsewhere(self) -> bool:
        """Return whether a service of its own answers, and this project only watches it."""
        return self.settings.project.elsewhere

    @property
    def file(self) -> Path:
        """Return where mainstay.toml is."""
        return self.loaded.file

    @property
    def run_folder(self) -> Path:
        """Return the folder of what runs: logs, ports, the control socket."""
        return self.loaded.state / "run"

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the environment that settings are read from."""
        return self._environ

    @cached_property
    def clock(self) -> Clock:
        """Return the clock that every process of the project reads."""
        return clocks.clock_from(self._environ)

    @cached_property
    def parts(self) -> Parts:
        """Return the running parts, opened on first use."""
        from mainstay import wiring

        return wiring.assemble(self.file, environ=self._environ, flags=self._flags)

    def config(self) -> list[Setting]:
        """Return every setting with its value and where the value came from."""
        origins = self.loaded.origins
        return [Setting(key=key, value=value, origin=origins[key]) for key, value in self.loaded.values.items()]

    def check(self) -> CheckReport:
        """Look for everything that is wrong with the code, the data and the contract; change nothing."""
        from mainstay.status import check

        return check.check(self.loaded)

    def look_at_data(self, *, progress: Progress = silent) -> Looked:
        """Ask of the data what `mainstay train` asks before it fits anything; change nothing."""
        _must_answer_here(self, "its data are its own")
        from mainstay.delivery import entry

        return entry.look_now(self.loaded, self.parts.snapshots, self.clock.now(), progress=progress)

    def status(self, tx: Connection | None = None) -> Status:
        """Return how the model stands, from the store alone; as an open view of it tells, where one is given."""
        from mainstay.status import read

        if tx is None:
            with self.parts.store.read() as own:
                return self.status(own)
        rate = max(1.0, float(getattr(self.clock, "rate", 1.0)))
        return read.read(
            tx,
            settings=self.settings,
            run=self.run_folder,
            now=self.clock.now(),
            alive_within=ALIVE_WITHIN * rate,
            turned_within=timedelta(seconds=self.settings.watch.heartbeat_s) * rate,
        )

    def quality(
        self,
        *,
        metrics: Sequence[str] = (),
        every: str = "day",
        since: datetime | None = None,
        version: int | None = None,
    ) -> QualityReport:
        """Return how good a version's answers are over time: without labels, with few, and measured.

        `metrics` are names of scikit-learn's scorers, `every` is hour, day, week or month; `version` is by default the
        one that answers. Reads the store and the bundle's profile. Raises NotReady when no version answers.
        """
        from mainstay.models import bundle as bundles
        from mainstay.models import reference
        from mainstay.store import releases as rows
        from mainstay.watch import quality_labelled, quality_report

        with self.parts.store.read() as tx:
            live = rows.live(tx, self.name) if version is None else rows.get(tx, self.name, version)
            if live is None:
                raise errors.NotReady(
                    f"no version of {self.name} answers yet", remedy="mainstay up, or name one with --version."
                )
            held = reference.open_(bundles.open_bundle(self.parts.bundles / live.digest, live.digest))
            known = quality_labelled.Known(
                name=live.name, contract=held.contract, profile=held.profile, signals=held.signals
            )
            return quality_report.report(tx, model=self.name, known=known, every=every, since=since, metrics=metrics)

    def cost(self, *, days: float = 30.0) -> CostReport:
        """Return what each version used and cost in the last `days`, from the store alone."""
        from mainstay.status import cost

        with self.parts.store.read() as tx:
            return cost.read(tx, self.name, self.settings.cost, days=days, now=self.clock.now())

    def trust(self, *, by: str) -> list[str]:
        """Sign with the project's own key every pickle that it carries and every bundle here; return their names.

        Whoever calls this vouches for them: loading one runs its code. Raises NotFound where there is nothing to sign.
        """
        from mainstay.models import carried, own

        bundles = [path.name for path in own.known(self.parts.bundles)]
        with self._audited("code trusted", self.name, by=by, detail={"bundles": [digest[:12] for digest in bundles]}):
            for digest in bundles:
                own.sign(self.parts.state, digest)
            signed = [f"bundle {digest[:12]}" for digest in bundles]
            if signed and not carried.any_in(self.loaded.root):
                return signed
            return [*carried.trust(self.loaded.root), *signed]

    def incidents(self, *, all_: bool = False, limit: int = 100) -> list[Listed]:
        """Return the model's unresolved incidents, or all of them, newest first."""
        from mainstay.oncall import incidents

        return incidents.listed(self.parts, all_=all_, limit=limit)

    def incident(self, number: int, *, inputs: bool = False) -> Shown:
        """Return one incident with what became of it; `inputs`: also what its example requests held."""
        from mainstay.oncall import incidents

        return incidents.shown(self.parts, number, inputs=inputs)

    def move_incident(self, number: int, to: State, *, by: str, note: str = "") -> Incident:
        """Acknowledge, end or reopen an incident by hand; StaleTransition where no way leads there from its state."""
        from mainstay.oncall import incidents

        return incidents.move(self.parts, number, to, by=by, note=note)

    def note_incident(self, number: int, *, by: str, note: str) -> None:
        """Write a note to an incident."""
        from mainstay.oncall import incidents

        incidents.note(self.parts, number, by=by, note=note)

    def mark_incident(self, number: int, *, useful: bool, by: str, note: str = "") -> Mark:
        """Write down whether an incident was useful."""
        from mainstay.oncall import incidents

        return incidents.mark(self.parts, number, useful=useful, by=by, note=note)

    def precision(self) -> list[Precision]:
        """Return of each monitor which share of its marked incidents was useful; the last row is of all."""
        from mainstay.oncall import incidents

        return incidents.precision(self.parts)

    def silence(self, monitor: str, *, until: datetime, reason: str, by: str) -> Silence:
        """Keep a monitor's alerts from everybody until an end."""
        from mainstay.oncall import silences

        return silences.silence(self.parts, monitor, until=until, reason=reason, by=by)

    def end_silence(self, number: int, *, by: str) -> Silence:
        """End a silence now."""
        from mainstay.oncall import silences

        return silences.end(self.parts, number, by=by)

    def silences(self, *, all_: bool = False) -> list[Silence]:
        """Return the silences in force, or all that there ever were."""
        from mainstay.oncall import silences

        return silences.listed(self.parts, all_=all_)

    def alerts(self, *, limit: int = 50) -> list[Alert]:
        """Return the newest alert messages, sent or waiting, addresses without their secrets."""
        from mainstay.oncall import alerts

        return alerts.outbox(self.parts, limit=limit)

    def try_alerts(self) -> list[Tried]:
        """Send a trial message to each address of [[alerts]]; return what became of it."""
        from mainstay.oncall import alerts

        return alerts.tried(self.parts)

    def gauges(self) -> list[Gauge]:
        """Return how the model stands as numbers for Prometheus, from the store alone."""
        from mainstay.oncall import gauges

        return gauges.gauges(self.parts)

    def prometheus_rules(self) -> str:
        """Return what the project alerts on, as a rule file of Prometheus (YAML)."""
        from mainstay.oncall import prometheus

        return prometheus.rules(self.settings)

    def grafana_dashboard(self) -> str:
        """Return a dashboard of the same for Grafana (JSON)."""
        from mainstay.oncall import grafana

        return grafana.dashboard(self.settings)

    def keys(self) -> list[Key]:
        """Return every API key that was made here, also those that are good no more; the keys themselves are nowhere.

        Raises Damaged when the file is broken.
        """
        from mainstay.serve import keys

        return keys.read(self.run_folder)

    def add_key(
        self, name: str, *, scopes: Sequence[str], by: str, rate: float = 0.0, lifetime: timedelta | None = None
    ) -> str:
        """Make an API key and return it: it is shown once and kept nowhere. Workers know it within a second.

        `rate`: most requests a second, 0 for no limit.
        """
        from mainstay.serve import keys

        detail = {"scopes": list(scopes), "rate": rate, "days": None if lifetime is None else lifetime.days}
        now = self.clock.now()
        with self._audited("key added", name, by=by, detail=detail):
            return keys.add(self.run_folder, name, scopes=scopes, rate=rate, lifetime=lifetime, now=now)

    def revoke_key(self, name: str, *, by: str) -> int:
        """Make every key of a name worthless, within a second; return how many were good."""
        from mainstay.serve import keys

        count = keys.revoke(self.run_folder, name, now=self.clock.now())  # first: it must not wait for a store
        try:
            with self._audited("key revoked", name, by=by, detail={"keys": count}):
                return count
        except errors.EnvironmentFault as error:
            raise errors.StoreUnavailable(
                f"{name!r} is revoked, but this could not be written into the audit: {error.message}"
            ) from error

    def rotate_key(self, name: str, *, by: str, grace: timedelta | None = None) -> str:
        """Return a new key in another one's place, which stays good for `grace` more (24 hours by default)."""
        from mainstay.serve import keys

        lasts = keys.GRACE if grace is None else grace
        with self._audited("key rotated", name, by=by, detail={"grace_s": lasts.total_seconds()}):
            return keys.rotate(self.run_folder, name, grace=lasts, now=self.clock.now())

    def closed(self) -> str | None:
        """Return why the server turns everybody away, None where it does not."""
        from mainstay.serve import keys

        return keys.why_closed(self.run_folder, self.settings.serve.host, self._environ)

    def audit(self, *, since: datetime | None = None, limit: int = 1000) -> tuple[list[Entry], list[str]]:
        """Return who did what, newest first, and what is wrong with the chain of entries (nothing, if untouched)."""
        from mainstay.store import audit

        with self.parts.store.read() as tx:
            return audit.list_(tx, since=since, limit=limit), audit.verify_chain(tx)

    @contextmanager
    def _audited(self, what: str, subject: str, *, by: str, detail: Mapping[str, Any]) -> Iterator[None]:
        """Write down who did something beside the store; what cannot be written down is not done."""
        from mainstay.store import audit

        with self.parts.store.begin() as tx:
            audit.append(tx, who=by, what=what, subject=subject, detail=detail, now=self.clock.now())
            yield

    def live_on(self, moment: datetime) -> str:
        """Return which version answered everybody at `moment` (`model@version`), or an empty text if none did."""
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            found = rows.live_on(tx, self.name, moment)
        return found.name if found else ""

    def has_version(self) -> bool:
        """Return whether a version is live or on its way."""
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            return rows.live(tx, self.name) is not None or rows.on_its_way(tx, self.name) is not None

    def train(
        self,
        *,
        pipeline: str | None = None,
        release: bool = True,
        trigger: str = MANUAL,
        by: str = "",
        progress: Progress = silent,
    ) -> Judged:
        """Train a version, register it, let the gate judge it.

        A version that passes goes on its way to users, unless `release` is off. With a `trigger` of the loop and no
        `pipeline`, the pipelines under [retrain] are compared and the best one is trained.
        """
        _must_answer_here(self, "nothing is trained here")
        from mainstay import candidate
        from mainstay.train import sandbox

        sandbox.end_with_parent(self._environ)
        train, retrain = self.settings.train, self.settings.retrain
        if pipeline is not None and pipeline not in train.pipelines:
            near = next(iter(difflib.get_close_matches(pipeline, train.pipelines, n=1)), None)
            hint = f"; did you mean {near!r}?" if near else ""
            raise errors.UsageError(
                f"there is no pipeline {pipeline!r}; [train.pipelines] declares {list(train.pipelines)}{hint}",
                remedy="Name one of them, or declare it under [train.pipelines].",
            )
        if retrain.online and trigger != MANUAL and pipeline is None:
            from mainstay import retraining

            return _told(retraining.offered(self.parts, by=by, trigger=trigger, release=release, progress=progress))
        delivered = candidate.deliver_candidate(
            self.parts,
            pipeline=pipeline,
            pipelines=() if trigger == MANUAL else retrain.pipelines,
            trigger=trigger,
            release=release,
            by=by,
            progress=progress,
        )
        return _told(delivered)

    def online_learn(self, *, batch: bool = False, again: bool = False) -> Learned:
        """Have the learner take what waits; `batch`: if it makes one, `again`: with what was set aside."""
        _must_answer_here(self, "nothing is learned here")
        from mainstay.online import learn
        from mainstay.train import sandbox

        sandbox.end_with_parent(self._environ)
        return learn.batch(self.parts, least=self.settings.retrain.online_batch if batch else 1, again=again)

    def online(self) -> Standing:
        """Return where the online learner stands, and how it does."""
        from mainstay.online import told

        return told.standing(self.parts)

    def pull(self, source: str = "", *, replay: bool = False, anyway: str = "") -> list[Taken]:
        """Take what is new in a declared source, or in all; `replay`: dead letters; `anyway`: why, checks or not."""
        from mainstay.pulled import take

        names = [source] if source else list(self.settings.retrain.sources)
        return [(take.replay if replay else take.pull)(self.parts, name, anyway=anyway) for name in names]

    def dead_letters(self, source: str = "") -> list[Letter]:
        """Return the pulled records that could not be used, newest first."""
        from mainstay.store import pulled

        with self.parts.store.read() as tx:
            return pulled.letters(tx, self.name, source=source)

    def review_draw(self, count: int, *, by: str, random_share: float = 0.5) -> Drawn:
        """Pick requests to be labelled, each with a known chance."""
        from mainstay.review import draws

        return draws.draw(self.parts, count, by=by, random_share=random_share)

    def review_queue(self, *, by: str = "", first: str = "", limit: int = 20) -> Queue:
        """Return picked requests that wait for a label, or about which people disagree; `by`: as for that person."""
        from mainstay.review import queue

        return queue.look(self.parts, by=by, first=first, limit=limit)

    def review_label(self, id_: str, value: Any, *, by: str) -> Told:
        """Label one request, whether it was picked or not; ContractViolation for what is no label of the contract."""
        told = self.feedback([{"id": id_, "label": value, "at": self.clock.now().isoformat()}], by=by)
        if told.refused:
            raise errors.ContractViolation(f"the label for {id_} was refused", problems=told.refused)
        return told

    def review_mark(self, id_: str, kind: MarkKind, *, by: str) -> None:
        """Write down that somebody is not sure of a picked request, or puts it off."""
        from mainstay.review import queue

        queue.mark(self.parts, id_, kind, by=by)

    def review_undo(self, id_: str, *, by: str) -> str:
        """Take back what somebody said last of a request; return what it was."""
        from mainstay.review import queue

        return queue.undo(self.parts, id_, by=by)

    def review_estimate(self, version: str = "") -> Estimate:
        """Return what the labels of picked requests say of all traffic."""
        from mainstay.review import estimates

        return estimates.estimate(self.parts, version)

    def explored(self, *, since: datetime | None = None) -> Drawings:
        """Return how the project explores and what was drawn; `since`: by default of seven days."""
        from mainstay.exploring import show
        from mainstay.serve import explorer

        return show.show(self.parts, explorer.rule_of(self.settings), since=since)

    def explore_estimate(
        self, *, version: int, reward: str, against: int | None = None, since: datetime | None = None
    ) -> Brought:
        """Return what a version would bring of a reward, from answers that were given with known chances."""
        from mainstay.exploring import estimates

        return estimates.estimate(self.parts, reward=reward, version=version, against=against, since=since)

    def retrain_outlook(self) -> Outlook:
        """Return what asks for a retraining now and what its guards say."""
        from mainstay import retraining

        return retraining.outlook(self.parts)

    def retrain(
        self, *, by: str, anyway: str = "", as_of: datetime | None = None, progress: Progress = silent
    ) -> Judged:
        """Train a version as the loop would; `anyway` is why its guards are passed over."""
        _must_answer_here(self, "nothing is trained here")
        from mainstay import retraining

        return _told(retraining.by_hand(self.parts, by=by, anyway=anyway, as_of=as_of, progress=progress))

    def gate(self, version: int, *, again: bool = False) -> Judged:
        """Return what the gate found about a version; `again`: what it finds now, without changing anything."""
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            release = rows.get(tx, self.name, version)
        if again:
            from mainstay import candidate

            return judged(release, candidate.judge(self.parts, release).as_dict())
        report = release.facts.get("gate")
        if not report:
            raise errors.NotEnoughEvidence(
                f"{release.name} was never judged: it stands at {release.stage.value}",
                remedy=f"mainstay gate {version} --again",
            )
        return judged(release, report)

    def features(self) -> FeatureListing:
        """Return every declared feature with owner, cost and use; see `mainstay.catalogue`."""
        from mainstay.catalogue import listing

        return listing.listing(self.parts)

    def compare_features(self, *, rows: int = 500) -> FeaturesCompared:
        """Hold the newest served rows beside what training would make of them."""
        from mainstay.catalogue import compare

        return compare.compare(self.parts, rows=rows)

    def export_feast(self, folder: str | Path) -> FeastExported:
        """Write the declared features of the training rows as a Feast repository into `folder`."""
        from mainstay.catalogue import export

        return export.export(self.loaded, Path(folder))

    def golden(self) -> GoldenShown:
        """Return the frozen golden set, and which rows it keeps out of training; see `mainstay.goldenset`."""
        from mainstay import goldenset

        return goldenset.show(self.parts)

    def freeze_golden(self, *, reason: str, by: str) -> GoldenFrozen:
        """Freeze the golden rows as they are declared now; the audit keeps who did and why."""
        _must_say_why(reason)
        from mainstay import goldenset

        return goldenset.freeze(self.parts, by=by, reason=reason)

    def self_test(self, version: int | None = None) -> list[Outcome]:
        """Return what the gate says to candidates known to be bad, made of a version (by default the newest)."""
        from mainstay import candidate
        from mainstay.store import releases as rows

        number = self.newest() if version is None else version
        with self.parts.store.read() as tx:
            release = rows.get(tx, self.name, number)
        return candidate.self_test(self.parts, release)

    def newest(self) -> int:
        """Return the number of the newest version; raises NotReady when there is none."""
        from mainstay.container import choice
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            return choice.newest(rows.all_of(tx, self.name), self.name).version

    def package(
        self,
        version: int | None = None,
        *,
        out: str | Path | None = None,
        wheel: str | Path | None = None,
        force: bool = False,
        progress: Progress = silent,
    ) -> Context:
        """Write the build context of a container that serves a version; by default the one that answers.

        `out` is by default build/container in the project. `wheel` is Mainstay's own, else one is made of what is
        installed. `force`: also a version whose gate did not pass. The packaged server is tried before.
        """
        from mainstay import candidate
        from mainstay.container import choice, context
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            known = rows.all_of(tx, self.name)
            found = choice.answering(known, self.name) if version is None else rows.get(tx, self.name, version)
        found = choice.packable(found, force=force)
        try:
            sample = candidate.sample_of(self.parts, found)
        except errors.MainstayError:  # the snapshot may be elsewhere: then a made-up row is asked
            sample = []
        return context.write_context(
            self.parts,
            found,
            out=Path(out) if out is not None else self.loaded.root / "build" / "container",
            rows=sample,
            own_wheel=Path(wheel) if wheel is not None else None,
            progress=progress,
        )

    def promote(self, version: int, *, reason: str, by: str, force: bool = False, evidence: str = "") -> Changed:
        """Let a version answer everybody now; `reason` is a sentence for the release's history.

        `evidence` is the digest of what is approved, where [rollout] approval asks for it (`mainstay rollout show`).
        """
        _must_answer_here(self, "no version of it can be promoted")
        _must_say_why(reason)
        from mainstay import rollouts
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            self._must_be_the_registered_one(rows.get(tx, self.name, version))
        before, done = rollouts.promote(self.parts, version, by=by, reason=reason, force=force, evidence=evidence)
        text = f"{done.name} answers already; nothing changed" if before.stage in releases.LIVE else done.text
        return Changed(answering=done.name, text=done.text if evidence else text, through="store", missing=done.missing)

    def _must_be_the_registered_one(self, release: releases.Release) -> None:
        """Raise Damaged where MLflow's version, or the bundle on disk, is another artefact than the release.

        MLflow is a projection: that it is away, or never had this version, keeps nobody from promoting it.
        """
        self.parts.verify_bundle(release.digest)
        try:
            tagged = self.parts.registry.digest_of(self.name, release.version)
        except errors.EnvironmentFault:
            return
        if tagged is not None and tagged != release.digest:
            raise errors.Damaged(
                f"MLflow's version of {release.name} carries the digest {tagged[:12] or '(none)'}, its release "
                f"{release.digest[:12]}",
                remedy="Find out who changed the tag mainstay.digest and set it back, or promote another version.",
            )

    def rollback(self, *, reason: str, by: str, to: int | None = None) -> Changed:
        """Return to the version that answered before, or to version `to`, which must have answered once.

        The serving process is asked first: there it holds at once, and the store follows.
        """
        _must_answer_here(self, "there is nothing to roll back")
        _must_say_why(reason)
        from mainstay.serve import control

        if to is None and control.running(self.run_folder) is not None:
            message = {"do": "rollback", "model": self.name, "by": by, "reason": reason}
            route = control.ask(self.run_folder, message)["route"]
            name = f"{self.name}@{route['champion']['version']}"
            return Changed(answering=name, text=f"{name} answers: {reason}", through="serve")
        return self._rollback_in_store(to, reason=reason, by=by)

    def _rollback_in_store(self, to: int | None, *, reason: str, by: str) -> Changed:
        from mainstay.release import manual
        from mainstay.store import releases as rows

        now = self.clock.now()
        with self.parts.store.begin() as tx:
            target = None if to is None else _may_return(rows.get(tx, self.name, to))
            left: list[str] = []
            for _ in range(2):  # to a version named: first the challenger leaves, if there is one, then the champion
                live, other = rows.live(tx, self.name), rows.on_its_way(tx, self.name)
                arrived = target is not None and other is None and live is not None and live.version == target.version
                if arrived or (target is None and left):
                    break
                left.append(manual.rollback(tx, model=self.name, by=by, reason=reason, now=now).name)
            live = rows.live(tx, self.name)
            if target is not None and (live is None or live.version != target.version):
                live = manual.promote(tx, model=self.name, version=target.version, by=by, reason=reason, now=now)
        name = live.name if live is not None else "nobody"
        text = f"{name} answers; rolled back: {', '.join(left)}" if left else f"{name} answers already; nothing changed"
        return Changed(answering=name, text=text, through="store")

    def score(
        self,
        source: str | Path,
        target: str | Path,
        *,
        version: int | None = None,
        id_column: str | None = None,
        bad: str | Path | None = None,
        ignore: Sequence[str] = (),
        watch: bool | None = None,
        fresh: bool = False,
        force: bool = False,
        tell: Callable[[Pace], None] = lambda _: None,
    ) -> Report:
        """Answer every row of a file into another one; a call that was killed is gone on with by the same call.

        `watch`: whether the rows are written into the journal; None: when the version is the one that answers now.
        """
        from mainstay.score import entry

        options = entry.options_of(source, target, bad=bad, id_column=id_column, ignore=ignore, fresh=fresh)
        parts = self.parts
        answerer = entry.answerer_of(parts.store, parts.open_model, self.name, parts.state, version, force=force)
        segment_mb = self.settings.log.segment_mb
        return entry.score(
            options, answerer, state=parts.state, segment_mb=segment_mb, clock=self.clock, watch=watch, tell=tell
        )

    def feedback(self, items: Sequence[Mapping[str, Any]], *, by: str = "", progress: Progress = silent) -> Told:
        """Keep labels: each item has `id` and `label`, and may have `at`, `feedback_id`, `by` and `name`.

        Items are independent: a refused one does not keep the others out. The loop joins them with their predictions.
        """
        from mainstay import labels
        from mainstay.store import feedback as rows
        from mainstay.watch import feeds

        now = self.clock.now()
        counts = {status.value: 0 for status in (events.FeedbackStatus.STORED, events.FeedbackStatus.DUPLICATE)}
        refused: list[errors.Problem] = []
        for start in range(0, len(items), FEEDBACK_AT_ONCE):
            progress("storing", start, len(items))
            before = counts[events.FeedbackStatus.STORED.value]
            with self.parts.store.begin() as tx:
                for number, item in enumerate(items[start : start + FEEDBACK_AT_ONCE], start=start):
                    found = labels.labelled(item, self.loaded.contract, by=by, now=now)
                    if isinstance(found, errors.Problem):
                        refused.append(dataclasses.replace(found, row=number))
                        continue
                    status = rows.put(tx, self.name, found, received_at=now)
                    if status is events.FeedbackStatus.REFUSED and "feedback_id" not in item:
                        # Its id is made from its content: the same came before, and only `at` was filled in anew.
                        status = events.FeedbackStatus.DUPLICATE
                    if status is events.FeedbackStatus.REFUSED:
                        what = "this feedback_id stands for another item"
                        refused.append(
                            errors.Problem(where="feedback_id", what=what, value=found.feedback_id, row=number)
                        )
                        continue
                    counts[status.value] += 1
                feeds.count_labels(tx, self.name, [now] * (counts[events.FeedbackStatus.STORED.value] - before))
        looked_up = [str(item.get("id", "")) for item in items] if len(items) <= LOOKED_UP else []
        unknown = tuple(dict.fromkeys(id_ for id_ in looked_up if id_ and self.parts.journal.find(id_) is None))
        return Told(counts=counts | {"refused": len(refused)}, refused=tuple(refused), unknown=unknown)

    def backup(
        self,
        dest: str | Path,
        *,
        by: str,
        with_store: bool = True,
        subject_keys: bool = False,
        progress: Progress = silent,
    ) -> Made:
        """Copy the state into a new folder, while everything runs; what was acknowledged before is in the copy.

        `with_store`: off, a store in PostgreSQL is left out. `subject_keys`: also the keys of encrypted values; with
        them in a backup, an erasure must be brought to the backup too.
        """
        from mainstay.backup import make

        return make.make(
            self.parts, Path(dest), by=by, with_store=with_store, subject_keys=subject_keys, progress=progress
        )

    @classmethod
    def restore(
        cls,
        source: str | Path,
        folder: str | Path,
        *,
        by: str,
        force: bool = False,
        environ: Mapping[str, str] | None = None,
        progress: Progress = silent,
    ) -> Restored:
        """Put a backup back into the project in `folder`, while nothing of it runs.

        `force`: also in the place of a state, which is moved aside. Nothing is written before every digest held.
        """
        from mainstay.backup import restore

        environ = os.environ if environ is None else environ
        clock = clocks.clock_from(environ)
        return restore.restore(
            Path(source), Path(folder), by=by, force=force, environ=environ, clock=clock, progress=progress
        )

    def replay(self, id_: str) -> Replayed:
        """Compute a journalled answer again, from its bundle and its inputs, and hold it beside the record.

        Raises NotFound for an unknown id, and NotEnoughEvidence, naming the fields, where the record does not hold what
        the model needs.
        """
        from mainstay import replay

        return replay.replay(self.parts, id_)

    def features_seen(self, id_: str) -> Fed:
        """Return what the model was handed of a journalled prediction; raises what `explain` raises."""
        from mainstay import replay

        return replay.features(self.parts, id_)

    def reproduce(
        self, version: int, *, tolerance: float = 1e-6, by: str = "", progress: Progress = silent
    ) -> Reproduced:
        """Train a version again from its lineage, and hold it beside its bundle; writes down that `by` did.

        Raises Refused for a version that was adopted, NotFound or Damaged where what it was made of is gone or changed.
        """
        from mainstay import reproduce
        from mainstay.store import audit
        from mainstay.store import releases as rows

        with self.parts.store.read() as tx:
            release = rows.get(tx, self.name, version)
        found = reproduce.reproduce(self.parts, release, tolerance=tolerance, progress=progress)
        told = {"identical": found.identical, "holds": found.holds, "rows": found.rows}
        with self.parts.store.begin() as tx:
            audit.append(tx, who=by, what="reproduce", subject=release.name, detail=told, now=self.clock.now())
        return found

    def explain(self, id_: str, *, label: Any = None, top: int = 10, seconds: float = 1.0) -> Explanation:
        """Say why a journalled prediction is as it is: what each field and word adds to it.

        Exact for compiled linear models and forests; for others an estimate with its standard error, which takes at
        most `seconds`. Raises NotFound for an unknown id, and NotEnoughEvidence, naming the fields, where the record
        does not hold what the model needs.
        """
        from mainstay import replay

        return replay.explain(self.parts, id_, label=label, top=top, budget_s=seconds)

    def erase(self, key: str, *, by: str, reason: str = "") -> Erased:
        """Destroy the key of a subject: what was encrypted in its records is unreadable from now on, in every copy.

        The subject is what the key field ([data] key) says. Returns what was destroyed and what still holds something.
        """
        from mainstay.subjects import erase

        return erase.erase(self.parts, key, by=by, reason=reason)

    def export(self, key: str, out: str | Path, *, by: str) -> Exported:
        """Write every record of a subject into a file, opened, one JSON object on each line; the audit says by whom."""
        from mainstay.subjects import export

        found = export.export(self.parts, key, Path(out))
        with self._audited("subject exported", found.subject, by=by, detail=dict(found.records)):
            return found

    def serve(self, on_bound: Callable[[str], None] | None = None, *, beside: Sequence[Project] = ()) -> None:
        """Answer requests until SIGTERM or Ctrl-C; `on_bound` is told the address once the port is taken.

        `beside`: other projects that the same server answers for, on this one's port. Of a project that answers
        elsewhere only events and feedback are taken.
        """
        from mainstay import wiring

        supervisor = wiring.supervisor([self.parts, *(project.parts for project in beside)])
        if on_bound is not None:
            on_bound(_address(self.settings.serve.host, supervisor.port))
        supervisor.run()

    def up(self, *, beside: Sequence[Project] = (), progress: Progress = silent) -> Together:
        """Run serve, loop and web, training a first version if there is none; use it in `with`, which stops them.

        `beside`: other projects that the same server answers for, each with a loop of its own.

        >>> with Project.open("pumps").up() as running:  # doctest: +SKIP
        ...     print(running.predict_url, running.pages_url)

        Inside, a model answers: entering waits for it. Raises GateFailed when a first version does not pass.
        """
        from mainstay.running import together

        projects = (self, *beside)
        together.refuse_what_is_taken(*projects)
        for one in projects:
            if not one.elsewhere and not one.has_version() and not one.train(progress=progress).passed:
                raise errors.GateFailed(f"the gate did not pass {one.name}'s first version: there is nothing to serve")
        return together.Together(*projects, wait=True, progress=progress)

    def learn(self, *, reason: str, by: str, rows: int | None = None) -> str:
        """Compare a service's traffic with its newest requests from now on; return what was done, as a sentence."""
        _must_say_why(reason)
        if not self.elsewhere:
            raise errors.UsageError(
                f"{self.name} is trained here: its reference belongs to each version",
                remedy="Train a version, or set [watch] reference.",
            )
        from mainstay.attach import learn
        from mainstay.watch import turn as watching

        count = rows or self.settings.attach.learn_requests
        watch = watching.consumer(self.name)
        return learn.again(self.parts, count, self.clock.now(), watch=watch, by=by, reason=reason)

    def backtest(
        self,
        *,
        known: Any = None,
        least: Severity = Severity.NOTE,
        since: datetime | None = None,
        until: datetime | None = None,
        every: timedelta | str | None = None,
        settings: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> Backtest:
        """Replay what the journal holds through the watch, in memory: what would have been told, when, was it right?

        `known`: events that are known to have happened (a file or frame with start, end, name); `settings`: those of
        the watch that this project was opened with to try them (`Project.open(…, flags=settings)`).
        """
        from mainstay.backtest import entry

        return entry.of_journal(
            self.parts,
            known=known,
            least=least,
            since=since,
            until=until,
            every=every,
            settings=settings,
            progress=progress,
        )

    def turn(self) -> TurnReport:
        """Do one turn of the loop."""
        from mainstay import loop

        return loop.turn(self.parts)

    def loop(self, *, stop: threading.Event) -> None:
        """Turn the loop until `stop` is set."""
        from mainstay import loop

        loop.run(self.parts, stop=stop)

    def addresses(self) -> tuple[str, str]:
        """Return the addresses of serving and of the pages, as running now or else as declared."""
        from mainstay.serve import control

        serve, web = self.settings.serve, self.settings.web
        told = control.running(self.run_folder) or {}
        pages = control.told(self.run_folder / WEB_FILE) or {}
        return (
            _address(str(told.get("host", serve.host)), int(told.get("port", serve.port))),
            _address(web.host, int(pages.get("port", web.port))),
        )

    def ready(self) -> bool:
        """Return whether every serving worker has a model."""
        from mainstay.serve import control

        told = control.running(self.run_folder)
        return bool(told and told.get("ready"))

    def server(self) -> Mapping[str, Any] | None:
        """Return what the server of this project says about itself; None when none answers on its control socket."""
        from mainstay.serve import control

        told = control.running(self.run_folder)
        try:
            return told and {**told, **control.ask(self.run_folder, {"do": "status"})}
        except errors.EnvironmentFault:
            return None

    def load_failures(self) -> tuple[str, ...]:
        """Return why serving workers could not load a version; empty when all could."""
        from mainstay.serve import control

        workers = (control.running(self.run_folder) or {}).get("workers", ())
        return tuple(dict.fromkeys(why for worker in workers for why in (worker.get("failed") or {}).values()))

    def load_test(
        self,
        *,
        url: str | None = None,
        rate: float | None = None,
        seconds: float = 4.0,
        connections: Sequence[int] = (1, 8, 32, 128),
        body: Path | None = None,
        key: str | None = None,
        elsewhere_too: bool = False,
        progress: Progress = silent,
    ) -> LoadReport:
        """Load the project's running server (or `url`) with its own rows (or the request in `body`).

        What watch, rollout and error budget count leaves these requests out. Raises UsageError for another machine
        unless `elsewhere_too`, EnvironmentFault where nothing answers.
        """
        from mainstay.loadtest import run
        from mainstay.loadtest.records import Objective
        from mainstay.status import example

        _must_answer_here(self, "there is nothing to load here")
        if body is None:
            bodies = [json.dumps(one).encode() for one in example.requests(self.loaded, most=LOAD_ROWS)]
        else:
            bodies = [_read_body(body)]
        slo, plain = self.settings.serve.slo, Objective()
        objective = Objective(
            availability=slo.availability or plain.availability,
            latency_ms=slo.latency_ms or plain.latency_ms,
            latency_share=slo.latency_share,
        )
        return run.run(
            url or self.addresses()[0],
            model=self.name,
            bodies=bodies,
            objective=objective,
            seconds=seconds,
            connections=connections,
            rate=rate,
            headers=[("authorization", f"Bearer {key}")] if key else [],
            elsewhere_too=elsewhere_too,
            progress=progress,
        )

    def example_request(self) -> dict[str, Any]:
        """Return a request body made of the first good row of the test or training data."""
        from mainstay.status import example

        return example.request(self.loaded)


def _told(delivered: Delivered) -> Judged:
    found = judged(delivered.release, delivered.gate_report.as_dict())
    return dataclasses.replace(found, notes=(*filter(None, [delivered.choice]), *delivered.warnings))


def judged(release: releases.Release, report: Mapping[str, Any]) -> Judged:
    """Return a version with a gate report as the store keeps it."""
    return Judged(
        name=release.name,
        stage=release.stage,
        verdict=verdicts.Verdict(report["verdict"]),
        checks=tuple(
            verdicts.Check(**{**check, "verdict": verdicts.Verdict(check["verdict"])}) for check in report["checks"]
        ),
        metrics=release.facts.get("metrics") or {},
        comparison=release.facts.get("comparison") or {},
        tuning=release.facts.get("tuning") or {},
    )


def _must_say_why(reason: str) -> None:
    if not reason.strip():
        raise errors.UsageError(
            f"the reason is empty: {reason!r}; allowed: a sentence that a colleague understands in a year",
            remedy='Say why: --reason "complaints about version 4".',
        )


def _read_body(file: Path) -> bytes:
    try:
        return json.dumps(json.loads(file.read_bytes())).encode()
    except (OSError, ValueError) as error:
        raise errors.UsageError(f"{file} holds no request: {error}") from error


def _must_answer_here(project: Project, what: str) -> None:
    if project.elsewhere:
        raise errors.UsageError(
            f'{project.name} answers elsewhere ([project] answers = "elsewhere"), so {what}',
            remedy="`mainstay up` (or `mainstay loop`) watches it. To train and serve here, give [train.pipelines] and "
            'set answers = "here".',
        )


def _may_return(release: releases.Release) -> releases.Release:
    """Return a version that may answer again without being judged anew."""
    if release.stage not in releases.LIVE | {releases.Stage.RETIRED}:
        raise errors.UsageError(
            f"{release.name} is {release.stage.value}; only one that answers or was retired can be returned to",
            remedy=f'mainstay promote {release.version} --reason "…", if it is meant to go live.',
        )
    return release


def _address(host: str, port: int) -> str:
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{named}:{port}"
