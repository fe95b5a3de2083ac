"""Evidence that a stream left its reference, accumulated over blocks and over candidate starts of the change.

For each stream k and candidate start ν a likelihood ratio L(ν, t) says how much better "it changed at ν" explains the
blocks ν..t than "it never changed", the unknown reference integrated out. The combined process

    M_t = Σ_k w_k Σ_ν Δ_ν L_k(ν, t),    Σ w = 1,  Δ_ν = days from the block before ν to ν,

less the elapsed days is a martingale while nothing changes (an e-detector: Shin, Ramdas, Rinaldo 2023), whatever the
dependence between streams. Opening an incident at M_t ≥ A = days / expected therefore gives at most `expected` false
incidents per `days`. Everything is kept as logs: Δ may be a thousandth of a second and L beyond any float.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mainstay.stats.intervals import Floats
from mainstay.stats.scores import DEGREES
from mainstay.stats.sequential import BETS, log_bernoulli_above

TAUS = np.array([0.03, 0.06, 0.12, 0.25, 0.5])
"""Sizes of a numeric change that are looked for, in standard deviations, with equal weights."""
KAPPAS = np.array([10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0])
"""Concentrations of a changed category mix around the old one, with equal weights."""
GAPS = np.linspace(-1.0, 1.0, 41)
"""Grid on which differences between -1 and 1 are counted."""
TIE_SHARE = 0.5
"""A numeric stream with more than this share at one value is also compared by below, at and above that value."""
KEEP = 16
"""A candidate ν stays while its age is below KEEP · 2^(trailing zeros of ν); the first stays for good."""
NEVER = -np.inf


def log_mean(logs: Floats, axis: int = 0) -> Floats:
    """Return log(mean(exp(logs))) along `axis`."""
    return np.asarray(special.logsumexp(logs, axis=axis) - np.log(logs.shape[axis]), dtype=np.float64)


def log_normal_ratio(square: Floats, variance: Floats, dimensions: int) -> Floats:
    """Return the log likelihood ratio of a mean shift of squared size `square` and known `variance` per dimension.

    L = mean over τ of (1+ρ)^(−d/2) exp(½ |D|²/v · ρ/(1+ρ)), ρ = τ²/v: a normal shift N(0, τ² I) against none, with
    v = c (1/N + 1/M) of the difference of two means. N = 0 gives v = inf and L = 1.
    """
    v = np.asarray(variance, dtype=np.float64)
    finite = np.isfinite(v)
    safe = np.where(finite, v, 1.0)
    rho = TAUS[:, None] ** 2 / safe.reshape(1, -1)
    gain = 0.5 * (np.asarray(square) / safe).reshape(1, -1) * rho / (1.0 + rho)
    logs = gain - 0.5 * dimensions * np.log1p(rho)
    return np.where(finite, log_mean(logs).reshape(v.shape), 0.0)


def log_dirichlet_multinomial(counts: Floats, concentration: Floats) -> Floats:
    """Return the log Dirichlet-multinomial probability of a sequence with `counts` (last axis: categories).

    log Γ(Σα)/Γ(Σα+n) + Σ log Γ(α_i+c_i)/Γ(α_i), without the multinomial coefficient (it cancels in ratios).
    """
    total = concentration.sum(axis=-1)
    n = counts.sum(axis=-1)
    parts = special.gammaln(concentration + counts) - special.gammaln(concentration)
    return np.asarray(special.gammaln(total) - special.gammaln(total + n) + parts.sum(axis=-1), dtype=np.float64)


def log_category_ratio(after: Floats, base: Floats) -> Floats:
    """Return the log likelihood ratio that the mix of categories changed; `after` and `base` are counts, shape (…, C).

    L = mean over κ of DM(after; κ p̃) / DM(after; base + ½), p̃ the normalised base + ½. Given the base, the
    denominator is the exact predictive law of the counts under no change, for rare categories too.
    """
    prior = base + 0.5
    share = prior / prior.sum(axis=-1, keepdims=True)
    unchanged = log_dirichlet_multinomial(after, prior)
    changed = np.stack([log_dirichlet_multinomial(after, kappa * share) for kappa in KAPPAS])
    return log_mean(changed) - unchanged


def log_gap_ratio(counts: Floats, margin: float) -> Floats:
    """Return the log e-value against "the mean of the counted values is at most `margin`"; shape (…, len(GAPS)).

    Bets on "larger" as in `sequential.bounded_mean_sequence`, each bet's capital Π (1 + f (x/m − 1)) on [0, 1].
    """
    x, m = (GAPS + 1.0) / 2.0, (margin + 1.0) / 2.0
    growth = np.log1p(BETS[:, None] * (x[None, :] / m - 1.0))
    return log_mean(np.moveaxis(counts @ growth.T, -1, 0))


def keeps(candidate: int, now: int) -> bool:
    """Return whether candidate `candidate` (from 1) is still kept at block `now`: all recent ones, few old ones.

    The first always stays: it alone compares with the reference when traffic differed from the very beginning.
    """
    return candidate == 1 or now - candidate < KEEP * (candidate & -candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericStream:
    """Columns: n, four score sums, rows below and above the tie, sum and sum of squares of the raw value."""

    weight: float
    rows: float
    """Effective rows of the reference: rows over design effect."""
    variances: Floats
    """Of the four scores under the reference."""
    tie: tuple[float, float, float] | None = None
    """Effective reference rows below, at and above the value that more than half of the rows have."""
    correlation: float = 0.0
    """Between two values of one key (0 to 1)."""
    width: int = DEGREES + 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryStream:
    """Columns: one per category, the last one for all others."""

    weight: float
    base: Floats
    """Effective reference counts."""
    correlation: float = 0.0

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(self.base)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStream:
    """Columns: bad events, all events. Looks for a rate above `limit`."""

    weight: float
    limit: float
    correlation: float = 0.0
    width: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GapStream:
    """Columns: counts on GAPS of a difference whose mean should be at most `margin`."""

    weight: float
    margin: float
    correlation: float = 0.0
    width: int = len(GAPS)


Stream = NumericStream | CategoryStream | RateStream | GapStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Changes below these sizes are never held against the budget."""

    number_sigma: float = 0.05
    category_share: float = 0.02


