"""Texts that are nearly the same, found without comparing each with each: MinHash signatures and banding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
"""Bytes of a shingle."""
SIZE = 64
BANDS = 16
"""Of SIZE / BANDS = 4 rows each: a pair of Jaccard similarity s is met with probability 1 − (1 − s⁴)¹⁶."""
PIECE = 1 << 21
"""Bytes of text that are hashed at once."""
MOST_PER_BUCKET = 20
"""Partners of one text that are looked at in one band: many equal texts would otherwise make all pairs."""

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.intp]


def signatures(texts: Sequence[bytes], *, seed: int = 0) -> NDArray[np.uint32]:
    """Return the MinHash signature of each text, shape (n, SIZE).

    Broder (1997): the share of equal entries of two signatures estimates the Jaccard similarity of their sets of
    shingles (SHINGLE bytes each; a shorter text is filled up with zero bytes). Hashes are multiply-shift
    (Dietzfelbinger et al. 1997) of a mixed polynomial hash. Cost: SIZE operations a byte.
    """
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 2**63, SIZE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = rng.integers(0, 2**63, SIZE, dtype=np.uint64)
    out = np.zeros((len(texts), SIZE), dtype=np.uint32)
    first = 0
    for last in _pieces([max(len(text), SHINGLE) for text in texts]):
        hashes, starts = _shingles(texts[first:last])
        for j in range(SIZE):
            mixed = (hashes * factors[j] + offsets[j]) >> np.uint64(32)
            out[first:last, j] = np.minimum.reduceat(mixed, starts)
        first = last
    return out


def shingles_of(text: bytes) -> Hashes:
    """Return the distinct hashed shingles of one text, sorted."""
    return np.unique(_shingles([text])[0])


def jaccard(a: Hashes, b: Hashes) -> float:
    """Return |A ∩ B| / |A ∪ B| of two sorted arrays without repeats; two empty ones: 0."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    either = len(a) + len(b) - both
    return both / either if either else 0.0


def candidates(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> Pairs:
    """Return pairs (row of a, row of b) that share a whole band of their signatures, each once, shape (m, 2)."""
    found = []
    for ours, theirs in zip(_bands(a).T, _bands(b).T, strict=True):
        order = np.argsort(ours, kind="stable")
        keys = ours[order]
        low, high = np.searchsorted(keys, theirs, "left"), np.searchsorted(keys, theirs, "right")
        many = np.minimum(high - low, MOST_PER_BUCKET)
        partner = np.repeat(np.arange(len(theirs)), many)
        step = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
        found.append(order[np.repeat(low, many) + step] * len(theirs) + partner)
    if not found or not len(b):
        return np.zeros((0, 2), dtype=np.intp)
    codes = np.unique(np.concatenate(found))
    return np.column_stack([codes // len(b), codes % len(b)]).astype(np.intp)


def _bands(signature: NDArray[np.uint32]) -> Hashes:
    """Return one hash for each band, shape (n, BANDS)."""
    wide = signature.astype(np.uint64).reshape(len(signature), BANDS, SIZE // BANDS)
    out = np.zeros(wide.shape[:2], dtype=np.uint64)
    for i in range(wide.shape[2]):
        out = _mix(out ^ wide[:, :, i])
    return out


def _shingles(texts: Sequence[bytes]) -> tuple[Hashes, NDArray[np.intp]]:
    """Return the hashes of all shingles of the texts in order, and where each text's begin."""
    padded = [text.ljust(SHINGLE, b"\0") for text in texts]
    data = np.frombuffer(b"".join(padded), dtype=np.uint8).astype(np.uint64)
    lengths = np.array([len(text) for text in padded], dtype=np.intp)
    rolled = np.zeros(max(0, len(data) - SHINGLE + 1), dtype=np.uint64)
    for i in range(SHINGLE):
        rolled = rolled * np.uint64(0x100000001B3) + data[i : len(rolled) + i]
    keep = np.ones(len(rolled), dtype=np.bool_)
    ends = np.cumsum(lengths)
    for i in range(1, SHINGLE):  # a shingle does not reach into the next text
        keep[ends[:-1] - i] = False
    counts = lengths - SHINGLE + 1
    return _mix(rolled[keep]), (np.cumsum(counts) - counts).astype(np.intp)


def _mix(x: Hashes) -> Hashes:
    """Return well-mixed hashes: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)


def _pieces(lengths: Sequence[int]) -> list[int]:
    """Return the ends of runs of texts that hold about PIECE bytes each."""
    ends, held = [], 0
    for number, length in enumerate(lengths, start=1):
        held += length
        if held >= PIECE or number == len(lengths):
            ends.append(number)
            held = 0
    return ends
