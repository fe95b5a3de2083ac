"""The worst undeclared slice, told from labels where there are enough of them, else from confidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.models.signals import RowSignals
from mainstay.store.feedback import Graded
from mainstay.watch import worst
from mainstay.watch.window import Observation

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTRACT = Contract(
    task=Task.BINARY,
    target="y",
    classes=("a", "b"),
    fields=(
        Field(name="region", type=FieldType.CATEGORY),
        Field(name="age", type=FieldType.NUMBER),
        Field(name="income", type=FieldType.NUMBER, pii=Pii.ENCRYPT),
    ),
)
SIGNALS = RowSignals(CONTRACT, {})


def people(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    regions, ages = rng.choice(["north", "south", "east"], n), rng.uniform(18, 80, n).round()
    return [{"region": str(r), "age": float(a), "income": float(a)} for r, a in zip(regions, ages, strict=True)]


def is_bad(row: dict[str, Any]) -> bool:
    return row["region"] == "north" and row["age"] < 35


def graded(rows: list[dict[str, Any]], *, regression: bool = False) -> list[Graded]:
    rng = np.random.default_rng(1)
    out = []
    for i, row in enumerate(rows):
        right = bool(rng.random() < (0.4 if is_bad(row) else 0.9))
        truth = str(rng.choice(["a", "b"]))
        said = truth if right else {"a": "b", "b": "a"}[truth]
        off = float(rng.exponential(8.0 if is_bad(row) else 1.0))
        out.append(
            Graded(
                model="m",
                id=f"e{i}",
                name="y",
                value=10.0 if regression else truth,
                at=NOW,
                feedback_id=f"f{i}",
                bundle="m@1",
                served_arm="champion",
                key_hash=f"k{i}",
                unit=f"u{i}",
                occurred_at=NOW,
                label=10.0 + off if regression else said,
                confidence=None if regression else 0.8,
                inputs=row,
                correct=None if regression else right,
            )
        )
    return out


def find(labelled: list[Graded], recent: list[Observation] | None = None, contract: Contract = CONTRACT) -> Any:
    return worst.find(labelled, recent or [], signals=SIGNALS, contract=contract)


def test_labels_tell_the_slice_with_its_accuracy_and_that_of_the_rest() -> None:
    found = find(graded(people(3_000)))
    assert found["measured"]
    assert "region = north" in found["conditions"]
    assert any(text.startswith("age <") for text in found["conditions"])
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["rest"] > found["high"]
    assert found["text"].startswith("worst slice: ")
    assert f"accuracy {found['mean']:.0%}" in found["text"]


def test_a_regression_is_told_by_its_distance() -> None:
    numbers = Contract(task=Task.REGRESSION, target="y", fields=CONTRACT.fields)
    found = find(graded(people(3_000), regression=True), contract=numbers)
    assert "mean distance" in found["text"]
    assert found["rest"] < found["low"] <= found["mean"]


def test_without_labels_confidence_speaks_and_says_so() -> None:
    rng = np.random.default_rng(2)
    recent = [
        Observation(
            id=f"e{i}",
            key=f"k{i}",
            occurred_at=NOW,
            received_at=NOW,
            signals={
                "region": row["region"],
                "age": row["age"],
                "answer.confidence": float(np.clip(rng.normal(0.5 if is_bad(row) else 0.9, 0.05), 0, 1)),
            },
        )
        for i, row in enumerate(people(2_000))
    ]
    found = find(graded(people(20)), recent)
    assert not found["measured"]
    assert "region = north" in found["conditions"]
    assert "estimated accuracy (by confidence)" in found["text"]


def test_personal_fields_make_no_slice() -> None:
    found = find(graded(people(3_000)))
    assert "income" not in found["text"]


@pytest.mark.parametrize("rows", [0, 79])
def test_few_labels_and_no_confidence_tell_nothing(rows: int) -> None:
    assert find(graded(people(rows))) is None


def test_the_same_requests_tell_the_same_slice() -> None:
    labelled = graded(people(1_000))
    assert find(labelled) == find(labelled)
