"""The likelihood ratio that a mix of categories changed: all of it, or one value beside the others."""

from __future__ import annotations

import numpy as np
import scipy

from mainstay.stats import mix_prior
from mainstay.stats.intervals import Floats
from mainstay.stats.mix_prior import Laws
from mainstay.stats.ratios import KAPPAS, log_dirichlet_multinomial, log_mean, log_sum


def log_mix_ratio(after: Floats, base: Floats, laws: Laws, *, share: float) -> Floats:
    """Return log L for counts `after` against counts `base`, shape (n, C) each, with the laws of each, (n, KEPT).

    L = ½ [mean over κ of DM(x; κ p̃)] / Σ_j w_j DM(x; α_j) + ½ mean over values i of the same for "i, or another one",
    i only where its share moved by at least `share`. x are the counts of the values that the base holds and of all
    others together, α_j what law j expects, p̃ the mean share. Under the mixture of laws, given the base, each term
    averages to at most 1; the second half finds one value that moved among many, which in the first is lost in as many
    dimensions as there are values.
    """
    base = np.maximum(base, 0.0)
    held = base > 0
    x = _with_others(after, held)
    alpha = mix_prior.concentrations(laws, base)
    total = alpha.sum(axis=-1)
    log_weight = np.moveaxis(laws.log_weight, -1, 0)
    centre = np.einsum("nj,jnc->nc", laws.posterior, alpha / total[..., None])
    used = alpha > 0
    nothing = log_sum(log_weight + log_dirichlet_multinomial(x[None], np.where(used, alpha, 1.0), total), axis=0)
    safe = np.where(centre > 0, centre, 1.0)
    changed = [
        log_dirichlet_multinomial(x, np.where(centre > 0, kappa * safe, 1.0), np.full(len(x), kappa))
        for kappa in KAPPAS
    ]
    whole = log_mean(np.stack(changed)) - nothing
    n, m = x.sum(axis=-1, keepdims=True), base.sum(axis=-1, keepdims=True)
    moved = np.abs(x / np.maximum(n, 1e-12) - _with_others(base, held) / np.maximum(m, 1e-12)) >= share
    rows, cells = np.nonzero(moved & (centre > 0))
    if len(rows) == 0:
        return np.asarray(whole - np.log(2.0), dtype=np.float64)
    y, rest = x[rows, cells], n[rows, 0] - x[rows, cells]
    mine, others = alpha[:, rows, cells], total[:, rows] - alpha[:, rows, cells]
    p = centre[rows, cells]
    alone = log_mean(np.stack([_log_beta_ratio(y, rest, kappa * p, kappa * (1.0 - p)) for kappa in KAPPAS]))
    alone -= log_sum(log_weight[:, rows] + _log_beta_ratio(y, rest, mine, others), axis=0)
    by_value = np.full(x.shape, -np.inf)
    by_value[rows, cells] = alone - np.log(held.sum(axis=-1) + 1.0)[rows]
    return np.asarray(np.logaddexp(whole, log_sum(by_value, axis=-1)) - np.log(2.0), dtype=np.float64)


def _with_others(counts: Floats, held: np.ndarray) -> Floats:
    """Return the counts of values that the base holds, and at the end of all others together."""
    others = np.where(held, 0.0, counts).sum(axis=-1, keepdims=True)
    return np.concatenate([np.where(held, counts, 0.0), others], axis=-1)


def _log_beta_ratio(y: Floats, rest: Floats, a: Floats, b: Floats) -> Floats:
    b = np.maximum(b, mix_prior.TINY)
    return np.asarray(scipy.special.betaln(a + y, b + rest) - scipy.special.betaln(a, b), dtype=np.float64)
