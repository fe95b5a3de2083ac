"""Whether a training may start: facts from the store, and a pure rule over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.config.load import contract_of
from mainstay.config.settings import Settings
from mainstay.core.contracts import Task
from mainstay.core.incidents import State
from mainstay.core.releases import IN_ROLLOUT, Release, Stage
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.journal.vault import Vault
from mainstay.retrain import dataset, ranked, selective
from mainstay.retrain.ranked import Ranked
from mainstay.retrain.trigger import FAILED
from mainstay.stats import flips
from mainstay.stats.flips import Flip
from mainstay.stats.intervals import wilson
from mainstay.store import feedback, jobs, pulled, releases

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_CONFLICT_SHARE = 0.10
"""More of the labelled requests than this with contradicting labels: the labels are not to be trusted."""
DAY = timedelta(hours=24)
MANUAL = "manual"
NEWEST_SHARE = 0.25
"""So much of the labels, at most, counts as the newest, in which sudden flips are looked for."""
LEAST_RELABELLED = 20
"""With fewer labels that a trusted person gave too, whether others are right is not known."""
RESTS = ("new_labels", "cooldown", "max_per_day")
"""Conditions that only keep trainings apart; whoever trains by hand may pass over them."""


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
    held: str = ""
    """The delivery of a declared source that is held, or empty."""
    failures: int = 0
    """Versions in a row, the newest first, that were trained by themselves and failed."""
    flips: Sequence[Flip] = ()
    """Answers that the newest labels suddenly contradict."""
    relabelled: int = 0
    """Requests that a trusted person labelled, and somebody else before or after."""
    agreed: int = 0
    """Of these, those that were labelled alike."""
    uncovered: str = ""
    """That labels seem to exist only for what the model chose, as a sentence, or empty."""
    answers: int = 0
    """Answers of the version of now whose labels were counted; 0: they can't be."""
    ranked: Ranked | None = None
    """Of a ranking: what its labels tell."""

    @property
    def conflict_share(self) -> float:
        """Return the share of labelled requests with contradicting labels."""
        return self.conflicting / self.labels if self.labels else 0.0


def gather(tx: Connection, model: str, settings: Settings, now: datetime, *, vault: Vault | None = None) -> Facts:
    """Read the facts."""
    versions = releases.all_of(tx, model)
    own = [release for release in versions if release.trigger != MANUAL]
    trainings = jobs.list_(tx, model, kind="train", limit=1000)
    starts = [release.created_at for release in own] + [job.created_at for job in trainings]
    last = max(starts, default=None)
    chosen = dataset.labelled(tx, model, settings, vault, until=dataset.mature_until(settings, now))
    faults = [i for i in dataset.faults(tx, model, settings) if i.state in (State.OPEN, State.ACKNOWLEDGED)]
    recent = max(
        sum(now - release.created_at < DAY for release in own), sum(now - job.created_at < DAY for job in trainings)
    )
    relabelled = _relabelled(tx, model, settings)
    covered = selective.look(tx, model, settings)
    ranking = settings.project.task is Task.RANKING
    by_order = ranked.facts(chosen, newest=NEWEST_SHARE) if ranking else None
    return Facts(
        labels=len(chosen),
        new_labels=_new_labels(tx, model, settings, last),
        last_training_at=last,
        trainings_in_24_h=recent,
        under_way=_under_way(tx, model, trainings),
        conflicting=_conflicting(chosen),
        broken=f"incident {faults[0].id}: {faults[0].title}" if faults else "",
        held=_held(tx, model, settings),
        failures=_failures(versions),
        flips=_sudden_flips(chosen, by_order) if settings.retrain.max_flip_share is not None else (),
        relabelled=len(relabelled),
        agreed=sum(relabelled),
        uncovered="" if covered is None else covered.text,
        answers=0 if covered is None else len(covered.answers),
        ranked=by_order,
    )


def _new_labels(tx: Connection, model: str, settings: Settings, since: datetime | None) -> int:
    """Return what there is to learn since then: labels of the target and pulled records; a reward teaches nothing."""
    return feedback.count(tx, model, since=since, name=settings.target.field) + pulled.count(tx, model, since=since)


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
            "deliveries_whole",
            "Is what was pulled as it was agreed?",
            good=not facts.held,
            reason=facts.held or "no delivery is held",
        ),
        _check(
            "labels_agree",
            "Do labels of equal inputs agree?",
            good=facts.conflict_share <= MAX_CONFLICT_SHARE,
            bad=Verdict.FAIL,
            reason=f"{facts.conflicting} of {facts.labels} labelled requests contradict others with equal inputs, "
            f"allowed {MAX_CONFLICT_SHARE:.0%}",
        ),
        _check(
            "failures",
            f"Did fewer than {retrain.max_failures} versions in a row fail?",
            good=facts.failures < retrain.max_failures,
            reason=f"{facts.failures} versions in a row, trained by themselves, failed; allowed "
            f"{retrain.max_failures - 1}: a person trains the next (mainstay retrain)",
        ),
        _sudden(facts, retrain.max_flip_share),
        _agreement(facts, retrain.min_agreement),
        _covered(facts),
        *(ranked.checks(facts.ranked, retrain) if facts.ranked is not None else ()),
    ]


def allowed(checks: Sequence[Check]) -> bool:
    """Return whether all conditions hold."""
    return combine(checks) is Verdict.PASS


def certificate(checks: Sequence[Check]) -> dict[str, str]:
    """Return by name why each guard let a training begin: kept with its job."""
    return {check.name: check.reason for check in checks if check.applies}


def by_hand(checks: Sequence[Check]) -> list[Check]:
    """Return what stands in the way of a training that a person asks for: rests and failures keep nobody from it."""
    passed_over = (*RESTS, "failures")
    return [c for c in checks if c.applies and c.verdict is not Verdict.PASS and c.name not in passed_over]


