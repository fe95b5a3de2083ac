"""What grades that came in say about a ranking: NDCG of the graded groups of one version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.status import quality
from mainstay.store.feedback import Graded

NOW = datetime(2026, 1, 5, tzinfo=UTC)
RANKING = quality.Ranking(target="grade", group="q", at=3)


def graded(group: str, number: int, grade: Any, score: Any, **changes: Any) -> Graded:
    given: dict[str, Any] = {
        "model": "m",
        "id": f"{group}-{number}",
        "name": "grade",
        "value": grade,
        "at": NOW,
        "feedback_id": f"f-{group}-{number}",
        "bundle": "m@1",
        "served_arm": "champion",
        "key_hash": f"k-{group}",
        "unit": f"u-{group}-{number}",
        "occurred_at": NOW,
        "label": score,
        "confidence": None,
        "inputs": {"q": group},
        "correct": None,
    }
    return Graded(**(given | changes))


def group(name: str, *, right: bool) -> list[Graded]:
    return [graded(name, i, grade, float(grade if right else -grade)) for i, grade in enumerate((2, 1, 0))]


def test_the_mean_is_over_graded_groups_and_counts_their_candidates() -> None:
    labels = [*group("a", right=True), *group("b", right=True), *group("c", right=False)]
    found = quality.on_groups([*labels, graded("d", 0, 0, 1.0)], RANKING)  # nothing relevant in d: it says nothing
    assert found is not None
    worst = (1 / 1.5849625 + 3 / 2) / (3 + 1 / 1.5849625)
    assert found.value == pytest.approx((1 + 1 + worst) / 3, abs=1e-6)
    assert found.n == 9
    assert found.note == "NDCG@3 of 3 groups, on the grades that came in"
    assert found.low is not None
    assert found.low <= found.value <= (found.high or 0)


def test_rewards_and_what_is_no_number_are_no_grades_and_one_key_gives_no_interval() -> None:
    assert quality.on_groups([graded("a", 0, 1, 1.0, name="click"), graded("a", 1, "good", 1.0)], RANKING) is None
    found = quality.on_groups(group("a", right=True), RANKING)
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, None, None)
