"""Banking77 with 1 to 40 % of the feedback labels flipped: which retrained versions do harm, and which are let through.

The champion is fitted on the project's own rows. Feedback comes from made-up customers, of whom a few write much; some
of its labels are flipped: `random` (any other class), `one_class` (all to one class), `pairs` (every label of some
classes to another one each), `few_keys` (all labels of some customers, to one class each), `one_key` (one customer
wrote all that is flipped). A candidate is fitted on own rows and feedback, its labels looked at and judged by
the parts that `mainstay train` uses: the cap for each key, suspects by out-of-fold answers (train.label_noise), the
gate's comparison on trusted rows (release.quality.not_worse). Harm is what the clean test rows say, which no part of
this sees: accuracy lost against the champion, above the declared margin. Two models on a latent space of hashed words
and word pairs: a ridge classifier, whose refit is a matrix product, and the nearest neighbour, which learns every
wrong label by heart.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from mainstay.core.verdicts import Verdict
from mainstay.release import metrics, quality
from mainstay.stats.intervals import clopper_pearson
from mainstay.train import label_noise
from mainstay.train.fit import Rows
from mainstay.train.folds import OutOfFold

DATA = Path(__file__).parents[2] / "shared" / "data" / "banking77"
KINDS = ("random", "one_class", "few_keys", "pairs", "one_key")
MODELS = ("ridge", "nearest")
CONFIDENCES = (0.95, 0.99)
"""One-sided, at which the gate compares: the default, and what is advised where labels may be poisoned."""
BANDS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03)
"""Accuracy lost, between which it is told how many passed."""
RIDGE = 0.5
SHARP = 12.0
"""Of the softmax that makes probabilities of a ridge classifier's scores."""
FOLDS = 5
NEIGHBOURS = 200
"""So many of each row are looked at; some are always known."""
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
    near: Codes
    """Of every training row the NEIGHBOURS others that are nearest, the nearest first; empty where nobody asks."""
    test_near: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one seed."""

    kind: str
    seed: int
    rate: float
    loss: float
    """Accuracy lost on the clean test rows against the champion; below 0: gained."""
    seen: float
    """Accuracy lost on the trusted rows, which the gate sees."""
    error: float
    """Standard error of `seen`."""
    passed: dict[str, bool]
    """By the gate's confidence."""
    left_out: int
    excess: float


def read(folder: Path = DATA, *, width: int = 300, neighbours: bool = True) -> Bank:
    """Return the rows, hashed and projected once; with `neighbours` how near each is to each."""
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
    x, test_x = _unit(train), _unit(test)
    nothing = np.zeros((0, 0), dtype=np.int64)
    return Bank(
        x=x,
        y=np.array([code[label] for _, label in told[0]]),
        test_x=test_x,
        test_y=np.array([code[label] for _, label in told[1]]),
        classes=len(names),
        near=_nearest(x, x)[:, 1:] if neighbours else nothing,
        test_near=_nearest(test_x, x) if neighbours else nothing,
    )


