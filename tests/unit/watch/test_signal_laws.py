"""Every signal finds what it is for within one window at the level of the budget, and is quiet else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from mainstay.config.settings import FalsePagesSettings, WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Policy, Role, Task
from mainstay.core.events import Arm, Event, Kind, Trust
from mainstay.core.profiles import Profile
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals
from mainstay.watch import compare, findings
from mainstay.watch.window import observe

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
SETTINGS = WatchSettings(false_pages=FalsePagesSettings(expected=1, days=1000))
WINDOW = 1_000
REFERENCE = 2_000
CONTRACT = Contract(
    task=Task.BINARY,
    target="paid",
    classes=("no", "yes"),
    time="asked_at",
    fields=(
        Field(name="price", type=FieldType.NUMBER, required=False, on_range=Policy.FLAG),
        Field(name="weight", type=FieldType.NUMBER, required=False),
        Field(name="size", type=FieldType.NUMBER, required=False),
        Field(name="channel", type=FieldType.CATEGORY, required=False, on_unknown=Policy.FLAG),
        Field(name="member", type=FieldType.BOOLEAN, required=False),
        Field(name="region", type=FieldType.CATEGORY, required=False, roles=(Role.FEATURE, Role.SEGMENT)),
        Field(name="note", type=FieldType.TEXT, required=False),
        Field(name="asked_at", type=FieldType.TIMESTAMP, required=False),
        Field(name="due_at", type=FieldType.TIMESTAMP, required=False),
    ),
)
WORDS = (
    *("where", "is", "the", "money", "that", "you", "have", "from", "my", "account"),
    *("and", "what", "about", "this", "card", "with", "a", "fee", "of", "two"),
)
VOCABULARY = {"note": frozenset(WORDS)}
Change = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]
"""Changes one row; what begins with `_` is the answer."""


def row(rng: np.random.Generator) -> dict[str, Any]:
    common = rng.standard_normal()
    score = float(rng.beta(2, 2))
    return {
        "price": None
        if rng.random() < 0.02
        else float(np.exp(3 + 0.5 * (0.9 * common + 0.44 * rng.standard_normal()))),
        "weight": float(10 + 0.9 * common + 0.44 * rng.standard_normal()),
        "size": float(5 + 0.9 * common + 0.44 * rng.standard_normal()),
        "channel": str(rng.choice(["app", "mail", "phone"], p=[0.6, 0.3, 0.1])),
        "member": bool(rng.random() < 0.3),
        "region": str(rng.choice(["north", "south"], p=[0.2, 0.8])),
        "note": " ".join(rng.choice(WORDS, 10)).capitalize() + ".",
        "asked_at": NOW,
        "due_at": NOW + timedelta(days=7) + timedelta(minutes=float(rng.integers(8 * 60, 18 * 60)) + 0.5),
        "_score": score,
        "_trust": Trust.ABSTAIN if abs(score - 0.5) < 0.01 else Trust.OK,
    }


def answer(given: Mapping[str, Any]) -> Answer:
    p = float(given["_score"])
    return Answer(
        label=given.get("_label", "yes" if p >= 0.5 else "no"),
        probabilities={"no": 1.0 - p, "yes": p},
        confidence=max(p, 1.0 - p),
        trust=given["_trust"],
    )


def inputs(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if not name.startswith("_")}


@cache
def reference(seed: int = 0) -> Profile:
    rng = np.random.default_rng(seed)
    rows = [row(rng) for _ in range(REFERENCE)]
    answers = [answer(one) for one in rows]
    given = [inputs(one) for one in rows]
    return build_profile(CONTRACT, given, answers, None, None, source="test", vocabulary=VOCABULARY)


def window(rng: np.random.Generator, number: int, change: Change | None = None, n: int = WINDOW) -> list[Any]:
    signals, at = RowSignals(CONTRACT, VOCABULARY), NOW + timedelta(days=number)
    out = []
    for i in range(n):
        given = row(rng)
        for name in ("asked_at", "due_at"):
            given[name] += timedelta(days=number)
        given = given if change is None else change(given, rng)
        said = answer(given)
        event = Event(
            model="m",
            worker="w",
            seq=number * n + i + 1,
            id=f"{number}-{i}",
            kind=Kind.PREDICTION,
            occurred_at=at,
            received_at=at,
            bundle="m@1",
            served_arm=Arm.CHAMPION,
            key_hash=f"{number}-{i}",
            inputs=inputs(given),
            label=said.label,
            probabilities=said.probabilities,
            confidence=said.confidence,
            trust=said.trust,
        )
        out.append(observe(event, signals, CONTRACT))
    return out


def some(share: float, **values: Any) -> Change:
    """Return a change of a share of the rows to these values (a callable makes one of the row)."""

    def change(given: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        if rng.random() >= share:
            return given
        new = {name: value(given, rng) if callable(value) else value for name, value in values.items()}
        return given | new

    return change


CASES: dict[str, tuple[str, Change]] = {
    "5 % more values missing": ("price.missing", some(0.05, price=None)),
    "5 % zeros where there were none": ("weight.default", some(0.05, weight=0.0)),
    "5 % at -999": ("price.default", some(0.05, price=-999.0)),
    "a number stuck at an ordinary value": ("weight", some(1.0, weight=10.1)),
    "a number stuck in the middle of its mix": ("price", some(1.0, price=float(np.exp(3)))),
    "all zeros": ("size", some(1.0, size=0.0)),
    "5 % beyond the range": ("size.outside", some(0.05, size=25.0)),
    "a unit that changed": ("price.outside", some(1.0, price=lambda r, _: r["price"] and r["price"] * 100.0)),
    "a quarter of a standard deviation": ("weight", some(1.0, weight=lambda r, _: r["weight"] + 0.25)),
    "5 % of a new category": ("channel", some(0.05, channel="kiosk")),
    "a category that took over": ("channel", some(1.0, channel="app")),
    "a boolean with other shares": ("member", some(0.15, member=True)),
    "a boolean stuck": ("member", some(1.0, member=True)),
    "words never seen": ("note.unseen", some(0.2, note="Wtf dis ting iz brokn plz fixx yo")),
    "longer texts": ("note.length", some(0.3, note=lambda r, _: r["note"] * 2)),
    "capitals": ("note.capitals", some(0.1, note=lambda r, _: r["note"].upper())),
    "digits": ("note.digits", some(0.1, note=lambda r, _: "0123456789 " + r["note"])),
    "exclamation": ("note.marks", some(0.1, note=lambda r, _: r["note"] + "!!!!!!")),
    "emoji": ("note.emoji", some(0.1, note=lambda r, _: r["note"] + " 😀")),
    "another script": ("note.script", some(0.05, note="где мой заказ и почему его нет")),
    "another language": ("note.language", some(0.05, note="ich habe das geld nicht auf der karte")),
    "a time stamp an hour late": ("due_at.age", some(1.0, due_at=lambda r, _: r["due_at"] - timedelta(hours=1))),
    "dates that lost their time": ("due_at.midnight", some(0.05, due_at=lambda r, _: r["due_at"].date())),
    "other hours": ("due_at.hour", some(0.15, due_at=lambda r, _: r["due_at"].replace(hour=3))),
    "a clock in the future": ("asked_at.future", some(0.05, asked_at=lambda r, _: r["asked_at"] + timedelta(days=365))),
    "another mix of answers": ("answer.label", some(0.3, _label="yes")),
    "a constant answer": ("answer.label", some(1.0, _label="yes")),
    "scores nearer to the middle": ("answer.score", some(1.0, _score=lambda r, _: 0.5 + 0.6 * (r["_score"] - 0.5))),
    "higher entropy": ("answer.entropy", some(1.0, _score=lambda r, _: 0.5 + 0.6 * (r["_score"] - 0.5))),
    "a constant score": ("answer.score", some(1.0, _score=0.7)),
    "more that abstain": ("answer.abstained", some(0.08, _trust=Trust.ABSTAIN)),
    "more of low trust": ("answer.low_trust", some(0.08, _trust=Trust.LOW)),
    "numbers out of line with each other": (
        "rows.reconstruction",
        some(0.5, weight=lambda _, rng: float(10 + rng.standard_normal())),
    ),
}


def stream(found: compare.Comparison, name: str, segment: str = "") -> float:
    return max(
        float(log)
        for log, item in zip(found.assessment.by_stream, found.plan.watched, strict=True)
        if (item.name, item.segment) == (name, segment)
    )


@pytest.mark.parametrize("case", CASES)
def test_each_change_is_found_within_one_window_by_the_signal_that_is_for_it(case: str) -> None:
    name, change = CASES[case]
    rng = np.random.default_rng(50)
    state = compare.WatchState(model="m", bundle="m@1", last_at=NOW)  # a day goes by to the first window
    found = compare.update(state, window(rng, 1, change), reference(), SETTINGS)
    assert stream(found, name) >= found.log_bar
    told = [finding for finding in findings.find(state, found) if finding.signal == name]
    assert told, "it is found and not told"
    assert told[0].text


def test_a_change_in_one_segment_is_found_there() -> None:
    def change(given: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        return given | ({"weight": given["weight"] + 0.5} if given["region"] == "north" else {})

    rng = np.random.default_rng(51)
    state = compare.WatchState(model="m", bundle="m@1", last_at=NOW)
    for number in range(1, 4):
        found = compare.update(state, window(rng, number, change), reference(), SETTINGS)
    assert stream(found, "weight", "region=north") >= found.log_bar


def test_windows_like_the_reference_raise_no_more_alarms_than_the_budget() -> None:
    # A budget of one alarm in 20 windows makes its use visible in few; what is larger than any size is material.
    settings = SETTINGS.model_copy(update={"false_pages": FalsePagesSettings(expected=1, days=20)})
    alarms = windows = 0
    for seed in range(3):
        rng, state = np.random.default_rng(60 + seed), compare.WatchState(model="m", bundle="m@1")
        for number in range(1, 11):
            found = compare.update(state, window(rng, number, n=400), reference(seed), settings)
            windows += 1
            if found.alarm:
                alarms += 1
                compare.reset(state)
    assert alarms <= stats.poisson.ppf(1 - 1e-6, windows / 20)


def test_a_profile_of_before_these_signals_is_watched_as_it_was() -> None:
    new = {"sample", "reconstruction"}
    old: dict[str, Any] = {k: v for k, v in msgspec.to_builtins(reference()).items() if k not in new}
    aspects = ("price", "price.missing", "channel", "note.unseen", "answer.label", "answer.confidence")
    old["signals"] = [s for s in old["signals"] if s["name"] in aspects]
    profile = msgspec.convert(old, Profile)
    state = compare.WatchState(model="m", bundle="m@1")
    found = compare.update(state, window(np.random.default_rng(70), 1), profile, SETTINGS)
    assert not found.alarm
    assert {item.name for item in found.plan.watched if item.name not in aspects} <= {
        "requests.refused",
        "requests.failed",
        "labels.gap",
    }


def test_hours_of_a_time_stamp_that_follows_the_clock_are_season_and_no_signal() -> None:
    rng = np.random.default_rng(80)
    rows = [inputs(row(rng)) | {"due_at": NOW + timedelta(minutes=float(rng.integers(5, 90)))} for _ in range(400)]
    said = [Answer(label="yes", confidence=0.8)] * 400
    profile = build_profile(CONTRACT, rows, said, None, None, source="test", vocabulary=VOCABULARY)
    names = {s.name for s in profile.signals}
    assert "due_at.age" in names
    assert "due_at.hour" not in names


def test_segments_have_the_values_of_fields_while_those_are_few() -> None:
    in_north = {s.name for s in reference().signals if s.segment == "region=north"}
    assert {"price", "weight", "channel", "member", "note.unseen", "answer.label"} <= in_north
    assert "region" not in in_north
    many = replace(
        CONTRACT, fields=(*CONTRACT.fields, *(Field(name=f"z{i}", type=FieldType.NUMBER) for i in range(200)))
    )
    rng = np.random.default_rng(90)
    rows = [inputs(row(rng)) | {f"z{i}": float(i) for i in range(200)} for _ in range(200)]
    said = [Answer(label="yes", confidence=0.8)] * 200
    profile = build_profile(many, rows, said, None, None, source="test", vocabulary=VOCABULARY)
    assert "z7" not in {s.name for s in profile.signals if s.segment}
