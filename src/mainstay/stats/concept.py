"""Whether labelled answers are wrong more often than their confidence says: evidence for one labelled stream.

A labelled answer was wrong (e = 1) or right (e = 0) and its confidence gave that the chance p. A changed relation
between inputs and truth moves the odds of being wrong by a factor: logit P(e = 1) = logit p + g, and

    ℓ(g) = Σ [ e g − log(1 − p + p exp(g)) ]

is the log likelihood ratio of g against g = 0, a sum over answers: counted on a grid of g, blocks add up. g before is
not known but through the reference rows and the labels so far, so it is integrated out there, as in all of the watch:

    L = Σ_g π(g) mean_h exp ℓ_after(g + h) / Σ_g π(g) exp ℓ_after(g),   π(g) ∝ exp(ℓ_reference(g) + ℓ_before(g)),

over steps h > 0 ("wrong more often than before"). Confidence that tells sure answers from unsure ones makes the chances
uneven and this much more telling than the plain share of errors.
"""

from __future__ import annotations

import numpy as np
import scipy

from mainstay.stats.intervals import Floats

STEP = 0.125
GRID = np.arange(-24, 53) * STEP
"""Log odds ratios g at which ℓ is counted: −3 to 6.5."""
JUMPS = np.array([2, 4, 6, 9, 12, 18, 28])
"""Steps h that are looked for, in units of STEP (log odds ratios 0.25 to 3.5), with equal weights."""
PRIOR = np.flatnonzero(np.abs(GRID) <= 3.0)
"""Places on GRID where g may lie before the change."""
WIDTH = len(GRID) + 2
"""Columns: answers, Σ (e − p), ℓ on GRID."""
TINY = 1e-6


def columns(wrong: Floats, chances: Floats) -> Floats:
    """Return the columns of labelled answers, shape (n, WIDTH): `wrong` 0 or 1, `chances` of it by their confidence."""
    p = np.clip(np.asarray(chances, dtype=np.float64), TINY, 1.0 - TINY)[:, None]
    e = np.asarray(wrong, dtype=np.float64)[:, None]
    likelihood = e * GRID - np.log1p(p * np.expm1(GRID))
    return np.hstack([np.ones_like(e), e - p, likelihood])


def reference(wrong: float, chances: Floats, rows: Floats, *, effect: float = 1.0) -> Floats:
    """Return the columns of reference rows: `wrong` of them, with `rows` at each of the `chances` of being wrong.

    ℓ depends on the outcomes through their sum alone, so that counts of confidences and an accuracy suffice. `effect`:
    the design effect by which rows of one key count less.
    """
    p = np.clip(np.asarray(chances, dtype=np.float64), TINY, 1.0 - TINY)
    n = np.asarray(rows, dtype=np.float64)
    likelihood = wrong * GRID - n @ np.log1p(p[:, None] * np.expm1(GRID))
    return np.asarray(np.r_[n.sum(), wrong - n @ p, likelihood] / max(effect, 1.0), dtype=np.float64)


def log_ratio(after: Floats, before: Floats, known: Floats, margin: float) -> Floats:
    """Return log L for each candidate start, −inf where the share of wrong answers rose by less than `margin`.

    `after` and `before` have shape (candidates, WIDTH), already divided by the design effect of returning keys; `known`
    are the columns of the reference rows, shape (WIDTH,). The rise is that of the mean of e − p.
    """
    base = known + before
    prior = base[:, 2:][:, PRIOR]
    prior = prior - scipy.special.logsumexp(prior, axis=1, keepdims=True)
    likelihood = after[:, 2:]
    unchanged = scipy.special.logsumexp(prior + likelihood[:, PRIOR], axis=1)
    moved = likelihood[:, PRIOR[None, :] + JUMPS[:, None]]
    changed = scipy.special.logsumexp(prior[:, None, :] + moved, axis=(1, 2)) - np.log(len(JUMPS))
    n = after[:, 0]
    risen = after[:, 1] / np.maximum(n, 1e-12) - base[:, 1] / np.maximum(base[:, 0], 1e-12)
    return np.asarray(np.where((n > 0) & (risen >= margin), changed - unchanged, -np.inf), dtype=np.float64)
