"""A small project on disk, with snapshots that stand in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mainstay.config import load as config
from mainstay.config.load import Loaded

TOML = """
mainstay = 1
[project]
name = "shop"
task = "binary"
seed = 3
[data]
train = "train.csv"
test = "test.csv"
key = "buyer"
[fields.text]
type = "text"
[fields.shop]
type = "category"
values = ["north", "south"]
role = "segment"
[fields.buyer]
type = "identifier"
[target]
field = "kind"
classes = ["tool", "fruit"]
[train]
pipeline = "words"
[train.pipelines]
words = { build = "model:build_words", input = "text" }
blind = { build = "model:build_blind", input = "text" }
lower = { build = "model:build_words", features = "features:features", input = "text" }
forest = { build = "model:build_forest", params = { trees = 7 } }
"""
MODEL = """
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from own_words import tokens


def build_words(params):
    return make_pipeline(CountVectorizer(analyzer=tokens), LogisticRegression())


def build_blind(params):
    return DummyClassifier(strategy="prior")


def build_forest(params):
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["shop"]), (CountVectorizer(), "text"))
    return make_pipeline(columns, RandomForestClassifier(params["trees"]))
"""
OWN_WORDS = """
STOP = {"the", "a", "of", "and"}


def tokens(text):
    return [word for word in text.split() if word not in STOP]
"""
FEATURES = """
import polars as pl


def features(frame):
    return frame.with_columns(pl.col("text").str.to_lowercase())
"""
WORDS = {"fruit": ["apple", "pear", "plum", "jam", "ripe"], "tool": ["nail", "saw", "hammer", "steel", "blade"]}


@dataclass(frozen=True)
class MemorySnapshot:
    """Stands for a snapshot without a disk."""

    id: str
    data: pl.DataFrame

    @property
    def rows(self) -> int:
        return self.data.height

    def frame(self) -> pl.DataFrame:
        return self.data


def make_frame(rows: int, *, seed: int, noise: float = 0.1, per_key: int = 1) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    kinds = [("fruit", "tool")[int(n)] for n in draw.integers(0, 2, rows)]
    said = [kind if draw.uniform() > noise else "fruit" for kind in kinds]
    return pl.DataFrame(
        {
            "text": [" ".join(draw.choice([*WORDS[kind], "the", f"x{seed}y{i}"], 4)) for i, kind in enumerate(said)],
            "shop": [("north", "south")[i % 2] for i in range(rows)],
            "buyer": [f"b{i // per_key}" for i in range(rows)],
            "kind": kinds,
        }
    )


def write_project(root: Path, toml: str = TOML) -> Loaded:
    root.mkdir(parents=True, exist_ok=True)
    files = {"mainstay.toml": toml, "model.py": MODEL, "own_words.py": OWN_WORDS, "features.py": FEATURES}
    for name, text in files.items():
        (root / name).write_text(text)
    return config.load(root, environ={})


@pytest.fixture
def project(tmp_path: Path) -> Loaded:
    return write_project(tmp_path / "shop")


@pytest.fixture(scope="session")
def train() -> MemorySnapshot:
    return MemorySnapshot("train-1", make_frame(160, seed=1))


@pytest.fixture(scope="session")
def test() -> MemorySnapshot:
    return MemorySnapshot("test-1", make_frame(80, seed=2))
