"""Which class is answered when wrong answers cost unlike much."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of least expected cost; ties go to the class that is declared first."""

    v: int = 1
    costs: tuple[tuple[float, ...], ...]
    """What an answer costs: true class down, answer across, both in declared order. The answer is the column j of least
    Σ_i p_i costs[i][j]; a tuned threshold t of two classes is the matrix (0, t; 1 − t, 0)."""
    abstain: float | None = None
    """What an answer costs that is left to a person, in the units of `costs`: where even the best costs more, the model
    abstains."""
    rule: str = "bayes"
    """`bayes`: the declared costs, on the calibrated probabilities; `threshold`: one that was tuned."""
    threshold: float | None = None
    """Of two classes: from which probability on the second one is answered."""
    why: str = ""

    def expected(self, output: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each answer is expected to cost, shape (n, classes), for rows of probabilities."""
        return output @ np.array(self.costs, dtype=np.float64)