def _nearest(some: Floats, known: Floats) -> Codes:
    """Return for each row the nearest of `known`, nearest first, shape (n, NEIGHBOURS + 1); a row is nearest itself."""
    found = np.zeros((len(some), NEIGHBOURS + 1), dtype=np.int64)
    those = known.astype(np.float32).T
    for start in range(0, len(some), 500):
        like = some[start : start + 500].astype(np.float32) @ those
        if some is known:
            like[np.arange(len(like)), start + np.arange(len(like))] = 2.0
        top = np.argpartition(-like, NEIGHBOURS, axis=1)[:, : NEIGHBOURS + 1]
        order = np.argsort(-np.take_along_axis(like, top, axis=1), axis=1, kind="stable")
        found[start : start + 500] = np.take_along_axis(top, order, axis=1)
    return found


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
    if kind == "pairs":
        order = rng.permutation(classes)
        for one, other in zip(order, np.roll(order, 1), strict=True):
            if (out != y).sum() >= rate * len(y):
                break
            out[y == one] = other
        return out
    if kind == "one_key":
        out[keys == keys.max()] = rng.integers(classes)
        return out
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model over rows of the bank, by their numbers."""

    bank: Bank
    name: str

    def answers(self, known: Codes, labels: Codes) -> Callable[[Codes], Codes]:
        """Return what a model fitted to rows `known` says of training rows; of test rows for numbers below 0."""
        bank = self.bank
        if self.name == "ridge":
            weights = fit(bank.x[known], labels, bank.classes)
            return lambda rows: (_x(bank, rows) @ weights).argmax(axis=1)
        told = np.full(len(bank.y), -1)
        told[known] = labels
        return lambda rows: _first(told[bank.test_near if rows[0] < 0 else bank.near[rows]])

    def held_out(self, known: Codes, labels: Codes, fold: Codes) -> OutOfFold:
        """Return out-of-fold probabilities of rows `known`."""
        bank = self.bank
        out = np.zeros((len(known), bank.classes))
        if self.name == "nearest":
            told, place = np.full(len(bank.y), -1), np.full(len(bank.y), -1)
            told[known], place[known] = labels, fold
            near = bank.near[known]
            said = _first(np.where(place[near] == fold[:, None], -1, told[near]))
            out[np.arange(len(known)), said] = 1.0
            return OutOfFold(output=out, fold=fold)
        for number in range(FOLDS):
            outside = fold == number
            weights = fit(bank.x[known[~outside]], labels[~outside], bank.classes)
            out[outside] = chances(bank.x[known[outside]], weights)
        return OutOfFold(output=out, fold=fold)


def _x(bank: Bank, rows: Codes) -> Floats:
    return bank.test_x if rows[0] < 0 else bank.x[rows]


def _first(told: Codes) -> Codes:
    """Return of each row the first label that is known (0 or more)."""
    known = told >= 0
    if not known.any(axis=1).all():
        raise SystemExit(f"no known row among the {NEIGHBOURS} nearest of some row")
    return told[np.arange(len(told)), known.argmax(axis=1)]


def scored(said: Codes, y: Codes) -> metrics.Scored:
    """Return answers beside the truth, as the gate compares them."""
    right = (said == y).astype(np.float64)
    nothing = np.full(len(y), np.nan)
    return metrics.Scored(truth=y, predicted=said, right=right, confidence=nothing, true_probability=nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How the rows are dealt, and what is declared."""

    own: int
    feedback: int
    margin: float
    cap: int
    leave_out: bool
    model: str = "ridge"


