"""Public data in three kinds of files: each row is answered as a request with the same values is."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mainstay.config.clocks import SystemClock
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.data.request_check import compile_request_check
from mainstay.journal.personal import Hasher
from mainstay.models import answers, pickles
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.inputs import InputSpec
from mainstay.models.load import load
from mainstay.models.signals import word_set
from mainstay.score import entry
from mainstay.score.records import Answerer, Report
from mainstay.testing.models import PROFILE

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not beside the project (../shared/data)"),
]
NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORIES = ("workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country")


class Place:
    """A fitted estimator as a version, and files of rows."""

    def __init__(self, folder: Path, estimator: Any, contract: Contract, spec: InputSpec, words: Any = None) -> None:
        self.folder = folder
        parts = BundleParts(
            pickle=pickles.dump(estimator),
            contract=contract,
            profile=PROFILE,
            classes=contract.classes,
            spec=spec,
            vocabulary=words or {},
        )
        loaded = load(write_bundle(folder / "bundles", parts))
        self.answerer = Answerer(loaded=loaded, name="real@1", live=True, hasher=Hasher("00" * 32))

    def score(self, frame: pl.DataFrame, kind: str, out: str) -> Report:
        source = self.folder / f"in.{kind}"
        {"csv": frame.write_csv, "parquet": frame.write_parquet, "ndjson": frame.write_ndjson}[kind](source)
        options = entry.options_of(source, self.folder / out, bad=None, id_column=None, ignore=(), fresh=False)
        return entry.score(
            options,
            self.answerer,
            state=self.folder / "state",
            segment_mb=16,
            clock=SystemClock(),
            watch=True,
            tell=lambda _: None,
        )

    def require_as_asked(self, rows: list[dict[str, Any]], out: str) -> None:
        """Compare some lines with what the same values are answered one by one, as requests are."""
        lines = [json.loads(line) for line in (self.folder / out).read_text().splitlines()]
        assert len(lines) == len(rows)
        check = compile_request_check(self.answerer.contract)
        for number in random.Random(4).sample(range(len(rows)), 300):
            checked = check.check(rows[number])
            line = lines[number]
            assert line["status"] == ("refused" if checked.problems else "ok")
            if checked.problems:
                continue
            [given] = answers.answer(self.answerer.loaded, [checked.values])
            assert (line["label"], line["trust"]) == (given.label, given.trust)
            assert [one["text"] for one in line["warnings"]] == [one.text for one in (*checked.caveats, *given.caveats)]
            assert line["confidence"] == pytest.approx(given.confidence, abs=1e-12)
            assert line["probabilities"] == pytest.approx(given.probabilities, abs=1e-12)


def as_json(frame: pl.DataFrame, drop: str) -> list[dict[str, Any]]:
    """Return rows as a client would send them."""
    rows: list[Mapping[str, Any]] = list(frame.drop(drop).iter_rows(named=True))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_census_rows_with_missing_values(tmp_path: Path) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pl.read_parquet(DATA / "adult" / "adults.parquet")
    frame = frame.select(*NUMBERS, *(pl.col(name).cast(pl.String).replace("?", None) for name in CATEGORIES), "class")
    frame = frame.with_columns(pl.col("class").cast(pl.String).str.contains(">50K").cast(pl.String).alias("class"))
    assert frame["workclass"].null_count() > 1000
    encode = ColumnTransformer(
        [("names", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(CATEGORIES))],
        remainder="passthrough",
    )
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=20))
    model.fit(frame[:5000].drop("class").to_pandas().replace({None: np.nan}), frame["class"][:5000].to_list())
    optional = ("workclass", "occupation", "native-country")
    contract = Contract(
        task=Task.BINARY,
        fields=(
            *(Field(name=name, type=FieldType.INTEGER) for name in NUMBERS),
            *(Field(name=name, type=FieldType.CATEGORY, required=name not in optional) for name in CATEGORIES),
        ),
        target="class",
        classes=("false", "true"),
    )
    place = Place(tmp_path, model, contract, InputSpec())
    rows = frame[20_000:48_000]
    reports = {kind: place.score(rows, kind, f"{kind}.ndjson") for kind in ("csv", "parquet", "ndjson")}
    for kind, report in reports.items():
        assert report.rows == report.journalled == 28_000
        place.require_as_asked(as_json(rows, "class"), f"{kind}.ndjson")
    answered = [
        [line.partition('"status"')[2] for line in (tmp_path / f"{kind}.ndjson").read_text().splitlines()]
        for kind in reports
    ]
    assert answered[0] == answered[1] == answered[2]


def test_customers_messages_with_line_ends_and_quotes(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    train = pl.read_csv(DATA / "banking77" / "train.csv")
    test = pl.read_csv(DATA / "banking77" / "test.csv")
    assert test["text"].str.contains("\n").any()
    model = make_pipeline(TfidfVectorizer(), SGDClassifier(loss="log_loss", max_iter=8, tol=None, random_state=7))
    model.fit(train["text"].to_list(), train["category"].to_list())
    fields = (Field(name="text", type=FieldType.TEXT, max_chars=300),)
    classes = tuple(sorted(train["category"].unique().to_list()))
    contract = Contract(task=Task.MULTICLASS, fields=fields, target="category", classes=classes)
    words = {"text": word_set(train["text"].to_list())}
    place = Place(tmp_path, model, contract, InputSpec(input="text"), words)
    for kind in ("csv", "parquet", "ndjson"):
        report = place.score(test if kind != "ndjson" else test.drop("category"), kind, f"{kind}.ndjson")
        assert report.rows == 3080
        assert report.counts["refused"] > 0
        place.require_as_asked(as_json(test, "category"), f"{kind}.ndjson")