def _sudden(facts: Facts, allowed_share: float | None) -> Check:
    name, question = "sudden_flips", "Does no answer's newest labels suddenly say one other class?"
    if allowed_share is None:
        return _unasked(name, question, "[retrain] max_flip_share is not declared")
    loud = [flip for flip in facts.flips if flip.share > allowed_share]
    told = "; ".join(
        f"{flip.now} of the newest {flip.now_of} keys answered {flip.answered!r} were labelled {flip.labelled!r}, "
        f"before {flip.before} of {flip.before_of}"
        for flip in loud[:3]
    )
    reason = f"{told}; allowed {allowed_share:.0%}" if told else "no answer is suddenly contradicted by one label"
    return _check(name, question, good=not loud, reason=reason)


def _agreement(facts: Facts, least: float | None) -> Check:
    name, question = "labels_trusted", "Do labels agree with those of the people who are trusted?"
    if least is None:
        return _unasked(name, question, "[retrain] min_agreement is not declared")
    low, high = wilson(facts.agreed, facts.relabelled)
    told = f"{facts.agreed} of {facts.relabelled} labels agree ({low:.0%} to {high:.0%}), needed {least:.0%}"
    if facts.relabelled < LEAST_RELABELLED:
        reason = f"{told}; fewer than {LEAST_RELABELLED} were labelled twice: mainstay review says which to label"
        return _check(name, question, good=False, reason=reason)
    return _check(name, question, good=high >= least, bad=Verdict.FAIL, reason=told)


def _covered(facts: Facts) -> Check:
    """Tell whether labels exist only for what the model chose; it judges nothing: no threshold is declared for it."""
    question = "Do labels come for every answer, and not only for what the model chose?"
    if not facts.answers:
        return _unasked("labels_cover", question, "answers and their labels can't be counted by class yet")
    reason = facts.uncovered or f"each of the {facts.answers} answers that were given often has labels"
    verdict = Verdict.NOT_ENOUGH if facts.uncovered else Verdict.PASS
    return Check(name="labels_cover", question=question, verdict=verdict, reason=reason, applies=False)


def _cooldown(facts: Facts, rest: timedelta, now: datetime) -> Check:
    question = f"Has it been {rest} since the last training?"
    if facts.last_training_at is None:
        return _check("cooldown", question, good=True, reason="none has started by itself yet")
    passed = now - facts.last_training_at
    return _check("cooldown", question, good=passed >= rest, reason=f"{passed} since the last training, rest {rest}")


def _check(name: str, question: str, *, good: bool, reason: str, bad: Verdict = Verdict.NOT_ENOUGH) -> Check:
    return Check(name=name, question=question, verdict=Verdict.PASS if good else bad, reason=reason)


def _unasked(name: str, question: str, why: str) -> Check:
    return Check(name=name, question=question, verdict=Verdict.NOT_ENOUGH, reason=why, applies=False)


def _held(tx: Connection, model: str, settings: Settings) -> str:
    for name in settings.retrain.sources:
        state = pulled.state(tx, model, name)
        if state.held:
            return f"the delivery of {name} is held: {state.held}"
    return ""


def _failures(versions: Sequence[Release]) -> int:
    """Return how many of the newest versions failed in a row; one that a person trained ends the row."""
    count = 0
    for release in sorted(versions, key=lambda one: one.version, reverse=True):
        if release.trigger == MANUAL or release.stage not in FAILED:
            break
        count += 1
    return count


def _sudden_flips(chosen: Sequence[dataset.LabelledRow], by_order: Ranked | None) -> Sequence[Flip]:
    return _flips(chosen) if by_order is None else by_order.flips


def _flips(chosen: Sequence[dataset.LabelledRow]) -> list[Flip]:
    """Hold the newest quarter of the labels, by when they were stated, against the others."""
    rows = [row for row in chosen if isinstance(row.answered, str) and isinstance(row.value, str)]
    cut = len(rows) - int(len(rows) * NEWEST_SHARE)
    return flips.sudden(
        [str(row.answered) for row in rows],
        [str(row.value) for row in rows],
        [row.key for row in rows],
        [number >= cut for number in range(len(rows))],
    )


def _relabelled(tx: Connection, model: str, settings: Settings) -> list[bool]:
    """Return of each request that a trusted person and another labelled whether both said the same."""
    if not settings.retrain.trusted:
        return []
    return feedback.agreements(
        tx,
        model,
        contract_of(settings).target,
        trusted=settings.retrain.trusted,
        relevance=settings.project.task is Task.RANKING,
    )


def _under_way(tx: Connection, model: str, trainings: Sequence[jobs.Job]) -> str:
    busy = [job for job in trainings if job.state in (jobs.JobState.QUEUED, jobs.JobState.RUNNING)]
    if busy:
        return f"training job {busy[0].id} is {busy[0].state}"
    for release in releases.all_of(tx, model):
        if release.stage in IN_ROLLOUT or release.stage is Stage.PROBATION:
            return f"{release.name} is at {release.stage}"
    return ""


def _conflicting(chosen: Sequence[dataset.LabelledRow]) -> int:
    """Return how many rows of equal inputs are labelled in several ways; of a ranking candidates of one group, by
    whether they are relevant: a click of one and none of another are no contradiction."""
    said: dict[Hashable, Counter[Any]] = {}
    for row in chosen:
        where, what = (row.content, str(row.value)) if row.group is None else ((row.group, row.content), row.value > 0)
        said.setdefault(where, Counter())[what] += 1
    return sum(sum(votes.values()) for votes in said.values() if len(votes) > 1)
