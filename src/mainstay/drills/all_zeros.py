"""The drill "all-zeros": an upstream field is renamed, and an extractor fills its default for three days."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mainstay.core.incidents import Harm, Incident, Severity, State
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

FIELD, RENAMED = "pressure_bar", "pressure_bar_abs"
FIELDS = ("flow_c", "return_c", FIELD, "compressor_hz")
PUMPS = 160
QUIET, BROKEN, BACK = "quiet", "broken", "back"
RATE = rhythm(day=24.0, night=6.0)


def reading(luck: random.Random, *, field: str = FIELD) -> tuple[dict[str, Any], str]:
    """Return one record as the building's system sends it, and whether the pump leaks."""
    leaks = luck.random() < 0.3
    flow = luck.gauss(44, 4)
    record = {
        "flow_c": round(flow, 1),
        "return_c": round(flow - max(0.5, luck.gauss(3.6 if leaks else 6.0, 1.1)), 1),
        field: round(max(4.0, luck.gauss(15.5 if leaks else 21.0, 2.2)), 1),
        "compressor_hz": round(min(100.0, max(20.0, luck.gauss(60 if leaks else 51, 8))), 1),
        "building": luck.choices(("school", "office", "housing"), weights=(3, 4, 3))[0],
        "pump": f"P-{luck.randrange(PUMPS):03d}",
    }
    return record, "leak" if leaks else "fine"


