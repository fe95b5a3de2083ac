"""What a column holds, told from both sides together, so that both are read alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from mainstay.comparison import distinct
from mainstay.comparison.records import Kind
from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import UsageError, shorten
from mainstay.data.cells import read_cells
from mainstay.stats.intervals import Floats

READS = 0.9
"""A column of text is of a type when so many of its cells are spelled as one."""
FEW_INTEGERS = 12
"""Whole numbers with at most so many different values are codes: compared as categories."""
TEXT_WORDS = 3.0
TEXT_CHARS = 40.0
UNIQUE = 0.95
LEAST_UNIQUE_ROWS = 20
MANY_VALUES = 200
ROWS_PER_VALUE = 20.0
"""More different values than MANY_VALUES with fewer rows each than this are names of things, not a mix."""
LOOK_AT = 20_000
LARGEST = 1e100
"""Floats beyond this, infinite ones too, are gaps: their squares are no floats any more."""
KNOWN_SHARE = 0.5
"""... unless so many of the current ones are known: then they are a list after all."""
_ID_NAME = re.compile(r"(^|[_\-. ])(id|ids|uuid|guid|key|index|rowid|row|no|nr|number|hash)$|[a-z](Id|ID|Key)$", re.I)
_STRICT_ID_NAME = re.compile(
    r"(^|[_\-. ])(id|uuid|guid|rowid|index|customer|client|user|account|device|session|patient|member|e-?mail|phone)$"
    r"|[a-z](Id|ID)$"
)
_FIRST_SIGNS = frozenset("+-.tTfF")
"""What a number, a time or a boolean begins with, beside digits; looking is sooner done than reading."""
_TYPES = {
    Kind.NUMBER: FieldType.NUMBER,
    Kind.INTEGER: FieldType.INTEGER,
    Kind.BOOLEAN: FieldType.BOOLEAN,
    Kind.TIMESTAMP: FieldType.TIMESTAMP,
}
_AS_THEY_ARE = {Kind.NUMBER: pl.Float64, Kind.INTEGER: pl.Int64, Kind.BOOLEAN: pl.Boolean, Kind.CATEGORY: pl.String}
"""Plain cells of this type are of the kind, all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of both sides, read as one kind."""

    name: str
    kind: Kind
    a: pl.Series
    b: pl.Series
    spoiled: tuple[int, int] = (0, 0)
    """Cells of each side that are not of the kind; null in `a` and `b`."""
    spoiled_examples: tuple[str, ...] = ()
    changed_from: Kind | None = None
    """The reference's kind, where the current column is of another one; then nothing else is compared."""
    why: str = ""
    """Why it is an identifier."""
    different: tuple[pl.Series, pl.Series] | None = None
    """The different cells of each side, where they were looked for."""


def read_column(a: pl.Series, b: pl.Series, *, forced: Kind | None = None) -> Column:
    """Return both sides of a column read as one kind, told by the reference's cells first."""
    a, b = plain(a), plain(b)
    kind_a, kind_b = forced or own_kind(a), forced or own_kind(b)
    if Kind.EMPTY in (kind_a, kind_b):
        kind_a = kind_b = kind_b if kind_a is Kind.EMPTY else kind_a
    kind = _joint(kind_a, kind_b)
    if kind is None:
        return Column(name=a.name, kind=kind_b, a=a, b=b, changed_from=kind_a)
    if kind is Kind.EMPTY:
        return Column(name=a.name, kind=kind, a=a, b=b)
    read_a, spoiled_a = read_as(a, kind)
    read_b, spoiled_b = read_as(b, kind)
    if kind is Kind.INTEGER and forced is None and (holds_decimals(a, read_a) or holds_decimals(b, read_b)):
        # Rarer than the sample shows.
        kind = Kind.NUMBER
        (read_a, spoiled_a), (read_b, spoiled_b) = read_as(a, kind), read_as(b, kind)
    if forced is not None and spoiled_a == len(a) - a.null_count() > 0:
        raise UsageError(
            f"{a.name!r} was said to hold {forced}, and no cell of the reference does; for example "
            f"{shorten(a.drop_nulls().head(1).to_list()[0])}",
            remedy="Name another column or kind.",
        )
    if kind not in (Kind.TEXT, Kind.CATEGORY) and _mostly(spoiled_b, b):
        return Column(name=a.name, kind=Kind.CATEGORY, a=a, b=b, changed_from=kind)
    lost = b.filter(read_b.is_null() & b.is_not_null()).head(50).to_list() if spoiled_b else []
    examples = tuple(dict.fromkeys(str(v) for v in lost))
    different = (read_a.unique(), read_b.unique()) if kind is Kind.CATEGORY else None
    kind, why = (forced, "") if forced else finer(kind, read_a, read_b, different)
    return Column(
        name=a.name,
        kind=kind,
        a=read_a,
        b=read_b,
        spoiled=(spoiled_a, spoiled_b),
        spoiled_examples=examples[:5],
        why=why,
        different=different if kind is Kind.CATEGORY else None,
    )


