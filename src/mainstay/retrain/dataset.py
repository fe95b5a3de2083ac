"""Labelled traffic as training rows: joined with the inputs as served, each request once, no key too loud."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from mainstay.config.load import contract_of
from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract, FieldType, Pii, Task
from mainstay.core.errors import ContractViolation, NotEnoughEvidence, Problem
from mainstay.core.incidents import Harm, Incident, State
from mainstay.core.routes import position
from mainstay.data.sealed import SEALED, sealed_column
from mainstay.journal.vault import TAG, Vault, is_sealed
from mainstay.store import feedback, incidents, pulled
from mainstay.store.feedback import Graded

if TYPE_CHECKING:
    from sqlalchemy import Connection

ORIGIN, BASE, TRAFFIC = "_origin", "base", "traffic"
WEIGHT = "_weight"
"""How much a row counts, where answers that could have been drawn are weighed."""
HEAVIEST = 20.0
"""Largest weight over the smallest: no row speaks for more than that (its chance is cut; Ionides 2008)."""
KEY, UNIT, ID, AT, HAPPENED = "_key", "_unit", "_id", "_at", "_happened"
SPLIT_SALT = "recent"
"""Fixed, so that a key's rows stay on the side they were first put on, from training to training."""
MOST_LABELS = 200_000
FAULTS_ASK = "incident:data_fault"
"""Declared under [retrain] on, it says that values which look broken are right and are to be learned."""
KEPT = (Pii.KEEP, Pii.ENCRYPT)
BEFORE_FAULT = timedelta(hours=1)
"""The start of a fault is an estimate: requests of the hour before it are not learned from either."""

DTYPES: Mapping[FieldType, pl.DataType] = {
    FieldType.TEXT: pl.String(),
    FieldType.CATEGORY: pl.String(),
    FieldType.IDENTIFIER: pl.String(),
    FieldType.NUMBER: pl.Float64(),
    FieldType.INTEGER: pl.Int64(),
    FieldType.BOOLEAN: pl.Boolean(),
    FieldType.TIMESTAMP: pl.Datetime("us", "UTC"),
}
AS_OF = "as_of"
"""In a snapshot's lineage: the moment whose labels it holds, where that was not the moment of its training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRow:
    """One distinct request with its newest label."""

    id: str
    key: str
    unit: str
    content: str
    """The inputs that the model sees, as canonical text: equal for equal content whoever sent it."""
    value: Any
    at: datetime
    inputs: Mapping[str, Any]
    answered: Any = None
    """What the version said that answered it."""
    happened: datetime | None = None
    """When it was asked."""
    group: Any = None
    """Of a ranking: whose candidates are ordered together."""
    explored: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How an answer was given that could have been drawn at random (store.feedback.Graded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Labelled traffic in two parts that share no key."""

    fit: pl.DataFrame
    recent: pl.DataFrame
    """Held out to compare candidate and champion on."""


def labelled(
    tx: Connection,
    model: str,
    settings: Settings,
    vault: Vault | None = None,
    *,
    as_of: datetime | None = None,
    until: datetime | None = None,
) -> list[LabelledRow]:
    """Return the usable labels, oldest first.

    `as_of`: only what had arrived by then, as it was then; `until`: only requests that had happened by then.

    `vault` opens sealed values, to leave out requests that were erased and to tell equal contents; without it each
    sealed request counts, as a content of its own.

    Of one request (same key, same inputs) the newest label counts; of one key the newest
    `retrain.max_labels_per_key` requests (of a ranking: groups, all whose candidates count). Labels outside the
    declared classes do not count, and requests of a time in which a field was broken neither.
    """
    contract = contract_of(settings)
    broken = broken_times(tx, model, settings)
    seen: set[str] = set()
    of_key: Counter[str] = Counter()
    counted: set[Any] = set()
    kept = []
    known_then = (
        feedback.labels(tx, model, limit=MOST_LABELS)
        if as_of is None
        else feedback.labels_as_of(tx, model, contract.target, as_of=as_of, limit=MOST_LABELS)
    )
    for graded in reversed(known_then):
        if graded.name != contract.target or not usable(graded.value, contract):
            continue
        if until is not None and graded.occurred_at > until:
            continue
        if any(start <= graded.occurred_at < end for start, end in broken):
            continue
        known, gone = (graded.inputs, {}) if vault is None else vault.opened(graded.inputs)
        if gone:
            continue
        unit, key = graded.unit or graded.id, graded.key_hash or graded.id
        if unit in seen:
            continue
        piece = (key, known.get(contract.group)) if contract.group else unit
        if piece not in counted and of_key[key] >= settings.retrain.max_labels_per_key:
            continue
        seen.add(unit)
        of_key[key] += piece not in counted
        counted.add(piece)
        kept.append(row_of(graded, known, contract, key=key, unit=unit))
    return kept[::-1] + fresh(tx, model, settings, contract, as_of=as_of, until=until)


