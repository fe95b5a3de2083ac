"""Whether labels show that a metric is beyond its limit, for sure and at whatever moment one looks.

Sums over random groups of keys (stats.groups): rows of one key are alike, and the interval holds at every look at once,
so that looking each second costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from mainstay.config.load import contract_of
from mainstay.config.settings import Settings
from mainstay.stats import groups
from mainstay.stats.groups import Sums
from mainstay.store import feedback
from mainstay.store.feedback import Graded
from mainstay.store.reward_sums import GROUPS, bucket_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

WINDOW = timedelta(days=28)
MOST = 20_000
"""Newest labels that are looked at."""
ALPHA = 0.05
HIGHER_IS_BETTER = frozenset({"accuracy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One metric of one version on its labels."""

    metric: str
    value: float
    low: float
    high: float
    rows: int
    beyond: bool
    """The whole interval is worse than the limit."""
    text: str


def look(
    tx: Connection, model: str, bundle: str, *, metric: str, limit: float, settings: Settings, now: datetime
) -> Look | None:
    """Return what labels of the version's answers say of the metric; None where there is none of it.

    `metric` is accuracy, mae or rmse (judged as its square). Labels of requests that were picked because they looked
    hard say nothing of how good the answers are on the whole, and are left out.
    """
    target = contract_of(settings).target
    rows = feedback.labels_of(tx, model, bundle, since=now - WINDOW, limit=MOST)
    mature = now - timedelta(hours=settings.retrain.mature_hours)
    mine = [row for row in rows if row.name == target and row.occurred_at <= mature]
    sums = _sums([(row.key_hash or row.id, value) for row in mine if (value := _loss(metric, row)) is not None])
    if not sums.n:
        return None
    low, high = groups.confidence_sequence(sums, ALPHA)
    held, bound = sums.mean, limit * limit if metric == "rmse" else limit
    beyond = high < bound if metric in HIGHER_IS_BETTER else low > bound
    if metric == "rmse":
        held, low, high = (float(np.sqrt(max(x, 0.0))) for x in (held, low, high))
    text = (
        f"{metric} is {held:.4g} ({low:.4g} to {high:.4g}) on {int(sums.n)} labels of {bundle}; "
        f"{'at least' if metric in HIGHER_IS_BETTER else 'at most'} {limit:g} is declared"
    )
    return Look(metric=metric, value=held, low=low, high=high, rows=int(sums.n), beyond=beyond, text=text)


def _loss(metric: str, row: Graded) -> float | None:
    if metric == "accuracy":
        return None if row.correct is None else float(row.correct)
    if not isinstance(row.value, int | float) or not isinstance(row.label, int | float):
        return None
    error = abs(float(row.value) - float(row.label))
    return error if metric == "mae" else error * error


def _sums(values: Sequence[tuple[str, float]]) -> Sums:
    buckets = np.array([bucket_of(key) for key, _ in values], dtype=np.intp)
    losses = np.array([value for _, value in values], dtype=np.float64)
    return Sums(
        rows=np.bincount(buckets, minlength=GROUPS).astype(np.float64),
        total=np.bincount(buckets, weights=losses, minlength=GROUPS).astype(np.float64),
        square=np.bincount(buckets, weights=losses * losses, minlength=GROUPS).astype(np.float64),
    )
