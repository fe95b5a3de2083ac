"""Banking77 with 1 to 40 % of the feedback labels flipped: which retrained versions do harm, and which are let through.

The champion is fitted on the project's own rows. Feedback comes from made-up customers, of whom a few write much; some
of its labels are flipped: `random` (any other class), `one_class` (all to one class), `few_keys` (all labels of some
customers, to one class each). A candidate is fitted on own rows and feedback, its labels looked at and judged by
the parts that `mainstay train` uses: the cap for each key, suspects by out-of-fold answers (train.label_noise), the
gate's comparison on trusted rows (release.quality.not_worse). Harm is what the clean test rows say, which no part of
this sees: accuracy lost against the champion, above the declared margin. The model is a ridge classifier on a
latent space of hashed words and word pairs, so that a refit is a matrix product.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from mainstay.core.verdicts import Verdict
from mainstay.release import metrics, quality
from mainstay.train import label_noise
from mainstay.train.fit import Rows
from mainstay.train.folds import OutOfFold

DATA = Path(__file__).parents[2] / "shared" / "data" / "banking77"
KINDS = ("random", "one_class", "few_keys")
RIDGE = 0.5
SHARP = 12.0
"""Of the softmax that makes probabilities of a ridge classifier's scores."""
FOLDS = 5
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """The rows in their latent space."""

    x: Floats
    y: Codes
    test_x: Floats
    test_y: Codes
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one seed."""

    kind: str
    rate: float
    loss: float
    """Accuracy lost on the clean test rows against the champion; below 0: gained."""
    passed: bool
    left_out: int
    excess: float


def read(folder: Path = DATA, *, width: int = 300) -> Bank:
    """Return the rows, hashed and projected once."""
    told = []
    for name in ("train", "test"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            told.append([(row["text"], row["category"]) for row in csv.DictReader(file)])
    names = sorted({label for rows in told for _, label in rows})
    code = {name: number for number, name in enumerate(names)}
    hashed = HashingVectorizer(n_features=2**15, ngram_range=(1, 2), alternate_sign=False, norm=None)
    weigh = TfidfTransformer(sublinear_tf=True)
    squeeze = TruncatedSVD(width, random_state=0)
    train = squeeze.fit_transform(weigh.fit_transform(hashed.transform([text for text, _ in told[0]])))
    test = squeeze.transform(weigh.transform(hashed.transform([text for text, _ in told[1]])))
    return Bank(
        x=_unit(train),
        y=np.array([code[label] for _, label in told[0]]),
        test_x=_unit(test),
        test_y=np.array([code[label] for _, label in told[1]]),
        classes=len(names),
    )


def _unit(x: Floats) -> Floats:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def fit(x: Floats, y: Codes, classes: int) -> Floats:
    """Return the weights of a ridge classifier, shape (width, classes)."""
    hot = np.zeros((len(y), classes))
    hot[np.arange(len(y)), y] = 1.0
    return np.asarray(np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ hot))


def chances(x: Floats, weights: Floats) -> Floats:
    """Return probabilities, shape (n, classes)."""
    raw = SHARP * (x @ weights)
    raw -= raw.max(axis=1, keepdims=True)
    e = np.exp(raw)
    return e / e.sum(axis=1, keepdims=True)


def customers(rng: np.random.Generator, n: int) -> Codes:
    """Return who wrote each of n rows: a few write much (Zipf), most once or twice."""
    weight = 1.0 / np.arange(1, n // 3 + 1) ** 0.7
    return rng.choice(len(weight), n, p=weight / weight.sum()).astype(np.int64)


def flip(rng: np.random.Generator, kind: str, rate: float, y: Codes, keys: Codes, classes: int) -> Codes:
    """Return the labels with about `rate` of them flipped."""
    out = y.copy()
    if kind == "few_keys":
        wrong = 0
        for key in rng.permutation(np.unique(keys)):
            if wrong >= rate * len(y):
                break
            mine = keys == key
            out[mine] = rng.integers(classes)
            wrong += int((out[mine] != y[mine]).sum())
        return out
    chosen = rng.random(len(y)) < rate
    if kind == "random":
        out[chosen] = (y[chosen] + rng.integers(1, classes, int(chosen.sum()))) % classes
    else:
        out[chosen] = rng.integers(classes)
    return out


def capped(keys: Codes, most: int) -> Codes:
    """Return the positions that count: the newest `most` of each key, as retrain.dataset takes them."""
    seen: Counter[int] = Counter()
    kept = []
    for place in range(len(keys) - 1, -1, -1):
        if seen[int(keys[place])] < most:
            seen[int(keys[place])] += 1
            kept.append(place)
    return np.array(kept[::-1], dtype=np.int64)


def held_out(x: Floats, y: Codes, fold: Codes, classes: int) -> OutOfFold:
    """Return out-of-fold probabilities."""
    out = np.zeros((len(y), classes))
    for number in range(FOLDS):
        outside = fold == number
        out[outside] = chances(x[outside], fit(x[~outside], y[~outside], classes))
    return OutOfFold(output=out, fold=fold)


def scored(weights: Floats, x: Floats, y: Codes) -> metrics.Scored:
    """Return answers beside the truth, as the gate compares them."""
    said = (x @ weights).argmax(axis=1)
    right = (said == y).astype(np.float64)
    nothing = np.full(len(y), np.nan)
    return metrics.Scored(truth=y, predicted=said, right=right, confidence=nothing, true_probability=nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How the rows are dealt, and what is declared."""

    own: int
    feedback: int
    margin: float
    confidence: float
    cap: int
    leave_out: bool


