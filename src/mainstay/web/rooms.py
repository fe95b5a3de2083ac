"""What a page needs of a project, and a project as that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mainstay.core.incidents import State
from mainstay.core.profiles import Profile
from mainstay.modelcard import make
from mainstay.release import manual
from mainstay.viewing import axis, load, profiles, pulse, rollout, versions
from mainstay.viewing.axis import Axis
from mainstay.viewing.load import Load
from mainstay.viewing.rollout import Way
from mainstay.viewing.versions import Compared, Version

if TYPE_CHECKING:
    from mainstay.core.verdicts import Check
    from mainstay.modelcard.records import ModelCard
    from mainstay.oncall.gauges import Gauge
    from mainstay.oncall.incidents import Listed, Precision, Shown
    from mainstay.project import Project
    from mainstay.status.records import Status
    from mainstay.store.release_events import ReleaseEvent

T = TypeVar("T")
MOST_PROFILES = 32
"""References that are kept in memory, of the versions looked at last."""


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

    def load(self) -> Load:
        """Return what came in the last day."""

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
        """Return where MLflow's page of a run is, without the run's id; empty where MLflow has no pages."""

    def promote(self, version: int, *, reason: str, by: str) -> object:
        """Let a version answer everybody now."""

    def abort(self, *, reason: str, by: str) -> object:
        """Take the version that is on its way out."""

    def rollback(self, *, reason: str, by: str, to: int | None = None) -> object:
        """Return to the version before, or to one that answered once."""


class ProjectRoom:
    """A project as a room. Thread-safe as far as the project is."""

    def __init__(self, project: Project) -> None:
        self.project = project
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
        return self._read(lambda tx: pulse.read(tx, self.name, self.now()))

    def status(self) -> Status:
        """Return how the model stands."""
        return self.project.status()

    def load(self) -> Load:
        """Return what came in the last day."""
        return self._read(lambda tx: load.read(tx, self.name, self.now()))

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

    def mlflow(self) -> str:
        """Return where MLflow's page of a run is, where its registry is a server."""
        url = str(self.project.settings.registry.url)
        return f"{url.rstrip('/')}/#/experiments/0/runs/" if url.startswith(("http://", "https://")) else ""

    def promote(self, version: int, *, reason: str, by: str) -> object:
        """Let a version answer everybody now."""
        return self.project.promote(version, reason=reason, by=by)

    def abort(self, *, reason: str, by: str) -> object:
        """Take the version that is on its way out; the champion answers everybody."""
        with self.project.parts.store.begin() as tx:
            return manual.abort(tx, model=self.name, by=by, reason=reason, now=self.now())

    def rollback(self, *, reason: str, by: str, to: int | None = None) -> object:
        """Return to the version before, or to one that answered once."""
        return self.project.rollback(reason=reason, by=by, to=to)

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
