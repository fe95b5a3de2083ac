"""The page of the queue: what it shows, and that its forms do what the commands do."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mainstay.review.estimates import sentences
from mainstay.review.queue import Queue
from mainstay.store.reviews import MarkKind
from mainstay.web import app as pages
from mainstay.web.pages import review
from room_examples import CONTRACT, NOW, FakeRoom, labelled, waiting

HERE = "/models/pump-check/review"


def ask(room: FakeRoom, path: str, fields: dict[str, str] | None = None) -> httpx.Response:
    """Open the page, then send a form with the token that stood on it."""
    transport = httpx.ASGITransport(pages.create_app({room.name: room}, host="127.0.0.1"))

    async def both() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as asking:
            shown = await asking.get(HERE)
            token = re.search(r'name="csrf" value="([^"]+)"', shown.text)
            assert token is not None
            form: dict[str, Any] = {"csrf": token[1]} | (fields or {})
            return await asking.post(path, data=form, headers={"Origin": "http://127.0.0.1:8081"})

    return asyncio.run(both())


@pytest.mark.parametrize(
    ("act", "fields", "done"),
    [
        ("label", {"label": "worn"}, ("label", "r-1", "worn")),
        ("unsure", {}, ("review_mark", "r-1", MarkKind.UNSURE)),
        ("skip", {}, ("review_mark", "r-1", MarkKind.SKIPPED)),
        ("undo", {}, ("review_undo", "r-1")),
        ("draw", {"count": "70"}, ("review_draw", 70)),
    ],
)
def test_each_button_does_one_thing_under_the_visitors_name_and_leads_on(
    act: str, fields: dict[str, str], done: tuple[Any, ...]
) -> None:
    room = FakeRoom()
    answer = ask(room, f"/models/pump-check/do/{act}", {"subject": "r-1", "back": f"{HERE}?last=r-1", **fields})
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, HERE)
    assert [one[:-1] for one in room.done] == [done]
    assert room.done[0][-1] != ""


def test_without_the_pages_token_nothing_is_drawn() -> None:
    room = FakeRoom()
    assert ask(room, "/models/pump-check/do/draw", {"csrf": "made up", "subject": ""}).status_code == 403
    assert room.done == []


@pytest.mark.parametrize("count", ["0", "-3", "5001", "many", ""])
def test_a_count_that_is_none_draws_nothing(count: str) -> None:
    room = FakeRoom()
    assert ask(room, "/models/pump-check/do/draw", {"subject": "", "count": count}).status_code == 400
    assert room.done == []


def build(queue: Queue, **more: Any) -> Any:
    return review.build("pump-check", CONTRACT, queue, labelled(), NOW, **more)


def test_what_the_model_and_others_said_is_hidden_until_asked_for() -> None:
    queue = Queue(open=(waiting("r-1"),), waiting=7, skipped=2)
    hidden, told = build(queue), build(queue, with_guess=True)
    assert (hidden.waiting.guess, hidden.waiting.why) == ("", "People labelled it in different ways.")
    assert told.waiting.guess == "the model: fine, 90.0 % sure; ada: worn; ben: fine"


def test_the_page_tells_progress_and_the_commands_own_estimate() -> None:
    shown = build(Queue(open=(), waiting=7, skipped=2), last="r-9")
    assert shown.progress == "12 of 50 picked requests are labelled; 7 wait for you, 2 of them skipped."
    assert shown.share == 24
    assert shown.bought == sentences(labelled())[1:]
    assert "Right, of all traffic: 90.0% (80.0% to 100.0%)." in shown.bought
    assert (shown.waiting, shown.undo.id, shown.undo.next) == (None, "r-9", f"{HERE}?at=r-9")


def test_before_the_first_draw_nothing_is_told_but_how_to_draw() -> None:
    nothing = replace(labelled(), picked=0, labelled=0, weighted=None)
    shown = review.build("pump-check", CONTRACT, Queue(open=(), waiting=0, skipped=0), nothing, NOW)
    assert (shown.progress, shown.bought, shown.waiting, shown.undo, shown.draw.count) == ("", (), None, None, 50)
