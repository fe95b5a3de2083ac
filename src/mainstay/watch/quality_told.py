"""An attribution in plain values and sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from mainstay.stats.attribution import Attribution, Cause, Part

WORDS: Mapping[Cause, str] = {
    Cause.DATA_FAULT: "the broken field",
    Cause.INPUTS: "other inputs than before",
    Cause.LABELS: "another relation between inputs and truth",
    Cause.VERSION: "the other version",
    Cause.LABEL_NOISE: "wrong labels",
    Cause.INPUTS_OR_LABELS: "inputs or their relation to the truth, which cannot be told apart",
    Cause.FAULT_OR_LABELS: "the broken field or another relation to the truth, which cannot be told apart",
}


def nothing(why: str, *, labels: int = 0) -> dict[str, Any]:
    """Return that nothing is shared out, and why."""
    return {
        "identifiable": False,
        "why": why,
        "change": None,
        "parts": [],
        "overlap": None,
        "labels": {"before": 0, "now": labels},
        "before": "",
        "text": [f"Why it changed is not known: {why}."],
    }


def told(found: Attribution, *, source: str, regression: bool, broken: Collection[str]) -> dict[str, Any]:
    """Return an attribution, JSON-ready.

    `identifiable` says whether every cause has its part, `why` why not; `change` and `parts` hold value, low and high
    (95 %, by key) of the rise of the share of wrong answers (regression: of the mean distance), the parts adding up to
    the change; `labels` how many units were labelled; `mostly` the cause of most of a loss, where its interval excludes
    nought; `version_cleared` whether the version has no such part beside it; `before` what was compared with; `text`
    the sentences.
    """
    return {
        "identifiable": found.identifiable,
        "why": found.why,
        "change": None if found.change is None else _numbers(found.change),
        "parts": [{"cause": part.cause.value, **_numbers(part)} for part in found.parts],
        "overlap": None if np.isnan(found.overlap) else round(found.overlap, 4),
        "labels": {"before": found.keys_before, "now": found.keys_now},
        "mostly": _mostly(found, regression=regression, broken=broken),
        "version_cleared": _version_cleared(found),
        "before": source,
        "text": _sentences(found, source=source, regression=regression, broken=broken),
    }


def _mostly(found: Attribution, *, regression: bool, broken: Collection[str]) -> dict[str, Any] | None:
    """Return the part that is at least half of a loss, both surely above nought, with its sentence; None: none is."""
    if found.change is None or found.change.low <= 0.0 or not found.parts:
        return None
    part = max(found.parts, key=lambda one: one.value)
    if part.low <= 0.0 or part.value < 0.5 * found.change.value:
        return None
    of = f"{found.change.value:+.4g}" if regression else f"{found.change.value * 100:+.1f}"
    says = f"Most of the loss ({of}) comes from {_words(part.cause, broken)}: {_signed(part, regression=regression)}."
    return {"cause": part.cause.value, **_numbers(part), "text": says}


def _version_cleared(found: Attribution) -> bool:
    """Return whether the version was told apart from the rest and nothing shows that it cost anything."""
    return any(part.cause is Cause.VERSION and part.low <= 0.0 for part in found.parts)


def _numbers(part: Part) -> dict[str, float]:
    return {"value": part.value, "low": part.low, "high": part.high}


def _sentences(found: Attribution, *, source: str, regression: bool, broken: Collection[str]) -> list[str]:
    if found.change is None:
        return [f"Why it changed is not known: {found.why}."]
    what = "mean distance from the truth" if regression else "share of wrong answers"
    verb = "rose" if found.change.value >= 0 else "fell"
    lines = [f"On labels, the {what} {verb} by {_size(found.change, regression=regression)} against {source}."]
    ranked = sorted(found.parts, key=lambda part: -abs(part.value))
    named = [f"{_words(part.cause, broken)} {_signed(part, regression=regression)}" for part in ranked]
    lines.append("Of this: " + "; ".join(named) + ".")
    if not found.identifiable:
        lines.append(f"Not all can be told apart: {found.why}.")
    return lines


def _words(cause: Cause, broken: Collection[str]) -> str:
    if cause is Cause.DATA_FAULT and broken:
        return ", ".join(f"`{name}`" for name in sorted(broken)) + " being broken"
    return WORDS[cause]


def _size(part: Part, *, regression: bool) -> str:
    low, high = sorted((abs(part.low), abs(part.high))) if part.low * part.high > 0 else (part.low, part.high)
    if regression:
        return f"{abs(part.value):.4g} ({low:.4g} to {high:.4g})"
    return f"{abs(part.value) * 100:.1f} points ({low * 100:.1f} to {high * 100:.1f})"


def _signed(part: Part, *, regression: bool) -> str:
    if regression:
        return f"{part.value:+.4g} ({part.low:+.4g} to {part.high:+.4g})"
    return f"{part.value * 100:+.1f} points ({part.low * 100:+.1f} to {part.high * 100:+.1f})"
