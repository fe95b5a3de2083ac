"""Served rows, computed again the way training would, and held beside what serving made of them.

What serving made is computed by the version's own code from the recorded inputs, each row alone, as its request was
read. Training's is made of the same rows as one frame, which the contract checks as it checks training data: by the
version's code, and by the code of the project as it is now, with which the next version will be trained.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mainstay.catalogue.records import Compared, Differing, Example
from mainstay.core.calls import is_load_test
from mainstay.core.errors import MainstayError, NotEnoughEvidence, NotReady
from mainstay.core.events import Event, Kind
from mainstay.data.request_check import compile_request_check
from mainstay.journal.vault import Vault
from mainstay.models import load as models
from mainstay.models.inputs import Inputs
from mainstay.models.load import LoadedModel
from mainstay.store import blocks, releases
from mainstay.train.code import project_code
from mainstay.train.fit import load_pipeline
from mainstay.watch import skew
from mainstay.watch.turn import consumer

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.parts import Parts

ROWS = 500
LOOK_BACK = 4
MOST_READ = 100_000
"""Records that are read from where the watch stands."""
SHOWN = 5
FIELD, COMPANY, CODE = "field", "company", "code"
Rows = Sequence[Mapping[str, Any]]


def compare(parts: Parts, *, rows: int = ROWS) -> Compared:
    """Compare the newest rows that the version of now answered.

    Raises NotReady where none answers, NotEnoughEvidence where the journal holds no row of it to compute again.
    """
    with parts.store.read() as tx:
        live = releases.live(tx, parts.model)
    if live is None:
        raise NotReady(f"no version of {parts.model} answers yet", remedy="mainstay train, then mainstay up.")
    events = _newest(parts, live.name, rows)
    if not events:
        raise NotEnoughEvidence(f"the journal holds no row that {live.name} answered", remedy="Send it requests.")
    loaded = models.load(parts.open_bundle(live.digest, original=True), original=True)
    return hold_beside(loaded, events, parts.vault, version=live.name, now=lambda kept: _now(parts.loaded, live, kept))


def _newest(parts: Parts, bundle: str, rows: int) -> list[Event]:
    """Return the newest rows that a version answered, from where the watch stands; from all where those are few."""

    def of(events: Iterable[Event]) -> list[Event]:
        served = (
            event
            for event in events
            if event.kind is Kind.PREDICTION
            and event.model == parts.model
            and event.bundle == bundle
            and event.served_arm in skew.MODELS
            and not is_load_test(event.trace_id)
        )
        return heapq.nlargest(rows, served, key=lambda event: event.received_at)

    with parts.store.read() as tx:
        place = blocks.cursor(tx, consumer(parts.model))
    behind = {worker: max(0, seq - LOOK_BACK * rows) for worker, seq in place.items()}
    events, _ = parts.journal.read(behind, MOST_READ) if place else ([], {})
    found = of(events)
    if len(found) == rows and len(events) < MOST_READ:
        return found
    return of(parts.journal.matching(parts.model, kind=Kind.PREDICTION))


def hold_beside(
    loaded: LoadedModel,
    events: Sequence[Event],
    vault: Vault,
    *,
    version: str,
    now: Callable[[Rows], Any] | None = None,
) -> Compared:
    """Compare rows that a version answered; `now` computes features by the project's code, or raises why it cannot."""
    contract, check = loaded.contract, compile_request_check(loaded.contract)
    usable = skew.usable_rows(loaded, events, vault)
    if not usable:
        raise NotEnoughEvidence(
            f"of {len(events)} rows the record holds none with all that {version} takes",
            remedy='Only fields with pii = "keep" or "encrypt" can be computed again.',
        )
    found, notes = _Found(), list[str]()
    offline = skew.as_training(contract, usable)
    refused = sum(row is None for row in offline)
    if refused:
        notes.append(f"{refused} rows were served, and training data's check refuses them")
    kept = [(event, values, gone, row) for (event, values, gone), row in zip(usable, offline, strict=True) if row]
    ids = [event.id for event, _, _, _ in kept]
    requests = [check.check(values).values for _, values, _, _ in kept]
    frames = [row for _, _, _, row in kept]
    for id_, mine, row, (_, _, gone, _) in zip(ids, requests, frames, kept, strict=True):
        for one in contract.fields:
            if one.name not in gone:
                found.add(one.name, FIELD, id_, mine.get(one.name), row.get(one.name), tolerance=0.0)
    if loaded.features is not None and kept:
        _features(loaded, ids, requests, frames, found, notes, now)
    return Compared(
        version=version,
        rows=len(kept),
        left_out=len(events) - len(usable),
        compared=tuple(found.compared),
        differing=tuple(found.differing()),
        notes=tuple(notes),
    )


