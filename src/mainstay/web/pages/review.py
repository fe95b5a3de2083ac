"""The queue of requests for people to label: one after the other, by keyboard, the model's guess hidden."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mainstay.core import errors
from mainstay.core.contracts import Contract
from mainstay.status.records import Quality
from mainstay.viewing.predictions import One
from mainstay.viewing.review import Progress
from mainstay.web import links
from mainstay.web.looks import Look
from mainstay.web.pages.predictions import inputs_table, shown_value
from mainstay.web.shown.review import Answer, Review, Waiting
from mainstay.web.words import counted, moment, percent

KEYS = "123456789"
LOOKED_AT = 50
"""Records that are gone meanwhile are passed over, at most so many at once."""


def page(look: Look) -> Review:
    """Read the next request of the queue: behind `?after=`, or the one named by `?at=`."""
    queue, waiting, progress = look.room.review()
    found, later = None, behind(queue, waiting, look.query.get("after", ""))
    for id_ in [look.query["at"]] if "at" in look.query else later[:LOOKED_AT]:
        try:
            found = look.room.prediction(id_)
            break
        except errors.NotFound:
            continue  # deleted by policy meanwhile
    return build(
        look.model,
        look.room.contract(),
        found,
        progress,
        look.room.status().quality,
        look.now(),
        last=look.query.get("last", ""),
        with_guess=look.query.get("guess") == "1",
    )


def behind(queue: Sequence[str], waiting: Sequence[str], after: str) -> list[str]:
    """Return what waits behind a request of the queue; at its end what was skipped before comes again."""
    place = queue.index(after) + 1 if after in queue else 0
    left = set(waiting)
    later = [id_ for id_ in queue[place:] if id_ in left]
    return later or [id_ for id_ in queue[:place] if id_ in left and id_ != after]


def build(
    model: str,
    contract: Contract,
    found: One | None,
    progress: Progress,
    quality: Quality,
    now: datetime,
    *,
    last: str = "",
    with_guess: bool = False,
) -> Review:
    """Return the page's context."""
    guess = "1" if with_guess else ""
    return Review(
        progress=f"{counted(progress.waiting)} wait; {counted(progress.today)} labels today, "
        f"{counted(progress.all)} in all.",
        bought=_bought(quality),
        waiting=None if found is None else _waiting(model, contract, found, now, last=last, guess=guess),
        undo=links.model(model, "review", at=last, guess=guess) if last else "",
        predictions=links.model(model, "predictions"),
    )


def _bought(quality: Quality) -> str:
    real = quality.real
    if real is None or real.low is None or real.high is None:
        return quality.unknown or "The first labels tell how often it is right."
    return (
        f"On {counted(real.n)} labels it is right in {percent(real.value)} of the requests, "
        f"between {percent(real.low)} and {percent(real.high)}; four times as many halve that."
    )


def _waiting(model: str, contract: Contract, found: One, now: datetime, *, last: str, guess: str) -> Waiting:
    event = found.event
    classes = contract.classes
    sure = "" if event.confidence is None else f", {percent(event.confidence)} sure"
    return Waiting(
        id=event.id,
        href=links.prediction(model, event.id),
        at=moment(event.occurred_at, now),
        inputs=inputs_table(event),
        guess=f"{shown_value(event.label)}{sure}" if guess else "",
        guess_href=links.model(model, "review", at=event.id, last=last, guess="" if guess else "1"),
        action=links.model(model, "do/label"),
        next=links.model(model, "review", after=event.id, last=event.id, guess=guess),
        skip=links.model(model, "review", after=event.id, last=last, guess=guess),
        answers=tuple(Answer(value=value, key=KEYS[i] if i < len(KEYS) else "") for i, value in enumerate(classes)),
    )
