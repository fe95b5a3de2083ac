"""What must be said about a row that is unlike those of training. Compiled once; a row like them costs next to nothing.

Everything is looked at for a whole batch: texts by their signals, which are measured anyway, categories by one look-up
each, numbers as one matrix. Only what is unlike training is looked at again, to say what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nextafter
from operator import gt, itemgetter, lt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Field, Pii
from mainstay.core.events import Caveat
from mainstay.models.familiar import Categories, Distance, Ends, Familiar, Texts
from mainstay.models.languages import language_of
from mainstay.models.scripts import RANGES, finder, outside, scripts_of
from mainstay.models.signals import Signals, words

Row = Mapping[str, Any]
Said = dict[int, list[Caveat]]
"""Number of a row in its batch -> what must be said."""
Look = Callable[[Sequence[Row], Sequence[Signals], Said], None]

RARE, RANGE, SCRIPT, LANGUAGE, FAR = (
    "rare_category",
    "outside_training",
    "unseen_script",
    "unseen_language",
    "far_from_training",
)
UNLIKE = frozenset({RANGE, SCRIPT, LANGUAGE, FAR})
"""What the model cannot have learned to answer: these lower trust. A rare category is said."""
LEAST_SCRIPT_SHARE = 0.1
"""Of a text's letters."""
LOOK_AT_WORDS = 0.25
"""From this share of never-seen words on a text's language is looked at."""


class Doubts:
    """Looks at rows of one model. Stateless after construction, thread-safe."""

    def __init__(self, contract: Contract, seen: Familiar, vocabulary: Mapping[str, frozenset[str]]) -> None:
        fields = {field.name: field for field in contract.fields}
        self._looks: list[Look] = [
            *(_texts(name, texts, vocabulary.get(name)) for name, texts in seen.texts.items()),
            *(_categories(fields[name], found) for name, found in seen.categories.items()),
        ]
        if seen.numbers:
            self._looks.append(_numbers([fields[name] for name in seen.numbers], list(seen.numbers.values())))
        if seen.distance is not None:
            self._looks.append(_distance(seen.distance))

    def of(self, rows: Sequence[Row], measured: Sequence[Signals]) -> Said:
        """Return what must be said about checked rows whose signals were measured; most batches give nothing."""
        said: Said = {}
        for look in self._looks:
            look(rows, measured, said)
        return said


def _say(said: Said, index: int, caveat: Caveat) -> None:
    said.setdefault(index, []).append(caveat)


def _texts(name: str, texts: Texts, vocabulary: frozenset[str] | None) -> Look:
    unseen, non_ascii = f"{name}.unseen", f"{name}.non_ascii"
    knows_latin = "Latin" in texts.scripts
    strange, every = finder(outside(texts.scripts)), finder(RANGES)
    limit = texts.unseen_share if texts.unseen_share is not None else 1.0
    doubtful = min(limit, nextafter(LOOK_AT_WORDS, 0.0))
    scripts = _joined(texts.scripts)

    def script(text: str) -> Caveat | None:
        found = [letter for letter in strange(text) if letter.isalpha()]
        if not found:
            return None
        share = len(found) / sum(map(str.isalpha, every(text)))
        if share < LEAST_SCRIPT_SHARE:
            return None
        names = _joined(sorted(scripts_of("".join(found))))
        told = f"{share:.0%} of the letters of {name} are {names}; training held {scripts or 'no letters'}"
        return Caveat(code=SCRIPT, field=name, value=round(share, 4), text=told)

    def language(text: str) -> Caveat | None:
        own = words(text)
        known = vocabulary or frozenset()
        found = language_of([word for word in own if word not in known], len(own))
        if found is None:
            return None
        return Caveat(
            code=LANGUAGE, field=name, value=found, text=f"{name} seems to be {found}, which training did not hold"
        )

    def look(rows: Sequence[Row], measured: Sequence[Signals], said: Said) -> None:
        for index, signals in enumerate(measured):
            share: Any = signals[unseen]
            if share is not None and share > doubtful:
                if share > limit:
                    told = f"{name} has more never-seen words ({share:.0%}) than 99% of the rows left out of training"
                    _say(said, index, Caveat(code=FAR, field=name, value=round(share, 4), text=told))
                if share >= LOOK_AT_WORDS and (caveat := language(rows[index].get(name) or "")) is not None:
                    _say(said, index, caveat)
            if (signals[non_ascii] or not knows_latin) and (caveat := script(rows[index].get(name) or "")) is not None:
                _say(said, index, caveat)

    return look


