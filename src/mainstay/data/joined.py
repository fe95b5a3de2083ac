"""Rows with what [data.tables] and [data.feast] add to them, each value as of the row's own time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from mainstay.config.load import Loaded
from mainstay.config.settings import FeastSettings
from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import BadData, EnvironmentFault
from mainstay.data import feast_rows, gaps
from mainstay.data.as_of import Rule, join_as_of
from mainstay.data.cells import read_cells
from mainstay.data.content import digest_of
from mainstay.data.source import read_frame

EVENT = "event_timestamp"
"""What Feast calls the time of a row."""
MISSING = "No module named 'feast'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Rows as they were read and what was joined to them."""

    frame: pl.DataFrame
    lineage: Mapping[str, Any]
    """What the joined columns came from; empty where nothing is joined."""


def read_joined(loaded: Loaded, address: str) -> Joined:
    """Return the rows at an address (or a name of [data.sources]) with everything that is joined to them.

    Raises BadData for what cannot be read or joined, EnvironmentFault where Feast is not there or does not answer.
    """
    data = loaded.settings.data
    frame = read_frame(data.sources.get(address, address), loaded.root)
    lineage: dict[str, Any] = {}
    for name, declared in data.tables.items():
        table = read_frame(data.sources.get(declared.rows, declared.rows), loaded.root)
        age = None if declared.max_age_hours is None else timedelta(hours=declared.max_age_hours)
        rule = Rule(
            on=declared.on,
            time=declared.time,
            created=declared.created,
            max_age=age,
            take=declared.take,
            prefix=declared.prefix,
        )
        frame = join_as_of(frame, table, rule, time=str(data.time), name=f"the table {name}")
        lineage[name] = {"rows": declared.rows, "digest": digest_of(table)}
    told: dict[str, Any] = {"tables": lineage} if lineage else {}
    if data.feast.declared:
        frame = from_feast(frame, data.feast, root=loaded.root, time=str(data.time), key=data.key)
        told["feast"] = data.feast.model_dump(mode="json", exclude_defaults=True)
    return Joined(frame=gaps.declared(frame, loaded.contract), lineage=told)


def from_feast(rows: pl.DataFrame, declared: FeastSettings, *, root: Path, time: str, key: str | None) -> pl.DataFrame:
    """Return the rows, in their order, with the features that a Feast store holds of their keys as of their times.

    Feast itself leaves out a row of which every value lies in the future or is too old, and of rows of equal key and
    time all but one; here those are null, and each row stays.
    """
    on = declared.on or ({key: key} if key else {})
    absent = [column for column in (*on.values(), time) if column not in rows.columns]
    if absent or not on:
        what = f"no column {', '.join(absent)}" if absent else "no key: [data.feast] on is empty, and [data] key too"
        raise BadData(f"the rows have {what}, which Feast is asked by", remedy="Correct [data.feast] on, [data] time.")
    moments = read_cells(Field(name=time, type=FieldType.TIMESTAMP), rows[time]).alias(EVENT)
    keys = [
        read_cells(Field(name=ours, type=FieldType.IDENTIFIER), rows[ours]).alias(theirs) for theirs, ours in on.items()
    ]
    asked = pl.DataFrame([*keys, moments])
    found = _retrieve(asked.drop_nulls().unique(maintain_order=True), declared, root)
    columns = [name for name in found.columns if name not in (*on, EVENT)]
    if both := [name for name in columns if name in rows.columns]:
        raise BadData(f"Feast and the rows both have {', '.join(both)}", remedy="Leave them out of the rows.")
    found = found.with_columns(
        *(pl.col(theirs).cast(pl.String) for theirs in on),
        pl.col(EVENT).cast(pl.Datetime("us", "UTC")),
    )
    return rows.hstack(asked.join(found, on=[*on, EVENT], how="left", maintain_order="left").select(columns))


def _retrieve(asked: pl.DataFrame, declared: FeastSettings, root: Path) -> pl.DataFrame:
    python = str((root / declared.python).absolute()) if declared.python else sys.executable
    repo = (root / Path(declared.repo).expanduser()).resolve()
    if not (repo / "feature_store.yaml").is_file():
        raise BadData(
            f"{repo} is no Feast repository: it has no feature_store.yaml", remedy="Correct [data.feast] repo."
        )
    with TemporaryDirectory(prefix="mainstay-feast-") as folder:
        rows, out = Path(folder) / "rows.parquet", Path(folder) / "out.parquet"
        asked.write_parquet(rows)
        question = {
            "repo": str(repo),
            "features": list(declared.features),
            "service": declared.service or "",
            "rows": str(rows),
            "out": str(out),
        }
        try:
            done = subprocess.run(
                [python, "-I", feast_rows.__file__],
                input=json.dumps(question),
                capture_output=True,
                text=True,
                timeout=declared.timeout_s,
                check=False,
                cwd=repo,
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFault(
                f"Feast did not answer for {asked.height} rows within {declared.timeout_s:g} s",
                remedy="Raise [data.feast] timeout_s.",
            ) from error
        except OSError as error:
            raise EnvironmentFault(
                f"{python} cannot be started: {error.strerror}", remedy="Correct [data.feast] python."
            ) from error
        if done.returncode:
            raise _refused(python, done.stderr)
        return pl.read_parquet(out)


def _refused(python: str, told: str) -> EnvironmentFault:
    last = next((line for line in reversed(told.strip().splitlines()) if line.strip()), "no word")
    if MISSING in told:
        return EnvironmentFault(
            f"{python} has no Feast",
            remedy="pip install 'mainstay[feast]', or name an interpreter that has it under [data.feast] python.",
        )
    return EnvironmentFault(
        f"Feast refused: {last.strip()[:300]}", remedy="`feast apply` in the repository, or correct [data.feast]."
    )
