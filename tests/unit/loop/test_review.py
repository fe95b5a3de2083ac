from __future__ import annotations

import numpy as np
import pytest

from loop_kit import MODEL, WORDS, Shop
from mainstay.core.errors import ContractViolation, NotEnoughEvidence, NotFound, StaleTransition, UsageError
from mainstay.core.events import Event, Feedback
from mainstay.parts import Parts
from mainstay.project import Project
from mainstay.review import draws, estimates, queue
from mainstay.review.queue import Open
from mainstay.store import audit, feedback, reviews
from mainstay.store.reviews import MarkKind


def truth_of(event: Event) -> str:
    return max(sorted(WORDS), key=lambda kind: sum(word in event.inputs["text"] for word in WORDS[kind]))


def say(shop: Shop, id_: str, value: str, *, by: str = "anna", parts: Parts | None = None) -> None:
    shop.clock.advance(seconds=1)
    now = shop.clock.now()
    item = Feedback(id=id_, feedback_id=f"{by}-{id_}-{now}", kind="label", name="kind", value=value, at=now, by=by)
    with (parts or shop.parts()).store.begin() as tx:
        feedback.put(tx, MODEL, item, received_at=now)


def mark(shop: Shop, id_: str, kind: MarkKind, *, by: str = "anna") -> None:
    shop.clock.advance(seconds=1)
    queue.mark(shop.parts(), id_, kind, by=by)


def waiting(shop: Shop, *, by: str = "", first: str = "") -> list[Open]:
    return list(queue.look(shop.parts(), by=by, first=first, limit=1000).open)


def drawn(shop: Shop, *, customers: int, count: int) -> None:
    shop.customers(customers)
    draws.draw(shop.parts(), count, by="anna")


def test_every_request_has_a_chance_and_the_unsure_ones_a_larger_one(shop: Shop) -> None:
    asked = shop.customers(400)
    chances = draws.chances_of(asked, 60, 0.5)
    assert chances.sum() == pytest.approx(60, rel=1e-6)
    assert chances.min() >= 0.5 * 60 / 400
    sure = np.array([event.confidence for event in asked], dtype=float)
    assert np.corrcoef(chances, sure)[0, 1] < -0.99


def test_a_request_says_whether_it_would_have_been_picked_whatever_the_model_said(shop: Shop) -> None:
    """Of about 250 picks 125 are of the random part: within six standard deviations (false failure below 10^-6)."""
    drawn(shop, customers=600, count=250)
    reasons = [one.reason for one in waiting(shop)]
    assert set(reasons) == {"random", "unsure"}
    assert abs(reasons.count("random") - 125) < 6 * np.sqrt(600 * (125 / 600) * (1 - 125 / 600))


def test_labels_of_what_looked_hard_still_speak_for_all_traffic(shop: Shop) -> None:
    asked = shop.customers(600, slang=0.3)
    right = {event.id: truth_of(event) for event in asked}
    real = np.mean([event.label == right[event.id] for event in asked])
    parts = shop.parts()
    made = draws.draw(parts, 200, by="anna")
    assert 150 <= made.picked <= 250  # about 200 of 600, each by itself: five standard errors
    for one in waiting(shop):
        say(shop, one.id, right[one.id], parts=parts)
    found = estimates.estimate(parts)
    assert (found.labelled, found.picked) == (made.picked, made.picked)
    assert found.weighted is not None
    assert found.weighted.low <= real <= found.weighted.high
    assert found.assisted is not None
    assert found.assisted[1] <= real <= found.assisted[2]
    assert waiting(shop) == []
    again = draws.draw(parts, 100, by="anna")
    assert (again.batch, again.of) == (2, 600 - made.picked)


def test_where_people_disagree_the_request_comes_first_to_whoever_has_not_had_the_last_word(shop: Shop) -> None:
    drawn(shop, customers=60, count=30)
    one = waiting(shop)[7]
    say(shop, one.id, "tool", by="anna")
    say(shop, one.id, "fruit", by="ben")
    for person in ("", "anna", "cleo"):
        first = waiting(shop, by=person)[0]
        assert (first.id, first.reason, first.said) == (
            one.id,
            "disagreement",
            (("anna", "tool"), ("ben", "fruit")),
        )
    assert one.id not in {found.id for found in waiting(shop, by="ben")}
    assert estimates.estimate(shop.parts()).disagreed == 1
    say(shop, one.id, "fruit", by="anna")
    assert one.id not in {found.id for found in waiting(shop)}


def test_the_first_labels_of_a_draw_are_a_random_part_of_it(shop: Shop) -> None:
    """The correlation of place and confidence stays within six standard errors of 0 (false failure below 10^-6)."""
    drawn(shop, customers=600, count=250)
    sure = np.array([one.confidence for one in waiting(shop)], dtype=float)
    assert abs(np.corrcoef(np.arange(len(sure)), sure)[0, 1]) < 6 / np.sqrt(len(sure))


