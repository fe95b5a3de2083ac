"""The streams of evidence, and the same as arrays, so that a hundred of them are assessed at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import concept, mix_prior, season
from mainstay.stats.intervals import Floats
from mainstay.stats.scores import DEGREES

NUMERIC_COLUMNS = DEGREES + 5
MATCHED = 2
"""Scores that are matched by season: location and spread."""
LEAST_VARIANCE = 0.25
"""Of a score; less, of a signal that hardly varies, is taken for so much."""


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
    two_valued: bool = False
    """It takes two values, so that its counts say all."""
    correlation: float = 0.0
    """Between two values of one key (0 to 1)."""
    pattern: season.Pattern | None = None
    """Of the first two scores; their columns then hold what is left when it is taken off."""
    tie_pattern: season.Pattern | None = None
    """Of being below, at and above the tie."""
    effects: Floats | None = None
    """What the reference tells of window effects (`window_effects.of_reference`), for the first two scores."""
    material: float = np.inf
    """A shift of this size matters (in σ), where it is less than what matters in general."""
    width: int = NUMERIC_COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryStream:
    """Columns: one per category, the last one for all others."""

    weight: float
    base: Floats
    """Effective reference counts."""
    correlation: float = 0.0
    pattern: season.Pattern | None = None
    """Of being in each category."""
    effects: Floats | None = None

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
    """Labelled answers, columns as in `concept`. Looks for answers that are wrong more often than before."""

    weight: float
    margin: float
    """Rise of the share of wrong answers, given their confidence, below which nothing is held against the budget."""
    known: Floats = field(default_factory=lambda: np.zeros(concept.WIDTH))
    """Columns of the reference rows; zeros: nothing is known of them."""
    correlation: float = 0.0
    width: int = concept.WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStream:
    """Columns: one per bin of a rule's scores, ascending, then as many that the reference rows lead to expect of them.

    Each block is counted by the rule that was learned before it (`domain`), and by the same rule the reference rows,
    which it did not learn from. Looks for upper tails that are fuller than expected.
    """

    weight: float
    rows: float
    """Effective reference rows for judging; 0: there is no rule yet."""
    bins: int
    correlation: float = 0.0

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return 2 * self.bins


Stream = NumericStream | CategoryStream | RateStream | GapStream | RankStream


def offsets(streams: Sequence[Stream]) -> list[int]:
    """Return the first column of each stream, and at the end the number of columns."""
    return [0, *np.cumsum([stream.width for stream in streams]).tolist()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The numeric streams side by side, S of them."""

    index: NDArray[np.intp]
    columns: NDArray[np.intp]
    """Shape (S, 9)."""
    rows: Floats
    variances: Floats
    """Shape (S, 4), at least LEAST_VARIANCE."""
    lacking: Floats
    """What each score's own variance lacks of that, shape (S, 4)."""
    correlation: Floats
    material: Floats
    matched: NDArray[np.intp]
    """Which of them have a pattern."""
    pattern: season.Pattern | None
    """Of those, stacked: two measures each."""
    contrasts: NDArray[np.intp]
    """Places of their contrasts between windows, shape (S, 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixes:
    """Categories side by side, S streams of at most C; unused places have no column and no rows."""

    index: NDArray[np.intp]
    columns: NDArray[np.intp]
    """Shape (S, C); −1: unused."""
    base: Floats
    laws: mix_prior.Laws
    """Of each stream, shape (S, KEPT)."""
    correlation: Floats
    matched: NDArray[np.intp]
    patterns: tuple[season.Pattern, ...]
    """Of those that are matched."""
    contrasts: NDArray[np.intp]
    """Place of each one's contrast between windows; of a tie, its numeric stream's first."""
    alone: NDArray[np.bool_]
    """Whether these counts say all of their stream: always, but of the tie of a number with more than two values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """All streams of one plan as arrays."""

    streams: tuple[Stream, ...]
    offsets: tuple[int, ...]
    log_weights: Floats
    numbers: Numbers
    mixes: tuple[Mixes, ...]
    """By width, so that no padding is more than half."""
    ties: Mixes
    """The ties of numeric streams as three categories; the middle column counts all, of which the others are parts."""
    season: int | None
    """First of the CELLS columns that count requests by season; None: nothing is matched."""
    effects: Floats
    """What references tell of window effects, shape (contrasts, scales, 3): `window_effects`."""
    reference_rows: float
    """Of the stream with most."""
    contrast_of: tuple[int, ...]
    """First contrast of each stream."""
    kinds: tuple[NDArray[np.intp], ...]
    """Contrasts that lend each other strength: locations of numbers and mixes, and each further score of numbers."""


