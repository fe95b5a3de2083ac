"""Where the learner stands: the version that answers, its bundle, the state to go on from, what waits to be learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core import errors
from mainstay.core.releases import Release, Stage
from mainstay.data import golden as goldens
from mainstay.journal import personal
from mainstay.models import load as loading
from mainstay.models import streaming
from mainstay.models.bundle import Bundle
from mainstay.models.own import PICKLE
from mainstay.online import chain, kept
from mainstay.retrain import dataset, stream
from mainstay.store import online as rows
from mainstay.store import pulled, releases
from mainstay.train.fit import ORIGIN, TRAFFIC

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection

    from mainstay.data.snapshot import Snapshot
    from mainstay.models.load import LoadedModel
    from mainstay.parts import Parts

GRACE = timedelta(minutes=10)
"""Labels that arrived so shortly before a training may have come too late for it: content decides then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the learner stands."""

    live: Release
    """The version that answers."""
    start: chain.Start
    states: Mapping[int, rows.Link]
    """All of them, by number."""
    parent: rows.State | None
    """The state that is gone on from; None: the version that answers, which was not learned online."""
    root: Release
    """The version that the chain began with, which was not learned online."""
    root_at: datetime
    """When its training read the labels."""

    def looked(self, *, again: bool = False) -> rows.Runs:
        """Return the states whose labels do not wait any more; `again`: those that were set aside do."""
        return chain.runs(sorted({*self.start.line, *(() if again else self.start.aside)}))

    @property
    def newest(self) -> int:
        """Return the number of the newest state, 0 before the first."""
        return max(self.states, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is read once, whatever is lost of it."""

    live: Release
    states: Mapping[int, rows.Link]
    releases: Sequence[Release]


def read(parts: Parts) -> Place:
    """Return where the learner stands; raises NotEnoughEvidence before a version answers."""
    with parts.store.read() as tx:
        return _placed(tx, parts, _known(tx, parts), lost=())


def _known(tx: Connection, parts: Parts) -> _Known:
    live = releases.live(tx, parts.model)
    if live is None:
        raise errors.NotEnoughEvidence(
            "no version answers yet: there is nothing to go on from", remedy="Train the first one: mainstay train."
        )
    states = rows.links(tx, parts.model)
    every = releases.outlines(tx, parts.model) if states else []
    return _Known(
        live=live, states=states, releases=[_with_gate(tx, one) for one in every if chain.state_of(one, states)]
    )


def _with_gate(tx: Connection, outline: Release) -> Release:
    """Return a version with what the gate said, where that decides whether it is gone on from."""
    return releases.get(tx, outline.model, outline.version) if outline.stage is Stage.REFUSED else outline


def _placed(tx: Connection, parts: Parts, known: _Known, *, lost: Collection[int]) -> Place:
    """Return where the learner stands without the states whose bytes are `lost`."""
    live, states = known.live, known.states
    found = chain.start(live, list(states.values()), known.releases, lost=lost)
    if found.since and (spoiled := _spoiled(tx, parts, chain.runs(found.since))):
        found = chain.start(live, list(states.values()), known.releases, spoiled=spoiled, lost=lost)
    root = live
    if found.line:
        number = states[found.line[0]].base
        root = releases.get_or_none(tx, parts.model, number) or live
    parent = None if found.parent is None else rows.states(tx, parts.model, [(found.parent, found.parent)])[0]
    return Place(live=live, start=found, states=states, parent=parent, root=root, root_at=_read_at(parts, root))


def _read_at(parts: Parts, root: Release) -> datetime:
    """Return up to when a version's training knew the labels: from then on they are new to it."""
    try:
        snapshot = parts.snapshots.open(root.snapshot)
    except errors.EnvironmentFault:
        return root.created_at
    told = snapshot.lineage.get(dataset.AS_OF)
    moments = [snapshot.created_at, root.created_at, *([datetime.fromisoformat(str(told))] if told else [])]
    return min(moments)


def _spoiled(tx: Connection, parts: Parts, runs: rows.Runs) -> dict[int, str]:
    """Return the states that learned what is no longer so: a label corrected or taken back, a request erased, a field
    that is now known to have been broken then."""
    target = parts.settings.target.field
    broken = dataset.broken_times(tx, parts.model, parts.settings)
    fresh = _fresh(tx, parts, None)
    found: dict[int, str] = {}
    for one in rows.held(tx, parts.model, target, runs):
        known, value = one.known, one.value
        if not known and one.seen.id in fresh:
            known, value = True, fresh[one.seen.id].value
        why = ""
        if not known:
            why = "a label that it learned was taken back"
        elif value != one.seen.value:
            why = "a label that it learned was corrected"
        elif any(begin <= one.seen.occurred_at < end for begin, end in broken):
            why = "a field is now known to have been broken while it learned"
        elif one.inputs and parts.vault.opened(one.inputs)[1]:
            why = "a request that it learned was erased"
        if why:
            found.setdefault(one.state, why)
    return found


def _fresh(tx: Connection, parts: Parts, until: datetime | None) -> dict[str, dataset.LabelledRow]:
    """Return the rows that were pulled from declared sources, by id."""
    if not parts.settings.retrain.sources:
        return {}
    contract = parts.loaded.contract
    found = dataset.fresh(tx, parts.model, parts.settings, contract, as_of=None, until=until)
    return {row.id: row for row in found}


