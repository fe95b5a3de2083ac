from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.errors import BadData
from mainstay.data.as_of import Rule, join_as_of

START = datetime(2026, 1, 1, tzinfo=UTC)
RULE = Rule(on=("who",), time="event")


def hours(n: float | None) -> datetime | None:
    return None if n is None else START + timedelta(hours=n)


def rows(*asked: tuple[str | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"who": [who for who, _ in asked], "at": [hours(at) for _, at in asked]},
        schema={"who": pl.String, "at": pl.Datetime("us", "UTC")},
    )


def table(*held: tuple[str | None, float | None, float | None, int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "who": [one[0] for one in held],
            "event": [hours(one[1]) for one in held],
            "created": [hours(one[2]) for one in held],
            "value": [one[3] for one in held],
        },
        schema={
            "who": pl.String,
            "event": pl.Datetime("us", "UTC"),
            "created": pl.Datetime("us", "UTC"),
            "value": pl.Int64,
        },
    )


def joined(asked: pl.DataFrame, held: pl.DataFrame, **more: Any) -> list[int | None]:
    rule = Rule(**({"on": ("who",), "time": "event", "take": ("value",)} | more))
    out = join_as_of(asked, held, rule, time="at")
    assert out.drop("value").equals(asked)
    return out["value"].to_list()


HELD = table(("a", 1, 1, 10), ("a", 3, 3, 30), ("a", 3, 4, 31), ("a", 5, 9, 50), ("b", 2, 2, 20))


def test_the_newest_that_had_happened_counts() -> None:
    asked = rows(("a", 0.5), ("a", 1), ("a", 2.9), ("b", 99), ("c", 9), ("a", 99), ("a", 5))
    assert joined(asked, HELD) == [None, 10, 10, 20, None, 50, 50]


def test_what_was_known_only_later_is_not_seen() -> None:
    asked = rows(("a", 3), ("a", 4), ("a", 5), ("a", 8.9), ("a", 9))
    assert joined(asked, HELD, created="created") == [30, 31, 31, 31, 50]


def test_a_late_word_on_earlier_days_replaces_nothing_newer() -> None:
    held = table(("a", 5, 5, 50), ("a", 1, 8, 11))
    assert joined(rows(("a", 6), ("a", 9)), held, created="created") == [50, 50]


def test_what_is_too_old_does_not_count_to_the_second() -> None:
    asked = rows(("a", 3), ("a", 3.5), ("b", 4), ("b", 4 + 1 / 3600))
    assert joined(asked, HELD, max_age=timedelta(hours=2)) == [31, 31, 20, None]


def test_a_row_without_a_key_or_a_time_finds_nothing() -> None:
    assert joined(rows((None, 9), ("a", None)), table((None, 1, 1, 1), ("a", None, 1, 2))) == [None, None]


def test_keys_are_compared_as_they_are_spelled() -> None:
    asked = pl.DataFrame({"who": ["17", "x"], "at": ["2026-01-02T00:00:00+00:00", "2026-01-02"]})
    held = pl.DataFrame({"who": [17, 18], "event": ["2026-01-01", "2026-01-01"], "value": [1, 2]})
    assert joined(asked, held) == [1, None]


def test_several_columns_make_a_key_and_a_prefix_keeps_names_apart() -> None:
    asked = rows(("a", 9)).with_columns(shop=pl.lit("n"))
    held = HELD.with_columns(shop=pl.Series(["s", "n", "s", "s", "n"]))
    rule = Rule(on=("who", "shop"), time="event", created="created", prefix="was_")
    assert join_as_of(asked, held, rule, time="at").row(0, named=True)["was_value"] == 30


@pytest.mark.parametrize(
    ("held", "more", "told"),
    [
        (HELD, {"take": ("valeu",)}, "has no column 'valeu'"),
        (HELD.rename({"event": "when"}), {}, "has no column 'event'"),
        (HELD.with_columns(event=pl.lit("soon")), {}, "event of table is no time in row 0"),
        (HELD.rename({"value": "at"}), {"take": ("at",)}, "both have at"),
    ],
)
def test_what_cannot_be_joined_is_told(held: pl.DataFrame, more: dict[str, Any], told: str) -> None:
    with pytest.raises(BadData, match=told):
        joined(rows(("a", 1)), held, **more)


WHO = st.sampled_from(["a", "b"])
HOUR = st.integers(0, 12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(WHO, HOUR), min_size=1, max_size=12),
    st.lists(st.tuples(WHO, HOUR, st.integers(0, 4)), max_size=16),
    st.one_of(st.none(), st.integers(1, 8)),
    st.booleans(),
)
def test_it_is_what_looking_at_every_row_of_the_table_finds(
    asked: list[tuple[str, int]], told: list[tuple[str, int, int]], age: int | None, knows_created: bool
) -> None:
    held = [(who, event, event + late, number) for number, (who, event, late) in enumerate(told)]

    def by_hand(who: str, at: int) -> int | None:
        known = [
            (event, created if knows_created else 0, number)
            for owner, event, created, number in held
            if owner == who and event <= at and (not knows_created or created <= at)
        ]
        best = max(known, default=None)
        return None if best is None or (age is not None and best[0] < at - age) else best[2]

    found = joined(
        rows(*asked),
        table(*held),
        created="created" if knows_created else None,
        max_age=None if age is None else timedelta(hours=age),
    )
    assert found == [by_hand(who, at) for who, at in asked]
