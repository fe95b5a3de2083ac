"""The look at the data for a terminal: what to mend first, then a line for each column."""

from __future__ import annotations

from mainstay.comparison import words
from mainstay.comparison.plain import LEVELS
from mainstay.profiling import page
from mainstay.profiling.records import ColumnLook, Plot, Profile, Weight

SIGNS = {Weight.MEND: "✗", Weight.LOOK: "○", Weight.KNOW: "·"}
MOST = 12
MOST_COLUMNS = 60
BARS = 12
NAME = 26


def report(profile: Profile) -> str:
    """Return the report as text."""
    lines = [
        f"{page.headline(profile)}.",
        "",
        f"  {words.short(profile.name, 80)}: {words.counted(profile.rows)} rows, {len(profile.columns)} columns "
        f"({page.kinds_line(profile)})",
        "",
    ]
    told = [f for f in profile.findings if f.weight is not Weight.KNOW] or list(profile.findings)
    lines += [f"  {SIGNS[f.weight]} {words.short(f.where, 60)}: {words.short(f.what, 300)}" for f in told[:MOST]]
    if len(profile.findings) > min(len(told), MOST):
        lines.append(f"  … and {len(profile.findings) - min(len(told), MOST)} more on the page")
    shown = profile.columns[:MOST_COLUMNS]
    width = min(NAME, max(len(words.short(one.name, NAME)) for one in shown))
    lines += ["", *(_line(one, width) for one in shown)]
    if len(profile.columns) > MOST_COLUMNS:
        lines.append(f"  … and {len(profile.columns) - MOST_COLUMNS} more columns")
    return "\n".join(line.rstrip() for line in lines)


def _line(one: ColumnLook, width: int) -> str:
    name = words.short(one.name, NAME).ljust(width)
    missing = f"{words.share(one.missing / one.rows)} missing" if one.missing else ""
    return (
        f"  {name}  {one.kind.value:10} {_sparks(one.plot):{BARS}}  {words.counted(one.distinct):>9} values  {missing}"
    )


def _sparks(plot: Plot | None) -> str:
    if plot is None:
        return ""
    counts = list(plot.counts[: len(plot.counts) - plot.last_is_rest])
    step = -(-len(counts) // BARS)
    merged = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    top = max(merged, default=0.0) or 1.0
    return "".join(LEVELS[0] if c <= 0 else LEVELS[max(1, round(c / top * (len(LEVELS) - 1)))] for c in merged)
