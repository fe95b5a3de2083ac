"""Labels that suddenly contradict one answer: of the rows answered `a`, many are labelled `b` since a moment.

For each pair of an answer and another label, the newest labels are held against the older ones by Fisher's exact test
(1922), one-sided, Bonferroni over the pairs that occur. Each key speaks once for an answer in each part, by most of its
labels, so that one who labels much is one voice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import scipy

LEVEL = 1e-3
"""Chance of telling any flip while nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One answer that is suddenly contradicted by one label."""

    answered: str
    labelled: str
    now: int
    """Keys that say so in the newest part ..."""
    now_of: int
    """... of so many that were answered so."""
    before: int
    before_of: int
    p_value: float

    @property
    def share(self) -> float:
        """Return the share of the newest keys that say so."""
        return self.now / self.now_of


def sudden(
    answered: Sequence[str], labelled: Sequence[str], keys: Sequence[Hashable], is_new: Sequence[bool]
) -> list[Flip]:
    """Return the flips, most certain first; all sequences are of one length, a row each."""
    voices: dict[tuple[bool, str, Hashable], Counter[str]] = {}
    for a, b, key, new in zip(answered, labelled, keys, is_new, strict=True):
        voices.setdefault((new, a, key), Counter())[b] += 1
    said: dict[tuple[bool, str], Counter[str]] = {}
    for (new, a, _), counts in voices.items():
        said.setdefault((new, a), Counter())[_most(counts)] += 1
    pairs = [(a, b) for (new, a), counts in said.items() if new for b in counts if a != b]
    found = []
    for a, b in pairs:
        now, before = said[True, a], said.get((False, a), Counter())
        n, m = sum(now.values()), sum(before.values())
        if m == 0:
            continue  # an answer that is new as a whole was contradicted by nobody before
        table = [[now[b], n - now[b]], [before[b], m - before[b]]]
        p = float(scipy.stats.fisher_exact(table, alternative="greater").pvalue)
        if p <= LEVEL / len(pairs):
            found.append(Flip(answered=a, labelled=b, now=now[b], now_of=n, before=before[b], before_of=m, p_value=p))
    return sorted(found, key=lambda flip: (flip.p_value, flip.answered, flip.labelled))


def _most(counts: Counter[str]) -> str:
    """Return the commonest label; of a tie the first in order of name."""
    top = max(counts.values())
    return min(name for name, count in counts.items() if count == top)
