"""`mainstay status --on DATE` asks for a moment; a date alone means its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mainstay.cli.status import moment_of


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (datetime(2026, 11, 20), datetime(2026, 11, 20, 23, 59, 59, 999999, tzinfo=UTC)),
        (datetime(2026, 11, 20, 16, 30), datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),
        (
            datetime(2026, 11, 20, 16, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 11, 20, 14, tzinfo=UTC),
        ),
    ],
)
def test_a_date_is_its_last_moment_and_a_time_without_a_zone_is_utc(given: datetime, meant: datetime) -> None:
    assert moment_of(given) == meant
