"""Counts of what held-out rows looked like to a model: the reference that the watch compares traffic with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, FieldType, Pii, Task
from mainstay.core.incidents import Harm
from mainstay.core.profiles import BINS, Profile, Reconstruction, SignalKind, SignalProfile, TrainedWords
from mainstay.models import derived, sample
from mainstay.models.answers import Answer
from mainstay.models.outputs import ABSTAINED, CONFIDENCE, ENTROPY, LABEL, LOW_TRUST, SCORE, VALUE, output_signals
from mainstay.models.segments import segment_names
from mainstay.models.signals import RowSignals, Signals, as_category, measured_fields, text_fields, words
from mainstay.models.traits import Traits, time_fields

MAX_WORDS = 20_000
MAX_CATEGORIES = 200
NAMED_ROWS = 5
"""Reference rows that a category needs to be compared for itself; simulated: without it, fields of thousands of values
raised a false alarm in every stream of 150 blocks, with it in none."""
SURELY = 3.0
"""Standard deviations of a count by which a value must be above the first one that is not named."""
MIN_SEGMENT_ROWS = 30
"""Segments with fewer reference rows have no signals of their own."""
MOST_SEGMENT_SIGNALS = 240
"""Signals of segments; where the values of all fields in all segments would be more, segments have the main ones."""
LEAST_TRAINED = 500
"""Of fewer training texts a rule learns less than of half of the reference."""
RARE_DEFAULT = 0.01
"""A default that fewer reference rows had (share) stands for a fault when it comes up."""
TIED_HOURS = 48.0
"""A time stamp that is mostly nearer to its row than this follows the row's own season: its hours tell nothing new."""
ERROR = "labels.error"
"""Distance of a regression's answer from its label."""
_ANSWER_HARM = {
    LABEL: Harm.OUTPUT,
    VALUE: Harm.OUTPUT,
    LOW_TRUST: Harm.OUTPUT,
    ABSTAINED: Harm.OUTPUT,
    SCORE: Harm.OUTPUT,
    CONFIDENCE: Harm.QUALITY,
    ENTROPY: Harm.QUALITY,
    ERROR: Harm.QUALITY,
}


def build_profile(
    contract: Contract,
    rows: Sequence[Mapping[str, Any]],
    answers: Sequence[Answer],
    truth: Sequence[Any] | None,
    keys: Sequence[Any] | None,
    *,
    source: str,
    vocabulary: Mapping[str, frozenset[str]],
    signals: Sequence[Signals] | None = None,
    segments_min_rows: int = MIN_SEGMENT_ROWS,
    trained: Mapping[str, TrainedWords] | None = None,
) -> Profile:
    """Return the profile of reference rows, which the model must not have been fitted on.

    `keys` name the unit of evidence per row (None: every row its own). `signals` replaces the measuring against
    `vocabulary` where another one holds per row (out-of-fold rows). Numeric signals are binned at quantiles, at most
    200 bins; a signal of zeros and ones always has the one edge 0.5. `trained` counts the words of rows that are none
    of these (`trained_words`).
    """
    from mainstay.models import harm, quality, seasons  # with SciPy, which workers do without

    measured = list(signals) if signals is not None else _measure(contract, vocabulary, rows)
    traits = Traits(contract)
    measured = [{**own, **traits.measure(row)} for own, row in zip(measured, rows, strict=True)]
    # The watch compares no value of a personal field, and nothing of a hashed or dropped one: so the bundle holds none.
    hidden = {field.name for field in measured_fields(contract) if field.pii in (Pii.HASH, Pii.DROP)}
    private = {field.name for field in measured_fields(contract) if field.pii is not Pii.KEEP}
    if private:
        measured = [
            {name: value for name, value in row.items() if name not in private and _field_of(name) not in hidden}
            for row in measured
        ]
    table = [{**row, **output_signals(answer, contract)} for row, answer in zip(measured, answers, strict=True)]
    groups = _groups(keys, len(rows))
    places = [segment_names(contract, row) for row in rows]
    found = _without_tied_hours(_profile_all(contract, table, groups, segment=""), contract)
    more, reconstruction = _derived(contract, found, table, groups)
    found += more
    found += _in_segments(contract, table, groups, _by_segment(places, segments_min_rows))
    if truth is not None and len(truth) and contract.task is Task.REGRESSION:  # a score of a ranking is no grade
        distances = [abs(float(a.label) - float(t)) for a, t in zip(answers, truth, strict=True)]
        found.append(_numeric(ERROR, "", np.array(distances, dtype=np.float64), groups))
    correct = _correct(contract, answers, truth)
    times = seasons.times_of(contract, rows)
    confidences = [a.confidence for a in answers if a.confidence is not None]
    kept = {f.name for f in text_fields(contract) if f.pii is Pii.KEEP}
    counted = {f.name: _words(row.get(f.name) for row in rows) if f.name in kept else {} for f in text_fields(contract)}
    texts = {name: [row.get(name) for row in rows] for name in counted if name in kept}
    kept_trained = {name: own for name, own in (trained or {}).items() if name in kept}
    made = Profile(
        source=source,
        rows=len(rows),
        keys=len(set(groups.tolist())),
        distinct=len({tuple(row.get(f.name) for f in contract.features) for row in rows}),
        signals=found,
        accuracy=float(np.mean(correct)) if correct else None,
        mean_confidence=float(np.mean(confidences)) if confidences else None,
        words=counted,
        segment_accuracy=_segment_accuracy(places, correct),
        trained=kept_trained,
        sample=sample.take(
            [s for s in found if _field_of(s.name) not in private], table, groups, texts, counted, trained=kept_trained
        ),
        reconstruction=reconstruction,
        quality=quality.reference_quality(contract, table, answers, truth, keys=groups, places=places, moments=times),
    )
    made = harm.with_harm(made, table, correct)
    return made if times is None else seasons.with_season(made, table, places, times)


