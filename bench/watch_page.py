"""What bench/watch.py measured, as tables for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- watch: written by bench/watch.py -->", "<!-- end of watch -->"
TITLES = {"mainstay": "**Mainstay**", "evidently": "Evidently", "nannyml": "NannyML", "whylogs": "whylogs"}
Row = Mapping[str, Any]


def page(found: Mapping[str, Any]) -> str:
    """Return Markdown."""
    rows: Sequence[Row] = found["rows"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    versions = ", ".join(f"{TITLES[name].strip('*')} {found['versions'][name]}" for name in names)
    parts = [
        f"{versions}.",
        "Windows of 20 independent normal columns with at least one flag, of stationary ones (defaults):",
        _stationary(rows, names),
        "Median windows until a flag on the column that moved (share of runs that missed it in 20 windows), defaults:",
        _delays(rows, names, "shift, default"),
        "The same, all tuned on the stationary windows themselves to at most 1 false one per 1,000 (none of the 200 "
        "with a reference of 100,000 rows), and Mainstay as `[watch] false_pages` says one in 1,000, which looks at no "
        "window; – : not found in half of the runs:",
        _delays(rows, names, "shift, matched", beside="shift, set"),
        _beaten(rows, names),
        "Right after the reference, without ten quiet windows before the change (Mainstay learns from quiet ones), "
        "tuned alike:",
        _delays(rows, names, "shift, matched, at once", fall_back="shift, matched", beside="shift, set, at once"),
        "Operating curves, windows of 1,000 rows, reference 10,000: false windows per 1,000 → median delay (missed):",
        _curves(found["curves"], names),
        "A new topic in 1,000 texts (CLINC150: kitchen and dining, reference 5,000 texts of nine other domains), "
        "defaults: windows until it is flagged (missed), and false flags:",
        _texts(rows, names),
        "Accuracy estimated without labels, windows of 1,000 rows, mean (largest) absolute error:",
        _estimates(rows, names),
        "A drift report of 26 columns (18 numbers, 5 categories, 2 integers, 1 boolean), frames loaded before; for "
        "Mainstay `compare` with its HTML page; processor seconds (seconds that passed, on cores that others may have "
        "used too), memory at most above what was loaded; the first time in a process, and for some again:",
        _speed(rows, names),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    text = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*text, *(f"| {' | '.join(line)} |" for line in lines)])


def _heads(names: Sequence[str]) -> list[str]:
    return [TITLES[name] for name in names]


def _pick(rows: Sequence[Row], /, **wanted: Any) -> Row | None:
    return next((row for row in rows if all(row[key] == value for key, value in wanted.items())), None)


def _sizes(rows: Sequence[Row], case: str) -> list[tuple[int, int]]:
    return list(dict.fromkeys((row["rows"], row["reference_rows"]) for row in rows if row["case"] == case))


def _stationary(rows: Sequence[Row], names: Sequence[str]) -> str:
    lines = []
    for size, reference in _sizes(rows, "stationary, default"):
        cells = [f"{size:,}", f"{reference:,}"]
        for name in names:
            row = _pick(rows, name=name, case="stationary, default", rows=size, reference_rows=reference)
            cells.append("" if row is None else f"{row['false_incidents']} of {row['windows']:,}")
        lines.append(cells)
    return _table(["rows", "reference", *_heads(names)], lines)


def _delay(row: Row | None) -> str:
    if row is None:
        return ""
    median = "–" if row["delay_windows_median"] is None else f"{row['delay_windows_median']:g}"
    return median if not row["missed_share"] else f"{median} ({row['missed_share']:.0%})"


def _delays(rows: Sequence[Row], names: Sequence[str], case: str, *, fall_back: str = "", beside: str = "") -> str:
    lines = []
    keys = dict.fromkeys((r["rows"], r["reference_rows"], r["shift_sigma"]) for r in rows if r["case"] == case)
    for size, reference, shift in keys:
        cells = [f"{size:,}", f"{reference:,}", f"{shift:g} σ"]
        for name in names:
            same = {"name": name, "rows": size, "reference_rows": reference, "shift_sigma": shift}
            row = _pick(rows, case=case, **same) or (_pick(rows, case=fall_back, **same) if fall_back else None)
            cells.append(_delay(row))
        if beside:
            cells.append(_delay(_pick(rows, case=beside, **{**same, "name": "mainstay"})))
        lines.append(cells)
    return _table(["rows", "reference", "shift", *_heads(names), *(["Mainstay as set"] if beside else [])], lines)


def _beaten(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return the cells of the matched grid in which another contestant is faster in the median."""
    worse = []
    cells = [row for row in rows if row["case"] == "shift, matched" and row["name"] == "mainstay"]
    for mine in cells:
        for name in names[1:]:
            same = {key: mine[key] for key in ("case", "rows", "reference_rows", "shift_sigma")}
            other = _pick(rows, name=name, **same)
            if other is not None and _key(other) < _key(mine):
                where = f"{mine['rows']:,} rows, reference {mine['reference_rows']:,}, {mine['shift_sigma']:g} σ"
                worse.append(f"{TITLES[name]} in {where}")
    if not worse:
        return f"No other is faster in the median in any of the {len(cells)} cells."
    return f"Faster in the median than Mainstay, of {len(cells)} cells: {'; '.join(worse)}."


