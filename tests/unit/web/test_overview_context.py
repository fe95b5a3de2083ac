from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import Any, get_args, get_type_hints

import pytest
from jinja2 import meta, nodes

import status_examples as examples
from mainstay.status.records import Estimate, Status
from mainstay.web import app, context, overview


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


def rendered_keys(*statuses: Status) -> set[str]:
    asked: set[str] = set()
    template = app.templates().get_template("overview.html")
    for status in statuses:
        shown = overview.build(status)
        template.render({f.name: recorded(getattr(shown, f.name), asked) for f in fields(shown)})
    return asked


def test_the_template_asks_for_exactly_the_documented_keys() -> None:
    environment = app.templates()
    asked: set[str] = set()
    for name in ("overview.html", "frame.html"):
        source, _, _ = environment.loader.get_source(environment, name)
        tree = environment.parse(source)
        asked |= meta.find_undeclared_variables(tree) - {macro.name for macro in tree.find_all(nodes.Macro)}
    assert asked == {f.name for f in fields(context.Overview)}


def test_every_documented_key_of_every_record_is_rendered_and_no_other() -> None:
    documented = {
        f"{kind.__name__}.{f.name}"
        for kind in set(records_of(context.Overview)) - {context.Overview}
        for f in fields(kind)
    }
    assert rendered_keys(examples.empty(), examples.well(), examples.unwell()) == documented


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
    assert overview.ago(age) == expected


def test_a_year_that_is_not_this_one_is_told() -> None:
    assert overview.moment(examples.NOW - timedelta(days=365), examples.NOW).text == "9 Mar 2025, 14:05 UTC"


def test_an_interval_outside_the_scale_stays_on_the_drawing() -> None:
    measure = overview._measure("real", Estimate(value=1.0, low=-0.1, high=1.2, n=3))
    assert (measure.low, measure.at, measure.high) == (0.0, 100.0, 100.0)
