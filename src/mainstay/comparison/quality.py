"""How right the predictions were in the reference and are now, where both hold truth and predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mainstay.comparison import words
from mainstay.comparison.fields import as_floats
from mainstay.comparison.kinds import Column
from mainstay.comparison.records import Effect, Kind, Measure, Quality, Unit
from mainstay.comparison.units import Units
from mainstay.core.errors import BadData
from mainstay.core.material import Material
from mainstay.stats import calibration, differences, intervals, ranking
from mainstay.stats.differences import Codes, Difference, Keys
from mainstay.stats.intervals import Floats

BINS = 10
NUMBERS = (Kind.NUMBER, Kind.INTEGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of both sides that hold truth and prediction."""

    truth: tuple[pl.Series, pl.Series]
    told: tuple[pl.Series, pl.Series]
    keys: Keys | None
    material: Material


def quality_of(target: Column, prediction: Column, units: Units, material: Material) -> Quality:
    """Return quality then and now. Predictions may be classes, probabilities of the higher of two classes, or numbers.

    Where the current rows hold no truth, now is unknown and said to be. Raises BadData where the reference holds none.
    """
    held = [
        (t.is_not_null() & p.is_not_null()).to_numpy() for t, p in ((target.a, prediction.a), (target.b, prediction.b))
    ]
    if not held[0].any():
        raise BadData(
            f"no row of the reference holds both {target.name!r} and {prediction.name!r}",
            remedy="Leave out --prediction, or give rows with truth and prediction.",
        )
    kept = [pl.Series(mask) for mask in held]
    keys = units.where(held[0], held[1]).keys
    rows = _Rows(
        truth=(target.a.filter(kept[0]), target.b.filter(kept[1])),
        told=(prediction.a.filter(kept[0]), prediction.b.filter(kept[1])),
        keys=keys,
        material=material,
    )
    classes = sorted(set(rows.truth[0].cast(pl.String).to_list()))
    # A rating from 1 to 5 is told apart as codes; beside a prediction of 3.7 it is a number.
    if prediction.kind in NUMBERS and target.a.dtype.is_numeric() and len(classes) > 2:
        return _of_numbers(rows)
    if prediction.kind is Kind.NUMBER and len(classes) == 2 and _in_unit(rows.told):
        return _of_probabilities(rows, classes[1])
    return _of_classes(rows)


def _in_unit(told: tuple[pl.Series, pl.Series]) -> bool:
    return all(len(s) == 0 or (float(s.min()) >= 0.0 and float(s.max()) <= 1.0) for s in told)  # type: ignore[arg-type]


def _labels(cells: pl.Series) -> pl.Series:
    """Return classes as text; 1, 1.0 and "1" are one class."""
    if cells.dtype.is_float():
        whole = cells.cast(pl.Int64, strict=False)
        if bool((whole.cast(pl.Float64) == cells).all()):
            cells = whole
    return cells.cast(pl.String)


def _of_classes(rows: _Rows) -> Quality:
    truth = [_labels(side) for side in rows.truth]
    hits = [(t == _labels(p)).to_numpy() for t, p in zip(truth, rows.told, strict=True)]
    measure = _share_measure("accuracy", hits[0], hits[1], rows)
    notes = _worst_class(truth, hits)
    return Quality(task="classes", measures=(measure,), says=_says(measure), notes=notes)


def _share_measure(name: str, a: NDArray[np.bool_], b: NDArray[np.bool_], rows: _Rows) -> Measure:
    found = differences.share_difference(a, b, keys=rows.keys)
    sides = [
        (float(side.mean()), *intervals.wilson(float(side.sum()) / found.effect, len(side) / found.effect))
        for side in (a, b)
        if len(side)
    ]
    return Measure(
        name=name,
        reference=sides[0],
        current=sides[1] if len(b) else None,
        difference=_effect(name, found, Unit.SHARE, rows.material.accuracy) if len(b) else None,
        higher_is_better=True,
        p=found.p,
    )


def _effect(name: str, found: Difference, unit: Unit, material: float, scale: float = 1.0) -> Effect:
    return Effect(
        name=name,
        value=found.value / scale,
        low=found.low / scale,
        high=found.high / scale,
        unit=unit,
        material=material,
    )


def _worst_class(truth: list[pl.Series], hits: list[NDArray[np.bool_]]) -> tuple[str, ...]:
    """Name the class whose share found fell most, where its interval shows a fall."""
    worst, note = 0.0, ""
    for name in truth[0].unique().sort().to_list():
        own = [h[(t == name).to_numpy()] for t, h in zip(truth, hits, strict=True)]
        if min(len(o) for o in own) < 20:
            continue
        _, high = intervals.newcombe((own[1].sum(), len(own[1])), (own[0].sum(), len(own[0])), confidence=0.99)
        if high < worst:
            worst = high
            then, now = words.share(own[0].mean()), words.share(own[1].mean())
            note = f"of class {words.short(name)}, {then} were found, now {now}"
    return (note,) if note else ()


