"""Season is no drift: hours and weekdays raise nothing, growth does, and what the reference never saw is said."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mainstay.config.settings import WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Policy, Role, Task
from mainstay.core.profiles import Profile
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals
from mainstay.watch import compare, findings, outlook
from mainstay.watch.window import Observation

START = datetime(2026, 1, 5, tzinfo=UTC)
BIKE = Path(__file__).parents[3].parent / "shared" / "data" / "bike" / "hour.csv"


def contract(*numbers: str) -> Contract:
    return Contract(
        task=Task.REGRESSION,
        target="y",
        time="at",
        fields=(
            *(Field(name=name, type=FieldType.NUMBER, on_range=Policy.FLAG) for name in numbers),
            Field(name="kind", type=FieldType.CATEGORY, values=("a", "b"), required=False),
            Field(name="at", type=FieldType.TIMESTAMP, roles=(Role.IGNORED,)),
        ),
    )


SERIES = contract("x", "z")


def series(
    rng: np.random.Generator, start: datetime, hours: int, per_hour: int, *, growth: float = 0.0
) -> list[dict[str, Any]]:
    """Return rows whose number and category follow the hour and the weekend, with known truth."""
    rows = []
    for hour in range(hours):
        at = start + timedelta(hours=hour)
        level = 0.8 * np.sin(2 * np.pi * at.hour / 24) + 0.5 * (at.weekday() >= 5) + growth
        share = 0.5 + 0.3 * (at.hour < 8)
        for _ in range(per_hour):
            rows.append(
                {
                    "x": float(level + rng.standard_normal()),
                    "z": float(rng.standard_normal()),
                    "kind": "a" if rng.random() < share else "b",
                    "at": at.isoformat(),
                }
            )
    return rows


def profile_of(rows: Sequence[dict[str, Any]], made: Contract) -> Profile:
    answers = [Answer(label=0.0, confidence=None) for _ in rows]
    return build_profile(made, rows, answers, None, None, source="test", vocabulary={})


def observations(rows: Sequence[dict[str, Any]], made: Contract) -> list[Observation]:
    signals = RowSignals(made, {})
    out = []
    for i, row in enumerate(rows):
        at = datetime.fromisoformat(row["at"])
        measured = {name: value for name, value in signals.measure(row).items() if value is not None}
        out.append(Observation(id=str(i), key=str(i), occurred_at=at, received_at=at, signals=measured))
    return out


def alarms(
    profile: Profile, rows: Sequence[Observation], size: int, settings: WatchSettings
) -> Iterator[tuple[int, compare.Comparison, compare.WatchState]]:
    """Feed the rows in blocks; give each alarm with the number of its block."""
    state = compare.WatchState(model="m", bundle="m@1")
    for number, at in enumerate(range(0, len(rows), size)):
        found = compare.update(state, rows[at : at + size], profile, settings)
        if found.alarm:
            yield number, found, state
            compare.reset(state)


@functools.cache
def known() -> Profile:
    return profile_of(series(np.random.default_rng(1), START, 24 * 28, 15), SERIES)


def test_hours_and_weekdays_raise_nothing_where_they_are_matched() -> None:
    """Two weeks of the synthetic series. At one false page in 30 days a false failure has a chance below 1 in 100."""
    rows = observations(series(np.random.default_rng(2), START + timedelta(days=28), 24 * 14, 60), SERIES)
    assert list(alarms(known(), rows, 60, WatchSettings())) == []


def test_without_matching_the_same_traffic_cries_wolf() -> None:
    rows = observations(series(np.random.default_rng(2), START + timedelta(days=28), 24 * 2, 60), SERIES)
    assert len(list(alarms(known(), rows, 60, WatchSettings(season="off")))) >= 3


def test_growth_is_found_beside_the_season() -> None:
    rows = series(np.random.default_rng(3), START + timedelta(days=28), 24 * 2, 60)
    rows += series(np.random.default_rng(4), START + timedelta(days=30), 24 * 2, 60, growth=0.4)
    number, found, state = next(alarms(known(), observations(rows, SERIES), 60, WatchSettings()))
    assert 48 <= number < 60
    names = [item.name for item in found.plan.watched]
    assert names[int(np.argmax(found.assessment.by_stream))] == "x"
    assert abs(state.since[found.assessment.start] - (START + timedelta(days=30))) <= timedelta(hours=6)


def years(rng: np.random.Generator, *, growth: float = 0.0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return two years by the hour: a yearly course, what months and days do by themselves, growth."""
    out: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    weather = 0.0
    for year, rows in enumerate(out):
        own = 0.15 * rng.standard_normal(12)
        for hour in range(24 * 365):
            at = datetime(2025 + year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
            if at.hour == 0:
                weather = 0.6 * weather + 0.3 * rng.standard_normal()
            course = -1.2 * np.cos(2 * np.pi * hour / (24 * 365)) + own[at.month - 1] + weather
            level = course + 0.8 * np.sin(2 * np.pi * at.hour / 24) + growth * year
            z = float(rng.standard_normal())
            rows.append({"x": float(level + rng.standard_normal()), "z": z, "kind": None, "at": at.isoformat()})
    return out


def test_another_year_raises_no_more_than_the_budget_and_growth_is_told_within_its_first_quarter() -> None:
    """What months and days of a year do by themselves is no growth; a σ more from the first day on is."""
    quiet, _ = years(np.random.default_rng(11))
    profile = profile_of(quiet, SERIES)
    same, grown = (years(np.random.default_rng(11), growth=g)[1] for g in (0.0, 1.5))
    raised = len(list(alarms(profile, observations(same, SERIES), 24, WatchSettings())))
    assert raised <= 365 / 30  # the mean that the budget allows
    quarter = observations(grown[: 24 * 90], SERIES)
    _, found, state = next(alarms(profile, quarter, 24, WatchSettings()))
    told = findings.find(state, found)
    assert told[0].signal == "x"
    assert "above what its season had" in told[0].text


def test_hours_alone_can_be_matched() -> None:
    plan = compare.plan_of(known(), WatchSettings(season="hour"))
    pattern = plan.watched[[w.name for w in plan.watched].index("x")].pattern
    assert pattern is not None
    by_day = pattern.week[:, 0].reshape(7, 24)
    assert by_day[0] == pytest.approx(by_day[6])
    assert np.ptp(by_day[0]) > 1.0


def test_a_reference_without_times_is_compared_as_it_stands() -> None:
    rows = [{**row, "at": None} for row in series(np.random.default_rng(5), START, 24 * 4, 15)]
    profile = profile_of(rows, SERIES)
    assert profile.first_at is None
    assert compare.plan_of(profile, WatchSettings()).bank.season is None


def test_a_short_reference_has_no_season() -> None:
    profile = profile_of(series(np.random.default_rng(5), START, 24, 15), SERIES)
    assert profile.first_at == START
    assert not any(signal.week for signal in profile.signals)


@pytest.mark.parametrize(
    ("days", "told"),
    [(30, "less than two years"), (180, "outside the season seen"), (365, "less than two years")],
)
def test_what_the_reference_cannot_know_of_the_season_is_said(days: int, told: str) -> None:
    moment = START + timedelta(days=days)
    assert told in outlook.season_note(known(), moment, moment + timedelta(days=1))


def bike(years: Sequence[str]) -> list[dict[str, Any]]:
    with BIKE.open() as file:
        return [
            {
                **{name: float(row[name]) for name in ("cnt", "casual", "registered")},
                "kind": None,
                "at": f"{row['dteday']}T{int(row['hr']):02d}:00:00+00:00",
            }
            for row in csv.DictReader(file)
            if row["yr"] in years
        ]


RENTALS = contract("cnt", "casual", "registered")
needs_bike = pytest.mark.skipif(not BIKE.exists(), reason=f"the bike rentals are not at {BIKE}")


@needs_bike
def test_the_growth_of_the_bike_rentals_between_the_years_is_reported() -> None:
    profile = profile_of(bike(["0"]), RENTALS)
    rows = observations(bike(["1"]), RENTALS)
    found = list(alarms(profile, rows, 24, WatchSettings()))
    assert found
    first = rows[found[0][0] * 24].occurred_at
    assert first < datetime(2012, 4, 1, tzinfo=UTC)
    assert "less than two years" in outlook.season_note(profile, first, first)


@needs_bike
def test_hours_and_weekdays_of_the_bike_rentals_raise_nothing() -> None:
    """Every second week of one quarter against the others, without its two holidays: the same months, no growth."""
    holidays = ("2011-07-04", "2011-09-05")
    rows = [row for row in bike(["0"]) if "2011-07" <= row["at"] < "2011-10" and row["at"][:10] not in holidays]
    even = [row for row in rows if datetime.fromisoformat(row["at"]).isocalendar().week % 2 == 0]
    odd = [row for row in rows if datetime.fromisoformat(row["at"]).isocalendar().week % 2 == 1]
    profile = profile_of(even, RENTALS)
    assert list(alarms(profile, observations(odd, RENTALS), 8, WatchSettings())) == []
    assert list(alarms(profile, observations(odd, RENTALS), 8, WatchSettings(season="off")))


RARE = Contract(
    task=Task.REGRESSION,
    target="y",
    time="at",
    fields=(
        Field(name="kind", type=FieldType.CATEGORY, values=("a",), required=False),
        Field(name="at", type=FieldType.TIMESTAMP, roles=(Role.IGNORED,)),
    ),
)


def gaps(rng: np.random.Generator, start: datetime, hours: int, share: float) -> list[dict[str, Any]]:
    """Return three rows an hour of which so many lack `kind`, by chance alone."""
    times = [(start + timedelta(hours=i // 3)).isoformat() for i in range(3 * hours)]
    return [{"kind": None if rng.random() < share else "a", "at": at} for at in times]


BURSTS = Contract(
    task=Task.REGRESSION,
    target="y",
    time="at",
    fields=(
        Field(name="kind", type=FieldType.CATEGORY, required=False),
        Field(name="other", type=FieldType.CATEGORY, required=False),
        Field(name="at", type=FieldType.TIMESTAMP, roles=(Role.IGNORED,)),
    ),
)


def bursts(rng: np.random.Generator, start: datetime, hours: int) -> list[dict[str, Any]]:
    """Return three rows an hour that lack `kind` in a tenth of the stretches of 18 rows, and hardly ever `other`."""
    rows = [row | {"other": "b"} for row in gaps(rng, start, hours, 0.0)]
    for at in range(0, len(rows), 18):
        if rng.random() < 0.1:
            for row in rows[at : at + 18]:
                row["kind"] = None
    for i in rng.choice(len(rows), 2, replace=False):
        rows[i]["other"] = None
    return rows


def test_gaps_in_bursts_that_the_reference_has_too_hardly_raise_an_alarm_beside_a_season() -> None:
    """Bursts as long as a block are the hardest: 48 alarms before, 8 since; 3 are allowed."""
    profile = profile_of(bursts(np.random.default_rng(0), START, 24 * 90), BURSTS)
    later = bursts(np.random.default_rng(7), START + timedelta(days=90), 24 * 90)
    assert len(list(alarms(profile, observations(later, BURSTS), 18, WatchSettings()))) <= 12


@functools.cache
def rare(held: int) -> Profile:
    """Return the profile of 120 days in which so many of 8,640 rows lack `kind`, at different hours."""
    rows = gaps(np.random.default_rng(0), START, 24 * 120, 0.0)
    for i in np.random.default_rng(held).choice(len(rows), held, replace=False):
        rows[i]["kind"] = None
    return profile_of(rows, RARE)


@pytest.mark.parametrize("size", [18, 200])
@pytest.mark.parametrize(("held", "share"), [(1, 1e-4), (9, 1e-3)])
def test_what_hardly_ever_comes_raises_no_more_than_the_budget_beside_a_season(
    held: int, share: float, size: int
) -> None:
    """120 days with the share of the reference; the mean that the budget allows is 4."""
    later = gaps(np.random.default_rng(7), START + timedelta(days=120), 24 * 120, share)
    assert len(list(alarms(rare(held), observations(later, RARE), size, WatchSettings()))) <= 4


@pytest.mark.parametrize("size", [18, 60, 200])
@pytest.mark.parametrize("held", [1, 3, 9])
def test_one_gap_is_no_alarm_beside_a_season(held: int, size: int) -> None:
    rows = gaps(np.random.default_rng(0), START + timedelta(days=120), 24 * 30, 0.0)
    rows[1_000]["kind"] = None
    assert list(alarms(rare(held), observations(rows, RARE), size, WatchSettings())) == []


@pytest.mark.parametrize(("share", "blocks"), [(0.05, 12), (0.5, 1)])
def test_gaps_that_become_usual_are_told_beside_a_season_as_soon_as_without(share: float, blocks: int) -> None:
    """From hardly any gap to a twentieth of the rows, or to half of them; blocks of 18 rows, medians of five runs."""
    delays: dict[str, list[int]] = {"auto": [], "off": []}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rows = gaps(rng, START + timedelta(days=120), 24 * 5, 1e-3)
        rows += gaps(rng, START + timedelta(days=125), 6 * 40, share)
        for matched, found in delays.items():
            told = alarms(rare(9), observations(rows, RARE), 18, WatchSettings.model_validate({"season": matched}))
            found.append(next(number for number, _, _ in told) - 20 + 1)
    assert min(delays["auto"]) >= 1
    assert np.median(delays["auto"]) <= min(blocks, np.median(delays["off"]))
