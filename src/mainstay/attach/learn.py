"""What a service's traffic is compared with: rows that its project names, or else its own first requests.

Done by the loop, step by step, each of them safe to do again: the first requests suggest the contract, which goes into
the project file for a person to correct; rows and contract make a reference, which is version 1 of a model that answers
elsewhere.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from mainstay.config import load as config
from mainstay.config import write
from mainstay.config.load import Loaded
from mainstay.core import errors
from mainstay.core.contracts import Contract, FieldType, Pii, Task
from mainstay.core.events import Event, Kind
from mainstay.core.profiles import Profile
from mainstay.core.releases import Release, Stage
from mainstay.data import frame_check, gaps, infer, source
from mainstay.data.request_check import compile_request_check
from mainstay.data.snapshot import Snapshots
from mainstay.journal import frames
from mainstay.journal.read import Journal
from mainstay.models import reference
from mainstay.models.answers import Answer
from mainstay.models.outputs import ABSTAINED, LOW_TRUST
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals, Signals, text_fields, word_set
from mainstay.store import audit, blocks, releases, states
from mainstay.store.engine import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger("mainstay.attach")
BY = "attach"
CHUNK = 5_000
FOLDS = 10
MOST_FIELDS = 300
LEAST_SHARE = 0.01
LEAST_ROWS = 20
"""Fewer usable rows make no reference."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
THEIRS = (Kind.EXTERNAL, Kind.ERROR, Kind.REFUSAL)
"""Kinds of records that a service's requests become."""
ANSWER, CONFIDENCE, KEY = "_answer", "_confidence", "_key"
"""Columns of the reference's snapshot that are no fields."""


class Place(Protocol):
    """The parts of a project that are needed here."""

    @property
    def loaded(self) -> Loaded:
        """Return the project file."""

    @property
    def store(self) -> Store:
        """Return the open store."""

    @property
    def journal(self) -> Journal:
        """Return the journal."""

    @property
    def snapshots(self) -> Snapshots:
        """Return the snapshots."""

    @property
    def bundles(self) -> Path:
        """Return the folder of bundles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one turn did."""

    told: tuple[str, ...] = ()
    file_changed: bool = False
    """Whether mainstay.toml was written and has to be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Reference rows: inputs as the contract has them, with what the service answered to them."""

    values: list[dict[str, Any]]
    labels: list[Any]
    """None where it is not known."""
    confidences: list[float | None]
    keys: list[str | None]
    truth: list[Any] | None = None
    source: str
    taken: Mapping[str, int] = field(default_factory=dict)
    """Of requests: the last one in the record of each worker; the watch begins behind them."""


def progress_name(model: str) -> str:
    """Return the name of the state that tells how far learning is: {seen, needed, since}."""
    return f"learn:{model}"


def turn(place: Place, now: datetime, *, watch: str) -> Step:
    """Do the next step towards a reference; nothing where there is one, or not enough was seen yet.

    `watch` is the name under which the watch keeps its place in the journal.
    """
    loaded = place.loaded
    if not loaded.settings.project.elsewhere:
        return Step()
    model = loaded.settings.project.name
    with place.store.read() as tx:
        live = releases.live(tx, model)
    if live is not None:
        return Step()
    try:
        return _next_step(place, model, now, watch=watch)
    except (errors.ContractViolation, errors.NotEnoughEvidence, errors.UsageError) as error:
        return Step(told=_keep_failure(place, model, now, f"{error.message}. {error.remedy}"))


def _next_step(place: Place, model: str, now: datetime, *, watch: str) -> Step:
    loaded = place.loaded
    if names_rows(loaded):
        made = rows_of_file(loaded)
    else:
        events = _first_requests(place, model, now)
        if events is None:
            return Step()
        if not loaded.contract.fields:
            return _learn_contract(loaded, events)
        made = rows_of_events(loaded.contract, events)
    return Step(told=(make_reference(place, made, now, watch=watch),))


def _keep_failure(place: Place, model: str, now: datetime, why: str) -> tuple[str, ...]:
    """Keep why there is no reference, for status; it is told when it begins, not at each turn."""
    with place.store.begin() as tx:
        kept = states.get(tx, progress_name(model))
        before = kept[0] if kept else {"seen": 0, "needed": 0, "since": now.isoformat()}
        if before.get("failed") == why:
            return ()
        states.put(tx, progress_name(model), {**before, "failed": why}, expected_version=kept[1] if kept else None)
    return (f"nothing to compare traffic with: {why}",)


