"""The contract as a check of a whole frame, carried by Pandera.

`rules` says what is accepted; `request_check` accepts the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Role
from mainstay.core.errors import Problem
from mainstay.data.cells import DTYPES, read_cells
from mainstay.data.rules import NUMBERS, TEXTS, Rule, limits_of, nearest, shown, unknown_field_rule

REASONS = "_reasons"
CARRIED = ("_origin", "_happened")
"""Columns of ours that are no fields and pass through."""
_MISSING, _MISTYPED, _PRESENT = "missing", "mistyped", "present"
_MEANING = {"position": pl.Int64, "where": pl.String, "what": pl.String}
_BROKEN = {"row": pl.Int64, **_MEANING}

Checks = Sequence[Sequence[tuple[Any, Rule]]]
"""For each column, Pandera checks and what it means if one fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReport:
    """What became of the rows."""

    good: pl.DataFrame
    """Accepted rows in their order: declared fields in declared order and type, the target, columns of ours."""
    bad: pl.DataFrame
    """Refused rows in their order, as they came, with a list of reasons in `_reasons`."""
    problems: tuple[Problem, ...]
    """One for each field and reason, with the number of rows and the first of them."""
    flagged: int
    """Accepted rows that a request would get a warning for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column under check. Frames under check have names by number: a field may have any name."""

    name: str
    raw: pl.Series | None
    cells: pl.Series
    """As the declared type, null where missing or mistyped."""
    state: pl.Series
    """missing, mistyped or present."""
    rules: Sequence[tuple[Any, Rule]]
    """Pandera checks on `cells`."""
    state_rules: Sequence[tuple[Any, Rule]]
    """Pandera checks on `state`."""
    flags: Sequence[tuple[Any, Rule]]
    """Pandera checks on `cells` whose failure is a warning."""
    allowed: dict[Rule, Any]


def check_frame(contract: Contract, frame: pl.DataFrame, *, with_target: bool) -> FrameReport:
    """Return the rows that hold the contract, those that do not with the reasons, and what is wrong in short.

    With `with_target` each row needs a target: a declared class, or a finite number for regression. Without, the target
    is refused like in a request. Does not raise for bad rows.
    """
    columns = list(_columns(contract, frame, with_target=with_target))
    failures = _failures(columns)
    refused = failures["row"].unique().sort()
    is_bad = pl.Series(range(frame.height), dtype=pl.Int64).is_in(refused.implode())
    checked = pl.DataFrame(
        {column.name: column.cells for column in columns if column.name in _kept(contract, with_target)}
    )
    carried = [frame[name] for name in CARRIED if name in frame.columns]
    return FrameReport(
        good=checked.with_columns(carried).filter(~is_bad),
        bad=_with_reasons(frame, failures),
        problems=tuple(_problems(columns, failures)),
        flagged=_flagged(columns, ~is_bad),
    )


def _kept(contract: Contract, with_target: bool) -> list[str]:
    return [field.name for field in contract.fields] + ([contract.target] if with_target else [])


def _columns(contract: Contract, frame: pl.DataFrame, *, with_target: bool) -> Iterator[_Column]:
    for field in contract.fields:
        yield _field_column(field, frame)
    if with_target:
        yield _target_column(contract, frame)
    known = {*_kept(contract, with_target), *CARRIED}
    for name in frame.columns:
        if name not in known:
            yield _unknown_column(contract, name, _raw(name, frame))


def _field_column(field: Field, frame: pl.DataFrame) -> _Column:
    import pandera.polars as pa

    raw, cells = _cells(field, frame)
    limits = limits_of(field)
    missing = [(pa.Check.ne(_MISSING), Rule.MISSING)] if field.required else []
    return _Column(
        name=field.name,
        raw=raw,
        cells=cells,
        state=_state(raw, cells),
        rules=[*_rules(field, Policy.REFUSE), *_length_rules(field)],
        state_rules=[(pa.Check.ne(_MISTYPED), Rule.TYPE), *missing],
        flags=_rules(field, Policy.FLAG),
        allowed={
            Rule.TYPE: limits.type,
            Rule.MISSING: limits.type,
            Rule.RANGE: limits.range,
            Rule.LENGTH: limits.length,
            Rule.UNKNOWN_VALUE: limits.values,
        },
    )


