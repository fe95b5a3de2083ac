"""A compiled model is believed when it answers as its estimator does, on real rows and on the strangest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.core.contracts import Contract, Field, FieldType, Policy
from mainstay.models.compiled.parts import Floats, Program, Row
from mainstay.models.compiled.program_file import Described, assemble

TOLERANCE = 1e-9
"""Largest difference of a probability, or of a value relative to the largest, for arithmetic in 64 bits."""
TOLERANCE_32 = 2e-6
"""The same for libraries that add in 32 bits (XGBoost)."""
MOST_ROWS = 4_000
Handed = Callable[[Sequence[Row]], Sequence[Row]]
_FAILURES = (ValueError, TypeError, KeyError, IndexError, OverflowError)
STRANGE_TEXTS = (
    "",
    " ",
    "\t\n  \r\n",
    "a",
    "I I I I",
    "ÀÉÎÕÜ àéîõü ẞ ß ŒUVRE Ǆ ǆ ﬁ ﬃ",
    "İstanbul ISPARTA ıslak",
    "e\u0301 n\u0303 o\u0308 combined",
    "Ελληνικά ΣΊΣΥΦΟΣ ς σ",
    "Привет МИР ёлка",
    "日本語のテキスト 中文 한국어",
    "مرحبا بالعالم עברית",
    "हिन्दी देवनागरी ไทย",
    "👍🏽👩‍👩‍👧‍👦 😀😀 ok 👌",
    "zero\u200bwidth no\u00a0break soft\u00adhyphen",
    "under_score x_y 1_000 3.14 1e5 ½ ② Ⅷ ٣",
    "a\x00b \x1b[31m \ufffd \uffff",
    "don't can’t it's “quoted” —dash–",
    "x" * 5000,
    "word " * 2000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How a compiled model compares with its estimator."""

    holds: bool
    rows: int
    largest: float
    """Largest difference of a probability (0 to 1), or of a value relative to the largest one."""
    tolerance: float
    why: str
    """In a sentence."""


def as_they_are(rows: Sequence[Row]) -> Sequence[Row]:
    """Return checked rows: what a program takes where there is no feature code."""
    return rows


def hold(
    described: Described,
    original: Callable[[Sequence[Row]], Floats],
    rows: Sequence[Row],
    *,
    strange: Sequence[Row] = (),
    tolerance: float = TOLERANCE,
    handed: Handed = as_they_are,
) -> tuple[Program | None, Parity]:
    """Return the program with the first of its links that holds on all rows, or None and how far off the best was.

    `original` answers rows as the estimator does, shape (n, classes) in the estimator's order, or (n,); it may refuse
    (raise on) a strange row, and then the program must refuse it too, or answer it with what is no number. Some rows
    are also asked one by one, as a batch must not change an answer. `handed` makes of rows what the program takes.
    """
    answered, refused = _sorted(original, strange)
    asked = [*rows, *answered]
    wanted = original(asked)
    best: Parity | None = None
    for link in described["links"]:
        program = assemble(described | {"head": described["head"] | {"link": link}})
        found = _compare(program, wanted, asked, tolerance, handed)
        bold = next((row for row in refused if not _refuses(program, row, handed)), None)
        if found.holds and bold is not None:
            found = _told(0.0, len(asked), tolerance, "it answers a row that the estimator refuses")
        if found.holds:
            described["head"]["link"] = link
            return program, found
        best = found if best is None or found.largest < best.largest else best
    assert best is not None, "a description names at least one link"  # noqa: S101 - our own describe() does
    return None, best


