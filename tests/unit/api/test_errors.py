"""Each error has a status of its own choice."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from mainstay.api import errors as api_errors
from mainstay.core import errors
from mainstay.serve import strict, wire


def tree(kind: type[errors.MainstayError]) -> Iterator[type[errors.MainstayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


CORE = sorted(
    {kind for kind in tree(errors.MainstayError) if kind.__module__ == errors.__name__}, key=lambda k: k.__name__
)


def test_the_tree_was_found() -> None:
    assert len(CORE) >= 20


@pytest.mark.parametrize("kind", CORE)
def test_every_error_of_the_tree_is_in_the_table_by_name(kind: type[errors.MainstayError]) -> None:
    assert kind in api_errors.STATUSES


def test_a_class_that_is_not_in_the_table_takes_its_parents_status() -> None:
    class Special(errors.Overloaded):
        """Special."""

    assert api_errors.status_of(Special()) == 503
    assert api_errors.status_of(strict.Malformed()) == 400
    assert api_errors.status_of(api_errors.Unauthenticated()) == 401


def test_what_may_be_sent_again_says_when() -> None:
    assert api_errors.headers_of(errors.Overloaded()) == [(b"retry-after", b"1")]
    assert api_errors.headers_of(errors.ContractViolation()) == []


def test_a_wrong_method_names_the_right_ones() -> None:
    assert api_errors.headers_of(api_errors.WrongMethod("PUT", "GET, HEAD")) == [(b"allow", b"GET, HEAD")]


def test_a_body_that_did_not_come_ends_the_connection() -> None:
    for error, status in ((api_errors.Incomplete(), 400), (api_errors.TooSlow(), 408)):
        assert api_errors.status_of(error) == status
        assert api_errors.headers_of(error) == [(b"connection", b"close")]


@pytest.mark.parametrize("kind", CORE)
def test_every_error_has_the_one_shape(kind: type[errors.MainstayError]) -> None:
    body = msgspec.json.decode(api_errors.body_of(kind("what", remedy="how")), type=wire.ErrorResponse)
    assert (body.error.message, body.error.remedy, body.error.code) == ("what", "how", kind.code)