def _field_of(signal: str) -> str:
    """Return the field that a signal is an aspect of, or itself."""
    return signal.rpartition(".")[0] or signal


def trained_words(
    contract: Contract,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[Any] | None = None,
    *,
    apart_from: Iterable[Any] = (),
) -> dict[str, TrainedWords]:
    """Count the words of rows that are no reference rows, for rules to learn from; of fields that are kept.

    `keys` are the rows' units of evidence; those in `apart_from`, the keys of the reference rows, are left out: a
    customer's own words must not make the reference rows look more usual than traffic of customers who are new.
    Fields with fewer than LEAST_TRAINED texts are left out.
    """
    others = {key for key in apart_from if key is not None}
    used = [row for i, row in enumerate(rows) if keys is None or keys[i] is None or keys[i] not in others]
    out = {}
    for field in text_fields(contract):
        texts = [text for row in used if (text := row.get(field.name))]
        if field.pii is Pii.KEEP and len(texts) >= LEAST_TRAINED:
            out[field.name] = TrainedWords(rows=len(texts), words=_words(texts))
    return out


def _without_tied_hours(found: list[SignalProfile], contract: Contract) -> list[SignalProfile]:
    """Leave out the hours of time stamps that follow the clock of their rows."""
    ages = {signal.name: signal for signal in found if signal.name.endswith(".age")}
    tied = set()
    for field in time_fields(contract):
        age = ages.get(f"{field.name}.age")
        if age is not None and abs(_median(age)) < TIED_HOURS:
            tied.add(f"{field.name}.hour")
    return [signal for signal in found if signal.name not in tied]


def _median(signal: SignalProfile) -> float:
    place = int(np.searchsorted(np.cumsum(signal.counts), 0.5 * signal.rows))
    return signal.edges[min(place, len(signal.edges) - 1)] if signal.edges else signal.mean


def _derived(
    contract: Contract, found: Sequence[SignalProfile], table: Sequence[Signals], groups: NDArray[np.int64]
) -> tuple[list[SignalProfile], Reconstruction | None]:
    """Return the signals that follow from values and reference together, and the plane of the numbers.

    The plane is fitted on one half of the keys, and distances from it are counted on the other: on its own rows any
    plane lies too well.
    """
    numbers = [f.name for f in measured_fields(contract) if f.type in (FieldType.NUMBER, FieldType.INTEGER)]
    defaults = derived.companions(found, table, numbers)
    judged = sample.for_judging(groups) if len(groups) else np.zeros(0, dtype=np.bool_)
    learned = [table[i] for i in np.flatnonzero(~judged).tolist()]
    plane = derived.fit_reconstruction(found, learned, numbers)
    wanted = [_empty(name, values) for name, values in defaults.items()]
    if plane is not None:
        wanted.append(_empty(derived.RECONSTRUCTION, []))
    draft = Profile(source="", rows=0, keys=0, signals=[*found, *wanted], reconstruction=plane)
    more = derived.with_derived(draft, table)
    for row in (more[i] for i in np.flatnonzero(~judged).tolist()):
        row.pop(derived.RECONSTRUCTION, None)
    made = _profile_all(contract, more, groups, segment="")
    return [msgspec.structs.replace(s, defaults=defaults.get(s.name, [])) for s in made], plane


