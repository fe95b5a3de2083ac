"""What pages need of a project."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from mainstay.core.incidents import State
from mainstay.viewing.axis import Axis
from mainstay.viewing.datasets import Data
from mainstay.viewing.deliveries import Delivered
from mainstay.viewing.load import Load
from mainstay.viewing.predictions import Asked, Found, One
from mainstay.viewing.rollout import Way
from mainstay.viewing.versions import Compared, Version
from mainstay.web.drilling import Drill, Played

if TYPE_CHECKING:
    from mainstay.core.contracts import Contract
    from mainstay.core.verdicts import Check
    from mainstay.modelcard.records import ModelCard
    from mainstay.models.explained.records import Explanation
    from mainstay.oncall.gauges import Gauge
    from mainstay.oncall.incidents import Listed, Precision, Shown
    from mainstay.project import Setting
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


class Room(Protocol):
    """One model, as its pages see it: reads are bounded and cheap, acts are those of the commands."""

    @property
    def name(self) -> str:
        """Return the model's name."""

    def now(self) -> datetime:
        """Return the project's time."""

    def pulse(self) -> str:
        """Return a text that changes when something happened that pages tell; costs little."""

    def status(self) -> Status:
        """Return how the model stands."""

    def told(self) -> tuple[Status, Load]:
        """Return how the model stands and what came in the last day."""

    def gauges(self) -> Sequence[Gauge]:
        """Return the numbers for Prometheus."""

    def axis(self, begin: datetime | None, end: datetime | None) -> Axis:
        """Return everything over a stretch of time; by default the last week."""

    def incidents(self, *, all_: bool) -> Sequence[Listed]:
        """Return unresolved incidents or all, newest first."""

    def precision(self) -> Sequence[Precision]:
        """Return which share of each monitor's marked incidents was useful."""

    def incident(self, number: int) -> Shown:
        """Return one incident with its examples' inputs."""

    def move_incident(self, number: int, to: State, *, by: str, note: str) -> object:
        """Move an incident."""

    def note_incident(self, number: int, *, by: str, note: str) -> None:
        """Write a note to an incident."""

    def mark_incident(self, number: int, *, useful: bool, by: str, note: str) -> object:
        """Write down whether an incident was useful."""

    def scorecard(self) -> Scorecard:
        """Return how ready the model is for production, by evidence."""

    def rollout(self, checks: Sequence[Check], champion: str) -> Way:
        """Return the rollout that turns now, beside its guards as judged."""

    def history(self) -> Sequence[ReleaseEvent]:
        """Return the newest moves of all versions, newest first."""

    def version(self, number: int) -> Version:
        """Return one version."""

    def compared(self, one: int, other: int) -> Compared:
        """Return two versions."""

    def card(self, number: int) -> ModelCard:
        """Return a version's model card."""

    def mlflow(self) -> str:
        """Return where MLflow's own pages are; empty where it has none."""

    def evidence(self) -> str:
        """Return the digest of what the loop thinks of the version on its way: what an approval agrees to."""

    def promote(self, version: int, *, reason: str, by: str, evidence: str) -> object:
        """Let a version answer everybody now, or agree to it where [rollout] approval asks for more people."""

    def hold(self, *, reason: str, by: str) -> object:
        """Let the version on its way answer nobody until it is resumed."""

    def resume(self, *, reason: str, by: str, evidence: str) -> object:
        """Let a held version go on, or agree to it."""

    def abort(self, *, reason: str, by: str) -> object:
        """Take the version that is on its way out."""

    def rollback(self, *, reason: str, by: str, to: int | None = None) -> object:
        """Return to the version before, or to one that answered once."""

    def search(self, asked: Asked) -> Found:
        """Return the newest records of a stretch of time."""

    def prediction(self, id_: str) -> One:
        """Return one prediction; NotFound where there is none."""

    def features(self, id_: str) -> Fed:
        """Return what the model was handed of a request."""

    def explain(self, id_: str) -> Explanation:
        """Return why an answer is as it is."""

    def replay(self, id_: str) -> Replayed:
        """Return an answer computed again beside the record."""

    def review(self, *, by: str, first: str) -> Queue:
        """Return the next request that waits for a person's label; `first`: that one, if it waits."""

    def review_estimate(self) -> Estimate:
        """Return what the labels of picked requests say of all traffic."""

    def review_draw(self, count: int, *, by: str) -> object:
        """Pick requests to be labelled."""

    def review_mark(self, id_: str, kind: MarkKind, *, by: str) -> None:
        """Write down that somebody is not sure of a picked request, or puts it off."""

    def review_undo(self, id_: str, *, by: str) -> object:
        """Take back what somebody said last of a request."""

    def label(self, id_: str, label: str, *, by: str) -> object:
        """Write down what is true of a request; UsageError for what is no label of the contract."""

    def contract(self) -> Contract:
        """Return the project's contract."""

    def data(self) -> Data:
        """Return snapshots, what was asked of deliveries, and what waits or failed."""

    def delivery(self, id_: str) -> Delivered:
        """Return what was asked of one delivery; NotFound where nothing was."""

    def replay_letters(self, source: str, *, by: str) -> object:
        """Try a source's dead letters again."""

    def quality(self, since: datetime) -> QualityReport:
        """Return how good the answers were by day."""

    @property
    def file(self) -> str:
        """Return where the project's file is."""

    def config(self) -> Sequence[Setting]:
        """Return every setting with its origin."""

    def keys(self) -> Sequence[Key]:
        """Return every API key, without what it is."""

    def audit(self) -> tuple[Sequence[Entry], Sequence[str]]:
        """Return who did what, newest first, and what is wrong with the chain."""

    def drills(self) -> tuple[Sequence[Drill], Sequence[Played]]:
        """Return the drills that can be run, and those that were."""

    def start_drill(self, name: str, *, by: str) -> None:
        """Run a drill."""
