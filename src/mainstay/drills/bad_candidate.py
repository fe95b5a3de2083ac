"""The drill "bad-candidate": one candidate that the gate stops, and one that turns bad only in traffic."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

from mainstay.core.errors import ExitCode
from mainstay.core.releases import Release, Stage
from mainstay.drills import files
from mainstay.drills.records import (
    HOUR,
    MINUTE,
    Asked,
    Drill,
    Expectation,
    Kind,
    Leg,
    Phase,
    Seen,
    View,
    When,
    rhythm,
)
from mainstay.drills.stage import Stage as Scene

BEFORE, COMPARED, DRY, AFTER = "refused", "compared", "dry", "after"
PLOTS = 500
DRY_SHARE = 0.5
"""Share of the readings that come from sensors of the new kind, once they are there."""
RATE = rhythm(day=1200.0, night=1200.0)
FEW_USERS = 5
"""So many users have had an answer of the candidate before the new sensors come."""
STARTED = frozenset({Stage.CANARY, Stage.PROBATION, Stage.CERTIFIED})


def _reading(luck: random.Random, *, dry: float = 0.0) -> Asked:
    water = luck.random() < 0.4
    moisture = max(3.0, luck.gauss(17 if water else 31, 5.5))
    inputs = {
        "moisture_pct": round(moisture, 1),
        "temperature_c": round(luck.gauss(24 if water else 19, 4), 1),
        "sun_hours": round(min(16.0, max(0.0, luck.gauss(9 if water else 6, 2.5))), 1),
        "crop": luck.choices(("wheat", "maize", "beet"), weights=(4, 4, 2))[0],
        "plot": f"F-{luck.randrange(PLOTS):03d}",
    }
    if luck.random() < dry:
        inputs["moisture_pct"], water = 0.0, True
    return Asked(key=str(inputs["plot"]), inputs=inputs, truth="water" if water else "wait")


def plot(luck: random.Random) -> Asked:
    """Ask about a reading as in training."""
    return _reading(luck)


def dry_plot(luck: random.Random) -> Asked:
    """Ask about a reading of which half come from sensors that say 0 in dry soil."""
    return _reading(luck, dry=DRY_SHARE)


def make(folder: Path) -> None:
    """Write the project."""
    files.copy("bad_candidate", folder)
    files.write(folder / "data" / "train.csv", files.many(plot, 900, seed=1), target="decision")
    files.write(folder / "data" / "test.csv", files.many(plot, 600, seed=2), target="decision")


def offer_leftover(scene: Scene) -> None:
    """Offer the candidate that the gate must stop."""
    done = scene.train("the broken candidate", pipeline="leftover")
    scene.notes["broken"] = _offered(done)


def offer_ratio(scene: Scene) -> None:
    """Offer the candidate that every check passes."""
    done = scene.train("the candidate that will turn bad", pipeline="ratio")
    scene.notes["fragile"] = _offered(done)


def _offered(done: dict[str, object]) -> dict[str, object]:
    checks = done["checks"]
    failed = (
        [f"{c['name']}: {c['reason']}" for c in checks if c["verdict"] == "fail"] if isinstance(checks, list) else []
    )
    return {"version": done["version"], "exit_code": done["exit_code"], "failed": failed}


def fragile(view: View) -> Release | None:
    """Return the candidate that passed the gate."""
    named = view.notes.get("fragile", {}).get("version")
    return next((release for release in view.releases if release.name == named), None)


def reached_users(view: View) -> bool:
    """Return whether the candidate has answered a few users."""
    release = fragile(view)
    return release is not None and release.stage in STARTED and exposed(view)[0] >= FEW_USERS


def taken_back(view: View) -> bool:
    """Return whether the candidate left."""
    release = fragile(view)
    return release is not None and release.stage in (Stage.ROLLED_BACK, Stage.QUARANTINED)


def refused(view: View) -> Seen:
    """The gate says no, with its exit code and its reason."""
    found = view.notes.get("broken")
    if found is None:
        return Seen(holds=False, text="it was not offered yet")
    holds = found["exit_code"] == ExitCode.GATE_FAILED and bool(found["failed"])
    return Seen(holds=holds, text="; ".join(found["failed"]) or f"exit code {found['exit_code']}")


def passed(view: View) -> Seen:
    """The second candidate is on its way to users: what comes is not the gate's to see."""
    release = fragile(view)
    text = f"{release.name} is at {release.stage.value}" if release else "it was not offered yet"
    return Seen(holds=reached_users(view), text=f"{text}; {exposed(view)[0]} users had an answer of it")


def no_rollback_yet(view: View) -> Seen:
    """Nothing is taken back while the candidate does well."""
    release = fragile(view)
    text = f"{release.name}: {release.reason}" if release and taken_back(view) else "nothing was taken back"
    return Seen(holds=not taken_back(view) and not view.alarms(), text=text)