def _features(
    loaded: LoadedModel,
    ids: Sequence[str],
    requests: Rows,
    frames: Rows,
    found: _Found,
    notes: list[str],
    now: Callable[[Rows], Any] | None,
) -> None:
    alone = [_made(loaded.features_of([row]))[0] for row in requests]
    together = _made(loaded.features_of(frames))
    current: Sequence[Mapping[str, Any]] | None = None
    if now is not None:
        try:
            current = _made(now(frames))
        except MainstayError as error:
            notes.append(f"the project's code of now was not compared: {error.message}")
        except Exception as error:  # noqa: BLE001 - edge: the project's own code
            notes.append(f"the project's code of now was not compared: {type(error).__name__}: {error}")
    if current is not None and (gone := [name for name in alone[0] if name not in current[0]]):
        notes.append(f"the project's code of now makes no {', '.join(gone)}")
    for place, id_ in enumerate(ids):
        for name, value in alone[place].items():
            same = found.add(name, COMPANY, id_, value, together[place].get(name), tolerance=skew.TOLERANCE)
            if same and current is not None and name in current[place]:
                found.add(name, CODE, id_, value, current[place][name], tolerance=skew.TOLERANCE)


def _made(made: Any) -> list[dict[str, Any]]:
    names, cells = skew.cells(made)
    return [dict(zip(names, row, strict=True)) for row in cells]


@dataclass(slots=True)
class _Found:
    rows: dict[str, int] = field(default_factory=dict)
    """How many values of a name were compared."""
    wrong: dict[tuple[str, str], list[Example]] = field(default_factory=dict)

    def add(self, name: str, what: str, id_: str, served: Any, trained: Any, *, tolerance: float) -> bool:
        """Take one pair of values; return whether they are the same."""
        if what != CODE:
            self.rows[name] = self.rows.get(name, 0) + 1
        same = skew.same(served, trained, tolerance)
        if not same:
            self.wrong.setdefault((name, what), []).append(Example(id=id_, served=served, trained=trained))
        return same

    @property
    def compared(self) -> list[str]:
        return list(self.rows)

    def differing(self) -> list[Differing]:
        """Return what differs, the largest share first."""
        out = [
            Differing(
                name=name,
                what=what,
                rows=len(examples),
                share=len(examples) / self.rows[name],
                examples=tuple(examples[:SHOWN]),
            )
            for (name, what), examples in self.wrong.items()
        ]
        return sorted(out, key=lambda one: (-one.share, one.name))


def _now(loaded: Loaded, live: Any, rows: Rows) -> Any:
    """Return what the project's code makes of rows, by the pipeline that a version is of."""
    settings = loaded.settings
    pipeline = settings.train.pipelines.get(live.pipeline)
    if pipeline is None:
        raise NotEnoughEvidence(f"the project declares no pipeline {live.pipeline!r} any more")
    with project_code(loaded.root, settings.features.paths) as code:
        plan = load_pipeline(code, live.pipeline, pipeline, seed=settings.project.seed, contract=loaded.contract)
        if plan.features is None:
            raise NotEnoughEvidence(f"the pipeline {live.pipeline!r} has no features any more")
        return Inputs(loaded.contract, plan.spec, plan.features).featured(rows)
