"""Queries of bank customers and of assistants: a small text model, then people whom it never met."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scenes
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "banking77"))
import mess

NEW_TOPICS = 7
TRAIN, REFERENCE, QUIET, CHANGED = 5_500, 2_000, 1_000, 2_000
SHARES = (0.05, 0.10, 0.20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Queries, scored by a model that knows all topics but some."""

    clean: pl.DataFrame
    """Held out of training: text, truth, said, sure."""
    new: pl.DataFrame
    """Of topics that the model never saw."""
    messy: pl.DataFrame
    """The clean ones as hurried people type them."""
    model: Any


def scored(model: Any, texts: list[str], truth: list[str]) -> pl.DataFrame:
    """Return texts with what the model says of them."""
    sure = model.predict_proba(texts)
    said = model.classes_[sure.argmax(axis=1)]
    return pl.DataFrame({"text": texts, "truth": truth, "said": said.tolist(), "sure": sure.max(axis=1)})


def bank(data: Path) -> Bank:
    """Read Banking77, train on part of it, score the rest."""
    rows = pl.concat([pl.read_csv(data / "banking77" / f"{part}.csv") for part in ("train", "test")])
    rows = rows.unique("text", keep="first", maintain_order=True).sample(fraction=1.0, shuffle=True, seed=5)
    topics = sorted(rows["category"].unique().to_list())
    new = set(random.Random(5).sample(topics, NEW_TOPICS))
    known, others = (rows.filter(pl.col("category").is_in(new) == part) for part in (False, True))
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), LogisticRegression(C=20.0, max_iter=400)
    )
    model.fit(known["text"][:TRAIN].to_list(), known["category"][:TRAIN].to_list())
    held = known[TRAIN:]
    misspelled = mess.read_misspellings(data / "noise" / "symspell_noisy_query_en_1000.txt")
    emoji = mess.read_emoji(data / "noise" / "gemoji_emoji.json")
    rng = random.Random(9)
    typed = [mess.messy(text, rng, misspelled, emoji) for text in held["text"]]
    truth = held["category"].to_list()
    return Bank(
        clean=scored(model, held["text"].to_list(), truth),
        new=scored(model, others["text"].to_list(), others["category"].to_list()),
        messy=scored(model, typed, truth),
        model=model,
    )


def stream(
    found: Bank, rng: np.random.Generator, *, share: float = 1.0, of: str = "messy", changed: int = CHANGED
) -> pl.DataFrame:
    """Return clean queries, then `changed` ones of which `share` are of another kind."""
    order = rng.permutation(found.clean.height)
    calm = found.clean[order[: REFERENCE + QUIET + changed]]
    if of == "clean":
        return calm
    later = calm[REFERENCE + QUIET :]
    hit = rng.random(later.height) < share
    if of == "messy":
        other = found.messy[order[REFERENCE + QUIET : REFERENCE + QUIET + changed]]
    elif of == "new":
        other = found.new[rng.choice(found.new.height, later.height, replace=found.new.height < later.height)]
    else:
        other = BROKEN[of](later)
        if "labels" not in of:
            told = scored(found.model, other["text"].fill_null("").to_list(), other["truth"].to_list())
            other = other.with_columns(told["said"], told["sure"])
    mixed = later.with_columns(
        pl.when(pl.Series(hit)).then(other[name]).otherwise(later[name]).alias(name) for name in later.columns
    )
    return pl.concat([calm[: REFERENCE + QUIET], mixed])


def _cut_off(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("text").str.slice(0, 20))


def _empty(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.lit(None, dtype=pl.String).alias("text"))


def _one_text(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.lit("undefined undefined").alias("text"))


def _swapped(rows: pl.DataFrame, topics: int) -> pl.DataFrame:
    """Swap labels within pairs of the most frequent topics."""
    names = rows["truth"].value_counts().sort(["count", "truth"], descending=True)["truth"].to_list()[:topics]
    pairs = dict(zip(names[0::2], names[1::2], strict=True))
    other = {**pairs, **{b: a for a, b in pairs.items()}}
    return rows.with_columns(pl.col("truth").replace(other))


