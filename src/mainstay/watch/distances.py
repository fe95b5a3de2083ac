"""How far what moved lies from the reference, in usual figures: told with an incident, nothing is judged by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mainstay.core.incidents import Finding
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.stats import binned
from mainstay.watch.recall import Seen

NUMBER = ("ks", "wasserstein_sigma", "psi")
MIX = ("chi_square", "g", "jensen_shannon", "total_variation", "psi")
DIGITS = 4


def distances(found: Sequence[Finding], seen: Sequence[Seen], profile: Profile) -> list[dict[str, Any]]:
    """Return for each signal among the findings its distances, the requests they are of, and the share of new values.

    Of the requests that are at hand since the start (`recall`), against all reference rows, as they come: rows of one
    key are not weighed down here. A signal that the requests at hand do not have is left out.
    """
    known = {signal.name: signal for signal in profile.signals if not signal.segment}
    out = []
    for name in dict.fromkeys(finding.signal for finding in found if not finding.segment):
        values = [value for one in seen if (value := one.row.signals.get(name)) is not None] if name in known else []
        told = _of(known[name], values) if values else None
        if told is not None:
            out.append({"signal": name, "rows": len(values)} | told)
    return out


def _of(signal: SignalProfile, values: Sequence[float | str]) -> dict[str, Any] | None:
    before = np.asarray(signal.counts, dtype=np.float64)
    if signal.kind is SignalKind.CATEGORY:
        place = {value: number for number, value in enumerate(signal.values)}
        now = np.bincount([place.get(str(value), len(place)) for value in values], minlength=len(before))
        figures = binned.mix_distances(before, now.astype(np.float64))
        # The last place is every value that the reference does not name.
        return _rounded(MIX, figures) | {"new_share": round(float(now[-1] / now.sum()), DIGITS)}
    x = np.array([value for value in values if not isinstance(value, str)], dtype=np.float64)
    if not len(x):
        return None
    edges = np.asarray(signal.edges, dtype=np.float64)
    low, high = (
        (float(x.min()), float(x.max())) if signal.low is None or signal.high is None else (signal.low, signal.high)
    )
    return _rounded(NUMBER, binned.number_distances(before, x, edges, ends=(low, high), sd=signal.sd))


def _rounded(names: Sequence[str], figures: Any) -> dict[str, float | None]:
    return {
        name: round(value, DIGITS) if np.isfinite(value) else None
        for name, value in zip(names, figures.tolist(), strict=True)
    }