def own_kind(cells: pl.Series) -> Kind:
    """Return what one side holds: its type, or for text what its cells spell (a sample of LOOK_AT of them)."""
    dtype = cells.dtype
    if cells.null_count() == len(cells):
        return Kind.EMPTY
    if dtype == pl.Boolean:
        return Kind.BOOLEAN
    if dtype.is_temporal():
        return Kind.TIMESTAMP
    if dtype.is_integer():
        return Kind.INTEGER
    if dtype.is_numeric():
        return Kind.NUMBER
    some = cells.drop_nulls()
    some = some if len(some) <= LOOK_AT else some.sample(LOOK_AT, seed=0)
    # Each different cell is read once: a column of words has few of them.
    table = some.value_counts(name="times")
    different, times = table.to_series(0), table.to_series(1)
    may_spell = [text.strip()[:1] in _FIRST_SIGNS or text.strip()[:1].isdigit() for text in different.to_list()]
    if (times.filter(pl.Series(may_spell, dtype=pl.Boolean)).sum() or 0) < READS * len(some):
        return Kind.CATEGORY
    for kind in (Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER, Kind.TIMESTAMP):
        if kind is Kind.TIMESTAMP and not different.str.contains(r"^\s*\d{4}-\d\d-\d\d").any():
            continue
        read = read_as(different, kind)[0]
        if (times.filter(read.is_not_null()).sum() or 0) >= READS * len(some):
            return Kind.NUMBER if kind is Kind.INTEGER and holds_decimals(different, read) else kind
    return Kind.CATEGORY


def holds_decimals(cells: pl.Series, whole: pl.Series) -> bool:
    """Return whether cells that are no whole numbers are numbers all the same: rain, mostly 0 and sometimes .25."""
    others = cells.filter(whole.is_null())
    return read_as(others, Kind.NUMBER)[0].count() > 0


def plain(cells: pl.Series) -> pl.Series:
    """Return cells of a type that is read further: categories as text, wide numbers as floats or integers."""
    if cells.dtype in (pl.Categorical, pl.Enum):
        return cells.cast(pl.String)
    if cells.dtype.is_float():
        numbers = cells.cast(pl.Float64)
        if not numbers.null_count() and _are_usable(numbers.to_numpy()):
            return numbers
        usable = numbers.abs() <= LARGEST
        if usable.all():
            return numbers
        return pl.select(pl.when(usable).then(numbers).alias(cells.name)).to_series()
    if cells.dtype.is_decimal() or cells.dtype in (pl.UInt64, pl.Int128, pl.UInt128):
        small = cells.cast(pl.Int64, strict=False)
        exact = not cells.dtype.is_decimal() and small.null_count() == cells.null_count()
        return small if exact else cells.cast(pl.Float64)
    if cells.dtype == pl.Time or cells.dtype == pl.Duration:
        return cells.cast(pl.Int64)
    return cells


def _are_usable(numbers: Floats) -> bool:
    """Return whether none is NaN or beyond LARGEST, soon told: a NaN is no limit."""
    return not len(numbers) or bool(numbers.min() >= -LARGEST and numbers.max() <= LARGEST)


def _joint(a: Kind, b: Kind) -> Kind | None:
    if a is b:
        return a
    if {a, b} == {Kind.NUMBER, Kind.INTEGER}:
        return Kind.NUMBER
    # A column of words may also hold what reads as numbers; the other way round the numbers became something else.
    return Kind.CATEGORY if a is Kind.CATEGORY and b in (Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN) else None


