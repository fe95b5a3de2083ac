"""The drill "season": what people want changes overnight, clicks fall below their floor, and are back hours later."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mainstay.core.incidents import Harm, Incident
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
    all_answered,
)

SUMMER, WINTER = "summer", "winter"
GROUPS = ("city", "coast", "mountains")
SHELVES = ("swimming", "hiking", "cycling", "skiing", "reading")
WANTED = {
    SUMMER: {"city": "cycling", "coast": "swimming", "mountains": "hiking"},
    WINTER: {"city": "reading", "coast": "hiking", "mountains": "skiing"},
}
"""What most of a group look for."""
DEGREES = {SUMMER: 20.0, WINTER: 6.0}
"""What it is like outside on average, and how it spreads: a cool day of summer is as warm as one of winter."""
SPREAD = {SUMMER: 6.0, WINTER: 2.5}
SURE = 0.8
SHOPPERS = 6_000
FLOOR = 0.15
CLICKS = 0.3
"""Of what is shown and wanted, so much is clicked."""
RATE = 1_500.0
"""Visits an hour."""
THINNED = 60.0
"""Of the day before the change so many visits an hour are played in the short form, instead of all."""


def shopper(luck: random.Random, season: str) -> Asked:
    """Return one visit: who comes, what it is like outside, and the shelf that they look for."""
    number = luck.randrange(SHOPPERS)
    group = GROUPS[number % len(GROUPS)]
    wanted = WANTED[season][group] if luck.random() < SURE else luck.choice(SHELVES)
    inputs: dict[str, Any] = {
        "group": group,
        "visits": min(30, 1 + int(luck.expovariate(0.2))),
        "basket": round(luck.lognormvariate(3.2, 0.5), 2),
        "degrees": round(luck.gauss(DEGREES[season], SPREAD[season]), 1),
        "shopper": f"S-{number:04d}",
    }
    return Asked(key=str(inputs["shopper"]), inputs=inputs, truth=wanted)


def in_summer(luck: random.Random) -> Asked:
    """Return a visit as those that the recommender was trained on."""
    return shopper(luck, SUMMER)


def in_winter(luck: random.Random) -> Asked:
    """Return a visit after the season changed."""
    return shopper(luck, WINTER)


def make(folder: Path, seed: int = 0) -> None:
    """Write the project."""
    files.copy("season", folder)
    files.write(folder / "data" / "train.csv", files.many(in_summer, 2000, seed=2 * seed + 1), target="shelf")
    files.write(folder / "data" / "test.csv", files.many(in_summer, 2000, seed=2 * seed + 2), target="shelf")


def below(view: View) -> Incident | None:
    """Return the page that says that clicks are below their floor."""
    found = [i for i in view.incidents if i.harm is Harm.REWARD]
    return found[0] if found else None


def retrained(view: View) -> Release | None:
    """Return the newest version that the fall of the clicks had trained."""
    found = [release for release in view.releases if release.trigger.startswith("incident:")]
    return found[-1] if found else None


def quiet(view: View) -> Seen:
    """Nothing is told of clicks in summer."""
    found = below(view)
    return Seen(holds=found is None, text=found.title if found else "clicks are above their floor")


def harmed(view: View) -> Seen:
    """Clicks really fell: what is shown is no longer what people want."""
    before, now = view.phases[SUMMER].accuracy or 0.0, view.phases[WINTER].accuracy or 0.0
    text = f"what was shown was wanted by {before:.0%} in summer, by {now:.0%} after the change until it was mended"
    return Seen(holds=before - now >= 0.2, text=text)


def told(view: View) -> Seen:
    """A page says that clicks are below their floor."""
    found = below(view)
    return Seen(holds=found is not None, text=found.title if found else "no incident about clicks")


def trained(view: View) -> Seen:
    """A version is trained on the last day, by itself."""
    found = retrained(view)
    if found is None:
        return Seen(holds=False, text="none")
    rows = view.learned(found)
    lived = int((rows["_origin"] == "traffic").sum())
    new = int((rows["_happened"] >= view.phases[WINTER].began).sum())
    text = f"{found.name} ({found.trigger}), of {lived} labels of the last day and {len(rows) - lived} older rows; "
    return Seen(holds=True, text=f"{text}{new} labels are of the new season")


def passed(view: View) -> Seen:
    """It passed its gate: the comparison on newest labels, which it did not learn."""
    found = retrained(view)
    if found is None:
        return Seen(holds=False, text="none was trained")
    return Seen(holds=found.stage not in (Stage.REGISTERED, Stage.REFUSED), text=f"{found.name}: {found.reason}")


def canary(view: View) -> Seen:
    """Part of the shoppers meet it first."""
    found = retrained(view)
    late = found is not None and found.stage in (Stage.CANARY, Stage.PROBATION, Stage.CERTIFIED)
    return Seen(holds=late, text=f"{found.name} is at {found.stage.value}" if found else "none was trained")


def answers(view: View) -> Seen:
    """It answers everybody."""
    found = retrained(view)
    live = found is not None and found.stage in (Stage.PROBATION, Stage.CERTIFIED)
    return Seen(holds=live, text=f"{found.name} is at {found.stage.value}" if found else "none was trained")


def recovered(view: View) -> Seen:
    """Clicks are above their floor again, measured on what shoppers did at the end."""
    clicks = view.notes.get("rewards_lately", (0, 0))
    rate = clicks[0] / clicks[1] if clicks[1] else 0.0
    holds = clicks[1] >= 60 and rate >= FLOOR and answers(view).holds
    return Seen(holds=holds, text=f"{clicks[0]} clicks on the last {clicks[1]} answers ({rate:.3f}, floor {FLOOR:g})")


def nobody_failed(view: View) -> Seen:
    """Every visit was answered."""
    return all_answered(view.phases[WINTER])


def mended(view: View) -> bool:
    """Return whether the new version has answered everybody for a while."""
    return WINTER in view.phases and recovered(view).holds


def story(*, seed: int = 0, day_rate: float = THINNED, changes: bool = True) -> Drill:
    """Return the story; with another seed other visits, without a change the same with summer going on.

    `day_rate`: visits an hour of the day before; RATE: all of them.
    """
    return Drill(
        name="season",
        title="A season changes overnight, and what a recommender shows is no longer clicked",
        question="How many hours until a model that is right for last season has learned the new one, by itself?",
        begins=datetime(2026, 9, 20, 8, tzinfo=UTC),
        make=partial(make, seed=seed),
        seed=7 + seed,
        phases=(
            Phase(
                name=SUMMER,
                title="shoppers want what they wanted in the training data",
                legs=(Leg(lasts=24 * HOUR, step=2 * HOUR if day_rate < RATE else 10 * MINUTE),),
                user=in_summer,
                rate=lambda _: day_rate,
                labelled=0.3,
                labels_after=20 * MINUTE,
                reward="click",
                reward_chance=CLICKS,
            ),
            Phase(
                name=WINTER,
                title="the season changed: the same shoppers want other shelves",
                legs=(Leg(lasts=8 * HOUR, step=10 * MINUTE),),
                user=in_winter if changes else in_summer,
                rate=lambda _: RATE,
                labelled=0.3,
                labels_after=20 * MINUTE,
                reward="click",
                reward_chance=CLICKS,
                over=mended,
            ),
        ),
        expectations=(
            Expectation(
                name="harm",
                kind=Kind.PREMISE,
                text="what is shown is no longer wanted",
                when=When.BY,
                since=WINTER,
                within=HOUR,
                seen=harmed,
            ),
            Expectation(
                name="quiet",
                kind=Kind.QUIET,
                text="no alarm about clicks in summer",
                when=When.ALWAYS,
                since=SUMMER,
                until=SUMMER,
                seen=quiet,
            ),
            Expectation(
                name="page",
                kind=Kind.DETECT,
                text="a page says that clicks are below their floor",
                when=When.BY,
                since=WINTER,
                within=3 * HOUR,
                seen=told,
            ),
            Expectation(
                name="training",
                kind=Kind.REACT,
                text="a version is trained on the last day's labels by itself",
                when=When.BY,
                since=WINTER,
                within=3 * HOUR,
                seen=trained,
            ),
            Expectation(
                name="gate",
                kind=Kind.REACT,
                text="it passes its gate",
                when=When.BY,
                since=WINTER,
                within=3 * HOUR,
                seen=passed,
            ),
            Expectation(
                name="canary",
                kind=Kind.REACT,
                text="part of the shoppers meet it first",
                when=When.BY,
                since=WINTER,
                within=3 * HOUR,
                seen=canary,
            ),
            Expectation(
                name="everybody",
                kind=Kind.END,
                text="it answers everybody",
                when=When.BY,
                since=WINTER,
                within=4 * HOUR,
                seen=answers,
            ),
            Expectation(
                name="recovery",
                kind=Kind.END,
                text="clicks are above their floor again",
                when=When.BY,
                since=WINTER,
                within=4 * HOUR,
                seen=recovered,
            ),
            Expectation(
                name="answered",
                kind=Kind.END,
                text="every visit was answered meanwhile",
                when=When.ALWAYS,
                since=WINTER,
                seen=nobody_failed,
            ),
        ),
    )


DRILL = story()
