"""How a signal's values lay in the reference and lie now: a histogram, the same in words, and as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from mainstay.web.shown.parts import Cell, Column, Figure, Table
from mainstay.web.words import counted, figure, percent

OTHERS = "any other"
FOUND = " (found)"
"""After the name of a slice that nobody declared."""
MOST = 20
THEN, NOW = "reference", "since it began"


def figures(found: Sequence[Mapping[str, Any]], here: str) -> tuple[Figure, ...]:
    """Return the histograms that an incident keeps; `here`: the page's address, for files.

    One that is not whole (another version of Mainstay wrote it) is left out.
    """
    drawn = [_figure(number, one, here) for number, one in enumerate(found)]
    return tuple(one for one in drawn if one is not None)


def slices(found: Sequence[Mapping[str, Any]], worst: Mapping[str, Any], here: str) -> tuple[Figure, ...]:
    """Return one figure of the segments' accuracy then and now, and of the worst slice that nobody declared.

    None where there is nothing to draw. `worst`: as the watch tells it (`watch.worst`), with the requests elsewhere as
    its "then"; only where it is a share.
    """
    bars: list[tuple[str, Any, Any, Any]] = [
        (str(one.get("segment", "")), one.get("reference_accuracy"), one.get("estimated_accuracy"), one.get("units"))
        for one in found
    ]
    if worst.get("conditions"):
        where = " and ".join(map(str, worst["conditions"]))
        bars.append((f"{where}{FOUND}", worst.get("rest"), worst.get("mean"), worst.get("rows")))
    told = [bar for bar in bars if all(isinstance(one, int | float) and 0.0 <= one <= 1.0 for one in bar[1:3])][:MOST]
    if not told:
        return ()
    then, now = _tidy([float(bar[1]) for bar in told]), _tidy([float(bar[2]) for bar in told])
    most = max(range(len(told)), key=lambda i: then[i] - now[i])
    data = {
        "kind": "bars",
        "names": [bar[0] for bar in told],
        "ticks": None,
        "series": [{"name": THEN, "values": then}, {"name": NOW, "values": now}],
    }
    return (
        Figure(
            id="slices",
            title="Accuracy of slices",
            note="Estimated, against the reference; of a slice that was found, against the requests elsewhere.",
            told=f"Fell most: {told[most][0]}, from {percent(then[most])} to {percent(now[most])}.",
            data=json.dumps(data, ensure_ascii=False, separators=(",", ":")),
            table=Table(
                id="slices",
                caption="Accuracy of slices, then and now",
                columns=(Column(name="Slice"), *(Column(name=n, number=True) for n in ("Then", "Now", "Units"))),
                rows=tuple(
                    (Cell(text=bar[0]), _share(a), _share(b), _units(bar[3]))
                    for bar, a, b in zip(told, then, now, strict=True)
                ),
                empty="",
                csv=f"{here}?csv=slices",
            ),
        ),
    )


def _units(value: Any) -> Cell:
    return _count(round(value)) if isinstance(value, int | float) else Cell(text="–")


def _figure(number: int, one: Mapping[str, Any], here: str) -> Figure | None:
    before, now, names = _counts(one.get("before")), _counts(one.get("now")), _names(one)
    if not names or len(names) != len(before) or len(names) != len(now) or not sum(before) or not sum(now):
        return None
    then, since = ([count / sum(counts) for count in counts] for counts in (before, now))
    signal, segment = str(one.get("signal", "")), str(one.get("segment", ""))
    title = f"{signal}, where {segment}" if segment else signal
    id_ = f"shape-{number}-{re.sub(r'[^a-z0-9]+', '-', signal.lower()).strip('-')[:40]}"
    most = max(range(len(names)), key=lambda i: abs(since[i] - then[i]))
    told = f"{names[most]}: {percent(then[most])} of the reference, {percent(since[most])} since it began"
    ticks = None if "values" in one else [figure(float(edge)) for edge in one["edges"]]
    data = {
        "kind": "bars",
        "names": names,
        "ticks": ticks,
        "series": [{"name": THEN, "values": _tidy(then)}, {"name": NOW, "values": _tidy(since)}],
    }
    return Figure(
        id=id_,
        title=title,
        note=f"{counted(sum(before))} reference rows, {counted(sum(now))} requests since it began",
        told=f"Moved most: {told}.",
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        table=Table(
            id=id_,
            caption=f"Values of {title}, then and now",
            columns=(
                Column(name="Value"),
                Column(name="Reference rows", number=True),
                Column(name="Share then", number=True),
                Column(name="Requests now", number=True),
                Column(name="Share now", number=True),
            ),
            rows=tuple(
                (Cell(text=name), _count(a), _share(b), _count(c), _share(d))
                for name, a, b, c, d in zip(names, before, then, now, since, strict=True)
            ),
            empty="",
            csv=f"{here}?csv={id_}",
        ),
    )


def _counts(found: Any) -> list[int]:
    if not isinstance(found, list | tuple) or not all(isinstance(one, int) and one >= 0 for one in found):
        return []
    return list(found)


def _names(one: Mapping[str, Any]) -> list[str]:
    """Return what each bin is called; none where the record is not whole."""
    values, edges = one.get("values"), one.get("edges")
    if isinstance(values, list | tuple):
        return [*map(str, values), OTHERS]
    if not isinstance(edges, list | tuple) or not all(isinstance(edge, int | float) for edge in edges):
        return []
    if not edges:
        return ["all values"]
    texts = [figure(float(edge)) for edge in edges]
    first = f"below all of the reference ({texts[0]})" if one.get("below_all") else f"below {texts[0]}"
    last = f"above all of the reference ({texts[-1]})" if one.get("above_all") else f"{texts[-1]} or more"
    return [first, *(f"{low} to {high}" for low, high in pairwise(texts)), last]


def _tidy(shares: Sequence[float]) -> list[float]:
    return [float(f"{share:.5g}") for share in shares]


def _count(value: int) -> Cell:
    return Cell(text=counted(value), plain=str(value))


def _share(value: float) -> Cell:
    return Cell(text=percent(value), plain=f"{value:.6g}")
