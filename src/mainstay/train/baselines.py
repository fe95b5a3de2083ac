"""What a version is held against besides the champion: an answer that looks at nothing, and a simple model.

A model that does not beat the first learned nothing that counts; one that does not beat the second costs its complexity
for nothing. Both are fitted on the version's own training rows and asked about the same test rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract, Field, FieldType
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.answers import Answer
from mainstay.models.calibration import Calibration
from mainstay.train import decide
from mainstay.train.evaluate import (
    HIGHER_IS_BETTER,
    METRICS,
    Outcome,
    finite,
    limits,
    outcome_of_answers,
    outcome_of_output,
    redrawn,
)
from mainstay.train.fit import Rows, quiet
from mainstay.train.folds import group_codes

MOST_ROWS = 20_000
"""Training rows that the simple model learns from at most."""
MOST_VALUES = 100
"""Commonest values of a category that it tells apart."""
MOST_WORDS = 20_000
DRAWS = 300
LIMITS = (0.05, 0.95)
TRIVIAL, SIMPLE = "trivial", "simple"
QUESTION = "Is the candidate better than an answer that looks at nothing, and than a simple model?"
_NUMBERS = (FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN)


def measure(
    contract: Contract, said: Sequence[Answer], train: Rows, test: Rows, classes: tuple[str, ...], settings: Settings
) -> dict[str, Any]:
    """Return for `trivial` and `simple`: `value` of the primary metric, `gain` of the candidate over it, `low`, `high`.

    `gain`: how much better the candidate is (more is better, also for errors), with one-sided 95 % limits by drawing
    whole keys of the test rows anew. `why_not` where the simple model could not be fitted.
    """
    metric = settings.evaluate.primary
    mine = outcome_of_answers(said, test.truth, classes, groups=test.groups, at=settings.evaluate.at)
    report: dict[str, Any] = {"metric": metric, "rows": len(test)}
    for name, predict in ((TRIVIAL, _trivial), (SIMPLE, _simple)):
        with quiet():
            output = predict(contract, train, test, classes, settings.project.seed)
        if isinstance(output, str):
            report[name] = {"value": None, "gain": None, "low": None, "high": None, "why_not": output}
            continue
        theirs = outcome_of_output(
            output,
            Calibration(rows=0),
            test.truth,
            classes,
            groups=test.groups,
            at=settings.evaluate.at,
            decision=decide.declared(settings, classes),
        )
        report[name] = _compare(metric, mine, theirs, group_codes(test), settings.project.seed)
    return report


def check(report: Mapping[str, Any] | None, judged: Sequence[str]) -> Check:
    """Judge the baselines that [gate] beats names: shown to be beaten passes, shown not to fails; report the others."""
    if report is None:
        why = "nothing was measured: the candidate was not trained here on rows of its own, or saw the test rows"
        return Check(name="beats", question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=bool(judged))
    told, verdicts = [], {}
    for name in (TRIVIAL, SIMPLE):
        found = report[name]
        verdicts[name] = _verdict(found)
        told.append(_told(name, report["metric"], found))
    asked = [verdicts[name] for name in judged]
    worst = next((one for one in (Verdict.FAIL, Verdict.NOT_ENOUGH) if one in asked), Verdict.PASS)
    return Check(
        name="beats",
        question=QUESTION,
        verdict=worst if asked else Verdict.NOT_ENOUGH,
        reason="; ".join(told)
        + f" ({report['rows']} test rows, one-sided 95 %)"
        + ("" if asked else "; reported only: [gate] beats names none"),
        numbers=dict(report),
        applies=bool(asked),
    )


def shortfall(report: Mapping[str, Any] | None) -> str:
    """Return what a person must know of a version that is not shown to beat a simple model or nothing; else nothing."""
    told = [
        _told(name, report["metric"], report[name])
        for name in (TRIVIAL, SIMPLE)
        if report is not None and report[name]["gain"] is not None and _verdict(report[name]) is not Verdict.PASS
    ]
    return "; ".join(told) and f"is it worth its complexity? {'; '.join(told)}"


def _verdict(found: Mapping[str, Any]) -> Verdict:
    if found["low"] is None or found["high"] is None:
        return Verdict.NOT_ENOUGH
    return Verdict.PASS if found["low"] > 0 else Verdict.FAIL if found["high"] <= 0 else Verdict.NOT_ENOUGH


def _told(name: str, metric: str, found: Mapping[str, Any]) -> str:
    what = "an answer that looks at nothing" if name == TRIVIAL else "a simple model"
    if found["gain"] is None:
        return f"{what} could not be compared: {found.get('why_not') or 'the metric cannot be computed'}"
    if found["low"] is None:
        return f"{what}: {metric} {found['value']:.4f}, {found['gain']:+.4f}, without an interval"
    verdict = _verdict(found)
    word = (
        "beats" if verdict is Verdict.PASS else "does not beat" if verdict is Verdict.FAIL else "is not shown to beat"
    )
    bounds = f"{found['gain']:+.4f}, {found['low']:+.4f} to {found['high']:+.4f}"
    return f"it {word} {what} ({metric} {found['value']:.4f}; {bounds})"


def _compare(metric: str, mine: Outcome, theirs: Outcome, groups: NDArray[np.int64], seed: int) -> dict[str, Any]:
    if not len(groups):
        return {"value": None, "gain": None, "low": None, "high": None, "why_not": "there is no test row"}
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0

    def gain(index: NDArray[np.int64]) -> float:
        return sign * (METRICS[metric](mine, index) - METRICS[metric](theirs, index))

    whole = np.arange(len(groups))
    low, high = limits(redrawn(gain, groups, random=np.random.default_rng(seed), draws=DRAWS), LIMITS)
    return {
        "value": finite(METRICS[metric](theirs, whole)),
        "gain": finite(gain(whole)),
        "low": low,
        "high": high,
    }


def _trivial(
    contract: Contract, train: Rows, test: Rows, classes: tuple[str, ...], _seed: int
) -> NDArray[np.float64] | str:
    """Return the shares of the training classes, or the mean of its numbers, for every row."""
    if not contract.task.is_classification:
        return np.full(len(test), float(np.mean(train.truth)) if len(train) else 0.0)
    counts = Counter(train.truth.tolist())
    shares = np.array([counts.get(name, 0) for name in classes], dtype=np.float64)
    return np.tile(shares / max(shares.sum(), 1.0), (len(test), 1))


def _simple(
    contract: Contract, train: Rows, test: Rows, classes: tuple[str, ...], seed: int
) -> NDArray[np.float64] | str:
    """Return a linear model's output: words weighed by rarity, commonest categories, numbers in units of σ."""
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression, Ridge

    rows = train
    if len(train) > MOST_ROWS:
        rows = train.take(np.sort(np.random.default_rng(seed).permutation(len(train))[:MOST_ROWS]))
    blocks = [_block(field, rows.values, test.values) for field in contract.features]
    known = [block for block in blocks if block is not None]
    if not known or not len(test):
        return "there is no feature that it could use"
    fitted, asked = hstack([a for a, _ in known]).tocsr(), hstack([b for _, b in known]).tocsr()
    if not contract.task.is_classification:
        return np.asarray(Ridge(alpha=1.0).fit(fitted, rows.truth).predict(asked), dtype=np.float64)
    if len(set(rows.truth.tolist())) < 2:
        return "the training rows hold one class"
    model = LogisticRegression(max_iter=200).fit(fitted, rows.truth)
    output = np.zeros((len(test), len(classes)))
    places = {name: i for i, name in enumerate(classes)}
    output[:, [places[str(name)] for name in model.classes_]] = model.predict_proba(asked)
    return output