def read_as(cells: pl.Series, kind: Kind) -> tuple[pl.Series, int]:
    """Return the cells as `kind` and how many of them are not."""
    if cells.dtype == _AS_THEY_ARE.get(kind):
        return cells, 0
    typed = Field(name=cells.name, type=_TYPES[kind]) if kind in _TYPES else None
    read = cells.cast(pl.String) if typed is None else read_cells(typed, cells)
    return read, read.null_count() - cells.null_count()


def _mostly(spoiled: int, cells: pl.Series) -> bool:
    return spoiled > 0.5 * max(1, len(cells) - cells.null_count())


def finer(
    kind: Kind, a: pl.Series, b: pl.Series, different: tuple[pl.Series, pl.Series] | None = None
) -> tuple[Kind, str]:
    """Return what two sides of a read column are more closely, and why: identifiers, codes, texts.

    `different` are the different cells of both, where they are known; gaps may be among them.
    """
    if kind is Kind.INTEGER:
        return _finer_integer(a.drop_nulls(), b.drop_nulls())
    if kind is not Kind.CATEGORY:
        return kind, ""
    known_a, known_b = different or (a.unique(), b.unique())
    return _finer_text(a.drop_nulls(), b.drop_nulls(), known_a.drop_nulls(), known_b.drop_nulls())


def _finer_integer(a: pl.Series, b: pl.Series) -> tuple[Kind, str]:
    distinct_a, distinct_b = distinct.different(a), distinct.different(b)
    if max(distinct_a, distinct_b) <= FEW_INTEGERS and min(len(a), len(b)) > FEW_INTEGERS:
        return Kind.CATEGORY, ""
    unique = _unique(a, distinct_a) and (_unique(b, distinct_b) or len(b) < LEAST_UNIQUE_ROWS)
    if unique and _handed_out(a, distinct_a):
        return Kind.IDENTIFIER, "every value once, as numbers that are handed out"
    if unique and _ID_NAME.search(a.name):
        return Kind.IDENTIFIER, "every value once, and named like one"
    if _STRICT_ID_NAME.search(a.name) and distinct_a > FEW_INTEGERS:
        return Kind.IDENTIFIER, "named like one"
    return Kind.INTEGER, ""


def _finer_text(a: pl.Series, b: pl.Series, known_a: pl.Series, known_b: pl.Series) -> tuple[Kind, str]:
    distinct_a, distinct_b = len(known_a), len(known_b)
    some = pl.concat([a.head(LOOK_AT), b.head(LOOK_AT)]).unique()
    words = float(some.str.count_matches(r"\w+").mean() or 0.0)  # type: ignore[arg-type]
    chars = float(some.str.len_chars().mean() or 0.0)  # type: ignore[arg-type]
    spaced = float(some.str.contains(r"\S\s+\S").mean() or 0.0)  # type: ignore[arg-type]
    few = distinct_a <= MANY_VALUES and len(a) >= 5 * distinct_a and chars < 2 * TEXT_CHARS
    if not few and spaced > 0.5 and (words >= TEXT_WORDS or chars >= TEXT_CHARS):
        return Kind.TEXT, ""
    if _unique(a, distinct_a) and (_unique(b, distinct_b) or len(b) < LEAST_UNIQUE_ROWS):
        return Kind.IDENTIFIER, "nearly every value once"
    if _STRICT_ID_NAME.search(a.name) and distinct_a > FEW_INTEGERS:
        return Kind.IDENTIFIER, "named like one"
    many = distinct_a > MANY_VALUES and len(a) < ROWS_PER_VALUE * distinct_a
    if many and float(b.is_in(known_a.implode()).mean() or 0.0) < KNOWN_SHARE:  # type: ignore[arg-type]
        return Kind.IDENTIFIER, f"{distinct_a:,} values with few rows each, mostly others now"
    return Kind.CATEGORY, ""


def _unique(cells: pl.Series, distinct: int) -> bool:
    return len(cells) >= LEAST_UNIQUE_ROWS and distinct >= UNIQUE * len(cells)


def _handed_out(cells: pl.Series, distinct: int) -> bool:
    """Return whether whole numbers are drawn without repeats from a range where chance would repeat some.

    n values at random among R have about n²/2R pairs of equal ones; none, where 10 are due, is no chance (e⁻¹⁰).
    """
    low, high = int(cells.min()), int(cells.max())  # type: ignore[arg-type]
    return distinct == len(cells) and len(cells) ** 2 >= 20 * (high - low + 1)
