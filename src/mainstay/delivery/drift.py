"""The question about the delivery before: are the rows of one population with it?"""

from __future__ import annotations

import polars as pl

from mainstay.comparison import words
from mainstay.comparison.compare import compare
from mainstay.comparison.records import Status
from mainstay.comparison.records import Verdict as Compared
from mainstay.comparison.result import Comparison
from mainstay.config.settings import DeliveryQuestion
from mainstay.core.verdicts import Verdict
from mainstay.delivery.records import Answer, Delivery, answer

ASKS = "Are the rows of one population with those of the last delivery?"
MOST_TOLD = 5
HIDDEN = "(personal)"
VERDICTS = {Compared.SAME: Verdict.PASS, Compared.DIFFERENT: Verdict.FAIL, Compared.NOT_ENOUGH: Verdict.NOT_ENOUGH}


def drift(given: Delivery, *, seed: int) -> tuple[Answer, Comparison | None]:
    """Ask as `mainstay compare` does: a difference counts that is no chance (Holm over all tests) and large enough."""
    if given.last is None:
        return answer(DeliveryQuestion.DRIFT, ASKS, Verdict.NOT_ENOUGH, "it is the first delivery", applies=False), None
    contract = given.contract
    names = [one.name for one in contract.features] + [contract.target]
    before, now = (_usable(frame, [*names, contract.key]) for frame in (given.last, given.train))
    key = contract.key if contract.key in before.columns and contract.key in now.columns else None
    found = compare(
        before,
        now,
        target=contract.target,
        key=key,
        alpha=given.settings.delivery.drift_alpha,
        material=given.settings.watch.material,
        max_rows=given.settings.delivery.rows,
        seed=seed,
    )
    moved = [
        {"field": one.name, "status": one.status.value, "says": HIDDEN if one.name in given.private else one.says}
        for one in found.fields
        if one.status in (Status.BROKEN, Status.MOVED)
    ]
    told = "; ".join(f"{words.short(one['field'])}: {words.short(one['says'], 120)}" for one in moved[:MOST_TOLD])
    reason = words.short(found.headline, 300) + (f" {told}" if told else "")
    numbers = {
        "verdict": found.verdict.value,
        "moved": moved,
        "tests": found.tests,
        "alpha": found.alpha,
        "detectable_sigma": found.detectable_sigma,
    }
    return answer(DeliveryQuestion.DRIFT, ASKS, VERDICTS[found.verdict], reason, numbers=numbers), found


def _usable(frame: pl.DataFrame, names: list[str | None]) -> pl.DataFrame:
    return frame.select([name for name in dict.fromkeys(names) if name is not None and name in frame.columns])
