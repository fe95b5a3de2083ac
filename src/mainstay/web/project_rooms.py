"""A project as what pages need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from mainstay import rollouts
from mainstay.core import errors
from mainstay.core.incidents import State
from mainstay.core.profiles import Profile
from mainstay.modelcard import make
from mainstay.scorecard import make as scoring
from mainstay.store import audit
from mainstay.viewing import axis, datasets, deliveries, load, predictions, profiles, pulse, rollout, versions
from mainstay.viewing.axis import Axis
from mainstay.viewing.datasets import Data
from mainstay.viewing.deliveries import Delivered
from mainstay.viewing.load import Load
from mainstay.viewing.predictions import Asked, Found, One
from mainstay.viewing.rollout import Way
from mainstay.viewing.versions import Compared, Version
from mainstay.web import asking
from mainstay.web.drilling import Drill, Drills, Played
from mainstay.web.rooms import Room

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.core.contracts import Contract
    from mainstay.core.verdicts import Check
    from mainstay.modelcard.records import ModelCard
    from mainstay.models.explained.records import Explanation
    from mainstay.oncall.gauges import Gauge
    from mainstay.oncall.incidents import Listed, Precision, Shown
    from mainstay.project import Project, Setting
    from mainstay.replay import Fed, Replayed
    from mainstay.review.estimates import Estimate
    from mainstay.review.queue import Queue
    from mainstay.scorecard.records import Scorecard
    from mainstay.serve.keys import Key
    from mainstay.status.records import Status
    from mainstay.store.audit import Entry
    from mainstay.store.release_events import ReleaseEvent
    from mainstay.store.reviews import MarkKind
    from mainstay.watch.quality_records import QualityReport

T = TypeVar("T")
KEPT_S = 30.0
"""How long a status is told again while nothing happened."""
MOST_ENTRIES = 500
"""Of the audit."""
MOST_PROFILES = 32
"""References that are kept in memory, of the versions looked at last."""


class ProjectRoom:
    """A project as a room. Thread-safe as far as the project is."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._drills = Drills(project.run_folder, project.environ)
        self._kept: tuple[str, float, Status, Load] | None = None
        self._profiles: dict[str, Profile | None] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.project.name

    def now(self) -> datetime:
        """Return the project's time."""
        return self.project.clock.now()

    def pulse(self) -> str:
        """Return a text that changes when something happened that pages tell."""
        return f"{self._read(lambda tx: pulse.read(tx, self.name, self.now()))} {self._drills.beat()}"

    def status(self) -> Status:
        """Return how the model stands; as it was told last where nothing happened since and that is not long ago."""
        return self.told()[0]

    def told(self) -> tuple[Status, Load]:
        """Return how the model stands and what came in the last day, of one view of the store."""
        return self._read(self._told)

    def _told(self, tx: Connection) -> tuple[Status, Load]:
        beat, now = pulse.read(tx, self.name, self.now()), time.monotonic()
        kept = self._kept
        if kept is None or kept[0] != beat or now - kept[1] > KEPT_S:
            kept = self._kept = (beat, now, self.project.status(tx), load.read(tx, self.name, self.now()))
        return kept[2], kept[3]

    def gauges(self) -> Sequence[Gauge]:
        """Return the numbers for Prometheus."""
        return self.project.gauges()

    def axis(self, begin: datetime | None, end: datetime | None) -> Axis:
        """Return everything over a stretch of time."""
        now = self.now()

        def read(tx: Any) -> Axis:
            start = begin or axis.default_begin(tx, self.name, now)
            return axis.read(
                tx, self.name, start, end or now, profile_of=self._profile, classes=self.project.loaded.contract.classes
            )

        return self._read(read)

    def incidents(self, *, all_: bool) -> Sequence[Listed]:
        """Return unresolved incidents or all, newest first."""
        return self.project.incidents(all_=all_)

    def precision(self) -> Sequence[Precision]:
        """Return which share of each monitor's marked incidents was useful."""
        return self.project.precision()

    def incident(self, number: int) -> Shown:
        """Return one incident with its examples' inputs."""
        return self.project.incident(number, inputs=True)

    def move_incident(self, number: int, to: State, *, by: str, note: str) -> object:
        """Move an incident."""
        return self.project.move_incident(number, to, by=by, note=note)

    def note_incident(self, number: int, *, by: str, note: str) -> None:
        """Write a note to an incident."""
        self.project.note_incident(number, by=by, note=note)

    def mark_incident(self, number: int, *, useful: bool, by: str, note: str) -> object:
        """Write down whether an incident was useful."""
        return self.project.mark_incident(number, useful=useful, by=by, note=note)

    def rollout(self, checks: Sequence[Check], champion: str) -> Way:
        """Return the rollout that turns now, beside its guards as judged."""
        return self._read(lambda tx: rollout.read(tx, self.name, self.project.settings, checks, champion))

    def history(self) -> Sequence[ReleaseEvent]:
        """Return the newest moves of all versions, newest first."""
        return self._read(lambda tx: versions.history(tx, self.name))

    def version(self, number: int) -> Version:
        """Return one version."""
        return self._read(lambda tx: versions.read(tx, self.name, number))

    def compared(self, one: int, other: int) -> Compared:
        """Return two versions."""
        return self._read(lambda tx: versions.compare(tx, self.name, one, other))

    def card(self, number: int) -> ModelCard:
        """Return a version's model card."""
        return make.model_card(self.project, number)

    def scorecard(self) -> Scorecard:
        """Return how ready the model is for production, by evidence."""
        return scoring.scorecard(self.project)

    def mlflow(self) -> str:
        """Return where MLflow's own pages are, where its registry is a server."""
        url = str(self.project.settings.registry.url)
        return url.rstrip("/") if url.startswith(("http://", "https://")) else ""

    def evidence(self) -> str:
        """Return the digest of what the loop thinks of the version on its way."""
        return rollouts.show(self.project.parts).evidence

    def promote(self, version: int, *, reason: str, by: str, evidence: str) -> object:
        """Let a version answer everybody now, or agree to it."""
        agreed = evidence if self.project.settings.rollout.approval == "two" else ""
        return self.project.promote(version, reason=reason, by=by, evidence=agreed)

    def hold(self, *, reason: str, by: str) -> object:
        """Let the version on its way answer nobody until it is resumed."""
        return rollouts.pause(self.project.parts, by=by, reason=reason)

    def resume(self, *, reason: str, by: str, evidence: str) -> object:
        """Let a held version go on, or agree to it."""
        return rollouts.resume(self.project.parts, by=by, reason=reason, evidence=evidence)

    def abort(self, *, reason: str, by: str) -> object:
        """Take the version that is on its way out; the champion answers everybody."""
        return rollouts.abort(self.project.parts, by=by, reason=reason)

    def rollback(self, *, reason: str, by: str, to: int | None = None) -> object:
        """Return to the version before, or to one that answered once."""
        return self.project.rollback(reason=reason, by=by, to=to)

    def search(self, asked: Asked) -> Found:
        """Return the newest records of a stretch of time."""
        return predictions.search(self.project.parts, asked)

    def prediction(self, id_: str) -> One:
        """Return one prediction; NotFound where there is none."""
        return predictions.one(self.project.parts, id_)

    def features(self, id_: str) -> Fed:
        """Return what the model was handed of a request."""
        return asking.ask(lambda: self.project.features_seen(id_))

    def explain(self, id_: str) -> Explanation:
        """Return why an answer is as it is."""
        return asking.ask(lambda: self.project.explain(id_, top=20))

    def replay(self, id_: str) -> Replayed:
        """Return an answer computed again beside the record."""
        return asking.ask(lambda: self.project.replay(id_))

    def review(self, *, by: str, first: str) -> Queue:
        """Return the next request that waits for a person's label; `first`: that one, if it waits."""
        return self.project.review_queue(by=by, first=first, limit=1)

    def review_estimate(self) -> Estimate:
        """Return what the labels of picked requests say of all traffic."""
        return self.project.review_estimate()

    def review_draw(self, count: int, *, by: str) -> object:
        """Pick requests to be labelled."""
        return self.project.review_draw(count, by=by)

    def review_mark(self, id_: str, kind: MarkKind, *, by: str) -> None:
        """Write down that somebody is not sure of a picked request, or puts it off."""
        self.project.review_mark(id_, kind, by=by)

    def review_undo(self, id_: str, *, by: str) -> object:
        """Take back what somebody said last of a request."""
        return self.project.review_undo(id_, by=by)

    def label(self, id_: str, label: str, *, by: str) -> object:
        """Write down what is true of a request."""
        try:
            return self.project.review_label(id_, label, by=by)
        except errors.ContractViolation as error:
            raise errors.UsageError(str(error.problems[0]), remedy="Choose a label of the contract.") from error

    def contract(self) -> Contract:
        """Return the project's contract."""
        return self.project.loaded.contract

    def data(self) -> Data:
        """Return snapshots, what was asked of deliveries, and what waits or failed."""
        return datasets.read(self.project.parts)

    def delivery(self, id_: str) -> Delivered:
        """Return what was asked of one delivery; NotFound where nothing was."""
        return deliveries.one(self.project.parts, id_)

    def replay_letters(self, source: str, *, by: str) -> object:
        """Try a source's dead letters again; the audit says who did."""
        (taken,) = self.project.pull(source, replay=True)
        detail = {"kept": taken.kept, "known": taken.known, "dead": taken.dead}
        with self.project.parts.store.begin() as tx:
            audit.append(tx, who=by, what="dead letters replayed", subject=source, detail=detail, now=self.now())
        return taken

    def quality(self, since: datetime) -> QualityReport:
        """Return how good the answers were by day."""
        return asking.ask(lambda: self.project.quality(since=since))

    @property
    def file(self) -> str:
        """Return where the project's file is."""
        return str(self.project.file)

    def config(self) -> Sequence[Setting]:
        """Return every setting with its origin."""
        return self.project.config()

    def keys(self) -> Sequence[Key]:
        """Return every API key, without what it is."""
        return self.project.keys()

    def audit(self) -> tuple[Sequence[Entry], Sequence[str]]:
        """Return who did what, newest first, and what is wrong with the chain."""
        return self.project.audit(limit=MOST_ENTRIES)

    def drills(self) -> tuple[Sequence[Drill], Sequence[Played]]:
        """Return the drills that can be run, and those that were."""
        return self._drills.known(), self._drills.played()

    def start_drill(self, name: str, *, by: str) -> None:
        """Run a drill; the audit says who did."""
        self._drills.start(name)
        with self.project.parts.store.begin() as tx:
            audit.append(tx, who=by, what="drill run", subject=name, detail={}, now=self.now())

    def _read(self, look: Callable[[Any], T]) -> T:
        with self.project.parts.store.read() as tx:
            return look(tx)

    def _profile(self, name: str) -> Profile | None:
        """Return a version's reference, read once; None where its bundle is gone or changed."""
        with self._lock:
            if name not in self._profiles:
                if len(self._profiles) >= MOST_PROFILES:
                    self._profiles.pop(next(iter(self._profiles)))
                self._profiles[name] = profiles.of(self.project.parts, name)
            return self._profiles[name]


def of(projects: Sequence[Project]) -> Mapping[str, Room]:
    """Return the rooms of some projects, by model, in their order."""
    return {project.name: ProjectRoom(project) for project in projects}
