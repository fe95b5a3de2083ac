"""One column: what it holds, how it is spread, what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.data import spellings
from mainstay.profiling import texts
from mainstay.profiling.personal import personal_in
from mainstay.profiling.plots import bars, histogram
from mainstay.profiling.records import ColumnLook, Finding, Plot, Seen, Weight
from mainstay.profiling.samples import KINDS, NUMBERS, floats_of

FAR = 3.0
"""Tukey (1977): values beyond so many interquartile ranges from the quartiles are far out."""
MANY_FAR = 0.001
MANY_MISSING = 0.3
RARE_ROWS = 5
LOPSIDED = 0.99
SUGGESTED = {kind: str(field) for field, kind in KINDS.items()}
_SPACES = r"\s+"
_FUTURE = timedelta(days=1)


def look(seen: Seen, *, dtype: str, spoiled: int, why: str, now: datetime, rng: np.random.Generator) -> ColumnLook:
    """Return what one column holds; counts and quantiles are of all its rows. `now` tells what is in the future."""
    cells, kind = seen.cells, seen.kind
    held = cells.drop_nulls()
    distinct = held.n_unique()
    personal = personal_in(seen.name, cells)
    nested = kind is Kind.EMPTY and dtype.startswith(("List", "Struct", "Array", "Binary", "Object"))
    numbers: dict[str, Any] = {}
    plot: Plot | None = None
    if len(held):
        if kind in NUMBERS:
            numbers, plot = _number(held)
        elif kind is Kind.TIMESTAMP:
            numbers, plot = _moments(held, now)
        elif kind is Kind.TEXT:
            numbers, plot = texts.look(held, rng)
        elif kind is not Kind.IDENTIFIER:
            numbers, plot = _category(held, shown=not personal)
    if why:
        numbers["why"] = why
    if kind in (Kind.CATEGORY, Kind.IDENTIFIER, Kind.TEXT) and (unread := spellings.unread(cells, shown=not personal)):
        numbers["unread"] = unread
    return ColumnLook(
        name=seen.name,
        kind=kind,
        dtype=dtype,
        suggested=SUGGESTED.get(
            kind, "none: it holds nothing" if dtype[:1].islower() or cells.dtype == pl.Null else ""
        ),
        rows=len(cells),
        missing=0 if nested else cells.null_count() - spoiled,
        spoiled=spoiled,
        distinct=distinct,
        numbers=numbers,
        plot=plot,
        personal=personal,
        findings=tuple(_findings(seen, distinct, spoiled, numbers, personal, nested=nested)),
    )


def _number(held: pl.Series) -> tuple[dict[str, Any], Plot]:
    values = floats_of(held)
    ordered = np.sort(values)
    at = {q: float(np.quantile(ordered, q)) for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)}
    reach = FAR * (at[0.75] - at[0.25])
    low, high = at[0.25] - reach, at[0.75] + reach
    far = (int(np.searchsorted(ordered, low, "left")), len(ordered) - int(np.searchsorted(ordered, high, "right")))
    common = held.value_counts(sort=True, name="rows").head(1)
    found: dict[str, Any] = {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min": float(ordered[0]),
        "max": float(ordered[-1]),
        **{f"q{100 * q:02.0f}": value for q, value in at.items()},
        "zeros": int((values == 0).sum()),
        "negative": int((values < 0).sum()),
        "outliers": sum(far) if reach > 0 else None,
        "outliers_low": far[0] if reach > 0 else None,
        "outliers_high": far[1] if reach > 0 else None,
        "outliers_beyond": [low, high] if reach > 0 else None,
        "commonest": float(common[held.name][0]),
        "commonest_rows": int(common["rows"][0]),
    }
    return found, histogram(ordered)


def _category(held: pl.Series, *, shown: bool) -> tuple[dict[str, Any], Plot | None]:
    texts_ = held.cast(pl.String)
    table = texts_.value_counts(sort=True, name="rows")
    rows = table["rows"]
    folded = table.to_series(0).str.strip_chars().str.to_lowercase().str.replace_all(_SPACES, " ")
    found: dict[str, Any] = {
        "commonest": str(table.to_series(0)[0]) if shown else "(not shown: it looks personal)",
        "commonest_rows": int(rows[0]),
        "rare_values": int((rows < RARE_ROWS).sum()),
        "spellings": table.height - folded.n_unique(),
        "empty": int(rows.filter(folded == "").sum()),
    }
    return found, bars(held) if shown else None


def _moments(held: pl.Series, now: datetime) -> tuple[dict[str, Any], Plot]:
    moments = held.cast(pl.Datetime("us", "UTC")).sort()
    seconds = floats_of(moments.dt.replace_time_zone(None))
    apart = moments.unique().sort()
    gaps = apart.diff().drop_nulls()
    longest = int(gaps.arg_max() or 0) if len(gaps) else 0
    days = moments.dt.date().n_unique()
    span = (moments[-1] - moments[0]).days + 1
    found: dict[str, Any] = {
        "first": moments[0],
        "last": moments[-1],
        "future": int((moments > now + _FUTURE).sum()),
        "midnight": int((moments.dt.time().cast(pl.Int64) == 0).sum()),
        "days": days,
        "days_without": span - days,
        "usual_gap_s": float(gaps.median().total_seconds()) if len(gaps) else None,  # type: ignore[union-attr]
        "longest_gap_s": float(gaps[longest].total_seconds()) if len(gaps) else None,
        "longest_gap_from": apart[longest] if len(gaps) else None,
    }
    return found, histogram(seconds)


def _findings(
    seen: Seen, distinct: int, spoiled: int, numbers: dict[str, Any], personal: tuple[Any, ...], *, nested: bool
) -> Iterator[Finding]:
    name, rows = seen.name, len(seen.cells)
    missing = seen.cells.null_count() - spoiled

    def told(what: str, weight: Weight) -> Finding:
        return Finding(where=name, what=what, weight=weight)

    if seen.kind is Kind.EMPTY:
        inside = "holds lists, records or bytes, which no field can be: make a column of each value in them"
        yield told(inside if nested else "holds nothing that a model could use", Weight.LOOK)
        return
    if unread := numbers.get("unread"):
        yield told(f"holds {unread}: as it is, it stays text", Weight.MEND)
    if distinct == 1:
        yield told(
            "is the same in every row" if not missing else "holds one value only, else it is missing", Weight.LOOK
        )
    if missing >= MANY_MISSING * rows:
        yield told(f"is missing in {words.share(missing / rows)} of the rows", Weight.LOOK)
    if spoiled:
        yield told(f"{words.counted(spoiled)} cells are no {seen.kind.value}", Weight.MEND)
    for one in personal:
        what = f"looks like an {one.what}" if one.what[0] in "eI" else f"looks like a {one.what}"
        told_rows = f"{what} in {words.counted(one.rows)} rows ({one.how})" if one.rows else "its name sounds personal"
        yield told(told_rows, Weight.LOOK)
    yield from (told(*one) for one in _odd(seen, distinct, numbers))


def _odd(seen: Seen, distinct: int, numbers: dict[str, Any]) -> Iterator[tuple[str, Weight]]:
    held = len(seen.cells) - seen.cells.null_count()
    if seen.kind is Kind.IDENTIFIER:
        yield f"names things: {words.counted(distinct)} values in {words.counted(held)} rows", Weight.KNOW
    if (outliers := numbers.get("outliers")) and outliers >= max(1, MANY_FAR * held):
        low, high = numbers["outliers_beyond"]
        yield (
            f"{words.counted(outliers)} values lie far out (Tukey: beyond {words.number(low)} to {words.number(high)}, "
            f"{FAR:g} interquartile ranges from the quartiles)",
            Weight.KNOW,
        )
    if distinct > 1 and numbers.get("commonest_rows", 0) >= LOPSIDED * held:
        yield f"is one value in {words.share(numbers['commonest_rows'] / held)} of the rows", Weight.LOOK
    if numbers.get("spellings"):
        times = "value differs" if numbers["spellings"] == 1 else "values differ"
        yield f"{numbers['spellings']} {times} from another one only in case or spaces", Weight.LOOK
    if (empty := numbers.get("empty", 0)) >= MANY_MISSING * held and empty:
        yield f"is empty text in {words.share(empty / held)} of the rows, which is a value and not a gap", Weight.LOOK
    if numbers.get("future"):
        yield f"{words.counted(numbers['future'])} times lie more than a day in the future", Weight.MEND
    if numbers.get("days_without") and numbers["days_without"] > 0.1 * (numbers["days"] + numbers["days_without"]):
        yield f"no row is of {words.counted(numbers['days_without'])} of its days", Weight.KNOW
    if numbers.get("empty_texts"):
        yield f"{words.counted(numbers['empty_texts'])} texts are empty or blank", Weight.LOOK
