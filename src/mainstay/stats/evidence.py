"""Evidence that a stream left its reference, accumulated over blocks and over candidate starts of the change.

For each stream k and candidate start ν a likelihood ratio L(ν, t) says how much better "it changed at ν" explains the
blocks ν..t than "it never changed", the unknown reference integrated out. The combined process

    M_t = Σ_k w_k Σ_ν Δ_ν L_k(ν, t),    Σ w = 1,  Δ_ν = days from the block before ν to ν,

less the elapsed days is a martingale while nothing changes (an e-detector: Shin, Ramdas, Rinaldo 2023), whatever the
dependence between streams. Opening an incident at M_t ≥ A = days / expected therefore gives at most `expected` false
incidents per `days`. Everything is kept as logs: Δ may be a thousandth of a second and L beyond any float.

Three things make the variance of a difference larger than its rows say: keys that come again (`repeats`), windows that
vary by themselves (`window_effects`), and a seasonal pattern that is known only so well (`season`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import concept, domain, mix_evidence, number_evidence
from mainstay.stats.bank import Bank as Bank
from mainstay.stats.bank import CategoryStream as CategoryStream
from mainstay.stats.bank import GapStream as GapStream
from mainstay.stats.bank import NumericStream as NumericStream
from mainstay.stats.bank import RankStream as RankStream
from mainstay.stats.bank import RateStream as RateStream
from mainstay.stats.bank import Stream as Stream
from mainstay.stats.bank import make as make_bank
from mainstay.stats.bank import offsets as offsets
from mainstay.stats.bank import scene as scene_of
from mainstay.stats.intervals import Floats
from mainstay.stats.ratios import log_sum
from mainstay.stats.sequential import log_bernoulli_above
from mainstay.stats.window_effects import WindowEffects

TIE_SHARE = 0.5
"""A numeric stream with more than this share at one value is also compared by below, at and above that value."""
KEEP = 16
"""A candidate ν stays while its age is below KEEP · 2^(trailing zeros of ν); the first stays for good."""
NEVER = -np.inf


def keeps(candidate: int, now: int) -> bool:
    """Return whether candidate `candidate` (from 1) is still kept at block `now`: all recent ones, few old ones.

    The first always stays: it alone compares with the reference when traffic differed from the very beginning.
    """
    return candidate == 1 or now - candidate < KEEP * (candidate & -candidate)


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
    effects: WindowEffects | None = None
    """What the windows so far tell of how much windows vary; None: taken for independent rows."""

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


def assess(streams: Sequence[Stream] | Bank, history: History, material: Material) -> Assessment:
    """Return the combined evidence M_t, its parts, and the likeliest starts. Cost: streams × candidates.

    A caller that assesses again and again passes the streams as one `Bank`.
    """
    bank = as_bank(streams)
    ratios = log_ratios(bank, history, material)
    if ratios.size == 0:
        nothing = np.full(len(bank.streams), NEVER)
        empty = np.zeros(len(bank.streams), dtype=np.intp)
        return Assessment(log_evidence=NEVER, by_stream=nothing, ratios=ratios, starts=empty, start=-1)
    weighted = ratios + bank.log_weights[:, None]
    timed = weighted + np.array(history.log_days)[None, :]
    by_stream = log_sum(timed, axis=1)
    joint = log_sum(weighted, axis=0)
    return Assessment(
        log_evidence=float(log_sum(by_stream[None, :], axis=1)[0]),
        by_stream=by_stream,
        ratios=ratios,
        starts=np.argmax(ratios, axis=1),
        start=int(np.argmax(joint)) if np.isfinite(joint).any() else -1,
    )


def as_bank(streams: Sequence[Stream] | Bank) -> Bank:
    """Return streams as a bank; without season columns where they come as a list."""
    return streams if isinstance(streams, Bank) else make_bank(streams)


def log_ratios(streams: Sequence[Stream] | Bank, history: History, material: Material) -> Floats:
    """Return log L for each stream and candidate, −inf where the change seen is not material."""
    bank = as_bank(streams)
    out = np.full((len(bank.streams), len(history.candidates)), NEVER)
    if not history.candidates:
        return out
    scene = scene_of(bank, history.totals, history.prefix, _ages(history), repeats=history.repeats)
    after_effect, before_effect = _effects(bank, history)
    if len(bank.numbers.index):
        out[bank.numbers.index] = number_evidence.log_ratios(
            bank, scene, after_effect, before_effect, floor=material.number_sigma
        )
    for mix in bank.mixes:
        out[mix.index] = mix_evidence.log_ratios(mix, scene, after_effect, before_effect, share=material.category_share)
    if len(bank.ties.index):
        tied = mix_evidence.log_ratios(
            bank.ties, scene, after_effect, before_effect, share=material.category_share, tie=True
        )
        both = np.logaddexp(out[bank.ties.index], tied) - np.log(2.0)
        out[bank.ties.index] = np.where(bank.ties.alone[:, None], tied, both)
    for i, stream in enumerate(bank.streams):
        part = slice(bank.offsets[i], bank.offsets[i + 1])
        if isinstance(stream, RateStream):
            out[i] = _rate(history.totals[None, part] - history.prefix[:, part], stream.limit)
        elif isinstance(stream, GapStream):
            out[i] = _gaps(stream, history, part, scene.repeats_after)
        elif isinstance(stream, RankStream):
            out[i] = _ranks(stream, history, part, scene.repeats_after, share=material.category_share)
    return out


def _ages(history: History) -> Floats:
    return np.asarray(history.blocks - np.array(history.candidates) + 1.0, dtype=np.float64)


def _effects(bank: Bank, history: History) -> tuple[Floats, Floats]:
    """Return τ² of the mean after and of the mean before each candidate, shape (contrasts, candidates) each.

    The reference counts as the number of windows that its rows would make: it was windows once, too.
    """
    nothing = np.zeros((len(bank.effects), len(history.candidates)))
    if history.effects is None:
        return nothing, nothing
    ages = _ages(history)
    per_window = history.effects.rows_per_window
    reference = bank.reference_rows / per_window if per_window > 0 else 0.0
    before = np.array(history.candidates) - 1.0 + reference
    both = history.effects.variance(bank, np.concatenate([ages, before]))
    return both[:, : len(ages)], both[:, len(ages) :]


def _ranks(stream: RankStream, history: History, part: slice, repeats_after: Floats, *, share: float) -> Floats:
    """Return log L of each candidate for a rule; the reference rows count once, however many rules had them.

    What was expected is averaged over the rules since the candidate: the error of an average is at most that of one.
    Blocks before the candidate were counted by other rules, and tell nothing of these rules' error.
    """
    out = np.full(len(history.candidates), NEVER)
    since = history.totals[None, part] - history.prefix[:, part]
    found, expected = since[:, : stream.bins], since[:, stream.bins :]
    own = expected.sum(axis=1) > 0
    if own.any() and stream.rows > 0:
        after = found[own] / (1.0 + (repeats_after[own, None] - 1.0) * stream.correlation)
        base = expected[own] * (stream.rows / expected[own].sum(axis=1, keepdims=True))
        out[own] = domain.log_rank_ratio(after, base, share)
    return out


def _gaps(stream: GapStream, history: History, part: slice, repeats_after: Floats) -> Floats:
    if history.totals[part.start] <= 0:  # no label came yet
        return np.full(len(history.candidates), NEVER)
    before = history.prefix[:, part]
    after = (history.totals[None, part] - before) / (1.0 + (repeats_after[:, None] - 1.0) * stream.correlation)
    before = before / (1.0 + (history.repeats - 1.0) * stream.correlation)
    return concept.log_ratio(after, before, stream.known, stream.margin)


def _rate(after: Floats, limit: float) -> Floats:
    out = np.full(len(after), NEVER)
    for i, (bad, n) in enumerate(after):
        if n > 0 and bad / n > limit:
            out[i] = log_bernoulli_above(float(bad), float(n), limit)
    return out
