"""Exploration in the request's way: which rows may be drawn, their records, and what their answers say.

Asked only where a project explores; a record's `label` stays what the model said, so that whoever judges a model by the
journal judges the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mainstay.core.events import Arm, Event, Explored, Trust
from mainstay.core.routes import is_held_back
from mainstay.serve import log, wire
from mainstay.serve.explorer import Explorer
from mainstay.serve.live import Live
from mainstay.serve.rows import Call, Row
from mainstay.stats.ordering import ranks

MODELS = (Arm.CHAMPION, Arm.CHALLENGER)
"""Whose answers may make room; a holdout is there to be measured, a fallback is no model."""
Draw = Callable[[Event], Explored | None]


def entries(explorer: Explorer, log_: log.Log, call: Call, fresh: Sequence[Row], latency_us: int) -> list[log.Entry]:
    """Return the records of a call's rows, those that may be explored with their draw."""
    live = call.answered_by()
    of_rows = _of_labels(explorer, live, fresh) if explorer.of_labels else _of_places(explorer, live, call, fresh)
    return [(call, _with(log.prediction(log_, call, row, latency_us), row, of_rows.get(id(row)))) for row in fresh]


def _with(plain: Callable[[int], Event], row: Row, draw: Draw | None) -> Callable[[int], Event]:
    """Return a maker that adds the draw to a record, once its id is known."""
    if draw is None:
        return plain

    def make(seq: int) -> Event:
        event = plain(seq)
        explored = draw(event)
        if explored is not None:
            row.event = event = msgspec.structs.replace(event, explored=explored)
        return event

    return make


def _of_labels(explorer: Explorer, live: Live, fresh: Sequence[Row]) -> dict[int, Draw]:
    def of(row: Row) -> Draw:
        _, answer = row.done()
        return lambda event: explorer.of_answer(answer, event.id)

    return {id(row): of(row) for row in fresh if _may(explorer, live, row) and row.done()[1].probabilities}


def _of_places(explorer: Explorer, live: Live, call: Call, fresh: Sequence[Row]) -> dict[int, Draw]:
    """Return the draws of groups whose candidates may all be explored, each scored by the same version, now."""
    name = live.champion.loaded.contract.group
    if name is None:
        return {}
    groups: dict[Any, list[Row]] = {}
    for row in call.items:
        groups.setdefault(row.values.get(name), []).append(row)
    new = {id(row) for row in fresh}
    found: dict[int, Draw] = {}
    for rows in groups.values():
        mine = all(id(row) in new and _may(explorer, live, row) and _scored(row) for row in rows)
        if mine and len({id(row.side) for row in rows}) == 1:
            draw = _Group(explorer, rows).of
            found |= {id(row): draw(place) for place, row in enumerate(rows)}
    return found


class _Group:
    """The candidates of one group: drawn together when the first one's id is known, and again with another."""

    def __init__(self, explorer: Explorer, rows: Sequence[Row]) -> None:
        self._explorer = explorer
        self._ranks = ranks([float(row.done()[1].label) for row in rows])
        self._drawn: list[Explored] | None = None

    def of(self, place: int) -> Draw:
        def draw(event: Event) -> Explored | None:
            if place == 0:
                self._drawn = self._explorer.of_group(self._ranks, event.id)
            return None if self._drawn is None else self._drawn[place]

        return draw


def _may(explorer: Explorer, live: Live, row: Row) -> bool:
    """Return whether a row's answer may be drawn: a model's own, given without abstaining, in no segment held back."""
    if row.instead is not None or row.served not in MODELS or row.answer is None or row.answer.trust is Trust.ABSTAIN:
        return False
    if explorer.rule.hold_back and explorer.rule.holds_back(row.values):
        return False
    return not (live.route.held_back and is_held_back(live.route, row.values))


def _scored(row: Row) -> bool:
    label = row.done()[1].label
    return isinstance(label, int | float) and math.isfinite(label)


def show(prediction: wire.Prediction, event: Event, explored: Explored) -> None:
    """Let an answer say that it could have been drawn, with what chance, and what the model itself says."""
    if explored.rank:
        prediction.exploration = wire.Exploration(
            drawn=explored.drawn, propensity=explored.propensity, model_rank=explored.model_rank
        )
        return
    prediction.exploration = wire.Exploration(
        drawn=explored.drawn, propensity=explored.propensity, model_label=event.label
    )
    if explored.label is not None:
        prediction.label, prediction.confidence = explored.label, None


def show_places(rows: Sequence[Row], group: str, predictions: Sequence[wire.Prediction]) -> None:
    """Give candidates the places on which they are shown, where the whole group of the draw is asked for.

    Of a part of it (some candidates sent again) the call's own order stands: nothing was drawn for that.
    """
    groups: dict[Any, list[tuple[Explored | None, wire.Prediction]]] = {}
    for row, prediction in zip(rows, predictions, strict=True):
        event = row.before or (row.first or row).event
        explored = event.explored if event is not None else None
        groups.setdefault(row.values.get(group), []).append((explored, prediction))
    for members in groups.values():
        drawn = [explored for explored, _ in members if explored is not None]
        alike = len({(one.group, one.of) for one in drawn}) == 1
        whole = alike and len(members) == len({one.rank for one in drawn}) == drawn[0].of
        for explored, prediction in members:
            if explored is not None and whole:
                prediction.rank = explored.rank
            else:
                prediction.exploration = msgspec.UNSET
