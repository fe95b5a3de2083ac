"""The life of one model as a story: well, then messy users, an incident, labels, a better model, two bad ones.

Each act is a function of the stage; together they are the drill that `make demo` runs. What must happen has a deadline;
accuracies are reported and never forced.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec

from mainstay.core import errors, incidents, releases
from mainstay.core.ports import Clock
from mainstay.drills import play
from mainstay.drills.plan import Plan
from mainstay.project import Project
from mainstay.status.records import Status

Say = Callable[[str], None]
SCORING_RATE = 120.0
"""Requests a second while the judged messages are asked: nothing waits for their pace."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """The running project, its users and what was seen so far."""

    plan: Plan
    root: Path
    environ: dict[str, str]
    project: Project
    running: play.Running
    crowd: play.Crowd
    clock: Clock
    say: Say
    base_url: str
    web_url: str
    files: dict[str, list[play.Message]]
    results: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    streams: list[Any] = field(default_factory=list)

    def status(self) -> Status:
        """Read the model's status from the store."""
        if not self.running.alive():
            raise errors.DrillMissed("`mainstay up` ended by itself", remedy=f"Read {self.root / 'up.log'}.")
        return self.project.status()

    @property
    def predict_url(self) -> str:
        """Return where predictions are asked for."""
        return f"{self.base_url}/v1/predict"

    @property
    def feedback_url(self) -> str:
        """Return where labels go."""
        return f"{self.base_url}/v1/feedback"

    def must(self, happened: bool, what: str) -> None:
        """Write down what was missed; the story goes on so that the table is whole."""
        if not happened:
            self.missed.append(what)
            self.say(f"  MISSED: {what}")


def prepare(source: Path, work: Path) -> Path:
    """Copy the project to a fresh folder, so that the story starts from nothing and the example stays as it is."""
    if work.exists():
        shutil.rmtree(work)
    work.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, work, ignore=shutil.ignore_patterns(".mainstay", "__pycache__"))
    return work


def rename(messages: Sequence[play.Message], prefix: str) -> list[play.Message]:
    """Return the messages under fresh ids, as if the same people wrote again."""
    return [replace(m, id=f"{prefix}-{m.id}") for m in messages]


def by_others(messages: Sequence[play.Message], prefix: str, key: str) -> list[play.Message]:
    """Return the messages as other people's; `key` is the field that names who writes, or empty.

    The same request of the same person is no new evidence: on a slow machine, where the steps of a rollout take longer,
    one crowd that goes on repeating itself would leave it waiting for ever.
    """
    return [
        replace(
            m,
            id=f"{prefix}-{m.id}",
            key=f"{prefix}-{m.key}",
            inputs=m.inputs | ({key: f"{prefix}-{m.inputs[key]}"} if key in m.inputs else {}),
        )
        for m in messages
    ]


def act_quiet(stage: Stage) -> None:
    """Users as in the training set: nothing may be raised."""
    quiet = stage.files["quiet"]
    began = stage.clock.now()
    answers = stage.crowd.send("quiet", quiet)
    stage.results["clean_before"] = play.score(quiet, answers).as_dict()
    stage.results["first_version"] = _bundles(answers)
    _wait_for_the_watch(stage, began)
    alarms = stage.status().incidents
    stage.results["quiet_alarms"] = len(alarms)
    stage.must(not alarms, "the quiet phase stays without an incident")
    _tell_score(stage, "clean users", "clean_before")


def act_messy(stage: Stage) -> None:
    """Users that the model never met: answers stay 200, accuracy falls, one incident must open without any label."""
    plan = stage.plan
    crowd = _shuffled(
        rename(stage.files["feedback"], "m1") + rename(stage.files["messy"][: plan.messy_first], "m1"), seed=1
    )
    began = stage.clock.now()
    process, answers_file = stage.crowd.start("messy", crowd)
    try:
        found = play.wait_until(
            lambda: [i for i in stage.status().incidents if i.opened_at >= began],
            seconds=plan.deadlines.detect,
            clock=stage.clock,
            what="an incident about the messy users",
        )
    except errors.DrillMissed as missed:
        stage.must(False, missed.message)
        found = []
    process.wait(timeout=300)
    answers = play.read_answers(answers_file)
    stage.results["messy_statuses"] = sorted({a["status"] for a in answers})
    stage.results["messy_low_trust"] = sum(a["answer"]["trust"] != "ok" for a in answers if a["answer"]) / max(
        1, len(answers)
    )
    judged = stage.crowd.send("judged-during", rename(stage.files["judged"], "during"), rate=SCORING_RATE)
    stage.results["messy_before"] = play.score(rename(stage.files["judged"], "during"), judged).as_dict()
    _tell_score(stage, "messy users", "messy_before")
    # What was noticed on few requests is told anew from many: read it again.
    raised = [i for i in stage.status().incidents if i.opened_at >= began and i.severity is not incidents.Severity.NOTE]
    if found and raised:
        _write_incident(stage, raised[0], began)
    stage.must(len(raised) == 1, f"one incident about the messy users, not {len(raised)}")


