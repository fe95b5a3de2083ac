"""The queue of requests for people to label: one after the other, by keyboard, the model's guess hidden."""

from __future__ import annotations

from datetime import datetime

from mainstay.core.contracts import Contract
from mainstay.review.estimates import Estimate, sentences
from mainstay.review.queue import Open, Queue
from mainstay.web import links
from mainstay.web.acts import MOST_DRAWN, USUAL_DRAW
from mainstay.web.looks import Look
from mainstay.web.pages.predictions import inputs_table, shown_value
from mainstay.web.shown.review import Answer, Draw, Review, Undo, Waiting
from mainstay.web.words import counted, moment, percent

KEYS = "123456789"
WHY = {
    "disagreement": "People labelled it in different ways.",
    "random": "Of a random part of all requests.",
    "unsure": "The model learns more from it than from others.",
}


def page(look: Look) -> Review:
    """Read the next request that waits for the visitor, `?at=` before all others; `?last=` can be taken back."""
    return build(
        look.model,
        look.room.contract(),
        look.room.review(by=look.who, first=look.query.get("at", "")),
        look.room.review_estimate(),
        look.now(),
        last=look.query.get("last", ""),
        with_guess=look.query.get("guess") == "1",
    )


def build(
    model: str,
    contract: Contract,
    queue: Queue,
    found: Estimate,
    now: datetime,
    *,
    last: str = "",
    with_guess: bool = False,
) -> Review:
    """Return the page's context."""
    guess = "1" if with_guess else ""
    later = f", {counted(queue.skipped)} of them skipped" if queue.skipped else ""
    labelled = f"{counted(found.labelled)} of {counted(found.picked)} picked requests are labelled"
    waiting = _waiting(model, contract, queue.open[0], now, last=last, guess=guess) if queue.open else None
    undo = Undo(action=links.model(model, "do/undo"), id=last, next=links.model(model, "review", at=last, guess=guess))
    return Review(
        progress=f"{labelled}; {counted(queue.waiting)} wait for you{later}." if found.picked else "",
        share=100 * found.labelled // found.picked if found.picked else 0,
        bought=sentences(found)[1:] if found.picked else (),
        waiting=waiting,
        undo=undo if last else None,
        draw=Draw(action=links.model(model, "do/draw"), count=USUAL_DRAW, most=MOST_DRAWN),
        predictions=links.model(model, "predictions"),
    )


def _waiting(model: str, contract: Contract, found: Open, now: datetime, *, last: str, guess: str) -> Waiting:
    sure = "" if found.confidence is None else f", {percent(found.confidence)} sure"
    said = "".join(f"; {by or 'somebody'}: {shown_value(value)}" for by, value in found.said)
    return Waiting(
        id=found.id,
        href=links.prediction(model, found.id),
        at=moment(found.occurred_at, now),
        why=WHY[found.reason],
        inputs=inputs_table(model, found.id, found.inputs),
        guess=f"the model: {shown_value(found.answered)}{sure}{said}" if guess else "",
        guess_href=links.model(model, "review", at=found.id, last=last, guess="" if guess else "1"),
        label=links.model(model, "do/label"),
        unsure=links.model(model, "do/unsure"),
        skip=links.model(model, "do/skip"),
        next=links.model(model, "review", last=found.id, guess=guess),
        answers=tuple(
            Answer(value=value, key=KEYS[i] if i < len(KEYS) else "") for i, value in enumerate(contract.classes)
        ),
    )