def run(bank: Bank, design: Design, kind: str, seed: int) -> Outcome:
    """Poison, retrain and judge once."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    rate = float(rng.uniform(0.01, 0.40))
    order = rng.permutation(len(bank.y))
    own, told, trusted = np.split(order, [design.own, design.own + design.feedback])
    champion = fit(bank.x[own], bank.y[own], bank.classes)
    keys = customers(rng, len(told))
    labels = flip(rng, kind, rate, bank.y[told], keys, bank.classes)
    counted = capped(keys, design.cap)
    told, labels, keys = told[counted], labels[counted], keys[counted]
    x, y = bank.x[np.concatenate([own, told])], np.concatenate([bank.y[own], labels])
    every = np.concatenate([np.arange(len(own)) + int(keys.max()) + 1, keys])
    left_out, excess = 0, float("nan")
    if design.leave_out:
        names = [str(number) for number in range(bank.classes)]
        rows = Rows(
            values=[{}] * len(y),
            truth=y.astype(str),
            keys=every.tolist(),
            is_traffic=np.arange(len(y)) >= len(own),
        )
        fold = rng.integers(0, FOLDS, int(every.max()) + 1)[every]  # rows of one key are left out together
        learned = held_out(x, y, fold, bank.classes)
        found = label_noise.measure(rows, learned, names)
        if found is None:
            raise SystemExit("too few rows to look at their labels")
        excess, keep = float(found.facts["excess"]), found.keep
        without = held_out(x[keep], y[keep], fold[keep], bank.classes)
        if label_noise.is_better_without(rows, learned, rows.take(np.flatnonzero(keep)), without, names):
            left_out = int((~keep).sum())
            x, y = x[keep], y[keep]
    candidate = fit(x, y, bank.classes)
    data = metrics.Labelled(rows=[{}] * len(trusted), truth=bank.y[trusted].tolist())
    check = quality.not_worse(
        "not_worse",
        scored(candidate, bank.x[trusted], bank.y[trusted]),
        scored(champion, bank.x[trusted], bank.y[trusted]),
        data,
        {"accuracy": design.margin},
        seed,
        confidence=design.confidence,
    )
    right = [scored(w, bank.test_x, bank.test_y).right.mean() for w in (champion, candidate)]
    return Outcome(
        kind=kind,
        rate=rate,
        loss=float(right[0] - right[1]),
        passed=check.verdict is Verdict.PASS,
        left_out=left_out,
        excess=excess,
    )


def told_of(outcomes: list[Outcome], margin: float) -> dict[str, float]:
    """Return how harmful and harmless candidates were judged."""
    harmful = [one for one in outcomes if one.loss > margin]
    harmless = [one for one in outcomes if one.loss <= margin]
    losses = np.array([one.loss for one in outcomes])
    return {
        "seeds": len(outcomes),
        "harmful": len(harmful),
        "harmful_refused": sum(not one.passed for one in harmful),
        "harmless": len(harmless),
        "harmless_passed": sum(one.passed for one in harmless),
        "loss_median": float(np.median(losses)),
        "loss_worst": float(losses.max()),
    }


def main() -> None:
    """Print the table, and write it with --write."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=200)
    asked.add_argument("--own", type=int, default=3000)
    asked.add_argument("--feedback", type=int, default=4000)
    asked.add_argument("--margin", type=float, default=0.02)
    asked.add_argument("--confidence", type=float, default=0.99)
    asked.add_argument("--cap", type=int, default=20)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    bank = read()
    found = {}
    for leave_out in (False, True):
        design = Design(
            own=given.own,
            feedback=given.feedback,
            margin=given.margin,
            confidence=given.confidence,
            cap=given.cap,
            leave_out=leave_out,
        )
        for kind in KINDS:
            outcomes = [run(bank, design, kind, seed) for seed in range(given.seeds)]
            name = f"{kind}, {'suspects left out' if leave_out else 'all labels learned'}"
            found[name] = told_of(outcomes, given.margin)
            one = found[name]
            print(
                f"{name}: {one['harmful_refused']} of {one['harmful']} harmful refused, {one['harmless_passed']} of "
                f"{one['harmless']} harmless passed; loss {one['loss_median']:+.3f} (worst {one['loss_worst']:+.3f})",
                flush=True,
            )
    if given.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
