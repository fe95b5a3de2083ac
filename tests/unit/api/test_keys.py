"""Who is let in."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mainstay.api.errors import Unauthenticated
from mainstay.api.keys import Keys, Scope
from mainstay.core.errors import Damaged, Refused
from mainstay.testing.clock import FakeClock


def write(path: Path, **scopes: list[str]) -> None:
    keys = [{"name": name, "hash": sha256(name.encode()).hexdigest(), "scopes": held} for name, held in scopes.items()]
    path.write_text(json.dumps({"keys": keys}))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Keys, Path, FakeClock]:
    clock = FakeClock()
    return Keys(tmp_path / "keys.json", clock), tmp_path / "keys.json", clock


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key.encode()}


def test_without_keys_everybody_may(made: Any) -> None:
    keys, path, clock = made
    keys.check({}, Scope.PREDICT)
    write(path)
    clock.advance(seconds=2)
    keys.check({}, Scope.ADMIN)


def test_a_key_opens_what_its_scopes_name(made: Any) -> None:
    keys, path, _ = made
    write(path, app=["predict", "feedback"], boss=["admin"])
    keys.check(bearer("app"), Scope.PREDICT)
    keys.check({b"x-api-key": b"app"}, Scope.FEEDBACK)
    keys.check(bearer("boss"), Scope.READ)
    with pytest.raises(Refused, match="read is needed"):
        keys.check(bearer("app"), Scope.READ)


def test_no_key_and_a_strange_one_are_unauthenticated(made: Any) -> None:
    keys, path, _ = made
    write(path, app=["predict"])
    for headers in ({}, bearer("other"), {b"authorization": b"Basic app"}, {b"x-api-key": b" "}):
        with pytest.raises(Unauthenticated):
            keys.check(headers, Scope.PREDICT)


def test_a_revoked_key_is_out_within_a_second(made: Any) -> None:
    keys, path, clock = made
    write(path, app=["predict"], other=["read"])
    keys.check(bearer("app"), Scope.PREDICT)
    write(path, other=["read"])
    clock.advance(seconds=1.1)
    with pytest.raises(Unauthenticated):
        keys.check(bearer("app"), Scope.PREDICT)


def test_an_unreadable_key_file_lets_nobody_in(made: Any) -> None:
    keys, path, _ = made
    path.write_text("{")
    with pytest.raises(Damaged):
        keys.check(bearer("app"), Scope.PREDICT)