def _of_probabilities(rows: _Rows, positive: str) -> Quality:
    truth = [(t.cast(pl.String) == positive).to_numpy() for t in rows.truth]
    told = [as_floats(p) for p in rows.told]
    hits = [(p >= 0.5) == t for p, t in zip(told, truth, strict=True)]
    squares = [(p - t) ** 2 for p, t in zip(told, truth, strict=True)]
    gaps = [t - p for p, t in zip(told, truth, strict=True)]
    measures = [
        _share_measure("accuracy at ½", hits[0], hits[1], rows),
        _area_measure(truth, told, rows),
        _mean_measure("Brier score", squares, rows, higher=False),
        _mean_measure("truth less prediction", gaps, rows, higher=None),
    ]
    tables = [calibration.reliability(p, t.astype(np.float64), bins=BINS) for p, t in zip(told, truth, strict=True)]
    lines = tuple(tuple((float(m), float(r), float(n)) for m, r, n in table) for table in tables)
    return Quality(
        task="probabilities",
        measures=tuple(measures),
        calibration=(lines[0], lines[1]),
        says=_says(measures[0]),
        notes=(f"predictions are taken as the probability of {words.short(positive)}",),
    )


def _area_measure(truth: list[NDArray[np.bool_]], told: list[Floats], rows: _Rows) -> Measure:
    found = []
    for side in (0, 1):
        t, p = truth[side], told[side]
        keys = None if rows.keys is None else _both(rows.keys[side], t)
        found.append(ranking.area(p[~t], p[t], keys=keys))
    z = intervals.normal_quantile(0.95)
    sides = [(f.value, max(0.0, f.value - z * f.se), min(1.0, f.value + z * f.se)) for f in found]
    se = math.hypot(found[0].se, found[1].se)
    value = found[1].value - found[0].value
    known = math.isfinite(se) and math.isfinite(value)
    return Measure(
        name="AUC",
        reference=sides[0],
        current=sides[1] if math.isfinite(found[1].value) else None,
        difference=Effect(
            name="AUC", value=value, low=value - z * se, high=value + z * se, unit=Unit.SHARE,
            material=rows.material.accuracy,
        ) if known else None,
        higher_is_better=True,
        p=math.erfc(abs(value) / se / math.sqrt(2.0)) if known and se > 0 else math.nan,
    )  # fmt: skip


def _both(codes: Codes, truth: NDArray[np.bool_]) -> Keys:
    return codes[~truth], codes[truth]


def _mean_measure(name: str, values: list[Floats], rows: _Rows, *, higher: bool | None, sigma: float = 0.0) -> Measure:
    """Return a mean then and now; `sigma` is what its change is counted in (0: its own unit, as a share)."""
    z = intervals.normal_quantile(0.95)
    sides: list[tuple[float, float, float]] = []
    for side in (0, 1):
        own = values[side]
        if not len(own):
            continue
        names = np.arange(len(own)) if rows.keys is None else rows.keys[side]
        mean, se, _ = intervals.cluster_mean(own, names.tolist())
        sides.append((mean, mean - z * se, mean + z * se))
    found = differences.mean_difference(values[0], values[1], keys=rows.keys)
    unit, material = (Unit.SIGMA, rows.material.number_sigma) if sigma else (Unit.SHARE, rows.material.accuracy)
    known = len(sides) == 2 and math.isfinite(found.se)
    return Measure(
        name=name,
        reference=sides[0],
        current=sides[1] if len(sides) == 2 else None,
        difference=_effect(name, found, unit, material, sigma or 1.0) if known else None,
        higher_is_better=bool(higher),
        p=found.p,
    )


def _of_numbers(rows: _Rows) -> Quality:
    truth, told = [as_floats(t) for t in rows.truth], [as_floats(p) for p in rows.told]
    sigma = float(truth[0].std(ddof=1)) if len(truth[0]) > 1 else 0.0
    errors = [np.abs(t - p) for t, p in zip(truth, told, strict=True)]
    gaps = [t - p for t, p in zip(truth, told, strict=True)]
    measures = (
        _mean_measure("mean absolute error", errors, rows, higher=False, sigma=sigma),
        _mean_measure("truth less prediction", gaps, rows, higher=None, sigma=sigma),
    )
    cuts = np.unique(np.quantile(told[0], np.arange(1, BINS) / BINS))
    lines = tuple(_binned(t, p, cuts) for t, p in zip(truth, told, strict=True))
    return Quality(task="numbers", measures=measures, calibration=(lines[0], lines[1]), says=_says(measures[0]))


def _binned(truth: Floats, told: Floats, cuts: Floats) -> tuple[tuple[float, float, float], ...]:
    place = np.searchsorted(cuts, told, side="right")
    return tuple(
        (float(told[place == i].mean()), float(truth[place == i].mean()), float((place == i).sum()))
        for i in range(len(cuts) + 1)
        if (place == i).any()
    )


def _says(measure: Measure) -> str:
    show = words.share if measure.name.startswith("accuracy") else words.number
    then = f"{measure.name} {show(measure.reference[0])}"
    if measure.current is None:
        return f"{then} then; unknown now, because the current rows hold no truth"
    return f"{then} → {show(measure.current[0])}"
