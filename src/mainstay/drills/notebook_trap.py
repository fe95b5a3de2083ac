"""The drill "notebook-trap": a perfect score on the team's own test, then people who write as people do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from mainstay.core.incidents import SEVERITY_ORDER, Harm, Incident, Severity, State
from mainstay.drills import files
from mainstay.drills.records import (
    DAY,
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
    all_answered,
    rhythm,
)

QUIET, REAL = "testers", "tenants"
FLOORS = ("first", "second", "third", "fourth", "fifth", "sixth")
CHANNELS, CHANNEL_WEIGHTS = ("portal", "app", "phone"), (5, 3, 2)
FILLERS = ("", "", "", "hi ", "hello?? ", "ok so ", "pls ", "URGENT ", "hey guys ", "not again.. ")
TAILS = ("", "", "", " thx", " 😡", " 🙏", " !!!", " asap", " cheers", " ...", " k")
TYPOS = 0.3
"""Share of tenants' messages with a slip of the finger."""
RATE = rhythm(day=30.0, night=5.0)


@cache
def lines(name: str) -> Sequence[tuple[str, str]]:
    """Return (team, text) of a file of messages."""
    found = []
    for line in (files.MATERIAL / "notebook_trap" / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            team, _, text = line.partition(": ")
            found.append((team, text))
    return found


def tester(luck: random.Random) -> Asked:
    """Write as the team wrote its data set."""
    team, text = luck.choice(lines("written_by_the_team.txt"))
    filled = text.format(room=luck.randrange(101, 160), floor=luck.choice(FLOORS))
    return _asked(luck, filled, team)


def tenant(luck: random.Random) -> Asked:
    """Write as people write."""
    team, text = luck.choice(lines("written_by_tenants.txt"))
    text = luck.choice(FILLERS) + text + luck.choice(TAILS)
    if luck.random() < TYPOS:
        at = luck.randrange(len(text) - 1)
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return _asked(luck, text, team)


def _asked(luck: random.Random, text: str, team: str) -> Asked:
    key = f"t-{luck.randrange(400):03d}"
    channel = luck.choices(CHANNELS, weights=CHANNEL_WEIGHTS)[0]
    return Asked(key=key, inputs={"message": text, "channel": channel, "tenant": key}, truth=team)


def make(folder: Path) -> None:
    """Write the project."""
    files.copy("notebook_trap", folder)
    files.write(folder / "data" / "train.csv", files.many(tester, 600, seed=1), target="team")
    files.write(folder / "data" / "test.csv", files.many(tester, 300, seed=2), target="team")


def alarm(view: View) -> Incident | None:
    """Return the incident about quality or answers since tenants write."""
    found = [i for i in view.alarms(since=REAL) if i.harm in (Harm.QUALITY, Harm.OUTPUT)] if REAL in view.phases else []
    return max(found, key=lambda i: SEVERITY_ORDER.index(i.severity), default=None)


def trapped(view: View) -> Seen:
    """The score that the team believes in."""
    metrics = view.releases[0].facts["metrics"]
    score = float(metrics["accuracy"]["value"])
    return Seen(holds=score >= 0.99, text=f"{score:.1%} right on the team's own test")


def harm_done(view: View) -> Seen:
    """What tenants get is another story."""
    right = view.phases[REAL].accuracy or 0.0
    return Seen(holds=right <= 0.7, text=f"{right:.1%} of the answers to tenants are right")


def quiet(view: View) -> Seen:
    """Nothing is raised while people write as the testers did."""
    tally = view.phases[QUIET]
    early = [i for i in view.alarms() if tally.ended is None or i.opened_at <= tally.ended]
    return Seen(holds=not early, text="; ".join(i.title for i in early) or "no alarm")


def answered(view: View) -> Seen:
    """Every answer is 200: no other tool would notice."""
    return all_answered(view.phases[REAL])


def detected(view: View) -> Seen:
    """An incident says that answers are worse."""
    found = alarm(view)
    if found is None or found.severity is Severity.NOTE:
        return Seen(holds=False, text="; ".join(i.title for i in view.incidents) or "no incident")
    return Seen(holds=True, text=f"incident {found.id} ({found.harm.value}): {found.title}")


def told_where(view: View) -> Seen:
    """The incident names words or segments."""
    found = alarm(view)
    if found is None:
        return Seen(holds=False, text="there was no such incident")
    words = [item["word"] for told in found.facts.get("words", {}).values() for item in told]
    segments = [item["segment"] for item in found.facts.get("segments", []) if item["shown"]]
    text = f"words {', '.join(words[:6]) or 'none'}; segments {', '.join(segments[:3]) or 'none'}"
    return Seen(holds=bool(words or segments), text=text)


def marked(view: View) -> Seen:
    """Answers themselves say that they are not to be trusted."""
    before, now = view.phases[QUIET].low_trust, view.phases[REAL].low_trust
    text = f"{now:.0%} of the answers marked low or abstain, {before:.1%} before"
    return Seen(holds=now >= 0.5 and before <= 0.05, text=text)


def still_open(view: View) -> Seen:
    """Nothing got better, so nothing is called over."""
    found = alarm(view)
    if found is None:
        return Seen(holds=False, text="there was no such incident")
    is_open = found.state in (State.OPEN, State.ACKNOWLEDGED)
    return Seen(holds=is_open, text=f"incident {found.id} is {found.state.value}")


def advised(view: View) -> Seen:
    """The incident says what to do: label, then retrain."""
    found = alarm(view)
    advice = str(found.facts.get("recommendation", "")) if found else ""
    good = "label" in advice.lower() and "retrain" in advice.lower()
    return Seen(holds=good, text=advice or "no recommendation")


def unchanged(view: View) -> Seen:
    """Without labels nothing is trained, and the champion stays."""
    name = view.champion.name if view.champion else "nobody"
    others = [job for job in view.jobs if job.kind == "train"]
    holds = name.endswith("@1") and len(view.releases) == 1 and not others
    return Seen(holds=holds, text=f"{name} answers; {len(others)} trainings by themselves")


DRILL = Drill(
    name="notebook-trap",
    title="A perfect score on the team's own test, then real users write differently",
    question="Would anybody hear that the answers are wrong while every one of them is 200 and nobody labels anything?",
    begins=datetime(2026, 3, 2, 10, tzinfo=UTC),
    make=make,
    phases=(
        Phase(
            name=QUIET,
            title="people write as in the team's data set",
            legs=(Leg(lasts=DAY, step=HOUR),),
            user=tester,
            rate=RATE,
        ),
        Phase(
            name=REAL,
            title="real tenants write: slang, typos, other languages",
            legs=(Leg(lasts=3 * HOUR, step=10 * MINUTE), Leg(lasts=21 * HOUR, step=HOUR)),
            user=tenant,
            rate=RATE,
        ),
    ),
    expectations=(
        Expectation(
            name="perfect score",
            kind=Kind.PREMISE,
            text="the notebook's score is perfect",
            when=When.AT_END,
            since=QUIET,
            seen=trapped,
        ),
        Expectation(
            name="harm",
            kind=Kind.PREMISE,
            text="tenants get wrong answers",
            when=When.AT_END,
            since=REAL,
            seen=harm_done,
        ),
        Expectation(
            name="silent",
            kind=Kind.PREMISE,
            text="every answer to tenants is 200",
            when=When.ALWAYS,
            since=REAL,
            seen=answered,
        ),
        Expectation(
            name="quiet",
            kind=Kind.QUIET,
            text="no alarm while people write as in the data set",
            when=When.ALWAYS,
            since=QUIET,
            until=QUIET,
            seen=quiet,
        ),
        Expectation(
            name="incident",
            kind=Kind.DETECT,
            text="an incident about quality opens without any label",
            when=When.BY,
            since=REAL,
            within=4 * HOUR,
            seen=detected,
        ),
        Expectation(
            name="where",
            kind=Kind.DETECT,
            text="it names words or segments",
            when=When.BY,
            since=REAL,
            within=DAY,
            seen=told_where,
        ),
        Expectation(
            name="low trust",
            kind=Kind.REACT,
            text="answers are marked as not to be trusted",
            when=When.AT_END,
            since=REAL,
            seen=marked,
        ),
        Expectation(
            name="unchanged",
            kind=Kind.REACT,
            text="the champion stays and nothing is trained without labels",
            when=When.ALWAYS,
            since=QUIET,
            seen=unchanged,
        ),
        Expectation(
            name="open",
            kind=Kind.END,
            text="the incident is open",
            when=When.AT_END,
            since=REAL,
            seen=still_open,
        ),
        Expectation(
            name="advice",
            kind=Kind.END,
            text="it says: label, then retrain",
            when=When.AT_END,
            since=REAL,
            seen=advised,
        ),
    ),
)
