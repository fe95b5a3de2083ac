"""A delivery, asked everything. Read `check_delivery` top to bottom: it is the whole way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl

from mainstay.comparison.result import Comparison
from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.ports import Progress, silent
from mainstay.data.frame_check import FrameReport
from mainstay.delivery import drift, frames, leakage, noise, repeats
from mainstay.delivery.records import Delivery, DeliveryReport
from mainstay.stats.intervals import Floats


def check_delivery(
    frame: pl.DataFrame,
    contract: Contract,
    *,
    settings: Settings,
    now: datetime,
    test: pl.DataFrame | None = None,
    last: pl.DataFrame | None = None,
    reports: Sequence[FrameReport] = (),
    probabilities: Floats | None = None,
    right: float | None = None,
    progress: Progress = silent,
) -> tuple[DeliveryReport, Comparison | None]:
    """Return what is to be known of a delivery before anything is fitted to it, and its comparison with the last one.

    Args:
        frame: training rows that hold the contract (`check_frame(...).good`), with the target.
        settings: limits are those of [delivery]; the schema's is [data] quarantine.
        now: what is later than a day after this is in the future.
        test: the frozen test rows, for what is asked across the split.
        last: the training rows of the delivery before.
        reports: what `check_frame` said of all rows as they came; without them the schema is not judged.
        probabilities: held-out class probabilities for `frame`, to find wrong labels by; else a quick model's.
        right: share of rows that the model of `probabilities` is right in where labels are trusted; without it in
            `frame`, whose wrong labels make any model look bad.

    Pure: reads and writes nothing else; equal data give equal answers. Raises NotEnoughEvidence for no rows.
    """
    if not frame.height:
        raise NotEnoughEvidence("the delivery holds no rows that keep the contract")
    given = Delivery(contract=contract, train=frame, test=test, last=last, reports=reports, settings=settings)
    seed = settings.project.seed
    rng = np.random.default_rng(seed)
    steps = 6
    progress("schema", 0, steps)
    first = [frames.schema(given), frames.missing(given), repeats.duplicates(given)]
    progress("twins", 1, steps)
    first.append(repeats.near_duplicates(given, rng))
    progress("leaks", 2, steps)
    first += leakage.leakage(given, rng)
    first.append(leakage.time_travel(given, now))
    progress("labels", 3, steps)
    first += [noise.label_noise(given, rng, probabilities, right=right), frames.balance(given)]
    progress("drift", 4, steps)
    moved, compared = drift.drift(given, seed=seed)
    progress("personal", 5, steps)
    report = DeliveryReport(
        rows={
            "train": frame.height,
            "test": 0 if test is None else test.height,
            "last": 0 if last is None else last.height,
            "broken": sum(one.bad.height for one in reports),
        },
        answers=(*first, moved, frames.personal(given)),
        made_at=now.isoformat(),
        private=given.private,
    )
    progress("personal", steps, steps)
    return report, compared