def again(place: Place, rows: int, now: datetime, *, watch: str, by: str, reason: str) -> str:
    """Make the newest `rows` answered requests what traffic is compared with from now on; return what was done.

    For a service whose model or use has changed for good, and after a change of the contract in the project file.
    Raises UsageError while the first reference is still being learned, NotEnoughEvidence for too few requests.
    """
    model = place.loaded.settings.project.name
    with place.store.read() as tx:
        live = releases.live(tx, model)
    if live is None or not place.loaded.contract.fields:
        raise errors.UsageError(
            f"{model} has no reference yet: it is still being learned", remedy="`mainstay status` tells how far it is."
        )
    made = rows_of_events(place.loaded.contract, newest_requests(place.journal, model, rows), which="newest")
    told = make_reference(place, made, now, watch=watch, reason=f"{reason} ({len(made.values)} rows, {made.source})")
    with place.store.begin() as tx:
        detail = {"rows": len(made.values), "reason": reason}
        audit.append(tx, who=by, what="learn", subject=model, detail=detail, now=now)
    return told


def names_rows(loaded: Loaded) -> bool:
    """Return whether the project file itself names reference rows under [data]."""
    return any(loaded.origins.get(key, "default") != "default" for key in ("data.train", "data.test"))


def make_reference(place: Place, rows: Rows, now: datetime, *, watch: str, reason: str = "") -> str:
    """Make the rows the reference: a snapshot, a bundle without a model, and a version that answers elsewhere."""
    contract, model = place.loaded.contract, place.loaded.settings.project.name
    if len(rows.values) < LEAST_ROWS:
        raise errors.NotEnoughEvidence(
            f"{len(rows.values)} usable reference rows of {rows.source}; {LEAST_ROWS} are needed",
            remedy="Look whether [fields] fits what the service is asked: `mainstay status` tells what breaks it.",
        )
    snapshot = place.snapshots.put(_frame(contract, rows), {"model": model, "source": rows.source}, now)
    vocabulary = {f.name: word_set(row.get(f.name) for row in rows.values) for f in text_fields(contract)}
    made = reference.ReferenceOnly(
        contract=contract,
        profile=profile_of(contract, rows, vocabulary),
        vocabulary=vocabulary,
        lineage={"model": model, "rows": snapshot.id, "source": rows.source},
    )
    bundle = reference.write(place.bundles, made)
    with place.store.begin() as tx:
        if rows.taken:
            place_before = blocks.cursor(tx, watch)
            behind = {worker: max(seq, place_before.get(worker, 0)) for worker, seq in rows.taken.items()}
            blocks.set_cursor(tx, watch, {**place_before, **behind})
        return _release(tx, model, bundle.digest, snapshot.id, rows, now, reason=reason)


def _release(tx: Connection, model: str, digest: str, snapshot: str, rows: Rows, now: datetime, *, reason: str) -> str:
    before = releases.live(tx, model)
    version = Release(
        model=model,
        version=releases.next_version(tx, model),
        digest=digest,
        stage=Stage.CERTIFIED,
        since=now,
        created_at=now,
        snapshot=snapshot,
        trigger=BY,
        reason=reason or f"answers elsewhere; compared with {len(rows.values)} rows ({rows.source})",
        facts={"elsewhere": True, "rows": len(rows.values), "source": rows.source},
    )
    releases.add(tx, version)
    if before is not None:
        told = f"{version.name} is what traffic is compared with now"
        releases.move(tx, before, Stage.RETIRED, reason=told, by=BY, evidence={}, now=now)
    return f"{version.name}: {version.reason}"


def profile_of(contract: Contract, rows: Rows, vocabulary: Mapping[str, frozenset[str]]) -> Profile:
    """Return the profile of the reference rows; what a service tells nothing of (trust) has no signal."""
    answers = [Answer(label=label, confidence=sure) for label, sure in zip(rows.labels, rows.confidences, strict=True)]
    profile = build_profile(
        contract,
        rows.values,
        answers,
        rows.truth,
        rows.keys if any(key is not None for key in rows.keys) else None,
        source=rows.source,
        vocabulary=vocabulary,
        signals=_signals(contract, rows.values, vocabulary),
    )
    kept = [signal for signal in profile.signals if signal.name not in (LOW_TRUST, ABSTAINED)]
    return Profile(**{**{name: getattr(profile, name) for name in Profile.__struct_fields__}, "signals": kept})


def _signals(
    contract: Contract, values: Sequence[Mapping[str, Any]], vocabulary: Mapping[str, frozenset[str]]
) -> list[Signals]:
    """Measure each row against the words of the rows of other folds: against its own words none would be unseen."""
    if not vocabulary:
        return [RowSignals(contract, {}).measure(row) for row in values]
    out: list[Signals] = [{} for _ in values]
    for fold in range(FOLDS):
        others = [row for number, row in enumerate(values) if number % FOLDS != fold]
        known = {name: word_set(row.get(name) for row in others) for name in vocabulary}
        measure = RowSignals(contract, known).measure
        for number in range(fold, len(values), FOLDS):
            out[number] = measure(values[number])
    return out


