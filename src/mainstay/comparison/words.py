"""Numbers as a reader wants them: few digits, units, thin spaces between thousands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from mainstay.comparison.records import Aspect, Effect, Unit

THIN = "\N{NARROW NO-BREAK SPACE}"
LONGEST = 40
MOVED_ROWS = {"rows across one cut": "crossed one cut", "rows moved to other values": "moved to other values"}
"""Effects that are shares of rows which moved, and how a sentence says it."""
_UNSEEN = dict.fromkeys((*range(32), *range(127, 160), *range(8234, 8239), *range(8294, 8298)), "�")
"""Signs that a terminal obeys or that turn the direction of what follows; data never carry them into a report."""


def counted(value: float) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", THIN)


def number(value: float, digits: int = 4) -> str:
    """Return a number with about `digits` digits that count."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        text = f"{value:.3g}"
    elif size >= 1000:
        text = f"{value:,.0f}".replace(",", THIN)
    else:
        text = f"{value:.{digits}g}"
        text = text if "e" not in text else f"{value:.{digits}f}"
    return text.replace("-", "−")


def share(value: float) -> str:
    """Return a share (0 to 1) as a percentage."""
    if not math.isfinite(value):
        return "–"
    points = 100.0 * value
    if points == 0 or abs(points) >= 99.95:
        return f"{points:.0f} %"
    if 0 < abs(points) < 0.1:
        return "under 0.1 %"
    text = f"{points:.1f} %" if abs(points) < 10 or abs(points) > 90 else f"{points:.0f} %"
    return text.replace("-", "−")


def points(value: float) -> str:
    """Return a difference of shares in points, signed."""
    return f"{100.0 * value:+.1f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def p_value(p: float) -> str:
    """Return a p-value, never as zero."""
    if math.isnan(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def short(text: object, limit: int = LONGEST) -> str:
    """Return a value of the data on one line, within `limit` characters."""
    line = " ".join(str(text).split()).translate(_UNSEEN) or "(empty)"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def moment(at: datetime) -> str:
    """Return a time to the minute."""
    return at.strftime("%Y-%m-%d %H:%M")


def listed(names: list[str], most: int = 3) -> str:
    """Return names in a sentence: a, b and 3 more."""
    if len(names) <= 1:
        return "".join(names)
    if len(names) <= most:
        return ", ".join(names[:-1]) + " and " + names[-1]
    return ", ".join(names[:most]) + f" and {len(names) - most} more"


def leading(effects: Sequence[Effect]) -> Effect | None:
    """Return the effect to name: the first that is material, else the first."""
    return next((e for e in effects if e.is_material), effects[0] if effects else None)


def interval(effect: Effect) -> str:
    """Return a size with its 95 % interval."""
    if not (math.isfinite(effect.low) and math.isfinite(effect.high)):
        return ""
    if effect.unit is Unit.SIGMA:
        return f"{signed(effect.value)} σ ({signed(effect.low)} to {signed(effect.high)})"
    if effect.unit is Unit.AREA:
        return f"AUC {effect.value:.2f} ({effect.low:.2f} to {effect.high:.2f})"
    return f"{points(effect.value)} points ({points(effect.low)} to {points(effect.high)})"


def seen(aspect: Aspect, *, brief: bool = False) -> str:
    """Return what is seen of one aspect with its leading size; `brief`: without the interval."""
    effect = leading(aspect.effects)
    if effect is None or not (math.isfinite(effect.low) and math.isfinite(effect.high)):
        return aspect.says
    size = interval(effect)
    if brief:
        sized = effect.unit is not Unit.SHARE
        return f"{aspect.says} ({size.partition(' (')[0]})" if sized else aspect.says.partition("; ")[0]
    if effect.name not in MOVED_ROWS:
        return f"{aspect.says}, {size}"
    if effect.low <= 0:
        return aspect.says  # the other half of the rows named a cut that this half does not confirm
    limits = f"({100 * effect.low:.1f} to {100 * effect.high:.1f})".replace("-", "−")
    return f"{aspect.says}; {share(effect.value)} of rows {MOVED_ROWS[effect.name]} {limits}"
