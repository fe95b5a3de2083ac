"""Shares a change of the mean loss out between its causes: a data fault, inputs, labels given inputs, the version.

The loss of an answer is modelled additively (stats.additive) on the labelled rows of before and of now, for each
version that answered. v(x, y, a) = β_{y,a}ᵀ φ̄_x is the mean loss with inputs of time x, labels of time y, answers of
version a, and the parts are Shapley values over these (Shapley 1953). With inputs and labels alone they are the
two-fold decomposition of Oaxaca (1973) and Blinder (1973) with the weights of Reimers (1983): half of what β says then
and now. A regression's means are also reweighted ones (Kline 2011): the parts are right when the loss is additive, or
when the density ratio is. The data fault is taken out first: rows that it hit say nothing of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.stats import laws
from mainstay.stats.additive import RIDGE, Codes, Fit, fit, overlap
from mainstay.stats.intervals import Floats, wilson

DRAWS = 400
LEAST_KEYS = 40
"""Labelled units of evidence that each side needs."""
LEAST_OVERLAP = 0.1
"""Below this share of the reference that looks like now, inputs and labels cannot be told apart."""
LEAST_SIGNAL = 0.1
"""A truth of which more is wrong than leaves so much (1 − 2ε) tells nothing any more."""
GROUPS = 300
"""More keys than this are drawn in so many groups."""


class Cause(StrEnum):
    """Why the mean loss changed."""

    DATA_FAULT = "data_fault"
    INPUTS = "inputs"
    LABELS = "labels_given_inputs"
    VERSION = "version"
    LABEL_NOISE = "label_noise"
    INPUTS_OR_LABELS = "inputs_or_labels"
    """Not told apart: now's inputs are hardly like any of before."""
    FAULT_OR_LABELS = "data_fault_or_labels"
    """Not told apart: the fault hit every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one cause added to the mean loss, with its interval."""

    cause: Cause
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """A change of the mean loss, now less before, and its parts, which add up to it."""

    change: Part | None
    """Its `cause` says nothing; None where a side has too few labels."""
    parts: tuple[Part, ...]
    identifiable: bool
    """Whether every cause has a part of its own."""
    why: str
    """Why not, as a sentence; empty where it is."""
    overlap: float
    """Upper bound on the share of before that looks like now (0 to 1)."""
    keys_before: int
    keys_now: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Labelled rows of one side, coded as the other side's are."""

    design: Floats
    loss: Floats
    """By the version that answered."""
    keys: Codes
    other: Floats | None = None
    """Loss of the same rows by the other side's version; None where they were not answered again."""
    faulty: NDArray[np.bool_] | None = None
    """Rows that a broken field hit; the design must not hold that field's columns, nor what the answer says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabelled:
    """Rows that two people labelled, each on their own."""

    disagreements: int
    pairs: int
    """At least 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """The estimate first, then the draws; shapes (1 + draws, d) and (1 + draws,)."""

    own: Floats
    other: Floats | None
    mean: Floats
    loss: Floats