def _empty(name: str, defaults: list[float]) -> SignalProfile:
    return SignalProfile(name=name, kind=SignalKind.CATEGORY, harm="", rows=0, defaults=defaults)


def _in_segments(
    contract: Contract, table: Sequence[Signals], groups: NDArray[np.int64], places: Mapping[str, list[int]]
) -> list[SignalProfile]:
    """Return the signals of each segment: the main ones, and the values of all fields while that is not too much."""
    main = _main_signals(contract)
    fields = tuple(f.name for f in measured_fields(contract) if f.type is not FieldType.TEXT and f.pii is Pii.KEEP)
    if len(places) * (len(main) + len(fields)) <= MOST_SEGMENT_SIGNALS:
        main += fields
    found: list[SignalProfile] = []
    for segment, index in places.items():
        own, _, _ = segment.partition("=")
        part = [{name: table[i].get(name) for name in main if name != own} for i in index]
        found += _profile_all(contract, part, groups[index], segment=segment)
    return found


def harm_of(signal: str) -> Harm:
    """Return what is at stake when that signal moves."""
    if signal in _ANSWER_HARM:
        return _ANSWER_HARM[signal]
    return Harm.DATA_FAULT if signal.endswith((".missing", ".future", ".midnight")) else Harm.INPUT


def _measure(
    contract: Contract, vocabulary: Mapping[str, frozenset[str]], rows: Sequence[Mapping[str, Any]]
) -> list[Signals]:
    signals = RowSignals(contract, vocabulary)
    return [signals.measure(row) for row in rows]


def _main_signals(contract: Contract) -> tuple[str, ...]:
    return (LABEL, VALUE, CONFIDENCE, LOW_TRUST, *(f"{f.name}.unseen" for f in text_fields(contract)))


def _known_values(contract: Contract) -> dict[str, tuple[str, ...]]:
    known = {f.name: f.values for f in measured_fields(contract)}
    return {**known, LABEL: contract.classes}


def _is_yes_or_no(name: str) -> bool:
    return name.endswith((derived.OUTSIDE, derived.DEFAULT)) or name == ABSTAINED


def _profile_all(
    contract: Contract, table: Sequence[Signals], groups: NDArray[np.int64], *, segment: str
) -> list[SignalProfile]:
    """Profile each column of `table`; one without any value is left out."""
    known = _known_values(contract)
    names = list(dict.fromkeys(name for row in table for name in row))
    out = []
    for name in names:
        values = [row.get(name) for row in table]
        present = np.array([value is not None for value in values], dtype=bool)
        if not present.any():
            continue
        kept = [value for value in values if value is not None]
        given = groups[present]
        if isinstance(kept[0], str):
            declared = known[name] if name in known else ((derived.YES,) if _is_yes_or_no(name) else ())
            out.append(_category(name, segment, [str(value) for value in kept], given, declared))
        else:
            out.append(_numeric(name, segment, np.array(kept, dtype=np.float64), given))
    return out


def _numeric(name: str, segment: str, x: NDArray[np.float64], groups: NDArray[np.int64]) -> SignalProfile:
    edges = _edges(name, x)
    counts = np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1)
    return SignalProfile(
        name=name,
        kind=SignalKind.NUMERIC,
        harm=harm_of(name),
        segment=segment,
        rows=len(x),
        edges=edges.tolist(),
        counts=counts.tolist(),
        mean=float(x.mean()),
        sd=float(x.std()),
        low=float(x.min()),
        high=float(x.max()),
        design_effect=design_effect((x - x.mean())[:, None], groups),
    )


