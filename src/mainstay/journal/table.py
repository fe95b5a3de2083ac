"""The journal as a table: the columns of the Parquet parts, and reading them back. Imports Polars when used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core.events import Event, Kind
from mainstay.journal import files, frames, manifest
from mainstay.journal.files import SealedName
from mainstay.journal.manifest import Manifest

if TYPE_CHECKING:
    import polars as pl

_PLAIN = [
    "v",
    "model",
    "worker",
    "seq",
    "id",
    "kind",
    "occurred_at",
    "received_at",
    "bundle",
    "assigned_arm",
    "served_arm",
    "key_hash",
    "unit",
    "confidence",
    "trust",
    "latency_us",
    "status",
    "reason",
    "trace_id",
    "route_epoch",
]
_NESTED = ("inputs", "label", "probabilities", "warnings", "paired", "feedback")
_WHOLE = ("v", "seq", "latency_us", "status", "route_epoch")
_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


def schema() -> dict[str, Any]:
    """Return the columns and their Polars types."""
    import polars as pl

    kinds: dict[str, Any] = dict.fromkeys(_PLAIN, pl.String)
    kinds |= dict.fromkeys(_WHOLE, pl.Int64)
    kinds |= {"occurred_at": _moment(), "received_at": _moment(), "confidence": pl.Float64}
    return kinds | dict.fromkeys(_NESTED, pl.String) | {"payload": pl.Binary}


def frame(events: Iterable[Event]) -> pl.DataFrame:
    """Return events as rows."""
    import polars as pl

    return pl.DataFrame([_row(event) for event in events], schema=schema(), orient="row")


def lazy(folder: Path, model: str, names: Sequence[SealedName], open_events: Iterable[Event]) -> pl.LazyFrame:
    """Return a model's sealed parts and open records as one lazy frame."""
    import polars as pl

    paths = [
        files.sealed(folder) / part.path
        for name in names
        for part in manifest.read(name.path).parts
        if part.model == model
    ]
    # The partition's folder names are for other readers; every column is in the file itself.
    parts = [pl.scan_parquet(paths, hive_partitioning=False)] if paths else []
    return pl.concat([*parts, frame(open_events).lazy()])


def between(rows: pl.LazyFrame, start: datetime | None, end: datetime | None) -> pl.LazyFrame:
    """Keep rows with start <= occurred_at < end."""
    import polars as pl

    if start is not None:
        rows = rows.filter(pl.col("occurred_at") >= pl.lit(start, dtype=_moment()))
    if end is not None:
        rows = rows.filter(pl.col("occurred_at") < pl.lit(end, dtype=_moment()))
    return rows


def sealed_events(folder: Path, name: SealedName, after: int) -> Iterator[Event]:
    """Yield the records of a sealed segment with a seq above `after`, in order of seq."""
    import polars as pl

    paths = [files.sealed(folder) / part.path for part in manifest.read(name.path).parts]
    if not paths:
        return
    rows = pl.scan_parquet(paths, hive_partitioning=False).filter(pl.col("seq") > after).select("seq", "payload")
    for payload in rows.collect().sort("seq")["payload"]:
        yield frames.decode(payload)


def sealed_record(folder: Path, held: Manifest, wanted: str, kinds: Collection[Kind]) -> Event | None:
    """Return the last record of an id and one of the kinds in a sealed segment, or None."""
    import polars as pl

    paths = [files.sealed(folder) / part.path for part in held.parts]
    rows = (
        pl.scan_parquet(paths, hive_partitioning=False)
        .filter((pl.col("id") == wanted) & pl.col("kind").is_in([kind.value for kind in kinds]))
        .select("seq", "payload")
        .collect()
        .sort("seq")
    )
    return frames.decode(rows["payload"][-1]) if rows.height else None


def matching(folder: Path, name: SealedName, model: str, *, key_hash: str | None, kind: Kind | None) -> Iterator[Event]:
    """Yield a model's records of a key, or of a kind, in a sealed segment, in order of seq, part by part."""
    import polars as pl

    for part in manifest.read(name.path).parts:
        if part.model != model:
            continue
        rows = pl.scan_parquet(files.sealed(folder) / part.path, hive_partitioning=False)
        if key_hash is not None:
            rows = rows.filter(pl.col("key_hash") == key_hash)
        if kind is not None:
            rows = rows.filter(pl.col("kind") == kind.value)
        for payload in rows.select("seq", "payload").collect().sort("seq")["payload"]:
            yield frames.decode(payload)


def _moment() -> Any:
    import polars as pl

    return pl.Datetime("us", "UTC")


def _row(event: Event) -> tuple[Any, ...]:
    plain = (getattr(event, name) for name in _PLAIN)
    nested = (_json(getattr(event, name)).decode() for name in _NESTED)
    return (*(value.value if isinstance(value, StrEnum) else value for value in plain), *nested, _encode(event))
