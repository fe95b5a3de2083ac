"""What a check of a delivery found, as records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from mainstay.config.settings import DeliveryQuestion, Settings
from mainstay.core.contracts import Contract, Pii
from mainstay.core.verdicts import Check, Verdict
from mainstay.data.frame_check import FrameReport

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The rows that came, and what they are looked at beside."""

    contract: Contract
    train: pl.DataFrame
    """Rows that hold the contract, with the target."""
    test: pl.DataFrame | None = None
    last: pl.DataFrame | None = None
    """The training rows of the delivery before."""
    reports: Sequence[FrameReport] = ()
    """What the contract's check said of the rows as they came."""
    settings: Settings

    @property
    def private(self) -> tuple[str, ...]:
        """Return the fields of which no value may stand in a report that is kept."""
        return tuple(one.name for one in self.contract.fields if one.pii is not Pii.KEEP)

    @property
    def shows_values(self) -> bool:
        """Return whether values of rows may stand in a report that is kept: no field is personal."""
        return not self.private


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Figures to be drawn: a bar for each label, two where two sides are compared."""

    title: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    """0 to 1."""
    beside: tuple[float, ...] = ()
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question with its verdict, and what a person wants to see of it."""

    check: Check
    bars: tuple[Bars, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    """Rows of texts; the first one is the head."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """Everything that was asked of one delivery."""

    v: int = FORMAT
    rows: Mapping[str, int]
    """train, test, last, broken."""
    answers: tuple[Answer, ...]
    snapshots: Mapping[str, str | None] = field(default_factory=dict)
    """Ids of train, test and last."""
    made_at: str = ""
    private: tuple[str, ...] = ()
    """Fields of which no value is shown."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the questions in order."""
        return tuple(answer.check for answer in self.answers)

    def of(self, question: DeliveryQuestion) -> Check:
        """Return the check of one question."""
        return next(check for check in self.checks if check.name == question.value)

    def as_dict(self) -> dict[str, Any]:
        """Return the report JSON-ready; NaN and infinities as None."""
        return {
            "v": self.v,
            "made_at": self.made_at,
            "snapshots": dict(self.snapshots),
            "rows": dict(self.rows),
            "checks": [_finite(asdict(check)) for check in self.checks],
        }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def answer(
    question: DeliveryQuestion,
    asks: str,
    verdict: Verdict,
    reason: str,
    *,
    numbers: Mapping[str, Any] | None = None,
    applies: bool = True,
    bars: Sequence[Bars] = (),
    table: Sequence[tuple[str, ...]] = (),
    notes: Sequence[str] = (),
) -> Answer:
    """Return one answer."""
    check = Check(
        name=question.value, question=asks, verdict=verdict, reason=reason, numbers=numbers or {}, applies=applies
    )
    return Answer(check=check, bars=tuple(bars), table=tuple(table), notes=tuple(notes))


def below(value: float, limit: float) -> Verdict:
    """Return whether a figure that is no sample's stays within its limit."""
    return Verdict.PASS if value <= limit else Verdict.FAIL


def within(low: float, high: float, limit: float) -> Verdict:
    """Return whether an interval shows a figure to stay within its limit, or not to."""
    return Verdict.PASS if high <= limit else Verdict.FAIL if low > limit else Verdict.NOT_ENOUGH
