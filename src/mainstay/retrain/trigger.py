"""What asks for a new version: an open incident of a declared harm, or enough new labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mainstay.config.settings import Settings
from mainstay.core.incidents import Incident, State
from mainstay.core.releases import Release, Stage
from mainstay.store import feedback, incidents, jobs, releases
from mainstay.store.jobs import JobState

if TYPE_CHECKING:
    from sqlalchemy import Connection

FAILED = frozenset({Stage.REGISTERED, Stage.REFUSED, Stage.ROLLED_BACK, Stage.QUARANTINED})
"""A version that stands so has not answered what it was trained for; REGISTERED: its training died before the gate."""
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


def due_triggers(tx: Connection, model: str, settings: Settings, now: datetime) -> list[Trigger]:
    """Return the reasons to train that hold now, incidents first; whether one may, the guard says.

    An incident asks until a version trained for it is under way or live, and asks again when that one failed.
    """
    if not settings.retrain.on:
        return []
    versions = releases.all_of(tx, model)
    ended = _ended(tx, model)
    found = _incidents(tx, model, settings, versions, ended, now)
    for declared in settings.retrain.on:
        kind, _, wanted = declared.partition(":")
        if kind == "rows":
            found += _rows(tx, model, int(wanted), versions, ended)
    return found


def _ended(tx: Connection, model: str) -> Counter[str]:
    """Return how many trainings each reason has had, whatever came of them."""
    over = jobs.list_(tx, model, states=(JobState.DONE, JobState.FAILED), limit=1000)
    return Counter(str(job.payload.get("trigger", "")) for job in over if job.kind == "train")


def _incidents(
    tx: Connection, model: str, settings: Settings, versions: list[Release], ended: Counter[str], now: datetime
) -> list[Trigger]:
    harms = {declared.partition(":")[2] for declared in settings.retrain.on if declared.startswith("incident:")}
    open_ = (
        [i for i in incidents.list_(tx, model, states=_OPEN) if i.harm.value in harms and i.opened_at <= now]
        if harms
        else []
    )
    out = []
    for incident in sorted(open_, key=lambda i: i.id):
        trigger = _incident(incident, versions, ended)
        out += [trigger] if trigger is not None else []
    return out


def _incident(incident: Incident, versions: list[Release], ended: Counter[str]) -> Trigger | None:
    name = f"incident:{incident.id}"
    tries = [release for release in versions if release.trigger == name]
    if any(release.stage not in FAILED for release in tries):
        return None
    again = f", after {len(tries)} versions that failed" if tries else ""
    return Trigger(name=name, why=f"{incident.title} ({name}){again}", dedupe=f"{name}:{len(tries)}-{ended[name]}")


def _rows(tx: Connection, model: str, wanted: int, versions: list[Release], ended: Counter[str]) -> list[Trigger]:
    since = max((release.created_at for release in versions), default=None)
    new = feedback.count(tx, model, since=since)
    if new < wanted:
        return []
    number = versions[0].version if versions else 0
    name = f"rows:{wanted}"
    return [
        Trigger(
            name=name,
            why=f"{new} labels came since the last training; {wanted} ask for a new one",
            dedupe=f"{name}:after-{number}-{ended[name]}",
        )
    ]
