"""Words that tell one set of texts from another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

PRIOR_ROWS = 50.0
"""Weight of the prior, in word counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingWord:
    """One word that became more common."""

    word: str
    z: float
    """Log-odds over its standard deviation."""
    now: int
    """Rows that hold it now."""
    before: int
    """Reference rows that hold it."""


def telling_words(
    now: Mapping[str, int], before: Mapping[str, int], *, least_rows: int = 3, least_z: float = 1.96, limit: int = 15
) -> list[TellingWord]:
    """Return the words that are more common in `now` than in `before`, the most telling first.

    Log-odds with an informative Dirichlet prior (Monroe, Colaresi, Quinn 2008, eq. 16, 18, 22): with counts y_i, y_j,
    totals n_i, n_j and prior α_w = α₀ p_w, p_w the pooled share and α₀ = PRIOR_ROWS,

        δ_w = ln[(y_i+α_w) / (n_i+α₀−y_i−α_w)] − ln[(y_j+α_w) / (n_j+α₀−y_j−α_w)],  σ²_w ≈ 1/(y_i+α_w) + 1/(y_j+α_w),

    z = δ/σ. Counts are rows that hold the word. Words in fewer than `least_rows` rows now, or with z below `least_z`,
    are left out: they rank the words, they test nothing. Without counts on either side: empty.
    """
    total_now, total_before = sum(now.values()), sum(before.values())
    if total_now <= 0 or total_before <= 0:
        return []
    found = []
    for word, y in now.items():
        if y < least_rows:
            continue
        z = _z_score((y, total_now), (before.get(word, 0), total_before))
        if z >= least_z:
            found.append(TellingWord(word=word, z=z, now=y, before=before.get(word, 0)))
    return sorted(found, key=lambda item: (-item.z, item.word))[:limit]


def _z_score(now: tuple[int, int], before: tuple[int, int]) -> float:
    (y_i, n_i), (y_j, n_j) = now, before
    prior = PRIOR_ROWS * (y_i + y_j) / (n_i + n_j)
    odds_i = (y_i + prior) / max(n_i + PRIOR_ROWS - y_i - prior, 1e-9)
    odds_j = (y_j + prior) / max(n_j + PRIOR_ROWS - y_j - prior, 1e-9)
    variance = 1.0 / (y_i + prior) + 1.0 / (y_j + prior)
    return (math.log(odds_i) - math.log(odds_j)) / math.sqrt(variance)
