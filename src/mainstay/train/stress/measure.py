"""How much of the metric is kept when rows come as real users and broken pipelines send them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.data.request_check import compile_request_check
from mainstay.models import answers
from mainstay.models.answers import Answer
from mainstay.models.load import LoadedModel
from mainstay.train import evaluate
from mainstay.train.code import guarded, project_code
from mainstay.train.evaluate import HIGHER_IS_BETTER, METRICS, Outcome, outcome_of_model
from mainstay.train.fit import Rows, quiet
from mainstay.train.folds import group_codes
from mainstay.train.stress import fields, texts
from mainstay.train.stress.records import Kept, Kind

DRAWS = 300
LIMITS = (0.05, 0.95)
"""Quantiles of the interval: one-sided 95 % at either end."""
MIN_ROWS = 20
"""Rows from which on a field is told by itself."""
BUDGET_S, FEWEST_ROWS = 60.0, 50
"""So long it may take; a slow model is asked about fewer rows, but not below so many."""


def kinds_of(contract: Contract, rows: Rows, settings: Settings) -> list[Kind]:
    """Return the built-in kinds of harm that are asked for, in their order."""
    known = [*texts.kinds(contract), *fields.kinds(contract, rows.values)]
    wanted = settings.stress.kinds
    return [kind for kind in known if not wanted or kind.name in set(wanted)]


def measure(
    model: LoadedModel, rows: Rows, settings: Settings, *, root: Path, budget_s: float = BUDGET_S
) -> dict[str, Any]:
    """Return the report, JSON-ready: `metric`, `rows`, `kept` (a `Kept` for each kind and strength), `not_asked`.

    The same rows, seed and version give the same report, but that a slow model is asked about fewer rows. `root` is the
    project's folder, where its own kinds are. Raises ProjectFileError for a kind of the project's that cannot be
    imported or raises.
    """
    stress = settings.stress
    rows = evaluate.sampled(rows, stress.rows, settings.project.seed)
    report: dict[str, Any] = {
        "metric": settings.evaluate.primary,
        "rows": len(rows),
        "judged_at": stress.judged_at,
        "kept": [],
    }
    with project_code(root) as code, quiet():
        asked = [*kinds_of(model.contract, rows, settings), *_own(code, settings)]
        able = [kind for kind in asked if not kind.why_not]
        report["not_asked"] = {kind.name: kind.why_not for kind in asked if kind.why_not}
        report["says"] = {kind.name: kind.says for kind in able}
        if not len(rows):
            return report
        strengths = sorted({*stress.strengths, stress.judged_at})
        began = perf_counter()
        before = answers.answer(model, rows.values)
        share = budget_s / max((perf_counter() - began) * len(able) * len(strengths), 1e-9)
        if share < 1 and len(rows) > FEWEST_ROWS:
            rows = evaluate.sampled(rows, max(FEWEST_ROWS, int(share * len(rows))), settings.project.seed)
            before = answers.answer(model, rows.values)
            report["rows"] = len(rows)
        for kind in able:
            for strength in strengths:
                judged = strength == stress.judged_at
                found = _kept(model, rows, before, kind, strength, settings, with_interval=judged)
                report["kept"].append(asdict(found))
    return report


def _own(code: Any, settings: Settings) -> list[Kind]:
    found = []
    for name, reference in settings.stress.own.items():
        _, function = code.function(reference, setting=f"stress.own.{name}")

        def change(
            row: dict[str, Any], strength: float, random: Any, function: Any = function, at: str = reference
        ) -> str | None:
            before = dict(row)
            with guarded(f"stress.own: {at} raised"):
                new = function(dict(row), strength, random)
            row.clear()
            row.update(before if new is None else new)
            return next((name for name in before if row.get(name) != before[name]), None)

        found.append(Kind(name=name, says=f"{reference} of this project", change=change))
    return found


def _kept(
    model: LoadedModel,
    rows: Rows,
    before: Sequence[Answer],
    kind: Kind,
    strength: float,
    settings: Settings,
    *,
    with_interval: bool,
) -> Kept:
    changed, touched, refused = changed_rows(model.contract, rows, kind, strength, settings.project.seed)
    hit = len(changed) + int(refused.sum())
    told: dict[str, Any] = {
        "kind": kind.name,
        "strength": strength,
        "changed": hit / len(rows),
        "refused": float(refused.mean()),
    }
    said = list(before)
    try:
        after = answers.answer(model, list(changed.values()))
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        why = f"{type(error).__name__}: {error}"[:200]
        return Kept(**told, rows=len(changed), clean=None, value=None, kept=0.0, error=why)
    for place, one in zip(changed, after, strict=True):
        said[place] = one
    held = np.flatnonzero(~refused)
    now = outcome_of_model(model, rows.take(held), [said[i] for i in held.tolist()], at=settings.evaluate.at)
    clean = outcome_of_model(model, rows.take(held), [before[i] for i in held.tolist()], at=settings.evaluate.at)
    metric = settings.evaluate.primary
    was, is_, ratio = _ratio(metric, clean, now, np.arange(len(held)))
    low, high = _interval(metric, clean, now, group_codes(rows.take(held)), settings) if with_interval else (None, None)
    places = {int(old): new for new, old in enumerate(held.tolist())}
    per_field = {
        name: found
        for name, at in sorted(touched.items())
        if len(at) >= MIN_ROWS
        and (found := _ratio(metric, clean, now, np.array([places[i] for i in at], dtype=np.int64))[2]) is not None
    }
    return Kept(
        **told,
        rows=len(held),
        clean=was,
        value=is_,
        kept=ratio,
        low=low,
        high=high,
        fields=per_field or None,
    )


def changed_rows(
    contract: Contract, rows: Rows, kind: Kind, strength: float, seed: int
) -> tuple[dict[int, dict[str, Any]], dict[str, list[int]], NDArray[np.bool_]]:
    """Return the rows that a kind changes, by position, where it touched which field, and which the contract refuses.

    Equal for equal arguments, so that two models are asked about the same rows.
    """
    random = np.random.default_rng([seed, crc32(kind.name.encode()), round(strength * 1_000_000)])
    check = compile_request_check(contract).check
    changed: dict[int, dict[str, Any]] = {}
    touched: dict[str, list[int]] = {}
    refused = np.zeros(len(rows), dtype=np.bool_)
    for place, row in enumerate(rows.values):
        new = dict(row)
        name = kind.change(new, strength, random)
        if name is None:
            continue
        different = {one for one in {*new, *row} if new.get(one) != row.get(one)}
        if any(problem.where in different for problem in check(new).problems):
            refused[place] = True
            continue
        changed[place] = new
        touched.setdefault(name, []).append(place)
    return changed, touched, refused


def _ratio(
    metric: str, clean: Outcome, now: Outcome, index: NDArray[np.int64]
) -> tuple[float | None, float | None, float | None]:
    """Return the metric before, after, and what is kept of it."""
    if not len(index):
        return None, None, None
    was, is_ = METRICS[metric](clean, index), METRICS[metric](now, index)
    good, other = (is_, was) if HIGHER_IS_BETTER[metric] else (was, is_)
    kept = good / other if math.isfinite(good) and math.isfinite(other) and other > 0 else None
    if kept is None and was == is_ and math.isfinite(was):
        kept = 1.0  # no error before and after
    return evaluate.finite(was), evaluate.finite(is_), kept


def _interval(
    metric: str, clean: Outcome, now: Outcome, groups: NDArray[np.int64], settings: Settings
) -> tuple[float | None, float | None]:
    def kept(index: NDArray[np.int64]) -> float:
        found = _ratio(metric, clean, now, index)[2]
        return math.nan if found is None else found

    random = np.random.default_rng(settings.project.seed)
    return evaluate.limits(evaluate.redrawn(kept, groups, random=random, draws=DRAWS), LIMITS)


def of_kind(report: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return what was found of a kind at the strength that is judged, or None."""
    at = report["judged_at"]
    return next((one for one in report["kept"] if one["kind"] == kind and one["strength"] == at), None)
