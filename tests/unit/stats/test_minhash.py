from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats import minhash


def sets_of(text: bytes) -> set[bytes]:
    return {text[i : i + minhash.SHINGLE] for i in range(max(1, len(text) - minhash.SHINGLE + 1))}


def texts_of(rng: np.random.Generator, count: int) -> list[bytes]:
    return [bytes(rng.integers(97, 123, int(rng.integers(1, 60))).astype(np.uint8)) for _ in range(count)]


def test_the_similarity_is_that_of_the_sets_of_shingles() -> None:
    rng = np.random.default_rng(0)
    for text in texts_of(rng, 40):
        other = text[: len(text) // 2] + texts_of(rng, 1)[0]
        expected = len(sets_of(text) & sets_of(other)) / len(sets_of(text) | sets_of(other))
        a, b = minhash.shingles_of(text), minhash.shingles_of(other)
        if min(len(text), len(other)) >= minhash.SHINGLE:
            assert minhash.jaccard(a, b) == pytest.approx(expected)


def test_equal_entries_of_two_signatures_estimate_the_similarity() -> None:
    """Hoeffding over 64 entries and 60 pairs: the mean error is within .035 with probability 1 - 1e-6."""
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(60):
        text = bytes(rng.integers(97, 123, 80).astype(np.uint8))
        other = text[: int(rng.integers(20, 80))] + bytes(rng.integers(97, 123, 30).astype(np.uint8))
        signed = minhash.signatures([text, other])
        similar = minhash.jaccard(minhash.shingles_of(text), minhash.shingles_of(other))
        errors.append(float((signed[0] == signed[1]).mean()) - similar)
    assert abs(np.mean(errors)) < 0.045


def test_a_text_is_signed_the_same_alone_and_among_others_however_they_are_cut_into_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = texts_of(np.random.default_rng(2), 50)
    together = minhash.signatures(texts)
    monkeypatch.setattr(minhash, "PIECE", 30)
    assert (minhash.signatures(texts) == together).all()
    assert (np.vstack([minhash.signatures([text]) for text in texts]) == together).all()


def test_pairs_that_are_similar_become_candidates_and_unlike_ones_hardly_ever() -> None:
    """A pair of similarity .9 is missed with (1 - .9^4)^16 < 1e-7; unlike texts share no shingle."""
    rng = np.random.default_rng(3)
    left = [bytes(rng.integers(97, 123, 100).astype(np.uint8)) for _ in range(200)]
    right = [text[:97] + b"xyz" for text in left]
    found = minhash.candidates(minhash.signatures(left), minhash.signatures(right))
    assert {(i, i) for i in range(200)} <= set(map(tuple, found.tolist()))
    assert len(found) < 210


def test_many_equal_texts_do_not_make_all_pairs() -> None:
    signed = minhash.signatures([b"the same text"] * 3000)
    assert len(minhash.candidates(signed, signed)) <= 3000 * minhash.MOST_PER_BUCKET


def test_no_texts_give_no_pairs() -> None:
    none = minhash.signatures([])
    assert minhash.candidates(none, none).shape == (0, 2)
