"""What is kept as text keeps its meaning and its order."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core import errors
from mainstay.core.routes import BundleRef, Route
from mainstay.store.columns import from_plain, moment_text, to_json


class _Colour(StrEnum):
    RED = "red"


moments = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.timezones())


@given(moments, moments)
def test_text_order_is_time_order(first: datetime, second: datetime) -> None:
    assert (moment_text(first) < moment_text(second)) == (first.astimezone(UTC) < second.astimezone(UTC))


@given(moments)
def test_a_moment_survives_as_text_of_fixed_width(moment: datetime) -> None:
    text = moment_text(moment)
    assert len(text) == 32
    assert datetime.fromisoformat(text) == moment.astimezone(UTC)


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="without zone"):
        moment_text(datetime(2026, 1, 1))


def test_the_same_value_gives_the_same_text() -> None:
    assert to_json({"b": (1, 2), "a": _Colour.RED}) == to_json({"a": "red", "b": [1, 2]}) == '{"a":"red","b":[1,2]}'


def test_numpy_values_and_nan_have_a_json_form() -> None:
    value = {"a": np.float64(0.5), "b": np.int64(3), "c": np.array([1.0, 2.0]), "d": float("nan"), "e": np.float32(2)}
    assert to_json(value) == '{"a":0.5,"b":3,"c":[1.0,2.0],"d":null,"e":2.0}'


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON form for object"):
        to_json({"a": object()})


def test_a_record_survives() -> None:
    route = Route(
        model="m", epoch=3, champion=BundleRef(version=1, digest="d"), lease_until=datetime(2026, 1, 1, tzinfo=UTC)
    )
    import msgspec

    assert from_plain(msgspec.json.decode(to_json(route)), Route) == route
