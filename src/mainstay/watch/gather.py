"""What store and journal tell of the requests since an incident began, read when it is told and never per block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.incidents import Severity
from mainstay.models.reference import ReferenceOnly
from mainstay.models.signals import as_category
from mainstay.stats import selective
from mainstay.store import blocks, feedback, incidents, routes
from mainstay.watch import changes, grading, quality_causes, recall, worst
from mainstay.watch.diagnose import Window
from mainstay.watch.onset import Onset

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.core.contracts import Contract
    from mainstay.watch.lifecycle import Bundle

BLOCKS = 1_000
"""Newest blocks whose words are told in an incident."""
SAME_HARM_WITHIN = timedelta(days=7)
"""A version whose own incident is younger than this is no way back."""


def window(tx: Connection, bundle: Bundle, first: int, onset: Onset, *, broken: Collection[str] = ()) -> Window:
    """Return words, requests, labels and other changes since block `first`; `broken` are fields with broken values."""
    state, reference = bundle.state, bundle.reference
    words: dict[str, Counter[str]] = {}
    mine = [block for block in blocks.blocks(tx, state.model, limit=BLOCKS) if block.bundle == bundle.name]
    for block in mine:
        if block.number < first:
            continue
        for name, counts in block.summary.get("words", {}).items():
            words.setdefault(name, Counter()).update(counts)
    labelled = feedback.labels(tx, state.model, limit=grading.LABELS)
    graded = [
        item
        for item in labelled
        if item.bundle == bundle.name and item.occurred_at >= onset.at and grading.is_graded(item, reference.contract)
    ]
    recalled = recall.recall(
        bundle.recent(),
        bundle=bundle.name,
        start=onset.at,
        signals=reference.signals,
        contract=reference.contract,
        current=bundle.current,
    )
    return Window(
        words={name: dict(counts) for name, counts in words.items()},
        gaps=[(grading.unit_of(item, state), grading.gap(item)) for item in graded],
        wrong={item.id: grading.gap(item) for item in graded},
        correct=[item.correct for item in graded if item.correct is not None],
        recalled=recalled,
        worst=worst.find(
            graded,
            [one.row for one in recalled.since],
            signals=reference.signals,
            contract=reference.contract,
            by_key=state.by_key,
        ),
        causes=quality_causes.causes_of(tx, bundle, labelled, since=onset.at, broken=broken) if graded else None,
        uncovered=uncovered(mine, labelled, reference.contract),
        changes=changes.changes(tx, state.model, onset, recalled, reference.contract, known_keys=state.keys),
        way_back=way_back(tx, state.model, bundle.name, onset.at),
        labels_wanted=bundle.labels_wanted,
        elsewhere=isinstance(reference, ReferenceOnly),
    )


def uncovered(seen: Sequence[blocks.Block], labelled: Sequence[feedback.Graded], contract: Contract) -> str:
    """Return that labels seem to exist only for what one version chose, by all its blocks, or an empty text."""
    if not seen or not contract.task.is_classification:
        return ""
    since, bundle = min(block.first_at for block in seen), seen[0].bundle
    known = [
        item
        for item in labelled
        if item.name == contract.target and item.bundle == bundle and item.occurred_at >= since
    ]
    return selective.look(
        selective.answered(map(blocks.quality_of, seen), contract.classes),
        Counter(as_category(item.label) for item in known),
        classes=contract.classes,
        named=[as_category(item.value) for item in known],
        explored=any(item.explored for item in known),
    ).text


def way_back(tx: Connection, model: str, bundle: str, since: datetime) -> str:
    """Return the version to which a rollback of `bundle` leads; empty without one, or where that did harm lately."""
    route = routes.current(tx, model)
    if route is None:
        return ""
    on_its_way = route.challenger is not None and bundle == f"{model}@{route.challenger.version}"
    target = route.champion if on_its_way else route.previous
    if target is None:
        return ""
    name = f"{model}@{target.version}"
    for known in incidents.list_(tx, model, limit=1_000):
        harmed = known.bundle == name and known.severity is not Severity.NOTE
        if harmed and since - known.opened_at <= SAME_HARM_WITHIN:
            return ""
    return name
