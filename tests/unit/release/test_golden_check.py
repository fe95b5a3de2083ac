"""Floors on the golden set: judged where they are declared, told otherwise, and no row is no pass."""

from __future__ import annotations

from typing import Any

from mainstay.config.settings import GateSettings, Settings
from mainstay.core.verdicts import Verdict
from mainstay.release.golden import floors
from mainstay.release.metrics import Labelled
from unit.release.test_gate import data, model


def settings(**golden: float) -> Settings:
    return Settings(gate=GateSettings(golden_floors=golden))


def test_floors_are_judged_on_the_golden_rows() -> None:
    assert floors(model(range(20)), data(400), settings(accuracy=0.9)).verdict is Verdict.PASS
    assert floors(model(range(80)), data(400), settings(accuracy=0.9)).verdict is Verdict.FAIL


def test_without_floors_it_is_told_and_no_row_is_no_pass() -> None:
    told = floors(model(range(20)), data(400), settings())
    assert not told.applies
    assert "accuracy 0.9500 on 400 golden rows" in told.reason
    nothing = floors(model(), Labelled(rows=[], truth=[]), settings(accuracy=0.1))
    assert (nothing.verdict, nothing.applies) == (Verdict.NOT_ENOUGH, True)


def test_a_model_that_raises_on_golden_rows_is_no_pass() -> None:
    def raises(_frame: Any) -> Any:
        raise ValueError("no")

    found = floors(model(output=raises), data(50), settings(accuracy=0.1))
    assert (found.verdict, found.applies) == (Verdict.NOT_ENOUGH, True)
    assert "ValueError" in found.reason