def attribute(
    before: Labelled | Fit,
    now: Labelled,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    confidence: float = 0.95,
    noise: tuple[Relabelled, Relabelled] | None = None,
) -> Attribution:
    """Return the parts of mean loss now − mean loss before, with t intervals of a bootstrap by key.

    `before` may be a stored model of the reference rows; it is then drawn from its normal law. The version has a part
    where both sides have `other` losses. `noise`: rows (before, now) of a two-class truth that were labelled twice; the
    wrong labels that they show are taken out of the labels' part. Too few labels on a side: no parts at all.
    """
    keys_before = before.keys if isinstance(before, Fit) else len(np.unique(before.keys))
    keys_now = len(np.unique(now.keys))
    few = [name for name, keys in (("before", keys_before), ("now", keys_now)) if keys < LEAST_KEYS]
    if few:
        why = f"too few labels {' and '.join(few)}: {keys_before} units before and {keys_now} now, {LEAST_KEYS} needed"
        return Attribution(
            change=None,
            parts=(),
            identifiable=False,
            why=why,
            overlap=math.nan,
            keys_before=keys_before,
            keys_now=keys_now,
        )
    faulty = np.zeros(len(now.loss), dtype=np.bool_) if now.faulty is None else now.faulty
    hit = bool(faulty.any())
    all_hit = hit and len(np.unique(now.keys[~faulty])) < LEAST_KEYS
    first = _simulated(before, rng, draws) if isinstance(before, Fit) else _resampled(before, None, rng, draws)
    then = _resampled(now, None if all_hit or not hit else ~faulty, rng, draws)
    shared = overlap(_fit_of(before), then.mean[0], keys_now)
    told = _Told(confidence=confidence, keys=min(keys_before, keys_now), columns=now.design.shape[1])
    found: dict[Cause, Floats] = {}
    whys = []
    if all_hit:
        found[Cause.INPUTS] = _value(first.own, then.mean) - first.loss
        found[Cause.FAULT_OR_LABELS] = then.loss - _value(first.own, then.mean)
        whys.append("the fault hit nearly every labelled row, so that labels given inputs cannot be told from it")
    else:
        if hit:
            found[Cause.DATA_FAULT] = then.loss - _value(then.own, then.mean)
        found |= _shapley(first, then)
        if noise is not None:
            rates = (_rates(noise[0], rng, draws), _rates(noise[1], rng, draws))
            found |= _without_noise(found[Cause.LABELS], (first.loss, then.loss), rates)
    if shared < LEAST_OVERLAP:
        found = _merged(found)
        whys.append(f"at most {shared:.0%} of the rows before look like those now")
    return Attribution(
        change=replace(told, columns=0).part(Cause.INPUTS, then.loss - first.loss),
        parts=tuple(told.part(cause, values) for cause, values in found.items()),
        identifiable=not whys,
        why="; ".join(whys),
        overlap=shared,
        keys_before=keys_before,
        keys_now=keys_now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    confidence: float
    keys: int
    """Units of evidence of the side that has fewer."""
    columns: int
    """That were fitted; a mean is none."""

    def part(self, cause: Cause, values: Floats) -> Part:
        """Return the estimate with ± t · se, se² = s² K/(K − d) of the draws.

        Percentiles of a few hundred draws are two of them, and a bootstrap of K keys is too narrow by what fitting d
        columns took: measured, 93 to 95 % in place of 95 (docs/quality.md). t has K − 1 degrees of freedom.
        """
        value = float(values[0])
        spread = float(values[1:].std(ddof=1)) * math.sqrt(self.keys / max(self.keys - self.columns, self.keys / 2.0))
        reach = laws.student_point(0.5 + self.confidence / 2.0, self.keys - 1.0) * spread
        return Part(cause=cause, value=value, low=value - reach, high=value + reach)


def _fit_of(before: Labelled | Fit) -> Fit:
    return before if isinstance(before, Fit) else fit(before.design, before.loss, before.keys)


def _value(beta: Floats, mean: Floats) -> Floats:
    return np.asarray((beta * mean).sum(axis=1), dtype=np.float64)


def _merged(found: Mapping[Cause, Floats]) -> dict[Cause, Floats]:
    """Return the parts with inputs and labels as one."""
    pair = (Cause.INPUTS, Cause.LABELS, Cause.LABEL_NOISE)
    if Cause.LABELS not in found:
        total = np.asarray(sum(found.values()), dtype=np.float64)
        return {Cause.INPUTS_OR_LABELS: total}
    both = np.asarray(sum(found[cause] for cause in pair if cause in found), dtype=np.float64)
    rest = {cause: values for cause, values in found.items() if cause not in pair}
    return {**rest, Cause.INPUTS_OR_LABELS: both}


def _shapley(first: _Side, then: _Side) -> dict[Cause, Floats]:
    """Return the Shapley values of inputs, labels and, where both versions answered both sides, the version."""
    causes = [Cause.INPUTS, Cause.LABELS]
    if first.other is not None and then.other is not None:
        causes.append(Cause.VERSION)
    versions = len(causes) == 3

    def worth(moved: Sequence[Cause]) -> Floats:
        side = then if Cause.LABELS in moved else first
        answered_by_new = Cause.VERSION in moved or (not versions and Cause.LABELS in moved)
        # A side's own answers are the old version's before and the new one's now.
        beta = side.own if answered_by_new == (side is then) else side.other
        if beta is None:
            raise UsageError("the other version's answers are missing")
        return _value(beta, then.mean if Cause.INPUTS in moved else first.mean)

    out = {cause: np.zeros(len(first.loss)) for cause in causes}
    orders = list(permutations(causes))
    for order in orders:
        for i, cause in enumerate(order):
            out[cause] += (worth(order[: i + 1]) - worth(order[:i])) / len(orders)
    return out


def _rates(seen: Relabelled, rng: np.random.Generator, draws: int) -> Floats:
    """Return the share of wrong labels, then drawn again as often as there are draws."""
    again = rng.binomial(seen.pairs, seen.disagreements / seen.pairs, draws)
    return np.array([noise_rate(int(count), seen.pairs)[0] for count in (seen.disagreements, *again.tolist())])


def _without_noise(labels: Floats, losses: tuple[Floats, Floats], rates: tuple[Floats, Floats]) -> dict[Cause, Floats]:
    """Return the labels' part without wrong labels, and theirs.

    With a share ε of labels flipped at random a two-class loss L shows as L(1−ε) + (1−L)ε, so that L = (l − ε)/(1 − 2ε)
    of the seen loss l, and noise adds l − L.
    """
    added = [
        seen - np.clip((seen - rate) / np.maximum(1.0 - 2.0 * rate, LEAST_SIGNAL), 0.0, 1.0)
        for seen, rate in zip(losses, rates, strict=True)
    ]
    wrong = np.asarray(added[1] - added[0], dtype=np.float64)
    return {Cause.LABELS: labels - wrong, Cause.LABEL_NOISE: wrong}


def _simulated(before: Fit, rng: np.random.Generator, draws: int) -> _Side:
    """Draw the stored model and its rows' mean columns from their normal laws."""
    effect = 1.0 + (before.rows / max(before.keys, 1) - 1.0) * before.correlation
    spread = (before.gram - np.outer(before.mean, before.mean)) * effect / max(before.rows, 1)
    own = np.vstack([before.beta, _normal(rng, before.beta, before.covariance, draws)])
    mean = np.vstack([before.mean, _normal(rng, before.mean, spread, draws)])
    return _Side(own=own, other=None, mean=mean, loss=_value(own, mean))


def _normal(rng: np.random.Generator, centre: Floats, covariance: Floats, draws: int) -> Floats:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(centre + rng.standard_normal((draws, len(centre))) @ root.T, dtype=np.float64)


def _resampled(rows: Labelled, used: NDArray[np.bool_] | None, rng: np.random.Generator, draws: int) -> _Side:
    """Fit the rows (`used` of them; all give mean columns and loss), then with whole keys drawn with replacement."""
    _, codes = np.unique(rows.keys, return_inverse=True)
    groups = int(codes.max()) + 1
    if groups > GROUPS:
        codes, groups = rng.permutation(groups)[codes] % GROUPS, GROUPS
    d = rows.design.shape[1]
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(groups + 1))
    gram, product, product_other = np.zeros((groups, d, d)), np.zeros((groups, d)), np.zeros((groups, d))
    total = np.zeros((groups, d + 2))
    for g in range(groups):
        own = order[ends[g] : ends[g + 1]]
        total[g, :d], total[g, d], total[g, d + 1] = rows.design[own].sum(axis=0), rows.loss[own].sum(), len(own)
        own = own if used is None else own[used[own]]
        part = rows.design[own]
        gram[g] = part.T @ part
        product[g] = part.T @ rows.loss[own]
        if rows.other is not None:
            product_other[g] = part.T @ rows.other[own]
    weights = np.vstack([np.ones(groups), rng.multinomial(groups, np.full(groups, 1.0 / groups), size=draws)])
    prior = np.full(d, RIDGE)
    prior[0] = 1e-9  # a draw may hold no used row at all
    left = (weights @ gram.reshape(groups, d * d)).reshape(-1, d, d) + np.diag(prior)
    right = [weights @ product] + ([weights @ product_other] if rows.other is not None else [])
    betas = np.asarray(np.linalg.solve(left, np.stack(right, axis=2)), dtype=np.float64)
    summed = weights @ total
    count = summed[:, d + 1]
    return _Side(
        own=betas[:, :, 0],
        other=betas[:, :, 1] if rows.other is not None else None,
        mean=summed[:, :d] / count[:, None],
        loss=summed[:, d] / count,
    )


def noise_rate(disagreements: int, pairs: int, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the share of wrong labels of a two-class truth, and its interval, from rows labelled twice.

    Two labels, each wrong with chance ε on its own, differ with chance 2ε(1−ε), so that ε = (1 − √(1 − 2d))/2 of the
    share d that differ, taken at most at one half; the interval is Wilson's for d, mapped. No pair: (NaN, 0, ½).
    """
    low, high = wilson(disagreements, pairs, confidence=confidence)
    share = disagreements / pairs if pairs else math.nan
    return _rate(share), _rate(low), _rate(high)


def _rate(share: float) -> float:
    return share if math.isnan(share) else 0.5 * (1.0 - math.sqrt(max(1.0 - 2.0 * min(share, 0.5), 0.0)))