def run(bank: Bank, design: Design, kind: str, seed: int) -> Outcome:
    """Poison, retrain and judge once."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    learner = Learner(bank=bank, name=design.model)
    rate = float(rng.uniform(0.01, 0.40))
    order = rng.permutation(len(bank.y))
    own, told, trusted = np.split(order, [design.own, design.own + design.feedback])
    champion = learner.answers(own, bank.y[own])
    keys = customers(rng, len(told))
    if kind == "one_key":
        keys[rng.random(len(told)) < rate] = int(keys.max()) + 1
    labels = flip(rng, kind, rate, bank.y[told], keys, bank.classes)
    counted = capped(keys, design.cap)
    told, labels, keys = told[counted], labels[counted], keys[counted]
    known, y = np.concatenate([own, told]), np.concatenate([bank.y[own], labels])
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
        learned = learner.held_out(known, y, fold)
        found = label_noise.measure(rows, learned, names)
        if found is None:
            raise SystemExit("too few rows to look at their labels")
        excess, keep = float(found.facts["excess"]), found.keep
        without = learner.held_out(known[keep], y[keep], fold[keep])
        if label_noise.is_better_without(rows, learned, rows.take(np.flatnonzero(keep)), without, names):
            left_out = int((~keep).sum())
            known, y = known[keep], y[keep]
    candidate = learner.answers(known, y)
    data = metrics.Labelled(rows=[{}] * len(trusted), truth=bank.y[trusted].tolist())
    mine, theirs = (scored(one(trusted), bank.y[trusted]) for one in (candidate, champion))
    passed = {}
    for confidence in CONFIDENCES:
        margins = {"accuracy": design.margin}
        check = quality.not_worse("not_worse", mine, theirs, data, margins, seed, confidence=confidence)
        passed[f"{confidence:g}"] = check.verdict is Verdict.PASS
    apart = theirs.right - mine.right
    test = np.full(1, -1)
    right = [float((one(test) == bank.test_y).mean()) for one in (champion, candidate)]
    return Outcome(
        kind=kind,
        seed=seed,
        rate=rate,
        loss=right[0] - right[1],
        seen=float(apart.mean()),
        error=float(apart.std() / np.sqrt(len(apart))),
        passed=passed,
        left_out=left_out,
        excess=excess,
    )


def told_of(outcomes: list[Outcome], margin: float, confidence: float) -> dict[str, object]:
    """Return how harmful and harmless candidates were judged, with exact 95 % intervals."""
    harmful = [one for one in outcomes if one.loss > margin]
    harmless = [one for one in outcomes if one.loss <= margin]
    losses = np.array([one.loss for one in outcomes])
    name = f"{confidence:g}"
    refused = sum(not one.passed[name] for one in harmful)
    passed = sum(one.passed[name] for one in harmless)
    edges = (-np.inf, *BANDS, np.inf)
    bands = {}
    for low, high in pairwise(edges):
        inside = [one for one in outcomes if low < one.loss <= high]
        if inside:
            bands[f"{low:g} to {high:g}"] = [sum(one.passed[name] for one in inside), len(inside)]
    return {
        "seeds": len(outcomes),
        "harmful": len(harmful),
        "harmful_refused": refused,
        "refused_interval": _interval(refused, len(harmful)),
        "harmless": len(harmless),
        "harmless_passed": passed,
        "passed_interval": _interval(passed, len(harmless)),
        "loss_median": float(np.median(losses)),
        "loss_worst": float(losses.max()),
        "error": float(np.median([one.error for one in outcomes])),
        "passed_by_loss": bands,
    }


def _interval(some: int, of: int) -> list[float] | None:
    """Return the interval of a share (Clopper, Pearson 1934), each side at 97.5 %; None of nothing."""
    if not of:
        return None
    low, high = clopper_pearson(some, of)[-2:]
    return [float(low), float(high)]


def main() -> None:
    """Print a line for each cell; with --out keep every outcome, so that a run that was stopped goes on."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--data", type=Path, default=DATA, help="folder with train.csv and test.csv")
    asked.add_argument("--seeds", type=int, default=200)
    asked.add_argument("--own", type=int, default=3000)
    asked.add_argument("--feedback", type=int, default=4000)
    asked.add_argument("--margin", type=float, default=0.02)
    asked.add_argument("--cap", type=int, default=20)
    asked.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    asked.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    asked.add_argument(
        "--out", type=Path, help="NDJSON with one line for each seed; those that it has are not run again"
    )
    given = asked.parse_args()
    kept: dict[tuple[str, bool, str], list[Outcome]] = {}
    if given.out and given.out.exists():
        for line in given.out.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            kept.setdefault((one.pop("model"), one.pop("leave_out"), one["kind"]), []).append(Outcome(**one))
    bank = read(given.data, neighbours="nearest" in given.models)
    began = time.process_time()
    every: list[Outcome] = []
    for model in given.models:
        for leave_out in (False, True):
            design = Design(
                own=given.own,
                feedback=given.feedback,
                margin=given.margin,
                cap=given.cap,
                leave_out=leave_out,
                model=model,
            )
            for kind in given.kinds:
                outcomes = kept.get((model, leave_out, kind), [])
                for seed in range(len(outcomes), given.seeds):
                    outcomes.append(run(bank, design, kind, seed))
                    if given.out:
                        with given.out.open("a", encoding="utf-8") as file:
                            file.write(
                                json.dumps({"model": model, "leave_out": leave_out} | asdict(outcomes[-1])) + "\n"
                            )
                every += outcomes
                _print(
                    f"{model}, {kind}, {'suspects left out' if leave_out else 'all learned'}", outcomes, given.margin
                )
    _print("all together", every, given.margin)
    print(f"{time.process_time() - began:.0f} s of processor time", flush=True)


def _print(name: str, outcomes: list[Outcome], margin: float) -> None:
    for confidence in CONFIDENCES:
        print(f"{name}, {confidence:g}: {json.dumps(told_of(outcomes, margin, confidence))}", flush=True)


if __name__ == "__main__":
    main()
