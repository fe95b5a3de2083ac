"""How a guard says what it found: three-valued, and whether an open question stands in the way."""

from __future__ import annotations

import math
from typing import Any

from mainstay.core.verdicts import Check, Verdict
from mainstay.release.units import Levels


def judged(
    name: str, question: str, *, failed: bool, passed: bool, reason: str, numbers: dict[str, Any], levels: Levels
) -> Check:
    """Return the check: bad news before good; an open question counts only where the guard must be shown to be kept."""
    verdict = Verdict.FAIL if failed else Verdict.PASS if passed else Verdict.NOT_ENOUGH
    must = name in levels.prove
    held = {key: _plain(value) for key, value in numbers.items()} | {"must_be_shown": must}
    return Check(
        name=name,
        question=question,
        verdict=verdict,
        reason=reason
        if failed or passed or must
        else f"{reason}; only what is shown to be broken stops a rollout here",
        numbers=held,
        applies=failed or passed or must,
    )


def silent(name: str, question: str, why: str, numbers: dict[str, Any] | None = None) -> Check:
    """Return the check of a guard that has no object: told, and judging nothing."""
    held = {key: _plain(value) for key, value in (numbers or {}).items()}
    return Check(name=name, question=question, verdict=Verdict.NOT_ENOUGH, reason=why, numbers=held, applies=False)


def undeclared(name: str) -> Check:
    """Return the check of a guard without a limit."""
    why = "no limit is declared in [rollout] guards: nothing was asked"
    return silent(name, f"Is the limit on {name} kept?", why)


def _plain(value: Any) -> Any:
    """Return a figure that JSON can hold: no limit yet is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