@dataclass(slots=True, kw_only=True)
class History:
    """All blocks so far: the totals, and for each kept candidate start the totals before it."""

    totals: Floats
    """Shape (columns,)."""
    blocks: int = 0
    candidates: list[int] = field(default_factory=list)
    """Block numbers from 1, ascending."""
    log_days: list[float] = field(default_factory=list)
    """log Δ of each candidate."""
    prefix: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """Totals before each candidate, shape (candidates, columns)."""
    repeats: float = 1.0
    """Mean number of blocks in which a key has been seen, weighted by appearances."""

    def add(self, block: Floats, days: float) -> list[bool]:
        """Add one block and start a candidate at it; return which of the former candidates (and the new one) stay.

        `days` since the block before, above 0.
        """
        self.blocks += 1
        prefix = np.vstack([self.prefix.reshape(-1, len(self.totals)), self.totals[None, :]])
        numbers = [*self.candidates, self.blocks]
        logs = [*self.log_days, float(np.log(days))]
        kept = [keeps(number, self.blocks) for number in numbers]
        self.candidates = [number for number, keep in zip(numbers, kept, strict=True) if keep]
        self.log_days = [log for log, keep in zip(logs, kept, strict=True) if keep]
        self.prefix = prefix[np.array(kept)]
        self.totals = self.totals + block
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What the history says about the streams."""

    log_evidence: float
    """log M_t over material changes; −inf for none."""
    by_stream: Floats
    """log of each stream's part of M_t, shape (streams,)."""
    ratios: Floats
    """log L of each stream and candidate, −inf where not material, shape (streams, candidates)."""
    starts: NDArray[np.intp]
    """Index of each stream's likeliest candidate."""
    start: int
    """Index of the likeliest candidate over all streams together, or −1."""


def assess(streams: list[Stream], history: History, material: Material) -> Assessment:
    """Return the combined evidence M_t, its parts, and the likeliest starts. Cost: streams × candidates."""
    ratios = log_ratios(streams, history, material)
    weights = np.log(np.array([max(stream.weight, 1e-300) for stream in streams]))
    if ratios.size == 0:
        nothing = np.full(len(streams), NEVER)
        empty = np.zeros(len(streams), dtype=np.intp)
        return Assessment(log_evidence=NEVER, by_stream=nothing, ratios=ratios, starts=empty, start=-1)
    weighted = ratios + weights[:, None]
    timed = weighted + np.array(history.log_days)[None, :]
    by_stream = _log_sum(timed, axis=1)
    joint = _log_sum(weighted, axis=0)
    return Assessment(
        log_evidence=float(_log_sum(by_stream[None, :], axis=1)[0]),
        by_stream=by_stream,
        ratios=ratios,
        starts=np.argmax(ratios, axis=1),
        start=int(np.argmax(joint)) if np.isfinite(joint).any() else -1,
    )


def _log_sum(logs: Floats, axis: int) -> Floats:
    peak = logs.max(axis=axis, keepdims=True)
    safe = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(logs - safe).sum(axis=axis)) + safe.squeeze(axis), dtype=np.float64)


def offsets(streams: list[Stream]) -> list[int]:
    """Return the first column of each stream, and at the end the number of columns."""
    return [0, *np.cumsum([stream.width for stream in streams]).tolist()]


