"""Plays a drill from the first phase to the last look, and reports."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mainstay.core import errors
from mainstay.core.incidents import Incident
from mainstay.core.ports import Clock
from mainstay.core.releases import Release, Stage
from mainstay.drills import stage as stages
from mainstay.drills.ledger import Ledger
from mainstay.drills.records import Asked, Drill, Phase, Report, Tally, View


@dataclass(slots=True, kw_only=True)
class _Play:
    """A drill under way."""

    stage: stages.Stage
    ledger: Ledger
    labels: list[tuple[datetime, str, Any]] = field(default_factory=list)
    """(due, id, truth), in order."""
    told: set[int] = field(default_factory=set)
    """Incidents that were told."""
    stood: dict[str, str] = field(default_factory=dict)
    """Where each version stood at the last look."""

    def look(self) -> View:
        view = self.stage.view()
        for incident in view.incidents:
            if incident.id not in self.told:
                self.told.add(incident.id)
                self.say(view.at, f"incident {incident.id} ({incident.severity.value}): {incident.title}")
        for name, place in moved(view.releases, self.stood, self.stage):
            self.say(view.at, f"{name} is at {place}")
            self.stood[name] = place
        for line in self.ledger.look(view):
            self.say(view.at, line)
        return view

    def say(self, at: datetime, text: str) -> None:
        day = (at - self.stage.drill.begins).days + 1
        self.stage.say(f"  day {day} {at:%H:%M}  {text}")


def moved(releases: Sequence[Release], stood: Mapping[str, str], stage: stages.Stage) -> list[tuple[str, str]]:
    """Return the versions that stand elsewhere than at the last look (`stood`), each with where (a canary's share)."""
    found = []
    for release in releases:
        place = release.stage.value
        if release.stage is Stage.CANARY:
            place += f" {stage.project.settings.rollout.steps[release.step]:g} %"
        if stood.get(release.name) != place:
            found.append((release.name, place))
    return found


def run(
    drill: Drill,
    *,
    real: Clock,
    say: stages.Say,
    keep: Path | None = None,
    settings: Mapping[str, str] | None = None,
    processes: Sequence[str] = stages.PROCESSES,
) -> Report:
    """Play `drill` and return what it showed; a missed expectation is reported, not raised.

    `settings` (`watch.block_minutes` -> text) are played instead of the drill's own; `processes` leaves some out, to
    show that a drill can fail.

    Raises:
        DrillMissed: it could not be played to its end (a process ended by itself, or hung).
        EnvironmentFault: no room, no port.
        UsageError: `keep` is not empty.
    """
    began = real.monotonic()
    with stages.opened(drill, real=real, say=say, keep=keep, settings=settings, processes=processes) as stage:
        play = _Play(stage=stage, ledger=Ledger(drill.expectations, [phase.name for phase in drill.phases]))
        for phase in drill.phases:
            _phase(play, phase)
        return _report(
            play, play.look(), settings or {}, seconds=real.monotonic() - began, folder=str(keep) if keep else ""
        )


def _phase(play: _Play, phase: Phase) -> None:
    """Play one phase: steps of the clock, and after each the users who came in that time."""
    stage = play.stage
    tally = stage.phases[phase.name] = Tally(began=stage.clock.now())
    play.say(tally.began, f"{phase.title} (up to {_hours(phase.lasts)})")
    if phase.before is not None:
        phase.before(stage)
    luck = random.Random(f"{stage.drill.seed} {phase.name}")
    view = None
    for leg in phase.legs:
        end = stage.clock.now() + leg.lasts
        # The loop's turns take seconds of their own; a step that is nearly over is over.
        while (left := end - stage.clock.now()) > timedelta(seconds=30):
            start = stage.clock.now()
            stage.advance(min(leg.step, left))
            _users(play, phase, start, luck)
            _labels(play)
            stage.settle()
            view = play.look()
            if phase.over is not None and phase.over(view):
                break
        if view is not None and phase.over is not None and phase.over(view):
            break
    tally.ended = stage.clock.now()
    play.look()


def _users(play: _Play, phase: Phase, start: datetime, luck: random.Random) -> None:
    stage = play.stage
    now = stage.clock.now()
    wanted = phase.rate(start) * (now - start).total_seconds() / 3600.0
    # The part of a user that is left over comes with its chance.
    number = int(wanted) + (luck.random() < wanted % 1.0)
    users: list[tuple[datetime, Asked]] = [
        (start + (now - start) * (i + 1) / (number + 1), phase.user(luck)) for i in range(number)
    ]
    ids = stage.ask(phase, users)
    for id_, (_, user) in zip(ids, users, strict=True):
        if user.truth is not None and luck.random() < phase.labelled:
            play.labels.append((now + phase.labels_after, id_, user.truth))


def _labels(play: _Play) -> None:
    now = play.stage.clock.now()
    due = [(id_, truth) for at, id_, truth in play.labels if at <= now]
    if due:
        play.labels = [label for label in play.labels if label[0] > now]
        taken = play.stage.tell_truth(due)
        play.stage.notes["labels"] = play.stage.notes.get("labels", 0) + taken


def _report(play: _Play, last: View, settings: Mapping[str, str], *, seconds: float, folder: str) -> Report:
    drill, stage = play.stage.drill, play.stage
    found = play.ledger.found({name: tally.began for name, tally in stage.phases.items()})
    missed = [f"{one.text} ({one.deadline}); seen: {one.seen}" for one in found if not one.held]
    champion = last.champion
    return Report(
        drill=drill.name,
        title=drill.title,
        question=drill.question,
        passed=not missed,
        missed=missed,
        found=found,
        phases=[_told_phase(phase, stage.phases[phase.name]) for phase in drill.phases],
        incidents=[_told_incident(incident, stage.phases) for incident in last.incidents],
        end={
            "answers": champion.name if champion else None,
            "versions": {release.name: release.stage.value for release in last.releases},
            "incidents": {str(incident.id): incident.state.value for incident in last.incidents},
        },
        notes=stage.notes,
        simulated_hours=(last.at - drill.begins).total_seconds() / 3600.0,
        seconds=seconds,
        settings=settings,
        folder=folder,
    )


def _told_phase(phase: Phase, tally: Tally) -> dict[str, Any]:
    return {
        "name": phase.name,
        "title": phase.title,
        "began": tally.began,
        "ended": tally.ended,
        "requests": tally.requests,
        "statuses": tally.statuses,
        "low_trust": tally.low_trust,
        "accuracy": tally.accuracy,
        "users": {bundle: len(keys) for bundle, keys in sorted(tally.keys.items())},
    }


def _told_incident(incident: Incident, phases: Mapping[str, Tally]) -> dict[str, Any]:
    begun = [name for name, tally in phases.items() if tally.began <= incident.opened_at]
    return {
        "id": incident.id,
        "harm": incident.harm.value,
        "severity": incident.severity.value,
        "state": incident.state.value,
        "title": incident.title,
        "opened_at": incident.opened_at,
        "opened_in": begun[-1] if begun else "",
        "requests_to_detect": incident.rows_to_detect,
        "story": list(incident.story),
    }


def _hours(time: timedelta) -> str:
    hours = time.total_seconds() / 3600.0
    return f"{hours:.0f} simulated hours" if hours >= 2 else f"{hours * 60:.0f} simulated minutes"


def verdict(report: Report) -> None:
    """Raise DrillMissed when a report holds anything missed."""
    if not report.passed:
        raise errors.DrillMissed(
            f"{report.drill}: {len(report.missed)} of {len(report.found)} expectations missed: "
            + "; ".join(report.missed)
        )