def _sorted(original: Callable[[Sequence[Row]], Floats], strange: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the strange rows that the estimator answers, and those that it refuses.

    Asked all at once, as one call of a library costs about the same for one row and for many; where that is refused,
    one by one, to know which of them it was.
    """
    if not strange or _answers(original, strange):
        return list(strange), []
    answered: list[Row] = []
    refused: list[Row] = []
    for row in strange:
        (answered if _answers(original, [row]) else refused).append(row)
    return answered, refused


def _answers(original: Callable[[Sequence[Row]], Floats], rows: Sequence[Row]) -> bool:
    try:
        return bool(np.isfinite(original(rows)).all())
    except Exception:  # noqa: BLE001 - edge: another library's model, which may refuse in any way
        return False


def _refuses(program: Program, row: Row, handed: Handed) -> bool:
    try:
        taken = handed([row])
    except Exception:  # noqa: BLE001 - edge: the project's feature code, which may refuse in any way
        return True
    try:
        with np.errstate(all="ignore"):
            return not np.isfinite(program.predict(taken)).all()
    except _FAILURES:
        return True


def _compare(program: Program, wanted: Floats, rows: Sequence[Row], tolerance: float, handed: Handed) -> Parity:
    with np.errstate(all="ignore"):
        try:
            got = program.predict(handed(rows))
            alone = np.concatenate([program.predict(handed([row])) for row in rows[: min(64, len(rows))]])
        except _FAILURES as error:
            return _told(np.inf, len(rows), tolerance, f"it fails where the estimator does not: {error}")
    if got.shape != wanted.shape:
        return _told(np.inf, len(rows), tolerance, f"its shape is {got.shape}, the estimator's {wanted.shape}")
    scale = 1.0 if wanted.ndim == 2 else max(1.0, float(np.abs(wanted).max(initial=0.0)))
    largest = max(_distance(got, wanted), _distance(alone, wanted[: len(alone)])) / scale
    if largest > tolerance:
        return _told(largest, len(rows), tolerance, f"answers differ by up to {largest:.2g}; at most {tolerance:g} may")
    if wanted.ndim == 2 and not _same_labels(got, wanted, tolerance):
        return _told(largest, len(rows), tolerance, "labels differ")
    return Parity(
        holds=True,
        rows=len(rows),
        largest=largest,
        tolerance=tolerance,
        why=f"answers equal the estimator's within {largest:.2g} on {len(rows)} rows",
    )


def _told(largest: float, rows: int, tolerance: float, why: str) -> Parity:
    return Parity(holds=False, rows=rows, largest=largest, tolerance=tolerance, why=why)


def _distance(got: Floats, wanted: Floats) -> float:
    if (np.isnan(got) != np.isnan(wanted)).any():
        return np.inf
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(got - wanted), initial=0.0))


def _same_labels(got: Floats, wanted: Floats, tolerance: float) -> bool:
    """Return whether labels are equal, but for ties that the tolerance cannot tell apart."""
    ordered = np.sort(wanted, axis=1)
    clear = np.ones(len(wanted), bool) if wanted.shape[1] < 2 else ordered[:, -1] - ordered[:, -2] > 2 * tolerance
    return bool((got.argmax(axis=1) == wanted.argmax(axis=1))[clear].all())


def asked_rows(contract: Contract, rows: Sequence[Row]) -> list[Row]:
    """Return at most MOST_ROWS real rows, evenly taken, reduced to what the model sees."""
    names = [field.name for field in contract.features]
    return [{name: row.get(name) for name in names} for row in rows[:: max(1, len(rows) // MOST_ROWS)][:MOST_ROWS]]


def strange_rows(contract: Contract, rows: Sequence[Row]) -> list[Row]:
    """Return real rows changed in one field each to the strangest values that the contract allows there."""
    real = asked_rows(contract, rows[:: max(1, len(rows) // 100)])
    if not real:
        return []
    return [
        {**real[number % len(real)], field.name: value}
        for field in contract.features
        for number, value in enumerate(_strange_values(field))
    ]


def _strange_values(field: Field) -> list[Any]:
    values: list[Any] = [] if field.required else [None]
    if field.type is FieldType.TEXT:
        return [*values, *(text[: field.max_chars or None] for text in STRANGE_TEXTS)]
    if field.type in (FieldType.NUMBER, FieldType.INTEGER):
        ends = [end for end in (field.min, field.max) if end is not None]
        free = [0.0, -1.0, 1e6, -1e6] if field.on_range is Policy.FLAG or not ends else []
        numbers = [*ends, *free]
        return [*values, *(int(n) if field.type is FieldType.INTEGER else float(n) for n in numbers)]
    if field.type is FieldType.CATEGORY:
        strange = ["never seen"] if field.on_unknown is Policy.FLAG or not field.values else []
        return [*values, *field.values, *strange]
    if field.type is FieldType.BOOLEAN:
        return [*values, True, False]
    return values
