"""How times and documents are kept: as text that reads and sorts the same in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from mainstay.core import errors

T = TypeVar("T")

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
"""A counted key; SQLite counts only plain integers by itself."""


class Moment(TypeDecorator[datetime]):
    """Keep an aware datetime as UTC ISO-8601 text with microseconds, so that text order is time order."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn a datetime into text; a naive one is refused."""
        return None if value is None else moment_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn text into an aware datetime."""
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[Any]):
    """Keep a JSON document as text with sorted keys; None is the document `null`, and NaN and infinities become it."""

    impl = Text()
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn plain values, enums, datetimes, records and NumPy scalars into text."""
        return to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn text into plain values."""
        return None if value is None else msgspec.json.decode(value)


def moment_text(value: datetime) -> str:
    """Return the stored form of an aware datetime."""
    if value.tzinfo is None:
        raise errors.UsageError(f"a time without zone cannot be stored: {value!r}; allowed: aware datetimes")
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def to_json(value: Any) -> str:
    """Return the canonical JSON text of a value: the same value gives the same text."""
    return msgspec.json.encode(value, enc_hook=_plain, order="deterministic").decode()


def from_plain(value: Any, kind: type[T]) -> T:
    """Build a record of `kind` from the plain values that `Json` gives back."""
    return msgspec.convert(value, kind)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value)
    for method in ("item", "tolist"):
        if hasattr(value, method) and (method == "tolist" or getattr(value, "ndim", 0) == 0):
            return getattr(value, method)()
    raise TypeError(f"no JSON form for {type(value).__name__}")
