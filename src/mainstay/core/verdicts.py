"""Three-valued judgement: missing evidence is never a pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a check concluded."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_ENOUGH = "not_enough"
    """There is no evidence, or too little, either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judged question."""

    name: str
    """Stable, snake_case."""
    question: str
    """What was asked, as a sentence that ends in a question mark."""
    verdict: Verdict
    reason: str
    """Why, in one sentence with the figures that decided."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The figures, JSON-ready."""
    applies: bool = True
    """False where the check has no object (no champion yet); it then says so and does not count."""


def combine(checks: Iterable[Check]) -> Verdict:
    """Return the verdict over the checks that apply: one FAIL fails, one NOT_ENOUGH withholds, none is NOT_ENOUGH."""
    verdicts = [check.verdict for check in checks if check.applies]
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    if not verdicts or Verdict.NOT_ENOUGH in verdicts:
        return Verdict.NOT_ENOUGH
    return Verdict.PASS
