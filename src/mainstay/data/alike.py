"""Rows that say nearly the same, of two sets: equal but for case, punctuation, spaces, and one word in ten.

Everything that the model sees is looked at, except identifiers and times: numbers to six figures, texts as the set of
their words. Two rows are alike where everything else is equal and the words' Jaccard similarity is at least LEAST. The
pairs are found by prefix filtering (Bayardo, Ma, Srikant 2007), which leaves none out: of two sets that share so much,
one of the rarest words of each is shared.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType

LEAST = 0.9
"""Share of all words of two rows that both have."""
_UNTOLD = (FieldType.IDENTIFIER, FieldType.TIMESTAMP)
_WORD = re.compile(r"\w+")
_Words = frozenset[tuple[int, str]]


def said_fields(contract: Contract) -> tuple[Field, ...]:
    """Return the fields that say what a row is about; none where a row is only told by identifiers and times."""
    return tuple(field for field in contract.features if field.type not in _UNTOLD)


def alike(contract: Contract, rows: pl.DataFrame, others: pl.DataFrame) -> list[bool]:
    """Return for each of `rows` whether one of `others` says nearly the same; none is where no field says anything.

    Time grows with the rows, and with the others that share a rare word.
    """
    fields = [field for field in said_fields(contract) if field.name in rows.columns and field.name in others.columns]
    if not fields:
        return [False] * rows.height
    known: dict[tuple[Any, ...], list[_Words]] = {}
    for rest, words in _said(fields, others):
        known.setdefault(rest, []).append(words)
    index = {rest: _Index(sets) for rest, sets in known.items()}
    return [rest in index and index[rest].holds(words) for rest, words in _said(fields, rows)]


def _said(fields: Sequence[Field], frame: pl.DataFrame) -> Iterable[tuple[tuple[Any, ...], _Words]]:
    """Yield of each row what must be equal, and its words."""
    texts = [(n, field.name) for n, field in enumerate(fields) if field.type is FieldType.TEXT]
    rest = [field.name for field in fields if field.type is not FieldType.TEXT]
    for row in frame.select([field.name for field in fields]).iter_rows(named=True):
        words = frozenset((n, word) for n, name in texts for word in _words(row[name]))
        yield tuple(_plain(row[name]) for name in rest), words


def _words(text: str | None) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text or "").casefold())


def _plain(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


class _Index:
    """Sets of words, found by what they share."""

    def __init__(self, sets: Sequence[_Words]) -> None:
        self._sets = list(dict.fromkeys(sets))
        self._equal = frozenset(self._sets)
        self._counts: Mapping[tuple[int, str], int] = Counter(word for one in self._sets for word in one)
        self._with: dict[tuple[int, str], list[int]] = {}
        for number, one in enumerate(self._sets):
            for word in self._rarest(one):
                self._with.setdefault(word, []).append(number)

    def holds(self, words: _Words) -> bool:
        """Return whether one of the sets is alike."""
        if words in self._equal:
            return True
        seen: set[int] = set()
        for word in self._rarest(words):
            for number in self._with.get(word, ()):
                if number not in seen:
                    seen.add(number)
                    if _jaccard(words, self._sets[number]) >= LEAST:
                        return True
        return False

    def _rarest(self, words: _Words) -> list[tuple[int, str]]:
        """Return the words of which at least one is shared with any set that is alike: size − ⌈LEAST · size⌉ + 1."""
        prefix = len(words) - math.ceil(LEAST * len(words)) + 1
        return sorted(words, key=lambda word: (self._counts.get(word, 0), word))[:prefix]


def _jaccard(a: _Words, b: _Words) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
