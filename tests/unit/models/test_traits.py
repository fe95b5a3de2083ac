"""What the watch alone looks at: signs, scripts and languages of texts, and time stamps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Role, Task
from mainstay.models.traits import NO_LETTERS, UNKNOWN, Traits, as_moment, script_of

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CONTRACT = Contract(
    task=Task.BINARY,
    target="late",
    classes=("no", "yes"),
    time="ordered_at",
    fields=(
        Field(name="note", type=FieldType.TEXT, required=False),
        Field(name="ordered_at", type=FieldType.TIMESTAMP, required=False),
        Field(name="due_at", type=FieldType.TIMESTAMP, required=False),
        Field(name="born_at", type=FieldType.TIMESTAMP, required=False, pii=Pii.ENCRYPT),
        Field(name="seen_at", type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,)),
    ),
)


def measured(row: dict[str, Any], *, received: datetime | None = NOW) -> dict[str, Any]:
    return Traits(CONTRACT).measure(row, happened=NOW, received=received)


def test_a_text_is_told_by_its_signs() -> None:
    found = measured({"note": "Call 0800, NOW!"})
    assert {name: found[f"note.{name}"] for name in ("digits", "capitals", "marks")} == pytest.approx(
        {"digits": 4 / 15, "capitals": 4 / 15, "marks": 2 / 15}
    )


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain words", "Latin"),
        ("1234 !?", NO_LETTERS),
        ("где мой заказ", "Cyrillic"),
        ("order где", "Cyrillic"),
        ("我的订单", "Han"),
        ("ça va", "Latin"),
    ],
)
def test_the_script_is_that_of_the_first_letter_outside_latin(text: str, script: str) -> None:
    assert script_of(text) == script
    assert measured({"note": text})["note.script"] == script


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("where is the money that you have from my account", "English"),
        ("ich habe das geld nicht auf der karte", "German"),
        ("refund card payment pending transfer", UNKNOWN),
        ("too short", None),
    ],
)
def test_the_language_is_told_by_little_words(text: str, language: str | None) -> None:
    assert measured({"note": text})["note.language"] == language


def test_a_missing_or_empty_text_has_no_traits() -> None:
    for row in ({}, {"note": None}, {"note": ""}):
        assert {value for name, value in measured(row).items() if name.startswith("note")} == {None}


def test_a_time_stamp_is_told_by_age_hour_and_whether_it_lies_ahead() -> None:
    found = measured({"ordered_at": "2026-03-04T11:00:00Z", "due_at": "2026-03-07T08:30:00+02:00"})
    assert found["due_at.age"] == pytest.approx(-67.5)
    assert found["due_at.hour"] == "06"
    assert found["due_at.future"] == 1.0
    assert found["due_at.midnight"] == 0.0


def test_the_clock_of_the_rows_has_no_hours_and_its_future_lies_after_the_arrival() -> None:
    late = measured({"ordered_at": (NOW + timedelta(hours=2)).isoformat()})
    assert late["ordered_at.future"] == 1.0
    assert measured({"ordered_at": NOW.isoformat()})["ordered_at.future"] == 0.0
    assert measured({"ordered_at": "2030-01-01T00:00:00Z"}, received=None)["ordered_at.future"] == 0.0
    assert "ordered_at.hour" not in late
    assert "ordered_at.age" not in late


def test_a_date_that_lost_its_time_is_at_midnight() -> None:
    assert measured({"due_at": "2026-03-07"})["due_at.midnight"] == 1.0
    assert measured({"due_at": "2026-03-07T00:00:01Z"})["due_at.midnight"] == 0.0


def test_personal_ignored_and_unreadable_time_stamps_give_nothing() -> None:
    stamp = "2026-03-07T08:30:00Z"
    found = measured({"born_at": stamp, "seen_at": stamp, "due_at": "soon"})
    assert not [name for name in found if name.startswith(("born_at", "seen_at", "due_at"))]


def test_times_are_read_from_text_datetimes_and_dates_and_nothing_else() -> None:
    assert as_moment("2026-03-04T13:00:00+01:00") == NOW
    assert as_moment(datetime(2026, 3, 4, 12)) == NOW
    assert as_moment(date(2026, 3, 4)) == NOW.replace(hour=0)
    assert as_moment(7) is None
    assert as_moment("0001-01-01T00:00:00+23:00") is None


@given(st.text(max_size=200))
def test_shares_of_any_text_lie_between_zero_and_one(text: str) -> None:
    found = measured({"note": text})
    for trait in ("digits", "capitals", "marks"):
        assert found[f"note.{trait}"] is None or 0.0 <= found[f"note.{trait}"] <= 1.0
