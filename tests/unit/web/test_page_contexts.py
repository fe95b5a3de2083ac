from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, make_dataclass, replace
from datetime import timedelta
from typing import Any, get_args, get_type_hints

import pytest
from jinja2 import meta, nodes

import status_examples as examples
from mainstay.status.records import Estimate
from mainstay.web import acts, render, routes
from mainstay.web.looks import Look
from mainstay.web.pages import confirm, login, overview, predictions, review, rollout
from mainstay.web.shown import parts
from mainstay.web.shown.parts import Frame, Link
from mainstay.web.shown.trouble import Trouble
from mainstay.web.words import ago, moment
from room_examples import FakeRoom, explanation, fed, prediction, replayed, way


class Recorder:
    """Hands out a record's attributes and remembers which were asked for."""

    def __init__(self, record: Any, asked: set[str]) -> None:
        self._record = record
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._record, name)
        self._asked.add(f"{type(self._record).__name__}.{name}")
        return recorded(value, self._asked)


def recorded(value: Any, asked: set[str]) -> Any:
    if is_dataclass(value):
        return Recorder(value, asked)
    if isinstance(value, tuple):
        return tuple(recorded(item, asked) for item in value)
    return value


def records_of(kind: type) -> Iterator[type]:
    yield kind
    for hint in get_type_hints(kind).values():
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and is_dataclass(part):
                yield from records_of(part)


def contexts() -> dict[str, list[Any]]:
    """Every page's context, by template, from rooms where every part has something to say, and empty ones."""
    room = FakeRoom()
    look = Look(
        rooms={room.name: room},
        model=room.name,
        params={"number": "17", "subject": "17", "id": "r-1", "delivery": "ab"},
        query={"one": "2", "other": "3"},
    )
    three = (examples.empty, examples.well, examples.unwell)
    found: dict[str, list[Any]] = {
        page.template: [page.build(look)] for page in routes.PAGES if page.template != "overview.html"
    }
    found["overview.html"] = [overview.build(made(), room.told()[1]) for made in three]
    nobody = replace(way(), release=None)
    found["rollout.html"].append(rollout.build(examples.empty(), nobody, examples.NOW))
    found["prediction.html"] += [
        predictions.build_one(prediction(), examples.NOW, why=explanation(), fed=fed(), show="all"),
        predictions.build_one(prediction(), examples.NOW, replayed=replayed(), problem="gone"),
    ]
    last = Look(rooms={room.name: room}, model=room.name, params={}, query={"last": "r-9", "guess": "1", "at": "r-1"})
    found["review.html"].append(review.page(last))
    found["confirm.html"] = [confirm.build(look, act) for act in acts.ACTS]
    found["trouble.html"] = [Trouble(message="a", remedy="b")]
    found["login.html"] = [login.build("/", "wrong")]
    return found


FRAME = Frame(
    title="t",
    crumbs=(Link(text="a", href="/"), Link(text="b", href="", here=True)),
    models=(Link(text="a", href="/"),),
    tabs=(Link(text="a", href="/"),),
    read_at=moment(examples.NOW, examples.NOW),
    feed="/events",
    refresh_s=15,
    csrf="token",
    who="ada",
    leaves=True,
)
PARTS = {parts.Moment, parts.Cell, parts.Column, parts.Table, parts.Link, parts.Figure, parts.Frame}
"""Held as a whole: no one page uses all of what tables and frames can show."""


def asked_by(source: str) -> set[str]:
    tree = render.templates().parse(source)
    imported = {name for found in tree.find_all(nodes.FromImport) for name in found.names}
    return meta.find_undeclared_variables(tree) - {"frame"} - imported


def source_of(template: str) -> str:
    environment = render.templates()
    return environment.loader.get_source(environment, template)[0]


@pytest.mark.parametrize("template", sorted(contexts()))
def test_each_template_asks_for_exactly_the_documented_keys(template: str) -> None:
    kind = type(contexts()[template][0])
    assert asked_by(source_of(template)) == {f.name for f in fields(kind)}


def test_a_key_that_one_side_alone_knows_is_found_out() -> None:
    for template, found in contexts().items():
        documented = {f.name for f in fields(type(found[0]))}
        source = source_of(template)
        assert asked_by(source.replace("{% block body %}", "{% block body %}{{ secret }}")) == documented | {"secret"}
        wider = make_dataclass("Wider", [("secret", str)], bases=(type(found[0]),), frozen=True, kw_only=True)
        assert asked_by(source) != {f.name for f in fields(wider)}


@pytest.mark.parametrize("template", sorted(contexts()))
def test_every_documented_key_of_every_record_is_rendered_and_no_other(template: str) -> None:
    asked: set[str] = set()
    for shown in contexts()[template]:
        given = {f.name: recorded(getattr(shown, f.name), asked) for f in fields(shown)}
        render.templates().get_template(template).render(frame=recorded(FRAME, set()), **given)
    kind = type(contexts()[template][0])
    own = set(records_of(kind)) - {kind} - PARTS
    documented = {f"{one.__name__}.{f.name}" for one in own for f in fields(one)}
    names = {one.__name__ for one in PARTS}
    assert {key for key in asked if key.partition(".")[0] not in names} == documented


def test_every_part_of_tables_and_frames_is_rendered_somewhere() -> None:
    asked: set[str] = set()
    for template, found in contexts().items():
        for shown in found:
            given = {f.name: recorded(getattr(shown, f.name), asked) for f in fields(shown)}
            frames = (FRAME, replace(FRAME, leaves=False))
            for frame in frames:
                render.templates().get_template(template).render(frame=recorded(frame, asked), **given)
    documented = {f"{one.__name__}.{f.name}" for one in PARTS for f in fields(one)}
    assert documented - asked == {"Cell.plain"}  # for CSV files


def test_the_context_is_frozen() -> None:
    shown = overview.build(examples.well())
    with pytest.raises(AttributeError):
        shown.model = "other"  # type: ignore[misc]


def test_what_is_not_measured_says_what_would_tell() -> None:
    shown = overview.build(examples.well())
    assert [(m.name, m.why) for m in shown.unmeasured] == [
        ("estimated", "too little traffic for an estimate"),
        ("real", "no labels yet: mainstay feedback labels.csv"),
    ]


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(seconds=-1), "ahead of this clock"),
        (timedelta(seconds=9), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(seconds=60), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(hours=48), "2 days ago"),
    ],
)
def test_an_age_is_told_in_its_largest_fitting_unit(age: timedelta, expected: str) -> None:
    assert ago(age) == expected


def test_a_year_that_is_not_this_one_is_told() -> None:
    assert moment(examples.NOW - timedelta(days=365), examples.NOW).text == "9 Mar 2025, 14:05 UTC"


def test_an_interval_outside_the_scale_stays_on_the_drawing() -> None:
    measure = overview._measure("real", Estimate(value=1.0, low=-0.1, high=1.2, n=3))
    assert (measure.low, measure.at, measure.high) == (0.0, 100.0, 100.0)


def test_the_scorecard_page_tells_every_test_with_its_evidence_and_until_when() -> None:
    from mainstay.web.pages import scorecard as pages
    from room_examples import scorecard

    found = pages.build(scorecard(), "pump-check")
    assert found.final == "0"
    assert [[cell.text for cell in row][:4] for row in found.tests.rows] == [
        ["data 1", "A schema", "1", "all 9"],
        ["model 5", "A simpler model", "½", "not shown"],
    ]
    assert found.tests.rows[1][4].text == "2026-05-08"
    assert [row[1].text for row in found.practices.rows] == ["yes", "no"]
