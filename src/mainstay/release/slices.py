"""The gate's question about slices that nobody declared: the worst of them, corrected for having been searched for.

Slices are searched for on one half of the keys and judged on the other (`stats.slices`), so that the search cannot
flatter or blacken them; among the few that are judged a limit holds for all at once (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import WorstSliceSettings
from mainstay.core.contracts import Contract, Pii
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.load import LoadedModel
from mainstay.release import paired
from mainstay.release.metrics import Labelled, Scored
from mainstay.stats import intervals, ordering
from mainstay.stats.multiple import holm
from mainstay.stats.numbering import numbered
from mainstay.stats.slices import Column, Tried, columns_of, tried_slices

NAME = "worst_slice"
QUESTION = "How bad is the worst slice of rows that nobody declared, and is it worse off than with the champion?"
LEAST = 20
"""Rows that a slice needs in each half."""
LEVEL = 0.05
ANSWER = "answer"
"""Name of the column of answered labels."""
_MEASURES = {"classification": "accuracy", "ranking": "ndcg", "regression": "mean absolute error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """How good each row is, larger is better, and what that is called."""

    good: NDArray[np.float64]
    measure: str
    sign: float
    """−1 where people read the opposite of `good` (an error)."""


def worst_slice(
    candidate: LoadedModel,
    mine: Scored,
    theirs: Scored | None,
    data: Labelled,
    contract: Contract,
    declared: WorstSliceSettings,
    seed: int,
) -> Check:
    """Search the test rows for the slice on which the candidate is worst, and judge it where a limit is declared.

    `floor`: the least accuracy or NDCG, the largest mean absolute error, that any slice may have. `not_worse_by`: how
    much worse than the champion on any slice; these slices are searched for by the difference of the two. PASS when all
    slices that were judged are shown to keep the limit (each one-sided 95 %: all must, so nothing is to be corrected),
    FAIL when one is shown to break it (one-sided 95 % over all judged), NOT_ENOUGH between and where no slice has rows
    enough. Without a limit the slice is told.
    """
    side = _side(mine, contract)
    keys = _keys(data)
    columns = _columns(candidate, mine, data, contract)
    held = np.isfinite(side.good)
    found = _search(columns, side.good, keys, held, seed)
    told = [_figures(one, side, theirs, contract, keys, len(found)) for one in found]
    checks = [] if declared.floor is None else [_floor(told, side, declared.floor)]
    lost: list[dict[str, Any]] = []
    if theirs is not None:
        gap = side.good - _side(theirs, contract).good
        lost = [
            _difference(one, gap, keys, len(others), contract)
            for others in [_search(columns, gap, keys, held, seed)]
            for one in others
        ]
        if declared.not_worse_by is not None:
            checks.append(_not_worse(lost, declared.not_worse_by))
    verdicts = [verdict for verdict, _ in checks]
    reason = _told(told, side, found)
    if checks:
        reason = "; ".join([*(text for _, text in checks), reason])
    elif declared.not_worse_by is not None:
        reason = f"there is no champion to compare with; {reason}"
    else:
        reason = f"no limit is declared in [gate] worst_slice: nothing was asked; {reason}"
    verdict = Verdict.FAIL if Verdict.FAIL in verdicts else Verdict.NOT_ENOUGH
    if verdicts and all(one is Verdict.PASS for one in verdicts):
        verdict = Verdict.PASS
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=verdict,
        reason=reason,
        numbers={
            "measure": side.measure,
            "rows": len(data),
            "columns": len(columns),
            "slices": told,
            "beside_the_champion": lost,
            "floor": declared.floor,
            "not_worse_by": declared.not_worse_by,
        },
        applies=bool(checks),
    )


def unasked(declared: WorstSliceSettings, why: str) -> Check:
    """Return the check where nothing can be measured; it withholds the verdict where a floor is declared."""
    return Check(
        name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=declared.floor is not None
    )


def columns_known(
    model: LoadedModel, rows: Sequence[Mapping[str, Any]], contract: Contract
) -> list[dict[str, float | str | None]]:
    """Return what slices may be described by, per row: the measured signals of fields that are no secret."""
    private = {field.name for field in contract.fields if field.pii is not Pii.KEEP}
    out = []
    for row in rows:
        measured = model.signals.measure({name: value for name, value in row.items() if name not in private})
        out.append({name: value for name, value in measured.items() if name.partition(".")[0] not in private})
    return out


def _columns(candidate: LoadedModel, mine: Scored, data: Labelled, contract: Contract) -> list[Column]:
    known = columns_known(candidate, data.rows, contract)
    if contract.task.is_classification:
        known = [row | {ANSWER: str(label)} for row, label in zip(known, mine.predicted.tolist(), strict=True)]
    return columns_of(known)


def _side(scored: Scored, contract: Contract) -> _Side:
    if scored.ranked is not None:
        counts = scored.ranked[ordering.WEIGHT] > 0
        good = np.where(counts, scored.ranked["ndcg"], np.nan)
        return _Side(good=good, measure=_MEASURES["ranking"], sign=1.0)
    if contract.task.is_classification:
        return _Side(good=scored.right, measure=_MEASURES["classification"], sign=1.0)
    errors = np.abs(scored.predicted.astype(np.float64) - scored.truth.astype(np.float64))
    return _Side(good=-errors, measure=_MEASURES["regression"], sign=-1.0)


def _keys(data: Labelled) -> NDArray[np.intp]:
    given = data.keys if data.keys is not None else data.groups
    if given is None:
        return np.arange(len(data), dtype=np.intp)
    return numbered(given)


def _search(
    columns: Sequence[Column],
    good: NDArray[np.float64],
    keys: NDArray[np.intp],
    held: NDArray[np.bool_],
    seed: int,
) -> list[Tried]:
    """Return the slices to be judged, their rows as places among all rows."""
    if not held.any():
        return []
    place = np.flatnonzero(held)
    parts = [Column(name=c.name, values=c.values[place], names=c.names) for c in columns]
    own = np.unique(keys[place], return_inverse=True)[1].astype(np.intp)
    found = tried_slices(parts, good[place], own, rng=np.random.default_rng(seed), least=LEAST)

    def spread(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        out = np.zeros(len(good), dtype=np.bool_)
        out[place[mask]] = True
        return out

    return [
        Tried(
            conditions=one.conditions,
            inside=spread(one.inside),
            outside=spread(one.outside),
            share=one.share,
            p=one.p,
        )
        for one in found
    ]


def _figures(
    one: Tried,
    side: _Side,
    theirs: Scored | None,
    contract: Contract,
    keys: NDArray[np.intp],
    tried: int,
) -> dict[str, Any]:
    """Return a slice as plain values; `low` and `high` hold for all slices tried at once, one-sided 95 % each."""
    good, own = side.good[one.inside], keys[one.inside]
    shares = side.measure == _MEASURES["classification"]
    bounds = _limits(good, own, LEVEL / tried, shares=shares)
    single = _limits(good, own, LEVEL, shares=shares)
    told = {
        "conditions": list(one.conditions),
        "rows": int(one.inside.sum()),
        "keys": len(np.unique(own)),
        "share": one.share,
        "value": side.sign * float(good.mean()),
        "rest": side.sign * float(side.good[one.outside].mean()) if one.conditions else None,
        "p": one.p,
        **_turned(side.sign, bounds),
        "single": _turned(side.sign, single),
    }
    if theirs is not None:
        told["champion"] = side.sign * float(_side(theirs, contract).good[one.inside].mean())
    return told


def _turned(sign: float, bounds: tuple[float, float]) -> dict[str, float | None]:
    low, high = bounds if sign > 0 else (-bounds[1], -bounds[0])
    return {"low": low if math.isfinite(low) else None, "high": high if math.isfinite(high) else None}


def _difference(
    one: Tried, gap: NDArray[np.float64], keys: NDArray[np.intp], tried: int, contract: Contract
) -> dict[str, Any]:
    """Return by how much the candidate is better than the champion on a slice (less is worse)."""
    inside, own = gap[one.inside], keys[one.inside]
    paired_shares = contract.task.is_classification
    low, high = _paired(inside, own, LEVEL / tried, shares=paired_shares)
    single = _paired(inside, own, LEVEL, shares=paired_shares)
    return {
        "conditions": list(one.conditions),
        "rows": int(one.inside.sum()),
        "keys": len(np.unique(own)),
        "difference": float(inside.mean()),
        **_turned(1.0, (low, high)),
        "single": _turned(1.0, single),
    }


def _limits(good: NDArray[np.float64], keys: NDArray[np.intp], level: float, *, shares: bool) -> tuple[float, float]:
    """Return one-sided limits of a mean: Wilson's for shares, and where keys repeat the wider of that and Student's."""
    repeats = len(np.unique(keys)) < len(keys)
    low, high = intervals.cluster_limits(good, keys.tolist(), level=level)
    if not shares:
        return low, high
    exact = intervals.wilson(float(good.sum()), len(good), confidence=1.0 - 2.0 * level)
    return (min(low, exact[0]), max(high, exact[1])) if repeats else exact


def _paired(gap: NDArray[np.float64], keys: NDArray[np.intp], level: float, *, shares: bool) -> tuple[float, float]:
    """Return one-sided limits of a mean difference: Tango's for two shares, widened as in `_limits`."""
    repeats = len(np.unique(keys)) < len(keys)
    low, high = intervals.cluster_limits(gap, keys.tolist(), level=level)
    if not shares:
        return low, high
    z = intervals.normal_quantile(1.0 - 2.0 * level)
    exact = paired.tango(int((gap > 0).sum()), int((gap < 0).sum()), len(gap), z=z)
    return (min(low, exact[0]), max(high, exact[1])) if repeats else exact


