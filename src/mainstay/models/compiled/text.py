"""Bags of words and of character n-grams: scikit-learn's CountVectorizer and TfidfVectorizer, term for term."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from mainstay.models.compiled.parts import Floats, Ints, Row

SPACES = re.compile(r"\s\s+")
"""What scikit-learn's character analysers make one space."""
Terms = Callable[[str], list[str]]


class TextBlock:
    """The term counts of one text field, weighted as the vectorizer weighs them."""

    def __init__(
        self,
        field: str,
        vocabulary: Mapping[str, int],
        terms: Terms,
        *,
        width: int,
        binary: bool = False,
        sublinear: bool = False,
        idf: Floats | None = None,
        norm: str | None = None,
        weight: float = 1.0,
    ) -> None:
        """Take a fitted vectorizer's parts.

        `binary`: a term counts once. `sublinear`: 1 + ln(count) for the count. `idf`: shape (width,), multiplied.
        `norm`: "l1", "l2" or None, over the row. `weight`: of a FeatureUnion, multiplied at the end.
        """
        self.field = field
        self.width = width
        self._find = vocabulary.get
        self._vocabulary = vocabulary
        self._terms = terms
        self._binary, self._sublinear, self._idf, self._norm, self._weight = binary, sublinear, idf, norm, weight
        self._plain = not (binary or sublinear or idf is not None or norm) and weight == 1.0

    def fill(self, rows: Sequence[Row], out: Floats) -> None:
        """Write the weighted counts into `out`."""
        where, columns, values = self._weighted(*self._found(rows))
        np.add.at(out, (where, columns), values)

    def totals(self, rows: Sequence[Row]) -> Floats:
        """Return the sum of the weighted counts of each term, shape (width,)."""
        _, columns, values = self._weighted(*self._found(rows))
        totals: Floats = np.bincount(columns, values, minlength=self.width).astype(np.float64)
        return totals

    def terms(self) -> tuple[str, ...]:
        """Return the term of each column; empty for a column without one."""
        names = [""] * self.width
        for term, column in self._vocabulary.items():
            names[column] = term
        return tuple(names)

    def scores(self, rows: Sequence[Row], weights: Floats, out: Floats) -> None:
        """Add the weighted counts times `weights` to `out`."""
        columns, sizes = self._found(rows)
        if not len(columns):
            return
        if self._plain:
            # A count is a sum of ones: no need to count.
            _add_runs(weights[columns], sizes, out)
            return
        where, columns, values = self._weighted(columns, sizes)
        _add_runs(weights[columns] * values[:, None], np.bincount(where, minlength=len(rows)), out)

    def _found(self, rows: Sequence[Row]) -> tuple[Ints, Ints]:
        """Return the columns of all known terms, row after row, repeats kept, and how many each row has."""
        find, terms, field = self._find, self._terms, self.field
        known = [[i for term in terms(row.get(field) or "") if (i := find(term)) is not None] for row in rows]
        sizes = np.array([len(one) for one in known], dtype=np.int64)
        return np.fromiter(chain.from_iterable(known), dtype=np.int64, count=int(sizes.sum())), sizes

    def _weighted(self, columns: Ints, sizes: Ints) -> tuple[Ints, Ints, Floats]:
        """Return row, column and weighted count of each term that a row has, in order of rows and columns."""
        where = np.repeat(np.arange(len(sizes)), sizes)
        cells, counts = np.unique(where * self.width + columns, return_counts=True)
        where, columns = np.divmod(cells, self.width)
        values = np.ones(len(cells)) if self._binary else counts.astype(np.float64)
        if self._sublinear:
            values = 1.0 + np.log(values)
        if self._idf is not None:
            values *= self._idf[columns]
        if self._norm:
            powers = values * values if self._norm == "l2" else np.abs(values)
            lengths = np.bincount(where, powers, minlength=len(sizes))
            values /= (np.sqrt(lengths) if self._norm == "l2" else lengths)[where]
        return where, columns, values * self._weight if self._weight != 1.0 else values


def _add_runs(values: Floats, sizes: Ints, out: Floats) -> None:
    """Add to each row of `out` the sum of its run of `values`; runs may be empty."""
    if len(sizes) == 1:
        out[0] += values.sum(axis=0)
        return
    held = np.flatnonzero(sizes)
    starts = np.concatenate(([0], np.cumsum(sizes[held])[:-1]))
    out[held] += np.add.reduceat(values, starts, axis=0)


def word_terms(
    pattern: str, *, low: int, high: int, stop_words: frozenset[str], prepare: Callable[[str], str]
) -> Terms:
    """Return scikit-learn's word analyser: tokens that match, without stop words, in runs of `low` to `high`."""
    find = re.compile(pattern).findall

    def unigrams(text: str) -> list[str]:
        return find(prepare(text))

    def grams(text: str) -> list[str]:
        tokens = find(prepare(text))
        if stop_words:
            tokens = [token for token in tokens if token not in stop_words]
        if high == 1:
            return tokens
        return list(chain.from_iterable(_runs(tokens, n) for n in range(low, min(high, len(tokens)) + 1)))

    return unigrams if high == 1 and not stop_words else grams


def _runs(tokens: Sequence[str], n: int) -> Iterator[str]:
    return iter(tokens) if n == 1 else (" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def char_terms(*, low: int, high: int, prepare: Callable[[str], str]) -> Terms:
    """Return scikit-learn's analyser "char": every run of `low` to `high` characters."""

    def grams(text: str) -> list[str]:
        text = SPACES.sub(" ", prepare(text))
        size = len(text)
        return [text[i : i + n] for n in range(low, min(high, size) + 1) for i in range(size - n + 1)]

    return grams


def word_bound_terms(*, low: int, high: int, prepare: Callable[[str], str]) -> Terms:
    """Return scikit-learn's analyser "char_wb": runs of characters within words that have a space on either side.

    A word shorter than n gives itself once, and no longer runs.
    """

    def grams(text: str) -> list[str]:
        out: list[str] = []
        for bare in SPACES.sub(" ", prepare(text)).split():
            word = f" {bare} "
            size = len(word)
            for n in range(low, high + 1):
                if n >= size:
                    out.append(word)
                    break
                out += [word[i : i + n] for i in range(size - n + 1)]
        return out

    return grams


def preparation(*, lowercase: bool, strip_accents: str | None) -> Callable[[str], str]:
    """Return what happens to a text before it is cut: lower case, then without accents, as scikit-learn does."""
    strip = {"unicode": _without_accents, "ascii": _ascii}.get(strip_accents or "")
    if strip is None:
        return str.lower if lowercase else _as_it_is
    if not lowercase:
        return strip
    return lambda text: strip(text.lower())


def _as_it_is(text: str) -> str:
    return text


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ASCII", "ignore").decode("ASCII")
