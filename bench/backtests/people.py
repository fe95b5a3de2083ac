"""Incomes of adults: a model of one group meets another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scenes
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

TRAIN, REFERENCE, QUIET, CHANGED = 8_000, 4_000, 2_000, 4_000


def adult(data: Path, *, seeds: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Train on men, then women come; train on both, then another group comes."""
    rows = pl.read_parquet(data / "adult" / "adults.parquet")
    rows = rows.rename({name: name.replace("-", "_") for name in rows.columns})
    rows = rows.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String).str.strip_chars())
    target = next(name for name in rows.columns if rows[name].n_unique() == 2 and name not in ("sex", "gender"))
    sex = next(name for name in rows.columns if name in ("sex", "gender"))
    drop = [name for name in rows.columns if "fnlwgt" in name or "Unnamed" in name or "index" in name]
    rows = rows.drop(drop)
    lines, texts = [], {}
    groups = {
        "women after men": (pl.col(sex).str.to_lowercase() == "male", False),
        "women after men, sex not told": (pl.col(sex).str.to_lowercase() == "male", False),
        "the young after all others": (pl.col("age") >= 30, False),
        "stationary": (pl.col("age") > 0, True),
    }
    for case, (first, still) in groups.items():
        known = rows.drop(sex) if "not told" in case else rows
        place = rows.select(first.alias("first"))["first"]
        line, seen = _case(known, target, case, place, still=still, seeds=seeds)
        for one, report in zip(line, seen, strict=True):
            lines.append(one)
            scenes.show([one])
            texts[one["case"]] = report
    return lines, texts


def _case(
    rows: pl.DataFrame, target: str, case: str, first: pl.Series, *, still: bool, seeds: int
) -> tuple[list[dict[str, Any]], list[str]]:
    own, other = rows.filter(first), rows.filter(~first) if not still else rows
    rng = np.random.default_rng(3)
    own = own[rng.permutation(own.height)]
    features = [name for name in rows.columns if name != target]
    words = [name for name in features if rows[name].dtype == pl.String]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    model = make_pipeline(
        make_column_transformer((encode, words), remainder="passthrough"),
        HistGradientBoostingClassifier(random_state=0),
    )
    model.fit(own[:TRAIN].select(features).to_pandas(), own[:TRAIN][target].to_list())

    def scored(part: pl.DataFrame) -> pl.DataFrame:
        sure = model.predict_proba(part.select(features).to_pandas())
        said = np.asarray(model.classes_)[sure.argmax(axis=1)].tolist()
        return part.with_columns(pl.Series("said", said), pl.Series("sure", sure.max(axis=1)))

    held, new = scored(own[TRAIN:]), scored(other)

    def draw(rng: np.random.Generator) -> pl.DataFrame:
        calm = held[rng.choice(held.height, REFERENCE + QUIET + (CHANGED if still else 0), replace=False)]
        later = new[rng.choice(new.height, CHANGED, replace=False)]
        return calm if still else pl.concat([calm, later])

    lines, reports = [], []
    for known in (False, True):
        name = f"adult, {case}" + (", labels after an hour" if known else "")
        line, seen = scenes.many(
            name,
            lambda rng, known=known: draw(rng) if known else scenes.labelled_at_first(draw(rng), target, REFERENCE),
            seeds=seeds,
            reference=REFERENCE,
            change=None if still else REFERENCE + QUIET,
            per_hour=1_000.0,
            prediction="said",
            probability="sure",
            label=target,
            label_after=scenes.timedelta(hours=1),
        )
        line["accuracy_before"] = float((held["said"] == held[target]).mean())
        line["accuracy_after"] = float((new["said"] == new[target]).mean())
        lines.append(line)
        reports.append(str(seen.report) if seen is not None else "")
    return lines, reports