BROKEN = {
    "cut off": _cut_off,
    "empty": _empty,
    "one text": _one_text,
    "2 labels swapped": lambda rows: _swapped(rows, 2),
    "10 labels swapped": lambda rows: _swapped(rows, 10),
    "20 labels swapped": lambda rows: _swapped(rows, 20),
}


def banking(data: Path, *, seeds: int, only: str = "") -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the figures of Banking77, and the reports of the last replay of each case as text."""
    found = bank(data)
    right = float((found.clean["said"] == found.clean["truth"]).mean())
    messy = float((found.messy["said"] == found.messy["truth"]).mean())
    print(json.dumps({"accuracy_clean": right, "accuracy_messy": messy, "held_out": found.clean.height}))
    cases = [("stationary", "clean", 0.0), ("typos, slang, emoji", "messy", 1.0)]
    cases += [(f"typos, slang, emoji from {share:.0%}", "messy", share) for share in (0.1, 0.3)]
    cases += [(f"new topics at {share:.0%}", "new", share) for share in SHARES]
    cases += [(f"text {what} in {share:.0%}", what, share) for what in ("cut off", "empty") for share in (0.1, 1.0)]
    cases += [("text is one text in 10%", "one text", 0.1)]
    cases += [(what, what, 1.0) for what in BROKEN if "swapped" in what]
    lines, texts = [], {}
    for case, of, share in cases:
        if only and only not in case:
            continue
        for known in (False, True) if of == "clean" or "swapped" in of else (False,):
            if not known and "swapped" in of:
                continue
            name = case + (", labels after an hour" if known else "")

            def draw(rng: np.random.Generator, of: str = of, share: float = share, known: bool = known) -> pl.DataFrame:
                rows = stream(found, rng, share=share, of=of)
                return rows if known else scenes.labelled_at_first(rows, "truth", REFERENCE)

            line, seen = scenes.many(
                name,
                draw,
                seeds=seeds,
                reference=REFERENCE,
                change=None if of == "clean" else REFERENCE + QUIET,
                prediction="said",
                probability="sure",
                label="truth",
                label_after=scenes.timedelta(hours=1),
            )
            lines.append(line)
            scenes.show([line])
            if seen is not None:
                texts[name] = str(seen.report)
    return lines, texts


def clinc(data: Path, *, seeds: int, only: str = "") -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Queries out of the scope of 150 intents arrive."""
    parts = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    train = parts["train"][::3]
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=20.0, max_iter=300)
    )
    model.fit([text for text, _ in train], [intent for _, intent in train])
    inside = [row for part in ("val", "test") for row in parts[part]]
    outside = [row for part in ("oos_train", "oos_val", "oos_test") for row in parts[part]]
    found = Bank(
        clean=scored(model, *map(list, zip(*inside, strict=True))),
        new=scored(model, *map(list, zip(*outside, strict=True))),
        messy=pl.DataFrame(),
        model=model,
    )
    lines, texts = [], {}
    for share in (0.0, 0.05, 0.10, 0.20):
        case = f"clinc150, {share:.0%} out of scope" if share else "clinc150, stationary"
        if only and only not in case:
            continue
        line, seen = scenes.many(
            case,
            lambda rng, share=share: scenes.labelled_at_first(
                stream(found, rng, share=share, of="new" if share else "clean"), "truth", REFERENCE
            ),
            seeds=seeds,
            reference=REFERENCE,
            change=REFERENCE + QUIET if share else None,
            prediction="said",
            probability="sure",
            label="truth",
        )
        lines.append(line)
        scenes.show([line])
        if seen is not None:
            texts[case] = str(seen.report)
    return lines, texts