def stopped(view: View) -> Seen:
    """The rollout takes it back."""
    release = fragile(view)
    if release is None or not taken_back(view):
        return Seen(holds=False, text=f"it is at {release.stage.value}" if release else "it was never offered")
    return Seen(holds=True, text=f"{release.name} {release.stage.value}: {release.reason}")


def none_failed(view: View) -> Seen:
    """The champion answers for a candidate that cannot."""
    failed = sum(tally.failed for tally in view.phases.values())
    asked = sum(tally.requests for tally in view.phases.values())
    return Seen(holds=failed == 0, text=f"{failed} of {asked} requests failed")


def exposed(view: View) -> tuple[int, int]:
    """Return how many users ever had an answer of the candidate, and of how many."""
    release = fragile(view)
    everybody: set[str] = set()
    theirs: set[str] = set()
    for name in (COMPARED, DRY, AFTER):
        for bundle, keys in view.phases[name].keys.items() if name in view.phases else ():
            everybody |= keys
            theirs |= keys if release is not None and bundle == release.name else set()
    return len(theirs), len(everybody)


def few_exposed(view: View) -> Seen:
    """Only a part of the users ever met it."""
    theirs, everybody = exposed(view)
    share = theirs / everybody if everybody else 0.0
    return Seen(holds=0 < share <= 0.3, text=f"{theirs} of {everybody} users ({share:.1%}) ever had an answer of it")


def champion_answers(view: View) -> Seen:
    """All is as it was."""
    name = view.champion.name if view.champion else "nobody"
    answered = sorted(view.phases[AFTER].keys)
    holds = name.endswith("@1") and answered == [name] and view.on_its_way is None
    return Seen(holds=holds, text=f"{name} is champion; after the rollback answered: {', '.join(answered) or 'nobody'}")


DRILL = Drill(
    name="bad-candidate",
    title="A broken candidate is offered, and one that turns bad only in traffic",
    question="Can a bad version reach everybody, and does anybody get an error while it is found out?",
    begins=datetime(2026, 3, 2, 10, tzinfo=UTC),
    make=make,
    phases=(
        Phase(
            name=BEFORE,
            title="a candidate with a leftover setting is offered",
            legs=(Leg(lasts=4 * MINUTE, step=2 * MINUTE),),
            user=plot,
            rate=RATE,
            before=offer_leftover,
        ),
        Phase(
            name=COMPARED,
            title="a second candidate is offered and passes; users are as in training until it answers some of them",
            legs=(Leg(lasts=3 * HOUR, step=2 * MINUTE),),
            user=plot,
            rate=RATE,
            before=offer_ratio,
            over=reached_users,
        ),
        Phase(
            name=DRY,
            title="half of the sensors are of a new kind: they say 0 in dry soil, and the candidate divides by it",
            legs=(Leg(lasts=HOUR, step=MINUTE),),
            user=dry_plot,
            rate=RATE,
            over=taken_back,
        ),
        Phase(
            name=AFTER,
            title="the new sensors stay",
            legs=(Leg(lasts=10 * MINUTE, step=2 * MINUTE),),
            user=dry_plot,
            rate=RATE,
        ),
    ),
    expectations=(
        Expectation(
            name="passed",
            kind=Kind.PREMISE,
            text="the second candidate passes the gate and reaches users",
            when=When.BY,
            since=COMPARED,
            within=3 * HOUR,
            seen=passed,
        ),
        Expectation(
            name="quiet",
            kind=Kind.QUIET,
            text="it is not stopped and nothing is raised while it does well",
            when=When.ALWAYS,
            since=COMPARED,
            until=COMPARED,
            seen=no_rollback_yet,
        ),
        Expectation(
            name="refused",
            kind=Kind.DETECT,
            text="the gate stops the broken candidate and says why",
            when=When.BY,
            since=BEFORE,
            within=10 * MINUTE,
            seen=refused,
        ),
        Expectation(
            name="taken back",
            kind=Kind.DETECT,
            text="the rollout takes the second candidate back",
            when=When.BY,
            since=DRY,
            within=30 * MINUTE,
            seen=stopped,
        ),
        Expectation(
            name="none failed",
            kind=Kind.REACT,
            text="no request fails, before, during and after",
            when=When.ALWAYS,
            since=BEFORE,
            seen=none_failed,
        ),
        Expectation(
            name="few exposed",
            kind=Kind.REACT,
            text="at most 30 % of the users ever meet it",
            when=When.AT_END,
            since=DRY,
            seen=few_exposed,
        ),
        Expectation(
            name="champion",
            kind=Kind.END,
            text="the champion answers everybody",
            when=When.AT_END,
            since=AFTER,
            seen=champion_answers,
        ),
    ),
)