def extract(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model is asked: the extractor's one careless line is the default."""
    numbers = {name: record.get(name, 0.0) for name in FIELDS}
    return {**numbers, "building": record["building"], "pump": record["pump"]}


def user(luck: random.Random) -> Asked:
    """Ask about a reading as it was always sent."""
    record, truth = reading(luck)
    return Asked(key=record["pump"], inputs=extract(record), truth=truth)


def user_renamed(luck: random.Random) -> Asked:
    """Ask about a reading of the new upstream version, through the old extractor."""
    record, truth = reading(luck, field=RENAMED)
    return Asked(key=record["pump"], inputs=extract(record), truth=truth)


def make(folder: Path) -> None:
    """Write the project."""
    files.copy("all_zeros", folder)
    files.write(folder / "data" / "train.csv", files.many(user, 900, seed=1), target="state")
    files.write(folder / "data" / "test.csv", files.many(user, 600, seed=2), target="state")


def fault(view: View) -> Incident | None:
    """Return the page about the field."""
    for incident in view.alarms(since=BROKEN):
        named = any(finding.signal.partition(".")[0] == FIELD for finding in incident.findings)
        if incident.harm is Harm.DATA_FAULT and incident.severity is Severity.PAGE and named:
            return incident
    return None


def quiet(view: View) -> Seen:
    """Nothing was raised before the field was renamed."""
    early = [i for i in view.alarms() if BROKEN not in view.phases or i.opened_at < view.phases[BROKEN].began]
    return Seen(holds=not early, text="; ".join(i.title for i in early) or "no alarm")


def zeros_answered(view: View) -> Seen:
    """The failure is a silent one."""
    return all_answered(view.phases[BROKEN])


def harm_done(view: View) -> Seen:
    """Answers are really worse, whatever the model believes of them."""
    before, now = view.phases[QUIET].accuracy or 0.0, view.phases[BROKEN].accuracy or 0.0
    return Seen(holds=before - now >= 0.1, text=f"{before:.0%} right before, {now:.0%} with the broken field")


def detected(view: View) -> Seen:
    """A page names the field."""
    found = fault(view)
    if found is None:
        return Seen(holds=False, text="; ".join(f"{i.harm.value}: {i.title}" for i in view.alarms()) or "no incident")
    return Seen(holds=True, text=f"incident {found.id}: {found.title}")


def one_page(view: View) -> Seen:
    """One cause, one page."""
    found = view.alarms(since=BROKEN)
    return Seen(holds=len(found) <= 1, text=f"{len(found)} incidents since the field was renamed")


def not_retrained(view: View) -> Seen:
    """No training was started, though labels enough for one came."""
    trained = [job for job in view.jobs if job.kind == "train"]
    labels = view.notes.get("labels", 0)
    return Seen(holds=not trained, text=f"{len(trained)} trainings; {labels} labels came")


def learned_whole(view: View) -> Seen:
    """What is trained once the field is back has learned no zero."""
    later = [release for release in view.releases if release.version > 1]
    zeros = sum(int((view.learned(release)[FIELD] == 0.0).sum()) for release in later)
    rows = sum(view.learned(release).height for release in later)
    text = f"{', '.join(release.name for release in later) or 'no version'} trained since; {zeros} of {rows} rows are 0"
    return Seen(holds=bool(later) and zeros == 0, text=text)


def champion_stays(view: View) -> Seen:
    """The version that answered goes on answering."""
    name = view.champion.name if view.champion else "nobody"
    return Seen(holds=name.endswith("@1"), text=f"{name} answers")


def closed(view: View) -> Seen:
    """The incident is over once the field is back."""
    found = fault(view)
    if found is None:
        return Seen(holds=False, text="there was no such incident")
    over = found.state in (State.MITIGATED, State.RESOLVED)
    return Seen(holds=over, text=f"incident {found.id} is {found.state.value}")


DRILL = Drill(
    name="all-zeros",
    title="An upstream field is renamed, and an extractor fills zeros for three days",
    question="Would anybody hear of a field that arrives as zero while every answer is 200, and is nothing learned "
    "from it?",
    begins=datetime(2026, 3, 2, 10, tzinfo=UTC),
    make=make,
    phases=(
        Phase(
            name=QUIET,
            title="readings arrive as in training",
            legs=(Leg(lasts=2 * DAY, step=3 * HOUR),),
            user=user,
            rate=RATE,
            labelled=0.4,
        ),
        Phase(
            name=BROKEN,
            title=f"upstream calls `{FIELD}` `{RENAMED}` from now on; the extractor sends 0",
            legs=(
                Leg(lasts=2 * HOUR, step=5 * MINUTE),
                Leg(lasts=10 * HOUR, step=HOUR),
                Leg(lasts=2 * DAY + 12 * HOUR, step=4 * HOUR),
            ),
            user=user_renamed,
            rate=RATE,
            labelled=0.4,
        ),
        Phase(
            name=BACK,
            title=f"the extractor reads `{RENAMED}`; the field is back",
            legs=(Leg(lasts=2 * DAY, step=3 * HOUR),),
            user=user,
            rate=RATE,
            labelled=0.4,
        ),
    ),
    expectations=(
        Expectation(
            name="silent",
            kind=Kind.PREMISE,
            text="every reading with the zero is answered",
            when=When.ALWAYS,
            since=BROKEN,
            until=BROKEN,
            seen=zeros_answered,
        ),
        Expectation(
            name="harm",
            kind=Kind.PREMISE,
            text="the zeros do harm",
            when=When.AT_END,
            since=BROKEN,
            seen=harm_done,
        ),
        Expectation(
            name="quiet",
            kind=Kind.QUIET,
            text="no alarm on quiet days",
            when=When.ALWAYS,
            since=QUIET,
            until=QUIET,
            seen=quiet,
        ),
        Expectation(
            name="page",
            kind=Kind.DETECT,
            text=f"a page about broken data names `{FIELD}`",
            when=When.BY,
            since=BROKEN,
            within=HOUR,
            seen=detected,
        ),
        Expectation(
            name="one page",
            kind=Kind.DETECT,
            text="one incident, not many",
            when=When.ALWAYS,
            since=BROKEN,
            seen=one_page,
        ),
        Expectation(
            name="no retraining",
            kind=Kind.REACT,
            text="nothing is trained on the broken rows",
            when=When.ALWAYS,
            since=BROKEN,
            until=BROKEN,
            seen=not_retrained,
        ),
        Expectation(
            name="champion",
            kind=Kind.REACT,
            text="the champion stays",
            when=When.ALWAYS,
            since=QUIET,
            until=BROKEN,
            seen=champion_stays,
        ),
        Expectation(
            name="over",
            kind=Kind.END,
            text="the incident is over after the field is back",
            when=When.BY,
            since=BACK,
            within=2 * DAY,
            seen=closed,
        ),
        Expectation(
            name="learned",
            kind=Kind.END,
            text="the training that was put off comes then, without the broken rows",
            when=When.AT_END,
            since=BACK,
            seen=learned_whole,
        ),
    ),
)