def _rules(field: Field, policy: Policy) -> list[tuple[Any, Rule]]:
    """Return the checks on values whose failure is met with `policy`."""
    import pandera.polars as pa

    if field.type in NUMBERS and field.on_range is policy:
        return [(check, Rule.RANGE) for check in _range_checks(field)]
    if field.type is FieldType.CATEGORY and field.values and field.on_unknown is policy:
        return [(pa.Check.isin(list(field.values)), Rule.UNKNOWN_VALUE)]
    return []


def _range_checks(field: Field) -> Iterator[Any]:
    """Yield the bounds, for integers as integers: a large one compared as a float would be rounded."""
    import pandera.polars as pa

    whole = field.type is FieldType.INTEGER
    if field.min is not None:
        yield pa.Check.ge(math.ceil(field.min) if whole else field.min)
    if field.max is not None:
        yield pa.Check.le(math.floor(field.max) if whole else field.max)


def _length_rules(field: Field) -> list[tuple[Any, Rule]]:
    """Check the length of texts; declared categories may be as long as they are."""
    import pandera.polars as pa

    closed = bool(field.values) and field.on_unknown is Policy.REFUSE
    if field.type not in TEXTS or field.max_chars is None or closed:
        return []
    check = pa.Check(
        lambda data: data.lazyframe.select(
            (pl.col(data.key).str.len_chars() <= field.max_chars) | pl.col(data.key).is_in(list(field.values))
        ),
        name="length",
    )
    return [(check, Rule.LENGTH)]


def _target_column(contract: Contract, frame: pl.DataFrame) -> _Column:
    import pandera.polars as pa

    kind = FieldType.CATEGORY if contract.task.is_classification else FieldType.NUMBER
    field = Field(name=contract.target, type=kind, values=contract.classes, roles=(Role.IGNORED,))
    raw = _raw(contract.target, frame) if contract.target in frame.columns else None
    if raw is not None and contract.task.is_classification:
        raw = _as_classes(raw)
    cells = read_cells(field, raw) if raw is not None else _nothing(field, frame.height)
    classes = [(pa.Check.isin(list(contract.classes)), Rule.CLASS)] if contract.classes else []
    return _Column(
        name=contract.target,
        raw=raw,
        cells=cells,
        state=_state(raw, cells),
        rules=classes,
        state_rules=[(pa.Check.ne(_MISTYPED), Rule.TYPE), (pa.Check.ne(_MISSING), Rule.MISSING)],
        flags=(),
        allowed={
            Rule.TYPE: limits_of(field).type,
            Rule.MISSING: list(contract.classes) or limits_of(field).type,
            Rule.CLASS: list(contract.classes),
        },
    )


def _as_classes(raw: pl.Series) -> pl.Series:
    """Return a target as text: classes are declared as text, files often hold 0 and 1 or booleans."""
    if raw.dtype == pl.Boolean or raw.dtype.is_integer():
        return raw.cast(pl.String)
    return raw


def _unknown_column(contract: Contract, name: str, raw: pl.Series) -> _Column:
    import pandera.polars as pa

    names = [field.name for field in contract.fields]
    rule = unknown_field_rule(contract, name)
    return _Column(
        name=name,
        raw=raw,
        cells=pl.Series([None] * len(raw), dtype=pl.Boolean),
        state=_state(raw, None),
        rules=(),
        state_rules=[(pa.Check.eq(_MISSING), rule)],
        flags=(),
        allowed={rule: names},
    )


def _cells(field: Field, frame: pl.DataFrame) -> tuple[pl.Series | None, pl.Series]:
    if field.name not in frame.columns:
        return None, _nothing(field, frame.height)
    raw = _raw(field.name, frame)
    return raw, read_cells(field, raw)


