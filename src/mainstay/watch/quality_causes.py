"""Why answers became worse, where labels tell: the change of the mean loss, shared out between its causes.

Called when an incident is told, never per block. Without labels on both sides nothing is shared out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Task
from mainstay.core.errors import MainstayError
from mainstay.core.profiles import SignalProfile
from mainstay.core.quality import LossModel, Step
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.models.signals import Signals
from mainstay.stats import additive, attribution
from mainstay.stats.additive import Fit
from mainstay.stats.attribution import Labelled, Relabelled
from mainstay.store import feedback
from mainstay.watch import quality_told
from mainstay.watch.grading import is_graded, is_number, unit_of
from mainstay.watch.quality_labelled import signals_of
from mainstay.watch.window import field_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.watch.lifecycle import Bundle

TRAFFIC_KEYS = 200
"""Labelled units of traffic from which what was before is known from traffic, not from the reference rows."""
MOST_ASKED = 500
"""Newest labelled rows of a side that the other version is asked about."""
NOISE_PAIRS = 20
"""Rows labelled twice that each side needs, before label noise has a part."""
MOST_DISTANCE = 1e150
STUCK_SHARE = 0.5
"""From this share of one value on, a broken field's rows with that value are the broken ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    items: Sequence[feedback.Graded]
    signals: Sequence[Signals]


