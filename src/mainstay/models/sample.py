"""The bounded sample of reference rows in a profile: packing, unpacking, and coding rows of traffic in the same way."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.profiles import Profile, Sample, SignalKind, SignalProfile
from mainstay.models.signals import Signals, words

MOST_JUDGED = 4_000
"""Reference rows on which rules are judged."""
MOST_LEARNED = 2_000
"""Reference rows of which the fields are kept for learning (the words of all others are counted in the profile)."""
LEAST_ROWS = 200
"""Fewer reference rows are not halved."""
MOST_CODED = 120
"""Signals that are coded."""
MOST_ROW_WORDS = 200
"""Distinct words of one text that are looked at, the first ones in the order of the alphabet."""
MISSING = 255
Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Words of the rows for judging, as one long list."""

    first: int
    """Row of the sample with which they begin: all rows judge where rules learn from other ones."""

    vocabulary: dict[str, int]
    """Word -> its place."""
    places: NDArray[np.int32]
    """Of the words, row after row."""
    row_of: NDArray[np.int32]
    """Row of each of them, shape as `places`."""
    held: NDArray[np.bool_]
    """Which rows have a text at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A sample, unpacked."""

    codes: Codes
    """(rows, names)."""
    units: NDArray[np.int32]
    learned: int
    texts: Mapping[str, Texts]


def coded_signals(profile_signals: Sequence[SignalProfile]) -> list[SignalProfile]:
    """Return the signals over all rows that are coded: numbers and categories, at most MOST_CODED."""
    kinds = (SignalKind.NUMERIC, SignalKind.CATEGORY)
    found = [s for s in profile_signals if not s.segment and s.kind in kinds and len(s.counts) <= MISSING]
    return found[:MOST_CODED]


def encode(coded: Sequence[SignalProfile], rows: Sequence[Mapping[str, Any]]) -> Codes:
    """Return the codes of rows of signals, shape (rows, signals); MISSING for what a row has not."""
    out = np.full((len(rows), len(coded)), MISSING, dtype=np.uint8)
    for place, signal in enumerate(coded):
        values = [row.get(signal.name) for row in rows]
        if signal.kind is SignalKind.CATEGORY:
            known = {value: number for number, value in enumerate(signal.values)}
            other = len(signal.values)
            out[:, place] = [MISSING if value is None else known.get(str(value), other) for value in values]
            continue
        held = np.array([value is not None and not isinstance(value, str) for value in values], dtype=np.bool_)
        if held.any():
            x = np.array([value for value, keep in zip(values, held.tolist(), strict=True) if keep], dtype=np.float64)
            out[held, place] = np.searchsorted(np.asarray(signal.edges, dtype=np.float64), x, side="right")
    return out


def take(
    signals: Sequence[SignalProfile],
    table: Sequence[Signals],
    groups: NDArray[np.int64],
    texts: Mapping[str, Sequence[Any]],
    known: Mapping[str, Mapping[str, int]],
    *,
    trained: Collection[str] = (),
) -> Sample | None:
    """Return the sample of reference rows, None where they are too few.

    `table` holds each row's signals, `groups` its unit of evidence, `texts` for each text field that may be kept the
    rows' texts, `known` the words that the profile counts; of `trained` fields all rows are for judging. Whole keys are
    drawn, every other one to judge; which ones depends on their number alone, so that the same rows give the same
    bundle.
    """
    if len(table) < LEAST_ROWS:
        return None
    order = _order(groups)
    judged = _some(np.flatnonzero(order % 2 == 1), order, MOST_JUDGED)
    learned = _some(np.flatnonzero(order % 2 == 0), order, MOST_LEARNED)
    if min(len(judged), len(learned)) < LEAST_ROWS // 4:
        return None
    index = np.concatenate((learned, judged))
    coded = coded_signals(signals)
    return Sample(
        rows=len(index),
        learned=len(learned),
        names=[signal.name for signal in coded],
        codes=pack(encode(coded, [table[i] for i in index.tolist()])),
        units=pack(groups[index].astype(np.int32)),
        words=_packed(judged, texts, known, [name for name in texts if known.get(name)]),
        more_words=_packed(learned, texts, known, [name for name in texts if known.get(name) and name in trained]),
    )


def _packed(
    rows: NDArray[np.intp],
    texts: Mapping[str, Sequence[Any]],
    known: Mapping[str, Mapping[str, int]],
    names: Sequence[str],
) -> dict[str, str]:
    return {name: pack(_words([texts[name][i] for i in rows.tolist()], known[name])) for name in names}


def for_judging(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are for judging: those of every other key, in an order that depends on its number alone."""
    return np.asarray(_order(groups) % 2 == 1, dtype=np.bool_)


def _order(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each row's key among all keys, shuffled."""
    return np.asarray(np.random.default_rng(0).permutation(int(groups.max()) + 1)[groups], dtype=np.int64)


def _some(rows: NDArray[np.intp], order: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Return at most about `most` of the rows, whole keys, in the order of the rows."""
    if len(rows) <= most:
        return rows
    last = int(np.sort(order[rows], kind="stable")[most])
    kept: NDArray[np.intp] = rows[order[rows] < last]
    return kept


def _words(texts: Sequence[Any], known: Mapping[str, int]) -> NDArray[np.int32]:
    places = {word: place for place, word in enumerate(sorted(known))}
    out: list[int] = []
    for text in texts:
        if text is None:
            out.append(-1)
            continue
        own = [places[word] for word in sorted(set(words(text)))[:MOST_ROW_WORDS] if word in places]
        out += [len(own), *own]
    return np.array(out, dtype=np.int32)


def pack(array: NDArray[Any]) -> str:
    """Return an array's bytes as compressed base64 text."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode("ascii")


def unpack(text: str, dtype: type[np.generic]) -> NDArray[Any]:
    """Return the flat array of `pack`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=dtype)


_KEPT: dict[tuple[str, ...], Opened] = {}
_MOST_KEPT = 8


def opened(profile: Profile) -> Opened | None:
    """Return the profile's sample, unpacked, the last ones kept in memory. None where there is none."""
    sample = profile.sample
    if sample is None:
        return None
    name = (sample.codes, sample.units, *sample.words.values(), *sample.more_words.values())
    if name not in _KEPT:
        while len(_KEPT) >= _MOST_KEPT:
            _KEPT.pop(next(iter(_KEPT)), None)
        units = unpack(sample.units, np.int32)
        _KEPT[name] = Opened(
            codes=unpack(sample.codes, np.uint8).reshape(len(units), -1),
            units=units,
            learned=sample.learned,
            texts={
                field: _texts(
                    np.concatenate([unpack(part, np.int32) for part in (sample.more_words.get(field), packed) if part]),
                    sorted(profile.words.get(field, {})),
                    first=0 if field in sample.more_words else sample.learned,
                )
                for field, packed in sample.words.items()
            },
        )
    return _KEPT[name]


def _texts(packed: NDArray[np.int32], vocabulary: Sequence[str], *, first: int) -> Texts:
    sizes, kept, place, flat = [], [], 0, packed.tolist()
    while place < len(flat):
        size = max(flat[place], 0)
        kept += flat[place + 1 : place + 1 + size]
        sizes.append(flat[place])
        place += 1 + size
    rows = np.array(sizes, dtype=np.int32)
    return Texts(
        first=first,
        vocabulary={word: number for number, word in enumerate(vocabulary)},
        places=np.array(kept, dtype=np.int32),
        row_of=np.repeat(np.arange(len(rows), dtype=np.int32), np.maximum(rows, 0)),
        held=rows >= 0,
    )