def _raw(name: str, frame: pl.DataFrame) -> pl.Series:
    # Polars takes a name such as ^x$ for a pattern of names, so work goes on under another.
    return frame.get_column(name).alias("cells")


def _nothing(field: Field, rows: int) -> pl.Series:
    return pl.Series(field.name, [None] * rows, dtype=DTYPES[field.type])


def _state(raw: pl.Series | None, cells: pl.Series | None) -> pl.Series:
    if raw is None:
        return pl.Series([_MISSING] * (0 if cells is None else len(cells)), dtype=pl.String)
    mistyped = pl.lit(False) if cells is None else pl.lit(cells.is_null())
    expression = pl.when(raw.is_null()).then(pl.lit(_MISSING)).when(mistyped).then(pl.lit(_MISTYPED))
    return pl.select(expression.otherwise(pl.lit(_PRESENT))).to_series()


def _failures(columns: Sequence[_Column]) -> pl.DataFrame:
    """Return one row for each broken rule: row, position of the column, where, what."""
    found = (
        _broken(columns, [column.rules for column in columns], of="cells"),
        _broken(columns, [column.state_rules for column in columns], of="state"),
    )
    return pl.concat(found).sort("row", "position", "what")


def _broken(columns: Sequence[_Column], checks: Checks, *, of: str) -> pl.DataFrame:
    """Let Pandera check one series of each column, and return what it refused."""
    import pandera.polars as pa
    from pandera.errors import SchemaErrors

    armed = {str(position): pairs for position, pairs in enumerate(checks) if pairs}
    if not armed or not columns:
        return pl.DataFrame(schema=_BROKEN)
    frame = pl.DataFrame({name: getattr(columns[int(name)], of) for name in armed})
    schema = pa.DataFrameSchema(
        {name: pa.Column(frame[name].dtype, nullable=True, checks=[c for c, _ in ps]) for name, ps in armed.items()}
    )
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        meanings = pl.DataFrame(
            [
                (name, number, int(name), columns[int(name)].name, str(rule))
                for name, pairs in armed.items()
                for number, (_, rule) in enumerate(pairs)
            ],
            schema={"column": pl.String, "check_number": pl.Int32, **_MEANING},
            orient="row",
        )
        cases = errors.failure_cases.select("column", "check_number", pl.col("index").cast(pl.Int64).alias("row"))
        broken: pl.DataFrame = cases.join(meanings, on=["column", "check_number"], how="inner").select(*_BROKEN)
        return broken
    return pl.DataFrame(schema=_BROKEN)


def _with_reasons(frame: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    reasons = failures.group_by("row", maintain_order=True).agg(
        pl.concat_str("where", pl.lit(": "), "what").alias(REASONS)
    )
    return frame.drop(REASONS, strict=False)[reasons["row"]].with_columns(reasons[REASONS])


def _problems(columns: Sequence[_Column], failures: pl.DataFrame) -> Iterator[Problem]:
    kinds = (
        failures.group_by("position", "where", "what")
        .agg(pl.len().alias("rows"), pl.col("row").min())
        .sort("position", "what")
    )
    for kind in kinds.iter_rows(named=True):
        column, rule, first = columns[kind["position"]], Rule(kind["what"]), kind["row"]
        count = f" in {kind['rows']} rows" if kind["rows"] > 1 else ""
        value = None if column.raw is None else column.raw[first]
        near = None
        if rule is Rule.UNKNOWN_FIELD:
            near = nearest(column.name, column.allowed[rule])
        elif rule in (Rule.UNKNOWN_VALUE, Rule.CLASS):
            near = nearest(str(value), column.allowed[rule])
        yield Problem(
            where=column.name,
            what=f"{rule}{count}",
            value=shown(value),
            allowed=column.allowed[rule],
            nearest=near,
            row=first,
        )


def _flagged(columns: Sequence[_Column], is_good: pl.Series) -> int:
    # Every flag that a refused row has is left out.
    rows = _broken(columns, [column.flags for column in columns], of="cells")["row"].unique()
    return int(is_good.gather(rows).sum() or 0)
