"""What asks for a new version: an incident, a floor that is not kept, enough new labels, age, or a schedule.

| declared | asks when |
|---|---|
| `incident:quality` | an incident of that harm is open |
| `reward:click` | the floor of that reward is not kept: its incident is open |
| `quality:accuracy:0.85` | the metric on labels of the version that answers is beyond that, for sure |
| `rows:5000` | so many labels came since the newest version |
| `age:30` | the newest version is so many days old |
| `schedule:0 3 * * 1` | a moment of that schedule passed since the newest version; of several that were missed, once |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.config.settings import Settings
from mainstay.core import cron
from mainstay.core.incidents import Harm, Incident, State
from mainstay.core.releases import Release, Stage
from mainstay.retrain import floor
from mainstay.store import feedback, incidents, jobs, pulled, releases
from mainstay.store.jobs import JobState

if TYPE_CHECKING:
    from sqlalchemy import Connection

FAILED = frozenset({Stage.REGISTERED, Stage.REFUSED, Stage.ROLLED_BACK, Stage.QUARANTINED})
"""A version that stands so has not answered what it was trained for; REGISTERED: its training died before the gate."""
COUNTED = 20
"""So many times the labels that are asked for are counted at most."""
_OPEN = frozenset({State.OPEN, State.ACKNOWLEDGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One reason to train."""

    name: str
    """As the release will carry it: `incident:17`, `rows:5000`."""
    why: str
    """As a sentence."""
    dedupe: str
    """Differs for each attempt at the same reason, so that a job is made once for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What every kind of trigger looks at."""

    versions: list[Release]
    """Newest first."""
    ended: Counter[str]
    """How many trainings each reason has had, whatever came of them."""

    def again(self, name: str) -> str:
        """Return what tells one attempt at a reason from the next."""
        number = self.versions[0].version if self.versions else 0
        return f"{name}:after-{number}-{self.ended[name]}"

    @property
    def newest_at(self) -> datetime | None:
        """Return when the newest version was made."""
        return max((release.created_at for release in self.versions), default=None)


def declared(settings: Settings) -> tuple[str, ...]:
    """Return what asks for a version; of an online learner for which nothing is declared, every `min_labels` labels."""
    retrain = settings.retrain
    return retrain.on or ((f"rows:{retrain.min_labels}",) if retrain.online else ())


def due_triggers(tx: Connection, model: str, settings: Settings, now: datetime) -> list[Trigger]:
    """Return the reasons to train that hold now, incidents first; whether one may, the guard says.

    An incident asks until a version trained for it is under way or live, and asks again when that one failed.
    """
    if not declared(settings):
        return []
    known = _Known(versions=releases.all_of(tx, model), ended=_ended(tx, model))
    found = _incidents(tx, model, settings, known, now)
    for asked in declared(settings):
        kind, _, wanted = asked.partition(":")
        one: Trigger | None = None
        if kind == "rows":
            one = _rows(tx, model, asked, int(wanted), settings.target.field, known)
        elif kind == "age":
            one = _age(asked, float(wanted), known, now)
        elif kind == "schedule":
            one = _schedule(asked, wanted, settings.retrain.time_zone, known, now)
        elif kind == "quality":
            one = _quality(tx, model, asked, settings, known, now)
        found += [one] if one is not None else []
    return found


def _ended(tx: Connection, model: str) -> Counter[str]:
    over = jobs.list_(tx, model, kind="train", states=(JobState.DONE, JobState.FAILED), limit=1000)
    return Counter(str(job.payload.get("trigger", "")) for job in over)


def _incidents(tx: Connection, model: str, settings: Settings, known: _Known, now: datetime) -> list[Trigger]:
    split = [declared.partition(":") for declared in settings.retrain.on]
    harms = {wanted for kind, _, wanted in split if kind == "incident"}
    rewards = {f"reward.{wanted}" for kind, _, wanted in split if kind == "reward"}
    if not harms and not rewards:
        return []
    open_ = [i for i in incidents.list_(tx, model, states=_OPEN) if i.opened_at <= now]
    asked = [i for i in open_ if i.harm.value in harms or _is_of_reward(i, rewards)]
    found = (_incident(incident, known) for incident in sorted(asked, key=lambda i: i.id))
    return [trigger for trigger in found if trigger is not None]


def _is_of_reward(incident: Incident, signals: set[str]) -> bool:
    return incident.harm is Harm.REWARD and any(finding.signal in signals for finding in incident.findings)


def _incident(incident: Incident, known: _Known) -> Trigger | None:
    name = f"incident:{incident.id}"
    tries = [release for release in known.versions if release.trigger == name]
    if any(release.stage not in FAILED for release in tries):
        return None
    again = f", after {len(tries)} versions that failed" if tries else ""
    dedupe = f"{name}:{len(tries)}-{known.ended[name]}"
    return Trigger(name=name, why=f"{incident.title} ({name}){again}", dedupe=dedupe)


def _rows(tx: Connection, model: str, name: str, wanted: int, target: str, known: _Known) -> Trigger | None:
    """Labels of the target count, no rewards; and not many more than are asked for, as this is each turn."""
    new = feedback.count(tx, model, since=known.newest_at, name=target, most=COUNTED * wanted)
    new += pulled.count(tx, model, since=known.newest_at)
    if new < wanted:
        return None
    why = f"{new} labels came since the last training; {wanted} ask for a new one"
    return Trigger(name=name, why=why, dedupe=known.again(name))


def _age(name: str, days: float, known: _Known, now: datetime) -> Trigger | None:
    made = known.newest_at
    if made is None or now - made < timedelta(days=days):
        return None
    why = f"the newest version was trained {(now - made) / timedelta(days=1):.0f} days ago; {days:g} ask for a new one"
    return Trigger(name=name, why=why, dedupe=known.again(name))


def _schedule(name: str, text: str, zone: str, known: _Known, now: datetime) -> Trigger | None:
    """A moment that passed asks once, also when nobody was there to see it; what was trained since answers it."""
    made = known.newest_at
    due = cron.last_due(cron.parse(text), now, cron.zone_of(zone))
    if made is None or due <= made:
        return None
    late = now - due
    told = f", {late} ago" if late >= timedelta(minutes=5) else ""
    why = f"the schedule {text!r} names {due:%Y-%m-%d %H:%M} UTC{told}"
    return Trigger(name=name, why=why, dedupe=f"{name}:{due.isoformat()}")


def _quality(tx: Connection, model: str, name: str, settings: Settings, known: _Known, now: datetime) -> Trigger | None:
    metric, _, limit = name.removeprefix("quality:").partition(":")
    live = releases.live(tx, model)
    if live is None:
        return None
    found = floor.look(tx, model, live.name, metric=metric, limit=float(limit), settings=settings, now=now)
    if found is None or not found.beyond:
        return None
    return Trigger(name=name, why=found.text, dedupe=known.again(name))
