"""Texts as rows of hashed words: no vocabulary, a bounded width."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import polars as pl

from mainstay.models.signals import words as words_of

WIDTH = 1 << 18
"""Columns that words are hashed to; those that fewer than two texts use are left out."""


def hashed_words(texts: pl.Series) -> Any:
    """Return a CSR matrix of the words and pairs of words of each text, signed by hash, rows of length 1.

    Feature hashing (Weinberger et al. 2009): column and sign by CRC-32 of the word; a column weighs log(1 + n/df), df
    the number of texts with it.
    """
    from scipy.sparse import csr_matrix

    known: dict[str, int] = {}
    rows, columns, signs = [], [], []
    for row, text in enumerate(texts.to_list()):
        found = words_of(text) if text else []
        for term in {*found, *(f"{a} {b}" for a, b in pairwise(found))}:
            code = known.get(term)
            if code is None:
                code = known[term] = crc32(term.encode("utf-8", "replace"))
            rows.append(row)
            columns.append(code % WIDTH)
            signs.append(1.0 if code & 0x80000000 else -1.0)
    frequency = np.bincount(np.array(columns, dtype=np.intp), minlength=WIDTH)
    weight = np.log1p(len(texts) / np.maximum(frequency, 1))
    values = np.array(signs) * weight[np.array(columns, dtype=np.intp)]
    matrix = csr_matrix((values, (rows, columns)), shape=(len(texts), WIDTH))[:, np.flatnonzero(frequency > 1)]
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return csr_matrix(
        (matrix.data * np.repeat(scale, np.diff(matrix.indptr)), matrix.indices, matrix.indptr), matrix.shape
    )
