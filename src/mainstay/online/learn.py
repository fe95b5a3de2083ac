"""One batch: where it stands → guards → what waits → asked and taught → bytes kept → state and labels at once.

A learner that is killed leaves nothing, or bytes that no state names: the next one does the same batch again. One
that another was quicker than finds its state's number taken, and has done nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.online import kept, place
from mainstay.retrain import dataset, guard, stream
from mainstay.stats import prequential
from mainstay.stats.prequential import Score
from mainstay.store import online as rows
from mainstay.train import online as teaching
from mainstay.train.fit import read_rows

if TYPE_CHECKING:
    from mainstay.data.snapshot import Snapshot
    from mainstay.parts import Parts

MOST = 5_000
"""Labels that one batch looks at."""
GUARDS = ("fields_whole", "deliveries_whole", "labels_agree", "sudden_flips", "labels_trusted")
"""Of a retraining's guards those that say whether what waits may be learned; rests keep versions apart, not batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one batch came to."""

    state: rows.State | None
    """None: nothing was learned."""
    why: str
    """From where it went on; or what keeps it."""
    against: Sequence[Check] = ()
    """Guards that say no, or have not enough to say yes."""

    @property
    def text(self) -> str:
        """Return the same as a sentence."""
        if self.state is None:
            return f"nothing was learned: {self.why}"
        told = {name: count for name, count in self.state.passed_over.items() if count}
        passed = "; passed over: " + ", ".join(f"{n} {stream.FATES[name]}" for name, n in told.items()) if told else ""
        return f"state {self.state.n}: {self.state.learned} labels learned; {self.why}{passed}"


def batch(parts: Parts, *, least: int = 1, anyway: bool = False, again: bool = False) -> Learned:
    """Learn what waits, if it is at least so many labels (those that are passed over count); see the module.

    `anyway`: whatever the guards say, as a person's word passes over them. `again`: also what was set aside with a
    version that was taken back. Raises Refused where the version that
    answers cannot go on learning, StaleTransition where another learner was quicker.
    """
    now = parts.clock.now()
    against = () if anyway else _against(parts, now)
    if against:
        return Learned(state=None, why="; ".join(f"{c.name}: {c.reason}" for c in against), against=against)
    begun = place.begin(parts)
    found = place.waiting(parts, begun.place, begun.model.estimator, now, most=MOST, again=again)
    chosen = [one.row for one in found if one.fate == rows.LEARNED]
    if len(found) < least:
        return Learned(state=None, why=f"{len(found)} labels wait, {least} make a batch")
    taken = _snapshot(parts, chosen, now)
    state = _teach(parts, begun, chosen, taken, found, now) if taken is not None else _none(parts, begun, found, now)
    with parts.store.begin() as tx:
        rows.add(tx, state, [one.seen for one in found])
    _prune(parts)
    return Learned(state=state, why=state.why)


def _against(parts: Parts, now: datetime) -> tuple[Check, ...]:
    """Return the guards that keep what waits from being learned."""
    with parts.store.read() as tx:
        facts = guard.gather(tx, parts.model, parts.settings, now, vault=parts.vault)
    asked = [check for check in guard.allow(facts, parts.settings, now) if check.name in GUARDS]
    return tuple(check for check in asked if check.applies and check.verdict is not Verdict.PASS)


def refuse(learned: Learned) -> None:
    """Raise what keeps the learner: Refused where a guard says no, NotEnoughEvidence where it cannot say yes."""
    if learned.against:
        kind = errors.Refused if combine(learned.against) is Verdict.FAIL else errors.NotEnoughEvidence
        raise kind(learned.text, remedy="Mend that first; mainstay retrain --check tells all guards.")


def _snapshot(parts: Parts, chosen: list[dataset.LabelledRow], now: datetime) -> Snapshot | None:
    """Keep the rows that are learned, in order; the same rows give the same snapshot."""
    if not chosen:
        return None
    frame = dataset.frame_of(parts.loaded.contract, chosen)
    return parts.snapshots.put(frame, {"model": parts.model, "part": "learned online"}, now)


def _teach(
    parts: Parts,
    begun: place.Begun,
    chosen: Sequence[dataset.LabelledRow],
    taken: Snapshot,
    found: Sequence[stream.Sorted],
    now: datetime,
) -> rows.State:
    model = begun.model
    learned = read_rows(parts.loaded.contract, taken.frame())
    taught = teaching.teach(model, begun.pickle, learned, seed=int(model.lineage.get("seed", 0)))
    classes = model.classes if model.contract.task.is_classification else ()
    parent = begun.place.parent
    score = {
        "learner": _after(parent, "learner", teaching.losses(taught, classes)),
        "answered": _after(parent, "answered", _answered(chosen, is_class=bool(classes))),
    }
    newest = max((row.happened or row.at for row in chosen), default=None)
    return _state(
        begun,
        found,
        now,
        digest=kept.write(parts.state, taught.pickle),
        rows=taken.id,
        learned=len(chosen),
        mark=max(filter(None, (newest, parent.mark if parent is not None else None)), default=None),
        score=score,
    )


def _none(parts: Parts, begun: place.Begun, found: Sequence[stream.Sorted], now: datetime) -> rows.State:
    """Return a state that looked at labels and learned none: they do not stand in the way of those that come."""
    parent = begun.place.parent
    score = {} if parent is None else parent.score
    mark = None if parent is None else parent.mark
    digest = kept.write(parts.state, begun.pickle)
    return _state(begun, found, now, digest=digest, rows="", learned=0, mark=mark, score=score)


def _state(begun: place.Begun, found: Sequence[stream.Sorted], now: datetime, **more: Any) -> rows.State:
    where = begun.place
    root = where.root if where.start.line else where.live
    return rows.State(
        model=where.live.model,
        n=where.newest + 1,
        parent=where.start.parent,
        base=root.version,
        base_digest=root.digest,
        passed_over=dict(Counter(one.fate for one in found if one.fate != rows.LEARNED)),
        why=where.start.why,
        at=now,
        **more,
    )


def _after(parent: rows.State | None, name: str, losses: Sequence[float]) -> dict[str, float]:
    before = Score() if parent is None or name not in parent.score else Score(**parent.score[name])
    return asdict(prequential.after(before, losses))


def _answered(chosen: Sequence[dataset.LabelledRow], *, is_class: bool) -> list[float]:
    """Return the losses of what was answered to the same requests, where that is known."""
    known = [row for row in chosen if row.answered is not None]
    if is_class:
        return [float(str(row.answered) != str(row.value)) for row in known]
    return [abs(float(row.answered) - float(row.value)) for row in known]


def _prune(parts: Parts) -> None:
    """Keep the bytes of states that may be gone on from; those of versions lie in their bundles."""
    where = place.read(parts)
    kept.prune(parts.state, {where.states[number].digest for number in where.start.since})
