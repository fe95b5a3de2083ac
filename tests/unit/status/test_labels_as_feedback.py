from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import Problem
from mainstay.core.events import Feedback
from mainstay.labels import labelled

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
CLASSES = Contract(task=Task.BINARY, fields=(), target="y", classes=("fine", "worn"))
NUMBERS = Contract(task=Task.REGRESSION, fields=(), target="y")


def made(item: dict[str, object], contract: Contract = CLASSES, *, now: datetime = NOW) -> Feedback:
    found = labelled(item, contract, by="ann", now=now)
    assert isinstance(found, Feedback)
    return found


def test_a_label_becomes_feedback_on_the_target() -> None:
    found = made({"id": "a1", "label": "fine"})
    assert (found.id, found.kind, found.name, found.value, found.at, found.by) == (
        "a1",
        "label",
        "y",
        "fine",
        NOW,
        "ann",
    )


def test_the_same_line_has_the_same_id_however_often_it_is_read() -> None:
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert made({"id": "a1", "label": "fine"}).feedback_id == made({"id": "a1", "label": "fine"}, now=later).feedback_id


@pytest.mark.parametrize(
    "other", [{"id": "a2"}, {"label": "worn"}, {"at": "2026-01-05T09:00:00Z"}, {"by": "bob"}, {"name": "other"}]
)
def test_another_line_has_another_id(other: dict[str, object]) -> None:
    line = {"id": "a1", "label": "fine"}
    assert made(line).feedback_id != made(line | other).feedback_id


def test_a_label_from_the_future_is_refused_as_it_would_win_for_ever() -> None:
    found = labelled({"id": "a1", "label": "fine", "at": "2026-01-06T09:00:01Z"}, CLASSES, by="ann", now=NOW)
    assert isinstance(found, Problem)
    assert (found.where, "future" in found.what) == ("at", True)
    assert made({"id": "a1", "label": "fine", "at": "2026-01-06T09:00:00Z"}).value == "fine"


def test_an_id_that_was_given_is_kept() -> None:
    assert made({"id": "a1", "label": "fine", "feedback_id": "mine"}).feedback_id == "mine"


def test_a_time_is_brought_to_utc() -> None:
    assert made({"id": "a1", "label": "fine", "at": "2026-01-05T11:00:00+02:00"}).at == NOW


def test_a_number_may_come_as_text() -> None:
    assert made({"id": "a1", "label": "3.5"}, NUMBERS).value == 3.5


@pytest.mark.parametrize(
    ("item", "contract", "where"),
    [
        ({"label": "fine"}, CLASSES, "id"),
        ({"id": "a1"}, CLASSES, "label"),
        ({"id": "a1", "label": "fien"}, CLASSES, "label"),
        ({"id": "a1", "label": "nan"}, NUMBERS, "label"),
        ({"id": "a1", "label": "x"}, NUMBERS, "label"),
        ({"id": "a1", "label": "fine", "at": "yesterday"}, CLASSES, "at"),
        ({"id": "a1", "label": "fine", "at": "2026-01-05T09:00:00"}, CLASSES, "at"),
    ],
)
def test_what_is_wrong_with_a_label_is_named(item: dict[str, object], contract: Contract, where: str) -> None:
    found = labelled(item, contract, by="", now=NOW)
    assert isinstance(found, Problem)
    assert found.where == where


def test_a_misspelled_class_names_the_nearest() -> None:
    found = labelled({"id": "a1", "label": "fien"}, CLASSES, by="", now=NOW)
    assert isinstance(found, Problem)
    assert found.nearest == "fine"


@pytest.mark.parametrize("id_", [["a1"], {"a": 1}, True, None, 1.5, "x" * 129])
def test_what_can_be_the_id_of_no_prediction_is_refused(id_: object) -> None:
    found = labelled({"id": id_, "label": "fine"}, CLASSES, by="", now=NOW)
    assert isinstance(found, Problem)
    assert (found.where, found.value) == ("id", id_)


def test_an_id_may_be_a_whole_number() -> None:
    assert made({"id": 17, "label": "fine"}).id == "17"
