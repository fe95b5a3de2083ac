"""The audit of one version, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.models.answers import Answer
from mainstay.train.audit import groups, labels, proxies
from mainstay.train.audit.groups import Judged
from mainstay.train.fit import Rows
from mainstay.train.folds import group_codes


def measure(contract: Contract, said: Sequence[Answer], rows: Rows, settings: Settings) -> dict[str, Any] | None:
    """Return the report on held-out rows, JSON-ready; None where the contract declares no protected group.

    `favourable`, `groups` and `measures` (by protected field and two of them together, see `by_group`), `labels`.
    Without [audit] favourable only accuracy and calibration can be told: rates are of nothing then.
    """
    found = groups.groups_of(contract, rows.values)
    if not found:
        return None
    favourable = settings.audit.favourable
    report: dict[str, Any] = {"favourable": favourable, "rows": len(rows), "protected": {}, "labels": {}}
    if favourable is None or not len(rows):
        return report
    truth = is_favourable(rows.truth, favourable)
    answers = np.array([answer.label for answer in said], dtype=object)
    chosen = is_favourable(answers, favourable)
    judged = Judged(
        truth=truth,
        chosen=chosen,
        right=truth == chosen if not contract.task.is_classification else answers.astype(str) == rows.truth.astype(str),
        confidence=np.array([np.nan if a.confidence is None else a.confidence for a in said], dtype=np.float64),
        keys=group_codes(rows),
    )
    least, seed = settings.evaluate.slices_min_rows, settings.project.seed
    meant = settings.audit.meant
    for name, of_rows in found.items():
        report["protected"][name] = groups.by_group(judged, of_rows, least=least, seed=seed)
        entry: dict[str, Any] = {"base_rates": labels.base_rates(truth, of_rows, least=least)}
        if meant is not None:
            values = [row.get(meant) for row in rows.values]
            entry["stands_for"] = labels.stands_for(truth, values, of_rows, least=least)
        report["labels"][name] = entry
    return report


def what_gives_away(contract: Contract, rows: Rows, settings: Settings) -> dict[str, Any]:
    """Return the proxy audit of some rows (see `proxies`)."""
    return proxies.proxies(contract, rows.values, seed=settings.project.seed)


def is_favourable(values: NDArray[Any], favourable: str | float) -> NDArray[np.bool_]:
    """Return which values are the favourable class, or the favourable number or more."""
    if isinstance(favourable, str):
        return np.asarray(values.astype(str) == favourable)
    return np.asarray(values.astype(np.float64) >= favourable)
