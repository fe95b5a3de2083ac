"""Data sets whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

Maker = Callable[..., pl.DataFrame]


@pytest.fixture
def orders() -> Maker:
    """Return a maker of mixed rows: number, integer, category, boolean, text, identifier, time, a field with gaps."""

    def make(seed: int, rows: int = 800, *, first: int = 0) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        words = np.array(
            [
                "please",
                "send",
                "the",
                "invoice",
                "again",
                "for",
                "my",
                "last",
                "order",
                "because",
                "it",
                "never",
                "came",
                "thanks",
            ]
        )
        start = np.datetime64("2026-01-01T00:00:00", "ms") + np.timedelta64(first * 60_000, "ms")
        return pl.DataFrame(
            {
                "amount": rng.lognormal(3.0, 0.6, rows),
                "age": rng.integers(18, 90, rows),
                "channel": rng.choice(["app", "chat", "mail"], rows, p=[0.5, 0.3, 0.2]),
                "vip": rng.random(rows) < 0.2,
                "message": [" ".join(rng.choice(words, rng.integers(5, 14))) for _ in range(rows)],
                "order_id": np.arange(first, first + rows),
                "at": start + np.arange(rows) * np.timedelta64(60_000, "ms"),
                "score": pl.Series(rng.normal(size=rows)).set(pl.Series(rng.random(rows) < 0.1), None),
            }
        )

    return make