def _first_requests(place: Place, model: str, now: datetime) -> list[Event] | None:
    """Return the first answered requests once there are enough; until then keep how many there are."""
    needed = place.loaded.settings.attach.learn_requests
    with place.store.read() as tx:
        cursor, kept = blocks.cursor(tx, progress_name(model)), states.get(tx, progress_name(model))
    seen = int(kept[0]["seen"]) if kept else 0
    events, after = place.journal.read(cursor, CHUNK)
    seen += sum(_is_learned_from(event, model) for event in events)
    if events or kept is None or kept[0]["needed"] != needed:
        with place.store.begin() as tx:
            before = kept[0] if kept else {"since": now.isoformat()}
            told = {**before, "seen": seen, "needed": needed}
            states.put(tx, progress_name(model), told, expected_version=kept[1] if kept else None)
            if events:
                blocks.set_cursor(tx, progress_name(model), after)
    if seen < needed:
        return None
    return first_requests(place.journal, model, needed)


def first_requests(journal: Journal, model: str, needed: int) -> list[Event]:
    """Return the first `needed` answered requests of the journal, by arrival."""
    found: list[Event] = []
    cursor: dict[str, int] = {}
    while len(found) < needed:
        events, cursor = journal.read(cursor, CHUNK)
        if not events:
            break
        found += [event for event in events if _is_learned_from(event, model)]
    return found[:needed]


def newest_requests(journal: Journal, model: str, most: int) -> list[Event]:
    """Return the newest answered requests of the journal, oldest first."""
    kept = journal.scan(model).filter(pl.col("kind") == Kind.EXTERNAL.value).sort("received_at", "worker", "seq")
    found = [frames.decode(payload) for payload in kept.tail(most).select("payload").collect()["payload"]]
    return [event for event in found if _is_learned_from(event, model)]


def _is_learned_from(event: Event, model: str) -> bool:
    return event.kind is Kind.EXTERNAL and event.model == model and bool(event.inputs)


def _learn_contract(loaded: Loaded, events: Sequence[Event]) -> Step:
    """Write the contract that the requests suggest into the project file; a person corrects it there."""
    settings = loaded.settings
    target = settings.target.field
    frame, left_out = frame_of([event.inputs for event in events])
    told = [f"field {name} is not watched: {why}" for name, why in left_out.items()]
    contract = infer.infer_contract(frame.drop(target, strict=False), target=None)
    pii = settings.attach.pii
    # Not required: then each field's absence is watched for itself, and an incident names the field that went away.
    fields = [replace(one, pii=pii.get(one.name, Pii.KEEP), required=False) for one in contract.fields]
    task = task_of([event.label for event in events])
    text = loaded.file.read_text(encoding="utf-8")
    text = re.sub(r'(?m)^task\s*=\s*"\w+".*$', f'task = "{task.value}"', text, count=1)
    tables = [f"\n# What the first {len(events)} requests suggest; correct it, and say what is personal (pii).\n"]
    for one in fields:
        table = write.field_table(one)
        lines = "".join(f"{key} = {write.toml_value(value)}\n" for key, value in table.items())
        name = one.name if _BARE.fullmatch(one.name) else write.toml_value(one.name)
        tables.append(f"[fields.{name}]\n{lines}\n")
    _replace(loaded.file, text.rstrip("\n") + "\n" + "".join(tables))
    told.append(f"the contract of {len(fields)} fields was learned from {len(events)} requests: {loaded.file.name}")
    return Step(told=tuple(told), file_changed=True)


