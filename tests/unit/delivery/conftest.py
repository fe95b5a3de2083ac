"""One question, asked of one delivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from delivery_rows import CONTRACT, NOW
from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.verdicts import Check
from mainstay.data.frame_check import check_frame
from mainstay.delivery.check import check_delivery

Ask = Callable[..., Check]


@pytest.fixture
def ask() -> Ask:
    """Return a function that asks one question of a delivery; `delivery` are settings of [delivery]."""

    def asked(
        question: str,
        train: pl.DataFrame,
        test: pl.DataFrame | None = None,
        *,
        contract: Contract = CONTRACT,
        last: pl.DataFrame | None = None,
        probabilities: Any = None,
        **delivery: Any,
    ) -> Check:
        reports = [check_frame(contract, one, with_target=True) for one in (train, test) if one is not None]
        report, _ = check_delivery(
            reports[0].good,
            contract,
            settings=Settings.model_validate({"delivery": delivery}),
            now=NOW,
            test=reports[1].good if test is not None else None,
            last=None if last is None else check_frame(contract, last, with_target=True).good,
            reports=reports,
            probabilities=probabilities,
        )
        return next(check for check in report.checks if check.name == question)

    return asked
