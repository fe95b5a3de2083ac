"""Rules that tell traffic from the reference, learned as it goes by: from one lot of requests, judged on later ones.

For each text field its words, and for the fields together their scores and products of scores. Two lengths of lesson:
a short one finds a strong change at once, a long one a weak change. A lesson is the last whole lot of requests and the
lot that fills; the rule is learned anew as it grows, and each block is judged by the rule of that time, beside the
reference rows by the same rule. The evidence goes into the one budget (`evidence.RankStream`); words and fields that
tell are named when an incident is told.

A unit of evidence that a lesson holds is never judged by its rule: a customer who returns would otherwise be told by
the words that are the customer's own. Where customers return often, rules learn from half of them and judge the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.models import sample
from mainstay.stats import domain
from mainstay.stats.intervals import Floats
from mainstay.stats.lens import Lens, lens_of
from mainstay.watch.window import Observation

LENGTHS = (1_000, 4_000)
"""Units of evidence that make a lot; a lesson is one to two of them."""
LEAST_UNITS = 500
"""The first rule is learned from so many."""
RENEWED = 0.25
"""A rule is learned anew after this share of a lot."""
BINS = len(domain.TAILS) + 1
TOGETHER = "rows"
"""Subject name of all fields together."""
LEAST_FIELDS = 3
"""Fewer fields have nothing to do with each other that they do not show alone."""
MOST_LESSON_WORDS = 5_000
RETURNING = 1.2
"""Mean number of blocks in which a key is seen, from which keys are said to return often."""
DIGITS = 5
"""Of weights and scores."""
NAMED = 8
"""Words or fields that are told."""
ASPECTS = ("unseen", "length")
"""Of a text, among the fields together."""


class Lot(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one lot of requests held so far."""

    units: float = 0.0
    counts: dict[str, float] = {}
    """Of a text: units that hold a word."""
    sums: list[float] = []
    """Of the fields together: the sum of each column."""
    keys: list[int] = []
    """Short hashes of the units."""


