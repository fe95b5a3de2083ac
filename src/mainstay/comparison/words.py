"""Numbers as a reader wants them: few digits, units, thin spaces between thousands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from mainstay.comparison.records import Aspect, Effect, Unit

THIN = "\N{NARROW NO-BREAK SPACE}"
LONGEST = 40


def counted(value: float) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", THIN)


def number(value: float) -> str:
    """Return a number with about four digits that count."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}".replace(",", THIN)
    text = f"{value:.4g}"
    return text if "e" not in text else f"{value:.4f}"


def share(value: float) -> str:
    """Return a share (0 to 1) as a percentage."""
    if not math.isfinite(value):
        return "–"
    points = 100.0 * value
    if points == 0 or abs(points) >= 99.95:
        return f"{points:.0f} %"
    if 0 < abs(points) < 0.1:
        return "under 0.1 %"
    return f"{points:.1f} %" if abs(points) < 10 or abs(points) > 90 else f"{points:.0f} %"


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
    line = " ".join(str(text).split()) or "(empty)"
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


def seen(aspect: Aspect) -> str:
    """Return what is seen of one aspect, with its leading size and interval."""
    effect = leading(aspect.effects)
    size = "" if effect is None else interval(effect)
    if not size or effect is None:
        return aspect.says
    across = f" {effect.name}" if effect.name.startswith("rows ") and aspect.name in ("values", "mix") else ""
    return f"{aspect.says}, {size}{across}"
