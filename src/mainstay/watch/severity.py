"""How loud: by what is at stake, and by how much of it is estimated to be lost.

| at stake | page when | else |
|---|---|---|
| data fault | at least 5 % of the requests are hit, a field is broken, or right answers are lost | watch |
| quality | the loss over all traffic is material (`material.accuracy`), or of a regression 10 % of its error | watch |
| operations, reward | always | |
| output, skew | never | watch |
| input | never | note |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.stats import evidence
from mainstay.stats.intervals import Floats
from mainstay.watch import findings, streams
from mainstay.watch.compare import Comparison
from mainstay.watch.streams import Watched

HIT = 0.05
"""Share of requests from which a data fault pages (0 to 1)."""
ERROR_ROSE = 0.1
"""Rise of a regression's mean error from which it pages, as a share of what it was."""
SURE_Z = 2.5
"""A share is told less so many standard errors: "at least"."""
SCORE_RANGES = np.array([2 * math.sqrt(3.0), 1.5 * math.sqrt(5.0), 2 * math.sqrt(7.0), 30.0 / 7.0])
"""Largest minus smallest value of the orthonormal Legendre scores P1..P4 on [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the harm is."""

    points: float | None
    """Right answers lost, as a share of all answers (0 to 1); None where it is not known."""
    basis: str
    """What `points` rests on: `labels`, `confidence`, or empty."""
    error_rise: float | None = None
    """Of a regression: rise of the mean distance from the label, as a share of what it was."""
    affected: float = 0.0
    """At least this share of the requests since then is unlike before (0 to 1)."""
    affected_signal: str = ""
    """The signal that shows it."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        lost = None if self.points is None else round(1000.0 * self.points, 1)
        return {
            "points": self.points,
            "wrong_per_1000": lost,
            "basis": self.basis,
            "error_rise": self.error_rise,
            "affected_share": self.affected,
            "affected_signal": self.affected_signal,
        }


def size_of(found: Sequence[Finding], facts: Mapping[str, Any], comparison: Comparison, columns: Floats) -> Size:
    """Return how large the harm is, from labels where they show a loss, else from the calibrated confidence."""
    share, signal = affected(found, comparison, columns)
    points, basis = None, ""
    for name, told in (("measured", "labels"), ("prediction_powered", "labels"), ("estimate", "confidence")):
        known = facts.get(name)
        if points is None and known and known["drop_shown"] and known["reference"] is not None:
            points, basis = max(float(known["reference"]) - float(known["value"]), 0.0), told
    gap = next((finding for finding in found if finding.signal == streams.GAP and finding.shift < 0), None)
    if points is None and gap is not None:
        points, basis = -gap.shift, "labels"
    error = facts.get("error")
    rise = None
    if error and error["value"] is not None and error["reference"] > 0:
        rise = float(error["value"]) / float(error["reference"]) - 1.0
    return Size(points=points, basis=basis, error_rise=rise, affected=share, affected_signal=signal)


def severity_of(harm: Harm, size: Size, *, broken: bool, material: float) -> Severity:
    """Return how loud harm of that size is; `broken`: a field's own values are; `material` of the accuracy (0 to 1)."""
    lost = size.points or 0.0
    if harm is Harm.DATA_FAULT:
        return Severity.PAGE if broken or size.affected >= HIT or lost >= material else Severity.WATCH
    if harm is Harm.QUALITY:
        page = lost >= material or (size.error_rise or 0.0) >= ERROR_ROSE
        return Severity.PAGE if page else Severity.WATCH
    if harm in (Harm.OPERATIONS, Harm.REWARD):
        return Severity.PAGE
    return Severity.NOTE if harm is Harm.INPUT else Severity.WATCH


def affected(found: Sequence[Finding], comparison: Comparison, columns: Floats) -> tuple[float, str]:
    """Return the largest share of requests that a finding on all traffic shows to be unlike before, and its signal.

    Whatever became of a share ε of the requests, the total variation between then and now is at most ε, and so is the
    change of any event's probability, and of the mean of any function over its range: each is a lower bound of ε.
    """
    best, signal = 0.0, ""
    plan = comparison.plan
    names = {finding.signal for finding in found if not finding.segment}
    for i, item in enumerate(plan.watched):
        if item.segment != streams.ALL or item.name not in names:
            continue
        share = moved_share(item, columns[plan.offsets[i] : plan.offsets[i + 1]])
        if share > best:
            best, signal = share, item.name
    return best, signal


def moved_share(item: Watched, columns: Floats) -> float:
    """Return at least which share of the requests counted in a stream's columns is unlike the reference (0 to 1)."""
    stream = item.stream
    if isinstance(stream, evidence.GapStream):
        return 0.0
    if isinstance(stream, evidence.RateStream):
        return 0.0 if columns[1] <= 0 else _less(columns[0] / columns[1] - stream.limit, columns[0], columns[1])
    if isinstance(stream, evidence.CategoryStream):
        move = findings.level(item, columns)
        n = float(columns.sum())
        return 0.0 if move is None else _less(abs(move.shift), move.now * n, n)
    n = float(columns[0])
    if n <= 0:
        return 0.0
    bounds = (np.abs(columns[1:5]) / n - SURE_Z / math.sqrt(n)) / SCORE_RANGES
    return min(max(float(bounds.max()), _tied(item, columns, n), 0.0), 1.0)


def _tied(item: Watched, columns: Floats, n: float) -> float:
    """Return the share by what lies below, at and above the value that most of the reference rows have."""
    tie = getattr(item.stream, "tie", None)
    if tie is None or sum(tie) <= 0:
        return 0.0
    now = np.array([columns[5], max(n - columns[5] - columns[6], 0.0), columns[6]]) / n
    before = np.array(tie) / sum(tie)
    top = int(np.argmax(np.abs(now - before)))
    return _less(abs(float(now[top] - before[top])), float(now[top]) * n, n)


def _less(change: float, hits: float, n: float) -> float:
    """Return a change of a share of `hits` among `n`, less SURE_Z standard errors, within [0, 1]."""
    p = min(max(hits / n, 1.0 / n), 1.0 - 1.0 / n) if n > 1 else 0.5
    return min(max(change - SURE_Z * math.sqrt(p * (1.0 - p) / n), 0.0), 1.0)
