"""What traffic is compared with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.train.fit import Rows
from mainstay.train.reference import _widened


def test_how_far_a_number_may_reach_is_read_off_the_training_rows_too() -> None:
    contract = Contract(
        task=Task.REGRESSION, target="price", fields=(Field(name="size", type=FieldType.NUMBER, required=False),)
    )
    early = Rows(values=[{"size": 40.0}, {"size": None}, {"size": 90.0}], truth=np.array([1.0, 2.0, 3.0]))
    later = [{"size": float(size)} for size in range(5, 25)]
    said = [Answer(label=1.0)] * len(later)
    recent = build_profile(contract, later, said, [1.0] * len(later), None, source="recent", vocabulary={})
    model: Any = SimpleNamespace(contract=contract)
    size = next(s for s in _widened(recent, model, early).signals if s.name == "size")
    assert (size.low, size.high) == (5.0, 90.0)
    assert size.mean == next(s for s in recent.signals if s.name == "size").mean