class Lesson(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a rule is learned from: the last whole lot, and the one that fills."""

    before: Lot = msgspec.field(default_factory=Lot)
    now: Lot = msgspec.field(default_factory=Lot)
    fresh: float = 0.0
    """Units that came since the rule was learned."""
    turned: bool = False
    """Whether a lot was let go since then: the rule still knows units that the lesson does not."""

    @property
    def units(self) -> float:
        """Return the units of both lots."""
        return self.before.units + self.now.units

    @property
    def counts(self) -> dict[str, float]:
        """Return the units that hold a word, of both lots."""
        out = dict(self.before.counts)
        for word, count in self.now.counts.items():
            out[word] = out.get(word, 0.0) + count
        return out

    @property
    def sums(self) -> Floats:
        """Return the sum of each column over both lots."""
        held = [np.array(lot.sums) for lot in (self.before, self.now) if lot.sums]
        return np.asarray(np.sum(held, axis=0), dtype=np.float64)

    @property
    def keys(self) -> NDArray[np.int64]:
        """Return the short hashes of the units of both lots."""
        return np.array([*self.before.keys, *self.now.keys], dtype=np.int64)


class Rule(msgspec.Struct, kw_only=True, frozen=True):
    """What a lesson taught."""

    weights: dict[str, float]
    edges: list[float]
    base: list[float]
    """Units of the reference rows for judging, per bin."""
    tells: list[str]
    """The words or fields that weigh most for "now"."""


class Learner(msgspec.Struct, kw_only=True):
    """All of one subject: a text field, or the fields together."""

    lessons: list[Lesson]
    rules: dict[str, Rule] = {}
    """By place: the number of the length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields together, as the profile has them."""

    coded: list[SignalProfile]
    lens: Lens
    mean: Floats
    """Of each column over the reference rows for learning."""
    variance: Floats
    rows: float
    judged: NDArray[np.uint8]
    """Codes of the reference rows for judging."""


def subjects(profile: Profile) -> list[str]:
    """Return the subjects of a profile: its text fields that may be kept, and TOGETHER; none without a sample."""
    if profile.sample is None:
        return []
    texts = sorted(profile.sample.words)
    return [*texts, TOGETHER] if len(_fields_of(profile)) >= LEAST_FIELDS else texts


def places() -> list[str]:
    """Return the places that rules of one subject take."""
    return [str(length) for length in range(len(LENGTHS))]


def stream_name(subject: str) -> str:
    """Return the name of a subject's streams."""
    return f"{subject}.apart"


def _fields_of(profile: Profile) -> list[SignalProfile]:
    """Return the signals that the fields together are: values and missing ones of fields, two aspects of texts."""
    known = set() if profile.sample is None else set(profile.sample.names)
    kinds = (SignalKind.NUMERIC, SignalKind.CATEGORY)
    out = []
    for signal in profile.signals:
        field, _, aspect = signal.name.rpartition(".")
        own = not field or aspect in ASPECTS
        if own and not signal.segment and signal.name in known and signal.kind in kinds and field != "answer":
            out.append(signal)
    return out


_KEPT: dict[str, Fields] = {}
_MOST_KEPT = 4


def fields_together(profile: Profile) -> Fields:
    """Return what rules over all fields look at, kept in memory for the profiles at work."""
    opened = sample.opened(profile)
    if profile.sample is None or opened is None:
        raise ValueError("the profile has no sample")
    name = profile.sample.codes
    if name not in _KEPT:
        while len(_KEPT) >= _MOST_KEPT:
            _KEPT.pop(next(iter(_KEPT)), None)
        coded = _fields_of(profile)
        at = {signal: place for place, signal in enumerate(profile.sample.names)}
        codes = opened.codes[:, [at[signal.name] for signal in coded]]
        lens = lens_of([s.counts for s in coded], coded=[s.kind is SignalKind.CATEGORY for s in coded])
        learned = lens.columns(codes[: opened.learned])
        _KEPT[name] = Fields(
            coded=coded,
            lens=lens,
            mean=learned.mean(axis=0),
            variance=learned.var(axis=0),
            rows=float(opened.learned),
            judged=codes[opened.learned :],
        )
    return _KEPT[name]


def short(row: Observation, *, by_key: bool) -> int:
    """Return the short hash of a row's unit of evidence."""
    return zlib.crc32((row.key if by_key else (row.unit or row.id)).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one block that a subject is concerned with."""

    words: list[list[str]]
    """Of a text; empty for the fields together."""
    columns: Floats
    """(n, columns) of the fields together; (n, 0) for a text."""
    units: NDArray[np.int64]
    """Short hashes."""
    weights: Floats
    """1 / rows of the unit in this block."""


def rows_of(subject: str, profile: Profile, rows: Sequence[Observation], *, by_key: bool) -> Rows:
    """Return the rows of a block as the subject's rules see them."""
    if subject == TOGETHER:
        together = fields_together(profile)
        held = [row for row in rows if row.signals]
        codes = sample.encode(together.coded, [row.signals for row in held])
        words: list[list[str]] = []
        columns = together.lens.columns(codes) if held else np.zeros((0, together.lens.width))
    else:
        held = [row for row in rows if subject in row.words]
        words, columns = [row.words[subject][: sample.MOST_ROW_WORDS] for row in held], np.zeros((len(held), 0))
    units = np.array([short(row, by_key=by_key) for row in held], dtype=np.int64)
    _, number, size = np.unique(units, return_inverse=True, return_counts=True)
    return Rows(words=words, columns=columns, units=units, weights=1.0 / size[number] if len(units) else np.zeros(0))


def scores(rules: Sequence[Rule], rows: Rows) -> Floats:
    """Return the score of each row by each rule, shape (n, rules)."""
    if not rules or not len(rows.units):
        return np.zeros((len(rows.units), len(rules)))
    if rows.columns.shape[1]:
        weights = np.zeros((rows.columns.shape[1], len(rules)))
        for j, rule in enumerate(rules):
            for name, weight in rule.weights.items():
                weights[int(name), j] = weight
        return _rounded(rows.columns @ weights)
    index: dict[str, int] = {}
    for rule in rules:
        for word in rule.weights:
            index.setdefault(word, len(index))
    table = np.zeros((len(index), len(rules)))
    for j, rule in enumerate(rules):
        table[[index[word] for word in rule.weights], j] = list(rule.weights.values())
    found = [[index[word] for word in own if word in index] for own in rows.words]
    row_of = np.repeat(np.arange(len(found)), [len(own) for own in found])
    place = np.array([number for own in found for number in own], dtype=np.intp)
    out = np.zeros((len(found), len(rules)))
    for j in range(len(rules)):
        out[:, j] = np.bincount(row_of, weights=table[place, j], minlength=len(found))
    return _rounded(out)


def _rounded(found: Floats) -> Floats:
    """Return scores such that equal rows have equal ones, in whichever order they were summed."""
    return np.asarray(np.round(found, DIGITS), dtype=np.float64)


def count(learner: Learner, rows: Rows) -> dict[str, Floats]:
    """Return for each place that has a rule its columns; units that its lesson holds are left out.

    Units per bin, and as many that are expected there: so many units, spread as those of the reference rows are.
    """
    held = list(learner.rules.items())
    found = scores([rule for _, rule in held], rows)
    out = {}
    for j, (place, rule) in enumerate(held):
        new = ~np.isin(rows.units, learner.lessons[int(place)].keys)
        seen = domain.spread(found[new, j], rows.weights[new], np.array(rule.edges), BINS)
        base = np.array(rule.base)
        out[place] = np.concatenate((seen, seen.sum() * base / max(float(base.sum()), 1e-12)))
    return out


def learn(learner: Learner, rows: Rows, *, returning: bool) -> None:
    """Add the rows of a block to the lessons; of `returning` keys every other one."""
    own = rows.units % 2 == 0 if returning else np.ones(len(rows.units), dtype=np.bool_)
    for lesson, length in zip(learner.lessons, LENGTHS, strict=True):
        _add(lesson.now, rows, own, length)
        lesson.fresh += float(rows.weights[own].sum())
        if lesson.now.units >= length:
            lesson.turned = lesson.turned or lesson.before.units > 0
            lesson.before, lesson.now = lesson.now, Lot()


def _add(lot: Lot, rows: Rows, own: NDArray[np.bool_], length: int) -> None:
    lot.units += float(rows.weights[own].sum())
    lot.keys += rows.units[own].tolist()
    if len(lot.keys) > 2 * length:
        lot.keys = sorted(set(lot.keys))
    if rows.columns.shape[1]:
        sums = rows.weights[own] @ rows.columns[own]
        lot.sums = (sums + np.array(lot.sums)).tolist() if lot.sums else sums.tolist()
        return
    counts = lot.counts
    for i in np.flatnonzero(own).tolist():
        weight = float(rows.weights[i])
        for word in rows.words[i]:
            counts[word] = counts.get(word, 0.0) + weight
    if len(counts) > MOST_LESSON_WORDS:
        often = sorted(counts, key=lambda word: (-counts[word], word))[: MOST_LESSON_WORDS // 2]
        lot.counts = {word: counts[word] for word in often}


def renew(learner: Learner, subject: str, profile: Profile) -> None:
    """Learn rules anew of the lessons that grew enough since."""
    for place, lesson, length in zip(places(), learner.lessons, LENGTHS, strict=True):
        due = lesson.turned or lesson.fresh >= RENEWED * length or place not in learner.rules
        if lesson.units < LEAST_UNITS or not due:
            continue
        make = _rule_of_fields if subject == TOGETHER else _rule_of_words
        learner.rules[place] = make(lesson, subject, profile)
        lesson.fresh, lesson.turned = 0.0, False


def fresh() -> Learner:
    """Return a learner that has seen nothing."""
    return Learner(lessons=[Lesson() for _ in LENGTHS])


def _rule_of_words(lesson: Lesson, subject: str, profile: Profile) -> Rule:
    opened = sample.opened(profile)
    if opened is None:
        raise ValueError("the profile has no sample")
    texts, counts = opened.texts[subject], lesson.counts
    vocabulary = [*texts.vocabulary, *(word for word in counts if word not in texts.vocabulary)]
    now = np.array([counts.get(word, 0.0) for word in vocabulary])
    before, rows_before = _words_before(profile, subject, texts, vocabulary)
    weights: Floats = np.round(domain.learn_words(now, lesson.units, before, rows_before), DIGITS)
    sums = np.bincount(texts.row_of, weights=np.asarray(weights[texts.places]), minlength=len(texts.held))
    own: Floats = np.asarray(sums[texts.held], dtype=np.float64)
    held = np.flatnonzero(weights)
    told = held[np.argsort(-(weights * np.sqrt(now))[held], kind="stable")]
    return _rule(
        {vocabulary[i]: float(weights[i]) for i in held.tolist()},
        own,
        opened.units[texts.first :][texts.held],
        tells=[vocabulary[i] for i in told.tolist() if weights[i] > 0][:NAMED],
    )


def _words_before(
    profile: Profile, subject: str, texts: sample.Texts, vocabulary: Sequence[str]
) -> tuple[Floats, float]:
    """Return how many rows held each word before, and of how many: training rows, else reference rows not judged."""
    trained = profile.trained.get(subject)
    if trained is not None:
        return np.array([float(trained.words.get(word, 0)) for word in vocabulary]), float(trained.rows)
    known = profile.words[subject]
    judged = np.bincount(texts.places, minlength=len(vocabulary)).astype(np.float64)
    every = np.array([float(known.get(word, 0)) for word in vocabulary])
    return np.maximum(every - judged, 0.0), max(_rows_with(profile, subject) - float(texts.held.sum()), 1.0)


def _rows_with(profile: Profile, subject: str) -> float:
    for signal in profile.signals:
        if signal.name == f"{subject}.length" and not signal.segment:
            return float(signal.rows)
    return float(profile.rows)


def _rule_of_fields(lesson: Lesson, subject: str, profile: Profile) -> Rule:
    del subject
    opened = sample.opened(profile)
    if opened is None:
        raise ValueError("the profile has no sample")
    together = fields_together(profile)
    now = lesson.sums / max(lesson.units, 1e-12)
    found = domain.learn_columns(now, lesson.units, together.mean, together.rows, together.variance)
    weights = np.round(found, DIGITS)
    held = np.flatnonzero(weights)
    own: Floats = together.lens.columns(together.judged, held) @ weights[held]
    order = held[np.argsort(-np.abs(weights * np.sqrt(together.variance))[held], kind="stable")]
    names = [signal.name for signal in together.coded]
    told = dict.fromkeys(" with ".join(names[k] for k in together.lens.owners[j]) for j in order.tolist())
    return _rule(
        {str(j): float(weights[j]) for j in held.tolist()},
        own,
        opened.units[opened.learned :],
        tells=list(told)[:NAMED],
    )


def _rule(
    weights: Mapping[str, float],
    own: Floats,
    units: NDArray[np.int32],
    *,
    tells: Sequence[str],
) -> Rule:
    _, number, size = np.unique(units, return_inverse=True, return_counts=True)
    share = 1.0 / size[number]
    own = _rounded(own)
    edges = domain.edges_of(own, share)
    return Rule(
        weights=dict(weights),
        edges=edges.tolist(),
        base=domain.spread(own, share, edges, BINS).tolist(),
        tells=list(tells),
    )