def make(streams: Sequence[Stream], *, season_at: int | None = None) -> Bank:
    """Return the streams as arrays; `season_at` is the first season column where there are any."""
    places, at = offsets(streams), _contrasts(streams)
    by_width: dict[int, list[int]] = {}
    for i, stream in enumerate(streams):
        if isinstance(stream, CategoryStream):
            by_width.setdefault(int(np.ceil(np.log2(max(stream.width, 2)))), []).append(i)
    numbers = _numbers(streams, places, at, season_at)
    mixes = tuple(_mixes(streams, found, places, at, season_at) for _, found in sorted(by_width.items()))
    mixed = [m.contrasts for m in mixes]
    location, *shapes = numbers.contrasts.T
    kinds = [np.concatenate([location, *mixed]), *shapes]
    return Bank(
        streams=tuple(streams),
        offsets=tuple(places),
        log_weights=np.log(np.array([max(stream.weight, 1e-300) for stream in streams])),
        numbers=numbers,
        mixes=mixes,
        ties=_ties(streams, places, at, season_at),
        season=season_at,
        effects=_effects(streams, at),
        reference_rows=_reference_rows(streams),
        contrast_of=tuple(at[:-1]),
        kinds=tuple(np.asarray(kind, dtype=np.intp) for kind in kinds if len(kind)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All blocks so far, seen from each candidate start."""

    totals: Floats
    before: Floats
    """Totals before each candidate, shape (candidates, columns)."""
    repeats: float
    """Mean number of blocks in which a key was seen."""
    repeats_after: Floats
    """The same since each candidate, at most its age."""
    share_after: Floats | None
    """Parts of the traffic since each candidate in each season cell, shape (candidates, CELLS)."""
    share_before: Floats | None


def scene(bank: Bank, totals: Floats, prefix: Floats, ages: Floats, *, repeats: float) -> Scene:
    """Return the blocks as each candidate start sees them."""
    shares: list[Floats | None] = [None, None]
    if bank.season is not None:
        place = slice(bank.season, bank.season + season.CELLS)
        before = prefix[:, place]
        shares = [_parts(totals[None, place] - before), _parts(before)]
    return Scene(
        totals=totals,
        before=prefix,
        repeats=repeats,
        repeats_after=np.minimum(ages, repeats),
        share_after=shares[0],
        share_before=shares[1],
    )


def _parts(counts: Floats) -> Floats:
    return np.asarray(counts / np.maximum(counts[:, : season.WEEK].sum(axis=1, keepdims=True), 1.0), dtype=np.float64)


def _reference_rows(streams: Sequence[Stream]) -> float:
    rows = [s.rows if isinstance(s, NumericStream) else float(s.base.sum())
            for s in streams if isinstance(s, NumericStream | CategoryStream)]  # fmt: skip
    return max(rows, default=0.0)


def _contrasts(streams: Sequence[Stream]) -> list[int]:
    """Return the first contrast of each stream, and their number: four of a numeric one, else one."""
    sizes = [DEGREES if isinstance(s, NumericStream) else 1 for s in streams]
    return [0, *np.cumsum(sizes).tolist()]


def _numbers(streams: Sequence[Stream], places: list[int], at: list[int], season_at: int | None) -> Numbers:
    found = [(i, s) for i, s in enumerate(streams) if isinstance(s, NumericStream)]
    patterns = [(j, s.pattern) for j, (_, s) in enumerate(found) if s.pattern is not None and season_at is not None]
    own = np.array([s.variances for _, s in found], dtype=np.float64).reshape(-1, DEGREES)
    return Numbers(
        index=np.array([i for i, _ in found], dtype=np.intp),
        columns=np.array([np.arange(places[i], places[i] + s.width) for i, s in found], dtype=np.intp).reshape(
            -1, NUMERIC_COLUMNS
        ),
        rows=np.array([s.rows for _, s in found]),
        variances=np.maximum(own, LEAST_VARIANCE),
        lacking=np.maximum(LEAST_VARIANCE - own, 0.0),
        correlation=np.array([s.correlation for _, s in found]),
        material=np.array([s.material for _, s in found]),
        matched=np.array([j for j, _ in patterns], dtype=np.intp),
        pattern=season.stack([p for _, p in patterns]) if patterns else None,
        contrasts=np.array([np.arange(at[i], at[i] + DEGREES) for i, _ in found], dtype=np.intp).reshape(-1, DEGREES),
    )


def _mixes(
    streams: Sequence[Stream], chosen: list[int], places: list[int], at: list[int], season_at: int | None
) -> Mixes:
    found = [(i, s) for i in chosen if isinstance(s := streams[i], CategoryStream)]
    most = max(s.width for _, s in found)
    columns = np.full((len(found), most), -1, dtype=np.intp)
    base = np.zeros((len(found), most))
    for j, (i, stream) in enumerate(found):
        columns[j, : stream.width] = np.arange(places[i], places[i] + stream.width)
        base[j, : stream.width] = stream.base
    patterns = [(j, s.pattern) for j, (_, s) in enumerate(found) if s.pattern is not None and season_at is not None]
    return Mixes(
        index=np.array(chosen, dtype=np.intp),
        columns=columns,
        base=base,
        laws=mix_prior.stack([mix_prior.likely(stream.base) for _, stream in found]),
        correlation=np.array([s.correlation for _, s in found]),
        matched=np.array([j for j, _ in patterns], dtype=np.intp),
        patterns=tuple(p for _, p in patterns),
        contrasts=np.array([at[i] for i in chosen], dtype=np.intp),
        alone=np.ones(len(found), dtype=np.bool_),
    )


def _ties(streams: Sequence[Stream], places: list[int], at: list[int], season_at: int | None) -> Mixes:
    found = [(i, s) for i, s in enumerate(streams) if isinstance(s, NumericStream) and s.tie is not None and s.rows > 0]
    patterns = [
        (j, s.tie_pattern) for j, (_, s) in enumerate(found) if s.tie_pattern is not None and season_at is not None
    ]
    return Mixes(
        index=np.array([i for i, _ in found], dtype=np.intp),
        columns=np.array([[places[i] + 5, places[i], places[i] + 6] for i, _ in found], dtype=np.intp).reshape(-1, 3),
        base=np.array([s.tie for _, s in found], dtype=np.float64).reshape(-1, 3),
        laws=mix_prior.stack([mix_prior.likely(np.array(s.tie)) for _, s in found]),
        correlation=np.array([s.correlation for _, s in found]),
        matched=np.array([j for j, _ in patterns], dtype=np.intp),
        patterns=tuple(p for _, p in patterns),
        contrasts=np.array([at[i] for i, _ in found], dtype=np.intp),
        alone=np.array([s.two_valued for _, s in found], dtype=np.bool_),
    )


def _effects(streams: Sequence[Stream], at: list[int]) -> Floats:
    """Return the references' window effects for each contrast, zeros where a reference tells nothing."""
    held = {
        i: s.effects
        for i, s in enumerate(streams)
        if isinstance(s, NumericStream | CategoryStream) and s.effects is not None
    }
    out = np.zeros((at[-1], max((len(e) for e in held.values()), default=0), 3))
    for i, effects in held.items():
        for k in range(MATCHED if isinstance(streams[i], NumericStream) else 1):
            out[at[i] + k, : len(effects)] = effects[:, [0, 1, 2 + k]]
    return out