def act_labels(stage: Stage) -> None:
    """Labels for part of the traffic arrive; the loop must retrain, judge, roll out and certify by itself."""
    began = stage.clock.now()
    labelled = rename(stage.files["feedback"], "m1")
    stage.results["labels"] = play.give_labels(
        stage.feedback_url, labelled, target=stage.project.settings.target.field, by="agents", clock=stage.clock
    )
    stage.say(f"  {stage.results['labels']} labels given; the loop retrains")
    before = _version(stage.status())
    rollout_traffic = stage.files["messy"][stage.plan.messy_first :] + stage.files["messy"][: stage.plan.messy_first]
    done = _roll_out(
        stage,
        name="rollout",
        traffic=_shuffled(rename(rollout_traffic + stage.files["quiet"], "r1"), seed=2),
        finished=lambda s: (
            s.answering is not None and s.answering.version != before and _stage_of(s) is releases.Stage.CERTIFIED
        ),
        seconds=stage.plan.deadlines.recover,
        what="a retrained version certified",
    )
    stage.results["recover_s"] = (stage.clock.now() - began).total_seconds() if done else None
    stage.results["second_version"] = _answering(stage.status())
    judged = rename(stage.files["judged"], "after")
    stage.results["messy_after"] = play.score(
        judged, stage.crowd.send("judged-after", judged, rate=SCORING_RATE)
    ).as_dict()
    clean = rename(stage.files["quiet"], "after")
    stage.results["clean_after"] = play.score(
        clean, stage.crowd.send("clean-after", clean, rate=SCORING_RATE)
    ).as_dict()
    _tell_score(stage, "messy users", "messy_after")
    _tell_score(stage, "clean users", "clean_after")


def act_broken(stage: Stage) -> None:
    """A broken candidate comes the same way; the gate must stop it."""
    before = _answering(stage.status())
    done = _train(stage, stage.plan.broken)
    stage.results["broken_exit"] = done.returncode
    stage.results["broken_reasons"] = _failed_checks(done.stdout)
    stage.must(done.returncode == errors.ExitCode.GATE_FAILED, "the gate refuses the broken candidate")
    stage.must(_answering(stage.status()) == before, "the champion stays while a candidate is refused")
    for reason in stage.results["broken_reasons"][:2]:
        stage.say(f"  refused: {reason}")


def act_turns_bad(stage: Stage) -> None:
    """A candidate that every check passes meets a new kind of message; the rollout must take it back."""
    before = _answering(stage.status())
    done = _train(stage, stage.plan.turns_bad)
    stage.must(done.returncode == 0, "the candidate that will turn bad passes the gate")
    if done.returncode:
        stage.say("  " + "; ".join(_failed_checks(done.stdout)))
        return
    offered = int(str(msgspec.json.decode(done.stdout)["version"]).rpartition("@")[2])
    began = stage.clock.now()
    everybody = _shuffled(rename(stage.files["messy"] + stage.files["quiet"], "b1"), seed=3)
    share = round(stage.plan.new_kind_share * 100)
    mixed = [
        replace(
            m, inputs=m.inputs | {stage.plan.text: stage.plan.new_kind.replace("{message}", m.inputs[stage.plan.text])}
        )
        if number % 100 < share
        else m
        for number, m in enumerate(everybody)
    ]
    done_at = _roll_out(
        stage,
        name="turns-bad",
        traffic=_shuffled(mixed, seed=4),
        finished=lambda s: any(r.version == offered and r.stage is releases.Stage.ROLLED_BACK for r in s.releases),
        seconds=stage.plan.deadlines.stop,
        what="the candidate that turned bad is rolled back",
    )
    stage.results["stop_s"] = (stage.clock.now() - began).total_seconds() if done_at else None
    line = next((r for r in stage.status().releases if r.version == offered), None)
    stage.results["stop_reason"] = line.reason if line else ""
    stage.must(_answering(stage.status()) == before, "the champion answers again after the rollback")
    if line:
        stage.say(f"  {offered} taken back: {line.reason[:160]}")


Acts = Sequence[tuple[str, Callable[[Stage], None]]]
"""Title and deed of each."""
ACTS: Acts = (
    ("Users as in the training set", act_quiet),
    ("Messy users arrive", act_messy),
    ("Labels arrive; the loop retrains and releases", act_labels),
    ("A broken candidate is offered", act_broken),
    ("A candidate that turns bad only in traffic", act_turns_bad),
)