def count_waiting(parts: Parts, place: Place, now: datetime) -> int:
    """Return how many labels the learner did not look at yet; of pulled rows all that came since the newest state."""
    until = dataset.mature_until(parts.settings, now)
    since = place.root_at - GRACE
    with parts.store.read() as tx:
        waiting = rows.count_unseen(
            tx, parts.model, parts.settings.target.field, runs=place.looked(), since=since, until=until
        )
        if parts.settings.retrain.sources:
            after = place.parent.at if place.parent is not None else place.root_at
            waiting += pulled.count(tx, parts.model, since=after)
    return waiting


def waiting(
    parts: Parts, place: Place, estimator: Any, now: datetime, *, most: int, again: bool = False
) -> list[stream.Sorted]:
    """Return the labels that the learner did not look at yet, each with its fate, in the order of their events.

    `again`: those too that were set aside with a version that was taken back.
    """
    contract, settings = parts.loaded.contract, parts.settings
    dataset.refuse_unkept(contract)
    until = dataset.mature_until(settings, now)
    runs = place.looked(again=again)
    with parts.store.read() as tx:
        found = rows.unseen(
            tx, parts.model, contract.target, runs=runs, since=place.root_at - GRACE, until=until, limit=most
        )
        looked = {seen.id for _, seen in rows.seen(tx, parts.model, runs)} if settings.retrain.sources else set()
        fresh = [row for id_, row in _fresh(tx, parts, until).items() if id_ not in looked]
        pulled_rows = [row for row in fresh if row.at > place.root_at - GRACE][:most]
        since = [seen for _, seen in rows.seen(tx, parts.model, chain.runs(place.start.since))]
        broken = dataset.broken_times(tx, parts.model, settings)
    taken, gone = stream.joined(found, contract, parts.vault)
    rows_ = [*taken, *((row, row.at) for row in pulled_rows)]
    learned = [seen for seen in since if seen.fate == rows.LEARNED]
    known = stream.Known(
        broken=broken,
        golden=_golden(parts),
        ways=tuple(settings.data.golden.apart),
        hashed=personal.Hasher(personal.read_or_make_salt(parts.state / "salt")).key_hash,
        test=_frame(parts, str(loaded_lineage(parts, place.live).get("test", ""))),
        train=cache(lambda: _train(parts, place)),
        learnable=lambda value: streaming.learnable(estimator, value),
        of_key=Counter(seen.key_hash for seen in learned),
        units={seen.unit for seen in learned},
        at_root=_at_root(parts, place, contract) if any(at <= place.root_at for _, at in rows_) else (),
        root_at=place.root_at,
    )
    return [*gone, *stream.sort(rows_, contract, settings.retrain, known, parts.vault)]


def _at_root(parts: Parts, place: Place, contract: Any) -> set[tuple[str, Any]]:
    """Return content and label of the traffic that the chain's first version was trained on."""
    import polars as pl

    frame = _train(parts, place)
    if ORIGIN not in frame.columns:
        return set()
    of_traffic = frame.filter(pl.col(ORIGIN) == TRAFFIC)
    return {
        (
            msgspec.json.encode({f.name: row.get(f.name) for f in contract.features}, order="deterministic").decode(),
            row[contract.target],
        )
        for row in of_traffic.to_dicts()
    }


def _golden(parts: Parts) -> pl.DataFrame | None:
    found = goldens.frozen(parts.loaded, parts.snapshots) if parts.settings.data.golden.declared else None
    return None if found is None else found.snapshot.frame()


def _train(parts: Parts, place: Place) -> pl.DataFrame:
    return parts.snapshots.open(place.root.snapshot).frame()


def _frame(parts: Parts, id_: str) -> pl.DataFrame | None:
    return parts.snapshots.open(id_).frame() if id_ else None


def loaded_lineage(parts: Parts, version: Release) -> Mapping[str, Any]:
    """Return the lineage in a version's bundle."""
    found: Mapping[str, Any] = parts.open_bundle(version.digest, original=True).json("lineage.json")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What the learner goes on from, in memory."""

    place: Place
    bundle: Bundle
    """Of the version that answers."""
    model: LoadedModel
    """The same; how rows reach the estimator is its own."""
    pickle: bytes
    """The estimator that is gone on from."""


def begin(parts: Parts) -> Begun:
    """Open what the learner goes on from; where a state's bytes are not here, the newest state whose are.

    Raises Refused where the version that answers cannot go on learning, or takes fields that are declared no more.
    """
    with parts.store.read() as tx:
        known = _known(tx, parts)
        place = _placed(tx, parts, known, lost=())
    bundle = parts.open_bundle(place.live.digest, original=True)
    model = loading.load(bundle, original=True)
    streaming.refuse_fixed(model.estimator, f"{place.live.name}, which answers,")
    gone = sorted(name for name in model.fields_taken if parts.loaded.contract.field(name) is None)
    if gone:
        raise errors.Refused(
            f"{place.live.name} takes {', '.join(gone)}, and the contract declares no such field any more",
            remedy="Train a version on the contract as it is now: mainstay train.",
        )
    lost: set[int] = set()
    while place.parent is not None and place.start.parent != place.start.anchor:
        data = kept.read(parts.state, place.parent.digest)
        if data is not None:
            return Begun(place=place, bundle=bundle, model=model, pickle=data)
        lost.add(place.parent.n)
        with parts.store.read() as tx:
            place = _placed(tx, parts, known, lost=lost)
    return Begun(place=place, bundle=bundle, model=model, pickle=bundle.read(PICKLE))


def snapshot_of(parts: Parts, state: rows.State) -> Snapshot | None:
    """Return the rows that a state learned; None where it learned none."""
    return parts.snapshots.open(state.rows) if state.rows else None
