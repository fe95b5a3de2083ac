"""Whether a training may start: facts from the store, and a pure rule over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import Settings
from mainstay.core.incidents import State
from mainstay.core.releases import IN_ROLLOUT, Stage
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.journal.vault import Vault
from mainstay.retrain import dataset
from mainstay.store import feedback, jobs, releases

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_CONFLICT_SHARE = 0.10
"""More of the labelled requests than this with contradicting labels: the labels are not to be trusted."""
DAY = timedelta(hours=24)
MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rule decides on."""

    labels: int
    """Labelled requests of live traffic that a training would use, each distinct one once, capped by key."""
    new_labels: int
    """Labels stated since the last training that started by itself; all of them before the first."""
    last_training_at: datetime | None
    """Of those that started by themselves; a training by hand needs no rest."""
    trainings_in_24_h: int
    under_way: str = ""
    """Name and stage of a version on its way or on probation, or the job that trains, or empty."""
    conflicting: int = 0
    """Labelled requests whose inputs were labelled in two ways."""
    broken: str = ""
    """The open incident that tells of a broken field, or empty."""

    @property
    def conflict_share(self) -> float:
        """Return the share of labelled requests with contradicting labels."""
        return self.conflicting / self.labels if self.labels else 0.0


def gather(tx: Connection, model: str, settings: Settings, now: datetime, *, vault: Vault | None = None) -> Facts:
    """Read the facts."""
    own = [release for release in releases.all_of(tx, model) if release.trigger != MANUAL]
    trainings = [job for job in jobs.list_(tx, model, limit=1000) if job.kind == "train"]
    starts = [release.created_at for release in own] + [job.created_at for job in trainings]
    last = max(starts, default=None)
    chosen = dataset.labelled(tx, model, settings, vault)
    faults = [i for i in dataset.faults(tx, model, settings) if i.state in (State.OPEN, State.ACKNOWLEDGED)]
    recent = max(
        sum(now - release.created_at < DAY for release in own), sum(now - job.created_at < DAY for job in trainings)
    )
    return Facts(
        labels=len(chosen),
        new_labels=feedback.count(tx, model, since=last),
        last_training_at=last,
        trainings_in_24_h=recent,
        under_way=_under_way(tx, model, trainings),
        conflicting=_conflicting(chosen),
        broken=f"incident {faults[0].id}: {faults[0].title}" if faults else "",
    )


def allow(facts: Facts, settings: Settings, now: datetime) -> list[Check]:
    """Return every condition with its verdict; all must pass. Pure."""
    retrain = settings.retrain
    return [
        _check(
            "min_labels",
            f"Are there {retrain.min_labels} labels of live traffic?",
            good=facts.labels >= retrain.min_labels,
            reason=f"{facts.labels} usable labels, needed {retrain.min_labels}",
        ),
        _check(
            "new_labels",
            "Is there anything to learn that the last training did not know?",
            good=facts.last_training_at is None or facts.new_labels > 0,
            reason=f"{facts.new_labels} labels since the last training",
        ),
        _cooldown(facts, timedelta(hours=retrain.cooldown_hours), now),
        _check(
            "max_per_day",
            f"Were there fewer than {retrain.max_per_day} trainings in 24 hours?",
            good=facts.trainings_in_24_h < retrain.max_per_day,
            reason=f"{facts.trainings_in_24_h} trainings in 24 hours, allowed {retrain.max_per_day}",
        ),
        _check(
            "nothing_under_way",
            "Is no other version on its way?",
            good=not facts.under_way,
            reason=facts.under_way or "none is on its way",
        ),
        _check(
            "fields_whole",
            "Does every field arrive as the model knows it?",
            good=not facts.broken,
            reason=facts.broken or "no field is broken",
        ),
        _check(
            "labels_agree",
            "Do labels of equal inputs agree?",
            good=facts.conflict_share <= MAX_CONFLICT_SHARE,
            bad=Verdict.FAIL,
            reason=f"{facts.conflicting} of {facts.labels} labelled requests contradict others with equal inputs, "
            f"allowed {MAX_CONFLICT_SHARE:.0%}",
        ),
    ]


def allowed(checks: Sequence[Check]) -> bool:
    """Return whether all conditions hold."""
    return combine(checks) is Verdict.PASS


def _cooldown(facts: Facts, rest: timedelta, now: datetime) -> Check:
    question = f"Has it been {rest} since the last training?"
    if facts.last_training_at is None:
        return _check("cooldown", question, good=True, reason="none has started by itself yet")
    passed = now - facts.last_training_at
    return _check("cooldown", question, good=passed >= rest, reason=f"{passed} since the last training, rest {rest}")


def _check(name: str, question: str, *, good: bool, reason: str, bad: Verdict = Verdict.NOT_ENOUGH) -> Check:
    return Check(name=name, question=question, verdict=Verdict.PASS if good else bad, reason=reason)


def _under_way(tx: Connection, model: str, trainings: Sequence[jobs.Job]) -> str:
    busy = [job for job in trainings if job.state in (jobs.JobState.QUEUED, jobs.JobState.RUNNING)]
    if busy:
        return f"training job {busy[0].id} is {busy[0].state}"
    for release in releases.all_of(tx, model):
        if release.stage in IN_ROLLOUT or release.stage is Stage.PROBATION:
            return f"{release.name} is at {release.stage}"
    return ""


def _conflicting(chosen: Sequence[dataset.LabelledRow]) -> int:
    said: dict[str, Counter[Any]] = {}
    for row in chosen:
        said.setdefault(row.content, Counter())[str(row.value)] += 1
    return sum(sum(votes.values()) for votes in said.values() if len(votes) > 1)
