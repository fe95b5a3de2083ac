"""How often the answers are right now: estimated without labels, measured with them, and what cannot be known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.core.profiles import Profile
from mainstay.stats import ppi
from mainstay.stats.intervals import Floats, design_effect, normal_quantile, wilson
from mainstay.stats.numbering import numbered
from mainstay.watch.window import CONFIDENCE

ASSUMPTION = (
    "estimated from the model's calibrated confidence, without labels: it holds while a confidence means the same as "
    "on the reference rows; on inputs unlike those it is usually too high"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An accuracy with its 95 % interval, and what it rests on."""

    value: float
    low: float
    high: float
    n: int
    """Units of evidence (keys, or labelled answers)."""
    reference: float | None
    """Accuracy on the reference rows."""
    assumption: str
    drop_shown: bool = False
    """Whether the interval of the change lies below 0."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def drop(self) -> float:
        """Return by how much it lies below the reference; 0 without one."""
        return 0.0 if self.reference is None else self.reference - self.value


def from_confidence(profile: Profile, columns: Floats, *, spread: float, segment: str = "") -> Estimate | None:
    """Return the estimated accuracy of the units counted in `columns` (of the confidence stream), or None.

    â = a_ref + (c̄ − c̄_ref), the reference accuracy plus the change of mean calibrated confidence, within [0, 1]; its
    variance is s²·spread/n + s_ref²/n_ref for the change and a_ref(1−a_ref)/n_ref for the reference accuracy, with
    `spread` the design effect of returning keys. Needs a reference accuracy and two units.
    """
    reference = reference_confidence(profile, segment)
    accuracy = segment_accuracy(profile, segment)
    n = float(columns[0])
    if reference is None or accuracy is None or n < 2:
        return None
    mean_ref, sd_ref, rows_ref = reference
    mean = float(columns[7]) / n
    variance = max(float(columns[8]) / n - mean * mean, 0.0) * n / (n - 1.0)
    change = mean - mean_ref
    change_variance = variance * max(spread, 1.0) / n + sd_ref**2 / max(rows_ref, 1.0)
    z = normal_quantile(0.95)
    total = math.sqrt(change_variance + accuracy * (1.0 - accuracy) / max(rows_ref, 1.0))
    value = accuracy + change
    return Estimate(
        value=_unit(value),
        low=_unit(value - z * total),
        high=_unit(value + z * total),
        n=round(n),
        reference=accuracy,
        assumption=ASSUMPTION,
        drop_shown=change + z * math.sqrt(change_variance) < 0.0,
    )


def reference_confidence(profile: Profile, segment: str = "") -> tuple[float, float, float] | None:
    """Return mean, standard deviation and effective rows of the reference confidence."""
    for signal in profile.signals:
        if signal.name == CONFIDENCE and signal.segment == segment:
            return signal.mean, signal.sd, signal.rows / max(signal.design_effect, 1.0)
    return None


def segment_accuracy(profile: Profile, segment: str = "") -> float | None:
    """Return the reference accuracy of all rows or of a segment."""
    if not segment:
        return profile.accuracy
    found = profile.segment_accuracy.get(segment)
    return None if found is None else float(found["accuracy"])


def from_labels(correct: Sequence[bool], keys: Sequence[str], *, reference: float | None) -> Estimate | None:
    """Return the share of right answers among labelled ones; None without labels.

    Wilson's interval of as many rows as the labels of returning keys are worth (rows over design effect). It speaks for
    all traffic only if the labelled requests were picked at random.
    """
    n = len(correct)
    if n == 0:
        return None
    right = sum(correct)
    effect = design_effect(np.asarray(correct, dtype=np.float64), list(keys))
    low, high = wilson(right / effect, n / effect)
    return Estimate(
        value=right / n,
        low=low,
        high=high,
        n=n,
        reference=reference,
        assumption="measured on labelled requests; speaks for all traffic if they were picked at random",
        drop_shown=reference is not None and high < reference,
    )


def prediction_powered(
    columns: Floats, gaps: Sequence[float], keys: Sequence[str], *, reference: float | None, spread: float = 1.0
) -> Estimate | None:
    """Return the accuracy from all confidences and a few labels (`stats.ppi`), `gaps` being confidence − right.

    The confidence need not be right, but the labelled requests must be a random part. None with fewer than
    `ppi.LEAST_KEYS` labelled keys or two units of traffic.
    """
    n = float(columns[0])
    if n < 2 or not len(gaps):
        return None
    units = numbered(keys)
    gap = np.asarray(gaps, dtype=np.float64)
    right = (gap <= 0.0).astype(np.float64)  # confidence less 1 when right, less 0 when wrong: the sign tells which
    mean = float(columns[7]) / n
    found = ppi.mean(
        right,
        gap + right,
        units,
        of_all=mean,
        variance_of_all=max(float(columns[8]) / n - mean * mean, 0.0) * max(spread, 1.0) / n,
        share=True,
    )
    if found is None:
        return None
    return Estimate(
        value=found.value,
        low=found.low,
        high=found.high,
        n=len(gaps),
        reference=reference,
        assumption="prediction-powered: all confidences, corrected by labelled requests, which must be a random part",
        drop_shown=reference is not None and found.high < reference,
    )


BROKEN = (
    "not to be believed now: a field looks broken, and the model may be sure of what it cannot know; before, it was "
    + ASSUMPTION
)


def labels_needed(half_width: float, *, accuracy: float = 0.5, confidence: float = 0.95) -> int:
    """Return how many labelled random requests tell the accuracy within ± `half_width`: z² a(1−a) / h², rounded up.

    An accuracy nearer to 0 or 1 than h counts as h away: also who is said to be never wrong must be asked.
    """
    z = normal_quantile(confidence)
    spread = max(accuracy * (1.0 - accuracy), half_width * (1.0 - half_width))
    return math.ceil(z * z * spread / half_width**2)


def labels_for_mean(mean: float, sd: float, *, share: float, confidence: float = 0.95) -> int:
    """Return how many labels tell a mean within ± `share` of `mean`: (z sd / (share · mean))², rounded up."""
    z = normal_quantile(confidence)
    return max(1, math.ceil((z * sd / (share * mean)) ** 2)) if mean > 0 else 1


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)