def _edges(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ascending inner edges: every distinct value starts a bin while they are few, else quantiles do.

    An edge that nothing lies below would make an empty first bin and is left out, except where all values are equal:
    that value is then an edge, and the next number above it another, so that movement to either side is seen.
    """
    if name == LOW_TRUST or name.endswith((".missing", ".future", ".midnight")):
        return np.array([0.5])
    distinct = np.unique(x)
    if len(distinct) == 1:
        return np.array([distinct[0], float(np.nextafter(distinct[0], np.inf))], dtype=np.float64)
    if len(distinct) <= BINS:
        return np.asarray(distinct[1:], dtype=np.float64)
    quantiles = np.quantile(x, np.arange(1, BINS) / BINS, method="inverted_cdf")
    edges: NDArray[np.float64] = np.unique(quantiles)
    return np.asarray(edges[edges > distinct[0]], dtype=np.float64)


def _category(
    name: str, segment: str, x: list[str], groups: NDArray[np.int64], known: tuple[str, ...]
) -> SignalProfile:
    values = _values(Counter(x), known)
    index = {value: i for i, value in enumerate(values)}
    codes = np.array([index.get(value, len(values)) for value in x], dtype=np.int64)
    indicator = np.zeros((len(x), len(values) + 1))
    indicator[np.arange(len(x)), codes] = 1.0
    rare = name.endswith(derived.DEFAULT) and x.count(derived.YES) < RARE_DEFAULT * len(x)
    return SignalProfile(
        name=name,
        kind=SignalKind.CATEGORY,
        harm=Harm.DATA_FAULT if rare else harm_of(name),
        segment=segment,
        rows=len(x),
        counts=indicator.sum(axis=0).astype(int).tolist(),
        values=values,
        design_effect=design_effect(indicator - indicator.mean(axis=0), groups),
    )


def _values(counted: Counter[str], known: tuple[str, ...]) -> list[str]:
    """Return the values that are compared each for itself; all others are one.

    The known ones when there are rows enough for them, else the values of at least `NAMED_ROWS` rows. Rare values named
    for themselves would leave nothing for others like them that the reference missed, and traffic brings those daily.
    Of more than `MAX_CATEGORIES` those that are surely the commonest: of thousands that come about equally often the
    first 200 of these rows were so by chance, and their share here is more than it will be (the winner's curse).
    """
    if known and counted.total() >= NAMED_ROWS * len(known):
        return list(known)
    often = [value for value in counted if counted[value] >= NAMED_ROWS]
    if len(often) <= MAX_CATEGORIES:
        return sorted(often)
    commonest = counted.most_common(MAX_CATEGORIES + 1)
    cut = commonest[-1][1]
    return sorted(value for value, rows in commonest if rows > cut + SURELY * math.sqrt(cut))


def design_effect(centred: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return how much larger the variance of a mean is over keys than over independent rows, at least 1.

    With e_i the centred rows (n, d) and K keys: K/(K−1) · Σ_k |Σ_{i∈k} e_i|² / Σ_i |e_i|² (the cluster-robust variance
    of a mean, Liang and Zeger 1986, over the independent one). 1 for constant rows, or fewer than two keys.
    """
    total = float((centred**2).sum())
    _, inverse = np.unique(groups, return_inverse=True)
    keys = int(inverse.max()) + 1 if len(inverse) else 0
    if total <= 0.0 or keys < 2:
        return 1.0
    if keys == len(groups):
        return 1.0
    sums = np.zeros((keys, centred.shape[1]))
    np.add.at(sums, inverse, centred)
    return max(1.0, keys / (keys - 1) * float((sums**2).sum()) / total)


def _groups(keys: Sequence[Any] | None, rows: int) -> NDArray[np.int64]:
    """Return a number per key; a row without a key is a key of its own."""
    if keys is None:
        return np.arange(rows, dtype=np.int64)
    seen: dict[Any, int] = {}
    out = np.empty(rows, dtype=np.int64)
    for index, key in enumerate(keys):
        out[index] = seen.setdefault(("row", index) if key is None else ("key", key), len(seen))
    return out


def _by_segment(places: Sequence[Sequence[str]], least: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, names in enumerate(places):
        for name in names:
            found.setdefault(name, []).append(index)
    return {name: found[name] for name in sorted(found) if len(found[name]) >= least}


def _correct(contract: Contract, answers: Sequence[Answer], truth: Sequence[Any] | None) -> list[bool]:
    if truth is None or not contract.task.is_classification:
        return []
    return [as_category(answer.label) == as_category(value) for answer, value in zip(answers, truth, strict=True)]


def _segment_accuracy(places: Sequence[Sequence[str]], correct: Sequence[bool]) -> dict[str, Any]:
    if not correct:
        return {}
    found = _by_segment(places, 1)
    return {
        name: {"rows": len(index), "accuracy": float(np.mean([correct[i] for i in index]))}
        for name, index in found.items()
    }


def _words(texts: Iterable[Any]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for text in texts:
        if text:
            counted.update(set(words(text)))
    ranked = sorted(counted, key=lambda word: (-counted[word], word))
    return {word: counted[word] for word in ranked[:MAX_WORDS]}