def _roll_out(
    stage: Stage,
    *,
    name: str,
    traffic: Sequence[play.Message],
    finished: Callable[[Status], bool],
    seconds: float,
    what: str,
) -> bool:
    """Let users write while a version is on its way; a declared part of the messages is labelled once answered."""
    deadline = stage.clock.monotonic() + seconds
    labelled: set[str] = set()
    lap, seen = 0, ""
    while stage.clock.monotonic() < deadline:
        messages = list(traffic) if lap == 0 else by_others(traffic, f"lap{lap}", stage.plan.key)
        wanted = {
            m.id: m
            for n, m in enumerate(messages)
            if m.id.find("messy") >= 0 and n % 100 < stage.plan.labelled_share * 100
        }
        process, answers_file = stage.crowd.start(f"{name}-{lap}", messages)
        try:
            while process.poll() is None:
                answered = [a["id"] for a in play.read_answers(answers_file) if a["status"] == 200]
                fresh = [wanted[i] for i in answered if i in wanted and i not in labelled]
                if fresh:
                    play.give_labels(
                        stage.feedback_url,
                        fresh,
                        target=stage.project.settings.target.field,
                        by="agents",
                        clock=stage.clock,
                    )
                    labelled.update(m.id for m in fresh)
                status = stage.status()
                seen = _tell_rollout(stage, status, seen)
                if finished(status):
                    return True
                if stage.clock.monotonic() >= deadline:
                    break
                stage.clock.sleep(0.25)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=30)
        lap += 1
    stage.must(False, f"{what} did not happen within {seconds:.0f} s")
    return False


def _tell_rollout(stage: Stage, status: Status, seen: str) -> str:
    now = ""
    if status.rollout is not None:
        now = f"{status.rollout.name}: {status.rollout.stage.value} {status.rollout.share:.0%}"
    elif status.answering is not None:
        now = f"{status.answering.name} answers everybody ({_stage_of(status)})"
    if now and now != seen:
        stage.say(f"  {now}")
    return now or seen


def _train(stage: Stage, pipeline: str) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "mainstay", "train", "--project", str(stage.root), "--pipeline", pipeline, "--json"]
    with (stage.root / "train.log").open("ab") as log:
        return subprocess.run(argv, env=stage.environ, stdout=subprocess.PIPE, stderr=log, check=False, timeout=300)


def _failed_checks(output: bytes) -> list[str]:
    try:
        document = msgspec.json.decode(output)
    except msgspec.DecodeError:
        return []
    checks = document.get("checks", [])
    return [f"{c['name']}: {c['reason']}" for c in checks if c["verdict"] == "fail"]


def _wait_for_the_watch(stage: Stage, began: datetime) -> None:
    """Wait until the watch has seen the phase's traffic (it reads whole blocks), at most ten seconds."""
    deadline = stage.clock.monotonic() + 10
    while stage.clock.monotonic() < deadline:
        last = stage.status().traffic.last_at
        if last is not None and last >= began:
            stage.clock.sleep(2.0)
            return
        stage.clock.sleep(0.25)


def _write_incident(stage: Stage, incident: incidents.Incident, began: datetime) -> None:
    stage.results["detect_s"] = (incident.opened_at - began).total_seconds()
    stage.results["detect_rows"] = incident.rows_to_detect
    stage.results["incident"] = {
        "id": incident.id,
        "title": incident.title,
        "harm": incident.harm.value,
        "severity": incident.severity.value,
        "started_at": incident.started_at.isoformat(),
        "opened_at": incident.opened_at.isoformat(),
        "story": list(incident.story),
    }
    stage.say(f"  incident {incident.id}: {incident.title}")
    for sentence in incident.story:
        stage.say(f"    {sentence}")


def _tell_score(stage: Stage, who: str, key: str) -> None:
    s = stage.results[key]
    stage.say(f"  {who}: {s['accuracy']:.1%} right ({s['low']:.1%} to {s['high']:.1%}, {s['total']} messages)")


def _shuffled(messages: Sequence[play.Message], *, seed: int) -> list[play.Message]:
    mixed = list(messages)
    random.Random(seed).shuffle(mixed)
    return mixed


def _bundles(answers: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(sorted({a["answer"]["bundle"] for a in answers if a["answer"]}))


def _answering(status: Status) -> str:
    return status.answering.name if status.answering else ""


def _version(status: Status) -> int:
    return status.answering.version if status.answering else 0


def _stage_of(status: Status) -> releases.Stage | None:
    if status.answering is None:
        return None
    return next((r.stage for r in status.releases if r.version == status.answering.version), None)


def ready(url: str) -> bool:
    """Return whether the server answers that it is ready."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
