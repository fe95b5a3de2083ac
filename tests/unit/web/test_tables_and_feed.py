"""Tables as CSV that no spreadsheet runs, and the feed that tells pages of changes."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import replace
from datetime import timedelta

import pytest

from mainstay.core import errors
from mainstay.core.releases import Release
from mainstay.viewing.versions import Version
from mainstay.web import tables
from mainstay.web.feed import Feed
from mainstay.web.pages import versions
from mainstay.web.sessions import Limiter
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.words import figure
from room_examples import NOW, made


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-x", "+x", "= 1"])
def test_what_a_spreadsheet_would_run_is_preceded_by_an_apostrophe(text: str) -> None:
    assert tables.safe(text).startswith("'")


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e5", "0.25", "plain", "", "a=b", "'=x"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert tables.safe(text) == text


def test_a_table_comes_back_from_its_file() -> None:
    rows = (
        (Cell(text='a "quoted", b'), Cell(text="1 234", plain="1234")),
        (Cell(text="two\nlines"), Cell(text="–", plain=" ")),
    )
    columns = (Column(name="=name"), Column(name="count", number=True))
    table = Table(id="t", caption="T", columns=columns, rows=rows, empty="", csv="")
    assert list(csv.reader(io.StringIO(tables.to_csv(table)))) == [
        ["'=name", "count"],
        ['a "quoted", b', "1234"],
        ["two\nlines", ""],
    ]


def told(feed: Feed, models: list[str], count: int) -> list[bytes]:
    async def listen() -> list[bytes]:
        found = []
        async for piece in feed.listen(models):
            found.append(piece)
            if len(found) == count:
                feed.close()
                break
        return found

    return asyncio.run(asyncio.wait_for(listen(), 10))


def test_a_change_is_told_to_those_who_look_at_that_model() -> None:
    beats = {"a": 0, "b": 0}

    def beat(name: str, step: int) -> str:
        beats[name] += step
        return str(beats[name])

    feed = Feed({"a": lambda: beat("a", 1), "b": lambda: beat("b", 0)}, every_s=0.01)
    pieces = told(feed, ["a", "b"], 2)
    assert pieces[0].startswith(b"retry:")
    assert pieces[1] == b'event: changed\ndata: ["a"]\n\n'


def test_silence_is_filled_with_comments_and_a_store_that_is_away_is_a_change() -> None:
    answers = iter(["1", "1"])

    def pulse() -> str:
        try:
            return next(answers)
        except StopIteration:
            raise errors.StoreUnavailable("away") from None

    pieces = told(Feed({"a": pulse}, every_s=0.05, heartbeat_s=0.01), ["a"], 40)
    assert b": here\n\n" in pieces
    assert any(b"changed" in piece for piece in pieces)


def test_no_more_listen_than_there_is_room_for_and_none_once_it_is_closed() -> None:
    feed = Feed({"a": lambda: "1"}, most=1)

    async def look() -> list[bool]:
        stream = feed.listen(["a"])
        before = feed.is_full
        await anext(stream)
        during = feed.is_full
        await stream.aclose()
        after = feed.is_full
        feed.close()
        return [before, during, after, feed.is_full]

    assert asyncio.run(look()) == [False, True, False, True]


def test_a_limiter_lets_so_many_through_in_a_time() -> None:
    limiter = Limiter(2, 60.0)
    assert [limiter.take("a", now) for now in (0.0, 1.0)] == [0.0, 0.0]
    assert limiter.take("a", 2.0) == 58.0
    assert limiter.take("b", 2.0) == 0.0
    assert limiter.take("a", 60.0) == 0.0


def test_a_moment_among_others_or_ahead_is_told_exactly_and_stays_a_time() -> None:
    cell = tables.exact(NOW + timedelta(days=3), NOW)
    assert cell.moment is not None
    assert cell.text == cell.moment.text
    assert tables.exact(None, NOW).text == "–"


@pytest.mark.parametrize(
    ("value", "text"), [(2000.0, "2000"), (1234567.0, "1230000"), (0.0123456, "0.0123"), (3e9, "3e+09")]
)
def test_a_figure_of_usual_size_is_told_without_an_exponent(value: float, text: str) -> None:
    assert figure(value) == text


def test_mlflows_pages_are_linked_by_the_ids_that_were_recorded_and_not_guessed() -> None:
    found = {fact.name: fact.href for fact in versions.build_one(version(), NOW, mlflow="https://m.example").lineage}
    assert found["MLflow run"] == "https://m.example/#/experiments/3/runs/f00d"
    assert found["MLflow version"] == "https://m.example/#/models/pump-check/versions/2"
    old = replace(made(3), facts={"mlflow": {"run": "f00d"}})
    found = {fact.name: fact.href for fact in versions.build_one(version(old), NOW, mlflow="https://m.example").lineage}
    assert found["MLflow run"] == ""


def version(release: Release | None = None) -> Version:
    return Version(release=release or made(3), events=(), parent=None)
