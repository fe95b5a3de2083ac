"""Evidence of a rollout: what champion and challenger said to the same request, each distinct unit once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from mainstay.core.events import Arm, Trust
from mainstay.store.tables import pairs as table
from mainstay.store.writes import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both answers to one request during the rollout of `version`."""

    model: str
    version: int
    """Of the challenger."""
    unit: str
    """Digest of key and inputs."""
    id: str
    key_hash: str
    arm: Arm
    """Which side answered the user."""
    occurred_at: datetime
    """When the request came, by the server's clock."""
    champion_label: Any = None
    challenger_label: Any = None
    champion_confidence: float | None = None
    challenger_confidence: float | None = None
    champion_trust: Trust | None = None
    challenger_trust: Trust | None = None
    champion_failed: bool = False
    challenger_failed: bool = False
    champion_latency_us: int = 0
    challenger_latency_us: int = 0
    label: Any = None
    """The truth, or None while it is not known."""
    step: int = 0
    segments: tuple[str, ...] = ()
    """Declared segments that the request belongs to (`channel=email`)."""


def add(tx: Connection, pair: Pair) -> bool:
    """Keep a pair unless its unit is there already in this rollout; return whether it was kept."""
    row = {name: getattr(pair, name) for name in Pair.__dataclass_fields__}
    row |= {
        "arm": pair.arm.value,
        "champion_trust": str(pair.champion_trust or ""),
        "challenger_trust": str(pair.challenger_trust or ""),
        "segments": list(pair.segments),
    }
    # Keep the pair; a repeated unit is no new evidence.
    return insert_new(tx, table, row, on=["model", "version", "unit"])


def set_label(tx: Connection, model: str, id: str, value: Any) -> int:  # noqa: A002 - its name
    """Write the truth of one prediction into its pairs; return how many there were."""
    # The truth belongs to every pair of that prediction, whatever the rollout.
    query = update(table).where(table.c.model == model, table.c.id == id)
    return tx.execute(query.values(label=value)).rowcount


def rows(tx: Connection, model: str, version: int, limit: int, *, skip: int = 0) -> list[Pair]:
    """Return `limit` pairs of one rollout behind the first `skip`, in the order in which they came."""
    # The pairs in insertion order: sequential tests need one fixed order.
    query = select(table).where(table.c.model == model, table.c.version == version).order_by(table.c.n)
    return [_pair(row) for row in tx.execute(query.offset(skip).limit(limit))]


def newest(tx: Connection, model: str, version: int, limit: int) -> list[Pair]:
    """Return the newest `limit` pairs of one rollout, newest first."""
    # The end of the rollout's pairs.
    query = select(table).where(table.c.model == model, table.c.version == version).order_by(table.c.n.desc())
    return [_pair(row) for row in tx.execute(query.limit(limit))]


def count(tx: Connection, model: str, version: int) -> int:
    """Return how many distinct units both sides have answered in this rollout."""
    # How many pairs the rollout has.
    query = select(func.count()).select_from(table).where(table.c.model == model, table.c.version == version)
    return int(tx.execute(query).scalar_one())


def count_step(tx: Connection, model: str, version: int, step: int) -> int:
    """Return how many distinct units the challenger answered to users in one step."""
    # How many users' requests the challenger itself answered.
    query = (
        select(func.count())
        .select_from(table)
        .where(
            table.c.model == model,
            table.c.version == version,
            table.c.step == step,
            table.c.arm == Arm.CHALLENGER.value,
        )
    )
    return int(tx.execute(query).scalar_one())


def _pair(row: Any) -> Pair:
    values = {name: getattr(row, name) for name in Pair.__dataclass_fields__}
    values |= {
        "arm": Arm(row.arm),
        "champion_trust": Trust(row.champion_trust) if row.champion_trust else None,
        "challenger_trust": Trust(row.challenger_trust) if row.challenger_trust else None,
        "segments": tuple(row.segments or ()),
    }
    return Pair(**values)