def log_ratios(streams: list[Stream], history: History, material: Material) -> Floats:
    """Return log L for each stream and candidate, −inf where the change seen is not material."""
    places = offsets(streams)
    out = np.full((len(streams), len(history.candidates)), NEVER)
    if not history.candidates:
        return out
    ages = history.blocks - np.array(history.candidates) + 1.0
    repeats_after = np.minimum(ages, history.repeats)
    numeric = [(i, s) for i, s in enumerate(streams) if isinstance(s, NumericStream)]
    if numeric:
        columns = np.array([np.arange(places[i], places[i] + s.width) for i, s in numeric])
        out[[i for i, _ in numeric]] = _numeric_ratios([s for _, s in numeric], columns, history, material)
    for i, stream in enumerate(streams):
        if isinstance(stream, NumericStream):
            continue
        part = slice(places[i], places[i + 1])
        before = history.prefix[:, part]
        after = history.totals[None, part] - before
        spread_after = 1.0 + (repeats_after - 1.0) * stream.correlation
        if isinstance(stream, CategoryStream):
            spread_before = 1.0 + (history.repeats - 1.0) * stream.correlation
            base = stream.base + before / spread_before
            out[i] = _category(after / spread_after[:, None], base, material.category_share)
        elif isinstance(stream, RateStream):
            out[i] = _rate(after, stream.limit)
        else:
            out[i] = log_gap_ratio(after / spread_after[:, None], stream.margin)
    return out


def _category(after: Floats, base: Floats, share: float) -> Floats:
    n = after.sum(axis=1, keepdims=True)
    changes = np.abs(after / np.maximum(n, 1e-12) - base / np.maximum(base.sum(axis=1, keepdims=True), 1e-12))
    material = (n[:, 0] > 0) & (changes.max(axis=1) >= share)
    out = np.full(len(after), NEVER)
    if material.any():
        out[material] = log_category_ratio(after[material], base[material])
    return out


def _rate(after: Floats, limit: float) -> Floats:
    out = np.full(len(after), NEVER)
    for i, (bad, n) in enumerate(after):
        if n > 0 and bad / n > limit:
            out[i] = log_bernoulli_above(float(bad), float(n), limit)
    return out


def _numeric_ratios(
    streams: list[NumericStream], columns: NDArray[np.intp], history: History, material: Material
) -> Floats:
    """Return log L for the numeric streams, shape (streams, candidates).

    L = ½ L(P1) + ¼ L(P2) + ¼ L(P1..P4); for a stream with a tie, half of that and half the category form.
    """
    before = history.prefix[:, columns].transpose(1, 0, 2)
    after = history.totals[columns][:, None, :] - before
    rows = np.array([s.rows for s in streams])[:, None]
    correlation = np.array([s.correlation for s in streams])[:, None]
    ages = history.blocks - np.array(history.candidates) + 1.0
    spread_after = 1.0 + (np.minimum(ages, history.repeats)[None, :] - 1.0) * correlation
    spread_before = 1.0 + (history.repeats - 1.0) * correlation
    n, m = after[..., 0], rows * spread_before + before[..., 0]
    seen = (n > 0) & (rows > 0)
    shift = after[..., 1:5] / np.maximum(n, 1e-12)[..., None] - before[..., 1:5] / np.maximum(m, 1e-12)[..., None]
    v = np.where(seen, spread_after / np.maximum(n, 1e-12) + spread_before / np.maximum(m, 1e-12), np.inf)
    variances = np.array([np.maximum(s.variances, 0.25) for s in streams])[:, None, :]
    single = shift**2 / variances
    joint = (shift**2).sum(axis=-1)
    floor = material.number_sigma**2
    logs = np.stack(
        [
            np.where(single[..., 0] >= floor, log_normal_ratio(single[..., 0], v, 1) + np.log(0.5), NEVER),
            np.where(single[..., 1] >= floor, log_normal_ratio(single[..., 1], v, 1) + np.log(0.25), NEVER),
            np.where(joint >= floor, log_normal_ratio(joint, v, DEGREES) + np.log(0.25), NEVER),
        ]
    )
    out = np.where(seen, _log_sum(logs, axis=0), NEVER)
    for i, stream in enumerate(streams):
        if stream.tie is not None and stream.rows > 0:
            ties = _tie_ratio(stream, before[i], after[i], spread_after[i], float(spread_before[i, 0]), material)
            out[i] = np.logaddexp(out[i], ties) - np.log(2.0)
    return out


def _tie_ratio(
    stream: NumericStream,
    before: Floats,
    after: Floats,
    spread_after: Floats,
    spread_before: float,
    material: Material,
) -> Floats:
    base = np.array(stream.tie) + _three(before) / spread_before
    return _category(_three(after) / spread_after[:, None], base, material.category_share)


def _three(columns: Floats) -> Floats:
    below, above = columns[:, 5], columns[:, 6]
    return np.stack([below, np.maximum(columns[:, 0] - below - above, 0.0), above], axis=-1)
