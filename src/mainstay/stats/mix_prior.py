"""What a reference says of a mix of categories beside its counts: how much lies in those that it holds seldom or never.

Laws of Pitman and Yor (1997) with discount d and strength θ, and Dirichlet's, which are those with d = −a and θ = a C:
a value seen c times among M has the predictive share (c − d)/(M + θ), all values never seen together (θ + d K)/(M + θ),
K the number of values seen. One law for all mixes fails: half a row for each of a hundred values that hardly come takes
two points off the common ones. Which laws fit is read off the reference by their marginal likelihood; d is then about
the share of rows in values seen once (Good, Turing 1953).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats

DIRICHLET = (0.02, 0.1, 0.5, 2.0, 10.0, 100.0)
"""Rows added to each category."""
DISCOUNTS, STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8), (1.0, 10.0, 100.0)
"""Of Pitman and Yor's laws."""
KEPT = 6
"""Laws that are mixed, the likeliest ones."""
FLOOR = 0.01
"""Least weight of a law that is kept: what comes later may know better than the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """Several laws with their weights, shape (…, KEPT) each."""

    discount: Floats
    strength: Floats
    log_weight: Floats
    """Of each law in the mixture, at least log FLOOR."""
    posterior: Floats
    """What the reference gives it; sums to 1."""


def likely(base: Floats) -> Laws:
    """Return the laws that fit the counts of a reference, shape (C,); effective counts may be below 1.

    The marginal likelihood of a law with d ≥ 0, the names of new values equally likely, is
    Π_{k<K} (θ + k d) · Γ(θ)/Γ(θ+M) · Π Γ(c−d)/Γ(1−d) · (C−K)!/C!; of a Dirichlet law Γ(aC)/Γ(aC+M) Π Γ(c+a)/Γ(a).
    """
    c = np.asarray(base, dtype=np.float64)
    size = float(len(c))
    laws = [(-a, a * size) for a in DIRICHLET] + [(d, t) for d in DISCOUNTS for t in STRENGTHS]
    discount, strength = np.array(laws, dtype=np.float64).T
    held = c[c > 0]
    once = np.minimum(held, 1.0)
    k, rows = float(once.sum()), float(held.sum())
    d, t = discount[:, None], strength[:, None]
    total = scipy.special.gammaln(strength) - scipy.special.gammaln(strength + rows)
    finite = (scipy.special.gammaln(held[None, :] + np.abs(d)) - scipy.special.gammaln(np.abs(d) + (d == 0))).sum(
        axis=1
    )
    safe = np.where(d > 0, d, 1.0)
    new = np.where(
        d > 0, k * np.log(safe) + scipy.special.gammaln(t / safe + k) - scipy.special.gammaln(t / safe), k * np.log(t)
    )
    names = scipy.special.gammaln(size + 1.0) - scipy.special.gammaln(size - k + 1.0)
    rest = held[None, :] - np.maximum(d, 0.0) * once
    open_ended = (
        new[:, 0] - names + (scipy.special.gammaln(rest) - scipy.special.gammaln(1.0 - np.maximum(d, 0.0))).sum(axis=1)
    )
    logs = total + np.where(discount < 0, finite, open_ended)
    best: NDArray[np.intp] = np.argsort(-logs, kind="stable")[:KEPT]
    posterior = np.exp(logs[best] - logs[best].max())
    posterior /= posterior.sum()
    weight = np.maximum(posterior, FLOOR)
    return Laws(
        discount=discount[best],
        strength=strength[best],
        log_weight=np.log(weight / weight.sum()),
        posterior=posterior,
    )


def stack(laws: list[Laws]) -> Laws:
    """Return the laws of several streams side by side, shape (S, KEPT)."""
    shape = (len(laws), KEPT)
    return Laws(**{
        name: np.array([getattr(one, name) for one in laws], dtype=np.float64).reshape(shape)
        for name in ("discount", "strength", "log_weight", "posterior")
    })  # fmt: skip


def take(laws: Laws, rows: NDArray[np.intp]) -> Laws:
    """Return the laws of these rows."""
    return Laws(
        discount=laws.discount[rows], strength=laws.strength[rows], log_weight=laws.log_weight[rows],
        posterior=laws.posterior[rows],
    )  # fmt: skip


def concentrations(laws: Laws, base: Floats) -> Floats:
    """Return the predictive law's α for counts `base` (…, C), shape (KEPT, …, C + 1): the last one, all never seen.

    A value without a row has α 0. Of counts below 1 (effective rows) d takes its part.
    """
    once = np.minimum(base, 1.0)
    d, t = np.moveaxis(laws.discount, -1, 0)[..., None], np.moveaxis(laws.strength, -1, 0)
    seen = base - d * once
    unseen = t + d[..., 0] * once.sum(axis=-1)
    return np.concatenate([np.maximum(seen, 0.0), np.maximum(unseen, TINY)[..., None]], axis=-1)


TINY = 1e-6
"""Rows that values never seen stand for at least."""
