"""A state of the learner as what a version is made of: gone through once more from the version that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mainstay.core import errors
from mainstay.models.own import PICKLE
from mainstay.online import chain, place
from mainstay.retrain.dataset import AT, BASE, HAPPENED, ID, KEY, ORIGIN, TRAFFIC, UNIT
from mainstay.store import online as rows
from mainstay.train import online as teaching
from mainstay.train.fit import read_rows

if TYPE_CHECKING:
    from mainstay.data.snapshot import Snapshot
    from mainstay.models.load import LoadedModel
    from mainstay.parts import Parts
    from mainstay.train.run import Handed

ASKED = 500
"""Newest learned rows that both learnings are asked about."""
TOLERANCE = 1e-6


def make(parts: Parts) -> tuple[Handed, list[str]]:
    """Return the newest state as a model to be judged, and what should be known of it.

    Raises NotEnoughEvidence where nothing was learned since the version that answers, Refused where that cannot go on
    learning, and what a snapshot that is gone or changed raises.
    """
    begun = place.begin(parts)
    where = begun.place
    with parts.store.read() as tx:
        line = rows.states(tx, parts.model, chain.runs(where.start.line))
    since = [state for state in line if state.n in set(where.start.since)]
    if not sum(state.learned for state in since):
        raise errors.NotEnoughEvidence(
            f"nothing was learned since {where.live.name}", remedy="mainstay online learn says what waits."
        )
    batches = [
        teaching.Batch(rows=read_rows(parts.loaded.contract, snapshot.frame()), digest=state.digest)
        for state in since
        if (snapshot := place.snapshot_of(parts, state)) is not None
    ]
    model = begun.model
    from_bundle = begun.bundle.read(PICKLE)
    again = teaching.replay(model, from_bundle, batches, seed=int(model.lineage.get("seed", 0)))
    assert again is not None  # noqa: S101 - something was learned
    told = _lineage(begun, line, since)
    train = _all_rows(parts, where, line)
    handed = teaching.handed(again, model, begun.bundle, told, train, newest=begun.pickle)
    return handed, _notes(again, handed, model)


def _notes(again: teaching.Taught, handed: Handed, model: LoadedModel) -> list[str]:
    """Say where the learner and a second learning of the same labels answer these otherwise."""
    if again.pickle == handed.pickle or handed.continued is None:
        return []
    asked = again.rows.values[-ASKED:]
    one, other = (replace(model, estimator=e).predict(asked) for e in (handed.estimator, handed.continued.twin))
    largest = float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else float("inf")
    if largest <= TOLERANCE:
        return []
    return [
        f"learned once more, the same labels give answers that differ by up to {largest:.3g}: "
        "the model is not deterministic (seed what is random); what it learned first is offered"
    ]


def _all_rows(parts: Parts, where: place.Place, line: Sequence[rows.State]) -> Snapshot:
    """Keep what the chain's first version was fitted to and all that was learned since, in order, as one snapshot."""
    base = parts.snapshots.open(where.root.snapshot).stored()
    if ORIGIN not in base.columns:
        base = base.with_columns(pl.lit(BASE).alias(ORIGIN))
    learned = [
        snapshot.stored().drop([KEY, UNIT, ID, AT, HAPPENED], strict=False).with_columns(pl.lit(TRAFFIC).alias(ORIGIN))
        for state in line
        if (snapshot := place.snapshot_of(parts, state)) is not None
    ]
    frame = pl.concat([base, *learned], how="diagonal_relaxed")
    told = {"model": parts.model, "base": where.root.snapshot, "online_rows": sum(state.learned for state in line)}
    return parts.snapshots.put(frame, told, parts.clock.now())


def _lineage(begun: place.Begun, line: Sequence[rows.State], since: Sequence[rows.State]) -> dict[str, Any]:
    """Return from where it went on and what it learned; code, build and commit are those of that version."""
    where, known = begun.place, begun.model.lineage
    newest = line[-1]
    online = {
        "state": newest.n,
        "digest": newest.digest,
        "from": {"version": where.live.name, "digest": where.live.digest, "state": where.start.anchor},
        "root": {"version": where.root.name, "digest": where.root.digest},
        "labels": sum(state.learned for state in line),
        "since": sum(state.learned for state in since),
        "mark": newest.mark.isoformat() if newest.mark is not None else None,
        "metric": "accuracy" if begun.model.contract.task.is_classification else "mae",
        "score": dict(newest.score),
        "chain": [{"state": one.n, "rows": one.rows, "digest": one.digest} for one in line if one.rows],
        "began": sum(bool(one.rows) for one in line) - sum(bool(one.rows) for one in since),
    }
    return {**known, "online": online}