def fresh(
    tx: Connection,
    model: str,
    settings: Settings,
    contract: Contract,
    *,
    as_of: datetime | None,
    until: datetime | None,
) -> list[LabelledRow]:
    """Return what was pulled from declared sources; a record's own time counts, else when it was pulled."""
    found = []
    for one in pulled.kept(tx, model, sources=list(settings.retrain.sources), limit=MOST_LABELS, as_of=as_of):
        at = one.at or datetime.max.replace(tzinfo=UTC)
        own = one.inputs.get(contract.time) if contract.time else None
        happened = datetime.fromisoformat(own) if isinstance(own, str) else own if isinstance(own, datetime) else at
        happened = happened if happened.tzinfo is not None else happened.replace(tzinfo=UTC)
        if not usable(one.value, contract) or (until is not None and happened > until):
            continue
        content = msgspec.json.encode(
            {f.name: one.inputs.get(f.name) for f in contract.features}, order="deterministic"
        )
        found.append(
            LabelledRow(
                id=one.id,
                key=one.key_hash,
                unit=one.id,
                content=content.decode(),
                value=one.value,
                at=at,
                inputs=one.inputs,
                happened=happened,
            )
        )
    return found


def mature_until(settings: Settings, now: datetime) -> datetime | None:
    """Return until when requests must have happened to be learned from; None where any may."""
    hours = settings.retrain.mature_hours
    return now - timedelta(hours=hours) if hours else None


def faults(tx: Connection, model: str, settings: Settings) -> list[Incident]:
    """Return the incidents that tell of a broken field, newest first; none where such values are to be learned."""
    if FAULTS_ASK in settings.retrain.on:
        return []
    found = incidents.list_(tx, model, limit=1_000)
    return [incident for incident in found if incident.harm is Harm.DATA_FAULT and _is_of_a_field(incident)]


def broken_times(tx: Connection, model: str, settings: Settings) -> list[tuple[datetime, datetime]]:
    """Return the times in which a field was broken: training on such rows would teach the fault."""
    times = []
    for incident in faults(tx, model, settings):
        end = datetime.max.replace(tzinfo=UTC)
        if incident.state in (State.MITIGATED, State.RESOLVED):
            end = max(
                e.at for e in incidents.events(tx, incident.id) if e.from_state in (State.OPEN, State.ACKNOWLEDGED)
            )
        times.append((incident.started_at - BEFORE_FAULT, end))
    return times


def _is_of_a_field(incident: Incident) -> bool:
    """Return whether a field arrives broken; where requests are refused, those that were answered are as ever."""
    return any(f.harm is Harm.DATA_FAULT and not f.signal.startswith("requests.") for f in incident.findings)


