"""A column of texts: how long, in which scripts and languages, and which words tell the classes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison.texts import EMOJI, NOT_LATIN, SCRIPTS
from mainstay.models.languages import language_of
from mainstay.models.signals import words as words_of
from mainstay.profiling.plots import histogram
from mainstay.profiling.records import Plot
from mainstay.profiling.samples import TEXT_ROWS, drawn
from mainstay.stats.words import telling_words

MOST_CLASSES = 20
WORDS_TOLD = 6
LEAST_Z = 3.0


def look(held: pl.Series, rng: np.random.Generator) -> tuple[dict[str, Any], Plot]:
    """Return lengths (of all texts), scripts, languages and signs (of a sample), and a plot of the lengths."""
    lengths = np.sort(held.str.len_chars().cast(pl.Float64).to_numpy())
    some = held[drawn(len(held), TEXT_ROWS, rng)]
    found: dict[str, Any] = {
        "length_mean": float(lengths.mean()),
        "length_median": float(np.quantile(lengths, 0.5)),
        "length_max": float(lengths[-1]),
        "empty_texts": int((held.str.strip_chars() == "").sum()),
        "words_mean": float(some.str.count_matches(r"\w+").mean() or 0.0),  # type: ignore[arg-type]
        "emoji": _share(some, EMOJI),
        "not_latin": _share(some, NOT_LATIN),
        "scripts": {name: share for name, pattern in SCRIPTS.items() if (share := _share(some, pattern))},
        "languages": languages(some),
        "read": len(some),
    }
    return found, histogram(lengths)


def languages(some: pl.Series) -> dict[str, float]:
    """Return the share of texts that seem to be in each language in the Latin script, the commonest first.

    By the little words that each of them needs (models/languages.py): short texts and others are of none.
    """
    counts: Counter[str] = Counter()
    for text in some.to_list():
        found = words_of(text)
        if name := language_of(found, len(found)):
            counts[name] += 1
    return {name: count / len(some) for name, count in counts.most_common()}


def telling(texts: pl.Series, truth: pl.Series) -> dict[str, list[str]]:
    """Return for each of the commonest classes the words that tell its texts from the others', the most telling first.

    Log-odds with an informative prior (Monroe, Colaresi, Quinn 2008); words with z below LEAST_Z are left out.
    """
    truth = truth.cast(pl.String)
    per_class: dict[str, Counter[str]] = {}
    every: Counter[str] = Counter()
    for text, label in zip(texts.to_list(), truth.to_list(), strict=True):
        if text is not None and label is not None:
            found = set(words_of(text))
            per_class.setdefault(str(label), Counter()).update(found)
            every.update(found)
    sizes = Counter(str(label) for label in truth.to_list() if label is not None)
    out = {}
    for label, _ in sizes.most_common(MOST_CLASSES):
        own = per_class.get(label, Counter())
        told = telling_words(own, every - own, least_z=LEAST_Z, limit=WORDS_TOLD)
        out[label] = [one.word for one in told]
    return out


def _share(some: pl.Series, pattern: str) -> float:
    return float(some.str.contains(pattern).mean() or 0.0)  # type: ignore[arg-type]
