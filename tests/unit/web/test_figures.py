"""Figures of pages: what the browser draws, in words and as a table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from mainstay.release.trail import Figures, Point
from mainstay.web import tables
from mainstay.web.pages import bands, shapes

NUMBER = {"signal": "size", "segment": "", "rows": 4, "edges": [1.0, 2.0], "before": [1, 2, 1], "now": [0, 1, 3]}
MIX = {"signal": "=kind", "segment": "a=b", "rows": 4, "values": ["=1+1"], "before": [3, 1], "now": [1, 3]}


def test_a_number_is_told_by_its_bins_and_a_mix_by_its_values() -> None:
    number, mix = shapes.figures([NUMBER, MIX], "/here")
    assert [row[0].text for row in number.table.rows] == ["below 1", "1 to 2", "2 or more"]
    assert number.told == "Moved most: 2 or more: 25.0 % of the reference, 75.0 % since it began."
    assert json.loads(number.data)["ticks"] == ["1", "2"]
    assert json.loads(number.data)["series"][1] == {"name": "since it began", "values": [0.0, 0.25, 0.75]}
    assert (mix.title, json.loads(mix.data)["ticks"]) == ("=kind, where a=b", None)
    assert tables.to_csv(mix.table).splitlines()[1] == "'=1+1,3,0.75,1,0.25"


def test_what_is_new_on_either_side_is_said_to_be() -> None:
    told = NUMBER | {"edges": [0.0, 1.0, 9.0], "before": [0, 4, 4, 0], "now": [1, 1, 1, 1]}
    (shown,) = shapes.figures([told | {"below_all": True, "above_all": True}], "/here")
    names = [row[0].text for row in shown.table.rows]
    assert (names[0], names[-1]) == ("below all of the reference (0)", "above all of the reference (9)")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        NUMBER | {"now": [1, 2]},
        NUMBER | {"before": [0, 0, 0]},
        NUMBER | {"before": [1, -2, 1]},
        NUMBER | {"before": ["1", "2", "1"]},
        NUMBER | {"edges": ["1", "2"]},
        NUMBER | {"edges": None},
    ],
)
def test_a_histogram_that_is_not_whole_is_left_out_and_keeps_no_page_from_being_shown(broken: dict) -> None:
    assert [one.title for one in shapes.figures([broken, MIX], "/here")] == ["=kind, where a=b"]


def test_slices_are_drawn_then_beside_now_and_the_one_that_was_found_is_named_so() -> None:
    segments = [
        {"segment": "a=b", "reference_accuracy": 0.9, "estimated_accuracy": 0.6, "units": 40.0},
        {"segment": "a=c", "reference_accuracy": None, "estimated_accuracy": 0.6, "units": 9.0},
    ]
    worst = {"conditions": ["size > 3", "a=b"], "mean": 0.5, "rest": 0.95, "rows": 31}
    (shown,) = shapes.slices(segments, worst, "/here")
    assert [[cell.text for cell in row] for row in shown.table.rows] == [
        ["a=b", "90.0 %", "60.0 %", "40"],
        ["size > 3 and a=b (found)", "95.0 %", "50.0 %", "31"],
    ]
    assert shown.told == "Fell most: size > 3 and a=b (found), from 95.0 % to 50.0 %."
    assert shapes.slices([], {"conditions": ["x"], "mean": 12.0, "rest": 3.0}, "/here") == ()  # distances, no shares
    assert shapes.slices([], {}, "/here") == ()


AT = datetime(2026, 3, 9, 12, tzinfo=UTC)


def point(minute: int, **lines: Figures) -> Point:
    return Point(at=AT + timedelta(minutes=minute), step=0, lines=lines)


def test_a_guards_interval_is_drawn_over_time_against_its_limit() -> None:
    trail = [point(0, error_rate=(0.0, 0.0, 0.9, 0.05, 4.0)), point(5, error_rate=(0.0, 0.01, 0.04, 0.05, 400.0))]
    (shown,) = bands.figures(trail, AT + timedelta(minutes=6), "/here")
    drawn = json.loads(shown.data)
    assert (drawn["x"][1] - drawn["x"][0], drawn["high"], drawn["limit"]) == (300, [0.9, 0.04], [0.05, 0.05])
    assert drawn["range"][0] == 0
    assert 0.4 < drawn["range"][1] < 0.5  # what no evidence leaves open is cut off, the limit stays to be seen
    assert shown.told == "Between 0 and 0.04 now; limit 0.05: all of it lies below."
    assert [row[6].text for row in shown.table.rows] == ["400", "4"]


@pytest.mark.parametrize(
    ("name", "figures", "told"),
    [
        ("accuracy", (-0.01, 0.0, 0.02, -0.02, 9.0), "limit −0.02: all of it lies above."),
        ("accuracy", (-0.04, 0.0, 0.02, -0.02, 9.0), "limit −0.02: kept for sure once all of it lies above."),
        ("latency p99", (1.0, 2.0, None, 4.0, 9.0), "Between 1 and no bound yet now; limit 4: kept for sure once"),
        ("error_rate", (0.0, 0.1, 0.2, None, 9.0), "Between 0 and 0.2 now; no limit is declared."),
    ],
)
def test_the_sentence_says_on_which_side_of_the_limit_it_must_lie(name: str, figures: Figures, told: str) -> None:
    (shown,) = bands.figures([point(0, **{name: figures})], AT, "/here")
    assert told in shown.told


def test_a_guard_that_was_judged_later_begins_later() -> None:
    figures = (0.0, 0.1, 0.2, 0.3, 9.0)
    one, other = bands.figures([point(0, a=figures), point(1, a=figures, b=figures)], AT, "/here")
    assert (len(json.loads(one.data)["x"]), len(json.loads(other.data)["x"])) == (2, 1)