def _block(field: Field, train: Sequence[Mapping[str, Any]], test: Sequence[Mapping[str, Any]]) -> Any:
    """Return a field as two sparse matrices of equal width, None where it tells a simple model nothing."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    before, after = ([row.get(field.name) for row in rows] for rows in (train, test))
    if field.type is FieldType.TEXT:
        words = TfidfVectorizer(max_features=MOST_WORDS, sublinear_tf=True)
        try:
            return words.fit_transform([value or "" for value in before]), words.transform([v or "" for v in after])
        except ValueError:  # no word in any text
            return None
    if field.type is FieldType.CATEGORY:
        common = [name for name, _ in Counter(str(value) for value in before).most_common(MOST_VALUES)]
        place = {name: i for i, name in enumerate(common)}
        coded = ([place.get(str(value), len(place)) for value in part] for part in (before, after))
        return tuple(_one_hot(codes, len(place) + 1) for codes in coded)
    if field.type not in _NUMBERS:
        return None
    numbers = np.array([np.nan if value is None else float(value) for value in before])
    if not np.isfinite(numbers).any():
        return None
    mean, spread = float(np.nanmean(numbers)), float(np.nanstd(numbers)) or 1.0
    found = []
    for part in (before, after):
        missing = np.array([value is None for value in part], dtype=np.float64)
        scaled = np.array([0.0 if value is None else (float(value) - mean) / spread for value in part])
        found.append(csr_matrix(np.column_stack([scaled, missing])))
    return tuple(found)


def _one_hot(codes: Sequence[int], width: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), np.array(codes))), shape=(len(codes), width))
