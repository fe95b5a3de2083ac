"""The answer: what a program, a terminal, a notebook and a browser get of one comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from mainstay.comparison.records import FieldReport, Quality, Side, Status, Together, Verdict

FIRST_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two data sets compared. Print it, show it in a notebook, or write it with `html`."""

    reference: Side
    current: Side
    verdict: Verdict
    headline: str
    """The verdict in one sentence."""
    reasons: tuple[str, ...]
    """What it stands on, in sentences."""
    fields: tuple[FieldReport, ...]
    """Every field, the one that moved most first."""
    together: Together | None
    quality: Quality | None
    notes: tuple[str, ...]
    """How it was done, and what must not be read into it."""
    alpha: float
    tests: int
    detectable_sigma: float
    """Shift of one number, in σ, that would be found in 80 % of cases."""

    @property
    def moved(self) -> tuple[FieldReport, ...]:
        """Return the fields that moved or broke, the one that moved most first."""
        return tuple(f for f in self.fields if f.status in (Status.BROKEN, Status.MOVED))

    def field(self, name: str) -> FieldReport:
        """Return one field's report; KeyError where there is no such field."""
        for report in self.fields:
            if report.name == name:
                return report
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready data; NaN and infinities as None."""
        return {"format": FIRST_FORMAT, **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}

    def html(self, path: str | Path) -> Path:
        """Write the report as one self-contained page and return its path; an existing file is replaced as a whole."""
        from mainstay.comparison import page

        return page.write(page.document(self), path)

    def _repr_html_(self) -> str:
        from mainstay.comparison import page

        return page.fragment(self)

    def __str__(self) -> str:
        from mainstay.comparison import plain

        return plain.report(self)

    def __repr__(self) -> str:
        return f"<Comparison {self.reference.name} / {self.current.name}: {self.headline}>"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)