def causes_of(
    tx: Connection,
    bundle: Bundle,
    labelled: Sequence[feedback.Graded],
    *,
    since: datetime,
    broken: Collection[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Return why the mean loss of the bundle's answers changed since `since`, JSON-ready (`quality_told`).

    `labelled` are the model's newest labels, of all its versions; `broken` the fields that findings call broken. Where
    what is told began with this version, the version before is asked about the rows of now, and this one about those of
    then (`bundle.open_version`), so that the version has a part of its own. Without labels on both sides there are no
    parts.
    """
    reference = bundle.reference
    contract, quality = reference.contract, reference.profile.quality
    if contract.task is Task.RANKING or quality is None or quality.error is None:
        return quality_told.nothing("this version's reference rows hold no truth to compare with")
    graded = [item for item in labelled if is_graded(item, contract)]
    own = [item for item in graded if item.bundle == bundle.name]
    now = _rows(bundle, [item for item in own if item.occurred_at >= since])
    if len({unit_of(item, bundle.state) for item in now.items}) < attribution.LEAST_KEYS:
        return quality_told.nothing(f"{len(now.items)} labels came since it began", labels=len(now.items))
    earlier = [item for item in own if item.occurred_at < since]
    hit = _hit(bundle, now, broken)
    other = None if hit is not None else _other_version(bundle, graded, earlier, since)
    steps = quality.error.steps
    columns = _columns(steps, broken if hit is not None else (), answers_count=other is None)
    before: Labelled | Fit
    if other is not None:
        before, now_side, told = other.sides(bundle, now, steps, columns)
        source = f"labelled answers of {other.name}"
    else:
        before, source, told = _before(bundle, earlier, quality.error, columns)
        now_side = _labelled(bundle, now, steps, columns, faulty=hit)
    found = attribution.attribute(
        before,
        now_side,
        rng=np.random.default_rng(seed),
        noise=_noise(tx, bundle, told, now) if contract.task is Task.BINARY else None,
    )
    return quality_told.told(found, source=source, regression=contract.task is Task.REGRESSION, broken=broken)


def _rows(bundle: Bundle, items: Sequence[feedback.Graded]) -> _Rows:
    """Measure the labelled requests as the reference rows were."""
    measured = [(item, signals_of(item, bundle.reference.contract, bundle.reference.signals)) for item in items]
    held = [(item, row) for item, row in measured if row is not None]
    return _Rows(items=[item for item, _ in held], signals=[row for _, row in held])


def _loss(item: feedback.Graded) -> float:
    return _distance(item.label, item) if item.correct is None else 1.0 - float(item.correct)


def _distance(label: Any, item: feedback.Graded) -> float:
    """Return how far a number is from its truth; sums of what labels may hold at most would be beyond any float."""
    return min(abs(float(label) - float(item.value)), MOST_DISTANCE)


def _labelled(
    bundle: Bundle,
    rows: _Rows,
    steps: Sequence[Step],
    columns: NDArray[np.bool_],
    *,
    faulty: NDArray[np.bool_] | None = None,
    other: NDArray[np.float64] | None = None,
) -> Labelled:
    numbers: dict[str, int] = {}
    return Labelled(
        design=additive.code(steps, rows.signals)[:, columns],
        loss=np.array([_loss(item) for item in rows.items], dtype=np.float64),
        keys=np.array(
            [numbers.setdefault(unit_of(item, bundle.state), len(numbers)) for item in rows.items], dtype=np.intp
        ),
        faulty=faulty,
        other=other,
    )


def _before(
    bundle: Bundle, earlier: Sequence[feedback.Graded], stored: LossModel, columns: NDArray[np.bool_]
) -> tuple[Labelled | Fit, str, _Rows]:
    """Return what was before: labelled traffic where there is enough of it, else the reference rows' model."""
    rows = _rows(bundle, earlier)
    if len({unit_of(item, bundle.state) for item in rows.items}) >= TRAFFIC_KEYS:
        return _labelled(bundle, rows, stored.steps, columns), "labelled requests before", rows
    return additive.restrict(additive.restored(stored), columns), "the reference rows", _Rows(items=(), signals=())


def _columns(steps: Sequence[Step], broken: Collection[str], *, answers_count: bool) -> NDArray[np.bool_]:
    """Return which columns are compared: not those of a broken field, nor what the answer says where that follows."""
    kept = [True]
    for step in steps:
        says = step.name.startswith("answer.")
        keep = not (says and (broken or not answers_count)) and field_of(step.name) not in broken
        kept += [keep] * step.width
    return np.array(kept, dtype=np.bool_)


def _hit(bundle: Bundle, now: _Rows, broken: Collection[str]) -> NDArray[np.bool_] | None:
    """Return the rows whose value of a broken field is missing, none that the reference held, or stuck; None: none."""
    known = {signal.name: signal for signal in bundle.reference.profile.signals if not signal.segment}
    out = np.zeros(len(now.items), dtype=np.bool_)
    for name in broken:
        values = [item.inputs.get(name) for item in now.items]
        counted = Counter(value for value in values if value is not None)
        top, count = counted.most_common(1)[0] if counted else (None, 0)
        stuck = count >= STUCK_SHARE * max(len(values), 1)
        for i, value in enumerate(values):
            out[i] |= value in (None, "") or (stuck and value == top) or _is_new(known.get(name), value)
    return out if out.any() else None


def _is_new(profile: SignalProfile | None, value: Any) -> bool:
    """Return whether the reference rows held no such value; of a text nobody asks."""
    if profile is None:
        return False
    if isinstance(value, str):
        return value not in profile.values
    if not is_number(value) or profile.low is None or profile.high is None:
        return False
    return not profile.low <= value <= profile.high


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    """Another version whose labelled answers are what was before, and both versions' models."""

    name: str
    model: LoadedModel
    rows: _Rows

    def sides(
        self, bundle: Bundle, now: _Rows, steps: Sequence[Step], columns: NDArray[np.bool_]
    ) -> tuple[Labelled, Labelled, _Rows]:
        """Return both sides, each answered by both versions; rows that one of them cannot answer are left out."""
        assert isinstance(bundle.reference, LoadedModel)  # noqa: S101 - for the type checker: _other_version saw to it
        first, by_new = _answered(bundle.reference, self.rows)
        then, by_old = _answered(self.model, now)
        before = _labelled(bundle, first, steps, columns, other=by_new)
        return before, _labelled(bundle, then, steps, columns, other=by_old), first


def _other_version(
    bundle: Bundle,
    graded: Sequence[feedback.Graded],
    earlier: Sequence[feedback.Graded],
    since: datetime,
) -> _Other | None:
    """Return the version that answered before, where what is told began with this one and both can be asked."""
    few = len({unit_of(item, bundle.state) for item in earlier}) < attribution.LEAST_KEYS
    if not few or not isinstance(bundle.reference, LoadedModel):
        return None
    others = [item for item in graded if item.bundle != bundle.name and item.occurred_at < since]
    if not others:
        return None
    name = max(others, key=lambda item: item.occurred_at).bundle
    model = bundle.open_version(name)
    rows = _rows(bundle, [item for item in others if item.bundle == name])
    enough = len({unit_of(item, bundle.state) for item in rows.items}) >= attribution.LEAST_KEYS
    return _Other(name=name, model=model, rows=rows) if isinstance(model, LoadedModel) and enough else None


def _answered(model: LoadedModel, rows: _Rows) -> tuple[_Rows, NDArray[np.float64]]:
    """Return the newest MOST_ASKED rows that a version can answer, and its loss on them."""
    items, signals = rows.items[-MOST_ASKED:], rows.signals[-MOST_ASKED:]
    given = _answers(model, [dict(item.inputs) for item in items])
    held = [i for i, label in enumerate(given) if label is not None]
    losses = [_loss_of(given[i], items[i]) for i in held]
    answered = _Rows(items=[items[i] for i in held], signals=[signals[i] for i in held])
    return answered, np.array(losses, dtype=np.float64)


def _answers(model: LoadedModel, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Return what a version says of each row, all at once; where that fails, of each by itself: None, it cannot."""
    try:
        return [one.label for one in answers.answer(model, rows)]
    except (MainstayError, TypeError, ValueError, KeyError):
        return [None] if len(rows) == 1 else [_answers(model, [row])[0] for row in rows]


def _loss_of(label: Any, item: feedback.Graded) -> float:
    return _distance(label, item) if item.correct is None else float(str(label) != str(item.value))


def _noise(tx: Connection, bundle: Bundle, before: _Rows, now: _Rows) -> tuple[Relabelled, Relabelled] | None:
    """Return how often two labels of one row differ, then and now; None: too few were labelled twice on a side."""
    found = []
    for rows in (before, now):
        pairs = feedback.labelled_twice(
            tx, bundle.state.model, bundle.reference.contract.target, [item.id for item in rows.items]
        )
        if len(pairs) < NOISE_PAIRS:
            return None
        found.append(Relabelled(disagreements=sum(str(a) != str(b) for a, b in pairs), pairs=len(pairs)))
    return (found[0], found[1])