def _categories(field: Field, found: Categories) -> Look:
    name, rare = field.name, found.rare
    declared = frozenset(field.values)
    common = frozenset({*found.common, None})

    def look(rows: Sequence[Row], _measured: Sequence[Signals], said: Said) -> None:
        for index, row in enumerate(rows):
            if (value := row.get(name)) not in common and not (declared and value not in declared):
                count = rare.get(value, 0)  # type: ignore[arg-type]
                shown = repr(value[:64]) if field.pii is Pii.KEEP else "its value"  # type: ignore[index]
                told = f"{name}: {shown} was in {count} of {found.rows} training rows"
                _say(said, index, Caveat(code=RARE, field=name, value=count, text=told))

    return look


def _numbers(fields: Sequence[Field], ends: Sequence[Ends]) -> Look:
    names = [field.name for field in fields]
    lows, highs = [one.low - one.margin for one in ends], [one.high + one.margin for one in ends]
    given: Callable[[Row], Sequence[Any]] = _getter(names)

    def name_them(values: Sequence[Any], index: int, said: Said) -> None:
        for field, end, value, low, high in zip(fields, ends, values, lows, highs, strict=True):
            if value is None or low <= value <= high or _is_declared_out(field, value):
                continue
            told = f"{field.name} is {value:g}; training held {end.low:g} to {end.high:g}"
            _say(said, index, Caveat(code=RANGE, field=field.name, value=value, text=told))

    def look(rows: Sequence[Row], _measured: Sequence[Signals], said: Said) -> None:
        for index, row in enumerate(rows):
            values = given(row)
            try:
                if True not in map(gt, values, highs) and True not in map(lt, values, lows):
                    continue
            except TypeError:  # a missing one
                pass
            name_them(values, index, said)

    return look


def _is_declared_out(field: Field, value: float) -> bool:
    """Return whether the contract says already that the value is out of range."""
    return (field.min is not None and value < field.min) or (field.max is not None and value > field.max)


def _getter(names: Sequence[str]) -> Callable[[Row], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: (row[names[0]],)


def _distance(found: Distance) -> Look:
    centre, scale, middle = np.array(found.centre), 1.0 / np.array(found.scale), np.array(found.middle)
    whiten, limit = np.ascontiguousarray(found.whiten), found.limit
    given = _getter(found.fields)

    def drawn(cells: NDArray[np.float64]) -> NDArray[np.float64]:
        cells -= centre
        cells *= scale
        np.arcsinh(cells, out=cells)
        cells -= middle
        return cells

    def look(rows: Sequence[Row], _measured: Sequence[Signals], said: Said) -> None:
        if len(rows) == 1:  # most of a matrix's cost is that it is one
            alone = drawn(np.array(given(rows[0]), dtype=np.float64)).dot(whiten)
            if alone.dot(alone) <= limit:
                return
        shifted = drawn(np.array([given(row) for row in rows], dtype=np.float64))
        white = shifted @ whiten
        far = np.einsum("ij,ij->i", white, white)
        if (far <= limit).all():
            return
        # What is missing lies in the centre.
        shifted = np.where(np.isnan(shifted), -middle, shifted)
        white = shifted @ whiten
        far = np.einsum("ij,ij->i", white, white)
        for index in np.flatnonzero(far > limit).tolist():
            # What each number adds to the squared distance: x_j (Σ⁻¹ x)_j.
            parts = shifted[index] * (whiten @ white[index])
            most = found.fields[int(parts.argmax())]
            times = float(np.sqrt(far[index] / limit))
            told = f"its numbers lie {times:.3g} times as far from training as 99.9% of the rows left out of it do"
            _say(said, index, Caveat(code=FAR, field=most, value=round(times, 4), text=f"{told}, most of all {most}"))

    return look


def _joined(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
