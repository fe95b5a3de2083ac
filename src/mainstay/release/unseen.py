"""The gate's question to the lineage: do the test rows stand in the data that a version was trained on?"""

from __future__ import annotations

import numpy as np
import polars as pl

from mainstay.core.contracts import Contract
from mainstay.core.verdicts import Check, Verdict
from mainstay.data.alike import alike, said_fields

NAME = "test_unseen"
QUESTION = "Are the test rows absent from the data that it was trained on?"
MOST_TEST, MOST_TRAIN = 2_000, 20_000
"""More rows than these are sampled."""


def absent(contract: Contract, train: pl.DataFrame, test: pl.DataFrame, limit: float, seed: int) -> Check:
    """Ask which share of the test rows says nearly the same as a training row, beyond what is usual for such data.

    Rows are held beside each other by what they say (`data.alike`: case, punctuation, order of words and one word in
    ten aside). Usual is the share of as many training rows that the other training rows hold. FAIL where the test rows
    are found more often than that by more than `limit`; where even all of them could not be, the check has no object.
    """
    rng = np.random.default_rng(seed)
    rows = _some(test, MOST_TEST, rng)
    known = _some(train, MOST_TRAIN, rng)
    if not rows.height or not known.height or not said_fields(contract):
        why = "there are no rows, or no field says what a row is about"
        return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=not rows.height)
    found = float(np.mean(alike(contract, rows, known)))
    order = rng.permutation(known.height)
    part = order[: min(rows.height, known.height // 2)].tolist()
    rest = order[len(part) :].tolist()
    usual = float(np.mean(alike(contract, known[part], known[rest]))) if part else 0.0
    told = (
        f"{found:.1%} of the test rows say nearly the same as a training row; of training rows {usual:.1%} do among "
        f"themselves; allowed beyond that {limit:.1%}"
    )
    can_fail = usual + limit < 1.0
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=(Verdict.FAIL if found - usual > limit else Verdict.PASS) if can_fail else Verdict.NOT_ENOUGH,
        reason=told if can_fail else f"{told}: rows repeat too much for this to tell anything",
        numbers={"found": found, "usual": usual, "limit": limit, "rows": rows.height, "training_rows": known.height},
        applies=can_fail,
    )


def _some(frame: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    return frame if frame.height <= most else frame[np.sort(rng.permutation(frame.height)[:most]).tolist()]
