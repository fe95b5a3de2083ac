"""Gate checks on how the model behaves, whatever its quality: it answers, in numbers, and row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, FieldType
from mainstay.core.trials import Measured
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.load import LoadedModel
from mainstay.release.metrics import Labelled

TOLERANCE = 1e-9
"""Largest difference of one row's output between two ways of asking."""
LARGE_TOLERANCE = 1e-6
"""The same for a large batch: single-precision libraries add up in another order there; `mainstay replay` allows it."""
INDEPENDENCE_ROWS = 200
SINGLES = 25
RELATED = 5
LARGE_BATCH = 1024
"""As large as serving's largest."""
MIN_LATENCIES = 100


def contract_and_signature(
    output: NDArray[np.float64], model: LoadedModel, contract: Contract, data: Labelled
) -> Check:
    """Ask whether every test row got an answer in the declared classes."""
    wanted = (len(data), len(contract.classes)) if contract.task.is_classification else (len(data),)
    wrong = []
    if contract.task.is_classification and tuple(model.classes) != tuple(contract.classes):
        wrong.append(f"its classes are {list(model.classes)}; declared are {list(contract.classes)}")
    if output.shape != wanted:
        wrong.append(f"its output has shape {output.shape}; expected is {wanted}")
    return Check(
        name="contract_and_signature",
        question="Does the model answer every test row, in the declared classes?",
        verdict=Verdict.FAIL if wrong else Verdict.PASS if len(data) else Verdict.NOT_ENOUGH,
        reason="; ".join(wrong) or f"{len(data)} test rows answered",
        numbers={"rows": len(data), "classes": list(model.classes)},
    )


def finite_output(output: NDArray[np.float64], contract: Contract) -> Check:
    """Ask whether every output is a finite number, and every row of probabilities sums to 1."""
    finite = np.isfinite(output)
    bad = int((~(finite if output.ndim == 1 else finite.all(axis=1))).sum())
    off = 0
    if contract.task.is_classification and not bad and output.ndim == 2:
        off = int((np.abs(output.sum(axis=1) - 1.0) > 1e-6).sum() + (output < 0.0).any(axis=1).sum())
    verdict = Verdict.FAIL if bad or off else Verdict.PASS if len(output) else Verdict.NOT_ENOUGH
    return Check(
        name="finite_output",
        question="Is every output a finite number, and every set of probabilities one?",
        verdict=verdict,
        reason=f"{bad} rows with NaN or infinity and {off} that are no probabilities, of {len(output)}",
        numbers={"rows": len(output), "not_finite": bad, "no_probabilities": off},
    )


