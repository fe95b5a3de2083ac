"""Likelihood ratios of "it changed" against "it did not", in closed form; everything as logs."""

from __future__ import annotations

import numpy as np
import scipy

from mainstay.stats.intervals import Floats

TAUS = np.array([0.03, 0.06, 0.12, 0.25, 0.5])
"""Sizes of a numeric change that are looked for, in standard deviations, with equal weights."""
KAPPAS = np.array([10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0])
"""Concentrations of a changed category mix around the old one, with equal weights."""


def log_sum(logs: Floats, axis: int) -> Floats:
    """Return log(sum(exp(logs))) along `axis`; −inf where all are."""
    peak = logs.max(axis=axis, keepdims=True)
    safe = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(logs - safe).sum(axis=axis)) + safe.squeeze(axis), dtype=np.float64)


def log_mean(logs: Floats, axis: int = 0) -> Floats:
    """Return log(mean(exp(logs))) along `axis`."""
    return np.asarray(log_sum(logs, axis) - np.log(logs.shape[axis]), dtype=np.float64)


def log_normal_gains(square: Floats, variance: Floats) -> Floats:
    """Return for each τ the log likelihood ratio of a shift in one dimension, shape (len(TAUS), …).

    ½ D²/v · ρ/(1+ρ) − ½ log(1+ρ) with ρ = τ²/v: a normal shift N(0, τ²) against none, D² the squared difference and v
    its variance. Independent dimensions add for each τ.
    """
    rho = TAUS.reshape(-1, *[1] * np.ndim(variance)) ** 2 / variance
    return np.asarray(0.5 * (square / variance) * (rho / (1.0 + rho)) - 0.5 * np.log1p(rho), dtype=np.float64)


def log_normal_ratio(square: Floats, variance: Floats, dimensions: int) -> Floats:
    """Return the log likelihood ratio of a mean shift of squared size `square` and known `variance` per dimension.

    L = mean over τ of (1+ρ)^(−d/2) exp(½ |D|²/v · ρ/(1+ρ)), ρ = τ²/v: a normal shift N(0, τ² I) against none, with
    v = c (1/N + 1/M) of the difference of two means. N = 0 gives v = inf and L = 1.
    """
    v = np.asarray(variance, dtype=np.float64)
    finite = np.isfinite(v)
    safe = np.where(finite, v, 1.0)
    first = log_normal_gains(np.asarray(square, dtype=np.float64), safe)
    others = (dimensions - 1) * log_normal_gains(np.zeros_like(safe), safe)
    return np.where(finite, log_mean(first + others), 0.0)


def log_dirichlet_multinomial(counts: Floats, concentration: Floats, total: Floats | None = None) -> Floats:
    """Return the log Dirichlet-multinomial probability of a sequence with `counts` (last axis: categories).

    log Γ(Σα)/Γ(Σα+n) + Σ log Γ(α_i+c_i)/Γ(α_i), without the multinomial coefficient (it cancels in ratios).
    `total` is Σα, where some places are not used and have any α.
    """
    if total is None:
        total = np.asarray(concentration.sum(axis=-1))
    n = counts.sum(axis=-1)
    parts = scipy.special.gammaln(concentration + counts) - scipy.special.gammaln(concentration)
    return np.asarray(
        scipy.special.gammaln(total) - scipy.special.gammaln(total + n) + parts.sum(axis=-1), dtype=np.float64
    )


def log_category_ratio(after: Floats, base: Floats) -> Floats:
    """Return the log likelihood ratio that the mix of few categories changed; counts, shape (…, C), C two or three.

    L = mean over κ of DM(after; κ p̃) / DM(after; base + ½), p̃ the normalised base + ½ (of many: `mix_ratio`).
    """
    prior = base + 0.5
    total = prior.sum(axis=-1)
    share = prior / total[..., None]
    changed = [log_dirichlet_multinomial(after, kappa * share, np.full_like(total, kappa)) for kappa in KAPPAS]
    return log_mean(np.stack(changed)) - log_dirichlet_multinomial(after, prior, total)