def test_what_is_skipped_comes_again_at_the_end_and_only_for_who_skipped_it(shop: Shop) -> None:
    drawn(shop, customers=60, count=30)
    before = [one.id for one in waiting(shop)]
    mark(shop, before[0], MarkKind.SKIPPED)
    mark(shop, before[1], MarkKind.SKIPPED)
    assert [one.id for one in waiting(shop, by="anna")] == [*before[2:], *before[:2]]
    assert [one.id for one in waiting(shop, by="ben")] == before
    assert queue.look(shop.parts(), by="anna").skipped == 2
    assert waiting(shop, by="anna", first=before[1])[0].id == before[1]


def test_what_somebody_cannot_tell_waits_for_others_and_widens_what_is_known(shop: Shop) -> None:
    asked = {event.id: event for event in shop.customers(300)}
    parts = shop.parts()
    draws.draw(parts, 100, by="anna")
    for number, one in enumerate(waiting(shop)):
        if number % 5:
            say(shop, one.id, truth_of(asked[one.id]), parts=parts)
    assert estimates.estimate(shop.parts()).between is None
    left = waiting(shop)
    for one in left:
        mark(shop, one.id, MarkKind.UNSURE)
    assert waiting(shop, by="anna") == []
    assert {(one.id, one.unsure) for one in waiting(shop, by="ben")} == {(one.id, ("anna",)) for one in left}
    found = estimates.estimate(shop.parts())
    assert found.unsure == len(left)
    assert found.between is not None
    assert found.weighted is not None
    low = found.between[0]
    assert low < found.weighted.low
    assert low < found.weighted.value - 0.1  # a fifth of the weight, all wrong
    assert any(f"of {len(left)} nobody could tell" in line for line in estimates.sentences(found))
    for one in left:
        say(shop, one.id, truth_of(asked[one.id]), by="ben", parts=parts)
    found = estimates.estimate(shop.parts())
    assert (found.unsure, found.between) == (0, None)


def test_what_one_said_last_can_be_taken_back_and_what_others_said_counts_as_before(shop: Shop) -> None:
    asked = {event.id: event for event in shop.customers(60)}
    draws.draw(shop.parts(), 30, by="anna")
    parts, one = shop.parts(), waiting(shop)[3]
    right = truth_of(asked[one.id])
    wrong = next(kind for kind in sorted(WORDS) if kind != right)
    say(shop, one.id, right, by="ben")
    say(shop, one.id, wrong, by="anna")
    shop.turns(1)
    assert valid(shop, one.id) == wrong
    with pytest.raises(StaleTransition, match="cleo said nothing"):
        queue.undo(parts, one.id, by="cleo")
    assert queue.undo(parts, one.id, by="anna") == "label"
    assert valid(shop, one.id) is None
    shop.turns(1)
    assert valid(shop, one.id) == right
    assert queue.undo(parts, one.id, by="ben") == "label"
    shop.turns(1)
    assert valid(shop, one.id) is None
    assert waiting(shop, by="anna", first=one.id)[0].id == one.id
    with parts.store.read() as tx:
        told = [(entry.who, entry.subject) for entry in audit.of_kind(tx, queue.TAKEN_BACK)]
    assert told == [("anna", one.id), ("ben", one.id)]


def valid(shop: Shop, id_: str) -> object:
    with shop.parts().store.read() as tx:
        return feedback.valid_value(tx, MODEL, id_, "kind")


def test_a_label_that_is_given_again_after_another_one_counts_again(shop: Shop) -> None:
    drawn(shop, customers=60, count=30)
    one = waiting(shop)[0]
    project = Project.open(shop.folder)
    for value in ("tool", "fruit", "tool"):
        project.review_label(one.id, value, by="anna")
    with project.parts.store.read() as tx:
        told = feedback.about(tx, MODEL, "kind", [one.id])[one.id]
    assert [item.value for item in told] == ["tool", "fruit", "tool"]
    with pytest.raises(ContractViolation, match="refused"):
        project.review_label(one.id, "soup", by="anna")
    project.parts.close()


def test_of_a_label_and_a_later_doubt_the_later_is_taken_back_first(shop: Shop) -> None:
    drawn(shop, customers=60, count=30)
    parts, one = shop.parts(), waiting(shop)[0]
    say(shop, one.id, "tool")
    mark(shop, one.id, MarkKind.UNSURE)
    assert [queue.undo(parts, one.id, by="anna") for _ in range(2)] == ["unsure", "label"]
    with parts.store.read() as tx:
        assert reviews.marks(tx, MODEL) == []


def test_nothing_is_said_of_what_was_not_picked(shop: Shop) -> None:
    drawn(shop, customers=60, count=30)
    with pytest.raises(NotFound, match="not picked"):
        mark(shop, "nobody", MarkKind.UNSURE)


def test_a_draw_stands_in_the_audit_with_who_made_it(shop: Shop) -> None:
    drawn(shop, customers=60, count=30)
    with shop.parts().store.read() as tx:
        (entry,) = audit.of_kind(tx, draws.WHAT)
    assert (entry.who, entry.detail["batch"], entry.detail["of"]) == ("anna", 1, 60)


def test_without_requests_or_a_random_part_nothing_is_drawn(shop: Shop) -> None:
    with pytest.raises(NotEnoughEvidence):
        draws.draw(shop.parts(), 10, by="anna")
    shop.customers(30)
    with pytest.raises(UsageError, match="random"):
        draws.draw(shop.parts(), 10, by="anna", random_share=0.0)