def _key(row: Row) -> float:
    return float("inf") if row["delay_windows_median"] is None else float(row["delay_windows_median"])


def _curves(curves: Sequence[Row], names: Sequence[str]) -> str:
    lines = []
    for shift, allowed in dict.fromkeys((row["shift_sigma"], row["allowed_per_1000"]) for row in curves):
        cells = [f"{shift:g} σ", f"{allowed:g}"]
        for name in names:
            row = _pick(curves, name=name, shift_sigma=shift, allowed_per_1000=allowed)
            cells.append("" if row is None else f"{row['false_per_1000']:g} → {_delay(row)}")
        lines.append(cells)
    return _table(["shift", "allowed", *_heads(names)], lines)


def _texts(rows: Sequence[Row], names: Sequence[str]) -> str:
    lines = []
    for case in dict.fromkeys(row["case"] for row in rows if row["case"].startswith("text, a new")):
        cells = [case.removeprefix("text, ")]
        cells += [_delay(_pick(rows, name=name, case=case)) or "does not look at texts" for name in names]
        lines.append(cells)
    still = [_pick(rows, name=name, case="text, stationary") for name in names]
    lines.append(
        ["no new topic: false", *("" if r is None else f"{r['false_incidents']} of {r['windows']}" for r in still)]
    )
    return _table(["", *_heads(names)], lines)


def _estimates(rows: Sequence[Row], names: Sequence[str]) -> str:
    lines = []
    for case in dict.fromkeys(row["case"] for row in rows if row["case"].startswith("estimate")):
        cells = [case.removeprefix("estimate, ")]
        for name in names:
            row = _pick(rows, name=name, case=case)
            cells.append("none" if row is None else f"{row['error_mean']:.4f} ({row['error_most']:.3f}){_told(row)}")
        lines.append(cells)
    return _table(["", *_heads(names)], lines)


def _told(row: Row) -> str:
    """Return what is said beside an estimate, where anything is."""
    if "inside_share" not in row:
        return ""
    return f"; {row['inside_share']:.0%} in its interval; {row['doubted_share']:.0%} said not to be trusted"


def _run(row: Row, when: str) -> str:
    if f"{when}seconds" not in row:
        return ""
    took = f"{row[f'{when}cpu_seconds']:.2f} s ({row[f'{when}seconds']:.2f}), {row[f'{when}peak_mb']:,.0f} MB"
    return f"; again {took}" if when else took


def _speed(rows: Sequence[Row], names: Sequence[str]) -> str:
    lines = []
    for size in dict.fromkeys(row["rows"] for row in rows if row["case"] == "report"):
        cells = [f"{size:,} + {size:,} rows"]
        for name in names:
            row = _pick(rows, name=name, case="report", rows=size)
            cells.append("" if row is None else _run(row, "") + _run(row, "warm_"))
        lines.append(cells)
    return _table(["", *_heads(names)], lines)
