"""What a version rests on: how much of its metric is lost when one field's values are shuffled among the test rows.

Permutation importance (Breiman 2001; Fisher, Rudin, Dominici 2019): of two fields that say the same each can be done
without, so a small loss proves no field useless beside others; a loss of nothing for all of them would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import Settings
from mainstay.core.verdicts import Check, Verdict
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.train.evaluate import (
    HIGHER_IS_BETTER,
    METRICS,
    Outcome,
    finite,
    limits,
    outcome_of_model,
    redrawn,
    sampled,
)
from mainstay.train.fit import Rows, quiet
from mainstay.train.folds import group_codes

MOST_ROWS, FEWEST_ROWS, DRAWS = 500, 50, 200
BUDGET_S = 30.0
"""So long it may take; a slow model is asked about fewer rows, but not below FEWEST_ROWS."""
LIMITS = (0.05, 0.95)
TOLD = 3
QUESTION = "What does the candidate rest on, and what changed?"


def measure(model: LoadedModel, rows: Rows, settings: Settings, *, budget_s: float = BUDGET_S) -> dict[str, Any]:
    """Return `metric`, `rows` and `fields`: what each that the model takes is worth, most first.

    A field: `field`, `worth` (how much worse the primary metric is with its values shuffled; more is worth more),
    `low`, `high` (one-sided 95 % at either end, whole keys drawn anew; None for fewer than two keys), or `error`.
    """
    metric = settings.evaluate.primary
    rows = sampled(rows, MOST_ROWS, settings.project.seed)
    report: dict[str, Any] = {"metric": metric, "rows": len(rows), "fields": []}
    taken = [f.name for f in model.contract.features if f.name in model.fields_taken]
    if len(rows) < 2 or not taken:
        return report
    with quiet():
        began = perf_counter()
        said = answers.answer(model, rows.values)
        share = budget_s / max((perf_counter() - began) * len(taken), 1e-9)
        if share < 1:
            rows = sampled(rows, max(FEWEST_ROWS, int(share * len(rows))), settings.project.seed)
            said = answers.answer(model, rows.values)
            report["rows"] = len(rows)
        whole = outcome_of_model(model, rows, said, at=settings.evaluate.at)
        found = [_worth(model, rows, whole, name, settings) for name in taken]
    report["fields"] = sorted(found, key=lambda one: (-(one["worth"] or 0.0), one["field"]))
    return report


def check(report: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> Check:
    """Report what it rests on, beside what the champion rests on; judges nothing."""
    known = [] if report is None else [one for one in report["fields"] if one["worth"] is not None]
    if report is None or not known:
        why = "it was not measured"
    else:
        told = ", ".join(f"{one['field']} ({one['worth']:+.3f})" for one in known[:TOLD] if one["worth"] > 0)
        idle = [one["field"] for one in known if one["low"] is None or one["low"] <= 0]
        why = f"{report['metric']} rests on {told or 'no field'}"
        why += f"; not shown to be worth anything: {', '.join(idle[:5])}" if idle else ""
        moved = _moved(known, before)
        why += f"; beside the champion: {moved}" if moved else ""
    return Check(
        name="importance",
        question=QUESTION,
        verdict=Verdict.NOT_ENOUGH,
        reason=why,
        numbers=dict(report or {}),
        applies=False,
    )


def _moved(known: Sequence[Mapping[str, Any]], before: Mapping[str, Any] | None) -> str:
    """Return where a field's worth is outside of what it was, by both intervals."""
    then = {one["field"]: one for one in (before or {}).get("fields", ()) if one["low"] is not None}
    told = []
    for one in known:
        was = then.get(one["field"])
        if was is None or one["low"] is None:
            continue
        if one["low"] > was["high"] or one["high"] < was["low"]:
            told.append(f"{one['field']} was worth {was['worth']:+.3f}")
    return ", ".join(told[:TOLD])


def _worth(model: LoadedModel, rows: Rows, whole: Outcome, name: str, settings: Settings) -> dict[str, Any]:
    random = np.random.default_rng([settings.project.seed, crc32(name.encode())])
    order = random.permutation(len(rows))
    shuffled = [{**row, name: rows.values[j].get(name)} for row, j in zip(rows.values, order.tolist(), strict=True)]
    empty: dict[str, Any] = {"field": name, "worth": None, "low": None, "high": None}
    try:
        without = outcome_of_model(model, rows, answers.answer(model, shuffled), at=settings.evaluate.at)
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        return empty | {"error": f"{type(error).__name__}: {error}"[:200]}
    metric = settings.evaluate.primary
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0

    def worth(index: NDArray[np.int64]) -> float:
        return sign * (METRICS[metric](whole, index) - METRICS[metric](without, index))

    found = empty | {"worth": finite(worth(np.arange(len(rows))))}
    found["low"], found["high"] = limits(redrawn(worth, group_codes(rows), random=random, draws=DRAWS), LIMITS)
    return found
