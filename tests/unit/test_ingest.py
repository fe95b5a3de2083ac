"""Whether an answer was right, by the label that came for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.core.contracts import Task
from mainstay.core.events import Event, Feedback, Kind
from mainstay.ingest import _right
from mainstay.testing.models import make_contract

AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answer", "label", "right"),
    [
        ("true", True, True),
        ("true", "true", True),
        ("false", True, False),
        (True, "true", True),
        (1, "1", True),
        ("cold", "warm", False),
    ],
)
def test_a_label_is_the_class_of_that_name_whether_it_came_as_a_text_a_number_or_a_boolean(
    answer: Any, label: Any, right: bool
) -> None:
    event = Event(
        model="m", worker="w", seq=1, id="a", kind=Kind.PREDICTION, occurred_at=AT, received_at=AT, label=answer
    )
    item = Feedback(id="a", feedback_id="f", kind="label", name="weather", value=label, at=AT, by="")
    assert _right(item, event, make_contract()) is right


def test_of_a_number_nothing_is_right_or_wrong() -> None:
    event = Event(model="m", worker="w", seq=1, id="a", kind=Kind.PREDICTION, occurred_at=AT, received_at=AT, label=1.0)
    item = Feedback(id="a", feedback_id="f", kind="label", name="y", value=1.0, at=AT, by="")
    assert _right(item, event, make_contract(task=Task.REGRESSION, classes=())) is None