def row_independence(model: LoadedModel, data: Labelled, seed: int) -> Check:
    """Ask whether a row's answer stays the same when it is asked again, in other orders, batches and company.

    Found so: code that looks at its whole frame (standardises, ranks, fills with means), at neighbours or the place of
    a row, at other rows of the same key or equal ones (counts, means over a key), at the size of a batch, and models
    that remember or draw lots.
    """
    rows = list(data.rows[:INDEPENDENCE_ROWS])
    question = "Is one row's answer the same in any order, any batch and any company?"
    if len(rows) < 2:
        why = f"{len(rows)} test rows; at least 2 are needed"
        return Check(name="row_independence", question=question, verdict=Verdict.NOT_ENOUGH, reason=why)
    whole = model.predict(rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = np.empty_like(whole)
    shuffled[order] = model.predict([rows[i] for i in order])
    half = len(rows) // 2
    split = np.concatenate([model.predict(rows[:half]), model.predict(rows[half:])])
    singles = np.concatenate([model.predict([row]) for row in rows[:SINGLES]])
    company = model.predict([rows[0], *[rows[-1]] * 50])[:1]
    few = rows[:SINGLES]
    copies = model.predict(few * 3)
    related = np.concatenate(
        [model.predict(_with_relatives(model, few, place))[:1] for place in range(len(few))[:RELATED]]
    )
    large = model.predict((rows * (LARGE_BATCH // len(rows) + 1))[:LARGE_BATCH])[: len(rows)]
    gaps = {
        "shuffled": _gap(shuffled, whole),
        "split": _gap(split, whole),
        "one by one": _gap(singles, whole[: len(singles)]),
        "batched with strangers": _gap(company, whole[:1]),
        "batched with copies of themselves": _gap(copies, np.concatenate([whole[: len(few)]] * 3)),
        "batched with others of the same key": _gap(related, whole[: len(related)]),
        "asked again": _gap(model.predict(rows), whole),
    }
    changed = {how: gap for how, gap in gaps.items() if not gap <= TOLERANCE}
    gaps["in a large batch"] = _gap(large, whole)
    if not gaps["in a large batch"] <= LARGE_TOLERANCE:
        changed["in a large batch"] = gaps["in a large batch"]
    told = ", ".join(f"{how} by up to {gap:.3g}" for how, gap in changed.items())
    return Check(
        name="row_independence",
        question=question,
        verdict=Verdict.FAIL if changed else Verdict.PASS,
        reason=f"answers change when rows are {told}; allowed: {TOLERANCE:g}"
        if changed
        else f"{len(rows)} rows gave the same answers in eight ways (within {TOLERANCE:g})",
        numbers={"rows": len(rows), **gaps},
    )


def _with_relatives(model: LoadedModel, rows: Sequence[Mapping[str, Any]], place: int) -> list[Mapping[str, Any]]:
    """Return a row and others that differ from it in everything but what names its unit: key and identifiers."""
    contract, mine = model.contract, rows[place]
    names = [f.name for f in contract.fields if f.name == contract.key or f.type is FieldType.IDENTIFIER]
    others = [row for number, row in enumerate(rows) if number != place]
    return [mine, *({**row, **{name: mine.get(name) for name in names}} for row in others)]


def no_pickle(model: LoadedModel) -> Check:
    """Ask whether the model answers without its pickle, as `[serve] pickles = "never"` wants it."""
    compiled = model.program is not None
    return Check(
        name="no_pickle",
        question="Does it answer without loading a pickle?",
        verdict=Verdict.PASS if compiled else Verdict.FAIL,
        reason="it is compiled"
        if compiled
        else "it does not compile, and [serve] pickles = 'never'; choose an estimator that does, or set 'own'",
    )


def latency(found: Measured, max_p99_ms: float) -> Check:
    """Ask whether one row is answered quickly enough by the artefact in a server of its own, over HTTP.

    Of several rounds the one with the least 99th percentile counts: what else runs can only slow an answer down. Beyond
    the limit it FAILs; but where the median is within it, and a request that asks nothing of the model takes half of
    the limit by itself (99th percentile), the machine is too busy to say: NOT_ENOUGH.
    """
    question = f"Are 99 of 100 single rows answered within {max_p99_ms:g} ms by a real server?"
    best = min(found.rounds, key=lambda one: _quantile(one.answered_ms, 0.99), default=None)
    if best is None or len(best.answered_ms) < MIN_LATENCIES:
        why = f"{0 if best is None else len(best.answered_ms)} timings; at least {MIN_LATENCIES} are needed"
        if found.answers.verdict is not Verdict.PASS:
            why = f"it was not timed: {found.answers.reason}"
        return Check(name="latency", question=question, verdict=Verdict.NOT_ENOUGH, reason=why)
    p50, p99 = _quantile(best.answered_ms, 0.5), _quantile(best.answered_ms, 0.99)
    empty = _quantile(best.empty_ms, 0.99) if best.empty_ms else 0.0
    verdict = Verdict.PASS if math.isfinite(p99) and p99 <= max_p99_ms else Verdict.FAIL
    busy = verdict is Verdict.FAIL and p50 <= max_p99_ms and empty > max_p99_ms / 2 and math.isfinite(p99)
    told = f"p99 {p99:.2f} ms, median {p50:.2f} ms, allowed {max_p99_ms:g} ms (best of {len(found.rounds)} rounds of "
    told += f"{len(best.answered_ms)} requests; p99 of a request that asks nothing {empty:.2f} ms)"
    told += "" if found.per_second is None else f"; {found.per_second:.0f} rows a second by several connections"
    told += "" if found.cold_s is None else f"; ready {found.cold_s:.1f} s after its start"
    return Check(
        name="latency",
        question=question,
        verdict=Verdict.NOT_ENOUGH if busy else verdict,
        reason=f"{told}: the machine is too busy to say" if busy else told,
        numbers={
            "timings": len(best.answered_ms),
            "rounds": len(found.rounds),
            "p50_ms": p50,
            "p99_ms": p99 if math.isfinite(p99) else None,
            "empty_p99_ms": empty,
            "per_second": found.per_second,
            "cold_s": found.cold_s,
            "max_p99_ms": max_p99_ms,
        },
    )


def memory(found: Measured, max_memory_mb: float | None) -> Check:
    """Ask how much memory a worker takes for it, beyond what it took before it loaded anything."""
    question = "How much memory does a worker take for it?"
    took, empty = found.memory_mb, found.empty_mb
    told = (
        "it was not measured"
        if took is None or empty is None
        else f"{took:.0f} MB beyond the {empty:.0f} MB of a worker that serves nothing"
    )
    if max_memory_mb is None:
        verdict = Verdict.NOT_ENOUGH
        told += "; no [gate] max_memory_mb is declared: nothing was asked"
    elif took is None or not math.isfinite(took):
        verdict = Verdict.NOT_ENOUGH
    else:
        verdict = Verdict.PASS if took <= max_memory_mb else Verdict.FAIL
        told += f", allowed {max_memory_mb:g} MB"
    return Check(
        name="memory",
        question=question,
        verdict=verdict,
        reason=told,
        numbers={"mb": took, "empty_mb": empty, "max_mb": max_memory_mb},
        applies=max_memory_mb is not None,
    )


def _quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile; NaN and no value count as endless."""
    if not len(values):
        return math.inf
    ordered = sorted(math.inf if math.isnan(value) else value for value in values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def size(bundle_path: Path, max_bundle_mb: float) -> Check:
    """Ask whether the bundle is small enough to be shipped and held."""
    files = [path for path in bundle_path.rglob("*") if path.is_file()] if bundle_path.is_dir() else []
    mb = sum(path.stat().st_size for path in files) / 1e6
    verdict = Verdict.NOT_ENOUGH if not files else Verdict.PASS if mb <= max_bundle_mb else Verdict.FAIL
    return Check(
        name="size",
        question=f"Is the bundle at most {max_bundle_mb:g} MB?",
        verdict=verdict,
        reason=f"{mb:.2f} MB in {len(files)} files, allowed {max_bundle_mb:g} MB",
        numbers={"mb": mb, "files": len(files), "max_mb": max_bundle_mb},
    )


def _gap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the largest difference; shapes that differ and NaN beside a number count as infinite."""
    if one.shape != other.shape:
        return math.inf
    gap = np.abs(one - other)
    same_nan = np.isnan(one) & np.isnan(other)
    return float(np.where(same_nan, 0.0, np.where(np.isnan(gap), np.inf, gap)).max(initial=0.0))
