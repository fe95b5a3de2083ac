"""The question about wrong labels: confident learning on the held-out probabilities of a quick linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.config.settings import DeliveryQuestion
from mainstay.core.verdicts import Verdict
from mainstay.delivery.leakage import keys_of
from mainstay.delivery.records import Answer, Delivery, answer, within
from mainstay.delivery.words_matrix import hashed_words
from mainstay.profiling.copies import normalised
from mainstay.profiling.samples import CODED, NUMBERS, Rows, codes_of, drawn, floats_of, seen_by_contract
from mainstay.stats.alone import bins_of
from mainstay.stats.confident import Confident, confident
from mainstay.stats.intervals import Floats
from mainstay.stats.ridge import held_out_classes

FOLDS = 5
MOST_VALUES = 50
"""Commonest values of a category that are told apart."""
LEAST_PER_CLASS = 10
JUDGE = 0.7
"""A model that is right less often fails no label: what it calls wrong may be what it cannot tell."""
MOST_SHOWN = 30
MOST_KEPT = 1000
CHARS = 110
ASKS = "Are few enough labels likely wrong?"


def label_noise(
    given: Delivery, rng: np.random.Generator, probabilities: Floats | None = None, *, right: float | None = None
) -> Answer:
    """Ask how many labels are likely wrong, by confident learning (Northcutt, Jiang, Chuang 2021).

    `probabilities` are held-out ones of a better model for the training rows, in the order of the declared classes;
    without them a linear model of words, categories and binned numbers is cross-validated on a sample of rows. Rows of
    one key, and equal rows, are in one fold. `right`: how often the better model is where labels are trusted.
    """
    question, contract = DeliveryQuestion.LABEL_NOISE, given.contract
    if not contract.task.is_classification:
        return answer(question, ASKS, Verdict.NOT_ENOUGH, "the target is a number: not asked", applies=False)
    rows = np.arange(given.train.height) if probabilities is not None else _rows(given, rng)
    some = given.train[rows]
    truth, names = _coded(given, some)
    kept = np.bincount(truth, minlength=len(names)) >= LEAST_PER_CLASS
    if int(kept.sum()) < 2:
        why = f"fewer than two classes have {LEAST_PER_CLASS} rows"
        return answer(question, ASKS, Verdict.NOT_ENOUGH, why)
    by = "the model's own held-out probabilities"
    p = probabilities
    if p is None:
        p, by = held_out(given, some, truth, len(names), rng), "a linear model of its words and fields, held out"
        if p is None:
            return answer(question, ASKS, Verdict.NOT_ENOUGH, "no feature that a linear model could take")
    keys = keys_of(given, some)
    units = None if keys is None else float(len(np.unique(keys)))
    found = confident(truth, p, units=units)
    return _told(given, found, p, truth, names, rows, by, right)


def _rows(given: Delivery, rng: np.random.Generator) -> Rows:
    return drawn(given.train.height, given.settings.delivery.rows, rng)


def _coded(given: Delivery, some: pl.DataFrame) -> tuple[Rows, list[str]]:
    labels = some[given.contract.target].cast(pl.String)
    names = list(given.contract.classes) or sorted(labels.unique().to_list())
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[label] for label in labels.to_list()], dtype=np.intp), names


def held_out(given: Delivery, some: pl.DataFrame, truth: Rows, classes: int, rng: np.random.Generator) -> Floats | None:
    """Return the held-out probabilities of a linear model of words, categories and binned numbers; None of nothing."""
    from scipy.sparse import csr_matrix, hstack

    blocks: list[Any] = []
    for one in seen_by_contract(given.contract, some):
        if one.kind is Kind.TEXT:
            blocks.append(hashed_words(one.cells))
        elif one.kind in CODED:
            blocks.append(_one_hot(_commonest(one.cells)))
        elif one.kind in NUMBERS or one.kind is Kind.TIMESTAMP:
            blocks.append(_one_hot(bins_of(floats_of(one.cells)) // 4))
    if not blocks:
        return None
    x = hstack([*blocks, csr_matrix(np.ones((some.height, 1)))]).tocsr()
    return held_out_classes(x, truth, classes, _folds(given, some, rng))


def _folds(given: Delivery, some: pl.DataFrame, rng: np.random.Generator) -> Rows:
    """Return a fold for each row: by its key, else by its content, so that copies are never apart."""
    units = keys_of(given, some)
    if units is None:
        features = [one.name for one in given.contract.features]
        plain = some.select(normalised(some[n]).alias(n) if some.schema[n] == pl.String else some[n] for n in features)
        units = (plain.hash_rows().rank("dense") - 1).to_numpy().astype(np.intp)
    return np.asarray(rng.integers(0, FOLDS, int(units.max(initial=0)) + 1)[units], dtype=np.intp)


def _commonest(cells: pl.Series) -> Rows:
    codes = codes_of(cells)
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    place = np.full(len(counts), len(order))
    place[order] = np.arange(len(order))
    return np.asarray(place[codes], dtype=np.intp)


def _one_hot(codes: Rows) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), int(codes.max()) + 1))


def _told(
    given: Delivery,
    found: Confident,
    p: Floats,
    truth: Rows,
    names: list[str],
    rows: Rows,
    by: str,
    known: float | None,
) -> Answer:
    limit = given.settings.delivery.label_noise
    if not np.isfinite(found.share):
        why = "no row is confident enough to count"
        return answer(DeliveryQuestion.LABEL_NOISE, ASKS, Verdict.NOT_ENOUGH, why)
    right = float((p.argmax(axis=1) == truth).mean()) if known is None else known
    common = float(np.bincount(truth).max()) / len(truth)
    verdict = within(found.low, found.high, limit)
    reason = (
        f"about {words.share(found.share)} of the labels ({words.share(found.low)} to {words.share(found.high)}), "
        f"allowed {words.share(limit)}; {words.counted(len(found.suspects))} of {words.counted(len(truth))} rows "
        f"suspect, by {by} (right in {words.share(right)}); classes that overlap look the same as wrong labels"
    )
    if right <= common or (right < JUDGE and verdict is Verdict.FAIL):
        verdict = Verdict.NOT_ENOUGH
        reason += "; a model that is right so seldom is no judge of labels"
    suspects = [
        {"row": int(rows[i]), "given": names[truth[i]], "suggested": names[j], "belief": round(float(p[i, j]), 4)}
        for i, j in zip(found.suspects[:MOST_KEPT].tolist(), found.suggested[:MOST_KEPT].tolist(), strict=True)
    ]
    pairs = _pairs(found.joint, names)
    numbers = {
        "share": found.share,
        "low": found.low,
        "high": found.high,
        "limit": limit,
        "rows": len(truth),
        "right": right,
        "suspects": suspects,
        "pairs": [{"given": a, "likely": b, "share": share} for share, a, b in pairs],
    }
    shown = [_row(given, one) for one in suspects[:MOST_SHOWN]]
    head = ("training row", "label", "likely", "belief", "text")
    notes = [f"{words.short(a)} that is likely {words.short(b)}: {words.share(s)} of all rows" for s, a, b in pairs[:5]]
    table = [head, *shown] if shown else ()
    return answer(DeliveryQuestion.LABEL_NOISE, ASKS, verdict, reason, numbers=numbers, table=table, notes=notes)


def _row(given: Delivery, one: dict[str, Any]) -> tuple[str, ...]:
    text = next((f.name for f in given.contract.features if f.type.value == "text"), None)
    shown = ""
    if text is not None:
        value = given.train[text][one["row"]]
        shown = words.short("" if value is None else value, CHARS) if given.shows_values else "(personal)"
    return (
        str(one["row"]),
        words.short(one["given"]),
        words.short(one["suggested"]),
        f"{one['belief']:.2f}",
        shown,
    )


def _pairs(joint: Floats, names: list[str]) -> list[tuple[float, str, str]]:
    off = joint.copy()
    np.fill_diagonal(off, 0.0)
    order = np.argsort(-off, axis=None, kind="stable")[:10]
    found = [(float(off.flat[i]), names[i // len(names)], names[i % len(names)]) for i in order.tolist()]
    return [one for one in found if one[0] > 0]
