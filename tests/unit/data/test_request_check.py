from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Task
from mainstay.data.request_check import Checked, compile_request_check

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="note", type=FieldType.TEXT, max_chars=5),
        Field(name="kind", type=FieldType.CATEGORY, values=("red", "green")),
        Field(name="place", type=FieldType.CATEGORY, values=("north",), on_unknown=Policy.FLAG, required=False),
        Field(name="size", type=FieldType.NUMBER, min=0, max=10),
        Field(name="heat", type=FieldType.NUMBER, max=50, on_range=Policy.FLAG, required=False),
        Field(name="count", type=FieldType.INTEGER, required=False),
        Field(name="flag", type=FieldType.BOOLEAN, required=False),
        Field(name="at", type=FieldType.TIMESTAMP, required=False),
        Field(name="who", type=FieldType.IDENTIFIER, required=False),
    ),
    target="truth",
    classes=("yes", "no"),
)
CHECK = compile_request_check(CONTRACT)
GOOD = {"note": "hi", "kind": "red", "size": 3}


def check(**changed: Any) -> Checked:
    return CHECK.check({**GOOD, **changed})


def faults(**changed: Any) -> list[tuple[str, str]]:
    return [(problem.where, problem.what) for problem in check(**changed).problems]


def test_absent_optional_fields_become_none_and_all_fields_have_a_place() -> None:
    checked = check()
    assert checked.problems == ()
    assert list(checked.values) == [field.name for field in CONTRACT.fields]
    assert checked.values["heat"] is None


def test_a_missing_field_is_refused_by_name() -> None:
    checked = CHECK.check({"note": "hi", "size": 3})
    assert [(p.where, p.what) for p in checked.problems] == [("kind", "is missing")]


def test_null_is_the_same_as_absent() -> None:
    assert faults(kind=None) == [("kind", "is missing")]
    assert faults(heat=None, unheard_of=None) == []


def test_a_misspelled_field_names_the_field_that_was_meant() -> None:
    checked = CHECK.check({"note": "hi", "knd": "red", "size": 3})
    assert [(p.where, p.what, p.nearest) for p in checked.problems] == [
        ("kind", "is missing", None),
        ("knd", "is no declared field", "kind"),
    ]


def test_the_target_is_never_accepted() -> None:
    assert faults(truth="yes") == [("truth", "is the target, which is never sent")]


def test_an_unknown_category_is_refused_with_what_is_allowed() -> None:
    (problem,) = check(kind="rad").problems
    assert (problem.value, problem.allowed, problem.nearest) == ("rad", ["red", "green"], "red")


def test_an_unknown_category_may_be_flagged_instead() -> None:
    checked = check(place="moon")
    assert checked.problems == ()
    assert [(c.code, c.field, c.value) for c in checked.caveats] == [("unknown_category", "place", "moon")]
    assert checked.values["place"] == "moon"


def test_a_number_out_of_range_is_refused_or_flagged() -> None:
    assert faults(size=10) == []
    assert faults(size=10.001) == [("size", "is out of range")]
    checked = check(heat=51)
    assert (checked.problems, [c.code for c in checked.caveats]) == ((), ["out_of_range"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, True, "3", [3], {}])
def test_only_finite_numbers_are_numbers(value: Any) -> None:
    assert faults(heat=value) == [("heat", "is of the wrong type")]


@pytest.mark.parametrize("value", [3.5, 2**63, -(2**63) - 1, 2.0**53 + 2, True, "3", float("nan"), 1e300])
def test_only_whole_numbers_of_64_bits_are_integers(value: Any) -> None:
    assert faults(count=value) == [("count", "is of the wrong type")]


def test_a_whole_float_is_an_integer_and_an_integer_a_number() -> None:
    values = check(count=7.0, size=3).values
    assert (values["count"], type(values["count"])) == (7, int)
    assert (values["size"], type(values["size"])) == (3.0, float)


@pytest.mark.parametrize("value", [1, 0, "true", "yes", 1.0])
def test_only_true_and_false_are_boolean(value: Any) -> None:
    assert faults(flag=value) == [("flag", "is of the wrong type")]


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-01-31T16:00:00Z", datetime(2026, 1, 31, 16, tzinfo=UTC)),
        ("2026-01-31 16:00:00+02:00", datetime(2026, 1, 31, 14, tzinfo=UTC)),
        ("2026-01-31T16:00", datetime(2026, 1, 31, 16, tzinfo=UTC)),
        (datetime(2026, 1, 31, 16), datetime(2026, 1, 31, 16, tzinfo=UTC)),
    ],
)
def test_times_become_utc(value: Any, moment: datetime) -> None:
    assert check(at=value).values["at"] == moment


@pytest.mark.parametrize("value", ["", "yesterday", "2026-02-30", 1767225600, "9999-12-31T23:59:59-05:00"])
def test_what_is_no_time_is_refused(value: Any) -> None:
    assert faults(at=value) == [("at", "is of the wrong type")]


def test_the_length_of_a_text_is_counted_in_characters() -> None:
    assert faults(note="😀" * 5) == []
    assert faults(note="😀" * 6) == [("note", "is too long")]


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert faults(note="\ud83d") == [("note", "is of the wrong type")]


def test_an_identifier_may_be_a_whole_number_and_not_empty() -> None:
    assert check(who=42).values["who"] == "42"
    assert faults(who="") == [("who", "is of the wrong type")]
    assert faults(who=4.2) == [("who", "is of the wrong type")]


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    assert len(faults(note=3, kind="x", size=-1, other=1)) == 4


@pytest.mark.parametrize(
    "value", [10**5000, "x" * 10**6, {"a": [1] * 1000}, object()], ids=["digits", "text", "table", "object"]
)
def test_odd_values_are_told_shortly(value: Any) -> None:
    (problem,) = check(size=value).problems
    assert len(str(problem)) < 300


def test_the_check_loads_no_data_library() -> None:
    code = (
        "import sys, mainstay.data.request_check;"
        "sys.exit(bool({'polars', 'pandera', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
