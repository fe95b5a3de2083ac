"""A shop's search as a ranking project: synthetic queries, candidates and grades of relevance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

TOML = """
mainstay = 1
[project]
name = "search"
task = "ranking"
seed = 3
[data]
train = "train.csv"
test = "test.csv"
group = "query_id"
[fields.query_id]
type = "identifier"
role = "ignored"
[fields.price_gap]
type = "number"
[fields.text_match]
type = "number"
min = 0
max = 1
[fields.popularity]
type = "number"
[fields.device]
type = "category"
values = ["phone", "desktop"]
role = "segment"
[target]
field = "grade"
[train]
pipeline = "ranker"
timeout_s = 120
[train.pipelines]
ranker = { build = "model:build_ranker", takes = ["price_gap", "text_match", "popularity"] }
regressor = { build = "model:build_regressor", takes = ["price_gap", "text_match", "popularity"] }
classifier = { build = "model:build_classifier", takes = ["price_gap", "text_match", "popularity"] }
poor = { build = "model:build_poor", takes = ["popularity"] }
[evaluate]
at = 5
slices_min_rows = 20
[gate]
floors = { ndcg = 0.75 }
max_p99_ms = 5000
[serve]
port = 0
[watch]
block_min_rows = 20
"""

MODEL = """
from lightgbm import LGBMRanker
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression


def build_ranker(params):
    return LGBMRanker(n_estimators=40, num_leaves=15, min_child_samples=5, n_jobs=1, verbose=-1)


def build_regressor(params):
    return HistGradientBoostingRegressor(max_iter=40)


def build_classifier(params):
    return LogisticRegression(max_iter=500)


def build_poor(params):
    return LinearRegression()
"""


def rows(queries: int, *, seed: int, first: int = 0) -> pl.DataFrame:
    """Return 4 to 12 candidates for each query, shuffled, with grades 0 to 3 that follow text match and price."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(4, 13, queries)
    ids = np.repeat([f"q-{first + number}" for number in range(queries)], sizes)
    n = len(ids)
    match, gap, popularity = rng.uniform(size=n), rng.normal(size=n), rng.normal(size=n)
    worth = 3.2 * match - 0.6 * np.abs(gap) + 0.25 * rng.normal(size=n)
    return pl.DataFrame(
        {
            "query_id": ids,
            "price_gap": gap.round(4),
            "text_match": match.round(4),
            "popularity": popularity.round(4),
            "device": np.repeat(rng.choice(["phone", "desktop"], queries), sizes),
            "grade": np.clip(np.floor(worth), 0, 3).astype(int),
        }
    ).sample(fraction=1.0, shuffle=True, seed=seed)


def write_project(folder: Path, *, queries: int = 150, toml: str = TOML) -> Path:
    """Write the project with its data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mainstay.toml").write_text(toml, encoding="utf-8")
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    rows(queries, seed=1).write_csv(folder / "train.csv")
    rows(60, seed=2, first=queries).write_csv(folder / "test.csv")
    return folder
