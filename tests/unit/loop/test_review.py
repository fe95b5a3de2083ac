from __future__ import annotations

import numpy as np
import pytest

from loop_kit import MODEL, WORDS, Shop
from mainstay import review
from mainstay.core.errors import NotEnoughEvidence, UsageError
from mainstay.core.events import Event, Feedback
from mainstay.store import feedback


def truth_of(event: Event) -> str:
    return max(sorted(WORDS), key=lambda kind: sum(word in event.inputs["text"] for word in WORDS[kind]))


def say(shop: Shop, id_: str, value: str, *, by: str = "anna") -> None:
    now = shop.clock.now()
    item = Feedback(id=id_, feedback_id=f"{by}-{id_}", kind="label", name="kind", value=value, at=now, by=by)
    with shop.parts().store.begin() as tx:
        feedback.put(tx, MODEL, item, received_at=now)


def test_every_request_has_a_chance_and_the_unsure_ones_a_larger_one(shop: Shop) -> None:
    asked = shop.customers(400)
    chances = review.chances_of(asked, 60, 0.5)
    assert chances.sum() == pytest.approx(60, rel=1e-6)
    assert chances.min() >= 0.5 * 60 / 400
    sure = np.array([event.confidence for event in asked], dtype=float)
    assert np.corrcoef(chances, sure)[0, 1] < -0.99


def test_labels_of_what_looked_hard_still_speak_for_all_traffic(shop: Shop) -> None:
    asked = shop.customers(600, slang=0.3)
    right = {event.id: truth_of(event) for event in asked}
    real = np.mean([event.label == right[event.id] for event in asked])
    parts = shop.parts()
    drawn = review.draw(parts, 200)
    assert 150 <= drawn.picked <= 250  # about 200 of 600, each by itself: five standard errors
    for one in review.open_(parts, limit=1000):
        say(shop, one.id, right[one.id])
    found = review.estimate(parts)
    assert (found.labelled, found.picked) == (drawn.picked, drawn.picked)
    assert found.weighted is not None
    assert found.weighted.low <= real <= found.weighted.high
    assert found.assisted is not None
    assert found.assisted[1] <= real <= found.assisted[2]
    assert review.open_(parts) == []
    again = review.draw(parts, 100)
    assert (again.batch, again.of) == (2, 600 - drawn.picked)


def test_where_people_disagree_the_request_waits_for_another_label(shop: Shop) -> None:
    shop.customers(60)
    parts = shop.parts()
    review.draw(parts, 30)
    first = review.open_(parts, limit=1)[0]
    say(shop, first.id, "tool", by="anna")
    say(shop, first.id, "fruit", by="ben")
    (waiting, *_) = review.open_(parts, limit=100)
    assert (waiting.id, waiting.reason, waiting.said) == (
        first.id,
        "disagreement",
        (("anna", "tool"), ("ben", "fruit")),
    )
    assert review.estimate(parts).disagreed == 1


def test_without_requests_or_a_random_part_nothing_is_drawn(shop: Shop) -> None:
    with pytest.raises(NotEnoughEvidence):
        review.draw(shop.parts(), 10)
    shop.customers(30)
    with pytest.raises(UsageError, match="random"):
        review.draw(shop.parts(), 10, random_share=0.0)