def frame_of(inputs: Sequence[Mapping[str, Any]]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return rows as a frame, and the fields that make no column with the reason (values of several kinds).

    Of at most MOST_FIELDS fields, those that LEAST_SHARE of the requests or more had: anybody may send a stray one.
    """
    counted = Counter(name for row in inputs for name, value in row.items() if value is not None)
    often = {name for name, count in counted.most_common(MOST_FIELDS) if count >= LEAST_SHARE * len(inputs)}
    names = [name for name in counted if name in often]
    columns = {name: [row.get(name) for row in inputs] for name in names}
    left_out: dict[str, str] = {}
    while columns:
        try:
            return infer.as_polars(columns), left_out
        except errors.BadData as error:
            wrong = {problem.where: problem.what for problem in error.problems if problem.where in columns}
            if not wrong:
                raise
            left_out |= wrong
            columns = {name: values for name, values in columns.items() if name not in wrong}
    raise errors.BadData("no field of the requests holds values of one kind", remedy="Name the inputs: inputs=")


def task_of(labels: Sequence[Any]) -> Task:
    """Return the task that a service's answers suggest."""
    known = [label for label in labels if label is not None]
    if not known:
        return Task.MULTICLASS
    if any(isinstance(label, str) for label in known):
        return Task.BINARY if len({str(label) for label in known}) <= 2 else Task.MULTICLASS
    return infer.infer_task(pl.Series(known, strict=False))


def rows_of_events(contract: Contract, events: Sequence[Event], *, which: str = "first") -> Rows:
    """Return the requests that hold the contract as reference rows."""
    check = compile_request_check(contract)
    hidden = {field.name for field in contract.fields if field.pii is not Pii.KEEP}
    values, kept = [], []
    for event in events:
        known = {n: v for n, v in event.inputs.items() if contract.field(n) is not None}
        found = check.check(known)
        if not [problem for problem in found.problems if problem.where not in hidden]:
            values.append({n: v for n, v in found.values.items() if v is not None and n not in hidden})
            kept.append(event)
    return Rows(
        values=values,
        labels=[label_in(contract, event.label) for event in kept],
        confidences=[event.confidence for event in kept],
        keys=[event.key_hash or None for event in kept],
        source=f"{which} {len(events)} requests",
        taken={event.worker: event.seq for event in events},
    )


def label_in(contract: Contract, label: Any) -> Any:
    """Return an answer as the task has it; None for what is none."""
    if label is None or contract.task.is_classification:
        return None if label is None else str(label)
    try:
        return float(label)
    except (TypeError, ValueError):
        return None


def rows_of_file(loaded: Loaded) -> Rows:
    """Return the rows that [data] names: test rows where they have an address, else training rows.

    The target is the truth where there is such a column; `[attach] prediction` and `confidence` name the service's own
    answers. Raises BadData for columns that are not there, and what `data.source` raises.
    """
    settings, contract = loaded.settings, loaded.contract
    address = settings.data.test if isinstance(settings.data.test, str) else settings.data.train
    frame = source.read_frame(settings.data.sources.get(address, address), loaded.root)
    said, sure = settings.attach.prediction, settings.attach.confidence
    missing = [name for name in (said, sure) if name is not None and name not in frame.columns]
    if missing:
        raise errors.BadData(
            f"{address} has no column {missing[0]!r}; it has {errors.shorten(frame.columns, 200)}",
            remedy="Correct [attach] prediction and confidence.",
        )
    truth_there = contract.target in frame.columns
    names = [field.name for field in contract.fields if field.name in frame.columns]
    wanted = frame.select([*names, *([contract.target] if truth_there else [])]).with_row_index("_origin")
    wanted = gaps.declared(wanted, contract)
    good = frame_check.check_frame(contract, wanted, with_target=truth_there).good
    origin = good["_origin"].to_list()

    def column(name: str | None) -> list[Any]:
        return [None] * len(origin) if name is None else frame[name].gather(origin).to_list()

    values = [{n: v for n, v in row.items() if v is not None} for row in good.select(names).iter_rows(named=True)]
    keys = [row.get(contract.key) for row in values] if contract.key else [None] * len(values)
    return Rows(
        values=values,
        labels=[label_in(contract, label) for label in column(said)],
        confidences=[None if one is None else float(one) for one in column(sure)],
        keys=[None if key is None else str(key) for key in keys],
        truth=good[contract.target].to_list() if truth_there and said is not None else None,
        source=address,
    )


def _frame(contract: Contract, rows: Rows) -> pl.DataFrame:
    kinds = {FieldType.NUMBER: pl.Float64, FieldType.INTEGER: pl.Int64, FieldType.BOOLEAN: pl.Boolean}
    columns = [
        pl.Series(
            field.name,
            [row.get(field.name) for row in rows.values],
            dtype=pl.Datetime("us", "UTC") if field.type is FieldType.TIMESTAMP else kinds.get(field.type, pl.String),
        )
        for field in contract.fields
    ]
    answers = pl.Series(ANSWER, [None if label is None else str(label) for label in rows.labels], dtype=pl.String)
    sure = pl.Series(CONFIDENCE, rows.confidences, dtype=pl.Float64)
    # Keys of a file may be personal; a hash that tells them apart is all that is needed.
    keys = [None if key is None else blake2b(key.encode(), digest_size=16).hexdigest() for key in rows.keys]
    return pl.DataFrame([*columns, answers, sure, pl.Series(KEY, keys, dtype=pl.String)])


def _replace(file: Path, text: str) -> None:
    """Replace the project file by one that was seen to load."""
    draft = file.with_name(f".new-{file.name}")
    draft.write_text(text, encoding="utf-8")
    try:
        config.load(draft, environ={})
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
