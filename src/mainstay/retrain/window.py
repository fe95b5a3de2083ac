"""Which rows a retraining learns from: all there ever were, or a window of the newest with a replay of the long tail.

Without a window the data set expands. With one, rows before it are replayed in part: `replay_share` of the window's
number, the same number of each class as far as it has so many, so that what is rare and did not happen lately is not
unlearned. Which of them is told by a hash, so that the same rows come again each time.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import polars as pl

from mainstay.config.settings import RetrainSettings
from mainstay.core.routes import position
from mainstay.retrain.dataset import HAPPENED

SALT = "replay"


def parts(
    base: pl.DataFrame, traffic: pl.DataFrame, target: str, retrain: RetrainSettings, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return which base rows and which rows of labelled traffic are learned from.

    The project's own rows are older than any window; each is one row of its class for the replay, as old traffic is.
    """
    if retrain.window_days is None:
        return base, traffic
    start = now - timedelta(days=retrain.window_days)
    inside = traffic.filter(pl.col(HAPPENED) >= start)
    before = traffic.filter(pl.col(HAPPENED) < start)
    wanted = round(retrain.replay_share * inside.height)
    classes = _labels(base, target) + _labels(before, target)
    order = _positions(base, "base") + _positions(before, "traffic")
    chosen = _long_tail(classes, order, wanted)
    return (
        base.filter(pl.Series("kept", chosen[: base.height], dtype=pl.Boolean)),
        pl.concat([before.filter(pl.Series("kept", chosen[base.height :], dtype=pl.Boolean)), inside]),
    )


def newest(traffic: pl.DataFrame, retrain: RetrainSettings, now: datetime) -> pl.DataFrame:
    """Return the rows of the window; all without one."""
    if retrain.window_days is None:
        return traffic
    return traffic.filter(pl.col(HAPPENED) >= now - timedelta(days=retrain.window_days))


def _labels(frame: pl.DataFrame, target: str) -> list[str]:
    """Return the class of each row; numbers are one class, of which any row is as good."""
    column = frame.get_column(target)
    return column.to_list() if column.dtype == pl.String else [""] * frame.height


def _positions(frame: pl.DataFrame, salt: str) -> list[float]:
    own = frame.select([name for name in frame.columns if not name.startswith("_")])
    rows = (json.dumps(row, ensure_ascii=False, default=str) for row in own.iter_rows())
    return [position(f"{SALT}:{salt}", row) for row in rows]


def _long_tail(classes: list[str], order: list[float], wanted: int) -> list[bool]:
    """Choose `wanted` rows, as many of each class as of any other while it has more: the rarest are taken whole."""
    of_class: dict[str, list[int]] = {}
    for number in sorted(range(len(classes)), key=lambda n: (order[n], n)):
        of_class.setdefault(classes[number], []).append(number)
    chosen = [False] * len(classes)
    left = wanted
    waiting = sorted(of_class.values(), key=len)
    for done, rows in enumerate(waiting):
        share = -(-left // (len(waiting) - done))  # rounded up: what small classes leave, larger ones take
        for number in rows[:share]:
            if left > 0:
                chosen[number] = True
                left -= 1
    return chosen