def labelled_rows(
    tx: Connection,
    model: str,
    settings: Settings,
    *,
    as_of: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """Return the usable labels as a frame: every declared field as served, the target, and `_` columns of lineage.

    Sealed values stay sealed, in the column `_sealed`. Raises ContractViolation when the journal does not keep a field
    that the model learns from.
    """
    contract = contract_of(settings)
    refuse_unkept(contract)
    rows = labelled(tx, model, settings, as_of=as_of, until=until)
    frame = frame_of(contract, rows)
    if settings.retrain.explored == "as_they_are":
        return frame
    return frame.with_columns(pl.Series(WEIGHT, weights_of(rows), dtype=pl.Float64()))


def frame_of(contract: Contract, rows: Sequence[LabelledRow]) -> pl.DataFrame:
    """Return labelled requests as a frame, in their order; see `labelled_rows`."""
    columns: dict[str, pl.Series] = {}
    for field in contract.fields:
        if field.name != contract.target:
            kept = [row.inputs.get(field.name) for row in rows]
            values = [None if is_sealed(value) else _value(value, field.type) for value in kept]
            columns[field.name] = pl.Series(field.name, values, dtype=DTYPES[field.type])
    tokens = [{name: value[TAG] for name, value in row.inputs.items() if is_sealed(value)} for row in rows]
    if any(tokens):
        columns[SEALED] = sealed_column(tokens)
    target_type = pl.String() if contract.task.is_classification else pl.Float64()
    columns[contract.target] = pl.Series(contract.target, [row.value for row in rows], dtype=target_type)
    columns[KEY] = pl.Series(KEY, [row.key for row in rows], dtype=pl.String())
    columns[UNIT] = pl.Series(UNIT, [row.unit for row in rows], dtype=pl.String())
    columns[ID] = pl.Series(ID, [row.id for row in rows], dtype=pl.String())
    columns[AT] = pl.Series(AT, [row.at for row in rows], dtype=pl.Datetime("us", "UTC"))
    columns[HAPPENED] = pl.Series(HAPPENED, [row.happened for row in rows], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(columns)


def weights_of(rows: Sequence[LabelledRow]) -> list[float]:
    """Return how much each row counts: one over the chance with which its answer was given, of mean 1 over these rows.

    Where a label comes only for some answers, Σ over them of p · 1/p is the same number for every request, so that the
    labelled speak for all requests for which those answers could be given; where labels come for every answer too, with
    more variance than need be. Rows of answers that could not have been drawn count as the mean of the others.
    """
    given = [row.explored.get("propensity") for row in rows]
    known = [1.0 / float(p) for p in given if p]
    if not known:
        return [1.0] * len(rows)
    most = HEAVIEST * min(known)
    mean = sum(min(w, most) for w in known) / len(known)
    return [1.0 if not p else min(1.0 / float(p), most) / mean for p in given]


def split(rows: pl.DataFrame, settings: Settings) -> Parts:
    """Split by a hash of the key: `retrain.recent_share` of the keys are held out, and stay held out for ever."""
    held = [position(SPLIT_SALT, key) < settings.retrain.recent_share for key in rows.get_column(KEY).to_list()]
    mask = pl.Series("held", held, dtype=pl.Boolean())
    return Parts(fit=rows.filter(~mask), recent=rows.filter(mask))


def retrain_snapshot(base_train: pl.DataFrame, labelled_fit: pl.DataFrame) -> pl.DataFrame:
    """Return base rows and labelled traffic in one frame; other lineage than `_origin` and `_happened` is dropped.

    `_origin` says which is which, `_happened` when a request was asked. Columns that only one side has are null on the
    other. Raises NotEnoughEvidence when there is no traffic row.
    """
    if labelled_fit.is_empty():
        raise NotEnoughEvidence("there is no labelled traffic to train on")
    base = base_train.drop([c for c in base_train.columns if c.startswith("_")])
    traffic = labelled_fit.drop([KEY, UNIT, ID, AT], strict=False)
    joined = pl.concat(
        [
            base.with_columns(pl.lit(BASE).alias(ORIGIN)),
            traffic.with_columns(pl.lit(TRAFFIC).alias(ORIGIN)),
        ],
        how="diagonal_relaxed",
    )
    last = [HAPPENED, ORIGIN] if HAPPENED in joined.columns else [ORIGIN]
    return joined.select([*(c for c in joined.columns if c not in last), *last])


def row_of(graded: Graded, known: Mapping[str, Any], contract: Contract, *, key: str, unit: str) -> LabelledRow:
    """Return a label joined with its request; `known` are the inputs, opened where they were sealed."""
    seen = {f.name: known.get(f.name) for f in contract.features}
    content = msgspec.json.encode(seen, order="deterministic").decode()
    return LabelledRow(
        id=graded.id,
        key=key,
        unit=unit,
        content=content,
        value=graded.value,
        at=graded.at,
        inputs=graded.inputs,
        answered=graded.label,
        happened=graded.occurred_at,
        group=known.get(contract.group) if contract.group else None,
        explored=graded.explored,
    )


def usable(value: Any, contract: Contract) -> bool:
    """Return whether a label can be learned: one of the declared classes, or a number."""
    if contract.task.is_classification:
        return isinstance(value, str) and value in contract.classes
    lowest = 0.0 if contract.task is Task.RANKING else float("-inf")
    return isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value < float("inf")


def _value(value: Any, kind: FieldType) -> Any:
    if value is None:
        return None
    if kind is FieldType.TIMESTAMP and isinstance(value, str):
        return datetime.fromisoformat(value)
    return float(value) if kind is FieldType.NUMBER else value


def refuse_unkept(contract: Contract) -> None:
    """Raise ContractViolation when the journal does not keep a field that the model learns from."""
    lost = [f for f in contract.features if f.pii not in KEPT]
    if lost:
        raise ContractViolation(
            f"traffic cannot be trained on: the journal does not keep {', '.join(f.name for f in lost)}",
            remedy='Keep these fields (pii = "keep" or "encrypt"), or give them the role `ignored`, or train on files.',
            problems=[
                Problem(where=f"fields.{f.name}.pii", what="a feature is not kept", value=f.pii, allowed=KEPT)
                for f in lost
            ],
        )
