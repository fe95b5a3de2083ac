from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mainstay.core.cron import last_due, parse, zone_of
from mainstay.core.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "now", "due"),
    [
        ("0 3 * * *", "2026-01-05T02:59", "2026-01-04T03:00"),
        ("0 3 * * *", "2026-01-05T03:00", "2026-01-05T03:00"),
        ("*/15 8-18 * * mon-fri", "2026-01-05T08:20", "2026-01-05T08:15"),
        ("*/15 8-18 * * mon-fri", "2026-01-04T12:00", "2026-01-02T18:45"),
        ("0 0 1 jan *", "2026-12-31T23:00", "2026-01-01T00:00"),
        ("30 4 29 2 *", "2026-03-01T00:00", "2024-02-29T04:30"),
        ("0 12 13 * 5", "2026-02-14T00:00", "2026-02-13T12:00"),
        ("0 12 1 * 7", "2026-01-10T00:00", "2026-01-04T12:00"),
        ("@weekly", "2026-01-06T00:00", "2026-01-04T00:00"),
        ("5/20 * * * *", "2026-01-06T00:30", "2026-01-06T00:25"),
    ],
)
def test_the_latest_moment_is_told(expression: str, now: str, due: str) -> None:
    assert last_due(parse(expression), at(now), UTC) == at(due)


def test_either_of_two_restricted_days_is_enough_as_in_vixie_cron() -> None:
    cron = parse("0 0 13 * fri")
    days = {last_due(cron, at("2026-02-01T00:00") + timedelta(days=n), UTC).date() for n in range(28)}
    assert days == {datetime(2026, 2, d).date() for d in (6, 13, 20, 27)} | {datetime(2026, 1, 30).date()}


def test_it_agrees_with_a_search_minute_by_minute() -> None:
    cron = parse("7,40 2-5,23 */3 1-6 *")
    now = at("2026-05-20T11:11")
    moment = now
    while not (
        moment.minute in (7, 40) and moment.hour in (2, 3, 4, 5, 23) and moment.day % 3 == 1 and 1 <= moment.month <= 6
    ):
        moment -= timedelta(minutes=1)
    assert last_due(cron, now, UTC) == moment


def test_when_clocks_are_put_forward_a_moment_that_does_not_exist_comes_an_hour_later_once() -> None:
    cron = parse("30 2 * * *")
    assert last_due(cron, at("2026-03-29T00:59"), BERLIN) == at("2026-03-28T01:30")
    assert last_due(cron, at("2026-03-29T01:30"), BERLIN) == at("2026-03-29T01:30")  # 03:30 on the new clock
    assert last_due(cron, at("2026-03-30T00:00"), BERLIN) == at("2026-03-29T01:30")


def test_when_clocks_are_put_back_a_moment_that_exists_twice_comes_once() -> None:
    cron = parse("30 2 * * *")
    moments = {last_due(cron, at("2026-10-25T00:00") + timedelta(minutes=n), BERLIN) for n in range(180)}
    assert moments == {at("2026-10-24T00:30"), at("2026-10-25T00:30")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "x * * * *",
        "* * * foo *",
        "0 0 30 2 *",
        "-1 * * * *",
        "1,,2 * * * *",
        "* * * * mon-",
    ],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="Europe/Atlantis"):
        zone_of("Europe/Atlantis")
