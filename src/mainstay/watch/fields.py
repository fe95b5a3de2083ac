"""Which fields an incident is about: ranked by what they take from the estimated accuracy, else by evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mainstay.core.incidents import Finding
from mainstay.core.profiles import Profile
from mainstay.stats import reweight
from mainstay.watch import bins
from mainstay.watch.recall import Seen
from mainstay.watch.window import CONFIDENCE, field_of

SURE = 2.0
"""A loss is put down to a field when it is so many times its standard error."""
OWN = ("answer", "requests", "labels", "calls", "rows")
"""First parts of signals that are no field of the contract."""


def ranked(found: Sequence[Finding], seen: Sequence[Seen], profile: Profile) -> list[dict[str, Any]]:
    """Return the contract's fields among the findings, the one that costs most first.

    `nats`: the log evidence of its strongest signal. `points`: by how much the mean calibrated confidence of the
    requests since then would be higher if that signal alone were spread as in the reference (`stats.reweight`), None
    where that cannot be told; fields that move together claim the same loss, so points do not add up to the drop.
    """
    known = {signal.name: signal for signal in profile.signals if not signal.segment}
    held = [one.row for one in seen if isinstance(one.row.signals.get(CONFIDENCE), float)]
    fields: dict[str, dict[str, Any]] = {}
    for finding in found:
        name = field_of(finding.signal)
        if name in OWN:
            continue
        nats = max(math.log(max(finding.evidence, 1e-300)), 0.0)
        told = fields.setdefault(
            name, {"field": name, "signal": finding.signal, "nats": 0.0, "points": None, "error": None, "sure": False}
        )
        told["nats"] = max(float(told["nats"]), round(nats, 2))
        if finding.segment or finding.signal not in known:
            continue
        laid = bins.bins(known[finding.signal])
        rows = [row for row in held if finding.signal in row.signals]
        outcome = np.array([float(row.signals[CONFIDENCE]) for row in rows])
        gain = reweight.gain(laid.of([row.signals[finding.signal] for row in rows]), laid.before, outcome)
        if gain is not None and (told["points"] is None or gain.value > told["points"]):
            sure = bool(gain.value > SURE * gain.error)
            told |= {"signal": finding.signal, "points": gain.value, "error": gain.error, "sure": sure}
    return sorted(fields.values(), key=lambda told: (-(told["points"] if told["sure"] else 0.0), -told["nats"]))
