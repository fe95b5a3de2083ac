"""A share of the answers is drawn at random, with a known chance, and the journal keeps what the model said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from mainstay.core.contracts import Task
from mainstay.core.exploration import How, Rule
from mainstay.core.fallbacks import OnAbstain
from mainstay.data.request_check import compile_request_check
from mainstay.journal import frames
from mainstay.journal.personal import compile_journal_copy
from mainstay.serve.explorer import Explorer, repeated, uniforms
from mainstay.serve.live import Side
from mainstay.testing.models import make_contract
from serve_kit import CHALLENGER, CHAMPION, HASHER, Kit, make_route, make_side, one

SALT = "5a" * 32


def kit_with(rule: Rule, *sides: Any, **more: Any) -> Kit:
    kit = Kit(*sides, **more)
    kit.slot._explorer = Explorer(rule, model="weather", salt=SALT)
    kit.slot.live = None
    kit.slot.load_missing()
    return kit


def asked(kit: Kit, n: int, **more: Any) -> list[dict[str, Any]]:
    return [kit.predict(one("snow day", id=f"q{i}", **more))[0] for i in range(n)]


def test_the_journal_keeps_what_the_model_said_and_the_caller_gets_what_was_drawn() -> None:
    kit = kit_with(Rule(share=0.5, how=How.UNIFORM))
    answers = asked(kit, 200)
    assert {event.label for event in kit.writer.events} == {"cold"}
    assert {answer["label"] for answer in answers} > {"cold"}
    for answer, event in zip(answers, kit.writer.events, strict=True):
        how = event.explored
        assert how is not None
        assert answer["label"] == event.given
        assert answer["exploration"] == {
            "drawn": how.drawn,
            "propensity": how.propensities[event.given],
            "model_label": "cold",
        }
        assert (answer["confidence"] is None) == (event.given != "cold")
        assert sum(how.propensities.values()) == pytest.approx(1.0)
    drawn = sum(answer["exploration"]["drawn"] for answer in answers)
    assert stats.binomtest(drawn, 200, 0.5).pvalue > 1e-6


def test_the_same_request_again_gets_the_same_draw_and_another_worker_draws_alike() -> None:
    rule = Rule(share=0.5, how=How.UNIFORM)
    kit, other = kit_with(rule), kit_with(rule)
    first = asked(kit, 30)
    assert asked(kit, 30) == [answer | {"duplicate": True} for answer in first]
    assert asked(other, 30) == first
    assert len(kit.writer.events) == 30


def test_a_draw_comes_out_again_from_the_record_and_the_salt() -> None:
    kit = kit_with(Rule(share=0.7, how=How.SOFTMAX))
    asked(kit, 50)
    for event in kit.writer.events:
        assert event.explored is not None
        assert repeated(event.explored, event.label, uniforms(SALT, "weather", event.id))
    other = [repeated(e.explored, e.label, uniforms("00" * 32, "weather", e.id)) for e in kit.writer.events]  # type: ignore[arg-type]
    assert not all(other)


def test_only_allowed_labels_are_drawn_and_the_model_may_say_another() -> None:
    kit = kit_with(Rule(share=1.0, how=How.UNIFORM, labels=("warm",)))
    assert {answer["label"] for answer in asked(kit, 10)} == {"warm"}
    assert {event.label for event in kit.writer.events} == {"cold"}
    kit = kit_with(Rule(share=1.0, how=How.UNIFORM, labels=("cold",)))
    assert all("exploration" not in answer for answer in asked(kit, 10))  # nothing else could be given


def test_who_abstains_or_is_held_back_is_never_explored() -> None:
    low = make_side(CHAMPION, abstain_confidence=0.99)
    kit = kit_with(Rule(share=1.0, how=How.UNIFORM), low)
    assert all("exploration" not in answer for answer in asked(kit, 10))
    rule = Rule(share=1.0, how=How.UNIFORM, hold_back=(("place", ("north",)),))
    kit = kit_with(rule)
    assert all("exploration" not in answer for answer in asked(kit, 10, inputs={"place": "north"}))
    kit = kit_with(rule)
    assert all("exploration" in answer for answer in asked(kit, 10, inputs={"place": "south"}))


def test_segments_that_a_rollout_holds_back_and_holdouts_are_not_explored() -> None:
    route = make_route(held_back=(("place", ("north",)),))
    kit = kit_with(Rule(share=1.0, how=How.UNIFORM), route=route)
    assert all("exploration" not in answer for answer in asked(kit, 5, inputs={"place": "north"}))
    assert "exploration" in kit.predict(one("snow day", inputs={"place": "south"}))[0]
    holdout = make_route(previous=CHALLENGER, holdout=1.0, holdout_until=kit.clock.now() + timedelta(days=1))
    kit = kit_with(Rule(share=1.0, how=How.UNIFORM), make_side(CHAMPION), make_side(CHALLENGER), route=holdout)
    [answer] = kit.predict(one("snow day"))
    assert (answer["arm"], "exploration" in answer) == ("holdout", False)


def test_a_fallback_is_no_model_and_is_not_explored() -> None:
    kit = kit_with(
        Rule(share=1.0, how=How.UNIFORM),
        make_side(CHAMPION, abstain_confidence=0.99, fallback_label="warm", on_abstain=OnAbstain.FALLBACK),
    )
    answers = asked(kit, 5)
    assert {(answer["arm"], "exploration" in answer) for answer in answers} == {("fallback", False)}


def test_shadow_pairs_hold_what_the_models_said_and_that_the_user_saw_a_draw() -> None:
    kit = kit_with(
        Rule(share=1.0, how=How.UNIFORM, labels=("warm",)),
        make_side(CHAMPION),
        make_side(CHALLENGER),
        route=make_route(shadow=CHALLENGER),
    )
    kit.predict(one("snow day", id="a"))
    [shadow] = kit.shadows()
    assert shadow.paired is not None
    assert (shadow.paired.label, shadow.label, shadow.paired.drawn) == ("cold", "cold", True)


def test_an_id_that_the_server_made_is_drawn_by_too() -> None:
    kit = kit_with(Rule(share=1.0, how=How.UNIFORM, labels=("warm",)))
    [answer] = kit.predict(one("snow day"))
    [event] = kit.writer.events
    assert (answer["label"], event.label, event.id) == ("warm", "cold", answer["id"])


def test_where_nothing_is_declared_nothing_is_said_and_the_record_is_the_old_one() -> None:
    kit = Kit()
    [answer] = kit.predict(one("snow day", id="a"))
    [event] = kit.writer.events
    assert "exploration" not in answer
    assert event.explored is None
    assert b"explored" not in msgspec.msgpack.encode(event)


def test_records_of_before_there_were_draws_are_read() -> None:
    kit = Kit()
    kit.predict(one("snow day", id="a"))
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(kit.writer.events[0]))
    assert "explored" not in old
    event = frames.decode(msgspec.msgpack.encode(old))
    assert (event.explored, event.given) == (None, "cold")


# rankings


class ScoreModel:
    """Scores a text by its length."""

    def predict(self, texts: Any) -> Any:
        return np.array([float(len(text)) for text in texts])


def ranking_side() -> Side:
    contract = make_contract(task=Task.RANKING, classes=(), target="grade", group="station")
    side = make_side(CHAMPION)
    loaded = replace(side.loaded, estimator=ScoreModel(), contract=contract, classes=())
    return replace(
        side,
        loaded=loaded,
        twin=loaded,
        check=compile_request_check(contract),
        journal_copy=compile_journal_copy(contract, HASHER),
    )


def candidates(query: int, lengths: tuple[int, ...] = (2, 5, 1, 4), ids: bool = True) -> list[dict[str, Any]]:
    return [
        one("x" * n, inputs={"station": f"q{query}"}, **({"id": f"{query}-{place}"} if ids else {}))
        for place, n in enumerate(lengths)
    ]


OWN = [3, 1, 4, 2]
"""The places of `candidates` by score."""


@pytest.mark.parametrize("how", [How.SWAP, How.SHUFFLE, How.INSERT])
def test_candidates_are_shown_on_drawn_places_and_the_record_keeps_both(how: How) -> None:
    kit = kit_with(Rule(share=0.5, how=how, top=3), ranking_side())
    moved = 0
    for query in range(60):
        answers = kit.predict(*candidates(query))
        events = kit.writer.events[-4:]
        assert sorted(answer["rank"] for answer in answers) == [1, 2, 3, 4]
        assert [answer["label"] for answer in answers] == [2.0, 5.0, 1.0, 4.0]
        for answer, event, own in zip(answers, events, OWN, strict=True):
            told = event.explored
            assert told is not None
            assert (told.rank, told.model_rank, told.of, told.top) == (answer["rank"], own, 4, 3)
            assert told.group == f"{query}-0"
            assert answer["exploration"] == {
                "drawn": told.drawn,
                "propensity": told.propensities[str(told.rank)],
                "model_rank": own,
            }
            assert sum(told.propensities.values()) == pytest.approx(1.0)
            assert repeated(told, event.label, uniforms(SALT, "weather", told.group))
        moved += [answer["rank"] for answer in answers] != OWN
    assert 0 < moved < 60


def test_a_group_sent_again_is_ordered_as_before_and_a_part_of_it_by_its_scores() -> None:
    kit = kit_with(Rule(share=1.0, how=How.SHUFFLE, top=4), ranking_side())
    for query in range(8):
        first = kit.predict(*candidates(query))
        assert kit.predict(*candidates(query)) == [answer | {"duplicate": True} for answer in first]
        part = kit.predict(*candidates(query)[:2])
        assert [answer["rank"] for answer in part] == [2, 1]
        assert all("exploration" not in answer for answer in part)
    assert len(kit.writer.events) == 32


def test_a_group_with_a_candidate_from_before_is_not_drawn() -> None:
    kit = kit_with(Rule(share=1.0, how=How.SHUFFLE, top=4), ranking_side())
    kit.predict(candidates(1)[0])
    answers = kit.predict(*candidates(1))
    assert [answer["rank"] for answer in answers] == OWN
    assert all("exploration" not in answer for answer in answers)
    assert kit.writer.events[0].explored is None  # alone there is nothing to order


def test_groups_without_ids_are_drawn_by_the_id_that_was_made() -> None:
    kit = kit_with(Rule(share=1.0, how=How.SHUFFLE, top=4), ranking_side())
    answers = kit.predict(*candidates(1, ids=False))
    assert {event.explored.group for event in kit.writer.events if event.explored} == {answers[0]["id"]}
