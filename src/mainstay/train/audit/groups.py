"""Answers per protected group and intersection: rates by Fairlearn, intervals by drawing whole keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Role
from mainstay.models.segments import group_name

DRAWS = 500
AT_ONCE = 20
"""Draws in memory at once."""
LIMITS = (0.05, 0.95)
"""Quantiles of an interval: one-sided 95 % at either end."""
TOGETHER = " & "
"""Joins what intersects."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Answers beside their truth, one entry a row."""

    truth: NDArray[np.bool_]
    """The truth is favourable."""
    chosen: NDArray[np.bool_]
    """The answer is favourable."""
    right: NDArray[np.bool_]
    confidence: Floats
    """Calibrated; NaN where answers are numbers."""
    keys: NDArray[np.int64]
    """Number of the unit of evidence."""


def protected_names(contract: Contract) -> list[str]:
    """Return the protected fields that make groups: categories, booleans, and numbers with bins."""
    return [f.name for f in contract.with_role(Role.PROTECTED) if group_name(f, None) is not None]


def groups_of(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return for each protected field, and each two of them together, the group of every row."""
    fields = {name: contract.field(name) for name in protected_names(contract)}
    single = {
        name: [str(group_name(field, row.get(name))) for row in rows]
        for name, field in fields.items()
        if field is not None
    }
    both = {
        f"{a}{TOGETHER}{b}": [f"{x}{TOGETHER}{y}" for x, y in zip(single[a], single[b], strict=True)]
        for a, b in combinations(single, 2)
    }
    return single | both


def by_group(judged: Judged, names: Sequence[str], *, least: int, seed: int) -> dict[str, Any]:
    """Return `groups` (group -> rates), `measures` (measure -> value, low, high, worst, best), `too_few_rows`.

    Rates of a group: `rows`, `base_rate` (truth favourable), `selection_rate` (answer favourable),
    `true_positive_rate`, `false_positive_rate`, `accuracy`, `calibration` (mean confidence minus share right), each
    None where it has no rows to stand on. Measures compare the groups with at least `least` rows: `selection_ratio` is
    the least selection rate over the largest (four-fifths rule: 29 CFR 1607.4 D), the others largest minus least.
    Intervals: percentile, whole keys drawn with replacement, one-sided 95 % at either end.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    group = np.array(names, dtype=object)
    sizes = {str(name): int((group == name).sum()) for name in np.unique(group.astype(str))}
    kept = [name for name in sizes if sizes[name] >= least]
    inside = np.isin(group.astype(str), kept)
    out: dict[str, Any] = {
        "groups": {},
        "measures": {},
        "too_few_rows": sorted(name for name in sizes if name not in kept),
    }
    if not kept:
        return out
    frame = MetricFrame(
        metrics={
            "selection_rate": selection_rate,
            "true_positive_rate": _where(true_positive_rate, truth=True),
            "false_positive_rate": _where(false_positive_rate, truth=False),
        },
        y_true=judged.truth[inside].astype(int),
        y_pred=judged.chosen[inside].astype(int),
        sensitive_features=group[inside].astype(str),
    ).by_group
    for name in kept:
        rows = group.astype(str) == name
        found = {rate: _known(float(frame.loc[name, rate])) for rate in frame.columns}
        out["groups"][name] = {
            "rows": sizes[name],
            "base_rate": float(judged.truth[rows].mean()),
            **found,
            "accuracy": float(judged.right[rows].mean()),
            "calibration": _known(float((judged.confidence[rows] - judged.right[rows]).mean())),
        }
    if len(kept) > 1:
        out["measures"] = _measures(judged, group.astype(str), kept, out["groups"], seed=seed)
    return out


def _where(rate: Callable[..., float], *, truth: bool) -> Callable[[Any, Any], float]:
    """Return a rate that is NaN for a group without a row that it is a share of, where Fairlearn says 0."""

    def measured(y_true: Any, y_pred: Any) -> float:
        return float(rate(y_true, y_pred, pos_label=1)) if (np.asarray(y_true) == int(truth)).any() else math.nan

    return measured


RATES: Mapping[str, tuple[str, str]] = {
    "selection_ratio": ("chosen", "rows"),
    "true_positive_difference": ("chosen_true", "true"),
    "false_positive_difference": ("chosen_false", "false"),
    "accuracy_difference": ("right", "rows"),
    "calibration_difference": ("gap", "rows"),
}
"""Measure -> what is counted over what, per group."""
_SHOWN = {
    "selection_ratio": "selection_rate",
    "true_positive_difference": "true_positive_rate",
    "false_positive_difference": "false_positive_rate",
    "accuracy_difference": "accuracy",
    "calibration_difference": "calibration",
}


def _measures(
    judged: Judged, group: NDArray[Any], kept: Sequence[str], found: Mapping[str, Any], *, seed: int
) -> dict[str, Any]:
    place = {name: i for i, name in enumerate(kept)}
    inside = np.isin(group, list(kept))
    codes = np.array([place[name] for name in group[inside]], dtype=np.int64)
    _, keys = np.unique(judged.keys[inside], return_inverse=True)
    truth, chosen = judged.truth[inside].astype(np.float64), judged.chosen[inside].astype(np.float64)
    counted: dict[str, Floats] = {
        "rows": np.ones(len(codes)),
        "chosen": chosen,
        "true": truth,
        "false": 1 - truth,
        "chosen_true": chosen * truth,
        "chosen_false": chosen * (1 - truth),
        "right": judged.right[inside].astype(np.float64),
        "gap": judged.confidence[inside] - judged.right[inside],
    }
    size = (int(keys.max()) + 1, len(kept))
    tables: dict[str, Floats] = {name: np.zeros(size) for name in counted}
    for name, values in counted.items():
        np.add.at(tables[name], (keys, codes), values)
    random, parts = np.random.default_rng(seed), []
    for _ in range(DRAWS // AT_ONCE):
        draws = random.multinomial(size[0], np.full(size[0], 1 / size[0]), size=AT_ONCE).astype(np.float64)
        parts.append({name: draws @ table for name, table in tables.items()})
    sums = {name: np.concatenate([part[name] for part in parts]) for name in counted}
    out = {}
    for measure, (above, below) in RATES.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = sums[above] / sums[below]
        known = {name: v for name in kept if (v := found[name][_SHOWN[measure]]) is not None}
        if len(known) < 2:
            continue
        drawn = _compare(measure, rates[:, [place[name] for name in known]])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, LIMITS) if len(drawn) >= DRAWS // 2 else (math.nan, math.nan)
        least, most = min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])
        value = _compare(measure, np.array([list(known.values())]))[0]
        out[measure] = {
            "value": _known(float(value)),
            "low": _known(float(low)),
            "high": _known(float(high)),
            "least": least,
            "most": most,
        }
    return out


def _compare(measure: str, rates: Floats) -> Floats:
    """Return the measure of each row of rates, shape (draws, groups)."""
    least, most = np.nanmin(rates, axis=1), np.nanmax(rates, axis=1)
    if measure != "selection_ratio":
        return np.asarray(most - least)
    return np.asarray(np.divide(least, most, out=np.full(len(most), math.nan), where=most > 0), dtype=np.float64)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
