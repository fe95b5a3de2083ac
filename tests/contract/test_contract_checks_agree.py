"""The frame check and the request check accept the same rows, give the same values and name the same reasons.

100,000 generated rows. Each frame picks, column by column, how its cells are stored (as a file or a library would store
them); the same rows then go one by one through the request check.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Role, Task
from mainstay.data.frame_check import REASONS, FrameReport, check_frame
from mainstay.data.request_check import Checked, compile_request_check

ROWS, ROWS_PER_FRAME = 100_000, 1_000
T = FieldType

CONTRACT = Contract(
    task=Task.MULTICLASS,
    fields=(
        Field(name="note", type=T.TEXT, max_chars=12),
        Field(name="free", type=T.TEXT, required=False),
        Field(name="kind", type=T.CATEGORY, values=("red", "green", "a rather long blue"), max_chars=5),
        Field(
            name="place",
            type=T.CATEGORY,
            values=("north", "south"),
            max_chars=9,
            on_unknown=Policy.FLAG,
            required=False,
        ),
        Field(name="shade", type=T.CATEGORY, required=False),
        Field(name="size", type=T.NUMBER, min=-1.5, max=100),
        Field(name="heat", type=T.NUMBER, min=0, on_range=Policy.FLAG, required=False),
        Field(name="count", type=T.INTEGER, min=0.5, max=600.5, required=False),
        Field(name="rank", type=T.INTEGER, max=9_007_199_254_740_992, on_range=Policy.FLAG, required=False),
        Field(name="flag", type=T.BOOLEAN, required=False),
        Field(name="at", type=T.TIMESTAMP, required=False),
        Field(name="who", type=T.IDENTIFIER, max_chars=6, roles=(Role.IGNORED,)),
    ),
    target="truth",
    classes=("yes", "no"),
)
BY_TYPE = {field.name: field.type for field in CONTRACT.fields}

Draw = Callable[[random.Random], Any]
Stored = tuple[pl.DataType, Draw]


def text(rng: random.Random) -> str:
    letters = string.ascii_letters + " éß漢😀\u0301"
    return "".join(rng.choices(letters, k=rng.choice((0, 1, 5, 11, 12, 13, 30))))


def number(rng: random.Random) -> float:
    odd = (0.0, -0.0, -1.5, 100.0, 1e308, -1e-320, float("inf"), float("-inf"), float("nan"), 2.0**53, 2.0**53 + 2, 3.5)
    return rng.choice((rng.uniform(-20, 150), float(rng.randint(-5, 700)), rng.choice(odd)))


def whole(rng: random.Random) -> int:
    odd = (0, 1, 600, 601, 2**53, 2**53 + 1, 2**63 - 1, -(2**63))
    return rng.choice((rng.randint(-5, 700), rng.choice(odd)))


def moment(rng: random.Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**15))


def spelled_moment(rng: random.Random) -> str:
    when = moment(rng).astimezone(timezone(timedelta(minutes=rng.randint(-800, 800))))
    broken = ("", "soon", "2026-13-01", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "12:30", "20260131")
    return rng.choice(
        (when.isoformat(), when.replace(tzinfo=None).isoformat(" "), when.date().isoformat(), rng.choice(broken))
    )


def one_of(*values: Any) -> Draw:
    return lambda rng: rng.choice(values)


SPELLED: dict[FieldType, Draw] = {
    T.TEXT: text,
    T.CATEGORY: one_of("red", "green", "a rather long blue", "north", "south", "South", "", "a far longer name", "😀"),
    T.IDENTIFIER: one_of("c-1", "", "é", "far too long"),
    # Text that spells a number is a number in a frame (CSV has no types); the last test below covers that.
    T.NUMBER: one_of("", "much", "nan", "inf", "0x10", "1_0", "3,5"),
    T.INTEGER: one_of("", "many", "NaN", "-", "1e", "١"),
    T.BOOLEAN: one_of("", "yes", "1", "tru"),
    T.TIMESTAMP: spelled_moment,
}
OTHERWISE: tuple[Stored, ...] = (
    (pl.Float64(), number),
    (pl.Int64(), whole),
    (pl.Int16(), lambda rng: rng.randint(-5, 700)),
    (pl.UInt64(), lambda rng: rng.choice((3, 2**63 - 1, 2**63, 2**64 - 1))),
    (pl.Float32(), lambda rng: rng.choice((1.5, 2.0, 1e10, float("nan")))),
    (pl.Boolean(), one_of(True, False)),
    (pl.Date(), lambda rng: moment(rng).date()),
    (pl.Datetime("us"), lambda rng: moment(rng).replace(tzinfo=None)),
    (pl.Datetime("ms", "UTC"), lambda rng: moment(rng).replace(microsecond=0)),
    (pl.Time(), lambda rng: moment(rng).time()),
    (pl.List(pl.Int64()), lambda rng: [whole(rng)] * rng.randint(0, 2)),
    (pl.Struct({"a": pl.Int64()}), lambda rng: {"a": whole(rng)}),
)
RIGHT_CATEGORY = one_of("red", "green", "a rather long blue", "north")
RIGHT_NUMBER: Draw = lambda rng: rng.uniform(0, 100)  # noqa: E731
RIGHT_WHOLE: Draw = lambda rng: rng.randint(1, 100)  # noqa: E731
FITTING: dict[FieldType, tuple[tuple[pl.DataType, Draw, Draw], ...]] = {
    T.TEXT: ((pl.String(), one_of("a note", "", "é"), text),),
    T.CATEGORY: (
        (pl.String(), RIGHT_CATEGORY, SPELLED[T.CATEGORY]),
        (pl.Categorical(), RIGHT_CATEGORY, SPELLED[T.CATEGORY]),
    ),
    T.IDENTIFIER: (
        (pl.String(), one_of("c-1", "é"), SPELLED[T.IDENTIFIER]),
        (pl.Int64(), RIGHT_WHOLE, whole),
        (pl.Float64(), lambda rng: float(rng.randint(1, 100)), number),
    ),
    T.NUMBER: ((pl.Float64(), RIGHT_NUMBER, number), (pl.Int64(), RIGHT_WHOLE, whole)),
    T.INTEGER: ((pl.Int64(), RIGHT_WHOLE, whole), (pl.Float64(), lambda rng: float(rng.randint(1, 100)), number)),
    T.BOOLEAN: ((pl.Boolean(), one_of(True), one_of(True, False)),),
    T.TIMESTAMP: ((pl.Datetime("us", "UTC"), moment, moment), (pl.String(), one_of("2026-01-31"), spelled_moment)),
}
"""How fitting cells are stored, right ones, and any: mostly right rows show single faults alone."""


def column(rng: random.Random, field: Field) -> pl.Series | None:
    """Return the cells of one column, stored as some file might; None: the column is not there."""
    chance = rng.random()
    wildness = 1.0
    dtype, right, any_ = rng.choice(FITTING[field.type])
    if chance < 0.01:
        return None
    if chance < 0.02:
        return pl.Series(field.name, [None] * ROWS_PER_FRAME, dtype=pl.Null())
    if chance < 0.92:
        wildness = rng.choice((0.0, 0.02, 0.3))
    elif chance < 0.96:
        dtype, any_ = pl.String(), SPELLED[field.type]
    else:
        dtype, any_ = rng.choice(OTHERWISE)
    nulls = rng.choice((0.0, 0.0, 0.0, 0.02, 0.3))

    def cell() -> Any:
        if rng.random() < nulls:
            return None
        return any_(rng) if rng.random() < wildness else right(rng)

    return pl.Series(field.name, [cell() for _ in range(ROWS_PER_FRAME)], dtype=dtype)


def frame_of(rng: random.Random) -> pl.DataFrame:
    columns = [made for field in CONTRACT.fields if (made := column(rng, field)) is not None]
    if rng.random() < 0.3:
        name = rng.choice(("knid", "Size", "truth", "other"))
        columns.append(
            pl.Series(name, [rng.choice((None, None, "x")) for _ in range(ROWS_PER_FRAME)], dtype=pl.String())
        )
    rng.shuffle(columns)
    return pl.DataFrame(columns)


def reasons_of(checked: Checked) -> list[str]:
    return sorted(f"{problem.where}: {problem.what}" for problem in checked.problems)


def require_agreement(frame: pl.DataFrame, rows: list[dict[str, Any]], report: FrameReport) -> int:
    """Compare row by row; return how many rows were good."""
    request = compile_request_check(CONTRACT)
    checked = [request.check(row) for row in rows]
    good = [one for one in checked if not one.problems]
    assert [sorted(reasons) for reasons in report.bad[REASONS].to_list()] == [
        reasons_of(one) for one in checked if one.problems
    ]
    assert report.good.to_dicts() == [one.values for one in good]
    assert report.flagged == sum(1 for one in good if one.caveats)
    seen = {f"{where}: {what}" for one in checked for where, what in ((p.where, p.what) for p in one.problems)}
    assert {f"{p.where}: {p.what.split(' in ')[0]}" for p in report.problems} == seen
    return len(good)


def test_both_checks_agree_on_a_hundred_thousand_rows() -> None:
    rng = random.Random(20260105)
    good, reasons = 0, set()
    for _ in range(ROWS // ROWS_PER_FRAME):
        frame = frame_of(rng)
        report = check_frame(CONTRACT, frame, with_target=False)
        good += require_agreement(frame, frame.to_dicts(), report)
        reasons |= {(p.where, p.what.split(" in ")[0]) for p in report.problems}
    # The generator reaches everything that can be wrong, and is not all wrong.
    assert {what for _, what in reasons} == {
        "is missing",
        "is of the wrong type",
        "is out of range",
        "is no known category",
        "is too long",
        "is no declared field",
        "is the target, which is never sent",
    }
    assert good > ROWS // 10


@pytest.mark.parametrize("seed", range(5))
def test_text_cells_are_read_by_their_spelling(seed: int) -> None:
    rng = random.Random(seed)
    rows = [
        {
            "note": "n",
            "kind": "red",
            "size": rng.choice((rng.uniform(-20, 150), rng.randint(-5, 120))),
            "heat": None,
            "count": rng.choice((None, rng.randint(-5, 700), float(rng.randint(-5, 700)), 3.5)),
            "flag": rng.choice((None, True, False)),
            "at": rng.choice((None, moment(rng).isoformat(), "soon")),
            "who": rng.choice(("c-1", rng.randint(0, 10**8))),
        }
        for _ in range(500)
    ]
    spelled = pl.DataFrame(
        [{name: None if value is None else str(value) for name, value in row.items()} for row in rows],
        schema=dict.fromkeys(rows[0], pl.String()),
    )
    assert require_agreement(spelled, rows, check_frame(CONTRACT, spelled, with_target=False)) > 50


def test_a_date_is_its_first_moment_in_both() -> None:
    row = {"note": "n", "kind": "red", "size": 1, "who": "c", "at": date(2026, 1, 31)}
    frame = pl.DataFrame([row])
    assert require_agreement(frame, [row], check_frame(CONTRACT, frame, with_target=False)) == 1
