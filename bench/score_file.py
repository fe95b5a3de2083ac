"""Rows per second of a batch against a plain `predict_proba` on the whole frame, in one process; about 60 s.

`python bench/score_file.py [--rows 20000] [--kind csv parquet ndjson] [--case words pieces numbers trees] [--profile]`

Four models: TF-IDF over words, and over pieces of words (2 to 4 characters), each with logistic regression over 77
classes; a scaled logistic regression on 20 numbers (the cheapest model there is: what a batch itself costs); and
gradient-boosted trees on the same 20 numbers. The data are made up: the figures are about time. `plain` calls the
estimator once on all rows as they come from the file; `score` reads, checks, answers, writes the journal with fsync,
and writes the file. `ratio` (of the two) and `model` (the part of `score` that is spent inside the estimator) are of
processor seconds, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mainstay.config.clocks import SystemClock
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.journal.personal import Hasher, read_or_make_salt
from mainstay.models import pickles
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel, load
from mainstay.score import entry
from mainstay.score.records import Answerer
from mainstay.testing.models import PROFILE

COLUMNS = 20
CLASSES = 77
FIT_ROWS = 4_000


def texts(rows: int) -> tuple[pl.DataFrame, list[str]]:
    """Make short messages whose words lean to their class."""
    dice = random.Random(1)
    words = [f"{a}{b}" for a in ("ba", "co", "du", "fi", "ga", "lo", "mi", "nu") for b in range(120)]
    liked = [dice.sample(words, 6) for _ in range(CLASSES)]
    truth = [dice.randrange(CLASSES) for _ in range(rows)]
    said = [" ".join(dice.choices(liked[one], k=5) + dice.choices(words, k=7)) for one in truth]
    return pl.DataFrame({"text": said}), [f"c{one:02d}" for one in truth]


def numbers(rows: int) -> tuple[pl.DataFrame, list[str]]:
    """Make numbers, two of which decide."""
    luck = np.random.default_rng(1)
    x = luck.normal(size=(rows, COLUMNS)).round(4)
    truth = np.where(x[:, 0] + x[:, 1] ** 2 + luck.normal(size=rows) > 1, "yes", "no")
    return pl.DataFrame({f"x{number:02d}": x[:, number] for number in range(COLUMNS)}), truth.tolist()


def make(case: str, folder: Path, rows: int) -> tuple[LoadedModel, pl.DataFrame, Any]:
    """Return a loaded model, rows, and the rows as the estimator takes them."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    is_text = case in ("words", "pieces")
    frame, truth = texts(rows) if is_text else numbers(rows)
    if is_text:
        given: Any = np.array(frame["text"].to_list(), dtype=object)
        pieces = {"analyzer": "char_wb", "ngram_range": (2, 4), "min_df": 2} if case == "pieces" else {}
        model: Any = make_pipeline(TfidfVectorizer(**pieces), LogisticRegression(max_iter=30, tol=0.01))
        fields = (Field(name="text", type=FieldType.TEXT),)
        spec, words = InputSpec(input="text"), {"text": frozenset(" ".join(frame["text"][:FIT_ROWS].to_list()).split())}
    else:
        given = frame.to_pandas()
        linear = make_pipeline(StandardScaler(), LogisticRegression())
        model = linear if case == "numbers" else HistGradientBoostingClassifier(max_iter=100)
        fields = tuple(Field(name=name, type=FieldType.NUMBER) for name in frame.columns)
        spec, words = InputSpec(), {}
    model.fit(given[:FIT_ROWS], truth[:FIT_ROWS])
    classes = tuple(str(one) for one in model.classes_)
    contract = Contract(
        task=Task.MULTICLASS if is_text else Task.BINARY, fields=fields, target="truth", classes=classes
    )
    bundle = write_bundle(
        folder / "bundles",
        BundleParts(
            pickle=pickles.dump(model), contract=contract, profile=PROFILE, classes=classes, spec=spec, vocabulary=words
        ),
    )
    return load(bundle), frame, given


class Timed:
    """An estimator that counts the seconds spent inside it."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seconds = inner, 0.0
        self.classes_ = inner.classes_

    def predict_proba(self, rows: Any) -> Any:
        began = time.process_time()
        try:
            return self.inner.predict_proba(rows)
        finally:
            self.seconds += time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kind", nargs="*", default=["csv", "parquet", "ndjson"])
    parser.add_argument("--case", nargs="*", default=["words", "pieces", "numbers", "trees"])
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    print(f"{'case':8} {'file':8} {'journal':8} {'plain rows/s':>13} {'score rows/s':>13} {'ratio':>6} {'model':>6}")
    for case in given.case:
        with tempfile.TemporaryDirectory() as place:
            run(case, Path(place), given)


def run(case: str, folder: Path, given: argparse.Namespace) -> None:
    loaded, frame, rows = make(case, folder, given.rows)
    plain = loaded.estimator.predict_proba
    plain(rows[:1000])
    began, began_cpu = time.perf_counter(), time.process_time()
    plain(rows)
    plain_s, plain_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    loaded.estimator = timed = Timed(loaded.estimator)
    hasher = Hasher(read_or_make_salt(folder / "salt"))
    answerer = Answerer(loaded=loaded, name="bench@1", live=True, hasher=hasher)
    for kind in given.kind:
        source = folder / f"in.{kind}"
        {"csv": frame.write_csv, "parquet": frame.write_parquet, "ndjson": frame.write_ndjson}[kind](source)
        for watch in (False, True):
            timed.seconds = 0.0
            options = entry.options_of(source, folder / f"out.{kind}", bad=None, id_column=None, ignore=(), fresh=True)
            profile = cProfile.Profile() if given.profile else None
            began, began_cpu = time.perf_counter(), time.process_time()
            if profile:
                profile.enable()
            entry.score(
                options,
                answerer,
                state=folder,
                segment_mb=16,
                clock=SystemClock(),
                watch=watch,
                tell=lambda _: None,
            )
            took, took_cpu = time.perf_counter() - began, time.process_time() - began_cpu
            if profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(22)
            ratio, share = took_cpu / plain_cpu_s, timed.seconds / took_cpu
            print(
                f"{case:8} {kind:8} {'yes' if watch else 'no':8} {given.rows / plain_s:13,.0f} "
                f"{given.rows / took:13,.0f} {ratio:6.1f} {share:6.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
