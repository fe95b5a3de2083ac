"""What a column of texts is asked: length, signs, scripts, unseen words, and whether its words tell the sides apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mainstay.comparison import words
from mainstay.comparison.apart import AREA_MATERIAL, area_effect, cross_validated_area, folds_of
from mainstay.comparison.aspects import Asked, Samples, share_aspect, values_aspect
from mainstay.comparison.records import Aspect
from mainstay.comparison.units import Mask
from mainstay.models.signals import words as words_of
from mainstay.stats.intervals import Floats
from mainstay.stats.words import telling_words

MOST_TEXTS = 20_000
"""Texts of each side that are looked at."""
MOST_READ = 4_000
"""Texts of each side that the classifier reads."""
LEAST_READ = 60
"""Fewer texts than this on a side are too few for a classifier."""
EMOJI = r"[\x{1F000}-\x{1FAFF}\x{2600}-\x{27BF}\x{2B00}-\x{2BFF}]"
SCRIPTS = {
    "Cyrillic": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Chinese": r"\p{Han}",
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
    "Korean": r"\p{Hangul}",
    "Thai": r"\p{Thai}",
}
NOT_LATIN = r"[\p{L}&&[^\p{Latin}]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMeasures:
    """What was measured of a column of texts."""

    aspects: tuple[Aspect, ...]
    numbers: dict[str, Any]
    notes: tuple[str, ...]
    features: tuple[tuple[str, tuple[Floats, Floats]], ...]
    """Numbers of each row for the classifier over all fields; the first is the length."""


def text_measures(a: pl.Series, b: pl.Series, asked: Asked) -> TextMeasures:
    """Return what is to be known about two columns of texts (null: missing)."""
    signals = [_signals(side) for side in (a, b)]
    pair = {name: (signals[0][name], signals[1][name]) for name in signals[0]}
    some = _some(a, b, MOST_TEXTS, asked)
    aspects = [
        values_aspect("length", Samples.of(*pair["length"], asked), called="characters"),
        values_aspect("capitals", Samples.of(*pair["capitals"], asked), called="capital letters", show=words.share),
        values_aspect("digits", Samples.of(*pair["digits"], asked), called="digits", show=words.share),
        values_aspect("marks", Samples.of(*pair["marks"], asked), called="punctuation and signs", show=words.share),
        _share_of_rows("emoji", pair["emoji"], asked, "texts with an emoji"),
        _share_of_rows("script", pair["script"], asked, "texts with letters that are not Latin"),
    ]
    unseen, unseen_numbers = _unseen(some)
    numbers: dict[str, Any] = {"scripts": _scripts(a, b), **unseen_numbers}
    read = _words_aspect(some)
    told = _telling(some)
    aspects += [item for item in (unseen, read) if item is not None]
    numbers["telling_now"], numbers["telling_before"] = told
    notes = []
    if read is not None and told[0]:
        notes.append("words that tell the current texts: " + ", ".join(words.short(w, 24) for w in told[0][:6]))
    if read is not None and told[1]:
        notes.append("words that tell the reference: " + ", ".join(words.short(w, 24) for w in told[1][:6]))
    features = tuple((name, pair[name]) for name in ("length", "capitals", "digits", "marks", "emoji", "script"))
    return TextMeasures(aspects=tuple(aspects), numbers=numbers, notes=tuple(notes), features=features)


def _signals(cells: pl.Series) -> dict[str, Floats]:
    """Return numbers of each row, NaN where the text is missing: characters, shares of kinds of signs, 0 or 1."""
    text = pl.col("t")
    size = text.str.len_chars()
    per = pl.when(size > 0).then(size).otherwise(1)
    frame = pl.DataFrame({"t": cells}).select(
        length=size.cast(pl.Float64),
        capitals=text.str.count_matches(r"\p{Lu}") / per,
        digits=text.str.count_matches(r"\p{Nd}") / per,
        marks=text.str.count_matches(r"[\p{P}\p{Sm}\p{Sc}\p{Sk}]") / per,
        emoji=text.str.contains(EMOJI).cast(pl.Float64),
        script=text.str.contains(NOT_LATIN).cast(pl.Float64),
    )
    return {c: frame.get_column(c).cast(pl.Float64).fill_null(math.nan).to_numpy() for c in frame.columns}


def _share_of_rows(name: str, pair: tuple[Floats, Floats], asked: Asked, called: str) -> Aspect:
    held = np.isfinite(pair[0]), np.isfinite(pair[1])
    return share_aspect(name, pair[0][held[0]] > 0, pair[1][held[1]] > 0, asked.where(*held), called=called)


def _scripts(a: pl.Series, b: pl.Series) -> dict[str, tuple[float, float]]:
    """Return for each script that occurs the shares of texts with it."""
    found = {}
    for name, pattern in SCRIPTS.items():
        shares = (float(a.str.contains(pattern).mean() or 0.0), float(b.str.contains(pattern).mean() or 0.0))  # type: ignore[arg-type]
        if any(shares):
            found[name] = shares
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    """A bounded number of texts of both sides, with their units."""

    a: list[str]
    b: list[str]
    asked: Asked


def _some(a: pl.Series, b: pl.Series, most: int, asked: Asked) -> Some:
    kept = [_kept(side.is_not_null().to_numpy(), most, asked.rng) for side in (a, b)]
    texts = [side.filter(pl.Series(mask)).to_list() for side, mask in zip((a, b), kept, strict=True)]
    return Some(a=texts[0], b=texts[1], asked=asked.where(kept[0], kept[1]))


def _kept(present: Mask, most: int, rng: np.random.Generator) -> Mask:
    places = np.flatnonzero(present)
    if len(places) > most:
        places = rng.choice(places, most, replace=False)
    mask = np.zeros(len(present), dtype=np.bool_)
    mask[places] = True
    return mask


def _unseen(some: Some) -> tuple[Aspect | None, dict[str, Any]]:
    """Return whether current texts hold more words that the reference lacks than the reference's own texts do.

    The vocabulary is that of one half of the reference; the other half and the current texts are judged by it, so that
    neither has an advantage.
    """
    half = some.asked.units.halves[0]
    vocabulary = {word for text, first in zip(some.a, half, strict=True) if first for word in words_of(text)}
    if not vocabulary or half.all():
        return None, {}
    judged = [text for text, first in zip(some.a, half, strict=True) if not first]
    shares = [np.array([_unseen_share(text, vocabulary) for text in side]) for side in (judged, some.b)]
    kept = some.asked.where(~half, np.ones(len(some.b), dtype=np.bool_))
    asked = replace(kept, units=kept.units.with_new_halves(kept.rng))
    aspect = values_aspect(
        "unseen words", Samples.of(shares[0], shares[1], asked), called="words never seen", show=words.share
    )
    figures = {
        "unseen_words_reference": float(np.nanmean(shares[0])) if np.isfinite(shares[0]).any() else None,
        "unseen_words_current": float(np.nanmean(shares[1])) if np.isfinite(shares[1]).any() else None,
    }
    return aspect, figures


def _unseen_share(text: str, vocabulary: set[str]) -> float:
    found = words_of(text)
    return sum(word not in vocabulary for word in found) / len(found) if found else math.nan


def _words_aspect(some: Some) -> Aspect | None:
    """Return whether a classifier tells which side a text is from by its words, on texts it did not learn from."""
    if min(len(some.a), len(some.b)) < LEAST_READ:
        return None
    kept = [_kept(np.ones(len(t), dtype=np.bool_), MOST_READ, some.asked.rng) for t in (some.a, some.b)]
    texts = [
        [t for t, k in zip(side, mask, strict=True) if k] for side, mask in zip((some.a, some.b), kept, strict=True)
    ]
    asked = some.asked.where(kept[0], kept[1])
    keys = asked.units.keys
    # Equal texts go into one fold: learning a text by heart must not count.
    groups = keys if keys is not None else _same_texts(texts[0], texts[1])
    folds = folds_of(len(texts[0]), len(texts[1]), groups=groups, rng=asked.rng)
    found = cross_validated_area(texts[0], texts[1], folds=folds, keys=groups, fit=_fit_words)
    if found is None:
        return None
    effect = area_effect(found)
    return Aspect(
        name="words",
        test="domain classifier on words (logistic regression), area under the ROC curve out of fold",
        p=found.p,
        effects=(effect,),
        says="its words tell the sides apart" if effect.low > 0.5 + AREA_MATERIAL else "its words",
        rows=(float(len(texts[0])), float(len(texts[1]))),
    )


def _same_texts(a: Sequence[str], b: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    number: dict[str, int] = {}
    codes = [np.array([number.setdefault(t, len(number)) for t in side], dtype=np.intp) for side in (a, b)]
    return codes[0], codes[1]


def _fit_words(train: Sequence[str], label: NDArray[np.bool_], tried: Sequence[str]) -> Floats:
    """Return scores of `tried` from a logistic regression on the words that `train` holds."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    try:
        counter = CountVectorizer(binary=True, token_pattern=r"\w+", max_features=4000, min_df=2)  # noqa: S106 - no password
        table = counter.fit_transform(train)
    except ValueError:  # no word comes twice
        return np.zeros(len(tried))
    model = LogisticRegression(C=0.3, solver="liblinear", max_iter=200).fit(table, label)
    return np.asarray(model.decision_function(counter.transform(tried)), dtype=np.float64)


def _telling(some: Some) -> tuple[list[str], list[str]]:
    now, before = _rows_with_words(some.b), _rows_with_words(some.a)
    return (
        [found.word for found in telling_words(now, before, least_z=3.0)],
        [found.word for found in telling_words(before, now, least_z=3.0)],
    )


def _rows_with_words(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(words_of(text)))
    return counts
