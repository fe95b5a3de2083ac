"""The loss of a learner that is asked before it is taught, over all it was asked and over the newest.

Gama, Sebastião, Rodrigues 2013 (On evaluating stream learning algorithms, Machine Learning 90, §3.3): with losses L_i
and a fading factor α,

    S_i = L_i + α S_{i−1},   B_i = 1 + α B_{i−1},   faded mean = S_i / B_i,

which forgets as a window of about 1 / (1 − α) rows does and needs none to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ALPHA = 0.995
"""About the newest 200 rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sums of losses; nothing yet by default."""

    n: int = 0
    total: float = 0.0
    faded: float = 0.0
    """S."""
    weight: float = 0.0
    """B."""

    @property
    def mean(self) -> float:
        """Return the mean loss over all rows; NaN without any."""
        return self.total / self.n if self.n else math.nan

    @property
    def newest(self) -> float:
        """Return the faded mean; NaN without any row."""
        return self.faded / self.weight if self.weight else math.nan


def as_metric(loss: float, metric: str) -> float:
    """Return a mean loss as people know it: of `accuracy` the share that was right, of any other metric itself."""
    return 1.0 - loss if metric == "accuracy" else loss


def after(score: Score, losses: Sequence[float], alpha: float = ALPHA) -> Score:
    """Return the score after more losses, in the order in which they came."""
    faded, weight = score.faded, score.weight
    for loss in losses:
        faded, weight = loss + alpha * faded, 1.0 + alpha * weight
    return Score(n=score.n + len(losses), total=score.total + math.fsum(losses), faded=faded, weight=weight)