def _floor(told: Sequence[Mapping[str, Any]], side: _Side, floor: float) -> tuple[Verdict, str]:
    what = "largest" if side.sign < 0 else "floor"
    if not told:
        return Verdict.NOT_ENOUGH, f"no slice has {LEAST} rows in each half of the test rows, {what} {floor:g}"
    near, far = ("low", "high") if side.sign > 0 else ("high", "low")
    return _judged(told, near, far, side.sign, floor, f"{what} {floor:g}")


def _not_worse(lost: Sequence[Mapping[str, Any]], margin: float) -> tuple[Verdict, str]:
    if not lost:
        return Verdict.NOT_ENOUGH, f"no slice has {LEAST} rows in each half of the test rows to compare on"
    verdict, _ = _judged(lost, "low", "high", 1.0, -margin, "")
    worst = min(lost, key=lambda one: one["difference"])
    return verdict, (
        f"beside the champion least in {_where(worst)}: {worst['difference']:+.3f} ({_number(worst['low'], '+.3f')} to "
        f"{_number(worst['high'], '+.3f')}) on {worst['rows']} rows, allowed {-margin:+g}"
    )


def _judged(
    found: Sequence[Mapping[str, Any]], near: str, far: str, sign: float, limit: float, text: str
) -> tuple[Verdict, str]:
    broken = [one for one in found if one[far] is not None and sign * one[far] < sign * limit]
    kept = all(one["single"][near] is not None and sign * one["single"][near] >= sign * limit for one in found)
    verdict = Verdict.FAIL if broken else Verdict.PASS if kept else Verdict.NOT_ENOUGH
    if broken:
        text += f" is broken in {_where(broken[0])}"
    elif not kept:
        text += " is not shown to be kept"
    return verdict, text


def _told(told: Sequence[Mapping[str, Any]], side: _Side, found: Sequence[Tried]) -> str:
    if not told:
        return f"no slice has {LEAST} rows in each half of the test rows"
    if not told[0]["conditions"]:
        return f"no slice looks worse than the rest: {side.measure} {told[0]['value']:.3f} on {told[0]['rows']} rows"
    sure = np.flatnonzero(holm([one.p for one in found]) <= LEVEL)
    worst = told[int(sure[0])] if len(sure) else told[0]
    champion = f", the champion there {worst['champion']:.3f}" if "champion" in worst else ""
    reach = f"{_number(worst['low'])} to {_number(worst['high'])}"
    return (
        f"{side.measure} {worst['value']:.3f} ({reach}) in {_where(worst)}, "
        f"{_number(worst['rest'])} elsewhere{champion}, on {worst['rows']} rows that were not searched; it is "
        + ("surely worse than the rest" if len(sure) else "not surely worse than the rest")
        + f" ({len(told)} slices judged at once)"
    )


def _where(one: Mapping[str, Any]) -> str:
    return " and ".join(one["conditions"]) or "all rows"


def _number(value: float | None, form: str = ".3f") -> str:
    return "unknown" if value is None else format(value, form)
