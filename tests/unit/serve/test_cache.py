"""A row with the same inputs may be answered without asking the model again, and is a row of its own all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mainstay.core.events import Kind
from mainstay.models.answers import Answer
from mainstay.serve.arms import Arms
from mainstay.serve.cache import Cache
from mainstay.testing.models import WordModel, make_loaded
from serve_kit import CHALLENGER, CHAMPION, Kit, make_route, make_side, one


class Asked:
    """Answers with the text, and remembers what it was asked."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def __call__(self, rows: Sequence[Any]) -> list[Answer]:
        self.rows += [row["text"] for row in rows]
        return [Answer(label=row["text"]) for row in rows]


def rows(*texts: str, **more: Any) -> list[dict[str, Any]]:
    return [{"text": text, "place": None, "degrees": None, "station": "a", **more} for text in texts]


def labels(answers: Sequence[Answer]) -> list[str]:
    return [answer.label for answer in answers]


def test_what_is_held_is_not_asked_again_and_what_comes_twice_is_asked_once() -> None:
    cache, ask, loaded = Cache(10), Asked(), make_loaded(WordModel())
    first, hits = cache.answers(loaded, rows("sun", "snow", "sun"), ask)
    assert (labels(first), hits, ask.rows) == (["sun", "snow", "sun"], 0, ["sun", "snow"])
    second, hits = cache.answers(loaded, rows("snow", "rain"), ask)
    assert (labels(second), hits, ask.rows) == (["snow", "rain"], 1, ["sun", "snow", "rain"])


def test_another_value_of_any_field_that_the_model_sees_is_another_row() -> None:
    cache, ask, loaded = Cache(10), Asked(), make_loaded(WordModel())
    cache.answers(loaded, rows("sun"), ask)
    assert cache.answers(loaded, rows("sun", place="north"), ask)[1] == 0
    assert cache.answers(loaded, rows("sun", degrees=1.0), ask)[1] == 0
    assert cache.answers(loaded, rows("sun", unheard_of=1), ask)[1] == 1


def test_only_so_many_are_held_and_the_oldest_go_first() -> None:
    cache, ask, loaded = Cache(2), Asked(), make_loaded(WordModel())
    cache.answers(loaded, rows("a", "b"), ask)
    cache.answers(loaded, rows("a"), ask)
    cache.answers(loaded, rows("c"), ask)
    assert cache.answers(loaded, rows("a", "c"), ask)[1] == 2
    assert cache.answers(loaded, rows("b"), ask)[1] == 0


def test_one_bundle_never_answers_with_anothers_answer() -> None:
    cache, ask = Cache(10), Asked()
    one_, other = make_loaded(WordModel()), make_loaded(WordModel())
    one_.digest, other.digest = "c", "d"
    cache.answers(one_, rows("sun"), ask)
    assert cache.answers(other, rows("sun"), ask)[1] == 0


def test_in_a_worker_every_row_has_its_own_record_whether_the_model_was_asked_or_not() -> None:
    kit = Kit(make_side(CHAMPION), make_side(CHALLENGER), route=make_route())
    kit.handler._arms = Arms(kit.clock, kit.metrics, Cache(100))
    answered = [kit.predict(one("snow"))[0] for _ in range(3)]
    assert [{**a, "id": ""} for a in answered] == [{**answered[0], "id": ""}] * 3
    assert len({answer["id"] for answer in answered}) == 3
    events = kit.writer.of(Kind.PREDICTION)
    assert len(events) == 3
    assert {msgspec.json.encode(event.probabilities) for event in events} == {
        msgspec.json.encode(events[0].probabilities)
    }
    counters = {c["name"]: c["value"] for c in kit.metrics.as_dict()["counters"]}
    assert counters["cache_hits_total"] == 2
