"""How a signal's values lie in the reference and now, in few bins: kept with an incident, to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.incidents import Finding
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.stats.intervals import Floats
from mainstay.watch.recall import Seen
from mainstay.watch.window import CONFIDENCE, LABEL, VALUE

MOST = 12
"""Signals of one incident."""
BINS = 20
"""Bins of a number, and values of a category, all others taken together."""
TAIL = 0.01
"""Share of the reference on either side that equal widths are not laid over."""
HEAPED = 0.5
"""Where one bin of equal width would hold more of the reference, bins of equal shares tell more."""
ALWAYS = (LABEL, CONFIDENCE, VALUE)
"""Told beside what is among the findings: what the model answers."""


def shapes(found: Sequence[Finding], seen: Sequence[Seen], profile: Profile) -> list[dict[str, Any]]:
    """Return for the answers and each signal among the findings how many rows each bin held then and holds now.

    Counts are exact, of all reference rows and of the requests at hand since the start (`recall`), as they come: rows
    of one key are not weighed down. A number's `edges` are ascending; bin i holds edges[i-1] <= x < edges[i], the first
    and the last are open; `below_all` and `above_all` say that the reference and the training rows held nothing in the
    first or the last. A category's `values` name all bins but the last, which holds every other value. At most `MOST`
    signals; one that the requests at hand do not have is left out.
    """
    known = {(signal.name, signal.segment): signal for signal in profile.signals}
    moved = [(finding.signal, finding.segment) for finding in found]
    wanted = moved + [(name, "") for name in ALWAYS]
    wanted.sort(key=lambda key: key[1] != "")  # what holds for all traffic before what holds for a part of it
    out: list[dict[str, Any]] = []
    for key in dict.fromkeys(wanted):
        if key not in known or len(out) == MOST:
            continue
        name, segment = key
        rows = [one.row for one in seen if not segment or segment in one.row.segments]
        values = [value for row in rows if (value := row.signals.get(name)) is not None]
        told = _of(known[key], values) if values else None
        if told is not None:
            out.append({"signal": name, "segment": segment, "rows": len(values)} | told)
    return out


def _of(signal: SignalProfile, values: Sequence[float | str]) -> dict[str, Any] | None:
    before = np.asarray(signal.counts, dtype=np.int64)
    if signal.kind is SignalKind.CATEGORY:
        return _category(signal, before, values)
    x = np.array([value for value in values if not isinstance(value, str)], dtype=np.float64)
    if not len(x) or len(before) != len(signal.edges) + 1 or not before.sum():
        return None
    edges = np.asarray(signal.edges, dtype=np.float64)
    kept = _kept(edges, before)
    then = np.add.reduceat(before, [0, *(kept + 1).tolist()])
    now = np.histogram(x, bins=[-np.inf, *edges[kept].tolist(), np.inf])[0]
    shown = [float(f"{edge:.12g}") for edge in edges[kept]]
    return _parted(signal, x, {"edges": shown, "before": then.tolist(), "now": now.tolist()})


def _kept(edges: Floats, before: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the places of the profile's edges that are shown, at most BINS - 1: exact counts need no others."""
    if len(edges) < BINS:
        return np.arange(len(edges), dtype=np.intp)
    reached = np.cumsum(before)[:-1] / before.sum()
    low, high = np.searchsorted(reached, [TAIL, 1.0 - TAIL]).clip(0, len(edges) - 1)
    even = _nearest(edges, np.linspace(edges[low], edges[high], BINS - 1))
    if np.add.reduceat(before, [0, *(even + 1).tolist()]).max() <= HEAPED * before.sum():
        return even
    return _nearest(reached, np.linspace(0.0, 1.0, BINS + 1)[1:-1])


def _nearest(among: Floats, wanted: Floats) -> NDArray[np.intp]:
    right = np.searchsorted(among, wanted).clip(1, len(among) - 1)
    left = right - 1
    return np.unique(np.where(wanted - among[left] <= among[right] - wanted, left, right)).astype(np.intp)


def _parted(signal: SignalProfile, x: Floats, told: dict[str, Any]) -> dict[str, Any]:
    """Part off what lies below or above everything that the reference or the training rows held."""
    edges, before, now = told["edges"], told["before"], told["now"]
    low, high = signal.low, signal.high
    below = 0 if low is None else int((x < low).sum())
    above = 0 if high is None else int((x > high).sum())
    if below and low is not None and (not edges or low < edges[0]):
        edges, before, now = [low, *edges], [0, *before], [below, now[0] - below, *now[1:]]
        told["below_all"] = True
    if above and high is not None and (not edges or high >= edges[-1]):
        edges, before, now = [*edges, high], [*before, 0], [*now[:-1], now[-1] - above, above]
        told["above_all"] = True
    return told | {"edges": edges, "before": before, "now": now}


def _category(signal: SignalProfile, before: NDArray[np.int64], values: Sequence[float | str]) -> dict[str, Any] | None:
    if len(before) != len(signal.values) + 1:
        return None
    place = {value: i for i, value in enumerate(signal.values)}
    now = np.bincount([place.get(str(value), len(place)) for value in values], minlength=len(before))
    named = np.arange(len(place))
    if len(place) > BINS:  # those with the largest share, then or now
        share = np.maximum(before[:-1] / max(before.sum(), 1), now[:-1] / max(now.sum(), 1))
        named = np.sort(np.argsort(-share, kind="stable")[:BINS])
    others = [int(counts.sum() - counts[named].sum()) for counts in (before, now)]
    return {
        "values": [signal.values[i] for i in named],
        "before": [*before[named].tolist(), others[0]],
        "now": [*now[named].tolist(), others[1]],
    }
