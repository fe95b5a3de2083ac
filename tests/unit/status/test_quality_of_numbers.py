"""How far a regression's answers are from the truth, in the status: estimated without labels, and on labels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mainstay.core.releases import Release
from mainstay.status import quality
from mainstay.store.blocks import Block
from mainstay.store.feedback import Graded

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class Champion:
    """Stands for a release, of which only the name is asked."""

    name = "m@1"


def block(rows: float, loss: float, bundle: str = "m@1") -> Block:
    whole = {"rows": [rows, rows], "loss": [loss, 0.0, 0.0]}
    summary = {"quality": {"whole": whole, "segments": {}, "repeats": 1.0}}
    return Block(model="m", bundle=bundle, number=1, first_at=NOW, last_at=NOW, rows=int(rows), keys=1, summary=summary)


def graded(answer: Any, true: Any, **changes: Any) -> Graded:
    given: dict[str, Any] = {
        "model": "m",
        "id": f"{answer}-{true}",
        "name": "hours",
        "value": true,
        "at": NOW,
        "feedback_id": f"f-{answer}-{true}",
        "bundle": "m@1",
        "served_arm": "champion",
        "key_hash": "k",
        "unit": "u",
        "occurred_at": NOW,
        "label": answer,
        "confidence": None,
        "correct": None,
    }
    return Graded(**(given | changes))


def told(seen: list[Block], labels: list[Graded]) -> str:
    champion: Release = Champion()  # type: ignore[assignment]
    return quality.of(champion, seen, labels, number="hours").unknown


def test_both_are_told_of_the_version_that_answers() -> None:
    seen = [block(100, 150.0), block(300, 450.0), block(500, 9_000.0, bundle="m@2")]
    labels = [graded(3.0, 5.0), graded(4.0, 3.0), graded(1.0, 1.0, bundle="m@2"), graded(1.0, 9.0, name="tip")]
    assert told(seen, labels).startswith(
        "Mean distance of answers from the truth: estimated 1.5 without labels, on the last 400 requests; "
        "1.5 on 2 labels."
    )


def test_without_either_it_is_not_known_yet() -> None:
    assert "not known yet" in told([], [graded("much", 2.0)])
