"""The gate's question about confidence: does it agree with the share of right answers?"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from mainstay.core.verdicts import Check, Verdict
from mainstay.release import paired
from mainstay.release.metrics import Scored
from mainstay.stats import calibration as measures

QUESTION = "How far is stated confidence from the share of right answers?"
DRAWS = 500


def calibration(scored: Scored, keys: Sequence[Hashable] | None, limit: float | None, seed: int) -> Check:
    """Tell the expected calibration error with its interval, and judge it where a limit is declared.

    Few rows make the error of a perfectly calibrated model look large: what one of the same confidences would show is
    told beside it (right answers drawn by the confidences; Bröcker, Smith 2007), and the interval is the basic
    bootstrap 2 ê − q, which takes that bias off (Davison, Hinkley 1997, §5.2), whole keys drawn anew. PASS when its
    upper end, one-sided 95 %, is within the limit and rows suffice (a calibrated model would show no more, on average),
    FAIL when its lower end is beyond, NOT_ENOUGH between.
    """
    rows = len(scored.truth)
    found = measures.expected_calibration_error(scored.confidence, scored.right)
    low, high = interval(scored, keys, seed)
    usual, most = if_calibrated(scored.confidence, np.random.default_rng(seed))
    numbers = {
        "ece": found,
        "low": low,
        "high": high,
        "rows": rows,
        "if_calibrated": usual,
        "if_calibrated_most": most,
        "limit": limit,
    }
    told = (
        f"expected calibration error {found:.4f} ({low:.4f} to {high:.4f}, 10 bins of equal width, {rows} rows); a "
        f"calibrated model of these confidences would show {usual:.4f}, at most {most:.4f} in 95 of 100"
    )
    if limit is None:
        told += "; no [gate] max_calibration_error is declared: nothing was asked"
        verdict = Verdict.NOT_ENOUGH
    else:
        told += f", allowed {limit:g}"
        verdict = (
            Verdict.PASS if high <= limit and usual <= limit else Verdict.FAIL if low > limit else Verdict.NOT_ENOUGH
        )
    return Check(
        name="calibration",
        question=QUESTION,
        verdict=verdict,
        reason=told,
        numbers={name: None if isinstance(n, float) and not math.isfinite(n) else n for name, n in numbers.items()},
        applies=limit is not None,
    )


def interval(scored: Scored, keys: Sequence[Hashable] | None, seed: int) -> tuple[float, float]:
    """Return limits of the error, one-sided 95 % each; NaN without rows."""
    found = measures.expected_calibration_error(scored.confidence, scored.right)

    def error(rows: NDArray[np.intp]) -> float:
        return measures.expected_calibration_error(scored.confidence[rows], scored.right[rows])

    rng = np.random.default_rng(seed)
    lower, upper = paired.bootstrap(error, len(scored.truth), keys=keys, rng=rng, draws=DRAWS)
    low, high = np.maximum(0.0, [2.0 * found - upper, 2.0 * found - lower])  # NaN stays NaN
    return float(low), float(high)


def if_calibrated(confidence: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Return the mean and the 95 % quantile of the error that rows of these confidences show when those are true."""
    known = confidence[np.isfinite(confidence)]
    if not len(known):
        return math.nan, math.nan
    errors = [
        measures.expected_calibration_error(known, (rng.random(len(known)) < known).astype(float)) for _ in range(DRAWS)
    ]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))
